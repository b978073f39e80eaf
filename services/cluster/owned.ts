/** Objects that we make on the hub beside its own: applied as their producer, under the version that was looked at (docs/decisions/0001). */
import { apiVersionOf, displayName, type KubeObject } from "#machines/rules/inventory.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { KubeClient } from "#services/clients/kubernetes/client.ts";
import { isConflict, isNotFound } from "#services/clients/kubernetes/error.ts";
import { segment } from "./discovery.ts";
import { refusal, type HubRef, type WriteContext } from "./objects.ts";

export type Owned = {
  /** Whose fields they are. */
  manager: string;
  metadata: { labels: Record<string, string>; annotations: Record<string, string> };
  spec: object;
  status: object;
};

/** As it was looked at; undefined: there was none, and none may have come since. */
type Live = Pick<KubeObject, "metadata"> | undefined;

/**
 * The object, and then its status.
 *
 * @returns the object as it is then
 * @throws Fault ApplyConflict when it is another since, or what the server said
 */
export async function applyOwned(client: KubeClient, ref: HubRef, { manager, metadata, spec, status }: Owned, live: Live, context: WriteContext): Promise<KubeObject> {
  const apply = async (subresource: string, at: Live, fields: object, more: object = {}) => {
    const identity = at ? { uid: at.metadata.uid, resourceVersion: at.metadata.resourceVersion } : { resourceVersion: "1" };
    const body = { apiVersion: apiVersionOf(ref.group, ref.version), kind: ref.kind, metadata: { name: ref.name, namespace: ref.namespace, ...identity, ...more }, ...fields };
    try {
      const answer = await client.request<KubeObject>({
        method: "PATCH", path: `${pathOf(ref)}${subresource}`, query: { fieldManager: manager, force: true }, contentType: "application/apply-patch+yaml", body,
        guard: context.guard, signal: context.signal, traceparent: context.traceparent, repeatable: true,
      });
      return answer.body;
    } catch (error) {
      if (isConflict(error)) throw new Fault("ApplyConflict", displayName(ref), { detail: error.message, cause: error });
      throw refusal(error, displayName(ref));
    }
  };
  const applied = await apply("", live, { spec }, metadata);
  return apply("/status", applied, { status });
}

/** One that is gone already is fine. @throws Fault ApplyConflict when it is another by that name, or what the server said */
export async function removeOwned(client: KubeClient, ref: HubRef, uid: string, context: WriteContext): Promise<void> {
  try {
    await client.request({ method: "DELETE", path: pathOf(ref), body: { apiVersion: "v1", kind: "DeleteOptions", preconditions: { uid } }, guard: context.guard, signal: context.signal, repeatable: true });
  } catch (error) {
    if (isNotFound(error)) return;
    if (isConflict(error)) throw new Fault("ApplyConflict", displayName(ref), { detail: error.message, cause: error });
    throw refusal(error, displayName(ref));
  }
}

const pathOf = ({ group, version, plural, namespace, name }: HubRef): string => `/apis/${group}/${version}/namespaces/${segment(namespace)}/${plural}/${segment(name)}`;
