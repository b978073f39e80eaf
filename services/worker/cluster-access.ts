/** The port through which units are applied: to the hub, or to the cluster that spec.kubeConfig names, and in whose name. */
import { Fault, type FaultData } from "#protocol/errors/fault.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { Clock } from "#services/store/clock.ts";
import type { ClusterPort, HealthWait, Target } from "./cluster-port.ts";
import type { ManagedView } from "./feed/managed-view.ts";
import type { ManagedViews } from "./feed/managed-views.ts";
import type { RequestPort, UnitRequests, WriteGuard, Written } from "./feed/ports.ts";
import { followHealth } from "./follow-health.ts";
import type { Remotes } from "./remotes/remotes.ts";

export type AccessOptions = {
  clock: Clock;
  hub: RequestPort;
  /** What stands on the hub. */
  managed: ManagedViews;
  remotes: Remotes;
  storageOf(unit: ActorKey, place: string): string | undefined;
  guardOf(unit: ActorKey): WriteGuard;
  written(unit: ActorKey): Written;
};

type Where = { requests: UnitRequests; managed: ManagedView };

export function clusterAccess({ clock, hub, managed, remotes, storageOf, guardOf, written }: AccessOptions): ClusterPort {
  /** On the hub at once, so that a write's guard is asked in the tick of the call. */
  const at = <T>(unit: ActorKey, target: Target, run: (place: Where) => Promise<T>): Promise<T> =>
    target.remote
      ? remotes.attach(unit, target, false).then((place) => run({ requests: place.requests, managed: place.managed.of(unit) }))
      : run({ requests: hub, managed: managed.of(unit) });

  /** A server somebody else chose may answer each of many requests slowly: all of them together have so long. */
  async function inTime<T extends { fault?: FaultData }>(
    { target: { remote }, signal }: { target: Target; signal: AbortSignal }, moreMs: number, run: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    if (!remote) return run(signal);
    const late = new AbortController();
    const ms = remote.timeoutMs + moreMs;
    const tooLate = new Fault("ClusterUnreachable", remote.ref.secretRef?.name ?? remote.ref.configMapRef?.name ?? "", { detail: `not done within ${Math.round(ms / 1000)} s` });
    const cancel = clock.at(clock.nowMs() + ms, () => late.abort(tooLate));
    const isLate = () => late.signal.aborted && !signal.aborted;
    try {
      const outcome = await run(AbortSignal.any([signal, late.signal]));
      return isLate() && outcome.fault && outcome.fault.code !== "LeaseLost" ? { ...outcome, fault: tooLate.toJSON() } : outcome;
    } catch (thrown) {
      throw isLate() ? tooLate : thrown;
    } finally {
      cancel();
    }
  }

  /** What cannot be watched there is read like what no unit applied. */
  async function waitOn({ managed: view, requests }: Where, objects: { id: string; v: string }[], wait: HealthWait): Promise<void> {
    if (wait.target.remote) await known(view, objects, wait);
    const blind = objects.filter(({ id }) => wait.target.remote && view.isBlind(id));
    await followHealth(objects.filter((each) => !blind.includes(each)), { ...wait, foreign: [...wait.foreign, ...blind] }, { clock, managed: view, requests });
  }

  /** Until it is clear what can be watched there, but no longer than health is waited for. */
  async function known(view: ManagedView, objects: { id: string; v: string }[], { timeoutMs, signal }: HealthWait): Promise<void> {
    const over = Promise.withResolvers<void>();
    const cancel = clock.at(clock.nowMs() + timeoutMs, () => over.resolve());
    const end = () => over.resolve();
    signal.addEventListener("abort", end, { once: true });
    await Promise.race([view.ensureEntries(objects), over.promise]);
    signal.removeEventListener("abort", end);
    cancel();
  }

  return {
    async reach(unit, target, entries, storage) {
      if (!target.remote) {
        void managed.of(unit).ensureEntries(entries);
        return { cluster: "", blind: entries.some(({ id }) => managed.of(unit).isBlind(id)) };
      }
      const place = await remotes.attach(unit, target, true);
      remotes.follow(unit, place, entries);
      if (storage !== undefined) place.storage.follow(unit, storage);
      return { cluster: place.cluster, blind: entries.some(({ id }) => place.managed.of(unit).isBlind(id)) };
    },
    idsOf: (unit, objects, target) => at(unit, target, ({ requests }) => requests.idsOf(objects)),
    apply: (call) => at(call.key, call.target, (place) => inTime(call, 0, (signal) =>
      place.requests.apply({ ...call, signal }, { ...guardOf(call.key), table: place.managed.tableOf(call.owner), onObject: written(call.key) }))),
    compare: (call) => at(call.key, call.target, ({ requests }) => inTime(call, 0, (signal) => requests.compare({ ...call, signal }))),
    async prune(call) {
      const { key, target, entries, waitMs = 0 } = call;
      const prune = ({ requests }: Pick<Where, "requests">) =>
        inTime(call, waitMs, (signal) => requests.prune({ ...call, signal }, { ...guardOf(key), onObject: written(key) }));
      if (!target.remote) return prune({ requests: hub });
      if (entries.length === 0) return { deleted: [], left: [] };
      // Read again: what is deleted last must not be deleted with credentials of long ago, nor tried object by object in vain.
      const place = await remotes.attach(key, target, true);
      await place.check();
      return prune(place);
    },
    storageOf,
    drifted: (unit, entries) => [...(remotes.viewOf(unit, managed)?.drifted(unit, entries) ?? [])].map(([id, by]) => ({ id, by })),
    waitHealthy: (objects, wait) => at(wait.key, wait.target, (place) => waitOn(place, objects, wait)),
    within: (unit, target, run) => at(unit, target, ({ requests, managed: view }) => run(requests.handleOf(target), guardOf(unit).guard, view.tableOf(unit))),
    hasAccount: (account) => hub.hasAccount(account),
  };
}
