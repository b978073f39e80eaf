/** Which objects of a release are waited for, and by which rules. */
import { recordOf, specOf, statusOf } from "#machines/rules/health-reading.ts";
import { health, hasHealth } from "#machines/rules/health.ts";
import { healthWithoutJobs, hookHealth, isPaused, legacyHealth } from "#machines/rules/health-release.ts";
import { groupOf, type KubeObject } from "#machines/rules/inventory.ts";
import { segment } from "#services/cluster/discovery.ts";
import type { ClusterHandle } from "#services/cluster/handle.ts";
import type { ReleaseCall, WaitStrategy } from "./call.ts";
import type { ManifestObject } from "./manifest.ts";
import { waitUntilHealthy, type Judge } from "./wait.ts";

export type Readiness = { wait: WaitStrategy; jobs: boolean; timeoutMs: number };

/** @throws Fault HealthCheckFailed; the signal's reason */
export async function waitReady(call: ReleaseCall, items: ManifestObject[], { wait, jobs, timeoutMs }: Readiness): Promise<void> {
  if (wait === "hooks") return;
  const { cluster, signal, judge = () => undefined } = call;
  const byKind: Judge = wait === "legacy" ? (object) => byLegacyRules(cluster, object, jobs, signal)
    : jobs ? (object) => health(object, Date.now()) : (object) => healthWithoutJobs(object, Date.now());
  const awaited = items.filter(({ id, object }) => judge(id) !== undefined || (hasHealth(groupOf(object.apiVersion), object.kind) && !isPaused(object) && !isPlainService(object)));
  await waitUntilHealthy(cluster, awaited, { timeoutMs, signal, judgeOf: ({ id }) => judge(id) ?? byKind });
}

/** @throws Fault HealthCheckFailed; the signal's reason */
export async function waitForHook({ cluster, signal, judge = () => undefined }: ReleaseCall, items: ManifestObject[], timeoutMs: number): Promise<void> {
  const awaited = items.filter(({ id, object }) => judge(id) !== undefined || (object.kind === "Job" && groupOf(object.apiVersion) === "batch") || (object.kind === "Pod" && groupOf(object.apiVersion) === ""));
  await waitUntilHealthy(cluster, awaited, { timeoutMs, signal, judgeOf: ({ id }) => judge(id) ?? hookHealth });
}

/** It has its address from when it was made. */
const isPlainService = (object: KubeObject): boolean => object.kind === "Service" && object.apiVersion === "v1" && specOf(object)["type"] !== "LoadBalancer";

async function byLegacyRules(cluster: ClusterHandle, object: KubeObject, jobs: boolean, signal: AbortSignal) {
  const isDeployment = object.kind === "Deployment" && groupOf(object.apiVersion) === "apps";
  // The controller numbers a ReplicaSet like the Deployment once it has seen the latest template.
  const newest = isDeployment && statusOf(object)["observedGeneration"] === object.metadata.generation ? await newestOf(cluster, object, signal) : undefined;
  return legacyHealth(object, { jobs, newest });
}

const revisionKey = "deployment.kubernetes.io/revision";

async function newestOf({ client }: ClusterHandle, { metadata: { namespace = "", uid, annotations }, ...rest }: KubeObject, signal: AbortSignal): Promise<KubeObject | undefined> {
  const matching = recordOf(recordOf(specOf({ metadata: { name: "" }, ...rest })["selector"])["matchLabels"]);
  const labelSelector = Object.entries(matching).map(([key, value]) => `${key}=${String(value)}`).join(",");
  const { body } = await client.request<{ items?: KubeObject[] }>({ method: "GET", path: `/apis/apps/v1/namespaces/${segment(namespace)}/replicasets`, query: { labelSelector }, signal });
  return body.items?.find(({ metadata }) => {
    const owners = (metadata as { ownerReferences?: { uid?: string }[] }).ownerReferences ?? [];
    return owners.some((owner) => owner.uid === uid) && metadata.annotations?.[revisionKey] === annotations?.[revisionKey];
  });
}
