/** Waits by looking, not by guessing a duration. */
import { setTimeout as sleep } from "node:timers/promises";

const pollMs = 25;

export type Patience = { withinMs?: number; signal?: AbortSignal };

/**
 * Repeats `look` until it returns something other than undefined, null or false. What it throws counts as "not yet".
 *
 * @throws Error after `withinMs` (60 s), with the last reason; or when the signal aborts
 */
export async function eventually<T>(what: string, look: () => Promise<T> | T, patience: Patience = {}): Promise<Seen<T>> {
  const { withinMs = 60_000, signal } = patience;
  const deadlineMs = performance.now() + withinMs;
  for (let last: unknown; ; await sleep(pollMs, undefined, signal && { signal })) {
    try {
      const seen = await look();
      if (seen !== undefined && seen !== null && seen !== false) return seen as Seen<T>;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() < deadlineMs) continue;
    const reason = last instanceof Error ? `: ${last.message}` : "";
    throw new Error(`not within ${withinMs / 1000} s: ${what}${reason}`, { cause: last });
  }
}

type Seen<T> = Exclude<T, undefined | null | false>;
