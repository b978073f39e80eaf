/** Waits for objects to become healthy: by events alone, with the sentences a Flux user knows (flux.md 2.6.6). */
import type { Health } from "#machines/rules/health-reading.ts";
import { formatDuration } from "#protocol/api/duration.ts";
import { displayName, parseInventoryId } from "#machines/rules/inventory.ts";
import { Fault } from "#protocol/errors/fault.ts";

export type HealthWait = {
  timeoutMs: number;
  signal: AbortSignal;
  /** Objects that may be gone when they are done: Jobs with `ttlSecondsAfterFinished`. */
  mayBeGone?: ReadonlySet<string>;
  /** Whether the first that failed for good ends the wait; it does unless this is false. */
  failFast?: boolean;
};

export type HealthListener<Change extends { id: string } = { id: string }> = {
  change(change: Change): void;
  /** More is known than before: everything is looked at again. */
  synced(): void;
};

type Look = (id: string) => Health | undefined;

/** Calls back once, so many milliseconds from now; the answer cancels it. */
type After = (ms: number, run: () => void) => () => void;

/**
 * Resolves when every object is current.
 *
 * @throws Fault HealthCheckFailed at the first that failed for good, or when the time is over; the signal's reason
 */
export function awaitHealth(
  ids: string[], look: Look, subscribe: (listener: HealthListener) => () => void, after: After,
  { timeoutMs, signal, mayBeGone, failFast = true }: HealthWait,
): Promise<void> {
  const wanted = new Set(ids);
  const is = new Map<string, Health | undefined>();
  const unhealthy = new Set<string>();
  const see = (id: string) => {
    const health = look(id);
    is.set(id, health);
    const fine = health?.status === "Current" || (health?.status === "NotFound" && mayBeGone?.has(id));
    if (fine) unhealthy.delete(id);
    else unhealthy.add(id);
  };
  const inOrder = () => ids.filter((id) => unhealthy.has(id));

  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => {
      unsubscribe();
      cancel();
      signal.removeEventListener("abort", onAbort);
      settle();
    };
    const judge = () => {
      const failed = inOrder().filter((id) => is.get(id)?.status === "Failed");
      if (failFast && failed.length > 0) end(() => reject(faultOf("failed early due to stalled resources", failed, is)));
      else if (unhealthy.size === 0) end(resolve);
    };
    const onAbort = () => end(() => reject(signal.reason));
    const unsubscribe = subscribe({
      change({ id }) {
        if (!wanted.has(id)) return;
        see(id);
        judge();
      },
      synced() {
        ids.forEach(see);
        judge();
      },
    });
    const cancel = after(timeoutMs, () => end(() => reject(faultOf(`health check failed after ${formatDuration(timeoutMs)}: timeout waiting for`, inOrder(), is))));
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    ids.forEach(see);
    judge();
  });
}

const mostNamed = 20;

function faultOf(what: string, ids: string[], is: Map<string, Health | undefined>): Fault {
  const named = ids.slice(0, mostNamed).map((id) => {
    const health = is.get(id);
    return health ? `${nameOf(id)} status: '${health.status}'` : `can't determine status for ${nameOf(id)}`;
  });
  const more = ids.length > mostNamed ? `, and ${ids.length - mostNamed} more` : "";
  const [first = ""] = ids;
  const why = is.get(first)?.message;
  return new Fault("HealthCheckFailed", nameOf(first), { detail: `${what}: [${named.join(", ")}${more}]${why ? `; ${nameOf(first)}: ${why}` : ""}` });
}

const nameOf = (id: string) => (id ? displayName(parseInventoryId(id)) : "");
