/** kstatus's rules for the kinds Kubernetes itself brings (cli-utils pkg/kstatus/status/core.go; Flux's own for Jobs). */
import {
  conditionsOf, current, failed, groupKindOf, inProgress, recordOf, specOf, statusOf, text, type Standing,
} from "./health-reading.ts";
import type { KubeObject } from "./inventory.ts";

type Rule = (object: KubeObject, nowMs: number) => Standing;

/** Undefined for kinds without a rule of their own. */
export const workloadHealth = (object: KubeObject, nowMs: number): Standing | undefined =>
  rules.get(groupKindOf(object))?.(object, nowMs);

/** A pod without a node gets this long before it counts as failed. */
const schedulingMs = 15_000;

function deployment(object: KubeObject): Standing {
  const conditions = conditionsOf(object);
  const progress = conditions.find(({ type }) => type === "Progressing");
  if (progress?.reason === "ProgressDeadlineExceeded") return failed("Progress deadline exceeded");
  const spec = specOf(object);
  const want = count(spec["replicas"], 1);
  const status = statusOf(object);
  const [have, updated, available, ready] = ["replicas", "updatedReplicas", "availableReplicas", "readyReplicas"].map((field) =>
    count(status[field]),
  ) as [number, number, number, number];
  if (want > have) return inProgress(`Replicas: ${have}/${want}`);
  if (want > updated) return inProgress(`Updated: ${updated}/${want}`);
  if (have > want) return inProgress(`Pending termination: ${have - want}`);
  if (updated > available) return inProgress(`Available: ${available}/${updated}`);
  if (want > ready) return inProgress(`Ready: ${ready}/${want}`);
  // Without a deadline (the largest int32 means the same) the controller never sets Progressing.
  const watched = count(spec["progressDeadlineSeconds"], noDeadline) !== noDeadline;
  if (watched && !(progress?.status === "True" && progress.reason === "NewReplicaSetAvailable"))
    return inProgress("ReplicaSet not Available");
  if (!conditions.some(({ type, status: is }) => type === "Available" && is === "True")) return inProgress("Deployment not Available");
  return current(`Deployment is available. Replicas: ${have}`);
}

const noDeadline = 2_147_483_647;

function statefulSet(object: KubeObject): Standing {
  const spec = specOf(object);
  const status = statusOf(object);
  const strategy = recordOf(spec["updateStrategy"]);
  if (strategy["type"] === "OnDelete") return current("StatefulSet is using the ondelete update strategy");
  const want = count(spec["replicas"], 1);
  const have = count(status["replicas"]);
  const ready = count(status["readyReplicas"]);
  const updated = count(status["updatedReplicas"]);
  if (want > have) return inProgress(`Replicas: ${have}/${want}`);
  if (want > ready) return inProgress(`Ready: ${ready}/${want}`);
  if (have > want) return inProgress(`Pending termination: ${have - want}`);
  const partition = count(recordOf(strategy["rollingUpdate"])["partition"], -1);
  if (partition !== -1) {
    if (updated < want - partition) return inProgress(`updated: ${updated}/${want - partition}`);
    return current(`Partition rollout complete. updated: ${updated}`);
  }
  const now = count(status["currentReplicas"]);
  if (want > now) return inProgress(`current: ${now}/${want}`);
  if (text(status["currentRevision"]) !== text(status["updateRevision"]))
    return inProgress("Waiting for updated revision to match current");
  return current(`All replicas scheduled as expected. Replicas: ${have}`);
}

function daemonSet(object: KubeObject): Standing {
  const status = statusOf(object);
  if (object.metadata.generation === undefined) return inProgress("DaemonSet metadata.generation not found");
  if (status["observedGeneration"] === undefined) return inProgress("DaemonSet status.observedGeneration not found");
  const want = count(status["desiredNumberScheduled"], -1);
  if (want === -1) return inProgress("Missing .status.desiredNumberScheduled");
  const steps = [
    ["Current", "currentNumberScheduled"], ["Updated", "updatedNumberScheduled"],
    ["Available", "numberAvailable"], ["Ready", "numberReady"],
  ] as const;
  for (const [name, field] of steps) if (want > count(status[field])) return inProgress(`${name}: ${count(status[field])}/${want}`);
  return current(`All replicas scheduled as expected. Replicas: ${want}`);
}

function replicaSet(object: KubeObject): Standing {
  if (conditionsOf(object).some(({ type, status }) => type === "ReplicaFailure" && status === "True"))
    return inProgress("Replica Failure condition. Check Pods");
  const status = statusOf(object);
  const want = count(specOf(object)["replicas"], 1);
  const steps = [["Labelled", "fullyLabeledReplicas"], ["Available", "availableReplicas"], ["Ready", "readyReplicas"]] as const;
  for (const [name, field] of steps) if (want > count(status[field])) return inProgress(`${name}: ${count(status[field])}/${want}`);
  const have = count(status["replicas"]);
  return have > want ? inProgress(`Pending termination: ${have - want}`) : current(`ReplicaSet is available. Replicas: ${have}`);
}

function pod(object: KubeObject, nowMs: number): Standing {
  const conditions = conditionsOf(object);
  switch (text(statusOf(object)["phase"])) {
    case "Succeeded": return current("Pod has completed successfully");
    case "Failed": return current("Pod has completed, but not successfully");
    case "Running": {
      if (conditions.some(({ type, status }) => type === "Ready" && status === "True")) return current("Pod is Ready");
      const crashing = crashLooping(object);
      if (crashing.length > 0) return failed(`Containers in CrashLoop state: ${crashing.join(",")}`);
      return inProgress("Pod is running but is not Ready");
    }
    case "Pending": {
      const scheduled = conditions.find(({ type, status }) => type === "PodScheduled" && status === "False");
      if (scheduled?.reason !== "Unschedulable") return inProgress("Pod is in the Pending phase");
      const bornMs = Date.parse(object.metadata.creationTimestamp ?? "");
      if (!(nowMs - schedulingMs >= bornMs)) return inProgress("Pod has not been scheduled");
      return failed("Pod could not be scheduled");
    }
    default: return inProgress("Pod phase not available");
  }
}

function crashLooping(object: KubeObject): string[] {
  const containers = statusOf(object)["containerStatuses"];
  if (!Array.isArray(containers)) return [];
  return containers.map(recordOf)
    .filter(({ state }) => recordOf(recordOf(state)["waiting"])["reason"] === "CrashLoopBackOff")
    .map(({ name }) => text(name));
}

/** Flux's rule, not kstatus's: a Job is current when it has ended well, not when it runs (fluxcd/pkg runtime/statusreaders). */
function job(object: KubeObject): Standing {
  const spec = specOf(object);
  const status = statusOf(object);
  if (spec["suspend"] === true) return current("Job is suspended");
  const parallelism = count(spec["parallelism"], 1);
  const completions = count(spec["completions"], parallelism);
  const succeeded = count(status["succeeded"]);
  const unsuccessful = count(status["failed"]);
  for (const { type, status: is } of conditionsOf(object)) {
    if (type === "Complete" && is === "True") return current(`Job Completed. succeeded: ${succeeded}/${completions}`);
    if (type === "Failed" && is === "True") return failed(`Job Failed. failed: ${unsuccessful}/${completions}`);
  }
  if (!text(status["startTime"])) return inProgress(`Job not started. active: 0/${parallelism}`);
  return inProgress(`Job in progress. success:${succeeded}, active: ${count(status["active"])}, failed: ${unsuccessful}`);
}

function persistentVolumeClaim(object: KubeObject): Standing {
  const phase = text(statusOf(object)["phase"]) || "unknown";
  return phase === "Bound" ? current("PVC is Bound") : inProgress(`PVC is not Bound. phase: ${phase}`);
}

function service(object: KubeObject): Standing {
  const spec = specOf(object);
  if (spec["type"] === "LoadBalancer" && !text(spec["clusterIP"])) return inProgress("ClusterIP not set. Service type: LoadBalancer");
  return current("Service is ready");
}

function customResourceDefinition(object: KubeObject): Standing {
  for (const { type, status, reason, message } of conditionsOf(object)) {
    if (type === "NamesAccepted" && status === "False") return failed(message);
    if (type !== "Established") continue;
    if (status === "True") return current("CRD is established");
    if (status === "False" && reason !== "Installing") return failed(message);
  }
  return inProgress("Install in progress");
}

const always = (): Standing => current("Resource is always ready");
const count = (value: unknown, otherwise = 0): number => (typeof value === "number" ? value : otherwise);

const rules = new Map<string, Rule>([
  ["apps/Deployment", deployment], ["extensions/Deployment", deployment],
  ["apps/StatefulSet", statefulSet],
  ["apps/DaemonSet", daemonSet], ["extensions/DaemonSet", daemonSet],
  ["apps/ReplicaSet", replicaSet], ["extensions/ReplicaSet", replicaSet],
  ["/Pod", pod], ["batch/Job", job], ["batch/CronJob", always], ["/Secret", always], ["/ConfigMap", always],
  ["/PersistentVolumeClaim", persistentVolumeClaim], ["/Service", service],
  ["policy/PodDisruptionBudget", () => current("AllowedDisruptions has been computed.")],
  ["apiextensions.k8s.io/CustomResourceDefinition", customResourceDefinition],
]);
