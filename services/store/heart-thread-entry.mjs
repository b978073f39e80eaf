// The way into the heart's thread. Plain JavaScript: what was compiled once is kept for threads too, but only from here on, and
// a thread that has to read TypeScript anew holds 20 MB for it as long as it lives.
import { enableCompileCache } from "node:module";
import { parentPort, workerData } from "node:worker_threads";

if (workerData.compiled) enableCompileCache(workerData.compiled);
const { beat } = await import("./heart-thread-main.ts");
beat(parentPort, workerData);
