/**
 * Compares what a watch saw with what a unit's record says it applied, and reports a difference to the unit. While the
 * unit is applying its record is behind the cluster, so what is seen then is compared again once the outcome is kept.
 */
import type { InventoryEntry } from "#protocol/messages/kustomization.ts";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import type { StorageSeen } from "#protocol/messages/release.ts";
import type { Clock } from "#services/store/clock.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";

export type DriftPorts = {
  /** Of a resident actor at once; of one at rest it has to be read. */
  recordOf(key: ActorKey): ActorRecord | undefined | Promise<ActorRecord | undefined>;
  /** Ids of those that are not as applied. */
  drifted(unit: ActorKey, entries: InventoryEntry[]): string[];
  report(key: ActorKey): void;
  clock: Clock;
  /** What stands in Helm's storage at a place of the unit's release; undefined: that is not known. */
  storageOf(unit: ActorKey, place: string): string | undefined;
  /** Somebody else wrote there. */
  look(key: ActorKey): void;
};

/** A write of our own may be told of before it is recorded, and after. */
const ownWriteMs = 1_000;

const writingStates = new Set<unknown>(["applying", "pruning", "removing", "acting", "moving", "correcting", "sweeping"]);

export class DriftWatch {
  private readonly ports: DriftPorts;
  private readonly pending = new Map<string, { key: ActorKey; ids: Set<string> }>();
  private readonly cancels = new Map<string, () => void>();

  constructor(ports: DriftPorts) {
    this.ports = ports;
  }

  /** A watch saw this object of the unit change. */
  changed(key: ActorKey, id: string): void {
    const unit = actorId(key);
    const waiting = this.pending.get(unit);
    if (waiting) {
      waiting.ids.add(id);
      return;
    }
    this.pending.set(unit, { key, ids: new Set([id]) });
    setImmediate(() => void this.look(unit)); // one comparison for a burst of events
  }

  /** After a decision of the unit: what was seen while it wrote is compared now. */
  moved(key: ActorKey, before: ActorRecord, after: ActorRecord): void {
    if (writingStates.has(before.snapshot["value"]) && !writingStates.has(after.snapshot["value"])) this.compare(actorId(key), after);
  }

  /** What stands in Helm's storage of the unit's release is another than it was: by our own doing, or by somebody else's. */
  storageChanged(key: ActorKey): void {
    const unit = actorId(key);
    const { clock } = this.ports;
    this.cancels.get(unit)?.();
    this.cancels.set(unit, clock.at(clock.nowMs() + ownWriteMs, () => {
      this.cancels.delete(unit);
      void this.lookAtStorage(key);
    }));
  }

  /** Everything of the unit: for a worker that has just taken it up. */
  compareAll(key: ActorKey, record: ActorRecord): void {
    if (this.isStrange(key, record)) this.storageChanged(key);
    const inventory = watchedOf(key, record);
    if (writingStates.has(record.snapshot["value"])) {
      for (const { id } of inventory) this.changed(key, id);
      return;
    }
    if (inventory.length > 0 && this.ports.drifted(key, inventory).length > 0) this.ports.report(key);
  }

  /** The actor is another worker's now. */
  forget(key: ActorKey): void {
    this.pending.delete(actorId(key));
    this.cancels.get(actorId(key))?.();
    this.cancels.delete(actorId(key));
  }

  stop(): void {
    for (const cancel of this.cancels.values()) cancel();
    this.cancels.clear();
  }

  private async lookAtStorage(key: ActorKey): Promise<void> {
    const record = await Promise.resolve(this.ports.recordOf(key)).catch(() => undefined);
    if (this.isStrange(key, record)) this.ports.look(key);
  }

  /** While an action writes there nothing is remembered of it. */
  private isStrange(key: ActorKey, record: ActorRecord | undefined): boolean {
    const { storage } = (record?.snapshot.context ?? {}) as { storage?: StorageSeen };
    const now = storage && this.ports.storageOf(key, storage.place);
    return now !== undefined && now !== storage?.mark;
  }

  private async look(unit: string): Promise<void> {
    const waiting = this.pending.get(unit);
    if (!waiting) return;
    const found = this.ports.recordOf(waiting.key);
    // Read only where it is not at hand: what is compared must be what stands now.
    this.compare(unit, found instanceof Promise ? await found.catch(() => undefined) : found);
  }

  private compare(unit: string, record: ActorRecord | undefined): void {
    const waiting = this.pending.get(unit);
    if (!waiting) return;
    if (record && writingStates.has(record.snapshot["value"])) return; // `moved` comes back to it
    this.pending.delete(unit);
    const entries = watchedOf(waiting.key, record).filter(({ id }) => waiting.ids.has(id));
    if (entries.length > 0 && this.ports.drifted(waiting.key, entries).length > 0) this.ports.report(waiting.key);
  }
}

/** What the unit applied, as far as it wants to hear of changes: of drift in a release it does not by default. */
export function watchedOf({ kind }: ActorKey, record: ActorRecord | undefined): InventoryEntry[] {
  const { inventory = [], facts } = (record?.snapshot.context ?? {}) as { inventory?: InventoryEntry[]; facts?: { drift?: string } | null };
  return kind === "helmrelease" && facts?.drift === "disabled" ? [] : inventory;
}
