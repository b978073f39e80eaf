/** The watch port in front of a real API server. */
import type { KubeObject } from "#machines/rules/inventory.ts";
import { kinds } from "#protocol/api/registry.ts";
import { installCrds } from "#services/cluster/crds.ts";
import type { ClusterHandle } from "#services/cluster/handle.ts";
import { followHub } from "#services/cluster/hub.ts";
import { watchManaged } from "#services/cluster/managed.ts";
import type { Clock } from "#services/store/clock.ts";
import type { Log } from "#services/telemetry/log.ts";
import { hubKinds, keyOf } from "./hub-kinds.ts";
import { kindKey, type WatchPort } from "./ports.ts";

export function clusterWatch(handle: ClusterHandle, clock: Clock, log: Pick<Log, "info">): WatchPort {
  return {
    async prepare(guard, signal) {
      const definitions = kinds.map((kind) => kind.crd() as unknown as KubeObject);
      const names = await installCrds(handle, definitions, guard, signal);
      if (names.length > 0) log.info("installed CustomResourceDefinitions", { names });
    },
    start(listener, signal) {
      followHub(handle.client, hubKinds, {
        changed: (kind, object) => listener.flux(keyOf(kind, object.metadata), object),
        deleted: (kind, key) => listener.flux(keyOf(kind, key), undefined),
        synced: () => listener.fluxSynced(),
        lost: ({ kind }, reason) => listener.lost(kind, reason),
      }, signal);
      const managed = watchManaged(handle, {
        changed: (id, record) => listener.managed(id, record),
        synced: (group, kind) => listener.kind(kindKey({ group, kind }), "synced"),
        absent: (group, kind) => listener.kind(kindKey({ group, kind }), "absent"),
        lost: (_, kind, reason) => listener.lost(kind, reason),
      }, signal, () => clock.nowMs());
      return { follow: ({ group, kind, v }) => managed.follow(group, kind, v) };
    },
  };
}
