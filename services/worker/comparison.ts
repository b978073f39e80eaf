/**
 * Compares records with what the hub's watches show: when a partition was taken over and is shown for the first time, and
 * when a watch had to begin anew, so that what went unseen is found.
 */
import { Fault } from "#protocol/errors/fault.ts";
import { actorId, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import type { InventoryEntry } from "#protocol/messages/kustomization.ts";
import { sleep, type Clock } from "#services/store/clock.ts";
import { watchedOf } from "./drift-watch.ts";

export type Held = { key: ActorKey; record: ActorRecord };

export type ComparisonPorts = {
  clock: Clock;
  owns(partition: number): boolean;
  /** Every unit of this worker, at rest or not. */
  units(): Iterable<ActorKey>;
  recordOf(key: ActorKey): Promise<ActorRecord | undefined>;
  hasObject(key: ActorKey): boolean;
  /** Its object went while nobody looked. */
  gone(key: ActorKey): void;
  /** What the owner before did not get round to saying is said. */
  status(key: ActorKey, record: ActorRecord): void;
  drift(key: ActorKey, record: ActorRecord): void;
  ensureWatched(key: ActorKey, entries: InventoryEntry[]): Promise<void>;
  /** The unit acts on another cluster than the hub. */
  isElsewhere(key: ActorKey): boolean;
  reachAgain(partition: number, records: Held[]): void;
  failed(thrown: unknown): void;
};

const retryMs = 1_000;

export class Comparison {
  private readonly ports: ComparisonPorts;
  /** Records of partitions that were taken and not shown yet. */
  private readonly taken = new Map<number, Held[]>();
  private readonly shown = new Set<number>();
  /** Partitions that were compared just now, when they were shown for the first time. */
  private readonly compared = new Set<number>();
  private readonly waiting = new Map<string, ActorKey>();
  private working = false;
  private stopped = false;

  constructor(ports: ComparisonPorts) {
    this.ports = ports;
  }

  took(partition: number, records: Held[]): void {
    this.taken.set(partition, records);
  }

  drop(partition: number): void {
    this.taken.delete(partition);
    this.shown.delete(partition);
    this.compared.delete(partition);
  }

  isShown(partition: number): boolean {
    return this.shown.has(partition);
  }

  /** It was taken over and is not shown yet: all of it will be compared then. */
  isComing(partition: number): boolean {
    return this.taken.has(partition);
  }

  stop(): void {
    this.stopped = true;
  }

  /** Everything of the partition that the hub's watches know of has been shown. */
  show(partition: number): void {
    const { owns, hasObject, gone, status, drift, ensureWatched, isElsewhere, reachAgain, failed } = this.ports;
    if (!owns(partition)) return;
    this.shown.add(partition);
    const records = this.taken.get(partition);
    if (!records) return;
    this.taken.delete(partition);
    this.compared.add(partition);
    for (const { key, record } of records)
      if (hasObject(key)) status(key, record);
      else gone(key);
    // What drifted while nobody watched is put back at once.
    const elsewhere = records.filter(({ key }) => isElsewhere(key));
    const here = records.filter(({ key }) => !isElsewhere(key));
    Promise.all(here.map(({ key, record }) => ensureWatched(key, watchedOf(key, record)))).then(() => {
      if (!this.stopped && owns(partition)) for (const { key, record } of here) drift(key, record);
    }, failed);
    if (elsewhere.length > 0) reachAgain(partition, elsewhere);
  }

  /** A watch had to begin anew. */
  relisted(partition?: number): void {
    if (partition !== undefined && this.compared.delete(partition)) return;
    for (const key of this.ports.units()) if (partition === undefined || partitionOf(key) === partition) this.waiting.set(actorId(key), key);
    void this.work();
  }

  /** All is known of what the unit applied to another cluster than the hub. */
  known(key: ActorKey): void {
    this.waiting.set(actorId(key), key);
    void this.work();
  }

  /** One after the other: those at rest have to be read. */
  private async work(): Promise<void> {
    if (this.working) return;
    this.working = true;
    const { clock, recordOf, owns, drift } = this.ports;
    for (let next; (next = this.waiting.entries().next().value) && !this.stopped; ) {
      const [id, key] = next;
      try {
        const record = await recordOf(key);
        this.waiting.delete(id);
        if (record && owns(partitionOf(key))) drift(key, record);
      } catch (thrown) {
        if (thrown instanceof Fault) this.waiting.delete(id); // it cannot be read: it is set aside when it is next addressed
        else await sleep(clock, retryMs); // NATS is away
      }
    }
    this.working = false;
  }
}
