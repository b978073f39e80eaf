/** Follows what stands in one cluster of all that was applied to it: one watch per kind in use, of objects that carry an owner's label. */
import { labels } from "#protocol/api/annotations.ts";
import { hasHealth } from "#machines/rules/health.ts";
import { inventoryId, parseInventoryId, type KubeObject } from "#machines/rules/inventory.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { watch } from "#services/clients/kubernetes/watch.ts";
import { pathOf, type Resource } from "./discovery.ts";
import type { ClusterHandle } from "./handle.ts";
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

/** @param signal ends all watches */
export function watchManaged({ client, discovery }: ClusterHandle, listener: ManagedListener, signal: AbortSignal, nowMs: () => number = Date.now): ManagedWatch {
  const followed = new Set<string>();

  const start = (resource: Resource) => {
    const { group, kind } = resource;
    const whole = hasHealth(group, kind);
    const objects = new Map<string, Managed>();
    const target = { path: pathOf(resource, { namespace: "", name: "" }), metadataOnly: !whole, labelSelector: labels.ownerName };
    void watch<KubeObject>(client, target, {
      upsert({ metadata, ...rest }) {
        const id = inventoryId({ namespace: metadata.namespace ?? "", name: metadata.name, group, kind });
        const before = objects.get(id);
        const record = reduce({ ...rest, metadata }, resource, whole, nowMs(), before);
        objects.set(id, record);
        // A new list names what stands; only how long it has been in progress may have become another matter.
        const same = before?.uid === record.uid && before.resourceVersion === record.resourceVersion && before.status === record.status;
        if (!same) listener.changed(id, record);
      },
      remove({ namespace, name }) {
        const id = inventoryId({ namespace, name, group, kind });
        if (objects.delete(id)) listener.changed(id, undefined);
      },
      held: () => [...objects.keys()].map(parseInventoryId),
      synced: () => listener.synced(group, kind),
      lost: ({ message }) => listener.lost?.(group, kind, message),
    }, signal);
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
