/** Lists that a unit keeps of its objects: what stands, what may stand, what is to go, and what was done. */
import { displayName, parseInventoryId } from "#machines/rules/inventory.ts";
import type { Change, InventoryEntry, PruneOutcome } from "#protocol/messages/kustomization.ts";
import type { KustomizationContext } from "./context.ts";

/** By id; the earlier list wins. */
export function union(...lists: InventoryEntry[][]): InventoryEntry[] {
  const byId = new Map<string, InventoryEntry>();
  for (const entry of lists.flat()) if (!byId.has(entry.id)) byId.set(entry.id, entry);
  return [...byId.values()];
}

/** An object noted with a namespace may turn out to be cluster-scoped once its kind is known: it is the same object. */
export function without(entries: InventoryEntry[], known: InventoryEntry[]): InventoryEntry[] {
  const ids = new Set(known.map(({ id }) => id));
  return entries.filter(({ id }) => !ids.has(id) && !ids.has(id.slice(id.indexOf("_"))));
}

/** What an apply will create as far as anybody can tell: nothing is known of these objects yet but that they are ours. */
export function intentions(intended: InventoryEntry[], objects: { id: string; v: string }[], inventory: InventoryEntry[]): InventoryEntry[] {
  return without(union(intended, objects.map(unseen)), inventory);
}

/** Nobody knows what was applied to these last: the next apply looks. Without ids: to any of them. */
export const undigested = (entries: InventoryEntry[], ids?: string[]): InventoryEntry[] =>
  entries.map((entry) => (ids === undefined || ids.includes(entry.id) ? { ...entry, digest: "" } : entry));

/** Bounds the record: what is beyond is pruned once, as ever, and not looked for again. */
const mostSuspects = 1_000;

/** With what a late request may bring back after it was pruned. */
export const suspected = (suspects: InventoryEntry[], pruned: InventoryEntry[]): InventoryEntry[] =>
  union(suspects, pruned.map(unseen)).slice(0, mostSuspects);

const unseen = ({ id, v }: { id: string; v: string }): InventoryEntry => ({ id, v, uid: "", digest: "", owned: "" });

/** What a prune did to what it was given. Of an object that perhaps never was, its absence is no news. */
export function deletions({ deleted, missing = [] }: PruneOutcome, pruned: InventoryEntry[]): Change[] {
  const absent = new Set(missing);
  const neverSeen = new Set(pruned.filter(({ uid, id }) => uid === "" && absent.has(id)).map(({ id }) => id));
  return deleted.filter((id) => !neverSeen.has(id)).map((id) => ({ id, action: "deleted" }));
}

const mostTold = 100; // an event stays small however large the change

/** What is worth telling: what was created, changed or deleted. */
export const newsIn = (changes: Change[]): Change[] => changes.filter(({ action }) => action !== "unchanged" && action !== "skipped");

/** One line per change, as Flux words them; who had changed an object is ours. */
export function story(news: Change[]): string {
  const lines = news.map(({ id, action, by }) => `${displayName(parseInventoryId(id))} ${action}${by ? ` (was changed by ${by})` : ""}`);
  return [...lines.slice(0, mostTold), ...(lines.length > mostTold ? [`and ${lines.length - mostTold} more`] : [])].join("\n");
}

/** What a unit knows after a prune. */
export function pruned(c: KustomizationContext, output: PruneOutcome) {
  return {
    leftovers: output.left,
    ...((c.wary !== undefined || output.recovered === true) && { suspects: suspected(c.suspects ?? [], c.leftovers) }),
  };
}
