/** A worker thread that fetches and archives, so that neither a large nor a hostile repository stalls the worker. */
import { parentPort } from "node:worker_threads";
import { Fault, type FaultData } from "#protocol/errors/fault.ts";
import { showUrl } from "./address.ts";
import type { Identity } from "./ssh/identity.ts";
import type { Access } from "./transport.ts";
import { candidates, isThere, type CandidatesJob, type IsThereJob, type Read } from "./write/candidates.ts";
import { makeCommit, type CommitJob, type MadeCommit } from "./write/commit.ts";
import { commitTimes, snapshot, type Snapshot, type SnapshotJob, type TimesJob } from "./snapshot.ts";

type UnlockJob = { access: Pick<Access, "url">; identity: Identity };

const unlocked = async ({ access: { url }, identity }: UnlockJob): Promise<string> =>
  (await import("./ssh/client.ts")).readIdentity(identity, showUrl(url));

/** What a thread can be asked to do, and what it answers. */
export type Jobs = {
  snapshot: { job: SnapshotJob; made: Snapshot };
  times: { job: TimesJob; made: Record<string, number> };
  candidates: { job: CandidatesJob; made: Read };
  commit: { job: CommitJob; made: MadeCommit };
  isThere: { job: IsThereJob; made: boolean };
  unlock: { job: UnlockJob; made: string };
};

export type ThreadQuestion = { [Kind in keyof Jobs]: { kind: Kind; job: Jobs[Kind]["job"] } }[keyof Jobs];
export type ThreadAnswer = { made: Jobs[keyof Jobs]["made"] } | { fault: FaultData };

parentPort?.on("message", (question: ThreadQuestion) => {
  work(question).catch((error: unknown) => answer({ fault: Fault.from(error, showUrl(question.job.access.url)).toJSON() }, []));
});

async function work(question: ThreadQuestion): Promise<void> {
  if (question.kind === "times") return answer({ made: await commitTimes(question.job) }, []);
  if (question.kind === "candidates") return answer({ made: await candidates(question.job) }, []);
  if (question.kind === "commit") return answer({ made: await makeCommit(question.job) }, []);
  if (question.kind === "isThere") return answer({ made: await isThere(question.job) }, []);
  if (question.kind === "unlock") return answer({ made: await unlocked(question.job) }, []);
  const made = await snapshot(question.job);
  answer({ made }, [made.archive.buffer]);
}

const answer = (message: ThreadAnswer, handedOver: ArrayBuffer[]) => parentPort?.postMessage(message, handedOver);
