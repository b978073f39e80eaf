import assert from "node:assert/strict";
import test from "node:test";
import { isUnchanged, parsePointer, withIgnored } from "./ignore.ts";
import type { KubeObject, ManagedFields } from "./inventory.ts";

const apply = (manager: string, fieldsV1: object, more: ManagedFields = {}): ManagedFields => ({ manager, operation: "Apply", apiVersion: "v1", fieldsV1, ...more });
const object = (spec: object, managedFields: ManagedFields[] = []): KubeObject => ({ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "web", managedFields }, spec });
const replicas = { "f:spec": { "f:replicas": {} } };
const vpa = { "f:spec": { "f:containers": { "k:{\"name\":\"app\"}": { "f:resources": {} } } } };
const app = (more: object) => ({ containers: [{ name: "side" }, { name: "app", ...more }] });

const rows: { name: string; pointer: string; wanted: object; live: object; owners?: ManagedFields[]; sent: object }[] = [
  { name: "the same on both sides is sent", pointer: "/spec/replicas", wanted: { replicas: 2 }, live: { replicas: 2 }, owners: [apply("other", replicas)], sent: { replicas: 2 } },
  { name: "of a field that nobody else applies the live value is sent", pointer: "/spec/replicas", wanted: { replicas: 2 }, live: { replicas: 5 }, sent: { replicas: 5 } },
  { name: "also when it was updated, not applied", pointer: "/spec/replicas", wanted: { replicas: 2 }, live: { replicas: 5 }, owners: [{ ...apply("hpa", replicas), operation: "Update" }], sent: { replicas: 5 } },
  { name: "a field that another apply owns is left out", pointer: "/spec/replicas", wanted: { replicas: 2, paused: true }, live: { replicas: 5 }, owners: [apply("other", replicas)], sent: { paused: true } },
  { name: "an apply to a subresource is none", pointer: "/spec/replicas", wanted: { replicas: 2 }, live: { replicas: 5 }, owners: [apply("other", replicas, { subresource: "scale" })], sent: { replicas: 5 } },
  { name: "one that is not rendered any more and still ours is kept", pointer: "/spec/replicas", wanted: {}, live: { replicas: 5 }, owners: [apply("kustomize-controller", replicas)], sent: { replicas: 5 } },
  { name: "one that was never rendered is not taken", pointer: "/spec/replicas", wanted: {}, live: { replicas: 5 }, sent: {} },
  { name: "one that somebody removed stays away", pointer: "/spec/replicas", wanted: { replicas: 2 }, live: {}, sent: {} },
  { name: "a member of a list goes by its key where fields are owned", pointer: "/spec/containers/1/resources", wanted: app({ resources: { cpu: 1 } }), live: app({ resources: { cpu: 2 } }), owners: [apply("vpa", vpa)], sent: app({}) },
  { name: "a member that nobody applies", pointer: "/spec/containers/1/resources", wanted: app({ resources: { cpu: 1 } }), live: app({ resources: { cpu: 2 } }), owners: [apply("vpa", { "f:spec": {} })], sent: app({ resources: { cpu: 2 } }) },
  { name: "a place beyond the list", pointer: "/spec/containers/7/image", wanted: app({}), live: app({}), sent: app({}) },
  { name: "a field that would change what an object is", pointer: "/spec/__proto__/x", wanted: {}, live: JSON.parse("{\"__proto__\":{\"x\":1}}") as object, owners: [apply("kustomize-controller", JSON.parse("{\"f:spec\":{\"f:__proto__\":{\"f:x\":{}}}}") as object)], sent: JSON.parse("{\"__proto__\":{\"x\":1}}") as object },
];
for (const { name, pointer, wanted, live, owners = [], sent } of rows)
  test(`[AP53] ${name}`, () => {
    const payload = object(wanted);
    const before = JSON.stringify(payload);
    assert.equal(JSON.stringify(withIgnored(payload, object(live, owners), [parsePointer(pointer)])["spec"]), JSON.stringify(sent));
    assert.equal(JSON.stringify(payload), before, "the payload itself stays");
    assert.equal(({} as { x?: unknown }).x, undefined);
  });

test("[AP53] what the server counts, who owns what, status and ignored fields make no difference; anything else does", () => {
  const live = { ...object({ replicas: 5, image: "a" }, [apply("x", {})]), status: { ready: 1 } };
  const dryRun = (spec: object, metadata: object = {}) => ({ ...object(spec), metadata: { name: "web", generation: 7, resourceVersion: "9", ...metadata } });
  const pointers = [parsePointer("/spec/replicas")];
  assert.equal(isUnchanged(live, dryRun({ image: "a", replicas: 2 }), pointers), true);
  assert.equal(isUnchanged(live, dryRun({ image: "b", replicas: 5 }), pointers), false);
  assert.equal(isUnchanged(live, dryRun({ image: "a", replicas: 5 }, { labels: { a: "b" } }), pointers), false);
  assert.equal(isUnchanged(live, dryRun({ image: "a" }, { annotations: { a: "b" } }), pointers), false);
});

test("[AP52] a pointer's escapes are read, and what is no pointer is refused", () => {
  assert.deepEqual(parsePointer("/metadata/annotations/a.b~1c~0d"), ["metadata", "annotations", "a.b/c~d"]);
  for (const wrong of ["", "spec/replicas", "/a~2", "#/spec"]) assert.throws(() => parsePointer(wrong), RangeError);
});
