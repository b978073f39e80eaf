/** The threads that both kinds of Helm sources share. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { Threads } from "#services/threads/threads.ts";
import type { Jobs } from "./thread.ts";

export const createHelmThreads = (most?: number): Threads<Jobs> =>
  new Threads<Jobs>({
    file: new URL("./thread.ts", import.meta.url),
    name: "helm chart",
    heapMegabytes: 1536, // an index of 50 MiB takes the most of it
    subjectOf: ({ shown }) => shown,
    ...(most !== undefined && { most }),
  });

const sliceBytes = 4 * 2 ** 20;

/** Bytes in memory that threads share: what is handed to one by copying holds the worker up for as long as that takes. */
export async function inSharedMemory(bytes: Uint8Array): Promise<Uint8Array> {
  if (bytes.byteLength <= sliceBytes) return bytes;
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.byteLength));
  for (let at = 0; at < bytes.byteLength; at += sliceBytes) {
    shared.set(bytes.subarray(at, at + sliceBytes), at);
    await nextTurn();
  }
  return shared;
}

export const helmThreads = createHelmThreads();
