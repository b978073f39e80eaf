/** What is done for units in one cluster, the hub or another one: in front of a real API server. */
import { health } from "#machines/rules/health.ts";
import { unknown, type Health } from "#machines/rules/health-reading.ts";
import { apiVersionOf, displayName, parseInventoryId, type KubeObject } from "#machines/rules/inventory.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { actorId } from "#protocol/names/actor.ts";
import { isNotFound, KubeError } from "#services/clients/kubernetes/error.ts";
import { apply } from "#services/cluster/apply.ts";
import { compare } from "#services/cluster/compare.ts";
import { pathOf } from "#services/cluster/discovery.ts";
import { identify, type ClusterHandle } from "#services/cluster/handle.ts";
import { prune, waitTermination } from "#services/cluster/prune.ts";
import type { Clock } from "#services/store/clock.ts";
import type { Log } from "#services/telemetry/log.ts";
import type { Target } from "../cluster-port.ts";
import type { UnitRequests } from "./ports.ts";

export function unitRequests(handle: ClusterHandle, clock: Clock, log: Pick<Log, "info">): UnitRequests {
  const { client, discovery } = handle;
  // What kinds there are is no secret: it is asked once, for all.
  const as = ({ user }: Pick<Target, "user">): ClusterHandle => (user === undefined ? handle : { ...handle, client: client.as(user) });

  return {
    handleOf: as,
    async idsOf(objects) {
      return (await identify(handle, objects.map(({ object }) => object))).map(({ id, v }) => ({ id, v }));
    },
    apply: ({ key: _, target, traceparent, ...call }, with_) => apply({ ...call, ...with_, ...(traceparent && { traceparent }), cluster: as(target) }),
    compare: async ({ key: _, target, ...call }) => ({ differences: await compare({ ...call, cluster: as(target) }) }),
    async prune({ key, target, waitMs, traceparent, ...call }, with_) {
      const cluster = as(target);
      const report = await prune({ ...call, ...with_, ...(traceparent && { traceparent }), cluster });
      if (waitMs !== undefined && !report.fault) {
        const left = await waitTermination({ cluster, signal: call.signal }, report.deleted, waitMs);
        for (const id of left) log.info("not gone in time; let go", { object: displayName(parseInventoryId(id)), unit: actorId(key) });
        return { ...report, outlasting: left };
      }
      return report;
    },
    async healthOf(id, v, target, judge) {
      const object = parseInventoryId(id);
      const resource = await discovery.preferred(object.group, object.kind, v).catch(() => undefined);
      if (!resource) return notFound;
      try {
        const { body } = await as(target).client.request<KubeObject>({ method: "GET", path: pathOf(resource, object) });
        const live = { ...body, apiVersion: apiVersionOf(object.group, v), kind: object.kind };
        return judge ? await judge(live) : health(live, clock.nowMs());
      } catch (thrown) {
        if (thrown instanceof KubeError && thrown.code === 403) throw new Fault("HealthCheckFailed", displayName(object), { detail: thrown.message, cause: thrown });
        return isNotFound(thrown) ? notFound : unknown(Fault.from(thrown, displayName(object)).message);
      }
    },
  };
}

const notFound: Health = { status: "NotFound", message: "Resource not found" };
