/** Renders a directory of an artifact into Kubernetes objects, by the real kustomize; or says nothing changed. */
import { hash } from "node:crypto";
import { posix } from "node:path";
import { Worker } from "node:worker_threads";
import { Fault } from "#protocol/errors/fault.ts";
import { canonicalJson, parseJson } from "./json.ts";
import { finish, type RenderedObject } from "./objects.ts";
import { RenderPool } from "./pool.ts";
import { readSetKey, type ReadSet } from "./read-set.ts";
import type { KustomizeSpec } from "./spec.ts";
import { TreeCache, type ArtifactHandle } from "./tree-cache.ts";
import type { Tree } from "./tree.ts";
import { findWasm, type WasmFile } from "./wasm-file.ts";

export type RenderRequest = {
  artifact: ArtifactHandle;
  /** spec.path: relative to the artifact's root, however it is written. */
  path: string;
  spec: KustomizeSpec;
  /** What the last render of the same unit returned: while its key still holds, nothing is built. */
  previous?: { readSet: ReadSet; key: string };
};

/** `key` covers the settings, the path, the renderer itself and the content of everything that was read. */
export type Rendered =
  { unchanged: true; key: string } | { unchanged: false; key: string; readSet: ReadSet; objects: RenderedObject[] };

export type RendererOptions = {
  threads?: number;
  /** For one build, from when a thread takes it up. */
  timeoutMs?: number;
  /** Of one thread's module; a build that needs more fails. */
  memoryLimitBytes?: number;
  /** Of unpacked artifacts: in this process, and loaded in each thread. */
  treeCacheBytes?: number;
  loadedLimitBytes?: number;
  /** The compiled renderer; by default the one findWasm finds. */
  wasm?: WasmFile;
};

export class Renderer {
  private readonly options: Required<Omit<RendererOptions, "wasm">> & Pick<RendererOptions, "wasm">;
  private readonly trees: TreeCache;
  private engine: Promise<Engine> | undefined;
  private pool: RenderPool | undefined;
  private closed = false;

  constructor(options: RendererOptions = {}) {
    this.options = { ...defaults, ...options };
    this.trees = new TreeCache(this.options.treeCacheBytes);
  }

  /** Starts the threads before the first render asks for them. */
  async warm(): Promise<void> {
    await (await this.start()).pool.warm();
  }

  /** @throws Fault ArtifactCorrupt, ArtifactPathMissing, BuildFailed, RenderTimeout, RendererMissing; the signal's */
  async render({ artifact, path, spec, previous }: RenderRequest, signal: AbortSignal): Promise<Rendered> {
    signal.throwIfAborted();
    const [{ pool, wasmKey }, tree] = await Promise.all([this.start(), this.trees.get(artifact)]);
    const directory = withinRoot(path);
    if (!tree.isDirectory(directory) && !tree.files.has(directory)) throw pathMissing(directory);
    const keyOf = (readSet: ReadSet) =>
      hash("sha256", canonicalJson([wasmKey, directory, spec, readSetKey(tree, readSet)]));
    if (previous && keyOf(previous.readSet) === previous.key) return { unchanged: true, key: previous.key };

    const { commonMetadata, ...call } = spec;
    const reply = await build(pool, { digest: artifact.digest, path: directory, spec: call }, tree, signal);
    const objects = finish(reply.objects, commonMetadata, directory || ".");
    return { unchanged: false, key: keyOf(reply.readSet), readSet: reply.readSet, objects };
  }

  /** The most memory any thread's module holds. */
  get memoryBytes(): number {
    return this.pool?.memoryBytes ?? 0;
  }

  /** Waits for nothing: what is being built is given up, and so is everything asked for later. */
  async close(): Promise<void> {
    this.closed = true;
    await this.engine?.catch(() => undefined);
    await this.pool?.close();
  }

  private start(): Promise<Engine> {
    if (this.closed) throw new Fault("RendererMissing", "renderer", { detail: "it is closed" });
    this.engine ??= this.compile().catch((thrown: unknown) => {
      this.engine = undefined; // the next render looks for the file again
      throw thrown;
    });
    return this.engine;
  }

  private async compile(): Promise<Engine> {
    const { threads, timeoutMs, memoryLimitBytes, loadedLimitBytes, wasm } = this.options;
    const { key: wasmKey, path } = wasm ?? (await findWasm());
    const module = await compile(path, memoryLimitBytes).catch((cause: unknown) => {
      throw new Fault("RendererMissing", path, { detail: "not a compiled renderer", cause });
    });
    const thread = { module, memoryLimitBytes, recycleAboveBytes: memoryLimitBytes / 2, loadedLimitBytes };
    this.pool = new RenderPool({ threads, timeoutMs, thread });
    return { pool: this.pool, wasmKey };
  }
}

type Engine = { pool: RenderPool; wasmKey: string };

function compile(path: string, memoryLimitBytes: number): Promise<WebAssembly.Module> {
  const thread = new Worker(new URL("./compile-thread.ts", import.meta.url), { name: "renderer compile", workerData: { path, memoryLimitBytes } });
  return new Promise<WebAssembly.Module>((resolve, reject) => {
    thread.once("message", resolve).once("error", reject);
  }).finally(() => void thread.terminate());
}

const mebibyte = 1024 * 1024;
const defaults = {
  threads: 1,
  timeoutMs: 60_000,
  memoryLimitBytes: 768 * mebibyte,
  treeCacheBytes: 128 * mebibyte,
  loadedLimitBytes: 128 * mebibyte,
};

type Reply = { objects: unknown[]; readSet: ReadSet };

async function build(
  pool: RenderPool,
  call: Parameters<RenderPool["build"]>[0],
  tree: Tree,
  signal: AbortSignal,
): Promise<Reply> {
  const reply = await pool.build(call, tree, signal);
  const parsed = parseJson(new TextDecoder().decode(reply)) as Reply | { failure: { code: string; message: string } };
  if (!("failure" in parsed)) return parsed;
  const { code, message } = parsed.failure;
  throw code === "path" ? pathMissing(call.path) : new Fault("BuildFailed", call.path || ".", { detail: message });
}

/** Flux's path handling (securejoin): every form is relative to the root, and ".." does not lead out of it. */
function withinRoot(path: string): string {
  return posix.join("/", path).replace(/^\/+|\/+$/g, "");
}

// The subject is the sentence's beginning in Flux, and operators search for it.
const pathMissing = (path: string) =>
  new Fault("ArtifactPathMissing", "kustomization path not found", { detail: `${path}: no such directory` });
