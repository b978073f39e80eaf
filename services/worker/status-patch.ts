/** From what a status should say and what the object says now to the smallest merge patch between them. */
import type { WantedStatus } from "#machines/rules/status.ts";
import { conditionMeanings, setCondition, type Condition, type ConditionType } from "#protocol/api/conditions.ts";

type LiveStatus = { conditions?: Condition[]; [field: string]: unknown };

/**
 * Undefined when the object says it all already: then nothing is sent.
 *
 * @param generation of the object the status is about
 * @param nowIso for conditions that change
 * @param artifactUrl address of an artifact by its storage path
 */
export function statusPatch(
  wanted: WantedStatus,
  live: LiveStatus,
  generation: number,
  nowIso: string,
  artifactUrl: (path: string) => string,
): Record<string, unknown> | undefined {
  const next: Record<string, unknown> = {};
  if (wanted.handledAt) next["lastHandledReconcileAt"] = wanted.handledAt;
  for (const field of ["observedGeneration", "lastAttemptedRevision", "lastAppliedRevision"] as const)
    if (wanted[field] !== undefined) next[field] = wanted[field];
  if (wanted.inventory) next["inventory"] = { entries: wanted.inventory };
  if (wanted.artifact) {
    const { path, storedAt, sizeBytes, ...rest } = wanted.artifact;
    next["artifact"] = { ...rest, path, size: sizeBytes, lastUpdateTime: storedAt, url: artifactUrl(path) };
  }
  if (wanted.conditions) next["conditions"] = conditions(wanted.conditions, readable(live.conditions), generation, nowIso);

  const changed = Object.entries(next).filter(([field, value]) => canonical(value) !== canonical(live[field]));
  return changed.length > 0 ? Object.fromEntries(changed) : undefined;
}

// Conditions of types that are not ours belong to somebody else and stay.
function conditions(wanted: NonNullable<WantedStatus["conditions"]>, live: Condition[], generation: number, nowIso: string): Condition[] {
  const types = new Set(wanted.map(({ type }) => type));
  const kept = live.filter(({ type }) => types.has(type) || !Object.hasOwn(conditionMeanings, type));
  return wanted.reduce(
    (list, { type, ...said }) => setCondition(list, { ...said, type: type as ConditionType, observedGeneration: generation }, nowIso),
    kept,
  );
}

// A status can be garbled where its definition does not validate: what cannot be read is written anew.
const readable = (conditions: unknown): Condition[] =>
  Array.isArray(conditions) ? conditions.filter((each: unknown): each is Condition => typeof each === "object" && each !== null) : [];

const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner) ?? "";
