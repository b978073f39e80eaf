/** Between an ImageUpdateAutomation and its effects. */
import type { Traceparent } from "#protocol/trace/context.ts";
import type { ImageReference } from "./image.ts";

/** What each policy elects, by its name. */
export type Elected = Record<string, ImageReference>;

/** A commit that is to be pushed: whoever tries again pushes the very same. */
export type Departure = {
  commit: string;
  branch: string;
  refspec?: string | undefined;
  /** The head in whose place it comes; null: there is no such branch yet. */
  from: string | null;
};

/** Written down before it is pushed, so that whoever takes over neither forgets it nor makes another. */
export type Intent = Departure & {
  /** Address of the repository, without credentials. */
  url: string;
  /** The branch is another one than what is checked out. */
  isOther: boolean;
  /** It builds on what was there, and not on what is checked out. */
  isOnBranch: boolean;
  /** Made of the same, it is the same: as long as nobody has moved the branch. */
  madeOf: string;
  message: string;
  /** All that the server lacks of it: its place in the artifact store. */
  pack: { path: string; digest: string };
  /** Of the source that is checked out. */
  revision: string;
  elected: Elected;
  /** A pull request is asked for; `base`: into which branch, empty where there is none. */
  proposes?: { base: string };
  traceparent: Traceparent;
};

/** What an attempt to update the files came to. */
export type Edited = {
  revision: string;
  elected: Elected;
  /** Where the branch that is pushed to stands, when it is another. */
  head?: string;
  /** RFC 3339, whole seconds. */
  ranAt: string;
  /** The change that was on its way is there. */
  arrivedAt?: string;
  /** Something is to be pushed. */
  intent?: Intent;
  /** What of the files led to nothing, for people. */
  remarks: string[];
};

export type Pushed = { moved: true } | { moved: false; /** Why the refspec was not taken. */ refused?: string; /** RFC 3339, whole seconds. */ at: string };

/** The pull request. */
export type Proposed = { url: string; created: boolean };

/** What was pushed last. */
export type LastPush = Pick<Intent, "commit" | "branch" | "isOnBranch"> & { at: string };
