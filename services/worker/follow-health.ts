/** One wait for the health of a unit's objects: most of it lives on the feed, the rest is read (read-health.ts). */
import { parseInventoryId } from "#machines/rules/inventory.ts";
import { awaitHealth, type HealthListener } from "#services/cluster/health-wait.ts";
import type { Clock } from "#services/store/clock.ts";
import type { HealthWait } from "./cluster-port.ts";
import type { ManagedView } from "./feed/managed-view.ts";
import type { RequestPort } from "./feed/ports.ts";
import { ReadHealth } from "./read-health.ts";

export type FollowHealthPorts = {
  clock: Clock;
  managed: Pick<ManagedView, "health" | "subscribe" | "isSynced">;
  requests: Pick<RequestPort, "healthOf">;
};

/** @throws Fault HealthCheckFailed in Flux's words; the signal's reason */
export async function followHealth(
  objects: { id: string; v: string }[], { target, timeoutMs, signal, mayBeGone, foreign, judge, failFast }: Omit<HealthWait, "key">, { clock, managed, requests }: FollowHealthPorts,
): Promise<void> {
  const refused = new AbortController();
  const told = new Set(objects.map(({ id }) => id));
  const readOnes = new Map([...objects.filter(({ id }) => judge?.(id)), ...foreign].map(({ id, v }) => [id, v]));
  let listener: HealthListener | undefined;
  const readings = new ReadHealth(readOnes.keys(), {
    clock,
    read: (id) => requests.healthOf(id, readOnes.get(id) ?? "", target, judge?.(id)),
    isTold(id) {
      const { group, kind } = parseInventoryId(id);
      return told.has(id) && managed.isSynced(group, kind);
    },
    onChange: (id) => listener?.change({ id }),
    onRefused: (fault) => refused.abort(fault),
  });
  const subscribe = (to: HealthListener) => {
    listener = to;
    return managed.subscribe({
      change(change) {
        readings.changed(change.id);
        to.change(change);
      },
      synced() {
        // What changed meanwhile was told by nobody.
        for (const id of told) readings.changed(id);
        to.synced();
      },
    });
  };
  const look = (id: string) => (readings.has(id) ? readings.get(id) : managed.health(id));
  const after = (ms: number, run: () => void) => clock.at(clock.nowMs() + ms, run);
  const ids = [...new Set([...told, ...readOnes.keys()])];
  try {
    const waiting = awaitHealth(ids, look, subscribe, after, { timeoutMs, signal: AbortSignal.any([signal, refused.signal]), mayBeGone, failFast });
    readings.start();
    await waiting;
  } finally {
    readings.stop();
  }
}
