/** A Git server with one repository, and a renderer that knows what every commit renders to. */
import { hash } from "node:crypto";
import { Fault } from "#protocol/errors/fault.ts";
import type { RenderedObject } from "#services/render/objects.ts";
import type { ArtifactHandle } from "#services/render/tree-cache.ts";
import type { Renderer } from "#services/render/render.ts";
import { Tree as Files } from "#services/render/tree.ts";
import type { FetchedSource, SourceCall, SourceKind } from "#services/sources/define.ts";
import type { WorkerOptions } from "#services/worker/worker-options.ts";
import { repository } from "./objects.ts";

/** By path: what a directory renders to, as name and value of each object; `broken`: it does not build. */
export type Tree = Record<string, Record<string, string> | "broken">;

export class Upstream {
  readonly commits: Tree[] = [];

  get head(): number {
    return this.commits.length - 1;
  }

  commit(tree: Tree): number {
    return this.commits.push(tree) - 1;
  }

  revision(index: number): string {
    return `main@sha1:${index.toString(16).padStart(40, "0")}`;
  }

  fetched(revision: string): FetchedSource {
    const index = indexOf(revision);
    return {
      revision, archive: new TextEncoder().encode(`commit ${index}`), file: `${revision.slice(-40)}.tar.gz`, subject: `commit ${index}`,
      committedAtMs: 0, change: { url: "https://git.example.com/shop.git", commit: revision.slice(-40) },
    };
  }

  /** Undefined: it does not build. */
  objects(index: number, path: string, namespace: string): RenderedObject[] | undefined {
    const directory = this.commits[index]?.[path];
    if (directory === "broken" || directory === undefined) return undefined;
    return Object.entries(directory).map(([name, value]) => {
      const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: `${path}-${name}`, namespace }, data: { value, kept: "yes" } };
      return { object, digest: hash("sha256", JSON.stringify(object)) };
    });
  }

  /** @param delay how long a build takes, or a throw */
  renderer(namespace: string, delay: () => Promise<void>): Pick<Renderer, "render" | "changedDirectories" | "tree"> {
    const indexOf = async ({ load }: ArtifactHandle) => Number(new TextDecoder().decode(await load()).slice("commit ".length));
    return {
      changedDirectories: async (...artifacts) => {
        const [before, after] = await Promise.all(artifacts.map(async (each) => this.commits[await indexOf(each)] ?? {}));
        return new Set(Object.keys({ ...before, ...after }).filter((path) => JSON.stringify(before?.[path]) !== JSON.stringify(after?.[path])));
      },
      // As files of values: one in each directory.
      tree: async (artifact) => new Files(Object.entries(this.commits[await indexOf(artifact)] ?? {}).map(([path, values]) => [`${path}/values.yaml`, new TextEncoder().encode(JSON.stringify(values))])),
      render: async ({ artifact, path, previous }, signal) => {
        signal.throwIfAborted();
        const index = await indexOf(artifact);
        await delay();
        signal.throwIfAborted();
        const objects = this.objects(index, path, namespace);
        if (!objects) throw new Fault("BuildFailed", path, { detail: "kustomization.yaml: broken" });
        const key = hash("sha256", JSON.stringify([path, objects.map(({ digest }) => digest)]));
        if (previous?.key === key) return { unchanged: true, key };
        return { unchanged: false, key, readSet: { files: [], dirs: [] }, objects, confidential: [] };
      },
    };
  }
}

/** How long something takes: until it is over. */
type Delay = (fromMs: number, toMs: number) => Promise<void>;

export function gitSource(upstream: Upstream, delay: Delay, isDown: () => boolean): SourceKind<unknown> {
  const ask = async () => {
    await delay(5, 600);
    if (isDown()) throw new Fault("UpstreamUnreachable", repository);
  };
  return {
    kind: "GitRepository",
    resolve: async () => {
      const { head } = upstream;
      await ask();
      return upstream.revision(head);
    },
    fetch: async ({ revision }) => {
      await ask();
      return upstream.fetched(revision);
    },
  };
}

/** Made from the artifact of the other: what it was made of is in it. */
export function madeFromGit(delay: Delay): SourceKind<unknown> {
  const read = async (source: SourceCall<unknown>["source"]) => {
    const { artifact } = (await source?.({ kind: "GitRepository", name: "shop" })) ?? {};
    if (!artifact) throw new Fault("ArtifactMissing", "GitRepository/apps/shop");
    await delay(1, 300);
    return { revision: `made-${artifact.revision}`, archive: await artifact.read() };
  };
  return {
    kind: "HelmChart",
    resolve: async ({ source }) => (await read(source)).revision,
    fetch: async ({ source }) => {
      const { revision, archive } = await read(source);
      return { revision, archive, file: `${revision.slice(-40)}.tgz`, subject: revision, committedAtMs: 0, change: { url: "https://git.example.com/shop.git", commit: revision.slice(-40) } };
    },
  };
}

/** Where all workers keep artifacts. */
export function artifactStore(stored: Map<string, Uint8Array>, delay: Delay): WorkerOptions["artifacts"] {
  const retain = async (prefix: string, keep: string[]) => {
    await delay(1, 5);
    for (const path of stored.keys()) if (path.startsWith(`${prefix}/`) && !keep.includes(path)) stored.delete(path);
  };
  return {
    put: async (at, bytes) => {
      await delay(1, 5);
      const digest = `sha256:${hash("sha256", bytes)}`;
      const path = typeof at === "string" ? at : at(digest);
      stored.set(path, bytes);
      return { path, digest, sizeBytes: bytes.byteLength };
    },
    has: async (path) => { await delay(1, 5); return stored.has(path); },
    get: async (path) => {
      await delay(1, 5);
      const bytes = stored.get(path);
      if (!bytes) throw new Fault("ArtifactCorrupt", path, { detail: "not found" });
      return bytes;
    },
    retain,
    remove: (prefix) => retain(prefix, []),
  };
}

/** -1 when there is none. */
export const indexOf = (revision: string): number => (revision === "" ? -1 : Number.parseInt(revision.slice(-40), 16));
