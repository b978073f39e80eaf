/** One chart by hand: events, answers and time in; state, runs, timers and messages out. Restored between any two events. */
import type { AnyEventObject, AnyStateMachine } from "xstate";
import { answered, begin, failed, step } from "#machines/step.ts";
import type { FaultCode } from "#protocol/errors/fault.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import { parseActorRecord, type ActorRecord } from "#protocol/records/actor.ts";

export class Play<Context> {
  record: ActorRecord;
  nowMs = 0;
  /** Everything said so far. */
  readonly emits: AnyEventObject[] = [];
  private readonly machine: AnyStateMachine;

  constructor(machine: AnyStateMachine, key: string) {
    this.machine = machine;
    this.record = begin(machine, { key }, 0).record;
  }

  get state(): string {
    return String(this.record.snapshot["value"]);
  }

  get context(): Context {
    return this.record.snapshot.context as unknown as Context;
  }

  /** What runs, by name. */
  get running(): string {
    return this.record.runs.map(({ src }) => src).join();
  }

  /** In how many ms which timer fires. */
  get waits(): number[] {
    return this.record.timers.map(({ dueMs }) => dueMs - this.nowMs).sort((a, b) => a - b);
  }

  get notices(): Notice[] {
    return this.emits.filter(({ type }) => type === "notice") as unknown as Notice[];
  }

  get said(): string[] {
    return this.notices.map(({ reason }) => reason);
  }

  send(event: AnyEventObject): this {
    const stored = parseActorRecord(JSON.parse(JSON.stringify(this.record)));
    const { record, emits } = step(this.machine, stored, event, this.nowMs);
    if (record.snapshot.status === "error") throw new Error(`the chart failed on ${event.type}`);
    this.record = record;
    this.emits.push(...emits);
    return this;
  }

  answer(output: unknown = null): this {
    return this.send(answered(this.record.runs[0] ?? missing("run"), output));
  }

  fail(code: FaultCode, subject = "it"): this {
    return this.send(failed(this.record.runs[0] ?? missing("run"), { code, subject }));
  }

  /** Lets timers fire, one after the other, until one of them moves it on. */
  wait(): this {
    const { state } = this;
    while (this.state === state) {
      const next = [...this.record.timers].sort((x, y) => x.dueMs - y.dueMs)[0] ?? missing("timer");
      this.nowMs = next.dueMs;
      this.send(next.event);
    }
    return this;
  }
}

function missing(what: string): never {
  throw new Error(`there is no ${what}`);
}
