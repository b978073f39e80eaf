/** Follows what units that were just taken over applied to other clusters, so that drift there is seen before their interval. */
import type { Tenancy } from "#machines/rules/tenancy.ts";
import { helmRelease } from "#protocol/api/helm-release.ts";
import { kustomization } from "#protocol/api/kustomization.ts";
import { actorId } from "#protocol/names/actor.ts";
import type { Log } from "#services/telemetry/log.ts";
import type { Held } from "./comparison.ts";
import { watchedOf } from "./drift-watch.ts";
import { targetOf } from "./effects/target.ts";
import { declared } from "./facts.ts";
import type { Hub } from "./hub.ts";

export type ReachPorts = {
  hub: Pick<Hub, "cluster" | "cached" | "isElsewhere">;
  tenancy: Tenancy;
  owns(partition: number): boolean;
  log: Pick<Log, "debug">;
};

/** One after the other: each reads its credentials. What does not succeed is done at the unit's next run. */
export async function reachAgain(partition: number, held: Held[], { hub, tenancy, owns, log }: ReachPorts): Promise<void> {
  for (const { key, record } of held) {
    const entries = watchedOf(key, record);
    const object = hub.cached(key);
    if (!owns(partition) || !object || entries.length === 0 || !hub.isElsewhere(key)) continue;
    const { facts } = record.snapshot.context as { facts?: { timeoutMs?: number } | null };
    try {
      const { spec } = (key.kind === "helmrelease" ? helmRelease : kustomization).parse(declared(object));
      await hub.cluster.reach(key, targetOf(key, spec, tenancy, facts?.timeoutMs ?? 60_000), entries);
    } catch (thrown) {
      log.debug("another cluster is not watched yet", { unit: actorId(key), error: String(thrown) });
    }
  }
}
