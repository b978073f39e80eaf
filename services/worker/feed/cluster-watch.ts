/** The watch port in front of a real API server. */
import type { KubeObject } from "#machines/rules/inventory.ts";
import { kinds } from "#protocol/api/registry.ts";
import { installCrds } from "#services/cluster/crds.ts";
import type { ClusterHandle } from "#services/cluster/handle.ts";
import { followHub } from "#services/cluster/hub.ts";
import { followReferences } from "#services/cluster/references.ts";
import { followStorage } from "#services/release/storage-watch.ts";
import type { Clock } from "#services/store/clock.ts";
import type { Log } from "#services/telemetry/log.ts";
import { referenceId, storageReference, storageWatched } from "../references.ts";
import { hubKinds, keyOf } from "./hub-kinds.ts";
import type { WatchPort } from "./ports.ts";
import { watchApplied } from "./watch-applied.ts";

export function clusterWatch(handle: ClusterHandle, clock: Clock, log: Pick<Log, "info">): WatchPort {
  return {
    async prepare(guard, signal) {
      const definitions = kinds.map((kind) => kind.crd() as unknown as KubeObject);
      const names = await installCrds(handle, definitions, guard, signal);
      if (names.length > 0) log.info("installed CustomResourceDefinitions", { names });
    },
    start(listener, signal) {
      const awaited = new Set(["objects", "references", "storage"]);
      const isIn = (what: string) => {
        awaited.delete(what);
        if (awaited.size === 0) listener.fluxSynced();
      };
      followReferences(handle.client, {
        changed: (ref, version) => listener.reference(referenceId(ref), version),
        ready: () => isIn("references"),
        lost: (kind, reason) => listener.lost(kind, reason),
      }, signal);
      followStorage(handle.client, undefined, {
        changed: (place, mark) => listener.reference(storageReference(place), mark),
        known(is) {
          listener.reference(storageWatched, is ? "yes" : undefined);
          isIn("storage");
        },
        lost: (reason) => listener.lost("Secret", reason),
      }, signal);
      followHub(handle.client, hubKinds, {
        changed: (kind, object) => listener.flux(keyOf(kind, object.metadata), object),
        deleted: (kind, key) => listener.flux(keyOf(kind, key), undefined),
        synced: () => isIn("objects"),
        lost: ({ plural, group }, reason, forbidden) => listener.lost(`${plural}.${group}`, reason, forbidden),
      }, signal);
      return watchApplied(handle, listener, signal, clock);
    },
  };
}
