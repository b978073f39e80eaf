/** A thread that judges signatures (wasm/main.go is the other side). */
import { WasmModule } from "../module.ts";
import { serve, type Loading } from "../pool-thread.ts";

/** `request`: JSON, as wasm/verify.go takes it. */
export type NotationCall = { request: string } & Loading;

class NotationModule extends WasmModule {
  /** @returns the reply as JSON text in UTF-8 */
  run(request: string): Uint8Array<ArrayBuffer> {
    return this.call(this.exports.call, request);
  }
}

serve<NotationCall, NotationModule>({
  what: "the signature",
  start: ({ module, memoryLimitBytes }) => new NotationModule(module, memoryLimitBytes, { chance: true }), // the time: what has expired?
  run: (module, { request }) => module.run(request),
});
