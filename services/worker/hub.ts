/** The hub cluster as the worker uses it: the Flux objects in it, and the port through which units are applied to it. */
import { health } from "#machines/rules/health.ts";
import { displayName, apiVersionOf, parseInventoryId, type KubeObject } from "#machines/rules/inventory.ts";
import type { Owner } from "#machines/rules/prune.ts";
import { kinds } from "#protocol/api/registry.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ChangeAction, InventoryEntry } from "#protocol/messages/kustomization.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import type { KubeClient } from "#services/clients/kubernetes/client.ts";
import { isNotFound } from "#services/clients/kubernetes/error.ts";
import { apply } from "#services/cluster/apply.ts";
import { installCrds } from "#services/cluster/crds.ts";
import { createDiscovery, pathOf } from "#services/cluster/discovery.ts";
import { followHub, type Hub as FluxObjects, type HubKind } from "#services/cluster/hub.ts";
import { createManagedTable } from "#services/cluster/managed.ts";
import { getSecret, patchMetadata, patchStatus, postEvent, type HubRef } from "#services/cluster/objects.ts";
import { prune, waitTermination } from "#services/cluster/prune.ts";
import { sleep, type Clock } from "#services/store/clock.ts";
import type { Log } from "#services/telemetry/log.ts";
import type { ClusterPort } from "./cluster-port.ts";
import type { HubPorts } from "./effects/hub-objects.ts";
import type { RawObject } from "./facts.ts";

export type HubOptions = {
  client: KubeClient;
  clock: Clock;
  /** Names this worker in events. */
  worker: string;
  guard(): void;
  signal: AbortSignal;
  /** An object of ours is as given, or gone. */
  onObject(key: ActorKey, object: RawObject | undefined): void;
  onWritten(unit: ActorKey, id: string, action: ChangeAction, startMs: number, endMs: number): void;
  log: Log;
};

export type Hub = HubPorts & {
  cluster: ClusterPort;
  list(): { key: ActorKey; object: RawObject }[];
  /** Resolves when the CRDs are there and every kind was listed. */
  connect(): Promise<null>;
  /** Stays until the signal ends it: connections that break are mended underneath. */
  watch(signal: AbortSignal): Promise<null>;
  connected: Promise<void>;
  isConnected(): boolean;
  /** False when the object has changed since it was read. */
  patchStatus(key: ActorKey, live: RawObject, status: Record<string, unknown>): Promise<boolean>;
  postEvent(key: ActorKey, object: RawObject, notice: Notice): Promise<void>;
  /** Begins to watch every kind of these; resolves when all that stands is known. */
  ensureWatched(entries: InventoryEntry[]): Promise<void>;
  /**
   * Tells of every managed object that may no longer be as applied; and when a kind was listed anew, so that what went
   * unseen meanwhile is compared too.
   */
  subscribe(listener: { changed(owner: Owner, id: string): void; relisted(): void }): void;
};

const hubKinds: HubKind[] = kinds.map(({ group, kind, plural, versions }) =>
  ({ group, kind, plural, version: versions.find(({ storage }) => storage)?.name ?? "v1" }));

const healthPollMs = 2_000;

export function openHub({ client, clock, worker, guard, signal, onObject, onWritten, log }: HubOptions): Hub {
  const discovery = createDiscovery(client);
  const handle = { client, discovery };
  const table = createManagedTable(handle, signal);
  const connected = Promise.withResolvers<void>();
  let objects: FluxObjects | undefined;

  const refOf = ({ kind, namespace, name }: ActorKey): HubRef => {
    const found = hubKinds.find((each) => each.kind.toLowerCase() === kind);
    if (!found) throw new Fault("KindUnknown", kind);
    return { ...found, namespace, name };
  };
  const keyOf = (kind: HubKind, { metadata }: KubeObject): ActorKey =>
    ({ kind: kind.kind.toLowerCase(), namespace: metadata.namespace ?? "", name: metadata.name });
  const precondition = ({ metadata }: RawObject) => ({ uid: metadata.uid ?? "", resourceVersion: metadata.resourceVersion ?? "" });
  const cached = (key: ActorKey): RawObject | undefined => objects?.get(refOf(key).kind, key.namespace, key.name);
  const resourceOf = (id: string, v: string) => {
    const { group, kind } = parseInventoryId(id);
    return discovery.preferred(group, kind, v);
  };

  async function reread(key: ActorKey): Promise<RawObject | undefined> {
    const { group, version, plural, namespace, name } = refOf(key);
    try {
      const { body } = await client.request<KubeObject>({ method: "GET", path: `/apis/${group}/${version}/namespaces/${namespace}/${plural}/${name}` });
      objects?.take(body);
      return body;
    } catch (thrown) {
      if (isNotFound(thrown)) return undefined;
      throw thrown;
    }
  }

  // Timed by a monotonic clock there; told in the clock that the unit's runs are told in, or it would fall outside of them.
  const written = (key: ActorKey) => (id: string, action: ChangeAction, startMs: number, endMs: number) => {
    const nowMs = clock.nowMs();
    onWritten(key, id, action, Math.ceil(nowMs - (endMs - startMs)), nowMs);
  };

  const cluster: ClusterPort = {
    apply: ({ key, objects: wanted, ...call }) => apply({
      ...call, cluster: handle, objects: wanted, guard, table, onObject: written(key),
    }),
    async prune({ key, waitMs, ...call }) {
      const report = await prune({
        ...call, cluster: handle, guard, onObject: written(key),
      });
      if (waitMs !== undefined && !report.fault) {
        const left = await waitTermination({ cluster: handle, signal: call.signal }, report.deleted, waitMs);
        for (const id of left) log.info("not gone in time; let go", { object: displayName(parseInventoryId(id)), unit: actorId(key) });
      }
      return report;
    },
    drifted: (entries) => [...table.drifted(entries)].map(([id, by]) => ({ id, by })),
    async waitHealthy(ids, { foreign, ...wait }) {
      await Promise.all([
        table.waitHealthy(ids, wait),
        ...foreign.map(({ id, v }) => waitForeign(id, v, wait)),
      ]);
    },
  };

  /** An object that no unit applied is in no table: it is looked at until it is healthy. */
  async function waitForeign(id: string, v: string, { timeoutMs, signal: wanted }: { timeoutMs: number; signal: AbortSignal }): Promise<void> {
    const endMs = clock.monoMs() + timeoutMs;
    for (;;) {
      wanted.throwIfAborted();
      const state = await lookAt(id, v);
      if (state === "Current") return;
      const name = displayName(parseInventoryId(id));
      if (state === "Failed") throw new Fault("HealthCheckFailed", name, { detail: `failed early due to stalled resources: [${name} status: 'Failed']` });
      if (clock.monoMs() >= endMs) throw new Fault("HealthCheckFailed", name, { detail: `timeout waiting for: [${name} status: '${state}']` });
      await sleep(clock, healthPollMs);
    }
  }

  async function lookAt(id: string, v: string): Promise<string> {
    const resource = await resourceOf(id, v).catch(() => undefined);
    if (!resource) return "NotFound";
    const { group, kind } = parseInventoryId(id);
    try {
      const { body } = await client.request<KubeObject>({ method: "GET", path: pathOf(resource, parseInventoryId(id)) });
      return health({ ...body, apiVersion: apiVersionOf(group, v), kind }, clock.nowMs()).status;
    } catch (thrown) {
      return isNotFound(thrown) ? "NotFound" : "Unknown";
    }
  }

  return {
    cluster,
    cached,
    reread,
    kindOf: (actorKind) => refOf({ kind: actorKind, namespace: "", name: "" }).kind,
    secret: (namespace, name) => getSecret(client, namespace, name),
    async patchFinalizers(key, live, finalizers) {
      objects?.take(await patchMetadata(client, refOf(key), { finalizers }, precondition(live), { guard }));
    },
    list: () => hubKinds.flatMap((kind) => (objects?.list(kind.kind) ?? []).map((object) => ({ key: keyOf(kind, object), object }))),
    async connect() {
      if (!objects) {
        const installed = await installCrds(handle, kinds.map((kind) => kind.crd() as unknown as KubeObject), guard, signal);
        if (installed.length > 0) log.info("installed CustomResourceDefinitions", { names: installed });
        objects ??= followHub(client, hubKinds, {
          changed: (kind, object) => onObject(keyOf(kind, object), object),
          deleted: (kind, object) => onObject(keyOf(kind, object), undefined),
          lost: (kind, reason) => log.debug("watch lost", { watched: kind.kind, error: reason }),
        }, signal);
      }
      await objects.ready();
      connected.resolve();
      return null;
    },
    async watch(wanted) {
      await this.connect();
      await new Promise<void>((resolve) => {
        if (wanted.aborted) resolve();
        else wanted.addEventListener("abort", () => resolve(), { once: true });
      });
      return null;
    },
    connected: connected.promise,
    isConnected: () => objects?.synced() ?? false,
    async patchStatus(key, live, status) {
      try {
        objects?.take(await patchStatus(client, refOf(key), status, precondition(live), { guard }));
        return true;
      } catch (thrown) {
        if (thrown instanceof Fault && thrown.code === "ObjectGone") return true;
        if (thrown instanceof Fault && thrown.code === "ApplyConflict") return false;
        throw thrown;
      }
    },
    postEvent(key, object, { severity, reason, message, revision, digest }) {
      const metadata = { ...(revision && { revision }), ...(digest && { digest }) };
      return postEvent(client, refOf(key), object, { type: severity, reason, message, metadata }, worker, { guard });
    },
    ensureWatched: (entries) => table.ensureEntries(entries),
    subscribe({ changed, relisted }) {
      table.subscribe({
        change: ({ owner, id, drift }) => { if (drift) changed(owner, id); },
        synced: () => relisted(),
      });
    },
  };
}
