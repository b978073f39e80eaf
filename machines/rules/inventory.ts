/** How an applied object is named: Flux's inventory ids, read and written (flux.md 2.6.5). */

/** An object as the API server takes and gives it. */
export type KubeObject = {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
  [field: string]: unknown;
};

export type ObjectMeta = {
  name: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string | null;
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  managedFields?: ManagedFields[];
  [field: string]: unknown;
};

/** One entry of `metadata.managedFields`: who owns which fields. */
export type ManagedFields = {
  manager?: string;
  operation?: string;
  apiVersion?: string;
  /** RFC 3339, whole seconds. */
  time?: string;
  fieldsType?: string;
  fieldsV1?: object;
  subresource?: string;
};

export type ObjectId = { namespace: string; name: string; group: string; kind: string };

// Only RBAC names may hold a colon, which is no legal character of a ConfigMap key, where cli-utils first kept these ids.
const rbacGroup = "rbac.authorization.k8s.io";
const rbacKinds = new Set(["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"]);

/** `<namespace>_<name>_<group>_<Kind>`; a cluster-scoped object starts with `_`, the core group is empty. */
export function inventoryId({ namespace, name, group, kind }: ObjectId): string {
  const coded = group === rbacGroup && rbacKinds.has(kind) ? name.replaceAll(":", "__") : name;
  return `${namespace}_${coded}_${group}_${kind}`;
}

/** @throws RangeError when it is not an inventory id */
export function parseInventoryId(id: string): ObjectId {
  const first = id.indexOf("_");
  const last = id.lastIndexOf("_");
  const middle = id.lastIndexOf("_", last - 1);
  // The name stands between the outer fields and may hold the `__` of a colon itself.
  if (first < 0 || middle <= first) throw new RangeError(`not an inventory id: ${id}`);
  return {
    namespace: id.slice(0, first),
    name: id.slice(first + 1, middle).replaceAll("__", ":"),
    group: id.slice(middle + 1, last),
    kind: id.slice(last + 1),
  };
}

/** `Kind/namespace/name`, or `Kind/name`: how people and Flux's messages name an object. */
export function displayName({ kind, namespace, name }: ObjectId): string {
  return namespace ? `${kind}/${namespace}/${name}` : `${kind}/${name}`;
}

export function objectIdOf({ apiVersion, kind, metadata }: KubeObject): ObjectId {
  return { namespace: metadata.namespace ?? "", name: metadata.name, group: groupOf(apiVersion), kind };
}

/** `apps` of `apps/v1`; empty for `v1`. */
export const groupOf = (apiVersion: string): string => apiVersion.slice(0, Math.max(0, apiVersion.indexOf("/")));

/** `v1` of `apps/v1` and of `v1`. */
export const versionOf = (apiVersion: string): string => apiVersion.slice(apiVersion.indexOf("/") + 1);

export const apiVersionOf = (group: string, version: string): string => (group ? `${group}/${version}` : version);

/** Whether a label or an annotation has the value, in whatever case, as Flux compares them. */
export function marked({ labels, annotations }: Pick<ObjectMeta, "labels" | "annotations">, key: string, value: string): boolean {
  return labels?.[key]?.toLowerCase() === value.toLowerCase() || annotations?.[key]?.toLowerCase() === value.toLowerCase();
}
