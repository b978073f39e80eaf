/**
 * Carries out what the charts of machines/partition decide: one per partition that concerns this worker, and one for the
 * coordinator's role. It joins the cell (records in NATS) to the host (actors in memory).
 */
import { coordinate, joinMs, type Act, type Own, type Want } from "#machines/rules/coordination.ts";
import { isSuspect, suspectMs } from "#machines/rules/lease.ts";
import { coordinator } from "#machines/partition/coordinator.ts";
import { partition as partitionMachine, type PartitionEmit } from "#machines/partition/partition.ts";
import { Fault, type FaultData } from "#protocol/errors/fault.ts";
import * as messages from "#protocol/messages/fleet.ts";
import { bus as subjects } from "#protocol/names/subject.ts";
import type { Run } from "#protocol/records/actor.ts";
import type { Bus } from "#services/store/bus.ts";
import type { Cell } from "#services/store/cell.ts";
import type { Clock } from "#services/store/clock.ts";
import { parseJson } from "#services/store/json.ts";
import { LogError } from "#services/store/log.ts";
import type { Contents } from "#services/store/partition-reader.ts";
import { Chart } from "./chart.ts";

export type Takeover = {
  partition: number;
  own: Own;
  /** Who had it before; empty: nobody that we know of. */
  from: string;
  contents: Contents;
  /** The owner before did not let go: whatever it had sent may still be on its way. */
  recovered: boolean;
};

export type OwnershipPorts = {
  worker: string;
  clock: Clock;
  bus: Bus;
  cell: Cell;
  /** Its actors are ours: take them up. */
  take(takeover: Takeover): void;
  /** Lets writes under way end, for a while, then stops the partition's actors; not when the signal has called it off by then. */
  freeze(partition: number, signal: AbortSignal): Promise<void>;
  /** They go on. */
  thaw(partition: number): void;
  /** They are not ours any more. */
  drop(partition: number, next: Own | undefined, lost: boolean): void;
  /** What we hold has changed, or who watches the hub has. */
  changed(): void;
  /** Partitions that we cannot read. */
  refused(partition: number, fault: FaultData): void;
  debug(text: string, details: Record<string, unknown>): void;
};

const isPlan = (act: Act): boolean => act.do === "want" || act.do === "unwant";
/** What is due sooner has a timer of its own; what is later is seen by a later look. */
const soonMs = 300;
/** So long the coordinator gathers news before it looks again. */
const newsMs = 50;

export class Ownership {
  private readonly ports: OwnershipPorts;
  private readonly charts = new Map<number, Chart>();
  private readonly leader: Chart;
  private readonly former = new Map<number, string>();
  private readonly loaded = new Map<number, { own: Own; contents: Contents }>();
  private readonly unsubscribe: () => void;
  private plans = 0;
  private hurried = false;
  private calm = { changes: -1, atMs: 0 };
  private said = "";
  private dueSoon = false;
  private stopped = false;

  constructor(ports: OwnershipPorts) {
    this.ports = ports;
    const { worker, clock, bus } = ports;
    this.leader = new Chart(coordinator, { me: worker }, { clock, perform: (run) => this.coordinate(run), emitted: () => undefined });
    this.unsubscribe = bus.subscribe(subjects.to(worker, "warm"), (data) => {
      const said = messages.warm.safeParse(parseJson(data)).data;
      if (said) this.charts.get(said.partition)?.send({ type: "warm", to: said.worker, plan: said.plan });
    });
  }

  /** Who owns a partition has changed. */
  own(partition: number, own: Own): void {
    if (this.stopped) return;
    if (own.worker !== this.ports.worker) this.former.set(partition, own.worker);
    this.concern(partition, own.worker === this.ports.worker)?.send({ type: "own", own }); // a new chart knows it already
    this.ports.changed();
    this.hurry();
  }

  want(partition: number, want: Want | undefined): void {
    if (this.stopped) return;
    const { worker } = this.ports;
    const event = { type: "want", want: want ? { from: want.from, to: want.to, plan: want.plan } : null };
    this.concern(partition, want?.from === worker || want?.to === worker)?.send(event);
  }

  /** A write was refused because somebody else owns the partition: what the roster says is old. */
  fenced(partition: number): void {
    const { cell } = this.ports;
    this.ports.drop(partition, undefined, true);
    void cell.seek(partition).catch(() => undefined).then((own) => {
      if (!own) return; // the cell is closed
      // Ours all the same: it was an earlier try of our own that landed. Begin again from what is stored.
      if (own.worker === this.ports.worker) this.own(partition, { ...own, worker: "" });
      this.own(partition, own);
    });
  }

  /** Members have come, gone or changed. */
  look(): void {
    const { cell, clock } = this.ports;
    const { worker } = cell.roster.coordinator;
    const member = cell.roster.member(worker);
    const alive = member !== undefined && !member.gone && !isSuspect(member.seenMs, clock.monoMs());
    const news = `${worker} ${alive}`;
    if (news !== this.said) this.leader.send({ type: "leader", leader: worker, alive });
    this.said = news;
    this.lookWhenDue();
  }

  /** At the very moment from which somebody may be held for dead, not at the next round. */
  private lookWhenDue(): void {
    const { cell, clock } = this.ports;
    const nowMs = clock.monoMs();
    const dueMs = Math.min(...cell.roster.everyMember().filter(({ gone }) => !gone).map(({ seenMs }) => suspectMs(seenMs)).filter((ms) => ms > nowMs));
    if (this.dueSoon || dueMs - nowMs > soonMs) return;
    this.dueSoon = true;
    clock.at(clock.nowMs() + Math.ceil(dueMs - nowMs), () => {
      this.dueSoon = false;
      if (this.stopped) return;
      this.look();
      this.leader.send({ type: "news" });
    });
  }

  /** Whether everything has an owner and what is ours is taken up. */
  isSettled(): boolean {
    const { roster } = this.ports.cell;
    for (let partition = 0; partition < roster.partitions; partition++) {
      const own = roster.own(partition);
      if (!own || own.worker === "" || roster.member(own.worker)?.gone) return false;
      if (own.worker === this.ports.worker && !this.ports.cell.owns(partition)) return false;
    }
    return true;
  }

  stop(): void {
    this.stopped = true;
    this.leader.stop();
    this.unsubscribe();
    for (const chart of this.charts.values()) chart.stop();
  }

  /** Something moved: as many again may begin to move. */
  private hurry(): void {
    const { cell, clock, worker } = this.ports;
    if (this.hurried || cell.roster.coordinator.worker !== worker) return;
    this.hurried = true;
    clock.at(clock.nowMs() + newsMs, () => {
      this.hurried = false;
      this.leader.send({ type: "news" });
    });
  }

  /** The partition's chart; only for partitions that concern this worker. */
  private concern(partition: number, concerns: boolean): Chart | undefined {
    const known = this.charts.get(partition);
    if (known || !concerns) return known;
    const { worker, clock, cell } = this.ports;
    const chart = new Chart(partitionMachine, { me: worker, partition }, {
      clock,
      perform: (run, signal) => this.perform(partition, run, signal),
      emitted: (event) => this.emitted(partition, event as unknown as PartitionEmit),
    });
    this.charts.set(partition, chart);
    const [own, want] = [cell.roster.own(partition), cell.roster.want(partition)];
    if (own) chart.send({ type: "own", own });
    if (want) chart.send({ type: "want", want: { from: want.from, to: want.to, plan: want.plan } });
    return chart;
  }

  private async perform(partition: number, run: Run, signal: AbortSignal): Promise<unknown> {
    const { cell, freeze } = this.ports;
    const refused = (thrown: unknown): never => {
      if (thrown instanceof Fault && thrown.code === "RecordTooNew") this.ports.refused(partition, thrown.toJSON());
      throw thrown;
    };
    switch (run.src) {
      case "warm":
        return cell.ahead(partition).catch(refused);
      case "load": {
        const own = cell.roster.own(partition);
        const { sequence } = run.input as { sequence: number };
        if (!own || own.sequence !== sequence) throw new Fault("LeaseLost", `partition ${partition}`);
        const contents = await cell.load(partition, sequence, () => signal.aborted).catch(refused);
        if (!signal.aborted) this.loaded.set(partition, { own, contents });
        return null;
      }
      case "freeze":
        await freeze(partition, signal);
        return cell.settled(partition);
      case "release":
        return cell.release(partition, (run.input as { to: string }).to);
      default:
        throw new Fault("Unexpected", `partition ${partition}`, { detail: `no effect ${run.src}` });
    }
  }

  private emitted(partition: number, event: PartitionEmit): void {
    const { cell, bus, worker, take, thaw, drop, changed, debug } = this.ports;
    switch (event.type) {
      case "warmed":
        return bus.publish(subjects.to(event.to, "warm"), JSON.stringify({ partition, worker, plan: event.plan }));
      case "cooled":
        return cell.cool(partition);
      case "taken": {
        const { own, contents } = this.loaded.get(partition) ?? {};
        this.loaded.delete(partition);
        if (!own || !contents) return;
        cell.hold(partition, own);
        debug("took a partition over", { partition, epoch: own.epoch, cause: own.cause, actors: contents.records.length });
        take({ partition, own, from: this.former.get(partition) ?? "", contents, recovered: own.cause === "crash" });
        return changed();
      }
      case "thawed":
        return thaw(partition);
      case "dropped": {
        const own = cell.roster.own(partition);
        debug(event.lost ? "lost a partition" : "handed a partition over", { partition, ...(own && { to: own.worker, epoch: own.epoch }) });
        drop(partition, own, event.lost);
        return changed();
      }
    }
  }

  private async coordinate(run: Run): Promise<null> {
    const { cell, clock } = this.ports;
    if (cell.steadySinceMs() === 0) return null;
    if (run.src === "stand") {
      const { worker } = cell.roster.coordinator;
      const before = cell.roster.member(worker);
      if (before && !before.gone) {
        // It may have shown up since we decided to stand.
        if (!isSuspect(Math.max(before.seenMs, cell.steadySinceMs()), clock.monoMs())) return null;
        // Told first that it is dead: if it lives, that is refused.
        await this.act({ do: "declare", worker, expect: before.sequence });
      }
      await cell.stand();
      this.look();
      return null;
    }
    if (this.isCalm()) return null;
    const { changes } = cell.roster;
    let acted = false;
    // Once more when somebody was declared dead: what it owned is homeless from then on.
    for (let round = 0; round < 2; round++) {
      const acts = coordinate(cell.roster.view(cell.steadySinceMs()));
      acted ||= acts.length > 0;
      // Who is dead comes before who gets what was theirs; plans are each for themselves.
      for (const act of acts) if (!isPlan(act)) await this.act(act);
      await Promise.all(acts.filter(isPlan).map((act) => this.act(act)));
      if (!acts.some((act) => act.do === "declare")) break;
    }
    this.calm = { changes: acted ? -1 : changes, atMs: clock.monoMs() };
    this.look();
    return null;
  }

  /** Whether the last round found nothing to do and none can since: placing a thousand partitions costs milliseconds. */
  private isCalm(): boolean {
    const { cell, clock } = this.ports;
    const { roster } = cell;
    const nowMs = clock.monoMs();
    // Time alone makes suspects of the silent; it settles those that joined, which is looked for now and then.
    const silent = roster.everyMember().some(({ gone, seenMs }) => !gone && isSuspect(Math.max(seenMs, cell.steadySinceMs()), nowMs));
    return !silent && roster.changes === this.calm.changes && nowMs - this.calm.atMs < joinMs;
  }

  private async act(act: Act): Promise<void> {
    const { cell, worker, debug } = this.ports;
    if (act.do === "declare") debug("declares a worker dead", { worker: act.worker });
    try {
      await cell.perform(act, `${worker}-${++this.plans}`);
    } catch (thrown) {
      // Somebody else was faster, or NATS is away: the next round looks again.
      if (!(thrown instanceof LogError)) throw thrown;
      await cell.roster.reread();
      throw thrown;
    }
  }
}
