/** What every effect on a cluster needs: the way in, what it knows, and how metadata alone is asked for. */
import { kustomizationApplier, type Applier } from "#machines/rules/applier.ts";
import { groupOf, inventoryId, objectIdOf, versionOf, type KubeObject, type ObjectMeta } from "#machines/rules/inventory.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { KubeClient } from "#services/clients/kubernetes/client.ts";
import { isNotFound } from "#services/clients/kubernetes/error.ts";
import { pathOf, type Discovery, type Resource } from "./discovery.ts";

/** What the operator chose for all units of all workers. */
export type ApplySettings = {
  /** Beginnings of field managers' names whose fields are taken over (`--override-manager`). */
  overriddenManagers?: readonly string[];
  /** `group/Kind` of objects that are applied before the rest (`--custom-apply-stage-kinds`). */
  customStages?: ReadonlySet<string>;
};

/** One per cluster and identity; never rebuilt for a reconcile. `applier`: in whose name objects are written; a Kustomization's when absent. */
export type ClusterHandle = { client: KubeClient; discovery: Discovery; settings?: ApplySettings; applier?: Applier };

export const applierOf = ({ applier = kustomizationApplier }: Pick<ClusterHandle, "applier">): Applier => applier;

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

export type Scope = Pick<Resource, "namespaced">;

/** The inventory id; a namespace in the manifest of a cluster-scoped object does not count, as the server drops it too. */
export function idIn(scope: Scope | undefined, object: KubeObject): string {
  const id = objectIdOf(object);
  return inventoryId(scope?.namespaced === false ? { ...id, namespace: "" } : id);
}

export type Identified = { id: string; v: string; scope: Scope | undefined };

/**
 * Rendered objects as the inventory names them, in the given order. A kind that the cluster does not serve yet has the
 * scope that its definition among these objects gives it. Of a kind that nobody defines the scope is unknown, and its
 * id keeps the manifest's namespace; nothing of it can be created before the kind is served.
 */
export async function identify({ discovery }: ClusterHandle, objects: KubeObject[]): Promise<Identified[]> {
  const defined = new Map(objects.flatMap(scopeDefinedBy));
  const found: Identified[] = [];
  for (const object of objects) {
    const { apiVersion, kind } = object;
    const scope = (await discovery.known(apiVersion, kind)) ?? defined.get(`${groupOf(apiVersion)}/${kind}`) ?? (await asked(discovery, apiVersion, kind));
    found.push({ id: idIn(scope, object), v: versionOf(apiVersion), scope });
  }
  return found;
}

function scopeDefinedBy({ apiVersion, kind, spec }: KubeObject): [string, Scope][] {
  if (kind !== "CustomResourceDefinition" || groupOf(apiVersion) !== "apiextensions.k8s.io") return [];
  const { group, scope, names } = (spec ?? {}) as { group?: unknown; scope?: unknown; names?: { kind?: unknown } };
  return [[`${String(group)}/${String(names?.kind)}`, { namespaced: scope !== "Cluster" }]];
}

async function asked(discovery: Discovery, apiVersion: string, kind: string): Promise<Scope | undefined> {
  try {
    return await discovery.find(apiVersion, kind);
  } catch (error) {
    if (error instanceof Fault && error.code === "KindUnknown") return undefined;
    throw error;
  }
}
