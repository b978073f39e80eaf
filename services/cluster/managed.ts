/**
 * What stands in one cluster of all that was applied to it: fed by one watch per kind in use, of objects that carry an
 * owner's label. Drift and health are read from here, so that an idle object costs no request.
 *
 * Our own writes are no drift: an apply says when it begins to write an object and what it left behind, and events in
 * between are judged by that. But the caller records the outcome later still, so whoever is told of a possible drift
 * compares with the record (`drifted`), and an apply in progress compares once more after its outcome is recorded.
 */
import { labels } from "#protocol/api/annotations.ts";
import type { InventoryEntry } from "#protocol/messages/kustomization.ts";
import { isDrifted } from "#machines/rules/drift.ts";
import { hasHealth, type Health } from "#machines/rules/health.ts";
import { inventoryId, parseInventoryId, type KubeObject } from "#machines/rules/inventory.ts";
import type { Owner } from "#machines/rules/prune.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { watch } from "#services/clients/kubernetes/watch.ts";
import type { Known } from "./apply-object.ts";
import type { AppliedTable } from "./apply.ts";
import { pathOf, type Resource } from "./discovery.ts";
import type { ClusterHandle } from "./handle.ts";
import { awaitHealth, type HealthWait } from "./health-wait.ts";
import { isAtLeast, ownerOf, reduce, type Managed } from "./managed-record.ts";

/** `drift` says that it is worth comparing, not that it differs; `health` that status or message are others now. */
export type ManagedChange = {
  id: string;
  owner: Owner;
  /** The object as it is now; undefined when it is gone, or lost its label. */
  now: Managed | undefined;
  drift: boolean;
  health: boolean;
};

export type ManagedListener = {
  change(change: ManagedChange): void;
  /** All objects of a kind have been told: entries of this kind can be compared from now on. */
  synced?(resource: Resource): void;
  /** The watch of a kind has no connection; what is known of it may be out of date. */
  lost?(resource: Resource, reason: string): void;
};

export type ManagedTable = AppliedTable & {
  get(id: string): Managed | undefined;
  /** Ids of all live objects that carry the labels of this Kustomization, whether its inventory knows them or not. */
  ofOwner(namespace: string, name: string): string[];
  /** Resolves when all objects of the kind are in the table. */
  ensureWatched(resource: Resource): Promise<void>;
  /** The same for the kinds of these entries; those the cluster does not know are passed over. */
  ensureEntries(entries: Pick<InventoryEntry, "id" | "v">[]): Promise<void>;
  isSynced(group: string, kind: string): boolean;
  /** @returns the function that ends it */
  subscribe(listener: ManagedListener): () => void;
  /** Entries that are not as applied, with who changed them. Kinds that are not in the table yet are left out. */
  drifted(entries: InventoryEntry[]): Map<string, string>;
  /** Undefined for an id whose kind is not in the table yet. */
  health(id: string): Health | undefined;
  /** @throws Fault HealthCheckFailed in Flux's words; the signal's reason */
  waitHealthy(ids: string[], wait: HealthWait): Promise<void>;
  counts(): { objects: number; kinds: number };
};

type Kind = { objects: Map<string, Managed>; watched: boolean; synced: boolean; ready: Promise<void> };

/** @param signal ends all watches */
export function createManagedTable({ client, discovery }: ClusterHandle, signal: AbortSignal): ManagedTable {
  const kinds = new Map<string, Kind>();
  const owners = new Map<string, Set<string>>();
  const listeners = new Set<ManagedListener>();
  /** Objects that an apply of ours is writing now. */
  const writing = new Set<string>();
  /** Writes of ours that no event has confirmed yet. */
  const noted = new Map<string, Known>();

  const kindOf = (id: string) => kinds.get(kindKey(id));
  const get = (id: string) => kindOf(id)?.objects.get(id);
  const tell = (id: string, object: Managed, now: Managed | undefined, drift: boolean, health: boolean) => {
    if (drift || health) for (const listener of listeners) listener.change({ id, owner: ownerOf(object.owner), now, drift, health });
  };

  const put = (objects: Map<string, Managed>, id: string, next: Managed) => {
    const before = objects.get(id);
    objects.set(id, next);
    if (before?.owner !== next.owner) {
      if (before) disown(owners, before.owner, id);
      own(owners, next.owner, id);
    }
    const written = noted.get(id);
    const late = written !== undefined && !isAtLeast(next.resourceVersion, written.resourceVersion); // from before our write
    if (!late) noted.delete(id);
    const drift = !late && !writing.has(id) && differs(next, written ?? before);
    tell(id, next, next, drift, written !== undefined || before?.status !== next.status || before.message !== next.message);
  };
  const drop = (objects: Map<string, Managed>, id: string) => {
    const before = objects.get(id);
    if (!before) return;
    objects.delete(id);
    disown(owners, before.owner, id);
    if (!writing.has(id)) noted.delete(id);
    tell(id, before, undefined, !writing.has(id), true);
  };

  const start = (resource: Resource): Kind => {
    const { group, kind } = resource;
    const whole = hasHealth(group, kind);
    const objects = new Map<string, Managed>();
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    const entry: Kind = { objects, watched: true, synced: false, ready };
    const target = { path: pathOf(resource, { namespace: "", name: "" }), metadataOnly: !whole, labelSelector: labels.ownerName };
    void watch<KubeObject>(client, target, {
      upsert({ metadata, ...rest }) {
        const id = inventoryId({ namespace: metadata.namespace ?? "", name: metadata.name, group, kind });
        put(objects, id, reduce({ ...rest, metadata }, resource, whole, Date.now(), objects.get(id)));
      },
      remove: ({ namespace, name }) => drop(objects, inventoryId({ namespace, name, group, kind })),
      held: () => [...objects.keys()].map(parseInventoryId),
      synced() {
        entry.synced = true;
        // What we wrote and the list does not name is gone again.
        for (const id of noted.keys()) if (kindOf(id) === entry && !objects.has(id) && !writing.has(id)) noted.delete(id);
        resolve();
        for (const listener of listeners) listener.synced?.(resource);
      },
      lost: ({ message }) => {
        for (const listener of listeners) listener.lost?.(resource, message);
      },
    }, signal);
    return entry;
  };
  const ensure = (resource: Resource): Kind => {
    const key = `${resource.group}/${resource.kind}`;
    const known = kinds.get(key);
    if (known) return known;
    // A kind that cannot be watched stays unknown: it is compared at each interval only.
    const entry = resource.verbs.includes("watch") ? start(resource) : { objects: new Map(), watched: false, synced: false, ready: Promise.resolve() };
    kinds.set(key, entry);
    return entry;
  };

  const health = (id: string): Health | undefined => {
    const object = get(id);
    const written = noted.get(id);
    // What the table holds is older than our write: whatever it says is about the former state.
    if (written) return { status: "InProgress", message: "applied, not seen yet" };
    if (object) return { status: object.status, message: object.message };
    return kindOf(id)?.synced ? { status: "NotFound", message: "Resource not found" } : undefined;
  };
  const subscribe = (listener: ManagedListener) => {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  };

  return {
    get,
    known: get,
    ofOwner: (namespace, name) => [...(owners.get(`${namespace}/${name}`) ?? [])],
    begin: (id) => void writing.add(id),
    end(id, written) {
      writing.delete(id);
      const object = get(id);
      if (!written) {
        if (object) tell(id, object, object, true, false); // nobody knows what the write did
      } else if (!object || !isAtLeast(object.resourceVersion, written.resourceVersion)) {
        if (kindOf(id)?.watched) noted.set(id, written);
      } else if (differs(object, written)) tell(id, object, object, true, false);
    },
    follow: (resource) => void ensure(resource),
    ensureWatched: (resource) => ensure(resource).ready,
    async ensureEntries(entries) {
      const wanted = new Map(entries.map(({ id, v }) => [`${kindKey(id)} ${v}`, { ...parseInventoryId(id), v }]));
      await Promise.all([...wanted.values()].map(async ({ group, kind, v }) => {
        const resource = await discovery.preferred(group, kind, v).catch((error: unknown) => {
          if (error instanceof Fault && error.code === "KindUnknown") return undefined;
          throw error;
        });
        if (resource) await ensure(resource).ready;
      }));
    },
    isSynced: (group, kind) => kinds.get(`${group}/${kind}`)?.synced ?? false,
    subscribe,
    drifted(entries) {
      const found = new Map<string, string>();
      for (const entry of entries) {
        const seen = get(entry.id);
        // Our own write is on its way here.
        if (noted.has(entry.id)) continue;
        if ((seen || kindOf(entry.id)?.synced) && isDrifted(entry, seen)) found.set(entry.id, seen?.by ?? "");
      }
      return found;
    },
    health,
    waitHealthy: (ids, wait) => awaitHealth(ids, health, subscribe, wait),
    counts: () => ({ kinds: kinds.size, objects: [...kinds.values()].reduce((sum, { objects }) => sum + objects.size, 0) }),
  };
}

function kindKey(id: string): string {
  const { group, kind } = parseInventoryId(id);
  return `${group}/${kind}`;
}

const differs = (object: Managed, as: { uid: string; owned: string } | undefined) => object.uid !== as?.uid || object.owned !== as.owned;

function own(owners: Map<string, Set<string>>, owner: string, id: string): void {
  const ids = owners.get(owner);
  if (ids) ids.add(id);
  else owners.set(owner, new Set([id]));
}

function disown(owners: Map<string, Set<string>>, owner: string, id: string): void {
  const ids = owners.get(owner);
  ids?.delete(id);
  if (ids?.size === 0) owners.delete(owner);
}
