/** A chart whose record is kept in memory only: what it decides on is written down elsewhere already. */
import type { AnyEventObject, AnyStateMachine } from "xstate";
import { answered, begin, failed, step } from "#machines/step.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ActorRecord, Run } from "#protocol/records/actor.ts";
import type { Clock } from "#services/store/clock.ts";

export type ChartPorts = {
  clock: Clock;
  perform(run: Run, signal: AbortSignal): Promise<unknown>;
  emitted(event: AnyEventObject): void;
};

export class Chart {
  private readonly machine: AnyStateMachine;
  private readonly ports: ChartPorts;
  private record: ActorRecord;
  private readonly tasks = new Map<number, AbortController>();
  private readonly timers = new Map<string, () => void>();
  private stopped = false;

  constructor(machine: AnyStateMachine, input: unknown, ports: ChartPorts) {
    this.machine = machine;
    this.ports = ports;
    this.record = begin(machine, input, ports.clock.nowMs()).record;
    this.act();
  }

  get state(): string {
    return String(this.record.snapshot["value"]);
  }

  send(event: AnyEventObject): void {
    if (this.stopped) return;
    const { record, emits } = step(this.machine, this.record, event, this.ports.clock.nowMs());
    this.record = record;
    this.act();
    for (const emitted of emits) this.ports.emitted(emitted);
  }

  stop(): void {
    this.stopped = true;
    for (const cancel of this.timers.values()) cancel();
    for (const controller of this.tasks.values()) controller.abort();
  }

  private act(): void {
    const { timers, runs } = this.record;
    const { clock } = this.ports;
    const due = new Map(timers.map((timer) => [`${timer.id}@${timer.dueMs}`, timer]));
    for (const [id, cancel] of this.timers) if (!due.has(id) && this.timers.delete(id)) cancel();
    for (const [id, { event, dueMs }] of due)
      if (!this.timers.has(id)) this.timers.set(id, clock.at(dueMs, () => { if (this.timers.delete(id)) this.send(event); }));
    const wanted = new Set(runs.map(({ attempt }) => attempt));
    for (const [attempt, controller] of this.tasks) if (!wanted.has(attempt) && this.tasks.delete(attempt)) controller.abort();
    for (const run of runs) if (!this.tasks.has(run.attempt)) this.start(run);
  }

  private start(run: Run): void {
    const controller = new AbortController();
    this.tasks.set(run.attempt, controller);
    const finish = (event: AnyEventObject) => { if (this.tasks.delete(run.attempt)) this.send(event); };
    // A tick later: an effect that is over at once must not answer before the decision is made.
    Promise.resolve().then(() => (controller.signal.aborted ? null : this.ports.perform(run, controller.signal))).then(
      (output) => finish(answered(run, output ?? null)),
      (thrown: unknown) => finish(failed(run, Fault.from(thrown, this.machine.id).toJSON())),
    );
  }
}
