/** Deletes an object that cannot be changed into what is wanted, so that it can be created anew (spec.force). */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { displayName, objectIdOf } from "#machines/rules/inventory.ts";
import { stageOf } from "#machines/rules/order.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { isNotFound, KubeError } from "#services/clients/kubernetes/error.ts";
import type { ApplyItem, ObjectCall } from "./apply-object.ts";
import { pathOf, type Resource } from "./discovery.ts";
import { applyPatch, metadataOnly, readMetadata } from "./handle.ts";
import { isImmutable } from "./refusal.ts";

const pollMs = 200;
const longestMs = 60_000;

/**
 * Whether only the change is refused, and not the object as such. Flux takes every 422 for the former and may delete an
 * object whose successor is refused as well; here the successor has to pass a dry-run under another name first.
 */
export async function wantsRecreation(call: ObjectCall, item: ApplyItem, resource: Resource, error: unknown): Promise<boolean> {
  if (!(error instanceof KubeError)) return false;
  // All that lives in it would go too.
  const { kind } = objectIdOf(item.payload);
  if (stageOf(objectIdOf(item.payload)) === "definitions" && kind !== "ClusterRole") return false;
  if (isImmutable(error)) return true;
  if (error.code !== 422) return false;
  const name = `${item.payload.metadata.name.slice(0, 40)}-${randomBytes(4).toString("hex")}`;
  try {
    await call.cluster.client.request({
      method: "PATCH",
      path: pathOf(resource, { namespace: item.payload.metadata.namespace ?? "", name }),
      query: { fieldManager: "flotilla-probe", force: true, dryRun: "All" },
      contentType: applyPatch,
      accept: metadataOnly,
      body: { ...item.payload, metadata: { ...item.payload.metadata, name } },
      signal: call.signal,
    });
    return true;
  } catch (refused) {
    if (refused instanceof KubeError) return false;
    throw refused;
  }
}

/** Deletes the live object, and no later one of its name, and waits until it is gone. */
export async function recreate(call: ObjectCall, item: ApplyItem, resource: Resource): Promise<void> {
  const { cluster, guard, signal } = call;
  const id = objectIdOf(item.payload);
  const live = await readMetadata(cluster, resource, id, signal);
  if (!live) return;
  if (!live.deletionTimestamp)
    await cluster.client.request({
      method: "DELETE",
      path: pathOf(resource, id),
      accept: metadataOnly,
      body: {
        apiVersion: "v1", kind: "DeleteOptions", propagationPolicy: "Background",
        preconditions: { uid: live.uid, resourceVersion: live.resourceVersion },
      },
      guard, signal, traceparent: call.traceparent(item.id), repeatable: true,
    }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  const deadlineMs = performance.now() + longestMs;
  for (;;) {
    const now = await readMetadata(cluster, resource, id, signal);
    if (!now || now.uid !== live.uid) return;
    if (performance.now() > deadlineMs)
      throw new Fault("ObjectImmutable", displayName(id), { detail: "immutable field detected, failed to wait for object to be deleted" });
    await sleep(pollMs, undefined, { signal });
  }
}
