/** A worker thread that makes artifacts out of others. */
import { parentPort } from "node:worker_threads";
import { Fault, type FaultData } from "#protocol/errors/fault.ts";
import { Threads } from "#services/threads/threads.ts";
import { generate, type Generated, type GenerateJob } from "./generate.ts";

export type Jobs = { generate: { job: GenerateJob; made: Generated[] } };

type Answer = { made: Generated[] } | { fault: FaultData };

parentPort?.on("message", ({ job }: { job: GenerateJob }) => {
  generate(job).then(
    (made) => answer({ made }, made.map(({ archive }) => archive.buffer)),
    (error: unknown) => answer({ fault: Fault.from(error, job.shown).toJSON() }, []),
  );
});

const answer = (message: Answer, handedOver: ArrayBuffer[]) => parentPort?.postMessage(message, handedOver);

/** @param most at a time */
export const generateThreads = (most = 2): Threads<Jobs> =>
  new Threads<Jobs>({ file: new URL(import.meta.url), name: "artifact generator", subjectOf: ({ shown }) => shown, most });
