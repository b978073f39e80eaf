/** Actors at rest for which something came: their records are read, a few at a time, while what came waits in order. */
import type { ActorKey } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import type { Delivery } from "./resident.ts";

export type WakingPorts = {
  /** @throws when it cannot be read now */
  load(key: ActorKey): Promise<ActorRecord | undefined>;
  /** Whether the record is the one the actor left, not an older one. */
  fits(slot: number, record: ActorRecord | undefined): boolean;
  /** Calls `wake` for the slot again after that time. */
  again(slot: number, inMs: number): void;
  isHeld(partition: number): boolean;
  woken(sleeper: Sleeper, record: ActorRecord | undefined): void;
  /** It will never be read: not its time, but it itself is at fault. */
  damaged(sleeper: Sleeper, thrown: unknown): boolean;
};

export type Sleeper = { slot: number; key: ActorKey; partition: number; queue: Delivery[] };

type Entry = Sleeper & { tries: number; doubts: number; stage: "inLine" | "loading" | "held" | "backingOff" };

const mostAtOnce = 64;
const firstRetryMs = 100;
const longestRetryMs = 30_000;
/** A replica that lags answers with an older record; a store that insists is believed. */
const mostDoubts = 6;

export class Waking {
  private readonly ports: WakingPorts;
  private readonly entries = new Map<number, Entry>();
  private readonly line = new Set<Entry>();
  private loading = 0;

  constructor(ports: WakingPorts) {
    this.ports = ports;
  }

  wake(slot: number, who: () => { key: ActorKey; partition: number }, delivery?: Delivery): void {
    let entry = this.entries.get(slot);
    if (!entry) {
      entry = { slot, ...who(), queue: [], tries: 0, doubts: 0, stage: "held" };
      this.entries.set(slot, entry);
      this.lineUp(entry);
    } else if (!delivery && entry.stage === "backingOff") this.lineUp(entry);
    if (delivery) entry.queue.push(delivery);
  }

  /** The partition is no longer held. */
  resume(partition: number): void {
    for (const entry of this.entries.values()) if (entry.partition === partition && entry.stage === "held") this.lineUp(entry);
  }

  /** What came for it is forgotten too. */
  forget(slot: number): Delivery[] {
    const entry = this.entries.get(slot);
    this.entries.delete(slot);
    if (entry) this.line.delete(entry);
    return entry?.queue ?? [];
  }

  clear(): void {
    this.entries.clear();
    this.line.clear();
  }

  private lineUp(entry: Entry): void {
    if (this.ports.isHeld(entry.partition)) return void (entry.stage = "held");
    entry.stage = "inLine";
    this.line.add(entry);
    this.next();
  }

  private next(): void {
    for (const entry of this.line) {
      if (this.loading >= mostAtOnce) return;
      this.line.delete(entry);
      if (this.ports.isHeld(entry.partition)) entry.stage = "held";
      else void this.load(entry);
    }
  }

  private async load(entry: Entry): Promise<void> {
    this.loading++;
    entry.stage = "loading";
    let outcome: { record: ActorRecord | undefined } | { thrown: unknown };
    try {
      outcome = { record: await this.ports.load(entry.key) };
    } catch (thrown) {
      outcome = { thrown };
    }
    this.loading--;
    if (this.entries.get(entry.slot) === entry) this.came(entry, outcome);
    this.next();
  }

  private came(entry: Entry, outcome: { record: ActorRecord | undefined } | { thrown: unknown }): void {
    entry.tries++;
    if ("thrown" in outcome) {
      if (this.ports.damaged(entry, outcome.thrown)) return;
    } else if (this.ports.fits(entry.slot, outcome.record) || ++entry.doubts > mostDoubts) {
      this.entries.delete(entry.slot);
      return this.ports.woken(entry, outcome.record);
    }
    entry.stage = "backingOff";
    this.ports.again(entry.slot, Math.min(firstRetryMs * 2 ** (entry.tries - 1), longestRetryMs));
  }
}
