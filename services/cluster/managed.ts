/** Follows what stands in one cluster of all that was applied to it: one watch per kind in use, of objects that carry an owner's label. */
import { hasHealth } from "#machines/rules/health.ts";
import { inventoryId, parseInventoryId, type KubeObject } from "#machines/rules/inventory.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { KubeError } from "#services/clients/kubernetes/error.ts";
import { watch } from "#services/clients/kubernetes/watch.ts";
import { pathOf, type Resource } from "./discovery.ts";
import { applierOf, type ClusterHandle } from "./handle.ts";
import { reduce, type Managed } from "./managed-record.ts";

export type ManagedListener = {
  /** The object is as given; undefined: it is gone, or lost its label. */
  changed(id: string, record: Managed | undefined): void;
  /** All objects of the kind have been told; again after each new list. */
  synced(group: string, kind: string): void;
  /** The cluster has no such kind now, or it cannot be watched: it is compared at each interval only. */
  absent(group: string, kind: string): void;
  /** The watch of a kind has no connection; what is known of it may be out of date. */
  lost?(group: string, kind: string, reason: string): void;
};

export type ManagedWatch = {
  /** Of a kind that is watched: nothing happens. One that was absent is looked for again. */
  follow(group: string, kind: string, version: string): void;
};

/**
 * Objects of the handle's applier: of Kustomizations, or of Helm releases. A kind that may not be watched, or has more than `most` objects, is absent until it is followed again.
 *
 * @param signal ends all watches
 */
export function watchManaged(handle: ClusterHandle, listener: ManagedListener, signal: AbortSignal, nowMs: () => number = Date.now, most = Infinity): ManagedWatch {
  const { client, discovery, settings } = handle;
  const applier = applierOf(handle);
  const followed = new Set<string>();
  /** By kind, and for as long as this goes on: whoever begins again is told what went meanwhile. */
  const known = new Map<string, Map<string, Managed>>();

  const start = (resource: Resource) => {
    const { group, kind } = resource;
    const whole = hasHealth(group, kind);
    const objects = known.get(`${group}/${kind}`) ?? new Map<string, Managed>();
    known.set(`${group}/${kind}`, objects);
    const own = new AbortController();
    const giveUp = () => {
      own.abort();
      followed.delete(`${group}/${kind}`);
      listener.absent(group, kind);
    };
    const target = { path: pathOf(resource, { namespace: "", name: "" }), metadataOnly: !whole, labelSelector: applier.owner.name };
    void watch<KubeObject>(client, target, {
      upsert({ metadata, ...rest }) {
        const id = inventoryId({ namespace: metadata.namespace ?? "", name: metadata.name, group, kind });
        if (own.signal.aborted) return;
        const before = objects.get(id);
        if (!before && objects.size >= most) return giveUp();
        const record = reduce({ ...rest, metadata }, resource, whole, nowMs(), before, settings?.overriddenManagers, applier);
        objects.set(id, record);
        // A new list names what stands; only how long it has been in progress may have become another matter.
        const same = before?.uid === record.uid && before.resourceVersion === record.resourceVersion && before.status === record.status;
        if (!same) listener.changed(id, record);
      },
      remove({ namespace, name }) {
        const id = inventoryId({ namespace, name, group, kind });
        if (!own.signal.aborted && objects.delete(id)) listener.changed(id, undefined);
      },
      held: () => [...objects.keys()].map(parseInventoryId),
      synced: () => { if (!own.signal.aborted) listener.synced(group, kind); },
      lost({ message, cause }) {
        if (cause instanceof KubeError && cause.code === 403) giveUp();
        else listener.lost?.(group, kind, message);
      },
    }, AbortSignal.any([signal, own.signal]));
  };

  const find = async (group: string, kind: string, version: string) => {
    const resource = await discovery.preferred(group, kind, version);
    if (signal.aborted) return;
    if (resource.verbs.includes("watch")) return start(resource);
    followed.delete(`${group}/${kind}`);
    listener.absent(group, kind);
  };

  return {
    follow(group, kind, version) {
      const name = `${group}/${kind}`;
      if (followed.has(name)) return;
      followed.add(name);
      find(group, kind, version).catch((error: unknown) => {
        followed.delete(name);
        if (error instanceof Fault && error.code === "KindUnknown") listener.absent(group, kind);
        else listener.lost?.(group, kind, error instanceof Error ? error.message : String(error));
      });
    },
  };
}
