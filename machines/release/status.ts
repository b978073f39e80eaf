/** What a HelmRelease's object says of its release (flux.md 2.7): derived from the record, so it can be written again at any time. */
import { policyOf } from "#machines/rules/release-next.ts";
import { progressing, stalledBy, type WantedCondition, type WantedStatus } from "#machines/rules/status.ts";
import { formatDuration } from "#protocol/api/duration.ts";
import { reasonOf } from "#protocol/api/kind.ts";
import { sentence } from "#protocol/errors/fault.ts";
import type { ActInput } from "#protocol/messages/release.ts";
import type { ReleaseContext } from "./context.ts";
import { stepOf } from "./record.ts";
import { releaseWords } from "./words.ts";

const silent = new Set(["waiting", "adopting", "pairing", "sweeping", "removing", "lingering", "releasing", "gone"]);
const preparing = new Set(["charting", "finding", "composing"]);

/** Undefined: leave the object's status as it is. */
export function releaseStatus(state: string, c: ReleaseContext): WantedStatus | undefined {
  if (silent.has(state)) return undefined;
  const handled = { handledAt: c.handledAt };
  if (state === "suspended" || state === "yielding") return handled;
  if (state === "awaiting" && c.facts?.dependsOn?.length) return { ...handled, observed: fieldsOf(c) };
  return {
    ...handled,
    ...(c.observedGeneration >= 0 && { observedGeneration: c.observedGeneration }),
    ...(c.inventory.length > 0 && { inventory: c.inventory.map(({ id, v }) => ({ id, v })) }),
    observed: fieldsOf(c),
    conditions: conditionsOf(state, c),
  };
}

/** Null: the object must not say it. */
function fieldsOf(c: ReleaseContext): Record<string, unknown> {
  const count = (failures: number) => (failures > 0 ? failures : null);
  const orNone = (text: string | undefined) => text || null;
  return {
    helmChart: orNone(c.chart),
    ...(c.takenOver && {
      storageNamespace: orNone(c.storageNamespace),
      history: c.history.length > 0 ? c.history : null,
      failures: count(c.counts.failures), installFailures: count(c.counts.installs), upgradeFailures: count(c.counts.upgrades),
      lastAttemptedGeneration: c.attempt?.generation ?? null,
      lastAttemptedRevision: orNone(c.attempt?.revision),
      lastAttemptedRevisionDigest: orNone(c.attempt?.revisionDigest),
      lastAttemptedConfigDigest: orNone(c.attempt?.configDigest),
      lastAttemptedValuesChecksum: null, lastReleaseRevision: null,
      lastAttemptedReleaseAction: orNone(c.lastAction),
      lastAttemptedReleaseActionDuration: c.lastTookMs === undefined ? undefined : formatDuration(c.lastTookMs),
      observedPostRenderersDigest: orNone(c.postRenderersDigest), observedCommonMetadataDigest: orNone(c.commonMetadataDigest),
      ...(c.inventory.length === 0 && { inventory: null }),
    }),
    lastHandledForceAt: orNone(c.handledForceAt), lastHandledResetAt: orNone(c.handledResetAt),
  };
}

function conditionsOf(state: string, c: ReleaseContext): WantedCondition[] {
  const kept: WantedCondition[] = c.conditions.filter(({ type }) => type !== "TestSuccess" || c.facts?.test.enabled === true);
  const list = [...kept, ...driftOf(c)];
  const summary = summaryOf(c);
  const ready = summary ? [summary] : [];
  if (state === "blocked") return [...list, progressing("Fulfilling prerequisites"), { type: "Ready", status: "False", reason: "DependencyNotReady", message: c.fault?.detail ?? "a dependency is not ready" }];
  if (c.fault && (state === "failing" || state === "stalled" || state === "remaining")) {
    const failure: WantedCondition = { type: "Ready", status: "False", reason: reasonOf(c.fault.code, releaseWords), message: sentence(c.fault) };
    return [...list, failure, state === "stalled" ? stalledBy(c.fault, releaseWords) : { type: "Reconciling", status: "True", reason: "ProgressingWithRetry", message: sentence(c.fault) }];
  }
  if (state === "stalled" && c.stalledBy) return [...list, ...ready, { type: "Stalled", status: "True", ...c.stalledBy }];
  if (state === "retrying") return [...list, ...ready, { type: "Reconciling", status: "True", reason: "ProgressingWithRetry", message: retryMessage(c, summary) }];
  if (state === "settled" || state === "contested" || state === "comparing") return [...list, ...ready];
  const message = doing(state, c);
  // Only what makes another release says so in Ready: it would hide more important failures of before.
  const isRelease = state === "acting" && c.act !== undefined && stepOf(c.act) === "release";
  const began = ready.length === 0 || isRelease || state === "correcting";
  return [
    ...list, progressing(message),
    ...(began ? [{ type: "Ready", status: "Unknown", reason: "Progressing", message: isRelease ? message : state === "correcting" ? "correcting cluster drift" : "reconciliation in progress" } as const] : ready),
  ];
}

/** The first that holds of what was remediated, tested and released (helm-controller internal/reconcile/release.go, `summarize`). */
export function summaryOf({ conditions, facts }: Pick<ReleaseContext, "conditions" | "facts">): WantedCondition | undefined {
  const order = facts?.test.enabled && !facts.test.ignoreFailures ? ["Remediated", "TestSuccess", "Released"] : ["Remediated", "Released"];
  const first = order.map((type) => conditions.find((each) => each.type === type)).find((each) => each !== undefined);
  if (!first) return undefined;
  // Whatever was remediated is not what was asked for.
  return { ...first, type: "Ready", status: first.type === "Remediated" ? "False" : first.status };
}

function driftOf({ driftSaid, facts, history }: ReleaseContext): WantedCondition[] {
  if (!facts || facts.drift === "disabled" || history.length === 0) return [];
  if (driftSaid !== undefined) return [{ type: "Drifted", status: "True", reason: "DriftDetected", message: driftSaid }];
  return [{ type: "Drifted", status: "False", reason: "NoDriftDetected", message: "No drift detected against the cluster state" }];
}

function retryMessage(c: ReleaseContext, summary: WantedCondition | undefined): string {
  const retryMs = c.facts ? policyOf({ facts: c.facts, lastAction: c.lastAction })?.retryMs : undefined;
  return retryMs === undefined ? (summary?.message ?? "it is tried again") : `retrying after ${formatDuration(retryMs)}`;
}

const named: Record<ActInput["action"], string> = {
  install: "install", upgrade: "upgrade", rollback: "rollback", uninstall: "uninstall", test: "test", unlock: "unlock",
};

function doing(state: string, { act, facts }: ReleaseContext): string {
  if (preparing.has(state) || !act || !facts || (state !== "acting" && state !== "moving")) return "Fulfilling prerequisites";
  const timeoutMs = act.action === "unlock" ? facts.timeoutMs : facts.timeouts[act.action];
  return `Running '${named[act.action]}' action with timeout of ${formatDuration(timeoutMs)}`;
}
