/**
 * The fence that an object gets when nothing else is to be written to it: a new version. What a crashed owner decided on
 * the version before is then refused, however late it arrives (ownership.md 7.8). The mark belongs to a manager of its
 * own, so that the fields which applies own, and with them drift, stay as they are.
 */
import { annotations, fieldManagers } from "#protocol/api/annotations.ts";
import { objectIdOf, type KubeObject, type ObjectMeta } from "#machines/rules/inventory.ts";
import { isConflict, isNotFound } from "#services/clients/kubernetes/error.ts";
import { pathOf, segment, type Resource } from "./discovery.ts";
import { applyPatch, metadataOnly, type ClusterHandle, type Metadata } from "./handle.ts";

export type TouchCall = {
  cluster: ClusterHandle;
  guard: () => void;
  signal: AbortSignal;
  traceparent: (id: string) => string | undefined;
};

/** Once is enough for an epoch: nobody of an older one can know the version that the touch made. */
export const isTouched = ({ annotations: set }: Pick<ObjectMeta, "annotations">, epoch: string): boolean => set?.[annotations.fence] === epoch;

/**
 * @param live what was looked at and found to be as wanted: only this very version is touched
 * @returns the metadata after it
 * @throws KubeError 409 when the object has changed since
 */
export async function touch(
  { cluster, guard, signal, traceparent }: TouchCall, epoch: string, item: { id: string; payload: KubeObject }, resource: Resource,
  { uid, resourceVersion }: ObjectMeta,
): Promise<ObjectMeta> {
  const { apiVersion, kind, metadata: { name, namespace } } = item.payload;
  const { body } = await cluster.client.request<Metadata>({
    method: "PATCH",
    path: pathOf(resource, objectIdOf(item.payload)),
    query: { fieldManager: fieldManagers.fence, force: true },
    contentType: applyPatch,
    accept: metadataOnly,
    // Should the answer be lost, the repetition meets a newer version, and the object is looked at again.
    repeatable: true,
    body: {
      apiVersion, kind,
      metadata: { name, ...(namespace && { namespace }), uid, resourceVersion, annotations: { [annotations.fence]: epoch } },
    },
    guard, signal, traceparent: traceparent(item.id),
  });
  return body.metadata;
}

const mostTries = 10;

/**
 * Raises a partition's epoch in the ConfigMap that the admission policy of deploy/policy reads; never lowers it. Without
 * the ConfigMap the policy is not in use, and nothing is to be done.
 */
export async function raiseEpoch(
  { client }: ClusterHandle, configMap: { namespace: string; name: string }, { partition, epoch }: { partition: number; epoch: number },
  context: { guard: () => void; signal: AbortSignal },
): Promise<void> {
  const path = `/api/v1/namespaces/${segment(configMap.namespace)}/configmaps/${segment(configMap.name)}`;
  for (let tries = 1; ; tries++)
    try {
      const { body: { metadata, data } } = await client.request<Metadata & { data?: Record<string, string> }>({ method: "GET", path, signal: context.signal });
      if (Number(data?.[partition] ?? 0) >= epoch) return;
      const { uid, resourceVersion } = metadata;
      await client.request({
        method: "PATCH", path, query: { fieldManager: fieldManagers.fence }, contentType: "application/merge-patch+json", repeatable: true,
        body: { metadata: { uid, resourceVersion }, data: { [partition]: String(epoch) } }, ...context,
      });
      return;
    } catch (error) {
      if (isNotFound(error)) return;
      if (!isConflict(error) || tries === mostTries) throw error;
    }
}
