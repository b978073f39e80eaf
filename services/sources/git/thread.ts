/** A worker thread that fetches and archives, so that neither a large nor a hostile repository stalls the worker. */
import { answerJobs } from "#services/threads/answer.ts";
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

answerJobs<Jobs>(
  { snapshot, times: commitTimes, candidates, commit: makeCommit, isThere, unlock: unlocked },
  { subjectOf: ({ access: { url } }) => showUrl(url), handOver: (made) => (typeof made === "object" && "archive" in made && made.archive instanceof Uint8Array ? [made.archive.buffer] : []) },
);
