/**
 * Hosts actors. Takes an event, lets the chart decide, keeps the decision, and only then acts: makes the running tasks
 * and timers equal to what the record says. Start, step, recovery and hand-over share that one path.
 */
import type { AnyEventObject, AnyStateMachine } from "xstate";
import { answered, begin, failed, step } from "#machines/step.ts";
import { Fault, type FaultData } from "#protocol/errors/fault.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import type { HintKind } from "#protocol/names/subject.ts";
import type { ActorRecord, Run } from "#protocol/records/actor.ts";
import type { Hint, Write } from "#services/store/cell.ts";
import type { Clock } from "#services/store/clock.ts";



export type EffectCall = { key: ActorKey; context: Record<string, unknown>; input: unknown; run: Run; signal: AbortSignal };

export type Transition = { key: ActorKey; before: ActorRecord; after: ActorRecord; emits: AnyEventObject[]; nowMs: number };

export type HostPorts = {
  clock: Clock;
  /** The chart for a kind of actor; undefined for a kind this worker does not know. */
  machineOf(kind: string): AnyStateMachine | undefined;
  /** Resolves once the write is durable and was accepted under our fence. Rejects only when ownership is lost. */
  commit(write: Write): Promise<void>;
  perform(src: string, call: EffectCall): Promise<unknown>;
  /** Whom an emitted event concerns. */
  route(from: ActorKey, emitted: AnyEventObject): Hint[];
  /** Tells people; a notice is offered again after a crash until it was told. */
  tell(key: ActorKey, notice: Notice): Promise<void>;
  /** What came of a run, for traces. */
  ended(key: ActorKey, run: Run, context: Record<string, unknown>, outcome: { endMs: number; fault?: FaultData }): void;
  /** After a decision was kept. */
  kept(transition: Transition): void;
  /** An actor whose record or chart failed: it does nothing until its object changes. */
  quarantined(key: ActorKey, fault: FaultData): void;
};

type Delivery = { event: AnyEventObject; attempt?: number; timerDueMs?: number; hint?: { kind: HintKind; seq: number } };

type Live = {
  key: ActorKey;
  machine: AnyStateMachine;
  record: ActorRecord;
  /** The record is in the store: false only for an actor that was just begun. */
  kept: boolean;
  queue: Delivery[];
  /** What came after the actor's end, for the actor that begins under its name. */
  later: Delivery[];
  working: boolean;
  tasks: Map<number, AbortController>;
  timers: Map<string, () => void>;
  telling: Set<number>;
  quarantine: FaultData | null;
};

const posted = "flotilla.posted";

/** How long a task may take to heed its signal before the next one of its actor begins all the same. */
const graceMs = 5_000;

export class Host {
  private readonly ports: HostPorts;
  private readonly actors = new Map<string, Live>();
  /** Tasks that were told to stop and have not yet, by actor: they may outlive it. */
  private readonly ending = new Map<string, Set<Promise<void>>>();
  private stopped = false;

  constructor(ports: HostPorts) {
    this.ports = ports;
  }

  /** Takes an actor up from its record, or begins it. */
  adopt(key: ActorKey, record?: ActorRecord): void {
    const id = actorId(key);
    const machine = this.ports.machineOf(key.kind);
    if (!machine || this.actors.has(id)) return;
    const live: Live = {
      key, machine, record: record ?? begin(machine, { key: id }, this.ports.clock.nowMs()).record, kept: record !== undefined,
      queue: [], later: [], working: false, tasks: new Map(), timers: new Map(), telling: new Set(),
      quarantine: null,
    };
    this.actors.set(id, live);
    if (record) this.act(live);
    else void this.pump(live);
  }

  /** Sets an actor aside: it answers nothing until its object changes. */
  quarantine(key: ActorKey, fault: FaultData): void {
    this.adopt(key);
    const live = this.actors.get(actorId(key));
    if (live) this.setAside(live, fault);
  }

  /** An event from outside. An actor nobody knows yet begins with it. */
  deliver(key: ActorKey, event: AnyEventObject, hint?: { kind: HintKind; seq: number }): void {
    if (this.stopped) return;
    if (!this.actors.has(actorId(key))) {
      if (event.type !== "object" || event["facts"] === null) return; // only its object brings an actor to life
      this.adopt(key);
    }
    const live = this.actors.get(actorId(key));
    if (live) this.enqueue(live, { event, ...(hint && { hint }) });
  }

  record(key: ActorKey): ActorRecord | undefined {
    return this.actors.get(actorId(key))?.record;
  }

  quarantineOf(key: ActorKey): FaultData | null {
    return this.actors.get(actorId(key))?.quarantine ?? null;
  }

  *all(): Iterable<{ key: ActorKey; record: ActorRecord }> {
    for (const { key, record } of this.actors.values()) yield { key, record };
  }

  get size(): number {
    return this.actors.size;
  }

  /** Stops acting. Records stay as they are: whoever comes next goes on from there. */
  stop(): void {
    this.stopped = true;
    for (const live of this.actors.values()) this.halt(live);
    this.actors.clear();
  }

  private enqueue(live: Live, delivery: Delivery): void {
    if (this.actors.get(actorId(live.key)) !== live) return; // stopped, or over: another may go by its name by now
    live.queue.push(delivery);
    void this.pump(live);
  }

  private async pump(live: Live): Promise<void> {
    if (live.working) return;
    live.working = true;
    do
      try {
        await this.decide(live, live.queue.splice(0));
      } catch (thrown) {
        // Ownership is lost, or the chart failed: either way this actor must not act on what was not kept.
        if (!this.stopped) this.setAside(live, Fault.from(thrown, actorId(live.key)).toJSON());
      }
    while (live.queue.length > 0 && !this.stopped);
    live.working = false;
  }

  private async decide(live: Live, deliveries: Delivery[]): Promise<void> {
    const nowMs = this.ports.clock.nowMs();
    const before = live.record;
    let record = live.record;
    const emits: AnyEventObject[] = [];
    for (const [index, delivery] of deliveries.entries()) {
      const { event, hint } = delivery;
      if (live.quarantine) {
        if (event.type !== "object") continue;
        live.quarantine = null; // the object changed, or a reconcile was asked for: begin afresh
        const { outbox, attempts } = record;
        record = { ...begin(live.machine, { key: actorId(live.key) }, nowMs, attempts).record, outbox };
      }
      if (!isExpected(record, delivery)) continue;
      if (event.type === posted) record = { ...record, outbox: record.outbox.filter(({ n }) => n !== event["n"]) };
      else if (record.snapshot.status === "done") live.later.push(delivery);
      else
        try {
          const decision = step(live.machine, record, event, nowMs);
          if (decision.record.snapshot.status === "error") throw new Fault("Unexpected", actorId(live.key), { detail: `chart failed on ${event.type}` });
          ({ record } = decision);
          emits.push(...decision.emits);
        } catch (thrown) {
          live.queue.unshift(...deliveries.slice(index + 1)); // its object may be among them
          throw thrown;
        }
      if (hint) record = { ...record, seen: { ...record.seen, [hint.kind]: hint.seq } };
    }
    if (live.quarantine) return;
    const notices = emits.filter(({ type }) => type === "notice");
    if (notices.length > 0) record = { ...record, ...numbered(record, notices) };

    // An actor that still has something to tell goes once it is told.
    const over = record.snapshot.status === "done" && record.outbox.length === 0;
    if (over || !live.kept || emits.length > 0 || differs(before, record)) {
      const hints = emits.flatMap((emitted) => this.ports.route(live.key, emitted));
      await this.ports.commit({ key: live.key, record: over ? null : record, hints });
      if (this.stopped) return;
      live.record = record;
      live.kept = true;
      this.ports.kept({ key: live.key, before, after: record, emits, nowMs });
      if (over) return this.bury(live);
    } else live.record = record; // only `seen` moved: it is kept with the next decision, and a repeated hint is harmless
    if (!live.quarantine) this.act(live);
  }

  /** The actor is over. An object that came under its name meanwhile begins a new one. */
  private bury(live: Live): void {
    this.halt(live);
    this.actors.delete(actorId(live.key));
    const last = [...live.later, ...live.queue.splice(0)].findLast(({ event }) => event.type === "object");
    if (last) this.deliver(live.key, last.event, last.hint);
  }

  /** Make live tasks equal what the record says. */
  private act(live: Live): void {
    const { record } = live;
    const dueIds = new Set(record.timers.map(timerKey));
    for (const [id, cancel] of live.timers) {
      if (dueIds.has(id)) continue;
      cancel();
      live.timers.delete(id);
    }
    for (const timer of record.timers) {
      const id = timerKey(timer);
      if (live.timers.has(id)) continue;
      live.timers.set(id, this.ports.clock.at(timer.dueMs, () => {
        live.timers.delete(id);
        this.enqueue(live, { event: timer.event, timerDueMs: timer.dueMs });
      }));
    }
    const attempts = new Set(record.runs.map(({ attempt }) => attempt));
    for (const [attempt, controller] of live.tasks) {
      if (attempts.has(attempt)) continue;
      controller.abort();
      live.tasks.delete(attempt);
    }
    for (const run of record.runs) if (!live.tasks.has(run.attempt)) this.start(live, run);
    for (const notice of record.outbox) this.tell(live, notice);
  }

  private start(live: Live, run: Run): void {
    const controller = new AbortController();
    live.tasks.set(run.attempt, controller);
    const { context } = live.record.snapshot;
    const finish = (event: AnyEventObject, fault?: FaultData) => {
      if (controller.signal.aborted || this.stopped) return; // nobody waits for this answer any more
      this.ports.ended(live.key, run, context, { endMs: this.ports.clock.nowMs(), ...(fault && { fault }) });
      this.enqueue(live, { event, attempt: run.attempt });
    };
    const { signal } = controller;
    const work = this.quiet(actorId(live.key)).then(() => {
      signal.throwIfAborted();
      return this.ports.perform(run.src, { key: live.key, context, input: run.input, run, signal });
    });
    const ended = work.then(
      (output) => finish(answered(run, output)),
      (thrown: unknown) => {
        const fault = Fault.from(thrown, actorId(live.key)).toJSON();
        finish(failed(run, fault), fault);
      },
    );
    signal.addEventListener("abort", () => this.seeOff(actorId(live.key), ended));
  }

  private seeOff(id: string, ended: Promise<void>): void {
    const ending = this.ending.get(id) ?? new Set();
    this.ending.set(id, ending.add(ended));
    void ended.then(() => {
      ending.delete(ended);
      if (ending.size === 0 && this.ending.get(id) === ending) this.ending.delete(id);
    });
  }

  /**
   * Resolves when no former task of the actor is at work. An abort stops nothing that is on its way already: what the
   * former one still has in flight must not land in the middle of what the next one does.
   */
  private async quiet(id: string): Promise<void> {
    const ending = this.ending.get(id);
    if (!ending) return;
    const { clock } = this.ports;
    let cancel = () => {};
    const grace = new Promise<void>((resolve) => { cancel = clock.at(clock.nowMs() + graceMs, resolve); });
    await Promise.race([Promise.all(ending), grace]);
    cancel();
  }

  private tell(live: Live, entry: ActorRecord["outbox"][number]): void {
    const n = entry["n"] as number;
    if (live.telling.has(n)) return;
    live.telling.add(n);
    const done = () => {
      live.telling.delete(n);
      if (!this.stopped) this.enqueue(live, { event: { type: posted, n } });
    };
    // A notice that cannot be told is dropped: the condition says the same, and the log has both.
    this.ports.tell(live.key, entry as unknown as Notice).then(done, done);
  }

  private setAside(live: Live, fault: FaultData): void {
    this.halt(live);
    // Answers and timers belong to what was set aside; attempts of the actor that begins afresh count on from there.
    live.queue = live.queue.filter(({ attempt, timerDueMs }) => attempt === undefined && timerDueMs === undefined);
    live.quarantine = fault;
    this.ports.quarantined(live.key, fault);
  }

  private halt(live: Live): void {
    for (const cancel of live.timers.values()) cancel();
    for (const controller of live.tasks.values()) controller.abort();
    live.timers.clear();
    live.tasks.clear();
  }
}

/** Late answers, timers that were cancelled or moved, and hints seen before count for nothing. */
function isExpected(record: ActorRecord, { event, attempt, timerDueMs, hint }: Delivery): boolean {
  if (attempt !== undefined) return record.runs.some((run) => run.attempt === attempt);
  if (timerDueMs !== undefined) return record.timers.some((timer) => timer.event.type === event.type && timer.dueMs === timerDueMs);
  return hint === undefined || hint.seq > (record.seen[hint.kind] ?? 0);
}

function numbered(record: ActorRecord, notices: AnyEventObject[]): Pick<ActorRecord, "outbox" | "attempts"> {
  let { attempts } = record;
  return { outbox: [...record.outbox, ...notices.map((notice) => ({ ...notice, n: ++attempts }))], attempts };
}

const timerKey = ({ id, dueMs }: ActorRecord["timers"][number]): string => `${id}@${dueMs}`;

/** Whether whoever takes over would go on differently; a higher `seen` alone is not worth a write. */
const differs = (before: ActorRecord, after: ActorRecord): boolean =>
  before.snapshot["value"] !== after.snapshot["value"] || before.attempts !== after.attempts || contents(before) !== contents(after);

const contents = ({ seen: _, ...rest }: ActorRecord): string => JSON.stringify(rest);
