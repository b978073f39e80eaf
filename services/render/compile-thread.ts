/** Compiles the renderer and ends: its 40 MB are read, copied and translated in a heap that goes with the thread. */
import { readFile } from "node:fs/promises";
import { parentPort, workerData } from "node:worker_threads";
import { withMemoryLimit } from "./memory-limit.ts";

const { path, memoryLimitBytes } = workerData as { path: string; memoryLimitBytes: number };

parentPort?.postMessage(await WebAssembly.compile(withMemoryLimit(await readFile(path), memoryLimitBytes)));
