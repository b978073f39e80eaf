/** What a template may ask of the cluster: what it serves, and objects, both as the release's account sees them. */
import type { KubeObject } from "#machines/rules/inventory.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { isNotFound } from "#services/clients/kubernetes/error.ts";
import { pathOf } from "#services/cluster/discovery.ts";
import type { ClusterHandle } from "#services/cluster/handle.ts";
import type { Capabilities, Lookup } from "#services/render/helm/types.ts";

export async function capabilitiesOf({ discovery }: ClusterHandle): Promise<Capabilities> {
  const { kubeVersion, resources } = await discovery.served();
  return { kubeVersion, apiVersions: [...new Set(resources.flatMap(({ apiVersion, kind }) => [apiVersion, `${apiVersion}/${kind}`]))].sort() };
}

export const lookupIn = ({ client, discovery }: ClusterHandle): Lookup => async ({ apiVersion, kind, namespace, name }, signal) => {
  try {
    const resource = await discovery.find(apiVersion, kind);
    return (await client.request<KubeObject>({ method: "GET", path: pathOf(resource, { namespace, name }), signal })).body;
  } catch (thrown) {
    if (isNotFound(thrown) || (thrown instanceof Fault && thrown.code === "KindUnknown")) return undefined;
    throw thrown;
  }
};
