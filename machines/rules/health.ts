/**
 * Whether a live object has become what its spec asks for: kstatus's rules, as Flux uses them (flux.md 2.6.6). Judged
 * from the object alone, so that one watch event is enough.
 */
import { conditionsOf, current, failed, inProgress, statusOf, type Standing } from "./health-reading.ts";
import { workloadHealth } from "./health-workloads.ts";
import type { KubeObject } from "./inventory.ts";

export type { Health } from "./health-reading.ts";

/** @param nowMs tells how long a pod has waited for a node; without it a pod that finds none never counts as failed */
export function health(object: KubeObject, nowMs = 0): Standing {
  if (object.metadata.deletionTimestamp) return { status: "Terminating", message: "Resource scheduled for deletion" };
  return generic(object) ?? workloadHealth(object, nowMs) ?? ready(object) ?? current("Resource is current");
}

/** Kinds that are healthy as soon as they exist: their metadata tells all there is to know. */
export function hasHealth(group: string, kind: string): boolean {
  return !(healthless.get(group)?.has(kind) ?? false);
}

const healthless = new Map<string, ReadonlySet<string>>([
  ["", new Set(["ConfigMap", "Secret", "ServiceAccount", "LimitRange", "ResourceQuota", "Endpoints", "Namespace"])],
  ["rbac.authorization.k8s.io", new Set(["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"])],
  ["batch", new Set(["CronJob"])],
  ["networking.k8s.io", new Set(["NetworkPolicy", "IngressClass", "Ingress"])],
  ["storage.k8s.io", new Set(["StorageClass", "CSIDriver"])],
  ["scheduling.k8s.io", new Set(["PriorityClass"])],
  ["node.k8s.io", new Set(["RuntimeClass"])],
  ["coordination.k8s.io", new Set(["Lease"])],
  ["discovery.k8s.io", new Set(["EndpointSlice"])],
  ["admissionregistration.k8s.io", new Set(["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"])],
]);

// What a controller says of itself goes before everything that can be read from the kind.
function generic(object: KubeObject): Standing | undefined {
  const { generation } = object.metadata;
  const observed = statusOf(object)["observedGeneration"];
  if (generation !== undefined && typeof observed === "number" && observed !== generation)
    return inProgress(`${object.kind} generation is ${generation}, but latest observed generation is ${observed}`);
  for (const { type, status, message } of conditionsOf(object)) {
    if (type === "Reconciling" && status === "True") return inProgress(message);
    if (type === "Stalled" && status === "True") return failed(message);
  }
  return undefined;
}

function ready(object: KubeObject): Standing | undefined {
  const condition = conditionsOf(object).find(({ type }) => type === "Ready");
  if (condition?.status === "True") return current("Resource is Ready");
  if (condition?.status === "False" || condition?.status === "Unknown") return inProgress(condition.message);
  return undefined;
}
