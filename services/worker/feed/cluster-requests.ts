/** The request port in front of a real API server. */
import { health } from "#machines/rules/health.ts";
import { apiVersionOf, displayName, parseInventoryId, type KubeObject } from "#machines/rules/inventory.ts";
import { actorId } from "#protocol/names/actor.ts";
import { isNotFound } from "#services/clients/kubernetes/error.ts";
import { apply } from "#services/cluster/apply.ts";
import { pathOf, segment } from "#services/cluster/discovery.ts";
import { identify, type ClusterHandle } from "#services/cluster/handle.ts";
import { stripped } from "#services/cluster/hub.ts";
import { getSecret, patchMetadata, patchStatus, postEvent } from "#services/cluster/objects.ts";
import { prune, waitTermination } from "#services/cluster/prune.ts";
import { raiseEpoch } from "#services/cluster/touch.ts";
import type { Clock } from "#services/store/clock.ts";
import type { Log } from "#services/telemetry/log.ts";
import { hubKindOf, refOf } from "./hub-kinds.ts";
import type { RequestPort } from "./ports.ts";

/** As deploy/policy names it. */
const epochs = { namespace: "flux-system", name: "flotilla-epochs" };

/** @param worker names this worker in events */
export function clusterRequests(handle: ClusterHandle, worker: string, clock: Clock, log: Pick<Log, "info">): RequestPort {
  const { client, discovery } = handle;

  return {
    async get(key) {
      const { group, version, plural, namespace, name } = refOf(key);
      const path = `/apis/${group}/${version}/namespaces/${segment(namespace)}/${plural}/${segment(name)}`;
      try {
        const { body } = await client.request<KubeObject>({ method: "GET", path });
        return stripped(body, hubKindOf(key.kind));
      } catch (thrown) {
        if (isNotFound(thrown)) return undefined;
        throw thrown;
      }
    },
    patchStatus: async (key, status, condition, guard) =>
      stripped(await patchStatus(client, refOf(key), status, condition, guard), hubKindOf(key.kind)),
    patchMetadata: async (key, metadata, condition, guard) =>
      stripped(await patchMetadata(client, refOf(key), metadata, condition, guard), hubKindOf(key.kind)),
    event(key, object, { severity, reason, message, revision, digest }, guard) {
      const metadata = { ...(revision && { revision }), ...(digest && { digest }) };
      return postEvent(client, refOf(key), object, { type: severity, reason, message, metadata }, worker, guard);
    },
    secret: (namespace, name) => getSecret(client, namespace, name),
    async idsOf(objects) {
      return (await identify(handle, objects.map(({ object }) => object))).map(({ id, v }) => ({ id, v }));
    },
    apply: ({ key: _, traceparent, ...call }, with_) => apply({ ...call, ...with_, ...(traceparent && { traceparent }), cluster: handle }),
    async prune({ key, waitMs, traceparent, ...call }, with_) {
      const report = await prune({ ...call, ...with_, ...(traceparent && { traceparent }), cluster: handle });
      if (waitMs !== undefined && !report.fault) {
        const left = await waitTermination({ cluster: handle, signal: call.signal }, report.deleted, waitMs);
        for (const id of left) log.info("not gone in time; let go", { object: displayName(parseInventoryId(id)), unit: actorId(key) });
      }
      return report;
    },
    raiseEpoch: (fence, context) => raiseEpoch(handle, epochs, fence, context),
    async healthOf(id, v) {
      const object = parseInventoryId(id);
      const resource = await discovery.preferred(object.group, object.kind, v).catch(() => undefined);
      if (!resource) return "NotFound";
      try {
        const { body } = await client.request<KubeObject>({ method: "GET", path: pathOf(resource, object) });
        return health({ ...body, apiVersion: apiVersionOf(object.group, v), kind: object.kind }, clock.nowMs()).status;
      } catch (thrown) {
        return isNotFound(thrown) ? "NotFound" : "Unknown";
      }
    },
  };
}
