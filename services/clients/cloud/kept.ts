/** What services gave out, by who asked for what: asked for once, used until shortly before its end, kept in memory alone. */
import { LRUCache } from "lru-cache";
import { throwIfAborted } from "../http/failure.ts";
import type { Granted } from "./ask.ts";

/** No longer than this, however long it lives: who takes an identity away shall not wait for a day. */
const keptMs = 30 * 60_000;
/** It is not used in the last fifth of its life, nor in its last minute. */
const usedPart = 0.8;
const spareMs = 60_000;
const longestMs = 30_000;

export class Kept<T> {
  private readonly kept: LRUCache<string, { granted: Promise<Granted<T>>; endsAtMs: number }>;
  private readonly nowMs: () => number;

  constructor(max: number, nowMs: () => number = () => performance.now()) {
    this.kept = new LRUCache({ max, ttl: keptMs });
    this.nowMs = nowMs;
  }

  /**
   * @param name tells everything apart that must not be shared
   * @param grant is not ended with whoever asked first: others wait for the same
   * @throws what `grant` throws, and the signal's reason
   */
  async get(name: string, { signal, shown }: { signal: AbortSignal; shown: string }, grant: (signal: AbortSignal) => Promise<Granted<T>>): Promise<Granted<T>> {
    throwIfAborted(signal, shown);
    const found = this.kept.get(name);
    const { granted } = found && this.nowMs() < found.endsAtMs ? found : this.ask(name, grant);
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    const end = () => resolve();
    signal.addEventListener("abort", end, { once: true });
    const given = await Promise.race([granted, ended]).finally(() => signal.removeEventListener("abort", end));
    throwIfAborted(signal, shown);
    const { endsAtMs = 0 } = this.kept.get(name) ?? {};
    return { value: (given as Granted<T>).value, livesMs: Math.max(0, Math.min(endsAtMs - this.nowMs(), keptMs)) };
  }

  private ask(name: string, grant: (signal: AbortSignal) => Promise<Granted<T>>): { granted: Promise<Granted<T>> } {
    const granted = grant(AbortSignal.timeout(longestMs));
    const entry = { granted, endsAtMs: Infinity };
    this.kept.set(name, entry);
    granted.then(
      ({ livesMs }) => { entry.endsAtMs = this.nowMs() + Math.min(keptMs, livesMs * usedPart, livesMs - spareMs); },
      () => { if (this.kept.peek(name) === entry) this.kept.delete(name); },
    );
    return entry;
  }
}
