/** One running copy of the Helm engine (wasm/main.go is the other side of the calling convention). */
import { Buffer } from "node:buffer";
import { WasmModule } from "../module.ts";
import type { Asked, LookupAnswer } from "./host.ts";

/** Asks for an object of the cluster, and waits. */
export type AskHost = (asked: Asked) => LookupAnswer;

const nothing = -1;
const failed = -2; // less the length of what is said

export class HelmModule extends WasmModule {
  private ask: AskHost | undefined;
  private held = Buffer.alloc(0);

  constructor(module: WebAssembly.Module, memoryLimitBytes: number, samples: number) {
    super(module, memoryLimitBytes, {
      chance: true, // templates make passwords and certificates
      imports: { flotilla: { lookup: (at: number, size: number) => this.lookup(at, size), taken: (at: number) => this.memory().set(this.held, at) } },
    });
    this.exports.warm(samples);
  }

  /** @param request JSON @returns the reply as JSON text in UTF-8: what was asked for, or `{failure}` */
  run(request: string, ask?: AskHost): Uint8Array<ArrayBuffer> {
    this.ask = ask;
    try {
      return this.call(this.exports.call, request);
    } finally {
      this.ask = undefined;
      this.held = Buffer.alloc(0);
    }
  }

  private lookup(at: number, size: number): number {
    const asked = JSON.parse(Buffer.from(this.memory().slice(at, at + size)).toString()) as Asked;
    const { object, refused } = this.ask?.(asked) ?? {};
    this.held = Buffer.from(refused ?? object ?? "");
    if (refused !== undefined) return failed - this.held.length;
    return object === undefined ? nothing : this.held.length;
  }

  private memory(): Uint8Array {
    return new Uint8Array(this.exports.memory.buffer);
  }
}
