/** Objects applied on the client's side, for releases that ask for it or were applied so before (`apply_method: csa`). */
import { setTimeout as sleep } from "node:timers/promises";
import { displayName, groupOf, objectIdOf, parseInventoryId, type KubeObject } from "#machines/rules/inventory.ts";
import { waves } from "#machines/rules/order.ts";
import type { Owner } from "#machines/rules/prune.ts";
import { mergePatch, threeWayMerge } from "#machines/rules/three-way-merge.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ApplyOutcome, Change, InventoryEntry } from "#protocol/messages/kustomization.ts";
import { isConflict, isNotFound } from "#services/clients/kubernetes/error.ts";
import { pathOf, type Resource } from "#services/cluster/discovery.ts";
import { applierOf, type ClusterHandle } from "#services/cluster/handle.ts";
import { payloadOf } from "#services/cluster/payload.ts";
import { waitUsable } from "#services/cluster/ready.ts";
import { refusalOf } from "#services/cluster/refusal.ts";
import type { ManifestObject } from "./manifest.ts";

export type ClientSideCall = {
  cluster: ClusterHandle;
  owner: Owner;
  items: ManifestObject[];
  /** What was applied last. */
  before: ManifestObject[];
  /** Replaces whole objects: nothing that others set stays. */
  force: boolean;
  guard: () => void;
  signal: AbortSignal;
  traceparent?: (() => string | undefined) | undefined;
};

const mostTries = 20;
const retryMs = 20;

/** Never rejects for what the cluster says. */
export async function applyByClient(call: ClientSideCall): Promise<ApplyOutcome> {
  const entries: InventoryEntry[] = [];
  const changes: Change[] = [];
  const before = new Map(call.before.map(({ id, object }) => [id, object]));
  try {
    for (const wave of waves(call.items, ({ id }) => parseInventoryId(id))) {
      const results = await Promise.allSettled(wave.map((item) => applyOne(call, item, before.get(item.id))));
      const made = results.flatMap((result, index) => (result.status === "fulfilled" ? [{ ...result.value, item: wave[index] as ManifestObject }] : []));
      for (const { item: { id, v }, live, action } of made) {
        entries.push({ id, v, uid: live.metadata.uid ?? "", digest: "", owned: "" });
        changes.push({ id, action });
      }
      const failure = results.find((result) => result.status === "rejected");
      if (failure) throw failure.reason;
      const definitions = made.filter(({ live: { kind } }) => kind === "CustomResourceDefinition");
      await waitUsable(call.cluster, definitions.map(({ live }) => live), call.signal);
      for (const { live } of definitions) call.cluster.discovery.forget((live["spec"] as { group?: string } | undefined)?.group ?? groupOf(live.apiVersion));
    }
    return { entries, changes };
  } catch (error) {
    return { entries, changes, fault: Fault.from(error, `${call.owner.namespace}/${call.owner.name}`).toJSON() };
  }
}

type One = { live: KubeObject; action: "created" | "configured" | "unchanged" };

async function applyOne(call: ClientSideCall, item: ManifestObject, before: KubeObject | undefined): Promise<One> {
  const { cluster, owner, signal } = call;
  for (let tries = 1; ; tries++)
    try {
      const resource = await cluster.discovery.find(item.object.apiVersion, item.object.kind);
      const wanted = payloadOf(item.object, owner, resource, applierOf(cluster));
      const live = await read(cluster, resource, wanted, signal);
      if (!live) return { live: await send(call, "POST", pathOf(resource, { ...objectIdOf(wanted), name: "" }), wanted), action: "created" };
      const { uid, resourceVersion } = live.metadata;
      const path = pathOf(resource, objectIdOf(wanted));
      if (call.force) return changed(live, await send(call, "PUT", path, { ...wanted, metadata: { ...wanted.metadata, uid, resourceVersion } }));
      const patch = mergePatch(live, threeWayMerge(before && payloadOf(before, owner, resource, applierOf(cluster)), wanted, live));
      if (!patch) return { live, action: "unchanged" };
      const conditions = { ...patch, metadata: { ...(patch["metadata"] as object | undefined), uid, resourceVersion } };
      return changed(live, await send(call, "PATCH", path, conditions));
    } catch (error) {
      // It came, went or changed since it was read; or an answer was lost.
      if (isConflict(error) && tries < mostTries) await sleep(retryMs * tries, undefined, { signal });
      else throw refusalOf(error, item.object, "apply");
    }
}

const changed = (before: KubeObject, live: KubeObject): One =>
  ({ live, action: before.metadata.resourceVersion === live.metadata.resourceVersion ? "unchanged" : "configured" });

async function send({ cluster, guard, signal, traceparent }: ClientSideCall, method: "POST" | "PUT" | "PATCH", path: string, body: object): Promise<KubeObject> {
  const answer = await cluster.client.request<KubeObject>({
    method, path, body, query: { fieldManager: applierOf(cluster).manager, fieldValidation: "Strict" }, repeatable: true, guard, signal, traceparent: traceparent?.(),
    ...(method === "PATCH" && { contentType: "application/merge-patch+json" }),
  });
  return answer.body;
}

async function read({ client }: ClusterHandle, resource: Resource, object: KubeObject, signal: AbortSignal): Promise<KubeObject | undefined> {
  if (resource.namespaced && !object.metadata.namespace) throw new Fault("NamespaceUnspecified", displayName(objectIdOf(object)), { detail: "namespace not specified" });
  try {
    return (await client.request<KubeObject>({ method: "GET", path: pathOf(resource, objectIdOf(object)), signal })).body;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
