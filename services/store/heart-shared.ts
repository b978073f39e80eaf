/** What the heart's thread and the main thread see of each other without a message: neither waits for the other's loop. */
import type { Lease } from "./heart-beat.ts";

const [until, steadySince, offset, tick] = [0, 1, 2, 3] as const;
const microsPerMs = 1_000;

/** How long the main loop may stand still before the heart stops speaking for it (ownership.md 7.3). */
export const longestStallMs = 5_000;
export const tickMs = 250;

/** All times are `monoMs` of the system's clock, which is the same for all threads. */
export class SharedHeart {
  readonly memory: SharedArrayBuffer;
  private readonly numbers: BigInt64Array;

  constructor(memory = new SharedArrayBuffer(4 * BigInt64Array.BYTES_PER_ELEMENT)) {
    this.memory = memory;
    this.numbers = new BigInt64Array(memory);
  }

  // The end is written last and read first: a reader may see an old end beside the rest of a newer beat, never the reverse,
  // and that a newer one was stored makes the older one no worse.
  set lease({ untilMs, steadySinceMs, offsetMs }: Lease) {
    if (untilMs === 0) this.write(until, 0);
    this.write(steadySince, steadySinceMs);
    this.write(offset, offsetMs);
    this.write(until, untilMs);
  }

  get lease(): Lease {
    const untilMs = this.read(until);
    return { untilMs, steadySinceMs: this.read(steadySince), offsetMs: this.read(offset) };
  }

  /** The main loop turns. */
  tick(nowMs: number): void {
    this.write(tick, nowMs);
  }

  isTurning(nowMs: number): boolean {
    return nowMs - this.read(tick) < longestStallMs;
  }

  private write(at: number, ms: number): void {
    Atomics.store(this.numbers, at, BigInt(Math.round(ms * microsPerMs)));
  }

  private read(at: number): number {
    return Number(Atomics.load(this.numbers, at)) / microsPerMs;
  }
}
