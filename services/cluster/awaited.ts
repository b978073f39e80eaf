/** One object of any kind that somebody waits for: how it stands, and when that changes. */
import { setTimeout as sleep } from "node:timers/promises";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ObjectRef } from "#protocol/names/awaited.ts";
import { isForbidden, isNotFound } from "#services/clients/kubernetes/error.ts";
import { watch } from "#services/clients/kubernetes/watch.ts";
import { pathOf, type Resource } from "./discovery.ts";
import { metadataOnly, type ClusterHandle } from "./handle.ts";

/** Kinds whose contents are nobody's business: they exist, and that is all there is to know. */
const secretive = new Set(["/Secret", "/ConfigMap"]);

export async function readAwaited({ client, discovery }: ClusterHandle, ref: ObjectRef): Promise<{ resource: string; object?: KubeObject; refused?: string }> {
  const resource = await discovery.find(ref.apiVersion, ref.kind).catch((thrown: unknown) => {
    if (thrown instanceof Fault && thrown.code === "KindUnknown") return undefined;
    throw thrown;
  });
  if (!resource) return { resource: `${ref.kind}.${ref.apiVersion}` };
  const name = resource.group === "" ? resource.plural : `${resource.plural}.${resource.group}`;
  const bare = secretive.has(`${resource.group}/${resource.kind}`);
  try {
    const { body } = await client.request<KubeObject>({ method: "GET", path: pathOf(resource, ref), ...(bare && { accept: metadataOnly }) });
    const { metadata: { managedFields: _, ...metadata }, spec, status } = body as KubeObject & { spec?: unknown; status?: unknown };
    return { resource: name, object: { apiVersion: ref.apiVersion, kind: ref.kind, metadata, ...(spec !== undefined && { spec }), ...(status !== undefined && { status }) } };
  } catch (thrown) {
    if (isNotFound(thrown)) return { resource: name };
    if (isForbidden(thrown)) return { resource: name, refused: thrown.message };
    throw thrown;
  }
}

const firstRetryMs = 1_000;
const longestRetryMs = 60_000;
/** Where the server cannot watch. */
const pollMs = 30_000;

/** Never rejects. A kind that is not there yet is looked for again, ever more rarely. */
export async function followAwaited(handle: ClusterHandle, ref: ObjectRef, changed: () => void, signal: AbortSignal): Promise<void> {
  const { client, discovery } = handle;
  let resource: Resource | undefined;
  for (let waitMs = firstRetryMs; !resource; waitMs = Math.min(waitMs * 2, longestRetryMs)) {
    resource = await discovery.find(ref.apiVersion, ref.kind).catch(() => undefined);
    if (signal.aborted) return;
    if (!resource) await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
  }
  if (!resource.verbs.includes("watch")) {
    for (; !signal.aborted; await sleep(pollMs, undefined, { signal }).catch(() => undefined)) changed();
    return;
  }
  let version: string | undefined;
  const target = { path: pathOf(resource, { namespace: ref.namespace, name: "" }), fieldSelector: `metadata.name=${ref.name}`, metadataOnly: true };
  await watch<KubeObject>(client, target, {
    upsert({ metadata }) {
      if (metadata.resourceVersion === version) return; // a new list names what stands
      version = metadata.resourceVersion;
      changed();
    },
    remove() {
      version = undefined;
      changed();
    },
    held: () => (version === undefined ? [] : [{ namespace: resource.namespaced ? ref.namespace : "", name: ref.name }]),
    synced: () => undefined,
  }, signal);
}
