/** Watches what units applied to one cluster, by the labels of whoever applied it: kinds as they are followed. */
import { kustomizationApplier, releaseApplier, type Applier, type UnitKind } from "#machines/rules/applier.ts";
import type { ClusterHandle } from "#services/cluster/handle.ts";
import { watchManaged, type ManagedWatch } from "#services/cluster/managed.ts";
import type { Clock } from "#services/store/clock.ts";
import { namedFor } from "./managed-names.ts";
import { kindKey, type Watch, type WatchListener } from "./ports.ts";

const appliers: readonly Applier[] = [kustomizationApplier, releaseApplier];

/** @param most objects of one kind that are kept of one kind of unit */
export function watchApplied(handle: ClusterHandle, listener: Pick<WatchListener, "managed" | "kind" | "lost">, signal: AbortSignal, clock: Clock, most?: number): Watch {
  const watches = Object.fromEntries(appliers.map((applier) => {
    const { unit } = applier;
    return [unit, watchManaged({ ...handle, applier }, {
      changed: (id, record) => listener.managed(namedFor(unit, id), record),
      synced: (group, kind) => listener.kind(kindKey({ unit, group, kind }), "synced"),
      absent: (group, kind) => listener.kind(kindKey({ unit, group, kind }), "absent"),
      lost: (_, kind, reason) => listener.lost(kind, reason),
    }, signal, () => clock.nowMs(), most)];
  })) as Record<UnitKind, ManagedWatch>;
  return { follow: ({ unit = "kustomization", group, kind, v }) => watches[unit].follow(group, kind, v) };
}
