/** A thread that decrypts. What it held in memory goes with it when it ends, which no process can do for a string. */
import { parentPort } from "node:worker_threads";
import { Fault, type FaultData } from "#protocol/errors/fault.ts";
import type { Grant, Question } from "./keys/grants.ts";
import { openFiles, openObjects, type FilesJob, type FilesMade, type ObjectsJob, type ObjectsMade } from "./jobs.ts";

export type Job = FilesJob | ObjectsJob;
/** What a job needs to know meanwhile, and what it is told: the answer, or why there is none. */
export type Asked = { question: Question };
export type Told = { grant: Grant } | { refused: string };
export type Answer = { made: FilesMade | ObjectsMade } | { fault: FaultData };

async function answer(job: Job): Promise<Answer> {
  try {
    const { signal } = new AbortController(); // a job that is given up ends with its thread
    return { made: job.kind === "files" ? await openFiles(job, signal, ask) : await openObjects(job, signal, ask) };
  } catch (thrown) {
    if (thrown instanceof Fault) return { fault: thrown.toJSON() };
    // Its own words might quote what was being read.
    return { fault: { code: "DecryptionFailed", subject: "decryption", detail: `it ended unexpectedly (${thrown instanceof Error ? thrown.name : "no error"})` } };
  } finally {
    for (const bytes of Object.values(job.secret)) bytes.fill(0);
  }
}

/** One at a time, as jobs come and files are opened one after the other. */
let told: ((answer: Told) => void) | undefined;

function ask(question: Question): Promise<Grant> {
  const { promise, resolve, reject } = Promise.withResolvers<Grant>();
  told = (answer) => ("grant" in answer ? resolve(answer.grant) : reject(new Error(answer.refused)));
  parentPort?.postMessage({ question } satisfies Asked, []);
  return promise;
}

parentPort?.on("message", async (message: Job | Told) => {
  if (!("kind" in message)) return told?.(message);
  const job = message;
  const reply = await answer(job);
  parentPort?.postMessage(reply, []);
  if ("made" in reply && "files" in reply.made) for (const bytes of [...reply.made.files.map(({ content }) => content), ...reply.made.plain]) bytes.fill(0);
});
