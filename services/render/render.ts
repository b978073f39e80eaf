/** Renders a directory of an artifact into Kubernetes objects, by the real kustomize; or says nothing changed. */
import { hash } from "node:crypto";
import { posix } from "node:path";
import { Buffer } from "node:buffer";
import { Fault } from "#protocol/errors/fault.ts";
import { baseTrees, Bases, type BasePort, type BaseRead, type Missing } from "./bases.ts";
import { clear, joinedKey, nothingOpened, refuseEncrypted, withheld, type Decryption, type OpenedFiles, type OpenedObject } from "./decryption.ts";
import { Engine, type EngineOptions } from "./engine.ts";
import { canonicalJson } from "./json.ts";
import { finish, type RenderedObject } from "./objects.ts";
import type { BuildCall } from "./module.ts";
import { RenderPool } from "./pool.ts";
import { readSetKey, type ReadSet } from "./read-set.ts";
import { pathMissing, readReply } from "./reply.ts";
import type { KustomizeSpec } from "./spec.ts";
import { keyOfSubstitution, substitute, type Substitution } from "./substitution.ts";
import { poolOf, type TenantPool } from "./tenant-pool.ts";
import { TreeCache, type ArtifactHandle } from "./tree-cache.ts";
import { Tree, withinRoot } from "./tree.ts";

export type RenderRequest = {
  /** For whom: a slow build holds up others of the same tenant, and no other tenant for long. */
  tenant?: string;
  artifact: ArtifactHandle;
  /** spec.path: relative to the artifact's root, however it is written. */
  path: string;
  spec: KustomizeSpec;
  /** spec.decryption; absent: nothing is decrypted. */
  decryption?: Decryption | undefined;
  /** spec.postBuild; absent: nothing is substituted. */
  substitution?: Substitution | undefined;
  /** Fetches remote bases; absent: they are refused. */
  bases?: BasePort | undefined;
  /** What the last render of the same unit returned: while its key still holds, nothing is built. */
  previous?: { readSet: ReadSet; key: string };
};

/** `key` covers the settings, the path, the renderer itself, the content of everything that was read, the commits of remote bases, and the versions of variables. */
export type Rendered =
  | { unchanged: true; key: string }
  | {
      unchanged: false; key: string; readSet: ReadSet; objects: RenderedObject[];
      /** Values in the objects that people must not read, wherever they turn up. */
      confidential: readonly string[];
    };

export type RendererOptions = EngineOptions & {
  /** Shared with others that run the same module; otherwise it has its own. */
  engine?: Engine;
  threads?: number;
  /** For one build, from when a thread takes it up. */
  timeoutMs?: number;
  /** How long a build may run before other tenants get a thread beside it, and how long that one stays without work. */
  slowMs?: number;
  spareIdleMs?: number;
  /** Of unpacked artifacts: in this process, and loaded in each thread. */
  treeCacheBytes?: number;
  loadedLimitBytes?: number;
};

export class Renderer {
  private readonly options: Required<Omit<RendererOptions, keyof EngineOptions | "engine">>;
  private readonly engine: Engine;
  private readonly trees: TreeCache;
  private readonly baseTrees = baseTrees();
  private pool: RenderPool | undefined;
  private closed = false;

  constructor({ engine, memoryLimitBytes, wasm, ...options }: RendererOptions = {}) {
    this.options = { ...defaults, ...options };
    this.engine = engine ?? new Engine({ ...(memoryLimitBytes && { memoryLimitBytes }), ...(wasm && { wasm }) });
    this.trees = new TreeCache(this.options.treeCacheBytes);
  }

  /** Starts the threads before the first render asks for them. */
  async warm(): Promise<void> {
    await (await this.start()).pool.warm();
  }

  /** @throws Fault ArtifactCorrupt, ArtifactPathMissing, BuildFailed, RenderTimeout, RendererMissing; the signal's */
  async render({ tenant = "", artifact, path, spec, decryption, substitution, bases: port, previous }: RenderRequest, signal: AbortSignal): Promise<Rendered> {
    signal.throwIfAborted();
    const [{ pool: shared, wasmKey }, tree] = await Promise.all([this.start(), this.trees.get(artifact)]);
    const pool = poolOf(shared, tenant);
    const directory = withinRoot(path);
    if (!tree.isDirectory(directory) && !tree.files.has(directory)) throw pathMissing(directory);
    const subject = directory || ".";
    const bases = port && new Bases({ port, trees: this.baseTrees, subject }, signal);
    const keyOf = (readSet: ReadSet, version: unknown, read: readonly BaseRead[]) =>
      hash("sha256", canonicalJson([wasmKey, directory, spec, readSetKey(tree, readSet), decryption?.settings ?? null, ...(substitution ? [keyOfSubstitution(substitution, version)] : []), ...(read.length > 0 ? [{ bases: read }] : [])]));
    if (previous) {
      const { bases: before = [] } = previous.readSet;
      const read = before.length > 0 && bases ? await bases.now(before) : []; // without a port, the build refuses them
      if (keyOf(previous.readSet, substitution?.version, read) === previous.key) return { unchanged: true, key: previous.key };
    }

    const { commonMetadata, ignore: _, ...call } = spec;
    const files = (await decryption?.openFiles({ tree, directory, components: spec.components ?? [] }, signal)) ?? nothingOpened;
    try {
      const { objects: built, readSet } = await build(pool, { digest: artifact.digest, path: directory, spec: call }, { tree, files, bases }, signal);
      const opened = (await decryption?.openObjects({ tree, read: readSet.files, objects: built }, signal)) ?? built.map((object): OpenedObject => ({ object }));
      const plain = opened.map(({ object }) => object);
      const variables = await substitution?.read();
      const substituted = substitution && variables ? await substitute(pool, subject, plain, variables.values, substitution, signal) : plain;
      const finished = substituted.map((value, at) => {
        const fromFiles = joinedKey(files.digestKey, opened[at]?.digestKey);
        return { value, digestKey: joinedKey(fromFiles, substitution?.digestKey), decrypted: fromFiles !== undefined };
      });
      const objects = finish(finished, commonMetadata, subject);
      refuseEncrypted(objects.map(({ object }) => object), decryption !== undefined);
      return { unchanged: false, key: keyOf(readSet, variables?.version, readSet.bases ?? []), readSet, objects, confidential: variables?.confidential ?? [] };
    } catch (thrown) {
      throw withheld(thrown, files);
    } finally {
      clear(files);
    }
  }

  /** Its files, unpacked. @throws Fault ArtifactCorrupt; whatever `load` throws */
  tree(artifact: ArtifactHandle): Promise<Tree> {
    return this.trees.get(artifact);
  }

  /** Directories in or below which files differ between two artifacts; the root is "". @throws Fault ArtifactCorrupt; whatever `load` throws */
  async changedDirectories(before: ArtifactHandle, after: ArtifactHandle): Promise<Set<string>> {
    const [old, now] = await Promise.all([this.trees.get(before), this.trees.get(after)]);
    const changed = new Set<string>();
    for (const path of new Set([...old.files.keys(), ...now.files.keys()]))
      if (!isSame(old.files.get(path), now.files.get(path)))
        for (let at = posix.dirname(path); !changed.has(at === "." ? "" : at); at = posix.dirname(at)) changed.add(at === "." ? "" : at);
    return changed;
  }

  /** The most memory any thread's module holds. */
  get memoryBytes(): number {
    return this.pool?.memoryBytes ?? 0;
  }

  /** Waits for nothing: what is being built is given up, and so is everything asked for later. */
  async close(): Promise<void> {
    this.closed = true;
    await this.pool?.close();
  }

  private async start(): Promise<{ pool: RenderPool; wasmKey: string }> {
    const refuseClosed = () => {
      if (this.closed) throw new Fault("RendererMissing", "renderer", { detail: "it is closed" });
    };
    refuseClosed();
    const { module, memoryLimitBytes, wasmKey } = await this.engine.get();
    refuseClosed();
    const { loadedLimitBytes, treeCacheBytes: _, ...options } = this.options;
    const thread = { module, memoryLimitBytes, recycleAboveBytes: memoryLimitBytes / 2, loadedLimitBytes };
    this.pool ??= new RenderPool({ script: new URL("./thread.ts", import.meta.url), ...options, thread });
    return { pool: this.pool, wasmKey };
  }
}

const mebibyte = 1024 * 1024;
const defaults = {
  threads: 1,
  timeoutMs: 60_000,
  slowMs: 2_000,
  spareIdleMs: 60_000,
  treeCacheBytes: 128 * mebibyte,
  loadedLimitBytes: 128 * mebibyte,
};

type Build = { objects: unknown[]; readSet: ReadSet };

type Inputs = { tree: Tree; files: OpenedFiles; bases: Bases | undefined };

/** Builds again with each remote base that turns out to be missing. */
async function build(pool: TenantPool, call: BuildCall, { tree, files, bases }: Inputs, signal: AbortSignal): Promise<Build> {
  if (!bases) return buildOnce<Build>(pool, call, tree, files, signal);
  for (;;) {
    const beside = bases.laid.length > 0 ? { digest: `${call.digest}+${bases.digest}`, tree: bases.beside(tree) } : { digest: call.digest, tree };
    const withBases = { ...call, digest: beside.digest, fetches: true, bases: bases.laid };
    const built = await buildOnce<Build | { missing: Missing }>(pool, withBases, beside.tree, files, signal);
    if ("missing" in built) await bases.add(built.missing);
    else return bases.laid.length > 0 ? { ...built, readSet: { ...built.readSet, bases: bases.read } } : built;
  }
}

async function buildOnce<Reply extends object>(pool: TenantPool, call: BuildCall, tree: Tree, { files }: OpenedFiles, signal: AbortSignal): Promise<Reply> {
  const laid = files.length > 0 ? new Tree(files.map(({ path, content }) => [path, content])).pack("") : undefined;
  const reply = await pool.build(laid ? { ...call, laid } : call, tree, signal).finally(() => laid?.fill(0));
  try {
    return readReply<Reply>(reply, call.path || ".");
  } finally {
    reply.fill(0); // a Secret may be in it
  }
}

const isSame = (one: Uint8Array | undefined, other: Uint8Array | undefined): boolean => one !== undefined && other !== undefined && Buffer.compare(one, other) === 0;
