/** In which order objects are applied and, backwards, deleted (flux.md 2.6.5). */
import type { ObjectId } from "./inventory.ts";

/** Before the kinds that are not named here. */
const first = [
  "CustomResourceDefinition", "Namespace", "ClusterRole", "ClusterClass", "RuntimeClass", "PriorityClass", "StorageClass",
  "VolumeSnapshotClass", "IngressClass", "GatewayClass", "ClusterRoleBinding", "ResourceQuota", "ServiceAccount", "Role",
  "RoleBinding", "ConfigMap", "Secret", "Service", "LimitRange", "Deployment", "StatefulSet", "CronJob", "PodDisruptionBudget",
];
/** After them: a webhook whose server does not run yet would refuse everything else. */
const last = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

const ranks = new Map([
  ...first.map((kind, index) => [kind, index - first.length] as const),
  ...last.map((kind, index) => [kind, index + 1] as const),
]);

/** 0 for most kinds, negative for what comes before them, positive for what comes after. */
export const rankOf = (kind: string): number => ranks.get(kind) ?? 0;

/** Each stage is dry-run and written before the next one is looked at; the first two are waited for. */
export const stageNames = ["definitions", "classes", "custom", "rest"] as const;
export type Stage = (typeof stageNames)[number];

/** @param custom `group/Kind` of what comes before the rest by the operator's wish (`--custom-apply-stage-kinds`); of the core group `Kind` */
export function stageOf({ group, kind }: Pick<ObjectId, "group" | "kind">, custom?: ReadonlySet<string>): Stage {
  if (kind === "CustomResourceDefinition" && group === "apiextensions.k8s.io") return "definitions";
  if (kind === "Namespace" && group === "") return "definitions";
  if (kind === "ClusterRole" && group === "rbac.authorization.k8s.io") return "definitions";
  if (kind.endsWith("Class")) return "classes";
  return custom?.has(group ? `${group}/${kind}` : kind) ? "custom" : "rest";
}

/** Rank, then group, kind, namespace and name: the same order whatever the order in the source. */
export function compareIds(a: ObjectId, b: ObjectId): number {
  return (
    rankOf(a.kind) - rankOf(b.kind) ||
    compare(a.group, b.group) || compare(a.kind, b.kind) || compare(a.namespace, b.namespace) || compare(a.name, b.name)
  );
}

/**
 * What may be written at once: objects of one rank. Between ranks the order holds, so that a Deployment finds its
 * ConfigMap and a RoleBinding its ServiceAccount.
 */
export function waves<T>(items: T[], idOf: (item: T) => ObjectId): T[][] {
  const sorted = items.map((item) => ({ item, id: idOf(item) })).sort((a, b) => compareIds(a.id, b.id));
  const found: T[][] = [];
  let rank: number | undefined;
  for (const { item, id } of sorted) {
    if (rankOf(id.kind) === rank) found.at(-1)?.push(item);
    else found.push([item]);
    rank = rankOf(id.kind);
  }
  return found;
}

/** The waves of a deletion: the last applied goes first. */
export const pruneWaves = <T>(items: T[], idOf: (item: T) => ObjectId): T[][] =>
  waves(items, idOf).map((wave) => wave.reverse()).reverse();

// Names are ASCII by Kubernetes' rules, so that UTF-16 order is byte order.
const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
