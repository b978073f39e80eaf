/** What operators ask of all workers, and tell one of them; answered by each over the bus. */
import { Fault } from "#protocol/errors/fault.ts";
import * as messages from "#protocol/messages/fleet.ts";
import type { ActorView, WorkerView } from "#protocol/messages/fleet.ts";
import { bus as subjects } from "#protocol/names/subject.ts";
import type { Bus } from "#services/store/bus.ts";
import type { Cell } from "#services/store/cell.ts";
import { parseJson } from "#services/store/json.ts";
import type { Roster } from "#services/store/roster.ts";
import { heartbeatMs } from "#machines/rules/lease.ts";
import type { Clock } from "#services/store/clock.ts";
import type { Costs } from "./costs.ts";

export type FleetPorts = {
  worker: string;
  clock: Clock;
  bus: Bus;
  roster: Roster;
  /** This worker's own actors. */
  actors(): ActorView[];
  drain(on: boolean): void;
};

const answerMs = 1_000;
/** Actors in one answer: well under what a message may hold. */
const pageSize = 1_000;
const mostPages = 1_000;

export class Fleet {
  private readonly ports: FleetPorts;
  private readonly unsubscribe: (() => void)[];

  constructor(ports: FleetPorts) {
    this.ports = ports;
    const { bus, worker } = ports;
    this.unsubscribe = [
      bus.subscribe(subjects.to(worker, "drain"), (data, answer) => {
        const wish = messages.drain.safeParse(parseJson(data)).data;
        if (wish) ports.drain(wish.draining);
        answer?.("{}");
      }),
      bus.subscribe(subjects.all("actors"), (data, answer) => {
        const { page } = messages.actorsWanted.safeParse(parseJson(data)).data ?? { page: 0 };
        const actors = ports.actors();
        answer?.(JSON.stringify({ actors: actors.slice(page * pageSize, (page + 1) * pageSize), more: actors.length > (page + 1) * pageSize }));
      }),
    ];
  }

  close(): void {
    for (const each of this.unsubscribe) each();
  }

  workers(): WorkerView[] {
    const { roster, clock } = this.ports;
    const counts = new Map<string, number>();
    for (let partition = 0; partition < roster.partitions; partition++) {
      const worker = roster.own(partition)?.worker ?? "";
      counts.set(worker, (counts.get(worker) ?? 0) + 1);
    }
    return roster.everyMember().filter(({ gone }) => !gone).map(({ worker, seenMs, about }) => {
      const leaseAgeMs = Math.round(clock.monoMs() - seenMs);
      const silent = leaseAgeMs > 3 * heartbeatMs;
      return {
        name: worker, state: silent ? "silent" : about.draining ? "draining" : "ready", partitions: counts.get(worker) ?? 0, actors: about.actors,
        loadMsPerMinute: about.load, leaseAgeMs, coordinator: roster.coordinator.worker === worker, capacity: about.capacity, shard: about.shard,
      };
    });
  }

  /** This worker's part, for metrics. */
  readings(cell: Pick<Cell, "owned" | "leaseLeftMs">, costs: Pick<Costs, "total">) {
    const { roster, worker } = this.ports;
    return {
      partitions: () => cell.owned.length,
      leaseSeconds: () => cell.leaseLeftMs() / 1000,
      isCoordinator: () => roster.coordinator.worker === worker,
      load: () => costs.total() / 1000,
      workers: () => {
        const counts = { ready: 0, draining: 0, silent: 0 };
        for (const { state } of this.workers()) counts[state]++;
        return counts;
      },
    };
  }

  /** @throws Fault WorkerUnknown */
  async drain(name: string, on: boolean): Promise<void> {
    const { bus } = this.ports;
    try {
      await bus.request(subjects.to(name, "drain"), JSON.stringify({ draining: on }), answerMs);
    } catch (cause) {
      throw new Fault("WorkerUnknown", name, { detail: "it does not answer", cause });
    }
  }

  /** Actors of all workers. One that is handed over just now may be missing, or named twice. */
  async actors(): Promise<ActorView[]> {
    const { bus } = this.ports;
    let most = Math.max(1, this.workers().length);
    const found = new Map<string, ActorView>();
    for (let page = 0, more = true; more && page < mostPages; page++) {
      const answers = await bus.requestAll(subjects.all("actors"), JSON.stringify({ page }), answerMs, most);
      more = false;
      most = Math.max(1, answers.length); // whoever did not answer is not waited for again
      for (const answer of answers) {
        const said = messages.actorsHosted.safeParse(parseJson(answer)).data;
        for (const actor of said?.actors ?? []) found.set(actor.id, actor);
        more ||= said?.more === true;
      }
    }
    return [...found.values()];
  }
}
