/** Brings the definitions that a hub needs and lacks. What is there stays as it is: it may be Flux's, and newer. */
import { objectIdOf, type KubeObject } from "#machines/rules/inventory.ts";
import { isConflict } from "#services/clients/kubernetes/error.ts";
import { pathOf } from "./discovery.ts";
import { applyPatch, readMetadata, type ClusterHandle } from "./handle.ts";
import { waitUsable } from "./ready.ts";
import { refusalOf } from "./refusal.ts";

/** @returns the names of those that were missing; all are served when it resolves */
export async function installCrds(
  cluster: ClusterHandle, crds: KubeObject[], guard: () => void, signal: AbortSignal,
): Promise<string[]> {
  const resource = await cluster.discovery.find("apiextensions.k8s.io/v1", "CustomResourceDefinition");
  const missing: string[] = [];
  await Promise.all(crds.map(async (crd) => {
    const id = objectIdOf(crd);
    if (await readMetadata(cluster, resource, id, signal)) return;
    try {
      await cluster.client.request({
        method: "PATCH",
        path: pathOf(resource, id),
        query: { fieldManager: "flotilla", force: true },
        contentType: applyPatch,
        // Creates or nothing: another worker may do the same now (docs/decisions/0001-create-by-apply.md).
        body: { ...crd, metadata: { ...crd.metadata, resourceVersion: "1" } },
        guard, signal, repeatable: true,
      });
      missing.push(id.name);
    } catch (error) {
      if (!isConflict(error)) throw refusalOf(error, crd, "apply");
    }
  }));
  const unjudged = crds.map((crd) => ({ ...crd, status: {} })); // not ready before the server says so
  await waitUsable(cluster, unjudged, signal);
  for (const crd of crds) cluster.discovery.forget(((crd["spec"] ?? {}) as { group?: string }).group ?? "");
  return missing.sort();
}
