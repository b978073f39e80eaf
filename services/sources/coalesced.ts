/**
 * Work that several want done is done once: who asks while it is under way, or shortly after, gets its result. What is
 * shared is named by everything that makes a difference, credentials included, so that nobody gets what they could not
 * have asked for themselves.
 */
import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";

type Work<T> = (signal: AbortSignal) => Promise<T>;

type Entry<T> = { startedMs: number; result: Promise<T>; controller: AbortController; waiting: number };

export type CoalescedOptions<T> = {
  /** How long results are kept, and how much of them. */
  keepMs: number;
  maxSize: number;
  sizeOf(value: T): number;
  nowMs?: () => number;
};

export type Ask = {
  signal: AbortSignal;
  /** How long ago the work may have begun: 0 when it has to begin after this question. */
  maxAgeMs: number;
};

export class Coalesced<T extends object> {
  private readonly running = new Map<string, Entry<T>>();
  private readonly queued = new Map<string, Entry<T>>();
  private readonly kept: LRUCache<string, { startedMs: number; value: T }>;
  private readonly nowMs: () => number;

  constructor({ keepMs, maxSize, sizeOf, nowMs = () => performance.now() }: CoalescedOptions<T>) {
    this.kept = new LRUCache({ ttl: keepMs, ttlAutopurge: true, maxSize, sizeCalculation: ({ value }) => Math.max(1, sizeOf(value)) });
    this.nowMs = nowMs;
  }

  /** @throws what the work throws; the signal's reason when it ends the wait: the work goes on while others wait for it */
  async ask(name: string, { signal, maxAgeMs }: Ask, work: Work<T>): Promise<T> {
    signal.throwIfAborted();
    const isFresh = ({ startedMs }: { startedMs: number }) => this.nowMs() - startedMs < maxAgeMs;
    const kept = this.kept.get(name);
    if (kept && isFresh(kept)) return kept.value;
    const running = this.running.get(name);
    if (!running) return this.join(name, this.begin(name, work), signal);
    if (isFresh(running)) return this.join(name, running, signal);
    return this.join(name, this.queued.get(name) ?? this.beginAfter(name, running, work), signal);
  }

  private begin(name: string, work: Work<T>): Entry<T> {
    const controller = new AbortController();
    const entry: Entry<T> = { startedMs: this.nowMs(), controller, waiting: 0, result: work(controller.signal) };
    this.settle(name, entry);
    return entry;
  }

  /** What is under way may have looked before the news: the next look is for all who ask meanwhile. */
  private beginAfter(name: string, before: Entry<T>, work: Work<T>): Entry<T> {
    const controller = new AbortController();
    const entry: Entry<T> = { startedMs: Infinity, controller, waiting: 0, result: Promise.resolve().then(async () => {
      await before.result.catch(() => undefined);
      this.queued.delete(name);
      this.running.set(name, entry);
      entry.startedMs = this.nowMs();
      controller.signal.throwIfAborted();
      return work(controller.signal);
    }) };
    this.queued.set(name, entry);
    this.settle(name, entry, false);
    return entry;
  }

  private settle(name: string, entry: Entry<T>, runs = true): void {
    if (runs) this.running.set(name, entry);
    const end = () => {
      if (this.running.get(name) === entry) this.running.delete(name);
    };
    entry.result.then((value) => {
      this.kept.set(name, { startedMs: entry.startedMs, value });
      end();
    }, end);
  }

  private join(name: string, entry: Entry<T>, signal: AbortSignal): Promise<T> {
    entry.waiting++;
    return new Promise((resolve, reject) => {
      const leave = () => {
        signal.removeEventListener("abort", stop);
        entry.waiting--;
      };
      const stop = () => {
        leave();
        reject(signal.reason);
        if (entry.waiting > 0) return;
        if (this.running.get(name) === entry) this.running.delete(name); // whoever asks next begins anew
        if (this.queued.get(name) === entry) this.queued.delete(name);
        entry.controller.abort(signal.reason);
      };
      signal.addEventListener("abort", stop, { once: true });
      entry.result.then((value) => (leave(), resolve(value)), (error: unknown) => (leave(), reject(error)));
    });
  }
}

/** A name for parts that may hold secrets: they cannot be read back from it. Bytes count by what they are. */
export function nameOf(...parts: unknown[]): string {
  const text = JSON.stringify(parts, function (this: Record<string, unknown>, key) {
    const value = this[key]; // before a Buffer's own idea of JSON
    if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString("base64") };
    if (typeof value !== "object" || value === null || Array.isArray(value)) return typeof value === "bigint" ? String(value) : value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
  return createHash("sha256").update(text).digest("hex");
}
