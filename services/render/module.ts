/** One running copy of the renderer, and the calling convention between it and us (wasm/main.go is the other side). */
import { Buffer } from "node:buffer";
import type { CelRequest } from "./cel.ts";
import type { KustomizeSpec } from "./spec.ts";
import { Wasi } from "./wasi.ts";

/** `laid`: what is seen instead of the artifact's files, packed as an artifact (Tree.pack). */
export type BuildCall = {
  digest: string;
  path: string;
  spec: KustomizeSpec;
  laid?: Uint8Array;
  /** Whether `bases` may be asked for more: the reply is then `{missing}`. */
  fetches?: boolean;
  bases?: readonly LaidBase[];
};

/** A remote reference of a kustomization file, and where its repository lies beside the artifact (wasm/remote.go). */
export type LaidBase = { reference: string; folder: string; path: string; /** The repository, for people. */ shown: string };

/** What a module sees beside WASI with nothing in it (wasi.ts). */
type World = { chance?: boolean; imports?: Record<string, WebAssembly.ModuleImports> };

/** What needs no preparation. */
export class WasmModule {
  protected readonly wasi: Wasi;
  protected readonly exports: Exports;

  constructor(module: WebAssembly.Module, memoryLimitBytes: number, { chance = false, imports = {} }: World = {}) {
    this.wasi = new Wasi({ ...runtimeSettings, GOMEMLIMIT: String(Math.floor(memoryLimitBytes / 2)) }, chance);
    const instance = new WebAssembly.Instance(module, { wasi_snapshot_preview1: this.wasi.imports, ...imports });
    this.exports = instance.exports as Exports;
    this.wasi.start(instance);
  }

  get memoryBytes(): number {
    return this.exports.memory.buffer.byteLength;
  }

  /** The reply as JSON text in UTF-8: `{results}` or `{failure}`. */
  evaluate({ expressions, values }: CelRequest): Uint8Array<ArrayBuffer> {
    const given = values === undefined ? "" : `,"values":${values}`;
    return this.call(this.exports.evaluate, `{"expressions":${JSON.stringify(expressions)}${given}}`);
  }

  /** The reply as JSON text in UTF-8: `{files, changes, notices}` or `{failure}`. */
  set(request: string): Uint8Array<ArrayBuffer> {
    return this.call(this.exports.set, request);
  }

  /** The reply as JSON text in UTF-8: `{message}` or `{failure}`. */
  message(request: string): Uint8Array<ArrayBuffer> {
    return this.call(this.exports.message, request);
  }

  /** What the module printed before it came to an end. */
  lastWords(): string {
    return this.wasi.takeOutput();
  }

  /** Gives the module something to keep under a digest; the reply says whether it took it. */
  load(packed: Uint8Array): Uint8Array<ArrayBuffer> {
    const at = this.exports.alloc(packed.length) >>> 0;
    new Uint8Array(this.exports.memory.buffer, at, packed.length).set(packed);
    return this.take(this.exports.load(at, packed.length)); // the buffer is the module's own from here on
  }

  drop(digest: string): void {
    const [at, size] = this.write(digest);
    this.exports.drop(at, size);
    this.exports.release(at);
  }

  protected call(run: (at: number, size: number) => bigint, request: string): Uint8Array<ArrayBuffer> {
    const [at, size] = this.write(request);
    const packed = run(at, size);
    this.exports.release(at);
    this.wasi.takeOutput(); // kustomize prints its deprecation warnings
    return this.take(packed);
  }

  protected write(text: string): [at: number, size: number] {
    const bytes = Buffer.from(text);
    const at = this.exports.alloc(bytes.length) >>> 0;
    Buffer.from(this.exports.memory.buffer, at, bytes.length).set(bytes);
    return [at, bytes.length];
  }

  /** Copies a reply out of the module's memory: address in the upper half, length in the lower. */
  protected take(packed: bigint): Uint8Array<ArrayBuffer> {
    const at = Number(BigInt.asUintN(64, packed) >> 32n);
    const size = Number(packed & 0xffff_ffffn);
    const reply = new Uint8Array(this.exports.memory.buffer, at, size).slice();
    this.exports.release(at);
    return reply;
  }
}

/** With kustomize ready. */
export class RenderModule extends WasmModule {
  /**
   * Takes about a second: the built-in schemas are parsed, and a sample is built.
   *
   * @param samples how often; 0 where the engine has compiled the code already
   */
  constructor(module: WebAssembly.Module, memoryLimitBytes: number, samples = 0) {
    super(module, memoryLimitBytes);
    this.exports.warm(samples);
  }

  private lay(packed: Uint8Array): void {
    const at = this.exports.alloc(packed.length) >>> 0;
    new Uint8Array(this.exports.memory.buffer, at, packed.length).set(packed);
    packed.fill(0);
    this.take(this.exports.lay(at, packed.length));
  }

  /** The reply as JSON text in UTF-8: `{objects, readSet}`, `{missing}` or `{failure}`. */
  build({ laid, ...call }: BuildCall): Uint8Array<ArrayBuffer> {
    if (laid) this.lay(laid);
    return this.call(this.exports.build, JSON.stringify(call));
  }

  /** The reply as JSON text in UTF-8: `{objects}` or `{failure}`. */
  substitute(request: string): Uint8Array<ArrayBuffer> {
    return this.call(this.exports.substitute, request);
  }
}

/**
 * Go collects garbage beside the program, which in a module that runs only while it is called means hardly ever: a
 * heap of 4 MB grew to 300 MB in 200 builds. So collecting stops the program.
 */
const runtimeSettings = { GODEBUG: "gcstoptheworld=1" };

type Exports = {
  memory: { buffer: ArrayBuffer };
  alloc(size: number): number;
  release(at: number): void;
  warm(samples: number): void;
  load(at: number, size: number): bigint;
  drop(at: number, size: number): void;
  lay(at: number, size: number): bigint;
  build(at: number, size: number): bigint;
  substitute(at: number, size: number): bigint;
  evaluate(at: number, size: number): bigint;
  set(at: number, size: number): bigint;
  message(at: number, size: number): bigint;
  /** Of the Helm engine only. */
  call(at: number, size: number): bigint;
};
