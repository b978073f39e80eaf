/** A worker thread that makes artifacts out of others. */
import { answerJobs } from "#services/threads/answer.ts";
import { Threads } from "#services/threads/threads.ts";
import { generate, type Generated, type GenerateJob } from "./generate.ts";

export type Jobs = { generate: { job: GenerateJob; made: Generated[] } };

answerJobs<Jobs>({ generate }, { subjectOf: ({ shown }) => shown, handOver: (made) => made.map(({ archive }) => archive.buffer) });

/** @param most at a time */
export const generateThreads = (most = 2): Threads<Jobs> =>
  new Threads<Jobs>({ file: new URL(import.meta.url), name: "artifact generator", subjectOf: ({ shown }) => shown, most });
