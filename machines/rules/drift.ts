/**
 * Whether an applied object is still as applied, told from metadata alone. The API server keeps, per manager, the set
 * of fields it owns. Whoever changes or removes a field that we own takes it out of our set; a field somebody adds, or
 * writes with the same value, does not. So our set is the same exactly as long as what we applied stands: the very
 * differences for which Flux's dry-run would write again (flux.md 2.6.5).
 */
import { fieldManagers } from "#protocol/api/annotations.ts";
import type { InventoryEntry } from "#protocol/messages/kustomization.ts";
import { isLeftAlone } from "./apply-plan.ts";
import { kustomizationApplier, type Applier } from "./applier.ts";
import type { ManagedFields, ObjectMeta } from "./inventory.ts";
import { needsTakeOver } from "./takeover.ts";

/** What is known of a live object. */
export type Seen = { uid: string; owned: string };

/** In place of a hash: the live object says it is to be left alone, so that nobody's changes to it are drift. */
export const leftAlone = "-";

/** After the hash: somebody owns fields, or left marks, that an apply takes over. */
const foreign = "!";

/**
 * What an inventory entry keeps of an object, and a watch compares with.
 *
 * @param overridden managers whose fields are taken over beside those that always are (`--override-manager`)
 */
export const ownershipOf = (live: Pick<ObjectMeta, "labels" | "annotations" | "managedFields">, overridden: readonly string[] = [], applier: Applier = kustomizationApplier): string =>
  applier.heedsMarks && isLeftAlone(live) ? leftAlone : `${ownedHash(live.managedFields, applier.manager)}${needsTakeOver(live, overridden, applier) ? foreign : ""}`;

/** 16 hex digits over the fields that our applies own; empty when there are none. */
export function ownedHash(managed: ManagedFields[] | undefined, manager: string = fieldManagers.kustomization): string {
  const fields = ownEntry(managed, manager)?.fieldsV1;
  // The server writes the set in its own fixed order, so that equal sets are equal text.
  return fields ? hash64(JSON.stringify(fields)) : "";
}

/** When our last apply that changed a field was, in seconds since 1970; 0 when there was none. */
export function appliedAtS(managed: ManagedFields[] | undefined, manager: string = fieldManagers.kustomization): number {
  const ms = Date.parse(ownEntry(managed, manager)?.time ?? "");
  return Number.isNaN(ms) ? 0 : ms / 1000;
}

/** @param seen the live object; undefined when there is none */
export function isDrifted(entry: InventoryEntry, seen: Seen | undefined): boolean {
  if (entry.uid === "") return false; // adopted, or never applied: nothing is known to compare with
  if (seen === undefined) return true;
  if (entry.owned === "") return false; // created once and never changed after: only its absence counts
  return seen.uid !== entry.uid || seen.owned !== entry.owned;
}

export type Others = {
  /** The manager who wrote last, other than us; empty when nobody did. Where two wrote within one second, one of them. */
  last: string;
  /** Changes whenever a manager other than us comes to own other fields. */
  mark: string;
};

/** Who else owns fields of an object; writers of its status do not count, nor does our own fence. */
export function othersOf(managed: ManagedFields[] | undefined, manager: string = fieldManagers.kustomization): Others {
  const others = (managed ?? []).filter((entry) =>
    entry.subresource !== "status" && entry.manager !== fieldManagers.fence && !(entry.manager === manager && entry.operation === "Apply"));
  // RFC 3339 in UTC with whole seconds orders as text.
  const last = others.reduce<ManagedFields | undefined>((one, entry) => ((entry.time ?? "") >= (one?.time ?? "") ? entry : one), undefined);
  return { last: last?.manager ?? "", mark: hash64(JSON.stringify(others.map(({ manager: name, fieldsV1 }) => [name, fieldsV1]))) };
}

/**
 * Who took fields from us between two looks. Whoever changes a field comes to own it; who removes one leaves no trace,
 * and nobody is named then.
 */
export const takenBy = (before: Others, now: Others): string => (before.mark === now.mark ? "" : now.last);

const ownEntry = (managed: ManagedFields[] | undefined, manager: string) =>
  managed?.find((entry) => entry.manager === manager && entry.operation === "Apply" && !entry.subresource);

/** FNV-1a, 64 bits, over UTF-16 units. It tells change from no change; nothing secret or hostile rests on it. */
export function hash64(text: string): string {
  let high = 0xcbf29ce4;
  let low = 0x84222325;
  for (let i = 0; i < text.length; i++) {
    low = (low ^ text.charCodeAt(i)) >>> 0;
    // The prime is 2^40 + 0x1b3: a shift and a small product, both exact in a double.
    const product = low * 0x1b3;
    high = (high * 0x1b3 + Math.floor(product / 0x1_0000_0000) + low * 0x100) % 0x1_0000_0000;
    low = product % 0x1_0000_0000;
  }
  return high.toString(16).padStart(8, "0") + low.toString(16).padStart(8, "0");
}
