import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { inventoryId, parseInventoryId } from "./inventory.ts";
import { compareIds, pruneWaves, rankOf, stageOf, waves } from "./order.ts";

const stages = [
  { group: "apiextensions.k8s.io", kind: "CustomResourceDefinition", stage: "definitions" },
  { group: "", kind: "Namespace", stage: "definitions" },
  { group: "rbac.authorization.k8s.io", kind: "ClusterRole", stage: "definitions" },
  { group: "example.com", kind: "Namespace", stage: "rest", why: "a kind of that name in somebody's group" },
  { group: "storage.k8s.io", kind: "StorageClass", stage: "classes" },
  { group: "example.com", kind: "WidgetClass", stage: "classes" },
  { group: "rbac.authorization.k8s.io", kind: "ClusterRoleBinding", stage: "rest" },
  { group: "apps", kind: "Deployment", stage: "rest" },
];
for (const { group, kind, stage, why = "" } of stages)
  test(`[AP2] ${group || "core"}/${kind} belongs to ${stage} ${why}`, () => assert.equal(stageOf({ group, kind }), stage));

const custom = new Set(["rbac.authorization.k8s.io/Role", "Secret", "apps/NamespaceClass"]);
const customStages = [
  { group: "rbac.authorization.k8s.io", kind: "Role", stage: "custom" },
  { group: "", kind: "Secret", stage: "custom" },
  { group: "other.io", kind: "Role", stage: "rest" },
  { group: "apps", kind: "NamespaceClass", stage: "classes", why: "what has a stage keeps it" },
  { group: "", kind: "Namespace", stage: "definitions" },
];
for (const { group, kind, stage, why = "" } of customStages)
  test(`[AP49] with custom stages ${group || "core"}/${kind} belongs to ${stage} ${why}`, () => assert.equal(stageOf({ group, kind }, custom), stage));

const inOrder = [
  "_widgets.example.com_apiextensions.k8s.io_CustomResourceDefinition",
  "_apps__Namespace",
  "_reader_rbac.authorization.k8s.io_ClusterRole",
  "_fast_storage.k8s.io_StorageClass",
  "_reader_rbac.authorization.k8s.io_ClusterRoleBinding",
  "apps_web__ServiceAccount",
  "apps_web_rbac.authorization.k8s.io_Role",
  "apps_web_rbac.authorization.k8s.io_RoleBinding",
  "apps_a__ConfigMap",
  "apps_b__ConfigMap",
  "zoo_a__ConfigMap",
  "apps_web__Secret",
  "apps_web__Service",
  "apps_web_apps_Deployment",
  "apps_web_apps_StatefulSet",
  "apps_web_batch_CronJob",
  "apps_web_policy_PodDisruptionBudget",
  "apps_web__PersistentVolumeClaim",
  "apps_web_autoscaling_HorizontalPodAutoscaler",
  "apps_web_networking.k8s.io_Ingress",
  "_web_admissionregistration.k8s.io_MutatingWebhookConfiguration",
  "_web_admissionregistration.k8s.io_ValidatingWebhookConfiguration",
];

test("[AP3] kinds are in Flux's order, whatever the order in the source", () =>
  fc.assert(fc.property(fc.shuffledSubarray(inOrder, { minLength: inOrder.length }), (shuffled) => {
    assert.deepEqual(shuffled.map(parseInventoryId).sort(compareIds).map(inventoryId), inOrder);
  })));

test("[AP3] a wave holds one rank, and the waves in turn hold everything in order", () =>
  fc.assert(fc.property(fc.shuffledSubarray(inOrder), (ids) => {
    const found = waves(ids, parseInventoryId);
    assert.deepEqual(found.flat(), inOrder.filter((id) => ids.includes(id)));
    for (const wave of found) assert.equal(new Set(wave.map((id) => rankOf(parseInventoryId(id).kind))).size, 1);
    assert.equal(new Set(found.map(([id = ""]) => rankOf(parseInventoryId(id).kind))).size, found.length);
  })));

test("[AP25] a deletion goes backwards", () =>
  fc.assert(fc.property(fc.shuffledSubarray(inOrder), (ids) =>
    assert.deepEqual(pruneWaves(ids, parseInventoryId).flat(), waves(ids, parseInventoryId).flat().reverse()))));
