/** The worker's places for work: who gets one next is decided in machines/rules/fairness.ts. */
import { finish, openQueue, startNext, submit, withdraw, type FairnessOptions, type FairQueue, type Lane } from "#machines/rules/fairness.ts";
import type { Clock } from "#services/store/clock.ts";

export type { Lane };

export type LaneJob = {
  tenant: string;
  lane: Lane;
  /** Ends the wait; what has begun listens to it itself. */
  signal: AbortSignal;
  /** 1 is an ordinary job. */
  cost?: number;
};

/** Since the worker began, but for what waits and runs now. */
export type LaneStats = { queued: number; running: number; started: number; waitedMs: number; longestWaitMs: number };

type Waiter = { lane: Lane; sinceMs: number; start: () => void };

export class Lanes {
  readonly #clock: Clock;
  readonly #queue: FairQueue;
  readonly #waiters = new Map<string, Waiter>();
  readonly #stats: Record<Lane, LaneStats>;
  #last = 0;

  constructor({ clock, ...options }: FairnessOptions & { clock: Clock }) {
    this.#clock = clock;
    this.#queue = openQueue(options);
    const none = (): LaneStats => ({ queued: 0, running: 0, started: 0, waitedMs: 0, longestWaitMs: 0 });
    this.#stats = { command: none(), recovery: none(), drift: none(), change: none(), interval: none() };
  }

  /** Jobs that wait for a place. */
  get queued(): number {
    return this.#queue.waiting.size;
  }

  stats(): { queued: number; running: number; lanes: Readonly<Record<Lane, Readonly<LaneStats>>> } {
    return { queued: this.queued, running: this.#queue.running.size, lanes: structuredClone(this.#stats) };
  }

  /**
   * Work that itself waits for a place here may wait for ever.
   *
   * @throws the signal's reason when it ends the wait; whatever `work` throws
   */
  run<T>({ tenant, lane, signal, cost = 1 }: LaneJob, work: () => Promise<T>): Promise<T> {
    if (signal.aborted) return Promise.reject(signal.reason as unknown);
    const id = String(++this.#last);
    submit(this.#queue, { id, tenant, lane, cost });
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const giveUp = () => {
      if (!withdraw(this.#queue, id)) return;
      this.#waiters.delete(id);
      this.#stats[lane].queued--;
      reject(signal.reason);
    };
    const start = () => {
      signal.removeEventListener("abort", giveUp);
      // Called in an async function: what throws before its first promise is a failure like any other.
      void (async () => work())().then(resolve, reject).finally(() => this.#end(id, lane));
    };
    signal.addEventListener("abort", giveUp, { once: true });
    this.#waiters.set(id, { lane, sinceMs: this.#clock.monoMs(), start });
    this.#stats[lane].queued++;
    this.#fill();
    return promise;
  }

  #end(id: string, lane: Lane): void {
    this.#stats[lane].running--;
    finish(this.#queue, id);
    this.#fill();
  }

  #fill(): void {
    for (let job = startNext(this.#queue); job; job = startNext(this.#queue)) {
      const waiter = this.#waiters.get(job.id);
      if (!waiter) throw new RangeError(`nobody waits for job ${job.id}`);
      this.#waiters.delete(job.id);
      const waitedMs = Math.max(0, this.#clock.monoMs() - waiter.sinceMs);
      const stats = this.#stats[waiter.lane];
      stats.queued--;
      stats.running++;
      stats.started++;
      stats.waitedMs += waitedMs;
      stats.longestWaitMs = Math.max(stats.longestWaitMs, waitedMs);
      waiter.start();
    }
  }
}
