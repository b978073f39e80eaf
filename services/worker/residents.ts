/** The actors in memory: by slot, by partition, and by how long they have rested. */
import { isAtRest, type Resident } from "./resident.ts";

export type ResidentsPorts = {
  nowMs(): number;
  /** Calls `sweep` at that time; a time set before is forgotten. */
  sweepAt(ms: number): void;
  /** Takes it out of memory if it may go. `isOver`: there are too many. */
  part(live: Resident, isOver: boolean): void;
};

const leastSweepMs = 1_000; // not for every single one

export class Residents {
  private readonly ports: ResidentsPorts;
  private readonly restMs: number;
  private readonly most: number;
  private readonly bySlot = new Map<number, Resident>();
  private readonly byPartition = new Map<number, Set<Resident>>();
  /** The longest first. */
  private readonly resting = new Set<Resident>();
  private sweepAtMs = Infinity;

  /** @param most so many in memory; beyond it whoever rests longest leaves at once */
  constructor(restMs: number, most: number, ports: ResidentsPorts) {
    this.restMs = restMs;
    this.most = most;
    this.ports = ports;
  }

  get size(): number {
    return this.bySlot.size;
  }

  get isFull(): boolean {
    return this.size >= this.most;
  }

  get(slot: number): Resident | undefined {
    return this.bySlot.get(slot);
  }

  all(): Iterable<Resident> {
    return this.bySlot.values();
  }

  /** As they are now. */
  of(partition: number): Resident[] {
    return [...(this.byPartition.get(partition) ?? [])];
  }

  enter(live: Resident): void {
    this.bySlot.set(live.slot, live);
    const neighbours = this.byPartition.get(live.partition) ?? new Set();
    this.byPartition.set(live.partition, neighbours.add(live));
  }

  leave(live: Resident): void {
    live.gone = true;
    this.resting.delete(live);
    this.bySlot.delete(live.slot);
    const neighbours = this.byPartition.get(live.partition);
    neighbours?.delete(live);
    if (neighbours?.size === 0) this.byPartition.delete(live.partition);
  }

  wakes(live: Resident): void {
    if (this.resting.delete(live) && this.resting.size === 0) this.plan(Infinity);
  }

  /** Whoever has nothing under way leaves after a while. */
  rests(live: Resident): void {
    if (!isResting(live)) return;
    this.resting.delete(live);
    live.restsSinceMs = this.ports.nowMs();
    this.resting.add(live);
    if (this.size > this.most) this.sweep();
    else if (this.sweepAtMs === Infinity) this.plan(this.nextMs());
  }

  sweep(): void {
    const nowMs = this.ports.nowMs();
    for (const live of this.resting) {
      const isOver = this.size > this.most;
      if (!isOver && live.restsSinceMs + this.restMs > nowMs) break;
      this.resting.delete(live);
      if (isResting(live)) this.ports.part(live, isOver); // else it comes back when it rests again
    }
    this.plan(this.nextMs());
  }

  private nextMs(): number {
    for (const { restsSinceMs } of this.resting) return Math.max(restsSinceMs + this.restMs, this.ports.nowMs() + leastSweepMs);
    return Infinity;
  }

  private plan(atMs: number): void {
    if (atMs === this.sweepAtMs) return;
    this.sweepAtMs = atMs;
    this.ports.sweepAt(atMs);
  }
}

/** Nothing is under way with it, in its record or here. */
const isResting = ({ record, kept, working, queue, later, tasks, telling, quarantine, gone }: Resident): boolean =>
  !gone && kept && working === null && queue.length === 0 && later.length === 0 && tasks.size === 0 && telling.size === 0 && quarantine === null
  && isAtRest(record);
