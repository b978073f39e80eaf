/**
 * When an effect may run: once its objects are known, when it is its actor's turn among all tenants, and while this worker
 * may act. What it costs is counted here too.
 */
import { Fault } from "#protocol/errors/fault.ts";
import { actorId, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import { sleep, type Clock } from "#services/store/clock.ts";
import type { Costs } from "./costs.ts";
import type { EffectCall } from "./host-ports.ts";
import { Lanes, type Lane } from "./lanes.ts";
import { until } from "./timing.ts";

export type TurnsPorts = {
  clock: Clock;
  costs: Costs;
  /** Everything the hub's watches know of the partition has been shown. */
  isShown(partition: number): boolean;
  tenantOf(key: ActorKey): string;
  /** Resolves when whoever had the partition before can do no harm any more. */
  fenced(partition: number): Promise<void>;
};

/** What takes its turn: the rest waits for others, or is over in a moment. */
const gated = new Set(["resolve", "fetch", "build", "compose", "apply", "compare", "prune", "remove", "look", "edit"]);
const inFlight = 48;
const leaseRetryMs = 200;
/** So long an effect waits to be shown its objects; then it asks the API server: after a crash who watched may be gone too. */
const showMs = 500;

export class Turns {
  private readonly ports: TurnsPorts;
  private readonly lanes: Lanes;
  /** Why an actor works. */
  private readonly causes = new Map<string, Lane>();

  constructor(ports: TurnsPorts) {
    this.ports = ports;
    this.lanes = new Lanes({ clock: ports.clock, inFlight });
  }

  /** What the actor does from now on, it does for this reason; a person's wish stays one until it rests. */
  because(key: ActorKey, lane: Lane): void {
    const id = actorId(key);
    if (this.causes.get(id) !== "command") this.causes.set(id, lane);
  }

  rests(key: ActorKey): void {
    this.causes.delete(actorId(key));
  }

  async run<T>(src: string, { key, recovered, signal }: EffectCall, effect: () => Promise<T>): Promise<T> {
    const partition = partitionOf(key);
    await this.whenShown(partition);
    signal.throwIfAborted();
    if (!gated.has(src)) return this.withLease(effect, signal);
    const lane = recovered ? "recovery" : (this.causes.get(actorId(key)) ?? "interval");
    return this.lanes.run({ tenant: this.ports.tenantOf(key), lane, signal }, async () => {
      const { clock, costs } = this.ports;
      const startMs = clock.monoMs();
      try {
        await this.ports.fenced(partition);
        return await this.withLease(effect, signal);
      } finally {
        costs.add(partition, clock.monoMs() - startMs);
      }
    });
  }

  async whenShown(partition: number): Promise<void> {
    const { clock, isShown } = this.ports;
    if (isShown(partition)) return;
    const endMs = clock.monoMs() + showMs;
    await until(clock, () => isShown(partition), () => clock.monoMs() >= endMs);
  }

  private async withLease<T>(effect: () => Promise<T>, signal: AbortSignal): Promise<T> {
    for (;;)
      try {
        return await effect();
      } catch (thrown) {
        // Not the actor's failure: it waits until this worker may write again, or is told to stop.
        if (!(thrown instanceof Fault) || thrown.code !== "LeaseLost" || signal.aborted) throw thrown;
        await sleep(this.ports.clock, leaseRetryMs);
        if (signal.aborted) throw thrown;
      }
  }
}
