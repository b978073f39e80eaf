/** Makes ours what others own of a live object, and removes the marks they left, before it is applied (machines/rules/takeover.ts). */
import { objectIdOf, type ObjectMeta } from "#machines/rules/inventory.ts";
import { takeOverPatch } from "#machines/rules/takeover.ts";
import type { ApplyItem, ObjectCall } from "./apply-object.ts";
import { pathOf, type Resource } from "./discovery.ts";
import { applierOf, metadataOnly, readMetadata, type Metadata } from "./handle.ts";

/**
 * @param seen the version that was looked at; only this very one is changed
 * @param known its metadata, where they are those of the live object; a dry-run's are not
 * @returns the metadata after it
 * @throws KubeError 409 when the object has changed since
 */
export async function takeOver(
  { cluster, guard, signal, traceparent }: ObjectCall, item: ApplyItem, resource: Resource, seen: ObjectMeta, known?: ObjectMeta,
): Promise<ObjectMeta> {
  const id = objectIdOf(item.payload);
  const live = known ?? (await readMetadata(cluster, resource, id, signal));
  const patch = live ? takeOverPatch(live, cluster.settings?.overriddenManagers, applierOf(cluster)) : [];
  if (patch.length === 0) return seen;
  const { body } = await cluster.client.request<Metadata>({
    method: "PATCH",
    path: pathOf(resource, id),
    query: { fieldManager: applierOf(cluster).manager },
    contentType: "application/json-patch+json",
    accept: metadataOnly,
    // A version that is not the live one answers 409.
    body: [{ op: "replace", path: "/metadata/resourceVersion", value: seen.resourceVersion }, ...patch],
    // Should the answer be lost, the repetition meets a newer version, and the object is looked at again.
    repeatable: true,
    guard, signal, traceparent: traceparent(item.id),
  });
  return body.metadata;
}
