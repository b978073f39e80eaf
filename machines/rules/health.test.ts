import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { hasHealth, health } from "./health.ts";
import type { Health } from "./health-reading.ts";
import type { KubeObject } from "./inventory.ts";

type Case = { rule: string; name: string; object: KubeObject; status: Health["status"]; message?: string | RegExp; nowMs?: number };

const make = (apiVersion: string, kind: string, spec: object = {}, status: object = {}, metadata: object = {}): KubeObject =>
  ({ apiVersion, kind, metadata: { name: "x", namespace: "apps", ...metadata }, spec, status });
const condition = (type: string, status: string, reason = "", message = "") => ({ type, status, reason, message });

const rolledOut = {
  observedGeneration: 2, replicas: 3, updatedReplicas: 3, availableReplicas: 3, readyReplicas: 3,
  conditions: [condition("Progressing", "True", "NewReplicaSetAvailable"), condition("Available", "True")],
};
const deployment = (status: object, spec: object = { replicas: 3, progressDeadlineSeconds: 600 }) =>
  make("apps/v1", "Deployment", spec, { ...rolledOut, ...status }, { generation: 2 });

const steady = { replicas: 2, readyReplicas: 2, currentReplicas: 2, updatedReplicas: 2, currentRevision: "a", updateRevision: "a" };
const statefulSet = (status: object, spec: object = { replicas: 2 }) => make("apps/v1", "StatefulSet", spec, { ...steady, ...status });

const everywhere = {
  observedGeneration: 1, desiredNumberScheduled: 2, currentNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 2, numberReady: 2,
};
const daemonSet = (status: object) => make("apps/v1", "DaemonSet", {}, { ...everywhere, ...status }, { generation: 1 });

const full = { replicas: 2, fullyLabeledReplicas: 2, availableReplicas: 2, readyReplicas: 2 };
const replicaSet = (status: object) => make("apps/v1", "ReplicaSet", { replicas: 2 }, { ...full, ...status });

const pod = (status: object, metadata: object = {}) => make("v1", "Pod", {}, status, metadata);
const waiting = { name: "app", state: { waiting: { reason: "CrashLoopBackOff" } } };
const unplaced = { phase: "Pending", conditions: [condition("PodScheduled", "False", "Unschedulable")] };
const born = "2026-11-01T10:00:00Z";

const job = (status: object, spec: object = {}) => make("batch/v1", "Job", spec, status);
const crd = (...conditions: object[]) => make("apiextensions.k8s.io/v1", "CustomResourceDefinition", {}, { conditions });
const custom = (status: object, metadata: object = {}) => make("example.com/v1", "Widget", {}, status, metadata);

const rows: Case[] = [
  { rule: "[HL1]", name: "being deleted, though all else is well", object: { ...deployment({}), metadata: { name: "x", deletionTimestamp: born } }, status: "Terminating" },
  { rule: "[HL2]", name: "not observed yet", object: deployment({ observedGeneration: 1 }), status: "InProgress", message: "Deployment generation is 2, but latest observed generation is 1" },
  { rule: "[HL2]", name: "Flux's fresh object", object: custom({ observedGeneration: -1 }, { generation: 1 }), status: "InProgress" },
  { rule: "[HL2]", name: "nothing to observe", object: custom({}, { generation: 7 }), status: "Current" },
  { rule: "[HL3]", name: "Reconciling", object: custom({ conditions: [condition("Ready", "True"), condition("Reconciling", "True", "", "on it")] }), status: "InProgress", message: "on it" },
  { rule: "[HL3]", name: "Stalled", object: custom({ conditions: [condition("Stalled", "True", "", "no way")] }), status: "Failed", message: "no way" },
  { rule: "[HL3]", name: "not Stalled", object: custom({ conditions: [condition("Stalled", "False")] }), status: "Current" },

  { rule: "[HL4]", name: "rolled out", object: deployment({}), status: "Current", message: "Deployment is available. Replicas: 3" },
  { rule: "[HL4]", name: "too few", object: deployment({ replicas: 1 }), status: "InProgress", message: "Replicas: 1/3" },
  { rule: "[HL4]", name: "not all updated", object: deployment({ updatedReplicas: 2 }), status: "InProgress", message: "Updated: 2/3" },
  { rule: "[HL4]", name: "old ones left", object: deployment({ replicas: 4 }), status: "InProgress", message: "Pending termination: 1" },
  { rule: "[HL4]", name: "not all available", object: deployment({ availableReplicas: 2 }), status: "InProgress", message: "Available: 2/3" },
  { rule: "[HL4]", name: "not all ready", object: deployment({ readyReplicas: 2 }), status: "InProgress", message: "Ready: 2/3" },
  { rule: "[HL4]", name: "no new ReplicaSet", object: deployment({ conditions: [condition("Available", "True")] }), status: "InProgress", message: "ReplicaSet not Available" },
  { rule: "[HL4]", name: "no deadline, no Progressing", object: deployment({ conditions: [condition("Available", "True")] }, { replicas: 3 }), status: "Current" },
  { rule: "[HL4]", name: "not available", object: deployment({ conditions: [condition("Progressing", "True", "NewReplicaSetAvailable")] }), status: "InProgress", message: "Deployment not Available" },
  { rule: "[HL4]", name: "deadline passed", object: deployment({ conditions: [condition("Progressing", "False", "ProgressDeadlineExceeded")] }), status: "Failed", message: "Progress deadline exceeded" },
  { rule: "[HL4]", name: "replicas left out means 1", object: deployment({ replicas: 1, updatedReplicas: 1, availableReplicas: 1, readyReplicas: 1 }, { progressDeadlineSeconds: 600 }), status: "Current" },

  { rule: "[HL5]", name: "steady", object: statefulSet({}), status: "Current", message: "All replicas scheduled as expected. Replicas: 2" },
  { rule: "[HL5]", name: "too few", object: statefulSet({ replicas: 1 }), status: "InProgress", message: "Replicas: 1/2" },
  { rule: "[HL5]", name: "not all ready", object: statefulSet({ readyReplicas: 1 }), status: "InProgress", message: "Ready: 1/2" },
  { rule: "[HL5]", name: "one too many", object: statefulSet({ replicas: 3 }), status: "InProgress", message: "Pending termination: 1" },
  { rule: "[HL5]", name: "of the old revision", object: statefulSet({ currentReplicas: 1 }), status: "InProgress", message: "current: 1/2" },
  { rule: "[HL5]", name: "between revisions", object: statefulSet({ updateRevision: "b" }), status: "InProgress" },
  { rule: "[HL5]", name: "OnDelete", object: statefulSet({ readyReplicas: 0 }, { replicas: 2, updateStrategy: { type: "OnDelete" } }), status: "Current" },
  { rule: "[HL5]", name: "partition done", object: statefulSet({ updatedReplicas: 1, currentReplicas: 1 }, { replicas: 2, updateStrategy: { rollingUpdate: { partition: 1 } } }), status: "Current" },
  { rule: "[HL5]", name: "partition under way", object: statefulSet({ updatedReplicas: 0 }, { replicas: 2, updateStrategy: { rollingUpdate: { partition: 1 } } }), status: "InProgress", message: "updated: 0/1" },

  { rule: "[HL6]", name: "everywhere", object: daemonSet({}), status: "Current" },
  { rule: "[HL6]", name: "not observed at all", object: make("apps/v1", "DaemonSet", {}, {}, { generation: 1 }), status: "InProgress", message: /observedGeneration not found/ },
  { rule: "[HL6]", name: "not scheduled", object: daemonSet({ currentNumberScheduled: 1 }), status: "InProgress", message: "Current: 1/2" },
  { rule: "[HL6]", name: "not updated", object: daemonSet({ updatedNumberScheduled: 1 }), status: "InProgress", message: "Updated: 1/2" },
  { rule: "[HL6]", name: "not available", object: daemonSet({ numberAvailable: 0 }), status: "InProgress", message: "Available: 0/2" },
  { rule: "[HL6]", name: "not ready", object: daemonSet({ numberReady: 1 }), status: "InProgress", message: "Ready: 1/2" },

  { rule: "[HL7]", name: "full", object: replicaSet({}), status: "Current" },
  { rule: "[HL7]", name: "failing", object: replicaSet({ conditions: [condition("ReplicaFailure", "True")] }), status: "InProgress" },
  { rule: "[HL7]", name: "not labelled", object: replicaSet({ fullyLabeledReplicas: 1 }), status: "InProgress", message: "Labelled: 1/2" },
  { rule: "[HL7]", name: "left over", object: replicaSet({ replicas: 3 }), status: "InProgress" },

  { rule: "[HL8]", name: "ready", object: pod({ phase: "Running", conditions: [condition("Ready", "True")] }), status: "Current" },
  { rule: "[HL8]", name: "running, not ready", object: pod({ phase: "Running" }), status: "InProgress" },
  { rule: "[HL8]", name: "crash loop", object: pod({ phase: "Running", containerStatuses: [waiting] }), status: "Failed", message: "Containers in CrashLoop state: app" },
  { rule: "[HL8]", name: "ended well", object: pod({ phase: "Succeeded" }), status: "Current" },
  { rule: "[HL8]", name: "ended badly", object: pod({ phase: "Failed" }), status: "Current", message: "Pod has completed, but not successfully" },
  { rule: "[HL8]", name: "pending", object: pod({ phase: "Pending" }), status: "InProgress" },
  { rule: "[HL8]", name: "no node for 14 s", object: pod(unplaced, { creationTimestamp: born }), nowMs: Date.parse(born) + 14_000, status: "InProgress" },
  { rule: "[HL8]", name: "no node for 16 s", object: pod(unplaced, { creationTimestamp: born }), nowMs: Date.parse(born) + 16_000, status: "Failed" },
  { rule: "[HL8]", name: "not seen by anyone", object: pod({}), status: "InProgress", message: "Pod phase not available" },

  { rule: "[HL9]", name: "complete", object: job({ succeeded: 1, conditions: [condition("Complete", "True")] }), status: "Current", message: "Job Completed. succeeded: 1/1" },
  { rule: "[HL9]", name: "running", object: job({ startTime: born, active: 1 }), status: "InProgress", message: "Job in progress. success:0, active: 1, failed: 0" },
  { rule: "[HL9]", name: "not started", object: job({}, { parallelism: 2 }), status: "InProgress", message: "Job not started. active: 0/2" },
  { rule: "[HL9]", name: "failed", object: job({ failed: 2, conditions: [condition("Failed", "True")] }), status: "Failed", message: "Job Failed. failed: 2/1" },
  { rule: "[HL9]", name: "suspended", object: job({}, { suspend: true }), status: "Current" },

  { rule: "[HL10]", name: "bound claim", object: make("v1", "PersistentVolumeClaim", {}, { phase: "Bound" }), status: "Current" },
  { rule: "[HL10]", name: "claim not bound", object: make("v1", "PersistentVolumeClaim"), status: "InProgress", message: "PVC is not Bound. phase: unknown" },
  { rule: "[HL10]", name: "load balancer without address", object: make("v1", "Service", { type: "LoadBalancer" }), status: "InProgress" },
  { rule: "[HL10]", name: "load balancer with address", object: make("v1", "Service", { type: "LoadBalancer", clusterIP: "10.0.0.1" }), status: "Current" },
  { rule: "[HL10]", name: "headless service", object: make("v1", "Service"), status: "Current" },
  { rule: "[HL10]", name: "established definition", object: crd(condition("NamesAccepted", "True"), condition("Established", "True")), status: "Current" },
  { rule: "[HL10]", name: "definition being installed", object: crd(condition("Established", "False", "Installing")), status: "InProgress" },
  { rule: "[HL10]", name: "definition of a taken name", object: crd(condition("NamesAccepted", "False", "Taken", "plural in use")), status: "Failed", message: "plural in use" },

  { rule: "[HL11]", name: "ConfigMap", object: make("v1", "ConfigMap"), status: "Current", message: "Resource is always ready" },
  { rule: "[HL11]", name: "PodDisruptionBudget", object: make("policy/v1", "PodDisruptionBudget"), status: "Current" },
  { rule: "[HL12]", name: "Ready", object: custom({ conditions: [condition("Ready", "True")] }), status: "Current", message: "Resource is Ready" },
  { rule: "[HL12]", name: "not Ready", object: custom({ conditions: [condition("Ready", "False", "", "broken")] }), status: "InProgress", message: "broken" },
  { rule: "[HL12]", name: "Ready unknown", object: custom({ conditions: [condition("Ready", "Unknown")] }), status: "InProgress" },
  { rule: "[HL12]", name: "says nothing", object: custom({}), status: "Current", message: "Resource is current" },
];
for (const { rule, name, object, status, message, nowMs } of rows)
  test(`${rule} ${object.kind} ${name}: ${status}`, () => {
    const is = health(object, nowMs);
    assert.equal(is.status, status);
    if (message instanceof RegExp) assert.match(is.message, message);
    else if (message !== undefined) assert.equal(is.message, message);
  });

test("[HL11] kinds of which only metadata is watched are current by the same rules", () => {
  assert.equal(hasHealth("", "Secret"), false);
  assert.equal(hasHealth("apps", "Deployment"), true);
  assert.equal(hasHealth("example.com", "Secret"), true); // somebody's own kind of that name
});

const kinds = [["apps/v1", "Deployment"], ["apps/v1", "StatefulSet"], ["apps/v1", "DaemonSet"], ["v1", "Pod"], ["batch/v1", "Job"], ["v1", "Service"], ["example.com/v1", "Widget"]] as const;

test("[HL13] whatever a status holds, health answers", () =>
  fc.assert(fc.property(fc.constantFrom(...kinds), fc.jsonValue(), fc.jsonValue(), fc.jsonValue(), ([apiVersion, kind], spec, status, conditions) => {
    const plain = { apiVersion, kind, metadata: { name: "x" }, spec, status };
    const nested = { ...plain, status: { conditions, phase: "Running", containerStatuses: conditions } };
    for (const object of [plain, nested]) assert.match(health(object).status, /^(Current|InProgress|Failed|Terminating)$/);
  })));
