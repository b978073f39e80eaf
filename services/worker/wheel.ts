/**
 * When what is due, for very many numbered things at a few bytes each: a wheel of one-second buckets, a list for what lies
 * beyond its turn, and a heap for the second under way, so that nothing is early and little is late. However many wait,
 * at most one call of the clock is pending.
 */
import type { Clock } from "#services/store/clock.ts";
import { grownTo } from "./column.ts";

const bucketMs = 1_000;
const buckets = 4_096; // a good hour; longer periods wait in the list and are looked at twice per turn
const none = -1;

// Where a slot waits: in `place`.
const nowhere = 0;
const near = 1;
const far = 2;
const firstBucket = 3;

export class Wheel {
  private readonly clock: Clock;
  private readonly fire: (slot: number) => void;
  private due = new Float64Array(64);
  private next = new Int32Array(64);
  /** The one before in its list; for a near slot its place in the heap. */
  private previous = new Int32Array(64);
  private place = new Int16Array(64);
  /** First slot of every list, by place. */
  private readonly heads = new Int32Array(firstBucket + buckets).fill(none);
  private heap = new Int32Array(64);
  private nearCount = 0;
  private bucketCount = 0;
  private farCount = 0;
  /** The last bucket, counted from 1970, that was emptied into the heap. */
  private reached = 0;
  /** The bucket at which the far list is looked through again. */
  private nextLook = 0;
  private wakeAtMs = Infinity;
  private cancelWake = () => {};

  /** @param fire called at or after the time, once; never from within `arm` */
  constructor(clock: Clock, fire: (slot: number) => void) {
    this.clock = clock;
    this.fire = fire;
  }

  /** Sets the slot's only time; an earlier or later one set before is forgotten. */
  arm(slot: number, dueMs: number): void {
    this.disarm(slot);
    if (dueMs === Infinity) return;
    this.makeRoom(slot);
    if (this.size === 0) this.reached = bucketOf(this.clock.nowMs());
    this.due[slot] = dueMs;
    this.put(slot);
    this.wakeBy(this.place[slot] === near ? dueMs : this.place[slot] === far ? this.nextLook * bucketMs : bucketOf(dueMs) * bucketMs);
  }

  disarm(slot: number): void {
    const place = this.place[slot] ?? nowhere;
    if (place === nowhere) return;
    if (place === near) this.leaveHeap(slot);
    else this.unlink(slot, place);
    this.place[slot] = nowhere;
    if (this.size === 0) this.sleep();
  }

  /** Nothing fires any more. */
  stop(): void {
    this.sleep();
    this.place.fill(nowhere);
    this.heads.fill(none);
    this.nearCount = this.bucketCount = this.farCount = 0;
  }

  get size(): number {
    return this.nearCount + this.bucketCount + this.farCount;
  }

  get sizeBytes(): number {
    return [this.due, this.next, this.previous, this.place, this.heads, this.heap].reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  private turn(): void {
    this.wakeAtMs = Infinity;
    const nowMs = this.clock.nowMs();
    const target = bucketOf(nowMs);
    const from = Math.max(this.reached, target - buckets);
    this.reached = Math.max(this.reached, target);
    for (let bucket = from + 1; bucket <= target && this.bucketCount > 0; bucket++) this.empty(placeOf(bucket));
    if (this.farCount > 0 && target >= this.nextLook) this.empty(far);
    // All that is due leaves before the first is told: what they set again waits for the next turn.
    const due: number[] = [];
    for (let slot; this.nearCount > 0 && (this.due[(slot = this.heap[0] as number)] as number) <= nowMs; ) {
      this.leaveHeap(slot);
      this.place[slot] = nowhere;
      due.push(slot);
    }
    this.wakeBy(this.nextMs());
    for (const slot of due) if (this.place[slot] === nowhere) this.fire(slot);
  }

  private nextMs(): number {
    if (this.nearCount > 0) return this.due[this.heap[0] as number] as number;
    const lookMs = this.farCount > 0 ? this.nextLook * bucketMs : Infinity;
    if (this.bucketCount > 0)
      for (let bucket = this.reached + 1; bucket <= this.reached + buckets; bucket++)
        if (this.heads[placeOf(bucket)] !== none) return Math.min(lookMs, bucket * bucketMs);
    return lookMs;
  }

  private wakeBy(ms: number): void {
    if (ms >= this.wakeAtMs) return;
    this.cancelWake();
    this.wakeAtMs = ms;
    this.cancelWake = this.clock.at(ms, () => this.turn());
  }

  private sleep(): void {
    this.cancelWake();
    this.cancelWake = () => {};
    this.wakeAtMs = Infinity;
  }

  private put(slot: number): void {
    const bucket = bucketOf(this.due[slot] as number);
    if (bucket <= this.reached) return this.enterHeap(slot);
    if (bucket < this.reached + buckets) {
      this.bucketCount++;
      return this.link(slot, placeOf(bucket));
    }
    if (this.farCount++ === 0) this.nextLook = this.reached + buckets / 2;
    this.link(slot, far);
  }

  /** Takes a whole list apart and puts each of its slots where it belongs now. */
  private empty(place: number): void {
    let slot = this.heads[place] as number;
    this.heads[place] = none;
    if (place === far) [this.farCount, this.nextLook] = [0, this.reached + buckets / 2];
    while (slot !== none) {
      const next = this.next[slot] as number;
      if (place !== far) this.bucketCount--;
      this.put(slot);
      slot = next;
    }
  }

  private link(slot: number, place: number): void {
    const head = this.heads[place] as number;
    this.next[slot] = head;
    this.previous[slot] = none;
    if (head !== none) this.previous[head] = slot;
    this.heads[place] = slot;
    this.place[slot] = place;
  }

  private unlink(slot: number, place: number): void {
    const [next, previous] = [this.next[slot] as number, this.previous[slot] as number];
    if (next !== none) this.previous[next] = previous;
    if (previous === none) this.heads[place] = next;
    else this.next[previous] = next;
    if (place === far) this.farCount--;
    else this.bucketCount--;
  }

  private enterHeap(slot: number): void {
    if (this.nearCount === this.heap.length) this.heap = grownTo(this.heap, this.nearCount + 1);
    this.place[slot] = near;
    this.rise(slot, this.nearCount++);
  }

  private leaveHeap(slot: number): void {
    const at = this.previous[slot] as number;
    const last = this.heap[--this.nearCount] as number;
    if (last === slot) return;
    this.sink(last, at);
    this.rise(last, this.previous[last] as number);
  }

  private rise(slot: number, at: number): void {
    while (at > 0) {
      const parent = this.heap[(at - 1) >> 1] as number;
      if ((this.due[parent] as number) <= (this.due[slot] as number)) break;
      this.seat(parent, at);
      at = (at - 1) >> 1;
    }
    this.seat(slot, at);
  }

  private sink(slot: number, at: number): void {
    const dueOf = (place: number) => this.due[this.heap[place] as number] as number;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.nearCount) break;
      if (child + 1 < this.nearCount && dueOf(child + 1) < dueOf(child)) child++;
      if (dueOf(child) >= (this.due[slot] as number)) break;
      this.seat(this.heap[child] as number, at);
      at = child;
    }
    this.seat(slot, at);
  }

  private seat(slot: number, at: number): void {
    this.heap[at] = slot;
    this.previous[slot] = at;
  }

  private makeRoom(slot: number): void {
    if (slot < this.due.length) return;
    this.due = grownTo(this.due, slot + 1);
    this.next = grownTo(this.next, slot + 1);
    this.previous = grownTo(this.previous, slot + 1);
    this.place = grownTo(this.place, slot + 1);
  }
}

const bucketOf = (ms: number): number => Math.floor(ms / bucketMs);
const placeOf = (bucket: number): number => firstBucket + (bucket % buckets);
