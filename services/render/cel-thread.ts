/** The thread that evaluates CEL: one module without kustomize's schemas, so it is small and starts fast. */
import { parentPort, workerData } from "node:worker_threads";
import type { CelRequest } from "./cel.ts";
import { WasmModule } from "./module.ts";
import { whyStopped } from "./why-stopped.ts";

/** `stopped`: the module came to an end over these expressions. */
export type CelReply = { reply: Uint8Array<ArrayBuffer> } | { stopped: string };

const { module, memoryLimitBytes } = workerData as { module: WebAssembly.Module; memoryLimitBytes: number };
const recycleAboveBytes = 96 * 1024 * 1024; // WebAssembly memory never shrinks
let instance = new WasmModule(module, memoryLimitBytes);

parentPort?.on("message", (request: CelRequest) => {
  try {
    const reply = instance.evaluate(request);
    parentPort?.postMessage({ reply } satisfies CelReply, [reply.buffer]);
    if (instance.memoryBytes < recycleAboveBytes) return;
  } catch (thrown) {
    parentPort?.postMessage({ stopped: whyStopped("the expression", thrown, instance.lastWords()) } satisfies CelReply, []);
  }
  instance = new WasmModule(module, memoryLimitBytes);
});
parentPort?.postMessage("ready", []);
