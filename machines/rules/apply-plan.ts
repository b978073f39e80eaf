/** Which objects an apply has to touch: those that differ from what was applied last, and no others. */
import { annotations } from "#protocol/api/annotations.ts";
import type { ApplyScope, InventoryEntry } from "#protocol/messages/kustomization.ts";
import { marked, type ObjectMeta } from "./inventory.ts";

/** A rendered object as the plan sees it. */
export type Wanted = {
  id: string;
  /** Version of its API, as in the inventory. */
  v: string;
  digest: string;
  metadata: Pick<ObjectMeta, "labels" | "annotations">;
};

export type ApplyPlan<T extends Wanted> = {
  /** Compared with the cluster and written where they differ. */
  touch: T[];
  /** As applied before: not one request. */
  keep: InventoryEntry[];
  /** Left alone because they say so; they stay in the inventory, as with Flux. */
  skip: T[];
  /** Applied before, no longer rendered. */
  stale: InventoryEntry[];
};

export function planApply<T extends Wanted>(
  wanted: T[], inventory: InventoryEntry[], scope: ApplyScope, drifted: ReadonlySet<string>,
): ApplyPlan<T> {
  const applied = new Map(inventory.map((entry) => [entry.id, entry]));
  const plan: ApplyPlan<T> = { touch: [], keep: [], skip: [], stale: [] };
  for (const object of wanted) {
    const entry = applied.get(object.id);
    applied.delete(object.id);
    if (isLeftAlone(object.metadata)) plan.skip.push(object);
    else if (scope === "changed" && entry && isAsApplied(object, entry) && !drifted.has(object.id)) plan.keep.push(entry);
    else plan.touch.push(object);
  }
  plan.stale.push(...applied.values());
  return plan;
}

/** `reconcile: disabled` or `ssa: Ignore`, on the rendered or on the live object. */
export const isLeftAlone = (metadata: Wanted["metadata"]): boolean =>
  marked(metadata, annotations.reconcile, "disabled") || marked(metadata, annotations.ssa, "Ignore");

/** `ssa: IfNotPresent`: created once, never changed after; only the rendered object can ask for it. */
export const isCreateOnly = (metadata: Wanted["metadata"]): boolean => marked(metadata, annotations.ssa, "IfNotPresent");

/** `force: enabled`: this object may be deleted and created anew when an immutable field changed. */
export const isForced = (metadata: Wanted["metadata"]): boolean => marked(metadata, annotations.force, "enabled");

// An adopted entry has no digest and none is ever rendered empty, so that it is compared once.
const isAsApplied = (object: Wanted, entry: InventoryEntry) =>
  entry.digest !== "" && entry.digest === object.digest && entry.v === object.v;
