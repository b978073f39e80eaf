/** What is to be done about a release, one step at a time (helm-controller internal/reconcile/atomic_release.go). */
import type { ActInput, Inspected, ReleaseSnapshot } from "#protocol/messages/release.ts";
import type { OnFailure, ReleaseFacts } from "#protocol/messages/object.ts";
import { previousOf } from "./release-history.ts";
import type { Standing } from "./release-state.ts";

/** Of each kind one is done in a run. */
export type Step = "release" | "remediate" | "test" | "unlock";

export type Counts = { failures: number; installs: number; upgrades: number };

export type Situation = {
  facts: Pick<ReleaseFacts, "install" | "upgrade" | "test">;
  standing: Standing;
  inspected: Inspected;
  history: readonly ReleaseSnapshot[];
  counts: Counts;
  lastAction?: "install" | "upgrade" | undefined;
  /** Somebody asked for a release whatever the state. */
  forced: boolean;
  /** What this run has done already. */
  done: readonly Step[];
  /** What was decided last and has not answered. */
  pending?: ActInput | undefined;
};

export type Next =
  | { do: "act"; step: Step; action: ActInput["action"]; version: number; to?: number; /** The history can no longer be relied on. */ forgets?: boolean }
  /** The same again: it goes on where it was. */
  | { do: "resume" }
  | { do: "finish" }
  | { do: "stall"; reason: "RetriesExceeded" | "MissingRollbackTarget"; message: string }
  /** Only after this time. */
  | { do: "retry"; afterMs: number }
  /** Anew from the beginning, at a widening distance. */
  | { do: "again" }
  /** Nothing more can be done, and nothing is under way. */
  | { do: "rest" }
  | { do: "fail"; detail: string };

export type Policy = OnFailure & { strategy: "rollback" | "uninstall" };

/** What counts for failures now: it is that of the action tried last. */
export function policyOf({ facts, lastAction }: Pick<Situation, "facts" | "lastAction">): Policy | undefined {
  if (lastAction === "install") return { ...facts.install, strategy: "uninstall" };
  return lastAction === "upgrade" ? facts.upgrade : undefined;
}

export const countOf = ({ counts, lastAction }: Pick<Situation, "counts" | "lastAction">): number => (lastAction === "install" ? counts.installs : counts.upgrades);

const isExhausted = ({ retries }: { retries: number }, failures: number): boolean => retries >= 0 && failures > retries;

/** Whether failed tests fail the release. */
export const countsTests = (situation: Pick<Situation, "facts" | "lastAction">): boolean => policyOf(situation)?.ignoreTestFailures === false;

export function nextOf(s: Situation): Next {
  const next = wanted(s);
  if (next.do !== "act" || !s.done.includes(next.step)) return next;
  const policy = policyOf(s);
  if (policy?.retryMs !== undefined) return { do: "retry", afterMs: policy.retryMs };
  return !policy || !isExhausted(policy, countOf(s)) ? { do: "again" } : { do: "rest" };
}

function wanted(s: Situation): Next {
  const { standing: { state, reason }, facts, counts, inspected, forced } = s;
  const version = (inspected.last?.version ?? 0) + 1;
  const install = { do: "act", step: "release", action: "install", version } as const;
  const upgrade = { do: "act", step: "release", action: "upgrade", version } as const;
  switch (state) {
    case "Absent":
      return !forced && isExhausted(facts.install, counts.installs) ? exceeded(s) : install;
    case "Unmanaged":
      return { ...upgrade, forgets: true };
    case "OutOfSync":
      return !forced && isExhausted(facts.upgrade, counts.upgrades) ? exceeded(s) : upgrade;
    case "Locked":
      return { do: "act", step: "unlock", action: "unlock", version: inspected.last?.version ?? 0 };
    case "Unfinished":
      return { do: "resume" };
    case "Untested":
      return { do: "act", step: "test", action: "test", version: inspected.last?.version ?? 0 };
    case "Failed":
      return afterFailure(s, upgrade, version);
    case "InSync":
      return forced ? upgrade : { do: "finish" };
    case "Unknown":
      return { do: "fail", detail: reason };
  }
}

function afterFailure(s: Situation, upgrade: Next, version: number): Next {
  const policy = policyOf(s);
  if (!policy || policy.retryMs !== undefined || s.forced) return upgrade;
  // What it failed with has changed since, or nobody counted.
  if (countOf(s) <= 0) return upgrade;
  if (isExhausted(policy, countOf(s)) && !policy.remediateLast) return exceeded(s);
  if (policy.strategy === "uninstall") return { do: "act", step: "remediate", action: "uninstall", version: s.inspected.last?.version ?? 0 };
  const target = previousOf(s.history, policy.ignoreTestFailures);
  if (!target) return { do: "stall", reason: "MissingRollbackTarget", message: "Failed to perform remediation: missing target release for rollback: cannot remediate failed release" };
  const stored = s.inspected.known.find((each) => each.version === target.version);
  // Somebody took it away or changed it: what is left is to try the upgrade again.
  if (!stored || (target.apiVersion === "v2" && stored.digest !== target.digest)) return upgrade;
  return { do: "act", step: "remediate", action: "rollback", version, to: target.version };
}

export const exceeded = (s: Pick<Situation, "counts" | "lastAction">): Next & { do: "stall" } =>
  ({ do: "stall", reason: "RetriesExceeded", message: `Failed to ${s.lastAction ?? "install"} after ${countOf(s)} attempt(s)` });

/** What a remediation leads to: it is the end of a run. */
export function afterRemediation(s: Pick<Situation, "facts" | "counts" | "lastAction">): Next {
  const policy = policyOf(s);
  if (policy?.retryMs !== undefined) return { do: "retry", afterMs: policy.retryMs };
  const uninstalled = s.lastAction === "upgrade" && policy?.strategy === "uninstall";
  return !policy || !isExhausted(policy, countOf(s)) || uninstalled ? { do: "again" } : exceeded(s);
}

/** What failed without a trace in storage is tried again. */
export const afterNothing = (s: Pick<Situation, "facts" | "lastAction">): Next => {
  const retryMs = policyOf(s)?.retryMs;
  return retryMs === undefined ? { do: "again" } : { do: "retry", afterMs: retryMs };
};

/** Whether a revision that is in sync keeps what it could be rolled back to, with a failed test or not. */
export const keepsTested = (s: Pick<Situation, "facts" | "lastAction">): boolean => policyOf(s)?.ignoreTestFailures ?? s.facts.test.ignoreFailures;

