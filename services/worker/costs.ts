/** What hosting costs, measured: time spent working for the actors of a partition, as a moving average per minute. */
export class Costs {
  private readonly spent = new Map<number, number>();
  private readonly perMinute = new Map<number, number>();
  private sinceMs: number;

  constructor(nowMs: number) {
    this.sinceMs = nowMs;
  }

  add(partition: number, ms: number): void {
    this.spent.set(partition, (this.spent.get(partition) ?? 0) + ms);
  }

  /** Milliseconds of work per minute and partition, rounded; what costs next to nothing is left out. */
  turn(nowMs: number): Record<string, number> {
    const minutes = Math.max(nowMs - this.sinceMs, 1) / 60_000;
    // Half of what was before a minute ago counts now.
    const keep = 0.5 ** minutes;
    for (const partition of new Set([...this.perMinute.keys(), ...this.spent.keys()])) {
      const fresh = (this.spent.get(partition) ?? 0) / minutes;
      const average = (this.perMinute.get(partition) ?? 0) * keep + fresh * (1 - keep);
      if (average < 0.5) this.perMinute.delete(partition);
      else this.perMinute.set(partition, average);
    }
    this.spent.clear();
    this.sinceMs = nowMs;
    return Object.fromEntries([...this.perMinute].map(([partition, ms]) => [partition, Math.round(ms)]));
  }

  drop(partition: number): void {
    this.spent.delete(partition);
    this.perMinute.delete(partition);
  }

  total(): number {
    return Math.round([...this.perMinute.values()].reduce((sum, ms) => sum + ms, 0));
  }
}
