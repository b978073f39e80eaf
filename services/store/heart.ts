/**
 * A worker's heartbeat: it keeps the member record fresh and says until when the worker may act. In production it beats
 * on a thread of its own; the rules are the same wherever it runs.
 */
import type { MemberRecord } from "#protocol/records/cell.ts";

/** What the worker says of itself with its next beat. */
export type About = Pick<MemberRecord, "capacity" | "actors" | "load" | "draining" | "refuses"> & Partial<Pick<MemberRecord, "shard">>;

export type HeartState = {
  /** Monotonic ms until which the worker may act; 0: it may not. */
  leaseUntilMs: number;
  /** Since when the lease has not run out, monotonic ms; 0: it has. */
  steadySinceMs: number;
};

export interface Heart {
  /** Resolves after the first beat that was stored. */
  start(): Promise<void>;
  say(about: About): void;
  state(): HeartState;
  /** Says goodbye: a successor need not wait for the lease to run out. */
  stop(): Promise<void>;
}
