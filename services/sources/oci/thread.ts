/** A worker thread that unpacks and archives, so that neither a large nor a hostile layer stalls the worker. */
import { answerJobs } from "#services/threads/answer.ts";
import { repack, type UnpackJob } from "./unpack.ts";

export type Jobs = { repack: { job: UnpackJob; made: Uint8Array<ArrayBuffer> } };

answerJobs<Jobs>({ repack }, { subjectOf: ({ shown }) => shown, handOver: ({ buffer }) => [buffer] });
