/**
 * The hub cluster as the worker uses it: the Flux objects of the partitions it follows, and the port through which its
 * units are applied. One worker watches for all (feed/watching.ts); every worker sees its part (feed/view.ts) and writes
 * for itself.
 */
import { displayName, parseInventoryId } from "#machines/rules/inventory.ts";
import type { Owner } from "#machines/rules/prune.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ChangeAction, InventoryEntry } from "#protocol/messages/kustomization.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { KubeClient } from "#services/clients/kubernetes/client.ts";
import { createDiscovery } from "#services/cluster/discovery.ts";
import type { Bus } from "#services/store/bus.ts";
import { sleep, type Clock } from "#services/store/clock.ts";
import type { Log } from "#services/telemetry/log.ts";
import type { ClusterPort } from "./cluster-port.ts";
import type { HubPorts } from "./effects/hub-objects.ts";
import type { RawObject } from "./facts.ts";
import { clusterRequests } from "./feed/cluster-requests.ts";
import { clusterWatch } from "./feed/cluster-watch.ts";
import { hubKindOf } from "./feed/hub-kinds.ts";
import type { Precondition, RequestPort, WatchPort } from "./feed/ports.ts";
import { View } from "./feed/view.ts";
import { Watching } from "./feed/watching.ts";

export type HubOptions = {
  clock: Clock;
  worker: string;
  bus: Bus;
  /** Throws Fault LeaseLost when this worker may not write for this actor now; called in the tick of every write. */
  guard(key: ActorKey): void;
  /** Ends everything. */
  signal: AbortSignal;
  /** A Flux object of a followed partition is as given, or gone. */
  onObject(key: ActorKey, object: RawObject | undefined): void;
  /** Everything of a followed partition is known. Again whenever all was told anew, as after a change of the watcher. */
  onShown(partition: number): void;
  onWritten(unit: ActorKey, id: string, action: ChangeAction, startMs: number, endMs: number): void;
  log: Log;
};

/** Where the cluster is behind ports: the simulator's way in. */
export type HubPortOptions = HubOptions & { watch: WatchPort; requests: RequestPort };

export type HubListener = {
  /** A managed object may no longer be as applied. */
  changed(owner: Owner, id: string): void;
  /** What went unseen may have changed anything: of the units of this partition, or of all. */
  relisted(partition?: number): void;
};

export type Hub = HubPorts & {
  cluster: ClusterPort;
  /** Follows exactly these partitions from now on. What is given up is dropped without a word. */
  follow(partitions: ReadonlySet<number>): void;
  /** Who owns the cluster's actor now, and so watches. Where it is another worker, this one stops watching. */
  watchedBy(worker: string | undefined): void;
  /** Begins to watch for all workers; resolves when the definitions are there and every Flux kind was listed. */
  connect(): Promise<null>;
  /** Stays until the signal ends it, and the watches with it; connections that break are mended underneath. */
  watch(signal: AbortSignal): Promise<null>;
  /** A watcher serves this worker, and everything it follows is shown. */
  isConnected(): boolean;
  /** Sources of the whole hub with one of these URLs. @throws Fault ClusterUnreachable when nobody watches now */
  matching(urls: string[]): Promise<ActorKey[]>;
  /** False when the object has changed since it was read. */
  patchStatus(key: ActorKey, live: RawObject, status: Record<string, unknown>): Promise<boolean>;
  postEvent(key: ActorKey, object: RawObject, notice: Notice): Promise<void>;
  /** Before the first write after a crash of the partition's former owner. */
  raiseEpoch(fence: { partition: number; epoch: number }, guard: () => void): Promise<void>;
  /** Has every kind of these watched; resolves when all that stands is known. */
  ensureWatched(entries: InventoryEntry[]): Promise<void>;
  subscribe(listener: HubListener): void;
};

const hubKey: ActorKey = { kind: "cluster", namespace: "flotilla", name: "hub" };
const healthPollMs = 2_000;

export function openHub({ client, ...options }: HubOptions & { client: KubeClient }): Hub {
  const { clock, worker, log } = options;
  const handle = { client, discovery: createDiscovery(client) };
  return createHub({ ...options, watch: clusterWatch(handle, clock, log), requests: clusterRequests(handle, worker, clock, log) });
}

export function createHub({ clock, worker, bus, guard, signal, onObject, onShown, onWritten, log, watch: port, requests }: HubPortOptions): Hub {
  const listeners = new Set<HubListener>();
  const relisted = (partition?: number) => { for (const listener of listeners) listener.relisted(partition); };
  const watching = new Watching({ port, bus, clock, worker, guard: () => guard(hubKey), log });
  const view = new View({
    bus, clock, worker, requests, signal, onObject, log,
    onShown(partition) {
      onShown(partition);
      relisted(partition);
    },
    onRelisted: () => relisted(),
  });
  view.managed.subscribe({
    change({ owner, id, drift }) {
      if (drift) for (const listener of listeners) listener.changed(owner, id);
    },
    synced: () => {},
  });
  let ended = Promise.withResolvers<void>();
  const stopWatching = () => {
    watching.stop();
    ended.resolve();
    ended = Promise.withResolvers<void>();
  };
  signal.addEventListener("abort", stopWatching, { once: true });

  const connect = async (): Promise<null> => {
    signal.throwIfAborted();
    await watching.start();
    return null;
  };
  // Timed by a monotonic clock there; told in the clock that the unit's runs are told in, or it would fall outside of them.
  const written = (key: ActorKey) => (id: string, action: ChangeAction, startMs: number, endMs: number) => {
    const nowMs = clock.nowMs();
    onWritten(key, id, action, Math.ceil(nowMs - (endMs - startMs)), nowMs);
  };
  const guardOf = (key: ActorKey) => ({ guard: () => guard(key) });

  /** An object that no unit applied is in no feed: it is looked at until it is healthy. */
  async function waitForeign(id: string, v: string, { timeoutMs, signal: wanted }: { timeoutMs: number; signal: AbortSignal }): Promise<void> {
    const endMs = clock.monoMs() + timeoutMs;
    for (;;) {
      wanted.throwIfAborted();
      const state = await requests.healthOf(id, v);
      if (state === "Current") return;
      const name = displayName(parseInventoryId(id));
      if (state === "Failed") throw new Fault("HealthCheckFailed", name, { detail: `failed early due to stalled resources: [${name} status: 'Failed']` });
      if (clock.monoMs() >= endMs) throw new Fault("HealthCheckFailed", name, { detail: `timeout waiting for: [${name} status: '${state}']` });
      await sleep(clock, healthPollMs);
    }
  }

  const cluster: ClusterPort = {
    idsOf: (objects) => requests.idsOf(objects),
    apply: (call) => requests.apply(call, { ...guardOf(call.key), table: view.managed.tableOf(call.owner), onObject: written(call.key) }),
    prune: (call) => requests.prune(call, { ...guardOf(call.key), onObject: written(call.key) }),
    drifted: (unit, entries) => [...view.managed.drifted(unit, entries)].map(([id, by]) => ({ id, by })),
    async waitHealthy(ids, { foreign, ...wait }) {
      await Promise.all([
        view.managed.waitHealthy(ids, wait),
        ...foreign.map(({ id, v }) => waitForeign(id, v, wait)),
      ]);
    },
  };

  return {
    cluster,
    connect,
    cached: (key) => view.flux.get(key),
    async reread(key) {
      const object = await requests.get(key);
      if (object) view.take(key, object, "read");
      return object;
    },
    kindOf: (actorKind) => hubKindOf(actorKind).kind,
    secret: (namespace, name) => requests.secret(namespace, name),
    async patchFinalizers(key, live, finalizers) {
      view.take(key, await requests.patchMetadata(key, { finalizers }, preconditionOf(live), guardOf(key)), "wrote");
    },
    async patchStatus(key, live, status) {
      try {
        view.take(key, await requests.patchStatus(key, status, preconditionOf(live), guardOf(key)), "wrote");
        return true;
      } catch (thrown) {
        if (thrown instanceof Fault && thrown.code === "ObjectGone") return true;
        if (thrown instanceof Fault && thrown.code === "ApplyConflict") return false;
        throw thrown;
      }
    },
    postEvent: (key, object, notice) => requests.event(key, object, notice, guardOf(key)),
    follow: (partitions) => view.follow(partitions),
    watchedBy(owner) {
      if (owner !== undefined && owner !== worker) stopWatching();
      view.watchedBy(owner);
    },
    async watch(wanted) {
      if (wanted.aborted) return null;
      const mine = ended;
      wanted.addEventListener("abort", stopWatching, { once: true });
      try {
        await connect();
        await mine.promise;
      } catch (thrown) {
        if (mine === ended) throw thrown; // otherwise it was told to stop
      } finally {
        wanted.removeEventListener("abort", stopWatching);
      }
      return null;
    },
    isConnected: () => view.isConnected(),
    matching: (urls) => view.matching(urls),
    raiseEpoch: (fence, mayWrite) => requests.raiseEpoch(fence, { guard: mayWrite, signal }),
    ensureWatched: (entries) => view.managed.ensureEntries(entries),
    subscribe: (listener) => void listeners.add(listener),
  };
}

const preconditionOf = ({ metadata }: RawObject): Precondition => ({ uid: metadata.uid ?? "", resourceVersion: metadata.resourceVersion ?? "" });
