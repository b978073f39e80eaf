/**
 * Health that the feed does not tell, because it takes more of an object than the feed carries: of objects that no unit
 * applied, and of those that expressions judge. They are read: once, and again when the feed says that they changed, or
 * from time to time where it says nothing.
 */
import { unknown, type Health } from "#machines/rules/health-reading.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { Clock } from "#services/store/clock.ts";

export type ReadHealthPorts = {
  clock: Clock;
  /** @throws Fault HealthCheckFailed when there is no use in asking again */
  read(id: string): Promise<Health>;
  /** Whether the feed tells of its changes. */
  isTold(id: string): boolean;
  /** `get` gives another answer now. */
  onChange(id: string): void;
  /** It will not be known, and nobody should wait for it. */
  onRefused(fault: Fault): void;
};

/** Of what the feed does not tell. */
const pollMs = 2_000;
/** An object that changes all the time is not read all the time. */
const leastGapMs = 250;

export class ReadHealth {
  private readonly ports: ReadHealthPorts;
  private readonly ids: ReadonlySet<string>;
  private readonly latest = new Map<string, Health>();
  private readonly reading = new Set<string>();
  /** Changed while it was being read. */
  private readonly again = new Set<string>();
  private readonly timers = new Map<string, () => void>();
  private stopped = false;

  constructor(ids: Iterable<string>, ports: ReadHealthPorts) {
    this.ids = new Set(ids);
    this.ports = ports;
  }

  has(id: string): boolean {
    return this.ids.has(id);
  }

  /** Undefined until it was read. */
  get(id: string): Health | undefined {
    return this.latest.get(id);
  }

  start(): void {
    for (const id of this.ids) void this.look(id);
  }

  changed(id: string): void {
    if (this.ids.has(id)) void this.look(id);
  }

  stop(): void {
    this.stopped = true;
    for (const cancel of this.timers.values()) cancel();
  }

  private async look(id: string): Promise<void> {
    if (this.stopped) return;
    if (this.reading.has(id)) return void this.again.add(id);
    this.timers.get(id)?.();
    this.reading.add(id);
    let health: Health;
    try {
      health = await this.ports.read(id);
    } catch (thrown) {
      const fault = Fault.from(thrown, id);
      if (fault.code === "HealthCheckFailed") {
        if (!this.stopped) this.ports.onRefused(fault);
        return;
      }
      health = unknown(fault.detail ?? fault.message);
    }
    this.reading.delete(id);
    if (this.stopped) return;
    this.latest.set(id, health);
    this.ports.onChange(id);
    if (this.again.delete(id)) this.lookIn(leastGapMs, id);
    else if (!this.ports.isTold(id)) this.lookIn(pollMs, id);
  }

  private lookIn(ms: number, id: string): void {
    if (this.stopped) return;
    const { clock } = this.ports;
    this.timers.set(id, clock.at(clock.nowMs() + ms, () => void this.look(id)));
  }
}
