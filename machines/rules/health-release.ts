/**
 * What Helm waits for where it differs from kstatus: hooks, Jobs that only have to start, and the rules of Helm 3, which
 * `waitStrategy: legacy` asks for (helm pkg/kube/ready.go, statuswait.go).
 */
import { conditionsOf, current, failed, groupKindOf, inProgress, recordOf, specOf, statusOf, text, type Standing } from "./health-reading.ts";
import { health } from "./health.ts";
import type { KubeObject } from "./inventory.ts";

/** Of a hook Jobs and Pods have to end well; anything else is ready as soon as it is there. */
export function hookHealth(object: KubeObject): Standing {
  switch (groupKindOf(object)) {
    case "batch/Job": return endOfJob(object);
    case "/Pod": {
      const phase = statusOf(object)["phase"];
      if (phase === "Succeeded") return current("pod succeeded");
      return phase === "Failed" ? failed("pod failed") : inProgress("pod in progress");
    }
    default: return current("it is there");
  }
}

function endOfJob(object: KubeObject): Standing {
  const of = (type: string) => conditionsOf(object).find((condition) => condition.type === type && condition.status === "True");
  if (of("Complete")) return current("job completed");
  const end = of("Failed");
  return end ? failed(`job failed: ${[end.reason, end.message].filter(Boolean).join(": ")}`) : inProgress("job in progress");
}

/** Where Jobs are not waited for, one that has begun will do. */
export function healthWithoutJobs(object: KubeObject, nowMs: number): Standing {
  if (groupKindOf(object) !== "batch/Job" || object.metadata.deletionTimestamp) return health(object, nowMs);
  const end = endOfJob(object);
  if (end.status !== "InProgress") return end;
  return text(statusOf(object)["startTime"]) || specOf(object)["suspend"] === true ? current("job in progress") : inProgress("job not started");
}

/** Helm waits for no Deployment that is paused: it could wait for ever. */
export const isPaused = (object: KubeObject): boolean => groupKindOf(object) === "apps/Deployment" && specOf(object)["paused"] === true;

/**
 * Helm 3's rules.
 *
 * @param newest of a Deployment, the ReplicaSet of its present template; undefined when there is none yet
 */
export function legacyHealth(object: KubeObject, { jobs, newest }: { jobs: boolean; newest?: KubeObject | undefined }): Standing {
  const [spec, status] = [specOf(object), statusOf(object)];
  switch (groupKindOf(object)) {
    case "/Pod": return isTrue(object, "Ready") ? current("pod is ready") : inProgress("pod is not ready");
    case "batch/Job": {
      if (!jobs) return current("jobs are not waited for");
      if (count(status["failed"]) > count(spec["backoffLimit"], 6)) return failed("job is failed");
      return spec["completions"] !== undefined && count(status["succeeded"]) < count(spec["completions"]) ? inProgress("job is not completed") : current("job is completed");
    }
    case "apps/Deployment": {
      if (!newest || !isObserved(newest) || !isObserved(object)) return inProgress("its latest change has not been seen yet");
      const wanted = count(spec["replicas"], 1);
      const rolling = recordOf(recordOf(spec["strategy"])["rollingUpdate"]);
      const mayLack = recordOf(spec["strategy"])["type"] === "Recreate" ? 0 : Math.min(share(rolling["maxUnavailable"], wanted, "down", "25%") || (share(rolling["maxSurge"], wanted, "up", "25%") === 0 ? 1 : 0), wanted);
      return ready(count(statusOf(newest)["readyReplicas"]), wanted - mayLack);
    }
    case "/PersistentVolumeClaim": return status["phase"] === "Bound" ? current("claim is bound") : inProgress("claim is not bound");
    case "/Service": {
      if (spec["type"] === "ExternalName") return current("service is external");
      if (!text(spec["clusterIP"])) return inProgress("service has no cluster IP address");
      const isReached = spec["type"] !== "LoadBalancer" || (Array.isArray(spec["externalIPs"]) && spec["externalIPs"].length > 0) || Array.isArray(recordOf(status["loadBalancer"])["ingress"]);
      return isReached ? current("service is ready") : inProgress("service has no load balancer address");
    }
    case "apps/DaemonSet": {
      if (!isObserved(object)) return inProgress("its latest change has not been seen yet");
      const strategy = recordOf(spec["updateStrategy"]);
      if (strategy["type"] !== "RollingUpdate") return current("nothing rolls");
      const wanted = count(status["desiredNumberScheduled"]);
      if (count(status["updatedNumberScheduled"]) !== wanted) return inProgress(`${count(status["updatedNumberScheduled"])} of ${wanted} pods are scheduled`);
      return ready(count(status["numberReady"]), wanted - share(recordOf(strategy["rollingUpdate"])["maxUnavailable"], wanted, "up", "1"));
    }
    case "apps/StatefulSet": {
      if (!isObserved(object)) return inProgress("its latest change has not been seen yet");
      const strategy = recordOf(spec["updateStrategy"]);
      if (strategy["type"] !== "RollingUpdate") return current("nothing rolls");
      const partition = count(recordOf(strategy["rollingUpdate"])["partition"]);
      const wanted = count(spec["replicas"], 1);
      if (count(status["updatedReplicas"]) < wanted - partition) return inProgress(`${count(status["updatedReplicas"])} of ${wanted - partition} pods are updated`);
      if (count(status["readyReplicas"]) !== wanted) return inProgress(`${count(status["readyReplicas"])} of ${wanted} pods are ready`);
      return partition === 0 && status["currentRevision"] !== status["updateRevision"] ? inProgress("not every pod is of the new revision") : current("all pods are ready");
    }
    case "/ReplicationController":
    case "apps/ReplicaSet":
      return isObserved(object) ? ready(count(status["readyReplicas"]), count(spec["replicas"], 1)) : inProgress("its latest change has not been seen yet");
    case "apiextensions.k8s.io/CustomResourceDefinition": return health(object);
    default: return current("it is there");
  }
}

const ready = (are: number, wanted: number): Standing => (are >= wanted ? current("enough pods are ready") : inProgress(`${are} of ${wanted} pods are ready`));

const isTrue = (object: KubeObject, type: string): boolean => conditionsOf(object).some((condition) => condition.type === type && condition.status === "True");

const isObserved = (object: KubeObject): boolean => statusOf(object)["observedGeneration"] === object.metadata.generation;

const count = (value: unknown, otherwise = 0): number => (typeof value === "number" ? value : otherwise);

/** A number, or a share of the whole: `25%`. */
function share(value: unknown, whole: number, round: "up" | "down", otherwise: string): number {
  if (typeof value === "number") return value;
  const [, percent] = /^(\d+)%$/.exec(text(value) || otherwise) ?? [];
  if (percent === undefined) return Number(otherwise) || 0;
  return Math[round === "up" ? "ceil" : "floor"]((Number(percent) * whole) / 100);
}
