/** From what a status should say and what the object says now to the smallest merge patch between them. */
import type { WantedStatus } from "#machines/rules/status.ts";
import type { Artifact } from "#protocol/messages/source.ts";
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
  for (const field of ["observedGeneration", "lastAttemptedRevision", "lastAppliedRevision", "lastAppliedOriginRevision", "history"] as const)
    if (wanted[field] !== undefined) next[field] = wanted[field];
  if (wanted.inventory) next["inventory"] = { entries: wanted.inventory };
  const told = ({ path, storedAt, sizeBytes, ...rest }: Artifact) => ({ ...rest, path, size: sizeBytes, lastUpdateTime: storedAt, url: artifactUrl(path) });
  if (wanted.artifact) next["artifact"] = told(wanted.artifact);
  if (wanted.included?.length) next["includedArtifacts"] = wanted.included.map(told);
  else if (wanted.included && live["includedArtifacts"] !== undefined) next["includedArtifacts"] = null;
  if (wanted.latest) next["url"] = artifactUrl(wanted.latest);
  for (const [field, value] of Object.entries(wanted.observed ?? {})) if (value !== null || live[field] !== undefined) next[field] = value;
  if (wanted.conditions) next["conditions"] = conditions(wanted.conditions, readable(live.conditions), generation, nowIso);

  const changed = Object.entries(next).filter(([field, value]) => canonical(value) !== canonical(live[field]));
  return changed.length > 0 ? Object.fromEntries(changed.map(([field, value]) => [field, replacing(value, live[field])])) : undefined;
}

/** As a merge patch that leaves nothing of what was there: it would merge objects, key by key. */
function replacing(value: unknown, before: unknown): unknown {
  if (!isPlain(value) || !isPlain(before)) return value;
  const gone = Object.keys(before).filter((key) => !Object.hasOwn(value, key));
  const kept = Object.entries(value).map(([key, inner]) => [key, replacing(inner, before[key])] as const);
  return Object.fromEntries([...kept, ...gone.map((key) => [key, null] as const)]);
}

const isPlain = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

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
