const firstMs = 750;
const longestMs = 15 * 60_000;

/**
 * The wait before the next try, in milliseconds: 750 ms, doubling, never above 15 min.
 *
 * Both bounds are Flux's (`--min-retry-delay`, `--max-retry-delay`: fluxcd/pkg
 * runtime/controller/rate_limiter.go), so an operator's intuition carries over.
 *
 * @param failures consecutive failures so far: an integer, 1 or more
 * @throws RangeError otherwise; a machine that asks has a bug, not bad luck
 */
export function backoffMs(failures: number): number {
  if (!Number.isInteger(failures) || failures < 1) throw new RangeError(`failures: ${failures}`);
  return Math.min(firstMs * 2 ** (failures - 1), longestMs);
}

const jitterPart = 0.05;

/**
 * An interval moved by up to 5 % either way, the same for the same actor every time: a thousand units of one interval
 * spread out, and a replayed decision stays the same. The share is Flux's `--interval-jitter-percentage`.
 *
 * @param intervalMs milliseconds, 0 or more
 * @param key the actor's id
 */
export function jitteredMs(intervalMs: number, key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  const unit = (hash >>> 0) / 2 ** 32;
  return Math.round(intervalMs * (1 + jitterPart * (2 * unit - 1)));
}

const freeCorrections = 3;

/**
 * How long a unit waits before it puts drift back again, in milliseconds: the first three corrections at once, then as
 * after failures. Two controllers that fight over a field must not become a loop at full speed.
 *
 * @param corrections including the one that is about to be made: 1 or more
 */
export const contestedMs = (corrections: number): number =>
  corrections <= freeCorrections ? 0 : backoffMs(corrections - freeCorrections);

const longestPassingMs = 60_000;

/**
 * When a unit that failed is tried again, in milliseconds: after its own retry interval, as in Flux (flux.md 2.6, 17);
 * after a short and widening wait when the failure passes by itself, such as an API server that restarts.
 */
export const retryMs = (intervalMs: number, passing: boolean, failures: number): number =>
  passing ? Math.min(intervalMs, longestPassingMs, backoffMs(Math.max(1, failures))) : intervalMs;
