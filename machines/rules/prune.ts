/** Whether an object that is no longer rendered may be deleted: decided on the live object, never on memory. */
import { annotations, labels } from "#protocol/api/annotations.ts";
import { marked, type ObjectMeta } from "./inventory.ts";

/** The Kustomization an object belongs to. */
export type Owner = { name: string; namespace: string };

/** `keep`: the object opted out, or belongs to somebody else by now; it leaves the inventory undeleted, as with Flux. */
export type PruneVerdict = "delete" | "keep";

export function pruneVerdict(live: Pick<ObjectMeta, "labels" | "annotations">, owner: Owner): PruneVerdict {
  if (!isOwnedBy(live, owner)) return "keep";
  const optedOut =
    marked(live, annotations.prune, "disabled") ||
    marked(live, annotations.reconcile, "disabled") ||
    marked(live, annotations.ssa, "Ignore");
  return optedOut ? "keep" : "delete";
}

export const isOwnedBy = ({ labels: set }: Pick<ObjectMeta, "labels">, { name, namespace }: Owner): boolean =>
  set?.[labels.ownerName] === name && set[labels.ownerNamespace] === namespace;

export const ownerLabels = ({ name, namespace }: Owner): Record<string, string> =>
  ({ [labels.ownerName]: name, [labels.ownerNamespace]: namespace });
