/**
 * Writes under the fence of the partitions that this worker owns. What many actors decide leaves in one atomic batch; one
 * batch is under way at a time (ownership.md 2.2, 7.6).
 */
import { Fault } from "#protocol/errors/fault.ts";
import { subject } from "#protocol/names/subject.ts";
import { ownRecord, type OwnRecord } from "#protocol/records/cell.ts";
import { sleep, type Clock } from "./clock.ts";
import { parseJson } from "./json.ts";
import { LogError, type Log, type Message } from "./log.ts";

/** What fences the writes to a partition. */
export type Token = { sequence: number; epoch: number };

export type CommitterOptions = {
  worker: string;
  clock: Clock;
  /** Another worker wrote the partition's owner record. */
  onFenced(partition: number, detail: string): void;
  /** How long a batch took, and how many writes it had. */
  onCommit?(ms: number, writes: number): void;
};

/** From taking a partition to letting go of it. What was decided under one is never written under another. */
type Hold = { token: Token };
type Pending = { messages: Message[]; partition?: number; hold?: Hold; resolve(): void; reject(error: Error): void };

const mostMessages = 200;
/** Characters; the server answers a batch within its timeout, however slow its disk. */
const mostSize = 4 * 2 ** 20;
const firstRetryMs = 50;
const longestRetryMs = 1_000;

export class Committer {
  private readonly log: Log;
  private readonly options: CommitterOptions;
  private readonly holds = new Map<number, Hold>();
  private queue: Pending[] = [];
  private writing: Pending[] = [];
  private flushing = false;
  private closed = false;

  constructor(log: Log, options: CommitterOptions) {
    this.log = log;
    this.options = options;
  }

  token(partition: number): Token | undefined {
    return this.holds.get(partition)?.token;
  }

  get partitions(): number[] {
    return [...this.holds.keys()];
  }

  hold(partition: number, token: Token): void {
    this.holds.set(partition, { token });
  }

  /** Nothing more is written to it. What waits is rejected, unless it is under way already. */
  drop(partition: number): void {
    this.holds.delete(partition);
    const [gone, kept] = [this.queue.filter((each) => each.partition === partition), this.queue.filter((each) => each.partition !== partition)];
    this.queue = kept;
    for (const { reject } of gone) reject(new Fault("LeaseLost", `partition ${partition}`));
  }

  /** Resolves once everything is durable; rejects when it never will be. Without a partition it is not fenced. */
  write(messages: Message[], partition?: number): Promise<void> {
    const hold = partition === undefined ? undefined : this.holds.get(partition);
    if (this.closed || (partition !== undefined && !hold))
      return Promise.reject(new Fault("LeaseLost", partition === undefined ? this.options.worker : `partition ${partition}`));
    return new Promise((resolve, reject) => {
      this.queue.push({ messages, resolve, reject, ...(partition !== undefined && { partition }), ...(hold && { hold }) });
      void this.flush();
    });
  }

  /** Whether something for the partition waits or is under way. */
  isBusy(partition: number): boolean {
    return [...this.queue, ...this.writing].some((each) => each.partition === partition);
  }

  async idle(partition?: number): Promise<void> {
    const busy = () => (partition === undefined ? this.queue.length > 0 || this.flushing : this.isBusy(partition));
    while (busy() && !this.closed) await sleep(this.options.clock, 2);
  }

  close(): void {
    this.closed = true;
    this.holds.clear();
    for (const { reject } of this.queue.splice(0)) reject(new Fault("LeaseLost", this.options.worker));
  }

  /**
   * Repeats what passes by itself, until `isOver`. After a write without an answer, takes new tokens for these partitions
   * first: the lost one must not land later.
   */
  async insist<T>(attempt: () => Promise<T>, partitions: number[] = [], isOver: () => boolean = () => this.closed): Promise<T> {
    for (let waitMs = firstRetryMs; ; waitMs = Math.min(waitMs * 2, longestRetryMs)) {
      try {
        return await attempt();
      } catch (thrown) {
        if (!(thrown instanceof LogError) || isOver() || thrown.kind === "fenced" || thrown.kind === "refused") throw thrown;
        await sleep(this.options.clock, waitMs);
        if (thrown.kind === "unknown") await this.renewTokens(partitions);
      }
    }
  }

  private async flush(): Promise<void> {
    if (this.flushing) return;
    this.flushing = true;
    try {
      // One tick later: what other actors decide in this one leaves in the same batch.
      await Promise.resolve();
      while (this.queue.length > 0 && !this.closed) {
        this.writing = this.nextBatch();
        await this.publish(this.writing);
        this.writing = [];
      }
    } finally {
      this.flushing = false;
      this.writing = [];
    }
  }

  private nextBatch(): Pending[] {
    let count = 0;
    let size = 0;
    const end = this.queue.findIndex(({ messages }) => {
      count += messages.length;
      size += messages.reduce((sum, { data }) => sum + data.length, 0);
      return count > mostMessages || size > mostSize;
    });
    return this.queue.splice(0, end === -1 ? this.queue.length : Math.max(1, end));
  }

  private async publish(batch: Pending[]): Promise<void> {
    const startMs = this.options.clock.monoMs();
    try {
      await this.insist(() => this.log.publishAll(batch.flatMap((pending) => this.fenced(pending))), partitionsOf(batch));
      for (const { resolve } of batch) resolve();
      this.options.onCommit?.(this.options.clock.monoMs() - startMs, batch.length);
    } catch (thrown) {
      if (batch.length > 1) {
        for (const pending of batch) await this.publish([pending]); // one bad write must not take the others with it
        return;
      }
      const [only] = batch;
      const { partition } = only ?? {};
      const isHeld = partition !== undefined && this.holds.get(partition) === only?.hold;
      if (thrown instanceof LogError && thrown.kind === "fenced" && isHeld && this.holds.delete(partition))
        this.options.onFenced(partition, thrown.message);
      only?.reject(thrown instanceof Error ? thrown : new Fault("Unexpected", "commit", { cause: thrown }));
    }
  }

  private fenced({ messages, partition, hold }: Pending): Message[] {
    if (partition === undefined) return messages;
    if (!hold || this.holds.get(partition) !== hold) throw new LogError("fenced", `partition ${partition} is not ours any more`);
    const fence = { subject: subject.own(partition), sequence: hold.token.sequence };
    return messages.map((each) => ({ ...each, fence }));
  }

  private async renewTokens(partitions: number[]): Promise<void> {
    for (const partition of partitions) {
      const hold = this.holds.get(partition);
      if (!hold || this.closed) continue;
      const { token } = hold;
      const next = token.epoch + 1;
      const own: Message = { subject: subject.own(partition), data: ownData(this.options.worker, next, "renewal"), expectLast: token.sequence };
      const sequence = await this.insist(async () => {
        try {
          return await this.log.publish(own);
        } catch (thrown) {
          if (!(thrown instanceof LogError) || thrown.kind !== "fenced") throw thrown;
          // Refused: either our own earlier try had landed after all, or somebody else owns it now.
          const stored = await this.log.read(subject.own(partition));
          const { worker, epoch } = ownOf(stored?.data ?? "");
          if (stored && worker === this.options.worker && epoch === next) return stored.sequence;
          throw thrown;
        }
      });
      if (hold.token === token) hold.token = { sequence, epoch: next };
    }
  }
}

export const ownData = (worker: string, epoch: number, cause: OwnRecord["cause"]): string => JSON.stringify({ v: 1, worker, epoch, cause });

export function ownOf(data: string): { worker: string; epoch: number } {
  const { worker = "", epoch = 0 } = ownRecord.safeParse(parseJson(data)).data ?? {};
  return { worker, epoch };
}

const partitionsOf = (batch: Pending[]): number[] => [...new Set(batch.flatMap(({ partition }) => (partition === undefined ? [] : [partition])))];
