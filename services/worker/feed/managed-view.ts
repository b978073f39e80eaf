/**
 * What stands in the cluster of all that the units of this worker applied, as the feed tells of it. Drift and health are
 * read from here, so that an idle object costs no request.
 *
 * Our own writes are no drift: an apply says when it begins to write an object and what it left behind, and what is told
 * in between is judged by that. But the caller records the outcome later still, so whoever is told of a possible drift
 * compares with the record (`drifted`), and an apply in progress compares once more after its outcome is recorded.
 */
import { isDrifted } from "#machines/rules/drift.ts";
import type { Standing } from "#machines/rules/health-reading.ts";
import { parseInventoryId, versionOf } from "#machines/rules/inventory.ts";
import type { Owner } from "#machines/rules/prune.ts";
import type { InventoryEntry } from "#protocol/messages/kustomization.ts";
import { partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import type { Known } from "#services/cluster/apply-object.ts";
import type { AppliedTable } from "#services/cluster/apply.ts";
import type { HealthListener } from "#services/cluster/health-wait.ts";
import { interned, isAtLeast, ownerOf, type Managed } from "#services/cluster/managed-record.ts";
import type { Clock } from "#services/store/clock.ts";
import { partitionsOfManaged } from "./contents.ts";
import { PartitionIndex } from "./partition-index.ts";
import { kindKey, type KindRef, type KindState } from "./ports.ts";

/** `drift` says that it is worth comparing, not that it differs. */
export type ManagedChange = { id: string; owner: Owner; now: Managed | undefined; drift: boolean };

export type ManagedListener = HealthListener<ManagedChange>;

export type ManagedViewOptions = {
  clock: Clock;
  /** Everything this worker is to know of the partition is known. */
  isShown(partition: number): boolean;
  isAllShown(): boolean;
  /** A kind is needed that was not, or one that was absent may be there now. */
  onNeed(kind: KindRef, again: boolean): void;
};

type Kind = { ref: KindRef; state: KindState | undefined; /** At any time. */ isTold: boolean; /** It could not be watched when that was last tried. */ isBlind: boolean; ready: PromiseWithResolvers<void> };
type Noted = Known & { owner: Owner };

/** How long an object we have just written may be missing before it counts as gone: its event may be on its way. */
const doubtMs = 2_000;

export class ManagedView {
  private readonly options: ManagedViewOptions;
  private readonly objects = new Map<string, Managed>();
  private readonly index = new PartitionIndex();
  private readonly kinds = new Map<string, Kind>();
  private readonly listeners = new Set<ManagedListener>();
  /** Objects that an apply of ours is writing now. */
  private readonly writing = new Set<string>();
  /** Writes of ours that nothing told has confirmed yet. */
  private readonly noted = new Map<string, Noted>();
  private readonly doubted = new Set<string>();
  /** What was told by a former session and not named by this one so far. */
  private readonly stale = new Set<string>();

  constructor(options: ManagedViewOptions) {
    this.options = options;
  }

  get(id: string): Managed | undefined {
    return this.objects.get(id);
  }

  counts(): { objects: number; kinds: number } {
    return { objects: this.objects.size, kinds: this.kinds.size };
  }

  /** For the applies of one unit. */
  tableOf(owner: Owner): AppliedTable {
    return {
      known: (id) => this.objects.get(id),
      begin: (id) => void this.writing.add(id),
      end: (id, written) => this.end(id, written, owner),
      follow: ({ group, kind, apiVersion }) => this.need({ group, kind, v: versionOf(apiVersion) }),
    };
  }

  put(id: string, told: Managed): void {
    const next = interned(told);
    const before = this.objects.get(id);
    if (before) this.unindex(id, before);
    for (const partition of partitionsOfManaged(next)) this.index.add(partition, id);
    this.objects.set(id, next);
    this.stale.delete(id);
    const written = this.noted.get(id);
    const late = written !== undefined && !isAtLeast(next.resourceVersion, written.resourceVersion); // from before our write
    if (!late) this.noted.delete(id);
    const drift = !late && !this.writing.has(id) && differs(next, written ?? before);
    this.tell(id, next, next, drift);
  }

  drop(id: string): void {
    const before = this.objects.get(id);
    this.stale.delete(id);
    const written = this.noted.has(id) || this.writing.has(id);
    if (this.noted.has(id)) this.doubt(id); // the one that went may be the one before ours
    if (!before) return;
    this.objects.delete(id);
    this.unindex(id, before);
    this.tell(id, before, undefined, !written);
  }

  /** The partition is followed no longer: nobody here asks for its objects. */
  forget(partition: number, followed: ReadonlySet<number>): void {
    for (const id of this.index.of(partition)) {
      const object = this.objects.get(id);
      if (object && partitionsOfManaged(object).some((other) => other !== partition && followed.has(other))) continue;
      this.objects.delete(id);
      this.stale.delete(id);
      if (object) this.unindex(id, object);
      if (this.noted.has(id)) this.doubt(id);
    }
  }

  /** @returns whether it had been told of before: what was missed meanwhile is to be found. Whoever waits for the first time compares then. */
  kindIs(name: string, state: KindState): boolean {
    const kind = this.kinds.get(name);
    if (!kind) return false;
    const again = kind.isTold;
    kind.isTold = true;
    kind.state = state;
    kind.isBlind = state === "absent";
    kind.ready.resolve();
    // Nothing will ever confirm a write to what cannot be watched.
    if (state === "absent") for (const id of this.noted.keys()) if (this.kindOf(id) === kind) this.noted.delete(id);
    for (const id of this.stale) if (this.kindOf(id) === kind) this.dropStale(id);
    this.caughtUp();
    return again;
  }

  /** All of the partition that is there is named from here on. */
  showing(partition: number): void {
    for (const id of this.index.of(partition)) this.stale.add(id);
  }

  shown(partition: number): void {
    for (const id of this.index.of(partition)) this.dropStale(id);
  }

  /** What nobody named is gone, once everything of its partition and of its kind was told. */
  private dropStale(id: string): void {
    const object = this.objects.get(id);
    if (object && this.stale.has(id) && this.kindOf(id)?.state && partitionsOfManaged(object).some((partition) => this.options.isShown(partition))) this.drop(id);
  }

  /** What was written and not named since may be gone again; and whoever waits for health looks once more. */
  caughtUp(): void {
    for (const id of this.noted.keys()) if (!this.objects.has(id)) this.doubt(id);
    for (const listener of this.listeners) listener.synced();
  }

  /** A new session: until told anew, nobody knows that a kind is complete. */
  unsync(): void {
    for (const kind of this.kinds.values()) kind.state = undefined;
    for (const id of this.objects.keys()) this.stale.add(id);
  }

  neededKinds(): KindRef[] {
    return [...this.kinds.values()].map(({ ref }) => ref);
  }

  /** Resolves when everything of these kinds is known; those the cluster does not have, or that cannot be watched, are passed over. */
  async ensureEntries(entries: Pick<InventoryEntry, "id" | "v">[]): Promise<void> {
    const refs = new Map(entries.map(({ id, v }) => {
      const { group, kind } = parseInventoryId(id);
      return [kindKey({ group, kind }), { group, kind, v }];
    }));
    for (const ref of refs.values()) if (!this.kinds.has(kindKey(ref))) this.need(ref);
    await Promise.all([...refs.keys()].map((name) => this.kinds.get(name)?.ready.promise));
  }

  /** Its kind cannot be watched: what is known of the object is what a request finds. */
  isBlind(id: string): boolean {
    return this.kindOf(id)?.isBlind === true;
  }

  isSynced(group: string, kind: string): boolean {
    return this.kinds.get(kindKey({ group, kind }))?.state === "synced";
  }

  /** @returns the function that ends it */
  subscribe(listener: ManagedListener): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** Entries of the unit that are not as applied, with who changed them. What is not known yet is left out. */
  drifted(unit: ActorKey, entries: InventoryEntry[]): Map<string, string> {
    const found = new Map<string, string>();
    const shown = this.options.isShown(partitionOf(unit));
    for (const entry of entries) {
      // Our own write is on its way here.
      if (this.noted.has(entry.id)) continue;
      const seen = this.objects.get(entry.id);
      if ((seen || (shown && this.kindOf(entry.id)?.state === "synced")) && isDrifted(entry, seen)) found.set(entry.id, seen?.by ?? "");
    }
    return found;
  }

  /** Undefined when it is not known yet. */
  health(id: string): Standing | undefined {
    // What is kept here is older than our write: whatever it says is about the former state.
    if (this.noted.has(id)) return { status: "InProgress", message: "applied, not seen yet" };
    const object = this.objects.get(id);
    if (object) return { status: object.status, message: object.message };
    const known = this.kindOf(id)?.state === "synced" && this.options.isAllShown();
    return known ? { status: "NotFound", message: "Resource not found" } : undefined;
  }

  private unindex(id: string, object: Managed): void {
    for (const partition of partitionsOfManaged(object)) this.index.remove(partition, id);
  }

  private need(ref: KindRef): void {
    const name = kindKey(ref);
    const known = this.kinds.get(name);
    if (known && known.state !== "absent") return;
    if (known) known.state = undefined;
    else this.kinds.set(name, { ref, state: undefined, isTold: false, isBlind: false, ready: Promise.withResolvers() });
    this.options.onNeed(ref, known !== undefined);
  }

  private end(id: string, written: Known | undefined, owner: Owner): void {
    this.writing.delete(id);
    const object = this.objects.get(id);
    if (!written) {
      if (object) this.tell(id, object, object, true); // nobody knows what the write did
    } else if (!object || !isAtLeast(object.resourceVersion, written.resourceVersion)) {
      const kind = this.kindOf(id);
      if (kind && kind.state !== "absent") this.noted.set(id, { ...written, owner });
    } else if (differs(object, written)) this.tell(id, object, object, true);
  }

  private doubt(id: string): void {
    if (this.doubted.has(id)) return;
    this.doubted.add(id);
    const { clock } = this.options;
    const doubtful = this.noted.get(id);
    clock.at(clock.nowMs() + doubtMs, () => {
      this.doubted.delete(id);
      const written = this.noted.get(id);
      if (!written || this.writing.has(id) || this.objects.has(id)) return;
      if (written !== doubtful) return this.doubt(id); // written again meanwhile
      this.noted.delete(id);
      const change = { id, owner: written.owner, now: undefined, drift: true };
      for (const listener of this.listeners) listener.change(change);
    });
  }

  private tell(id: string, object: Managed, now: Managed | undefined, drift: boolean): void {
    for (const listener of this.listeners) listener.change({ id, owner: ownerOf(object.owner), now, drift });
  }

  private kindOf(id: string): Kind | undefined {
    return this.kinds.get(kindKey(parseInventoryId(id)));
  }
}

const differs = (object: Managed, as: { uid: string; owned: string } | undefined) => object.uid !== as?.uid || object.owned !== as.owned;
