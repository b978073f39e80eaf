/**
 * Compares what a watch saw with what a unit's record says it applied, and reports a difference to the unit. While the
 * unit is applying its record is behind the cluster, so what is seen then is compared again once the outcome is kept.
 */
import type { InventoryEntry } from "#protocol/messages/kustomization.ts";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";

export type DriftPorts = {
  /** Of a resident actor at once; of one at rest it has to be read. */
  recordOf(key: ActorKey): ActorRecord | undefined | Promise<ActorRecord | undefined>;
  /** Ids of those that are not as applied. */
  drifted(unit: ActorKey, entries: InventoryEntry[]): string[];
  report(key: ActorKey): void;
};

const writingStates = new Set<unknown>(["applying", "pruning", "removing"]);

export class DriftWatch {
  private readonly ports: DriftPorts;
  private readonly pending = new Map<string, { key: ActorKey; ids: Set<string> }>();

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

  /** Everything of the unit: for a worker that has just taken it up. */
  compareAll(key: ActorKey, record: ActorRecord): void {
    const inventory = inventoryOf(record);
    if (writingStates.has(record.snapshot["value"])) {
      for (const { id } of inventory) this.changed(key, id);
      return;
    }
    if (inventory.length > 0 && this.ports.drifted(key, inventory).length > 0) this.ports.report(key);
  }

  /** The actor is another worker's now. */
  forget(key: ActorKey): void {
    this.pending.delete(actorId(key));
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
    const entries = inventoryOf(record).filter(({ id }) => waiting.ids.has(id));
    if (entries.length > 0 && this.ports.drifted(waiting.key, entries).length > 0) this.ports.report(waiting.key);
  }
}

export const inventoryOf = (record: ActorRecord | undefined): InventoryEntry[] =>
  (record?.snapshot.context as { inventory?: InventoryEntry[] } | undefined)?.inventory ?? [];
