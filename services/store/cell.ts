/**
 * One worker's hold on a cell: it claims partitions, renews its lease, and writes records under the fence of each
 * partition's owner record. Writes of many actors leave in one atomic batch; one batch is under way at a time.
 */
import { deadlineMs, heartbeatMs, leaseMs } from "#machines/rules/lease.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { partitionCount, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import { isSnapshot, parseMailbox, parseSnapshot, subject, type HintKind } from "#protocol/names/subject.ts";
import { cellConfig, parseActorRecord, type ActorRecord } from "#protocol/records/actor.ts";
import { sleep, type Clock } from "./clock.ts";
import { LogError, type Log, type Message, type Stored } from "./log.ts";
import { beatOf, holdersOf, memberTtlSeconds, Others, ownerOf, parseJson, readOwners, type Owner } from "./others.ts";

export type Hint = { to: ActorKey; kind: HintKind; body: unknown };

/** One actor's news, kept together: its record (null: the actor is over) and what it tells other actors. */
export type Write = { key: ActorKey; record: ActorRecord | null; hints: Hint[] };

export type Delivered = { key: ActorKey; kind: HintKind; body: unknown; seq: number };

export type Loaded = { key: ActorKey; record: ActorRecord } | { key: ActorKey; damage: string };

export type CellOptions = {
  worker: string;
  clock: Clock;
  /** Another worker owns what was ours, or nothing may be written any more: stop acting. */
  onLost(reason: string): void;
  /** How long a batch took, and how many messages it had. */
  onCommit?(ms: number, messages: number): void;
  onUnreadable?(subject: string, detail: string): void;
  /** Somebody else holds the cell; we stand by. */
  onWaiting?(worker: string): void;
};

type Pending = { messages: Message[]; partition?: number; resolve(): void; reject(error: Error): void };

const mostMessages = 200;
const hintTtlSeconds = 24 * 3600; // an undelivered hint older than this is repaired by the interval anyway
const tombstoneTtlSeconds = 60;
const catchUpMs = 5_000;
const busyRetryMs = 50;

export class Cell {
  private readonly log: Log;
  private readonly options: CellOptions;
  private readonly tokens = new Map<number, { sequence: number; epoch: number }>();
  private queue: Pending[] = [];
  private flushing = false;
  private closed = false;
  private leaseUntilMs = 0;
  /** Since when the lease has not run out. */
  private steadySinceMs = 0;
  private beatSequence = 0;
  /** Our heartbeat was no longer in the stream. */
  private forgotten = false;
  /** Sequence of the last owner record we wrote when we took the cell. */
  private takenAt = 0;
  private beat = 0;
  private scanned = 0;
  private readonly cancels = new Map<string, () => void>();

  constructor(log: Log, options: CellOptions) {
    this.log = log;
    this.options = options;
  }

  /** Waits until nobody else holds the cell, then takes every partition. */
  async claim(): Promise<void> {
    await this.agreeOnPartitions();
    await this.renew(); // whoever finds our name in an owner record finds our heartbeat too
    this.every("beat", heartbeatMs, () => this.renew());
    const others = new Others(this.log, this.options.worker, this.options.clock);
    const steadySinceMs = () => (this.holds() ? this.steadySinceMs : undefined);
    let waitingFor = "";
    while (!this.closed)
      try {
        const holders = holdersOf(await readOwners(this.log));
        for (let alive; (alive = await others.aliveAmong(holders, steadySinceMs)) !== undefined && !this.closed; ) {
          if (alive !== waitingFor) this.options.onWaiting?.(alive);
          waitingFor = alive;
          await sleep(this.options.clock, leaseMs / 8);
        }
        const held = await readOwners(this.log);
        if (holdersOf(held).difference(holders).size === 0) return await this.take(held);
      } catch (thrown) {
        if (!(thrown instanceof LogError) || thrown.kind === "refused") throw thrown;
        await sleep(this.options.clock, busyRetryMs); // somebody else was faster, or NATS is away: look again
      }
    throw new Fault("LeaseLost", this.options.worker);
  }

  /** Every record of ours, and what could not be read as one. */
  async *load(): AsyncIterable<Loaded> {
    const found = new Map<string, string>();
    // A replica that lags may lack the last writes of the owner before us: one that shows our own claim has them all.
    for (let next = 1; next <= this.takenAt; ) {
      const before = next;
      await this.insist(async () => {
        for await (const { subject: name, sequence, data } of this.log.scan(subject.every, next)) {
          next = sequence + 1;
          if (isSnapshot(name)) found.set(name, data);
        }
      });
      if (next === before) await sleep(this.options.clock, busyRetryMs);
    }
    for (const [name, data] of found) {
      if (data === "") continue; // a tombstone on its way out
      let key: ActorKey;
      try {
        key = parseSnapshot(name);
      } catch (thrown) {
        this.options.onUnreadable?.(name, String(thrown));
        continue;
      }
      try {
        yield { key, record: parseActorRecord(JSON.parse(data)) };
      } catch (thrown) {
        yield { key, damage: thrown instanceof Error ? thrown.message.slice(0, 300) : "unreadable" };
      }
    }
  }

  /** Hands over every hint stored so far and from now on; some twice, so `seq` tells which were seen. */
  async receive(deliver: (hint: Delivered) => void): Promise<void> {
    const open = (stored: Stored) => {
      try {
        const { key, hint } = parseMailbox(stored.subject);
        deliver({ key, kind: hint, body: JSON.parse(stored.data), seq: stored.sequence });
      } catch (thrown) {
        // A stranger's message never stops the worker.
        this.options.onUnreadable?.(stored.subject, thrown instanceof Error ? thrown.message : String(thrown));
      }
    };
    this.cancels.set("live", this.log.listen(subject.everyMailboxLive, open));
    const catchUp = async () => {
      // Only what a gap-free scan returned counts as seen; live messages may have been lost (ownership.md 7.6).
      for await (const stored of this.log.scan(subject.everyMailbox, this.scanned + 1)) {
        this.scanned = stored.sequence;
        open(stored);
      }
    };
    await this.insist(catchUp);
    this.every("catchUp", catchUpMs, catchUp);
  }

  /** Resolves once everything is durable; rejects when it never will be. */
  commit({ key, record, hints }: Write): Promise<void> {
    const partition = partitionOf(key);
    const token = this.tokens.get(partition);
    if (!token || this.closed) return Promise.reject(new Fault("LeaseLost", `partition ${partition}`));
    const snapshot: Message = record
      ? { subject: subject.snapshot(key), data: JSON.stringify(record) }
      : { subject: subject.snapshot(key), data: "", ttlSeconds: tombstoneTtlSeconds };
    return this.enqueue([snapshot, ...hints.map(message)], partition);
  }

  /**
   * A hint that belongs to no decision: what a watch or a webhook saw. Fenced where we own its actor: a try that was given
   * up must not land after a later hint, and what a former owner saw is not news.
   */
  send(hint: Hint): Promise<void> {
    const partition = partitionOf(hint.to);
    return this.enqueue([message(hint)], this.tokens.has(partition) ? partition : undefined);
  }

  /** Call in the same tick as every write to the outside. @throws Fault LeaseLost */
  guard(): void {
    if (!this.holds()) throw new Fault("LeaseLost", this.options.worker);
  }

  holds(): boolean {
    return !this.closed && this.options.clock.monoMs() < this.leaseUntilMs;
  }

  /** The epoch under which we own the key's partition. */
  epochOf(key: ActorKey): number {
    return this.tokens.get(partitionOf(key))?.epoch ?? 0;
  }

  /** Lets go: what is queued is written, then a successor need not wait for the lease to run out. */
  async close(): Promise<void> {
    while (this.queue.length > 0 || this.flushing) await sleep(this.options.clock, 5);
    if (this.closed) return;
    this.end();
    const bye: Message = { subject: subject.member(this.options.worker), data: "", ttlSeconds: memberTtlSeconds, expectLast: this.beatSequence };
    await this.log.publish(bye).catch(() => undefined); // the lease runs out by itself
  }

  private end(): void {
    this.closed = true;
    for (const cancel of this.cancels.values()) cancel();
    this.cancels.clear();
    for (const { reject } of this.queue.splice(0)) reject(new Fault("LeaseLost", this.options.worker));
  }

  private lose(reason: string): void {
    if (this.closed) return;
    this.end();
    this.options.onLost(reason);
  }

  private enqueue(messages: Message[], partition?: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.queue.push({ messages, resolve, reject, ...(partition !== undefined && { partition }) });
      void this.flush();
    });
  }

  private async flush(): Promise<void> {
    if (this.flushing) return;
    this.flushing = true;
    try {
      // One tick later: what other actors decide in this one leaves in the same batch.
      await Promise.resolve();
      while (this.queue.length > 0 && !this.closed) await this.write(this.nextBatch());
    } finally {
      this.flushing = false;
    }
  }

  private nextBatch(): Pending[] {
    let count = 0;
    const end = this.queue.findIndex(({ messages }) => (count += messages.length) > mostMessages);
    return this.queue.splice(0, end === -1 ? this.queue.length : Math.max(1, end));
  }

  private async write(batch: Pending[]): Promise<void> {
    const startMs = this.options.clock.monoMs();
    try {
      await this.insist(() => this.log.publishAll(batch.flatMap((pending) => this.fenced(pending))), partitionsOf(batch));
      for (const { resolve } of batch) resolve();
      this.options.onCommit?.(this.options.clock.monoMs() - startMs, batch.length);
    } catch (thrown) {
      if (batch.length > 1) {
        for (const pending of batch) await this.write([pending]); // one bad write must not take the others with it
        return;
      }
      const [only] = batch;
      if (thrown instanceof LogError && thrown.kind === "fenced") this.lose(`partition ${only?.partition}: ${thrown.message}`);
      only?.reject(thrown instanceof Error ? thrown : new Fault("Unexpected", "commit", { cause: thrown }));
    }
  }

  private fenced({ messages, partition }: Pending): Message[] {
    const token = partition === undefined ? undefined : this.tokens.get(partition);
    if (partition === undefined || !token) return messages;
    const fence = { subject: subject.own(partition), sequence: token.sequence };
    return messages.map((each) => ({ ...each, fence }));
  }

  /** Repeats what passes by itself. After a write without an answer, takes a new token first: the lost one must not land later. */
  private async insist<T>(attempt: () => Promise<T>, partitions: number[] = []): Promise<T> {
    for (let waitMs = busyRetryMs; ; waitMs = Math.min(waitMs * 2, 1_000)) {
      try {
        return await attempt();
      } catch (thrown) {
        if (!(thrown instanceof LogError) || this.closed || thrown.kind === "fenced" || thrown.kind === "refused") throw thrown;
        await sleep(this.options.clock, waitMs);
        if (thrown.kind === "unknown") await this.renewTokens(partitions);
      }
    }
  }

  private async renewTokens(partitions: number[]): Promise<void> {
    for (const partition of partitions) {
      const token = this.tokens.get(partition);
      if (!token || this.closed) continue;
      const next = token.epoch + 1;
      const own: Message = { subject: subject.own(partition), data: this.ownData(next), expectLast: token.sequence };
      const sequence = await this.insist(async () => {
        try {
          return await this.log.publish(own);
        } catch (thrown) {
          if (!(thrown instanceof LogError) || thrown.kind !== "fenced") throw thrown;
          // Refused: either our own earlier try had landed after all, or somebody else owns it now.
          const stored = await this.log.read(subject.own(partition));
          const { worker, epoch } = ownerOf(stored?.data ?? "");
          if (stored && worker === this.options.worker && epoch === next) return stored.sequence;
          throw thrown;
        }
      });
      this.tokens.set(partition, { sequence, epoch: next });
    }
  }

  /** An actor's partition follows from their number: two workers that disagree would both own it. */
  private async agreeOnPartitions(): Promise<void> {
    const ours: Message = { subject: subject.config, data: JSON.stringify({ v: 1, partitions: partitionCount }), expectLast: 0 };
    const stored = await this.insist(() => this.log.read(subject.config));
    if (!stored) {
      await this.insist(() => this.log.publish(ours)).catch((thrown: unknown) => {
        if (!(thrown instanceof LogError) || thrown.kind !== "fenced") throw thrown; // another worker wrote the same
      });
      return;
    }
    const { partitions } = cellConfig.safeParse(parseJson(stored.data)).data ?? {};
    if (partitions === partitionCount) return;
    const detail = `this worker divides a cell into ${partitionCount} partitions, the stored cell has ${partitions ?? "an unknown number of"}`;
    throw new Fault("CellMismatch", subject.config, { detail });
  }

  private async renew(): Promise<void> {
    const { clock, worker } = this.options;
    const sentAtMs = clock.monoMs();
    const beat: Message = {
      subject: subject.member(worker), data: JSON.stringify({ v: 1, worker, beat: ++this.beat }),
      ttlSeconds: memberTtlSeconds, expectLast: this.beatSequence,
    };
    try {
      this.beatSequence = await this.log.publish(beat);
    } catch (thrown) {
      if (thrown instanceof LogError && thrown.kind === "fenced") await this.beatRefused(beat);
      return; // the lease ages; nothing is written meanwhile
    }
    if (this.forgotten && !(await this.stillOwns())) return this.lose("another worker took over meanwhile");
    this.forgotten = false;
    if (clock.monoMs() >= this.leaseUntilMs) this.steadySinceMs = sentAtMs;
    this.leaseUntilMs = deadlineMs(sentAtMs);
  }

  private async beatRefused(beat: Message): Promise<void> {
    const stored = await this.log.read(beat.subject).catch(() => null);
    if (stored === null) return;
    // Gone with its time to live. So may be a mark that we were held for dead: the next heartbeat counts only if we own.
    this.forgotten ||= stored === undefined;
    const ours = stored === undefined || (beatOf(stored.data) > 0 && beatOf(stored.data) <= this.beat); // a try that landed late
    if (ours) this.beatSequence = stored?.sequence ?? 0;
    else this.lose("another worker declared this one dead");
  }

  private async stillOwns(): Promise<boolean> {
    const [partition] = this.tokens.keys();
    if (partition === undefined) return true;
    const stored = await this.insist(() => this.log.read(subject.own(partition)));
    return ownerOf(stored?.data ?? "").worker === this.options.worker;
  }

  private async take(held: Map<number, Owner>): Promise<void> {
    const half = partitionCount / 2; // a batch has room for 1,000
    for (const first of [0, half]) {
      const messages = Array.from({ length: half }, (_, i): Message => {
        const { epoch = 0, sequence = 0 } = held.get(first + i) ?? {};
        return { subject: subject.own(first + i), data: this.ownData(epoch + 1), expectLast: sequence };
      });
      this.takenAt = await this.log.publishAll(messages);
      // A batch is stored in one piece.
      for (let i = 0; i < half; i++)
        this.tokens.set(first + i, { sequence: this.takenAt - (half - 1 - i), epoch: (held.get(first + i)?.epoch ?? 0) + 1 });
    }
  }

  private every(name: string, ms: number, run: () => Promise<void>): void {
    const { clock } = this.options;
    const again = () => {
      if (this.closed) return;
      // A failure here is a failure to reach NATS: the next round tries again, and the lease tells when it matters.
      const next = () => { if (!this.closed) this.cancels.set(name, clock.at(clock.nowMs() + ms, again)); };
      run().then(next, next);
    };
    this.cancels.set(name, clock.at(clock.nowMs() + ms, again));
  }

  private ownData(epoch: number): string {
    return JSON.stringify({ v: 1, worker: this.options.worker, epoch });
  }
}

const message = ({ to, kind, body }: Hint): Message => ({ subject: subject.mailbox(to, kind), data: JSON.stringify(body), ttlSeconds: hintTtlSeconds });

const partitionsOf = (batch: Pending[]): number[] => [...new Set(batch.flatMap(({ partition }) => (partition === undefined ? [] : [partition])))];
