/** The Flux objects of a hub, followed by watches and kept whole: what users declare, at hand without a request. */
import { inventoryId, apiVersionOf, type KubeObject } from "#machines/rules/inventory.ts";
import type { KubeClient } from "#services/clients/kubernetes/client.ts";
import { isAtLeast } from "./managed-record.ts";
import { watch } from "#services/clients/kubernetes/watch.ts";

export type HubKind = { group: string; version: string; kind: string; plural: string };

export type HubListener = {
  /** The object as it is now. */
  changed(kind: HubKind, object: KubeObject): void;
  /** The object as it was last seen. */
  deleted(kind: HubKind, object: KubeObject): void;
  /** All objects of a kind have been told. */
  synced?(kind: HubKind): void;
  lost?(kind: HubKind, reason: string, againInMs: number): void;
};

export type Hub = {
  get(kind: string, namespace: string, name: string): KubeObject | undefined;
  list(kind: string): KubeObject[];
  /** Whether all kinds were listed at least once. */
  synced(): boolean;
  /** Resolves when they are. */
  ready(): Promise<void>;
  /** Takes in what a write of ours returned, so that the next write builds on it and not on an older version. */
  take(object: KubeObject): void;
};

/** @param signal ends all watches */
export function followHub(client: KubeClient, kinds: HubKind[], listener: HubListener, signal: AbortSignal): Hub {
  const caches = new Map(kinds.map((kind) => [kind.kind, createCache(kind)]));
  for (const [, cache] of caches) void watch<KubeObject>(client, { path: pathOfKind(cache.kind) }, {
    upsert(object) {
      if (cache.put(object)) listener.changed(cache.kind, cache.get(object.metadata) ?? object);
    },
    remove(key) {
      const last = cache.drop(key);
      if (last) listener.deleted(cache.kind, last);
    },
    held: () => cache.keys(),
    synced() {
      cache.markSynced();
      listener.synced?.(cache.kind);
    },
    lost: ({ message }, againInMs) => listener.lost?.(cache.kind, message, againInMs),
  }, signal);
  return {
    get: (kind, namespace, name) => caches.get(kind)?.get({ namespace, name }),
    list: (kind) => caches.get(kind)?.all() ?? [],
    synced: () => [...caches.values()].every(({ isSynced }) => isSynced()),
    ready: async () => void (await Promise.all([...caches.values()].map(({ ready }) => ready))),
    take: (object) => caches.get(object.kind)?.take(object),
  };
}

type Key = { namespace?: string; name: string };

function createCache(kind: HubKind) {
  const objects = new Map<string, KubeObject>();
  const { promise: ready, resolve } = Promise.withResolvers<void>();
  const apiVersion = apiVersionOf(kind.group, kind.version);
  /** Versions that our own writes left, until the watch has caught up. */
  const taken = new Map<string, string>();
  let synced = false;
  const idOf = ({ namespace = "", name }: Key) => inventoryId({ namespace, name, group: kind.group, kind: kind.kind });
  const keep = (id: string, object: KubeObject) => {
    const { managedFields: _, ...metadata } = object.metadata; // half of an object, and nobody here reads it
    objects.set(id, { ...object, apiVersion, kind: kind.kind, metadata });
  };
  return {
    kind, ready,
    get: (key: Key) => objects.get(idOf(key)),
    all: () => [...objects.values()],
    *keys() {
      for (const { metadata } of objects.values()) yield { namespace: metadata.namespace ?? "", name: metadata.name };
    },
    /** @returns whether it is news: a write of ours comes back by the watch as well */
    put(object: KubeObject): boolean {
      const id = idOf(object.metadata);
      const { uid, resourceVersion = "" } = object.metadata;
      const ahead = taken.get(id);
      if (ahead !== undefined && !isAtLeast(resourceVersion, ahead)) return false; // from before our write
      taken.delete(id);
      const before = objects.get(id)?.metadata;
      if (before?.uid === uid && before?.resourceVersion === resourceVersion) return false;
      keep(id, object);
      return true;
    },
    take(object: KubeObject): void {
      const id = idOf(object.metadata);
      const { resourceVersion = "" } = object.metadata;
      const before = objects.get(id)?.metadata.resourceVersion ?? "";
      if (isAtLeast(before, resourceVersion)) return;
      taken.set(id, resourceVersion);
      keep(id, object);
    },
    drop(key: Key): KubeObject | undefined {
      const last = objects.get(idOf(key));
      objects.delete(idOf(key));
      taken.delete(idOf(key));
      return last;
    },
    markSynced() {
      synced = true;
      resolve();
    },
    isSynced: () => synced,
  };
}

const pathOfKind = ({ group, version, plural }: HubKind) => `/apis/${group}/${version}/${plural}`;
