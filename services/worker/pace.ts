/** How many requests one cluster's API server gets at once, learnt from how it answers (machines/rules/concurrency.ts). */
import { beginConcurrency, learn, usualBounds, type Answered, type ConcurrencyBounds } from "#machines/rules/concurrency.ts";
import type { Gate } from "#services/clients/kubernetes/client.ts";
import { KubeError } from "#services/clients/kubernetes/error.ts";
import type { Clock } from "#services/store/clock.ts";

export type Pace = {
  /** Holds a request back while as many as the limit are on their way; first come, first served. */
  gate: Gate;
  limit(): number;
};

export function createPace({ clock, ...given }: { clock: Clock } & Partial<ConcurrencyBounds>): Pace {
  const bounds = { ...usualBounds, ...given };
  const waiting = new Set<() => void>(); // in the order in which they came
  let state = beginConcurrency(bounds, clock.monoMs());
  let running = 0;

  const letIn = () => {
    for (const start of waiting) {
      if (running >= state.limit) return;
      waiting.delete(start);
      running++;
      start();
    }
  };
  const turn = (signal: AbortSignal | undefined) => new Promise<void>((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const leave = () => {
      if (waiting.delete(start)) reject(signal?.reason);
    };
    const start = () => {
      signal?.removeEventListener("abort", leave);
      resolve();
    };
    signal?.addEventListener("abort", leave, { once: true });
    waiting.add(start);
    letIn();
  });

  return {
    limit: () => state.limit,
    async gate(run, signal) {
      await turn(signal);
      const full = running >= state.limit;
      const startedMs = clock.monoMs();
      let outcome: Answered["outcome"] = "answered";
      try {
        return await run();
      } catch (error) {
        outcome = outcomeOf(error);
        throw error;
      } finally {
        running--;
        state = learn(state, { startedMs, endedMs: clock.monoMs(), outcome, full }, bounds);
        letIn();
      }
    },
  };
}

/** A server that refuses what was asked has answered; one that asks to come back later has too much to do. */
function outcomeOf(error: unknown): Answered["outcome"] {
  if (!(error instanceof KubeError)) return "lost";
  if (error.code === 429 || (error.code === 503 && error.retryAfterMs !== undefined)) return "overloaded";
  return error.code < 500 ? "answered" : "lost";
}
