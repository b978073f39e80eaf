/** The threads that fetch and archive commits. */
import { Threads } from "#services/threads/threads.ts";
import { showUrl } from "./address.ts";
import type { Jobs } from "./thread.ts";

export type GitThreads = Threads<Jobs>;

/** @param most at a time */
export const gitThreads = (most?: number): GitThreads =>
  new Threads<Jobs>({
    file: new URL("./thread.ts", import.meta.url),
    name: "git archive",
    subjectOf: ({ access }) => showUrl(access.url),
    ...(most !== undefined && { most }),
  });
