/** A worker thread that archives, so that many objects do not stall the worker. */
import { writeArchive } from "#services/sources/archive.ts";
import { answerJobs } from "#services/threads/answer.ts";
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

function archive({ directories, files, bytes }: ArchiveJob): Promise<Uint8Array<ArrayBuffer>> {
  const at = (start: number, end: number) => Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start);
  return writeArchive([
    ...directories.map((path) => ({ path, kind: "directory" as const })),
    ...files.map(({ path, start, end }) => ({ path, kind: "file" as const, read: () => at(start, end) })),
  ]);
}

answerJobs<Jobs>({ archive }, { subjectOf: ({ shown }) => shown, handOver: ({ buffer }) => [buffer] });

/** @param most at a time */
export const bucketThreads = (most = 2): Threads<Jobs> =>
  new Threads<Jobs>({ file: new URL(import.meta.url), name: "bucket archive", subjectOf: ({ shown }) => shown, most });
