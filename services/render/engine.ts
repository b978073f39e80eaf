/** The renderer's WebAssembly, compiled once for all threads of the process that run it. */
import { Worker } from "node:worker_threads";
import { Fault } from "#protocol/errors/fault.ts";
import { findWasm, kustomizeProgram, type WasmFile, type WasmProgram } from "./wasm-file.ts";

export type EngineOptions = {
  /** Of one thread's module; what needs more fails. */
  memoryLimitBytes?: number;
  /** The compiled renderer; by default the one that is found. */
  wasm?: WasmFile;
  program?: WasmProgram;
};

export type Compiled = { module: WebAssembly.Module; memoryLimitBytes: number; wasmKey: string };

export class Engine {
  private readonly options: EngineOptions;
  private compiled: Promise<Compiled> | undefined;

  constructor(options: EngineOptions = {}) {
    this.options = options;
  }

  /** @throws Fault RendererMissing */
  get(): Promise<Compiled> {
    this.compiled ??= this.compile().catch((thrown: unknown) => {
      this.compiled = undefined; // the next caller looks for the file again
      throw thrown;
    });
    return this.compiled;
  }

  /** What runs already goes on; the next one who asks has it compiled anew. */
  forget(): void {
    this.compiled = undefined;
  }

  private async compile(): Promise<Compiled> {
    const { memoryLimitBytes = defaultLimitBytes, wasm, program = kustomizeProgram } = this.options;
    const { key: wasmKey, path } = wasm ?? (await findWasm(process.env, program));
    const module = await compile(path, memoryLimitBytes).catch((cause: unknown) => {
      throw new Fault("RendererMissing", path, { detail: "not a compiled renderer", cause });
    });
    return { module, memoryLimitBytes, wasmKey };
  }
}

const defaultLimitBytes = 768 * 1024 * 1024;

function compile(path: string, memoryLimitBytes: number): Promise<WebAssembly.Module> {
  const thread = new Worker(new URL("./compile-thread.ts", import.meta.url), { name: "renderer compile", workerData: { path, memoryLimitBytes } });
  return new Promise<WebAssembly.Module>((resolve, reject) => {
    thread.once("message", resolve).once("error", reject);
  }).finally(() => void thread.terminate());
}
