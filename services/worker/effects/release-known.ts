/** What Flux's controller, or a former store of ours, has left in a HelmRelease's status. What cannot be read is left out. */
import { releaseSnapshot } from "#protocol/api/helm-release.ts";
import type { KnownRelease, ReleaseCondition, ReleaseSnapshot } from "#protocol/messages/release.ts";
import type { RawObject } from "../facts.ts";
import { listed } from "./unit-object.ts";

export function knownIn(live: RawObject): KnownRelease {
  const status = (live["status"] ?? {}) as Record<string, unknown>;
  const text = (field: string) => (typeof status[field] === "string" ? status[field] : "");
  const count = (field: string) => (Number.isInteger(status[field]) ? (status[field] as number) : 0);
  const generation = status["lastAttemptedGeneration"];
  const action = text("lastAttemptedReleaseAction");
  return {
    history: historyIn(status["history"]),
    storageNamespace: text("storageNamespace"), chart: text("helmChart"),
    failures: count("failures"), installFailures: count("installFailures"), upgradeFailures: count("upgradeFailures"),
    ...(Number.isInteger(generation) && {
      attempted: {
        generation: generation as number, revision: text("lastAttemptedRevision"), revisionDigest: text("lastAttemptedRevisionDigest"), configDigest: text("lastAttemptedConfigDigest"),
      },
    }),
    ...((action === "install" || action === "upgrade") && { lastAction: action }),
    postRenderersDigest: text("observedPostRenderersDigest"), commonMetadataDigest: text("observedCommonMetadataDigest"),
    inventory: listed(live).map(({ id, v }) => ({ id, v })),
    observedGeneration: Number.isInteger(status["observedGeneration"]) ? (status["observedGeneration"] as number) : -1,
    handledForceAt: text("lastHandledForceAt"), handledResetAt: text("lastHandledResetAt"),
    conditions: conditionsIn(status["conditions"]),
  };
}

function historyIn(history: unknown): ReleaseSnapshot[] {
  if (!Array.isArray(history)) return [];
  const read = history.flatMap((each: unknown) => releaseSnapshot.safeParse(each).data ?? []);
  return read.sort((a, b) => b.version - a.version).map((each) => JSON.parse(JSON.stringify(each)) as ReleaseSnapshot);
}

const remembered = new Set(["Released", "TestSuccess", "Remediated"]);

function conditionsIn(conditions: unknown): ReleaseCondition[] {
  if (!Array.isArray(conditions)) return [];
  return (conditions as Partial<ReleaseCondition>[]).flatMap(({ type, status, reason, message }) =>
    (type && remembered.has(type) && status && typeof reason === "string" && typeof message === "string" ? [{ type, status, reason, message }] : []));
}
