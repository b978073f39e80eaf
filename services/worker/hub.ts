/**
 * The hub cluster as the worker uses it: the Flux objects of the partitions it follows, and the port through which its
 * units are applied. One worker watches for all (feed/watching.ts); every worker sees its part (feed/view.ts) and writes
 * for itself.
 */
import { labels } from "#protocol/api/annotations.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ChangeAction, InventoryEntry } from "#protocol/messages/kustomization.ts";
import type { DependsAnswer } from "#protocol/messages/feed.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { KubeClient } from "#services/clients/kubernetes/client.ts";
import { createDiscovery } from "#services/cluster/discovery.ts";
import type { ApplySettings } from "#services/cluster/handle.ts";
import type { Bus } from "#services/store/bus.ts";
import type { Clock } from "#services/store/clock.ts";
import type { Log } from "#services/telemetry/log.ts";
import { clusterAccess } from "./cluster-access.ts";
import type { ClusterPort } from "./cluster-port.ts";
import type { HubPorts } from "./effects/hub-objects.ts";
import type { RawObject } from "./facts.ts";
import { clusterRequests } from "./feed/cluster-requests.ts";
import { clusterWatch } from "./feed/cluster-watch.ts";
import { hubKindOf } from "./feed/hub-kinds.ts";
import type { Precondition, RequestPort, WatchPort } from "./feed/ports.ts";
import { View } from "./feed/view.ts";
import { Watching } from "./feed/watching.ts";
import { clusterRemote, type RemoteOptions } from "./remotes/cluster-remote.ts";
import type { RemotePort } from "./remotes/ports.ts";
import { Remotes } from "./remotes/remotes.ts";

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
  /** We changed the status of an object: nobody else tells of that. */
  onStatus(key: ActorKey): void;
  /** Everything of a followed partition is known. Again whenever all was told anew, as after a change of the watcher. */
  onShown(partition: number): void;
  onWritten(unit: ActorKey, id: string, action: ChangeAction, startMs: number, endMs: number, by?: string): void;
  /** Keys that have a shard, by its number. */
  shards(): readonly string[];
  log: Log;
};

/** Where the cluster is behind ports: the simulator's way in. */
export type HubPortOptions = HubOptions & { watch: WatchPort; requests: RequestPort; remote?: RemotePort };

export type HubListener = {
  /** A managed object may no longer be as applied. */
  changed(unit: ActorKey, id: string): void;
  /** What stands in Helm's storage of the unit's release is another. */
  storage(unit: ActorKey): void;
  /** What went unseen may have changed anything: of the units of this partition, or of all. */
  relisted(partition?: number): void;
  /** All that stands in another cluster of what the unit applied there. */
  known(unit: ActorKey): void;
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
  /** Why not, where it is this worker that watches and the server that refuses. */
  refusals(): string[];
  /** Sources of the whole hub with one of these URLs. @throws Fault ClusterUnreachable when nobody watches now */
  matching(urls: string[]): Promise<ActorKey[]>;
  /** How a unit stands to all others. @throws Fault ClusterUnreachable when nobody watches now */
  depends(unit: ActorKey): Promise<DependsAnswer>;
  /** An object of any kind as it is now, without what it contains; undefined: there is none. */
  readObject: RequestPort["readObject"];
  /** Says once how it stands, and then whenever it changed. The signal ends it. */
  followObject: RequestPort["followObject"];
  /** False when the object has changed since it was read. */
  patchStatus(key: ActorKey, live: RawObject, status: Record<string, unknown>): Promise<boolean>;
  postEvent(key: ActorKey, object: RawObject, notice: Notice): Promise<void>;
  /** Before the first write after a crash of the partition's former owner. */
  raiseEpoch(fence: { partition: number; epoch: number }, guard: () => void): Promise<void>;
  /** Has every kind of these, which the unit applied, watched on the hub; resolves when all that stands is known. */
  ensureWatched(unit: ActorKey, entries: InventoryEntry[]): Promise<void>;
  /** What stands in Helm's storage at that place, which the unit's release has there; undefined: that is not known. */
  storageOf(unit: ActorKey, place: string): string | undefined;
  /** The unit's object says that it acts on another cluster than the hub. */
  isElsewhere(unit: ActorKey): boolean;
  subscribe(listener: HubListener): void;
  /** Keys have a shard that had none. */
  reshard(): void;
  /** Objects at home, of the followed partitions, that may belong in a shard. */
  labelled(): Iterable<ActorKey>;
};

const hubKey: ActorKey = { kind: "cluster", namespace: "flotilla", name: "hub" };

export function openHub(
  { client, settings = {}, remote, ...options }: HubOptions & { client: KubeClient; settings?: ApplySettings | undefined; remote: RemoteOptions },
): Hub {
  const { clock, worker, log } = options;
  const handle = { client, discovery: createDiscovery(client), settings };
  return createHub({
    ...options, watch: clusterWatch(handle, clock, log), requests: clusterRequests(handle, worker, clock, log),
    remote: clusterRemote(client, { ...remote, settings }, clock, log),
  });
}

export function createHub({ clock, worker, bus, guard, signal, onObject, onStatus, onShown, onWritten, shards, log, watch: port, requests, remote }: HubPortOptions): Hub {
  const listeners = new Set<HubListener>();
  const relisted = (partition?: number) => { for (const listener of listeners) listener.relisted(partition); };
  const watching = new Watching({ port, bus, clock, worker, guard: () => guard(hubKey), shards, log });
  const view = new View({
    bus, clock, worker, requests, signal, log,
    onObject(key, object) {
      remotes.seen(key, object);
      onObject(key, object);
    },
    onShown(partition) {
      onShown(partition);
      relisted(partition);
    },
    onRelisted: () => relisted(),
    onStorage: (unit) => { for (const listener of listeners) listener.storage(unit); },
  });
  const changed = (unit: ActorKey, id: string) => { for (const listener of listeners) listener.changed(unit, id); };
  view.managed.onDrift(changed);
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
  const written = (key: ActorKey) => (id: string, action: ChangeAction, startMs: number, endMs: number, by?: string) => {
    const nowMs = clock.nowMs();
    onWritten(key, id, action, Math.ceil(nowMs - (endMs - startMs)), nowMs, by);
  };
  const guardOf = (key: ActorKey) => ({ guard: () => guard(key) });

  const remotes = new Remotes({
    port: remote, clock, signal, log,
    onDrift: changed,
    onCompare: (unit) => { for (const listener of listeners) listener.known(unit); },
    onStorage: (unit) => { for (const listener of listeners) listener.storage(unit); },
  });
  const storageOf: Hub["storageOf"] = (unit, place) => (remotes.isElsewhere(unit) ? remotes.storageOf(unit, place) : view.flux.storageOf(unit, place));
  const cluster = clusterAccess({ clock, hub: requests, managed: view.managed, remotes, storageOf, guardOf, written });

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
    inputsOf: (key) => view.flux.inputsOf(key),
    data: (ref) => requests.data(ref),
    secret: (namespace, name) => requests.secret(namespace, name),
    list: (actorKind, namespace) => requests.list(actorKind, namespace),
    pullSecretNames: (namespace, account) => requests.pullSecretNames(namespace, account),
    applyOwned: (owner, key, owned, live) => requests.applyOwned(key, owned, live, guardOf(owner)),
    removeOwned: (owner, key, uid) => requests.removeOwned(key, uid, guardOf(owner)),
    async patchFinalizers(key, live, finalizers) {
      view.take(key, await requests.patchMetadata(key, { finalizers }, preconditionOf(live), guardOf(key)), "wrote");
    },
    async patchStatus(key, live, status) {
      try {
        view.take(key, await requests.patchStatus(key, status, preconditionOf(live), guardOf(key)), "wrote");
        onStatus(key);
        return true;
      } catch (thrown) {
        if (thrown instanceof Fault && thrown.code === "ObjectGone") return true;
        if (thrown instanceof Fault && thrown.code === "ApplyConflict") return false;
        throw thrown;
      }
    },
    postEvent: (key, object, notice) => requests.event(key, object, notice, guardOf(key)),
    follow(partitions) {
      view.follow(partitions);
      remotes.keep(partitions);
    },
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
    refusals: () => watching.refusals(),
    matching: (urls) => view.matching(urls),
    depends: (unit) => view.depends(unit),
    readObject: (object, target) => requests.readObject(object, target),
    followObject: (object, changed, wanted) => requests.followObject(object, changed, AbortSignal.any([signal, wanted])),
    raiseEpoch: (fence, mayWrite) => requests.raiseEpoch(fence, { guard: mayWrite, signal }),
    ensureWatched: (unit, entries) => view.managed.of(unit).ensureEntries(entries),
    storageOf,
    isElsewhere: (unit) => remotes.isElsewhere(unit),
    reshard: () => watching.reshard(),
    labelled: () => view.flux.labelled(labels.shardKey),
    subscribe: (listener) => void listeners.add(listener),
  };
}

const preconditionOf = ({ metadata }: RawObject): Precondition => ({ uid: metadata.uid ?? "", resourceVersion: metadata.resourceVersion ?? "" });
