/** The thread of one call. */
import { parentPort, workerData } from "node:worker_threads";
import { WasmModule } from "./module.ts";
import { whyStopped } from "./why-stopped.ts";

/** `request` is JSON; `what` is the sentence's subject when the module does not survive it. */
export type OneCall = { run: "set" | "message"; request: string; what: string };
export type OneReply = { reply: Uint8Array<ArrayBuffer> } | { stopped: string };

const { module, memoryLimitBytes } = workerData as { module: WebAssembly.Module; memoryLimitBytes: number };
const instance = new WasmModule(module, memoryLimitBytes);

parentPort?.on("message", ({ run, request, what }: OneCall) => {
  try {
    const reply = instance[run](request);
    parentPort?.postMessage({ reply } satisfies OneReply, [reply.buffer]);
  } catch (thrown) {
    parentPort?.postMessage({ stopped: whyStopped(what, thrown, instance.lastWords()) } satisfies OneReply, []);
  }
});
parentPort?.postMessage("ready", []);
