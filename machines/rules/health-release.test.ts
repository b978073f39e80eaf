import assert from "node:assert/strict";
import { test } from "node:test";
import { healthWithoutJobs, hookHealth, isPaused, legacyHealth } from "./health-release.ts";
import type { KubeObject } from "./inventory.ts";

const object = (apiVersion: string, kind: string, spec: object = {}, status: object = {}, metadata: object = {}): KubeObject =>
  ({ apiVersion, kind, metadata: { name: "x", generation: 2, ...metadata }, spec, status });
const condition = (type: string) => ({ conditions: [{ type, status: "True", reason: "Why", message: "so" }] });
const seen = { observedGeneration: 2 };
const newest = object("apps/v1", "ReplicaSet", {}, { ...seen, readyReplicas: 3 });
const rolling = (maxUnavailable: unknown, maxSurge: unknown = "25%") => ({ replicas: 4, strategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable, maxSurge } } });

const hooks: [string, KubeObject, string][] = [
  ["a Job that runs", object("batch/v1", "Job", {}, { active: 1 }), "InProgress"],
  ["a Job that ended well", object("batch/v1", "Job", {}, condition("Complete")), "Current"],
  ["a Job that failed", object("batch/v1", "Job", {}, condition("Failed")), "Failed"],
  ["a Pod that runs and is ready", object("v1", "Pod", {}, { phase: "Running", ...condition("Ready") }), "InProgress"],
  ["a Pod that ended well", object("v1", "Pod", {}, { phase: "Succeeded" }), "Current"],
  ["a Pod that failed", object("v1", "Pod", {}, { phase: "Failed" }), "Failed"],
  ["a Deployment without pods", object("apps/v1", "Deployment", { replicas: 3 }), "Current"],
  ["a Job of another group", object("jobs.example/v1", "Job"), "Current"],
];
for (const [what, hook, status] of hooks)
  test(`[RL36] as a hook: ${what} is ${status}`, () => assert.equal(hookHealth(hook).status, status));

const begun: [string, KubeObject, string][] = [
  ["has begun", object("batch/v1", "Job", {}, { startTime: "2026-01-01T00:00:00Z", active: 1 }), "Current"],
  ["has not begun", object("batch/v1", "Job"), "InProgress"],
  ["failed", object("batch/v1", "Job", {}, condition("Failed")), "Failed"],
  ["is suspended", object("batch/v1", "Job", { suspend: true }), "Current"],
];
for (const [what, job, status] of begun)
  test(`[RL18] where Jobs are not waited for: one that ${what} is ${status}`, () => assert.equal(healthWithoutJobs(job, 0).status, status));

test("[RL18] a paused Deployment is waited for by nobody", () => {
  assert.ok(isPaused(object("apps/v1", "Deployment", { paused: true })));
  assert.ok(!isPaused(object("apps/v1", "Deployment")));
});

const legacy: [string, KubeObject, string, KubeObject?][] = [
  ["a Deployment whose newest ReplicaSet is not known", object("apps/v1", "Deployment", rolling(1), seen), "InProgress"],
  ["a Deployment whose change was not seen", object("apps/v1", "Deployment", rolling(1), { observedGeneration: 1 }), "InProgress", newest],
  ["3 of 4 newest pods where one may lack", object("apps/v1", "Deployment", rolling(1), seen), "Current", newest],
  ["3 of 4 newest pods where a quarter may lack", object("apps/v1", "Deployment", rolling("25%"), seen), "Current", newest],
  ["3 of 4 newest pods where none may lack", object("apps/v1", "Deployment", rolling(0), seen), "InProgress", newest],
  ["3 of 4 newest pods where neither may lack nor be added: Kubernetes then lets one lack", object("apps/v1", "Deployment", rolling(0, 0), seen), "Current", newest],
  ["3 of 4 newest pods where all are recreated", object("apps/v1", "Deployment", { replicas: 4, strategy: { type: "Recreate" } }, seen), "InProgress", newest],
  ["a StatefulSet with all pods of the new revision", object("apps/v1", "StatefulSet", { replicas: 2, updateStrategy: { type: "RollingUpdate" } }, { ...seen, updatedReplicas: 2, readyReplicas: 2, currentRevision: "b", updateRevision: "b" }), "Current"],
  ["a StatefulSet whose revision is still rolling", object("apps/v1", "StatefulSet", { replicas: 2, updateStrategy: { type: "RollingUpdate" } }, { ...seen, updatedReplicas: 2, readyReplicas: 2, currentRevision: "a", updateRevision: "b" }), "InProgress"],
  ["a StatefulSet whose partition is updated", object("apps/v1", "StatefulSet", { replicas: 2, updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 1 } } }, { ...seen, updatedReplicas: 1, readyReplicas: 2, currentRevision: "a", updateRevision: "b" }), "Current"],
  ["a StatefulSet updated by hand", object("apps/v1", "StatefulSet", { replicas: 2, updateStrategy: { type: "OnDelete" } }, seen), "Current"],
  ["a DaemonSet with one pod too few", object("apps/v1", "DaemonSet", { updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 1 } } }, { ...seen, desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberReady: 2 }), "Current"],
  ["a DaemonSet with two pods too few", object("apps/v1", "DaemonSet", { updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 1 } } }, { ...seen, desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberReady: 1 }), "InProgress"],
  ["a Service without an address", object("v1", "Service"), "InProgress"],
  ["a load balancer without an address", object("v1", "Service", { type: "LoadBalancer", clusterIP: "10.0.0.1" }), "InProgress"],
  ["a load balancer with external IPs", object("v1", "Service", { type: "LoadBalancer", clusterIP: "10.0.0.1", externalIPs: ["1.2.3.4"] }), "Current"],
  ["a claim that is bound", object("v1", "PersistentVolumeClaim", {}, { phase: "Bound" }), "Current"],
  ["a Job that failed once too often", object("batch/v1", "Job", { backoffLimit: 0 }, { failed: 1 }), "Failed"],
  ["a Job that is done", object("batch/v1", "Job", { completions: 1 }, { succeeded: 1 }), "Current"],
  ["a kind nobody knows", object("x.example/v1", "Thing", {}, { conditions: [{ type: "Ready", status: "False" }] }), "Current"],
];
for (const [what, live, status, replicaSet] of legacy)
  test(`[RL19] by Helm 3's rules: ${what} is ${status}`, () => assert.equal(legacyHealth(live, { jobs: true, newest: replicaSet }).status, status));

test("[RL19] a status of an unexpected shape never throws", () => {
  for (const kind of ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"])
    for (const odd of [null, [], "x", { observedGeneration: "2", readyReplicas: "many" }]) legacyHealth({ ...object("apps/v1", kind), spec: odd, status: odd }, { jobs: true });
});
