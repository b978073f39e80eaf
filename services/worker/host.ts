/**
 * Hosts actors. Takes an event, lets the chart decide, keeps the decision, and only then acts: makes the running tasks
 * and timers equal to what the record says. Start, step, recovery and hand-over share that one path. An actor at rest
 * leaves memory; of it stay an entry in the index and a place in the wheel until something comes for it.
 */
import type { AnyEventObject, AnyStateMachine } from "xstate";
import { answered, failed } from "#machines/step.ts";
import { Fault, type FaultData } from "#protocol/errors/fault.ts";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import type { HintKind } from "#protocol/names/subject.ts";
import type { ActorRecord, Run } from "#protocol/records/actor.ts";
import type { ActorSummary, HostOptions, HostPorts } from "./host-ports.ts";
import { IdleIndex } from "./idle-index.ts";
import { differs, recordText } from "./record-text.ts";
import {
  abortTasks, atRest, decideOn, earliestMs, factsHashOf, isAtRest, newResident, posted, setTimers, stateNameOf, takeDue, type Delivery, type Resident,
} from "./resident.ts";
import { Residents } from "./residents.ts";
import { Tasks } from "./tasks.ts";
import { Waking } from "./waking.ts";
import { Wheel } from "./wheel.ts";

export type { ActorSummary, EffectCall, HostOptions, HostPorts, Transition } from "./host-ports.ts";

/** Whoever is due so soon stays in memory: reading the record again would cost more. */
const soonMs = 5_000;
const sweepSlot = 0; // of the wheel: nobody's in the index

export class Host {
  private readonly ports: HostPorts;
  private readonly index = new IdleIndex();
  private readonly wheel: Wheel;
  private readonly tasks: Tasks;
  private readonly waking: Waking;
  private readonly memory: Residents;
  /** Partitions that stand still, each with the slots that came due meanwhile. */
  private readonly frozen = new Map<number, Set<number>>();
  /** Slots of actors that stand still, on their way to another place. */
  private readonly leaving = new Set<number>();
  private stopped = false;

  constructor(ports: HostPorts, { restMs = 60_000, mostResident = 20_000 }: HostOptions = {}) {
    this.ports = ports;
    this.memory = new Residents(restMs, mostResident, {
      nowMs: () => ports.clock.nowMs(),
      sweepAt: (ms) => this.wheel.arm(sweepSlot, ms),
      part: (live, isOver) => this.part(live, isOver),
    });
    this.tasks = new Tasks(ports.clock);
    this.wheel = new Wheel(ports.clock, (slot) => this.fire(slot));
    this.waking = new Waking({
      load: (key) => ports.load(key),
      fits: (slot, record) => record !== undefined && isAtRest(record) && this.index.isAsNoted(slot, atRest(record)),
      again: (slot, inMs) => this.wheel.arm(slot, ports.clock.nowMs() + inMs),
      isHeld: (partition) => this.frozen.has(partition),
      woken: ({ slot, key, queue }, record) => this.woke(slot, key, queue, record),
      damaged: ({ key }, thrown) => this.isDamaged(key, thrown),
    });
  }

  /** Takes an actor up from its record, or begins it. `recovered`: the owner before did not let go. `awake`: something waits for it. */
  adopt(key: ActorKey, record?: ActorRecord, { recovered = false, awake = false }: { recovered?: boolean; awake?: boolean } = {}): void {
    const machine = this.ports.machineOf(key.kind);
    if (!machine || this.stopped || this.index.find(key) !== 0) return;
    const slot = this.index.add(key);
    if (record && isAtRest(record) && (this.memory.isFull || !(awake || this.isSoon(record)))) this.leaveAtRest(slot, record);
    else this.takeUp(slot, key, machine, record, recovered);
  }

  /** Sets an actor aside: it answers nothing until its object changes. */
  quarantine(key: ActorKey, fault: FaultData): void {
    this.adopt(key);
    const slot = this.index.find(key);
    const machine = this.ports.machineOf(key.kind);
    if (slot === 0 || !machine) return;
    const live = this.memory.get(slot) ?? this.takeUp(slot, key, machine, undefined, false, this.waking.forget(slot));
    this.setAside(live, fault);
  }

  /** An event from outside. An actor nobody knows yet begins with it. */
  deliver(key: ActorKey, event: AnyEventObject, hint?: { kind: HintKind; seq: number }): void {
    if (this.stopped) return;
    const delivery: Delivery = { event, ...(hint && { hint }) };
    let slot = this.index.find(key);
    if (slot === 0) {
      if (event.type !== "object" || event["facts"] === null) return; // only its object brings an actor to life
      this.adopt(key);
      slot = this.index.find(key);
      if (slot === 0) return;
    }
    const live = this.memory.get(slot);
    if (live) this.enqueue(live, delivery);
    else this.wake(slot, delivery);
  }

  /**
   * From now on nothing of the partition is decided, begun or fired, and its tasks are told to stop; what comes waits.
   * Resolves when they have stopped, or had 5 s to, and no decision of theirs is being kept any more.
   */
  async freeze(partition: number): Promise<void> {
    if (!this.frozen.has(partition)) this.frozen.set(partition, new Set());
    const residents = this.memory.of(partition);
    for (const live of residents) abortTasks(live);
    await Promise.all([this.tasks.ended(partition), ...residents.map(({ working }) => working)]);
  }

  /** Goes on as if nothing had happened. */
  thaw(partition: number): void {
    const due = this.frozen.get(partition);
    if (!due || this.stopped) return;
    this.frozen.delete(partition);
    for (const live of this.memory.of(partition)) {
      if (live.kept && !live.quarantine && !live.working) this.act(live);
      if (isWaiting(live)) this.pump(live);
      this.memory.rests(live);
    }
    for (const slot of due) if (this.index.has(slot) && !this.memory.get(slot)) this.fire(slot);
    this.waking.resume(partition);
  }

  /**
   * Stops one actor, which is to go on in another place: its writes may end first, for that long. What comes for it now is
   * for the other place. Then either `remove` or `stay`.
   *
   * @returns its record as it is stored; undefined: there is none
   */
  async evict(key: ActorKey, writing: ReadonlySet<string>, withinMs: number): Promise<ActorRecord | undefined> {
    const slot = this.index.find(key);
    if (slot === 0) return undefined;
    const id = actorId(key);
    await this.tasks.quietActor({ id, partition: this.index.partitionAt(slot) }, writing, withinMs);
    this.leaving.add(slot);
    const live = this.memory.get(slot);
    if (!live) return this.ports.load(key);
    abortTasks(live);
    await Promise.all([this.tasks.actorEnded(id), live.working]);
    return live.kept ? live.record : undefined;
  }

  /** It is in another place now. */
  remove(key: ActorKey): void {
    const slot = this.index.find(key);
    if (slot !== 0) this.forget(slot);
  }

  /** It goes on here. */
  stay(key: ActorKey): void {
    const slot = this.index.find(key);
    if (!this.leaving.delete(slot) || this.stopped) return;
    const live = this.memory.get(slot);
    if (!live) return this.fire(slot);
    if (this.isFrozen(live)) return; // until its partition thaws
    if (live.kept && !live.quarantine && !live.working) this.act(live);
    if (isWaiting(live)) this.pump(live);
    this.memory.rests(live);
  }

  /** Forgets the partition's actors and what came for them; whatever of theirs still runs is told to stop. */
  release(partition: number): void {
    for (const slot of this.index.slotsOf(partition)) this.forget(slot);
    this.frozen.delete(partition);
  }

  /** Whether one of these effects is at work in the partition, told to stop or not. */
  busyWith(partition: number, sources: ReadonlySet<string>): boolean {
    return this.tasks.isBusy(partition, sources);
  }

  /** Waits until none of them is. False when one still is after that time. */
  quiet(partition: number, sources: ReadonlySet<string>, withinMs: number): Promise<boolean> {
    return this.tasks.quiet(partition, sources, withinMs);
  }

  /** Of an actor in memory. */
  record(key: ActorKey): ActorRecord | undefined {
    return this.memory.get(this.index.find(key))?.record;
  }

  /** Of any actor; one at rest is read and stays at rest. */
  async recordOf(key: ActorKey): Promise<ActorRecord | undefined> {
    const slot = this.index.find(key);
    return slot === 0 ? undefined : (this.memory.get(slot)?.record ?? this.ports.load(key));
  }

  stateOf(key: ActorKey): string | undefined {
    return this.summaryOf(key)?.state;
  }

  summaryOf(key: ActorKey): ActorSummary | undefined {
    const slot = this.index.find(key);
    return slot === 0 ? undefined : this.summary(slot);
  }

  quarantineOf(key: ActorKey): FaultData | null {
    return this.memory.get(this.index.find(key))?.quarantine ?? null;
  }

  /** Every actor, in memory or not. */
  *all(): Iterable<ActorSummary> {
    for (const slot of this.index.slots()) yield this.summary(slot);
  }

  /** Those in memory: all, or a partition's. */
  residents = (partition?: number): Iterable<Readonly<Pick<Resident, "key" | "record">>> =>
    partition === undefined ? this.memory.all() : this.memory.of(partition);

  get size(): number {
    return this.index.size;
  }

  get sizes(): { resident: number; cold: number; indexBytes: number } {
    const resident = this.memory.size;
    return { resident, cold: this.index.size - resident, indexBytes: this.index.sizeBytes + this.wheel.sizeBytes };
  }

  /** Stops acting. Records stay as they are: whoever comes next goes on from there. */
  stop(): void {
    this.stopped = true;
    for (const slot of this.index.slots()) this.forget(slot);
    this.waking.clear();
    this.wheel.stop();
  }

  private takeUp(
    slot: number, key: ActorKey, machine: AnyStateMachine, record: ActorRecord | undefined, recovered: boolean, queue: Delivery[] = [],
  ): Resident {
    const live = newResident(slot, key, machine, this.ports.clock.nowMs(), record, recovered);
    live.queue = queue;
    this.memory.enter(live);
    if (record && !this.isFrozen(live)) this.act(live);
    if (!record || queue.length > 0) this.pump(live);
    this.memory.rests(live);
    return live;
  }

  private enqueue(live: Resident, delivery: Delivery): void {
    if (live.gone) return;
    live.queue.push(delivery);
    this.pump(live);
  }

  private pump(live: Resident): void {
    if (live.working || live.gone || this.isFrozen(live)) return;
    this.memory.wakes(live);
    const { promise, resolve } = Promise.withResolvers<void>();
    live.working = promise;
    void this.decideAll(live).then(() => {
      live.working = null;
      resolve();
      if (isWaiting(live)) this.pump(live); // what came in the very last moment, or while the partition stood still
      else this.memory.rests(live);
    });
  }

  private async decideAll(live: Resident): Promise<void> {
    do
      try {
        await this.decide(live, live.queue.splice(0));
      } catch (thrown) {
        // Ownership is lost, or the chart failed: either way this actor must not act on what was not kept.
        if (!live.gone) this.setAside(live, Fault.from(thrown, actorId(live.key)).toJSON());
      }
    while (live.queue.length > 0 && !live.gone && !this.isFrozen(live));
  }

  private async decide(live: Resident, deliveries: Delivery[]): Promise<void> {
    const nowMs = this.ports.clock.nowMs();
    const before = live.record;
    const { record, emits } = decideOn(live, deliveries, nowMs);
    if (live.quarantine) return;
    // An actor that still has something to tell goes once it is told.
    const over = record.snapshot.status === "done" && record.outbox.length === 0;
    if (over || !live.kept || emits.length > 0 || differs(before, record)) {
      const hints = emits.flatMap((emitted) => this.ports.route(live.key, emitted));
      await this.ports.commit({ key: live.key, hints, ...(over ? { record: null } : { record, text: recordText(record) }) });
      if (live.gone) return;
      [live.record, live.kept] = [record, true];
      this.ports.kept({ key: live.key, before, after: record, emits, nowMs });
      if (over) return this.bury(live);
    } else live.record = record; // only `seen` moved: it is kept with the next decision, and a repeated hint is harmless
    if (!live.quarantine && !this.isFrozen(live)) this.act(live);
  }

  /** The actor is over. An object that came under its name meanwhile begins a new one. */
  private bury(live: Resident): void {
    const queue = [...live.later, ...live.queue.splice(0)];
    this.forget(live.slot);
    this.beginAgain(live.key, queue);
  }

  private beginAgain(key: ActorKey, queue: Delivery[]): void {
    const last = queue.findLast(({ event }) => event.type === "object");
    if (last) this.deliver(key, last.event, last.hint);
  }

  /** Make live tasks equal what the record says. */
  private act(live: Resident): void {
    const { record } = live;
    setTimers(live);
    this.wheel.arm(live.slot, earliestMs(live.timers.values()));
    const attempts = new Set(record.runs.map(({ attempt }) => attempt));
    for (const [attempt, controller] of live.tasks) {
      if (attempts.has(attempt)) continue;
      controller.abort();
      live.tasks.delete(attempt);
    }
    for (const run of record.runs) if (!live.tasks.has(run.attempt)) this.start(live, run);
    const untold = new Set(record.outbox.map(({ n }) => n as number));
    for (const n of live.telling) if (!untold.has(n)) live.telling.delete(n);
    for (const word of record.outbox) this.tell(live, word);
  }

  /** A slot's time has come. */
  private fire(slot: number): void {
    if (slot === sweepSlot) return this.memory.sweep();
    if (!this.index.has(slot)) return;
    if (this.leaving.has(slot)) return;
    const live = this.memory.get(slot);
    const dueMeanwhile = this.frozen.get(this.index.partitionAt(slot));
    if (dueMeanwhile) return void dueMeanwhile.add(slot);
    if (!live) return this.wake(slot);
    const due = takeDue(live, this.ports.clock.nowMs());
    this.wheel.arm(slot, earliestMs(live.timers.values()));
    for (const { event, dueMs } of due) this.enqueue(live, { event, timerDueMs: dueMs });
  }

  private start(live: Resident, run: Run): void {
    const { key, partition, record: { snapshot: { context } } } = live;
    const id = actorId(key);
    const recovered = run.attempt <= live.recoveredUpTo;
    const controller = this.tasks.start({ id, partition, src: run.src }, (ready, signal) => {
      const finish = (event: AnyEventObject, fault?: FaultData) => {
        if (signal.aborted) return; // nobody waits for this answer any more
        this.ports.ended(key, run, context, { endMs: this.ports.clock.nowMs(), ...(fault && { fault }) });
        this.enqueue(live, { event, attempt: run.attempt });
      };
      const work = ready.then(() => {
        signal.throwIfAborted();
        return this.ports.perform(run.src, { key, context, input: run.input, run, signal, recovered });
      });
      return work.then(
        (output) => finish(answered(run, output)),
        (thrown: unknown) => {
          const fault = Fault.from(thrown, id).toJSON();
          finish(failed(run, fault), fault);
        },
      );
    });
    live.tasks.set(run.attempt, controller);
  }

  private tell(live: Resident, entry: ActorRecord["outbox"][number]): void {
    const n = entry["n"] as number;
    if (live.telling.has(n)) return;
    live.telling.add(n); // until it is kept that it was told
    const done = () => this.enqueue(live, { event: { type: posted, n } });
    // A notice that cannot be told is dropped: the condition says the same, and the log has both.
    this.ports.tell(live.key, entry).then(done, done);
  }

  private setAside(live: Resident, fault: FaultData): void {
    this.halt(live);
    // Answers and timers belong to what was set aside; attempts of the actor that begins afresh count on from there.
    live.queue = live.queue.filter(({ attempt, timerDueMs }) => attempt === undefined && timerDueMs === undefined);
    live.quarantine = fault;
    this.ports.quarantined(live.key, fault);
  }

  private halt(live: Resident): void {
    this.wheel.disarm(live.slot);
    live.timers.clear();
    abortTasks(live);
  }

  private forget(slot: number): void {
    this.leaving.delete(slot);
    const live = this.memory.get(slot);
    if (live) {
      this.halt(live);
      this.memory.leave(live);
    }
    this.wheel.disarm(slot);
    this.waking.forget(slot);
    this.index.remove(slot);
  }

  private part(live: Resident, isOver: boolean): void {
    // Its timer, or the thaw, brings it back among those that rest.
    if (this.isFrozen(live) || (!isOver && this.isSoon(live.record))) return;
    this.memory.leave(live);
    this.leaveAtRest(live.slot, live.record);
  }

  private leaveAtRest(slot: number, record: ActorRecord): void {
    const noted = atRest(record);
    this.index.note(slot, noted);
    this.wheel.arm(slot, noted.dueMs);
  }

  private wake(slot: number, delivery?: Delivery): void {
    this.waking.wake(slot, () => ({ key: this.index.keyOf(slot), partition: this.index.partitionAt(slot) }), delivery);
  }

  /** The record of an actor at rest was read; without one the actor is gone. */
  private woke(slot: number, key: ActorKey, queue: Delivery[], record: ActorRecord | undefined): void {
    const machine = this.ports.machineOf(key.kind);
    if (machine && record) return void this.takeUp(slot, key, machine, record, false, queue);
    this.forget(slot);
    this.beginAgain(key, queue);
  }

  private isDamaged(key: ActorKey, thrown: unknown): boolean {
    if (!(thrown instanceof Fault) || thrown.code !== "RecordUnreadable") return false;
    this.quarantine(key, thrown.toJSON());
    return true;
  }

  private isSoon(record: ActorRecord): boolean {
    return earliestMs(record.timers) - this.ports.clock.nowMs() < soonMs;
  }

  private isFrozen({ partition, slot }: { partition: number; slot: number }): boolean {
    return this.frozen.has(partition) || this.leaving.has(slot);
  }

  private summary(slot: number): ActorSummary {
    const live = this.memory.get(slot);
    const key = this.index.keyOf(slot);
    if (!live) {
      const { state, factsHash } = this.index.noted(slot);
      return { key, state, busy: false, factsHash };
    }
    return { key, state: stateNameOf(live.record), busy: live.record.busySinceMs !== undefined, factsHash: factsHashOf(live.record) };
  }
}

/** Something is to be decided. */
const isWaiting = ({ queue, kept, quarantine }: Resident): boolean => queue.length > 0 || (!kept && quarantine === null);
