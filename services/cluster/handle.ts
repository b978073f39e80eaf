/** What every effect on a cluster needs: the way in, what it knows, and how metadata alone is asked for. */
import { inventoryId, objectIdOf, type KubeObject, type ObjectMeta } from "#machines/rules/inventory.ts";
import type { KubeClient } from "#services/clients/kubernetes/client.ts";
import { isNotFound } from "#services/clients/kubernetes/error.ts";
import { pathOf, type Discovery, type Resource } from "./discovery.ts";

/** One per cluster and identity; never rebuilt for a reconcile. */
export type ClusterHandle = { client: KubeClient; discovery: Discovery };

/** An object without spec, data and status: no Secret's contents, and a fraction of the bytes. */
export type Metadata = { metadata: ObjectMeta };
export const metadataOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
export const applyPatch = "application/apply-patch+yaml";

/** Undefined when there is no such object. */
export async function readMetadata(
  { client }: ClusterHandle, resource: Resource, object: { namespace: string; name: string }, signal?: AbortSignal,
): Promise<ObjectMeta | undefined> {
  try {
    const { body } = await client.request<Metadata>({ method: "GET", path: pathOf(resource, object), accept: metadataOnly, signal });
    return body.metadata;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** The inventory id; a namespace in the manifest of a cluster-scoped object does not count, as the server drops it too. */
export function idIn(resource: Resource | undefined, object: KubeObject): string {
  const id = objectIdOf(object);
  return inventoryId(resource?.namespaced === false ? { ...id, namespace: "" } : id);
}
