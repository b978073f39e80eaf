/** What a Kustomization's object says of it (flux.md 2.6): derived from the record, so it can be written again at any time. */
import { progressing, retrying, stalledBy, type WantedStatus } from "#machines/rules/status.ts";
import { formatDuration } from "#protocol/api/duration.ts";
import { faults, sentence } from "#protocol/errors/fault.ts";
import type { KustomizationContext } from "./machine.ts";

const doing: Record<string, string> = {
  adopting: "Fetching manifests", finding: "Fetching manifests", building: "Building manifests",
  applying: "Detecting drift", pruning: "Pruning", checking: "Running health checks",
};

/** Undefined: leave the object's status as it is. */
export function kustomizationStatus(state: string, c: KustomizationContext): WantedStatus | undefined {
  if (state === "waiting" || state === "adopting" || state === "removing" || state === "lingering" || state === "releasing" || state === "gone") return undefined;
  const handled = { handledAt: c.handledAt };
  if (state === "suspended" || state === "yielding") return handled;
  // Nothing is said of a new run before all that it depends on is ready (flux.md 2.6, step 3).
  if ((state === "finding" || state === "awaiting") && c.facts?.dependsOn?.length) return handled;

  const kept: WantedStatus = {
    ...handled,
    ...(c.observedGeneration >= 0 && { observedGeneration: c.observedGeneration }),
    ...(c.attempted && { lastAttemptedRevision: c.attempted }),
    ...(c.applied && { lastAppliedRevision: c.applied }),
    ...(c.appliedOrigin !== undefined && { lastAppliedOriginRevision: c.appliedOrigin }),
    ...(c.history && c.history.length > 0 && { history: c.history }),
    // What an unfinished prune left stays listed: whoever takes over must find it.
    ...((c.applied || c.inventory.length > 0) && { inventory: [...c.inventory, ...c.leftovers].map(({ id, v }) => ({ id, v })) }),
  };
  if (state === "blocked")
    return { ...kept, conditions: [{ type: "Ready", status: "False", reason: "DependencyNotReady", message: c.fault?.detail ?? "a dependency is not ready" }] };
  const follows = c.facts?.health === true;
  if (state === "settled" || ((state === "contested" || state === "comparing") && !c.fault))
    return {
      ...kept,
      ...(!c.worked && { background: true }),
      conditions: [
        { type: "Ready", status: "True", reason: "ReconciliationSucceeded", message: `Applied revision: ${c.applied}` },
        ...(follows ? [{ type: "Healthy", status: "True", reason: "Succeeded", message: c.healthSaid ?? "Health check passed" } as const] : []),
      ],
    };
  if (c.fault && (state === "failing" || state === "stalled" || state === "contested" || state === "comparing" || state === "remaining")) {
    const failure = { status: "False", reason: faults[c.fault.code].reason, message: sentence(c.fault) } as const;
    return {
      ...kept,
      conditions: [
        { ...failure, type: "Ready" },
        state === "stalled" ? stalledBy(c.fault) : retrying(c.fault),
        ...(c.fault.code === "HealthCheckFailed" ? [{ ...failure, type: "Healthy" }] : []),
      ],
    };
  }
  const revision = c.source?.revision ?? c.attempted;
  const message = `${doing[state] ?? "Reconciling"}${revision ? ` for revision ${revision}` : ""} with a timeout of ${formatDuration(c.facts?.timeoutMs ?? 0)}`;
  return {
    ...kept,
    conditions: [
      { type: "Ready", status: "Unknown", reason: "Progressing", message: "Reconciliation in progress" },
      progressing(message),
      ...(follows && state === "checking" ? [{ type: "Healthy", status: "Unknown", reason: "Progressing", message } as const] : []),
    ],
  };
}
