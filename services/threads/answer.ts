/** What runs in a thread of `Threads`: it answers the jobs that it is given. */
import { parentPort } from "node:worker_threads";
import { Fault, type FaultData } from "#protocol/errors/fault.ts";
import type { AnyJobs, JobOf } from "./threads.ts";

type Workers<Jobs extends AnyJobs> = { [Kind in keyof Jobs]: (job: Jobs[Kind]["job"]) => Jobs[Kind]["made"] | Promise<Jobs[Kind]["made"]> };

type Answering<Jobs extends AnyJobs> = {
  /** What a job is about, for messages. */
  subjectOf(job: JobOf<Jobs>): string;
  /** Of what was made, the bytes that are not needed in the thread any more. */
  handOver?(made: Jobs[keyof Jobs]["made"]): ArrayBuffer[];
};

export function answerJobs<Jobs extends AnyJobs>(workers: Workers<Jobs>, { subjectOf, handOver = () => [] }: Answering<Jobs>): void {
  const answer = (message: { made: Jobs[keyof Jobs]["made"] } | { fault: FaultData }, handedOver: ArrayBuffer[] = []) => parentPort?.postMessage(message, handedOver);
  parentPort?.on("message", async ({ kind, job }: { kind: keyof Jobs; job: JobOf<Jobs> }) => {
    try {
      const made = await workers[kind](job);
      answer({ made }, handOver(made));
    } catch (thrown) {
      answer({ fault: Fault.from(thrown, subjectOf(job)).toJSON() });
    }
  });
}
