/** A worker thread that archives, so that many objects do not stall the worker. */
import { parentPort } from "node:worker_threads";
import { Fault, type FaultData } from "#protocol/errors/fault.ts";
import { writeArchive } from "#services/sources/archive.ts";
import { Threads } from "#services/threads/threads.ts";

export type ArchiveJob = {
  directories: string[];
  files: { path: string; start: number; end: number }[];
  /** Of all files, one after the other. */
  bytes: Uint8Array;
  /** What it is about, for messages. */
  shown: string;
};

export type Jobs = { archive: { job: ArchiveJob; made: Uint8Array<ArrayBuffer> } };

type Answer = { made: Uint8Array<ArrayBuffer> } | { fault: FaultData };

parentPort?.on("message", ({ job }: { job: ArchiveJob }) => {
  const { directories, files, bytes } = job;
  const at = (start: number, end: number) => Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start);
  writeArchive([
    ...directories.map((path) => ({ path, kind: "directory" as const })),
    ...files.map(({ path, start, end }) => ({ path, kind: "file" as const, read: () => at(start, end) })),
  ]).then(
    (made) => answer({ made }, [made.buffer]),
    (error: unknown) => answer({ fault: Fault.from(error, job.shown).toJSON() }, []),
  );
});

const answer = (message: Answer, handedOver: ArrayBuffer[]) => parentPort?.postMessage(message, handedOver);

/** @param most at a time */
export const bucketThreads = (most = 2): Threads<Jobs> =>
  new Threads<Jobs>({ file: new URL(import.meta.url), name: "bucket archive", subjectOf: ({ shown }) => shown, most });
