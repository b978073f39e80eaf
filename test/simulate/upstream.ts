/** A Git server with one repository, and a renderer that knows what every commit renders to. */
import { hash } from "node:crypto";
import { Fault } from "#protocol/errors/fault.ts";
import type { RenderedObject } from "#services/render/objects.ts";
import type { Renderer } from "#services/render/render.ts";
import type { FetchedSource } from "#services/sources/define.ts";

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
  renderer(namespace: string, delay: () => Promise<void>): Pick<Renderer, "render"> {
    return {
      render: async ({ artifact, path, previous }, signal) => {
        signal.throwIfAborted();
        const index = Number(new TextDecoder().decode(await artifact.load()).slice("commit ".length));
        await delay();
        signal.throwIfAborted();
        const objects = this.objects(index, path, namespace);
        if (!objects) throw new Fault("BuildFailed", path, { detail: "kustomization.yaml: broken" });
        const key = hash("sha256", JSON.stringify([path, objects.map(({ digest }) => digest)]));
        if (previous?.key === key) return { unchanged: true, key };
        return { unchanged: false, key, readSet: { files: [], dirs: [] }, objects };
      },
    };
  }
}

/** -1 when there is none. */
export const indexOf = (revision: string): number => (revision === "" ? -1 : Number.parseInt(revision.slice(-40), 16));
