/**
 * One worker's hold on a cell: what it owns, under which token, and until when it may act. It reads and writes; which
 * partition to take, to let go or to give to whom is decided in machines/partition and machines/rules/coordination.ts.
 */
import type { Act, Assignment, Own, Want } from "#machines/rules/coordination.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { actorId, parseActorId, partitionCount, partitionOf, placedAt, type ActorKey } from "#protocol/names/actor.ts";
import { subject, type HintKind } from "#protocol/names/subject.ts";
import { parseActorRecord, type ActorRecord } from "#protocol/records/actor.ts";
import { cellConfig, type OwnRecord } from "#protocol/records/cell.ts";
import { sleep, type Clock } from "./clock.ts";
import { Committer, ownData, ownOf } from "./committer.ts";
import { Gathered } from "./gathered.ts";
import type { About, Heart } from "./heart.ts";
import { parseJson } from "./json.ts";
import { packed, unpacked } from "./packed.ts";
import { LogError, type Log, type Message } from "./log.ts";
import { anyChange, Mail, type Delivered } from "./mail.ts";
import { PartitionReader, type Contents } from "./partition-reader.ts";
import { deathMark, Roster } from "./roster.ts";
import { tombstoneTtlSeconds, Transfers } from "./transfers.ts";

export type Hint = { to: ActorKey; kind: HintKind; body: unknown };

/** One actor's news, kept together: its record (null: the actor is over), what it tells other actors, whom it waits for. */
export type Write = {
  key: ActorKey;
  record: ActorRecord | null;
  hints: Hint[];
  /** The record as JSON, where it is at hand. */
  text?: string;
  /** Actors it waits for from now on, and those it waits for no longer. */
  awaits?: { add: { key: ActorKey; any?: boolean }[]; drop: ActorKey[] };
};

export type HeartCallbacks = { onLost(reason: string): void; stillOwns(): Promise<boolean> };

export type CellOptions = {
  worker: string;
  clock: Clock;
  /** Which cluster's objects are reconciled here: another cluster's worker is refused. */
  hubId: string;
  about: About;
  startHeart(callbacks: HeartCallbacks): Heart;
  onOwn(partition: number, own: Own): void;
  onWant(partition: number, want: Want | undefined): void;
  /** A key has a shard from now on. */
  onShards?(): void;
  /** Another worker wrote the owner record of a partition of ours. */
  onFenced(partition: number, detail: string): void;
  onHint(hint: Delivered): void;
  onAwaited(awaited: ActorKey, waiter: ActorKey, missed: boolean): void;
  /** Nothing may be written any more: this worker was held for dead. */
  onLost(reason: string): void;
  /** How long a batch took, and how many writes it had. */
  onCommit?(ms: number, writes: number): void;
  onUnreadable(subject: string, detail: string): void;
};

const hintTtlSeconds = 24 * 3600; // an undelivered hint older than this is repaired by the interval anyway
const assignmentsInBatch = 200;

export class Cell {
  readonly roster: Roster;
  /** Between home and shards. */
  readonly transfers: Transfers;
  private readonly log: Log;
  private readonly options: CellOptions;
  private readonly committer: Committer;
  private readonly mail: Mail;
  private readonly reader: PartitionReader;
  /** What moves partitions: many move at a time. */
  private readonly moves: Gathered;
  private readonly heart: Heart;
  /** Partitions whose mail is for us: from the moment they are being taken. */
  private readonly receiving = new Set<number>();
  /** What came for a partition while it was being taken: its actors are not there yet. */
  private readonly early = new Map<number, Delivered[]>();
  private closed = false;

  constructor(log: Log, options: CellOptions) {
    const { worker, clock } = options;
    this.log = log;
    this.options = options;
    this.roster = new Roster(log, {
      worker, clock, onOwn: options.onOwn, onWant: options.onWant, ...(options.onShards && { onShards: options.onShards }), onUnreadable: options.onUnreadable,
    });
    this.committer = new Committer(log, {
      worker, clock, onFenced: options.onFenced, ...(options.onCommit && { onCommit: options.onCommit }),
    });
    this.transfers = new Transfers(log, this.committer, this.roster, (key) => this.read(key));
    this.mail = new Mail(log, {
      clock, isOurs: (partition) => this.receiving.has(partition), deliver: (hint) => this.deliver(hint), awaited: options.onAwaited, onUnreadable: options.onUnreadable,
    });
    this.reader = new PartitionReader(log, clock, options.onUnreadable);
    this.moves = new Gathered(log);
    this.heart = options.startHeart({ onLost: (reason) => this.lose(reason), stillOwns: () => this.stillOwns() });
  }

  /** Joins the cell. Owns nothing yet. @throws Fault CellMismatch, CellTaken */
  async join(): Promise<void> {
    await this.agree();
    await this.committer.insist(() => this.roster.start());
    if (this.options.about.shard) await this.transfers.found(this.options.about.shard, () => this.see(subject.shards));
    this.heart.say(this.options.about);
    await this.heart.start(); // whoever finds our name in an owner record finds our heartbeat too
    this.mail.start();
  }

  say(about: About): void {
    this.heart.say(about);
  }

  // What actors need

  /** Resolves once everything is durable; rejects when it never will be. */
  commit({ key, record, hints, text, awaits }: Write): Promise<void> {
    const snapshot: Message = record
      ? { subject: subject.snapshot(key), data: packed(text ?? JSON.stringify(record)) }
      : { subject: subject.snapshot(key), data: "", ttlSeconds: tombstoneTtlSeconds };
    const waits = [
      ...(awaits?.add ?? []).map(({ key: awaited, any }): Message => ({ subject: subject.dependent(awaited, placedAt(key)), data: any ? anyChange : "1" })),
      ...(awaits?.drop ?? []).map((awaited): Message => ({ subject: subject.dependent(awaited, placedAt(key)), data: "", ttlSeconds: tombstoneTtlSeconds })),
    ];
    return this.committer.write([snapshot, ...waits, ...hints.map(message)], partitionOf(key));
  }

  /**
   * A hint that belongs to no decision: what a watch or a webhook saw. Fenced where we own its actor: a try that was given
   * up must not land after a later hint, and what a former owner saw is not news.
   */
  send(hint: Hint): Promise<void> {
    const partition = partitionOf(hint.to);
    return this.committer.write([message(hint)], this.committer.token(partition) && partition);
  }

  /** The record of any actor, whoever owns it, as it was written last. @throws Fault RecordUnreadable */
  async read(key: ActorKey): Promise<ActorRecord | undefined> {
    const stored = await this.log.read(subject.snapshot(key));
    if (!stored || stored.data === "") return undefined;
    try {
      return parseActorRecord(unpacked(stored.data));
    } catch (cause) {
      throw new Fault("RecordUnreadable", actorId(key), { cause });
    }
  }

  /** Who waits for it; `any`: of those alone who want to know of every change. */
  dependentsOf(awaited: ActorKey, any = false): ActorKey[] {
    return any ? this.mail.dependentsOf(awaited, anyChange) : this.mail.dependentsOf(awaited);
  }

  /** Ids of what is awaited in our partitions. */
  awaited(): Iterable<string> {
    return this.mail.awaited();
  }

  /** Call in the same tick as every write to the outside. @throws Fault LeaseLost */
  guard(key: ActorKey): void {
    this.guardPartition(partitionOf(key));
  }

  guardPartition(partition: number): void {
    if (!this.holds() || !this.committer.token(partition)) throw new Fault("LeaseLost", `partition ${partition}`);
  }

  /** Whether this worker may act at all. */
  holds(): boolean {
    return !this.closed && this.options.clock.monoMs() < this.heart.state().leaseUntilMs;
  }

  /** How long this worker may still act without hearing from NATS. */
  leaseLeftMs(): number {
    return this.closed ? 0 : Math.max(0, this.heart.state().leaseUntilMs - this.options.clock.monoMs());
  }

  owns(partition: number): boolean {
    return this.committer.token(partition) !== undefined;
  }

  get owned(): number[] {
    return this.committer.partitions;
  }

  /** The epoch under which we own the key's partition. */
  epochOf(key: ActorKey): number {
    return this.committer.token(partitionOf(key))?.epoch ?? 0;
  }

  // What the partition chart asks for

  ahead(partition: number): Promise<void> {
    return this.reader.ahead(partition);
  }

  cool(partition: number): void {
    this.reader.forget(partition);
    if (this.owns(partition)) return;
    this.receiving.delete(partition);
    this.early.delete(partition);
  }

  /** Reads everything the owner before wrote. From now on its mail comes to us. @throws Fault RecordTooNew, LeaseLost */
  load(partition: number, sequence: number, isOver: () => boolean): Promise<Contents> {
    this.receiving.add(partition);
    this.early.set(partition, this.early.get(partition) ?? []);
    return this.reader.upTo(partition, sequence, () => this.closed || isOver());
  }

  /** From now on we write to it. */
  hold(partition: number, { sequence, epoch }: Own): void {
    this.committer.hold(partition, { sequence, epoch });
  }

  /** Delivers what lay in its mailboxes. */
  openMail(partition: number, contents: Contents): void {
    const early = this.early.get(partition) ?? [];
    this.early.delete(partition);
    this.mail.take(partition, contents, this.committer.token(partition)?.sequence ?? 0);
    for (const hint of early) this.options.onHint(hint);
  }

  /** Who owns it, whatever copies say. */
  async seek(partition: number): Promise<Own | undefined> {
    await this.committer.insist(() => this.see(subject.own(partition)));
    return this.roster.own(partition);
  }

  /** Resolves when nothing of it is under way. */
  settled(partition: number): Promise<void> {
    return this.committer.idle(partition);
  }

  /** Writes the next owner's name in the place of ours; resolves when it stands there, or anybody's but ours. */
  async release(partition: number, to: string): Promise<void> {
    const own = this.roster.own(partition);
    const token = this.committer.token(partition) ?? (own?.worker === this.options.worker ? own : undefined);
    this.committer.drop(partition);
    if (!token) return;
    const name = subject.own(partition);
    const data = ownData(to, token.epoch + 1, to === "" ? "claim" : "handover");
    try {
      const sequence = await this.moves.publish({ subject: name, data, expectLast: token.sequence });
      this.roster.take({ subject: name, sequence, data });
    } catch (thrown) {
      const stored = await this.log.read(name);
      if (!stored) throw thrown;
      this.roster.take(stored);
      if (ownOf(stored.data).worker === this.options.worker) throw thrown;
    }
  }

  /** It is not ours any more. */
  drop(partition: number): void {
    this.committer.drop(partition);
    this.receiving.delete(partition);
    this.early.delete(partition);
    this.mail.drop(partition, parseActorId);
    this.reader.forget(partition);
  }

  // What the coordinator asks for

  steadySinceMs(): number {
    return this.holds() ? this.heart.state().steadySinceMs : 0;
  }

  /** @throws LogError `fenced` when somebody else was faster */
  async stand(): Promise<void> {
    const { term, sequence } = this.roster.coordinator;
    const data = JSON.stringify({ v: 1, worker: this.options.worker, term: term + 1 });
    await this.publishKnown({ subject: subject.coordinator, data, expectLast: sequence });
  }

  async perform(act: Act, plan: string): Promise<void> {
    switch (act.do) {
      case "declare":
        return this.publishKnown({ subject: subject.member(act.worker), data: deathMark, expectLast: act.expect, ttlSeconds: tombstoneTtlSeconds });
      case "want":
        return this.publishKnown({ subject: subject.want(act.partition), data: JSON.stringify({ v: 1, from: act.from, to: act.to, plan }) }, this.moves);
      case "unwant":
        return this.publishKnown({ subject: subject.want(act.partition), data: "", expectLast: act.expect, ttlSeconds: tombstoneTtlSeconds }, this.moves);
      case "assign": {
        // At once: taking up the first keeps this worker too busy to give out the rest.
        const batches: Assignment[][] = [];
        for (let at = 0; at < act.assignments.length; at += assignmentsInBatch) batches.push(act.assignments.slice(at, at + assignmentsInBatch));
        await Promise.all(batches.map((batch) => this.assign(batch)));
      }
    }
  }

  /** What it costs to host each partition, for whoever coordinates. */
  async report(costs: Record<string, number>): Promise<void> {
    await this.log.publish({ subject: subject.load(this.options.worker), data: JSON.stringify({ v: 1, costs }), ttlSeconds: 120 });
  }

  /** Lets go: what is queued is written, what is still ours is nobody's, and a successor need not wait for a lease to run out. */
  async close(): Promise<void> {
    if (this.closed) return;
    await Promise.race([this.committer.idle(), sleep(this.options.clock, 2_000)]);
    const mine = this.owned.flatMap((partition) => {
      const token = this.committer.token(partition);
      return token ? [{ partition, token }] : [];
    });
    this.end();
    for (let at = 0; at < mine.length; at += assignmentsInBatch) {
      const batch = mine.slice(at, at + assignmentsInBatch).map(({ partition, token: { epoch, sequence } }): Message =>
        ({ subject: subject.own(partition), data: ownData("", epoch + 1, "claim"), expectLast: sequence }));
      await this.log.publishAll(batch).catch(() => undefined); // the lease runs out by itself
    }
    await this.heart.stop();
  }

  private deliver(hint: Delivered): void {
    const early = this.early.get(partitionOf(hint.key));
    if (early) early.push(hint);
    else this.options.onHint(hint);
  }

  private end(): void {
    this.closed = true;
    this.roster.close();
    this.mail.close();
    this.committer.close();
  }

  private lose(reason: string): void {
    if (this.closed) return;
    this.end();
    this.options.onLost(reason);
  }

  private async publishKnown(said: Message & { data: string }, through: Pick<Log, "publish"> = this.log): Promise<void> {
    try {
      const sequence = await through.publish(said);
      this.roster.take({ subject: said.subject, sequence, data: said.data });
    } catch (thrown) {
      if (thrown instanceof LogError && thrown.kind === "fenced") await this.see(said.subject);
      throw thrown;
    }
  }

  /** What stands there now, read where it was written: a copy may have got lost, and what ran out leaves none. */
  private async see(name: string): Promise<void> {
    const stored = await this.log.read(name);
    if (stored) this.roster.take(stored);
    else this.roster.vanished(name);
  }

  private async assign(assignments: Assignment[]): Promise<void> {
    const messages = assignments.map(({ partition, to, epoch, cause, expect }): Message & { data: string } =>
      ({ subject: subject.own(partition), data: ownData(to, epoch, cause as OwnRecord["cause"]), expectLast: expect }));
    const last = await this.log.publishAll(messages).catch(async (thrown: unknown) => {
      if (!(thrown instanceof LogError) || thrown.kind !== "fenced") throw thrown;
      const [first, ...more] = messages;
      if (first) await (more.length === 0 ? this.see(first.subject) : this.assignHalves(assignments)); // one must not hold up the others
      return undefined;
    });
    if (last === undefined) return;
    // A batch is stored in one piece.
    for (const [i, { subject: name, data }] of messages.entries()) this.roster.take({ subject: name, sequence: last - (messages.length - 1 - i), data });
  }

  private async assignHalves(assignments: Assignment[]): Promise<void> {
    const middle = assignments.length >> 1;
    for (const half of [assignments.slice(0, middle), assignments.slice(middle)]) await this.assign(half);
  }

  /** Whether every partition that we hold still carries our name: after our heartbeat was forgotten. */
  private async stillOwns(): Promise<boolean> {
    await Promise.all(this.owned.map((partition) => this.see(subject.own(partition)))); // a replica that lags would say yes
    return this.owned.every((partition) => this.roster.own(partition)?.worker === this.options.worker);
  }

  /** An actor's partition follows from their number, and a cell reconciles one cluster's objects: workers must agree. */
  private async agree(): Promise<void> {
    const { hubId } = this.options;
    const ours: Message = { subject: subject.config, data: JSON.stringify({ v: 1, partitions: partitionCount, hub: hubId }), expectLast: 0 };
    for (;;) {
      const stored = await this.committer.insist(() => this.log.read(subject.config));
      if (!stored) {
        await this.committer.insist(() => this.log.publish(ours)).catch((thrown: unknown) => {
          if (!(thrown instanceof LogError) || thrown.kind !== "fenced") throw thrown; // another worker was faster: compare with its
        });
        continue;
      }
      const { partitions, hub = "" } = cellConfig.safeParse(parseJson(stored.data)).data ?? {};
      if (partitions !== partitionCount) {
        const detail = `this worker divides a cell into ${partitionCount} partitions, the stored cell has ${partitions ?? "an unknown number of"}`;
        throw new Fault("CellMismatch", subject.config, { detail });
      }
      if (hub !== hubId && hub !== "" && hubId !== "")
        throw new Fault("CellTaken", subject.config, { detail: `it belongs to the cluster ${hub}, this worker works on ${hubId}` });
      return;
    }
  }
}

const message = ({ to, kind, body }: Hint): Message => ({ subject: subject.mailbox(to, kind), data: JSON.stringify(body), ttlSeconds: hintTtlSeconds });
