/** One running copy of the renderer, and the calling convention between it and us (wasm/main.go is the other side). */
import { Buffer } from "node:buffer";
import type { KustomizeSpec } from "./spec.ts";
import { Wasi } from "./wasi.ts";

export type BuildCall = { digest: string; path: string; spec: KustomizeSpec };

export class RenderModule {
  private readonly wasi: Wasi;
  private readonly exports: Exports;

  /**
   * Takes about a second: the built-in schemas are parsed, and a sample is built.
   *
   * @param samples how often; 0 where the engine has compiled the code already
   */
  constructor(module: WebAssembly.Module, memoryLimitBytes: number, samples = 0) {
    this.wasi = new Wasi({ ...runtimeSettings, GOMEMLIMIT: String(Math.floor(memoryLimitBytes / 2)) });
    const instance = new WebAssembly.Instance(module, { wasi_snapshot_preview1: this.wasi.imports });
    this.exports = instance.exports as Exports;
    this.wasi.start(instance);
    this.exports.warm(samples);
  }

  get memoryBytes(): number {
    return this.exports.memory.buffer.byteLength;
  }

  /** @param packed an artifact as Tree.pack writes it */
  load(packed: Uint8Array): void {
    const at = this.exports.alloc(packed.length) >>> 0;
    new Uint8Array(this.exports.memory.buffer, at, packed.length).set(packed);
    this.take(this.exports.load(at, packed.length)); // the buffer is the module's own from here on
  }

  drop(digest: string): void {
    const [at, size] = this.write(digest);
    this.exports.drop(at, size);
    this.exports.release(at);
  }

  /** The reply as JSON text in UTF-8: `{objects, readSet}` or `{failure}`. */
  build(call: BuildCall): Uint8Array<ArrayBuffer> {
    const [at, size] = this.write(JSON.stringify(call));
    const packed = this.exports.build(at, size);
    this.exports.release(at);
    this.wasi.takeOutput(); // kustomize prints its deprecation warnings
    return this.take(packed);
  }

  /** What the module printed before it came to an end. */
  lastWords(): string {
    return this.wasi.takeOutput();
  }

  private write(text: string): [at: number, size: number] {
    const bytes = Buffer.from(text);
    const at = this.exports.alloc(bytes.length) >>> 0;
    Buffer.from(this.exports.memory.buffer, at, bytes.length).set(bytes);
    return [at, bytes.length];
  }

  /** Copies a reply out of the module's memory: address in the upper half, length in the lower. */
  private take(packed: bigint): Uint8Array<ArrayBuffer> {
    const at = Number(BigInt.asUintN(64, packed) >> 32n);
    const size = Number(packed & 0xffff_ffffn);
    const reply = new Uint8Array(this.exports.memory.buffer, at, size).slice();
    this.exports.release(at);
    return reply;
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
  build(at: number, size: number): bigint;
};
