/** Follows Helm's storage, of all releases or of one namespace's, by the Secrets' metadata alone: of whose storage something was changed. */
import type { KubeObject } from "#machines/rules/inventory.ts";
import { storageMark, storagePlace } from "#machines/rules/release-storage.ts";
import type { KubeClient } from "#services/clients/kubernetes/client.ts";
import { isForbidden } from "#services/clients/kubernetes/error.ts";
import { watch } from "#services/clients/kubernetes/watch.ts";
import { segment } from "#services/cluster/discovery.ts";
import { secretName, secretType, versionIn, type Revision } from "./storage.ts";

export type StorageListener = {
  /** What stands there now, as `storageMark` says it; undefined: nothing. By `storagePlace`. */
  changed(place: string, mark: string | undefined): void;
  /** Whether what was not told of is not there. False: it may not be watched. Again when that changes. */
  known(is: boolean): void;
  lost?(reason: string): void;
};

type Seen = Pick<Revision, "version" | "uid" | "resourceVersion">;

/** @param namespace of the Secrets; all when absent @param signal ends it */
export function followStorage(client: KubeClient, namespace: string | undefined, listener: StorageListener, signal: AbortSignal): void {
  const places = new Map<string, Map<number, Seen>>();
  let isKnown: boolean | undefined;
  const tell = (place: string) => {
    const revisions = places.get(place);
    if (isKnown) listener.changed(place, revisions && storageMark(revisions.values()));
  };
  const become = (is: boolean) => {
    if (isKnown === is) return;
    isKnown = is;
    if (is) for (const place of places.keys()) tell(place);
    listener.known(is);
  };
  const path = namespace === undefined ? "/api/v1/secrets" : `/api/v1/namespaces/${segment(namespace)}/secrets`;
  void watch<KubeObject>(client, { path, metadataOnly: true, labelSelector: "owner=helm", fieldSelector: `type=${secretType}` }, {
    upsert({ metadata }) {
      const place = placeIn(metadata.namespace ?? "", metadata.name);
      if (!place || metadata.labels?.["name"] !== place.name) return;
      const { uid = "", resourceVersion = "" } = metadata;
      const revisions = places.get(place.id) ?? new Map<number, Seen>();
      places.set(place.id, revisions);
      if (revisions.get(place.version)?.resourceVersion === resourceVersion) return; // a new list names what stands
      revisions.set(place.version, { version: place.version, uid, resourceVersion });
      tell(place.id);
    },
    remove({ namespace: where, name }) {
      const place = placeIn(where, name);
      const revisions = place && places.get(place.id);
      if (!place || !revisions?.delete(place.version)) return;
      if (revisions.size === 0) places.delete(place.id);
      tell(place.id);
    },
    *held() {
      for (const [id, revisions] of places) {
        const [where = "", name = ""] = id.split("/");
        for (const version of revisions.keys()) yield { namespace: where, name: secretName(name, version) };
      }
    },
    synced: () => become(true),
    lost({ message, cause }) {
      listener.lost?.(message);
      // Of what was seen once every later change is told when the connection is back; what may not be seen says nothing.
      if (isKnown === undefined || isForbidden(cause)) become(false);
    },
  }, signal);
}

function placeIn(namespace: string, secret: string): { id: string; name: string; version: number } | undefined {
  const [, name] = /^sh\.helm\.release\.v1\.(.+)\.v\d+$/.exec(secret) ?? [];
  const version = name === undefined ? undefined : versionIn(secret, name);
  return name === undefined || version === undefined ? undefined : { id: storagePlace({ storageNamespace: namespace, name }), name, version };
}
