/** Objects that others managed before, taken over on a real API server as Flux does it. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { annotations } from "#protocol/api/annotations.ts";
import type { ApplyOutcome } from "#protocol/messages/kustomization.ts";
import { ownershipOf } from "#machines/rules/drift.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { cluster } from "../../test/kit/cluster.ts";
import { apply } from "./apply.ts";
import { configMap, openBed, type Bed } from "./sample-objects.ts";

let bed: Bed;
let namespace: string;
before(async () => {
  const real = await cluster();
  namespace = await real.namespace("takeover");
  bed = await openBed(real.kubeconfig);
});
after(() => bed.close());

const owner = { name: "apps", namespace: "flux-system" };
const path = (name: string) => `/api/v1/namespaces/${namespace}/configmaps/${name}`;
const applyAll = (objects: KubeObject[], more: Parameters<Bed["call"]>[2] = {}) => apply(bed.call(owner, objects, { scope: "all", ...more }));
const action = ({ changes, fault }: ApplyOutcome) => fault?.detail ?? changes[0]?.action;
const managersOf = ({ metadata }: KubeObject) => (metadata.managedFields ?? []).map(({ manager, operation }) => `${manager} ${operation}`).sort();
const post = (object: KubeObject, fieldManager: string) =>
  bed.client.request({ method: "POST", path: `/api/v1/namespaces/${namespace}/configmaps`, query: { fieldManager }, body: object });
const serverSide = (object: KubeObject, fieldManager: string) =>
  bed.client.request({ method: "PATCH", path: path(object.metadata.name), query: { fieldManager, force: true }, contentType: "application/apply-patch+yaml", body: object });
const marked = (object: KubeObject, marks: Record<string, string>): KubeObject => ({ ...object, metadata: { ...object.metadata, annotations: marks } });

test("[AP46] an object made by kubectl apply becomes ours: what is not rendered goes, and so does its annotation", async () => {
  const theirs = configMap(namespace, "client-side", { kept: "old", extra: "x" });
  await post(marked(theirs, { "kubectl.kubernetes.io/last-applied-configuration": JSON.stringify(theirs) }), "kubectl-client-side-apply");
  const outcome = await applyAll([configMap(namespace, "client-side", { kept: "new" })]);
  assert.equal(action(outcome), "configured");
  const live = await bed.read(path("client-side"));
  assert.deepEqual([live["data"], live.metadata.annotations, managersOf(live)], [{ kept: "new" }, undefined, ["kustomize-controller Apply"]]);
  assert.equal(outcome.entries[0]?.owned, ownershipOf(live.metadata));
  const { resourceVersion } = live.metadata;
  assert.equal(action(await applyAll([configMap(namespace, "client-side", { kept: "new" })])), "unchanged");
  assert.equal((await bed.read(path("client-side"))).metadata.resourceVersion, resourceVersion);
});

test("[AP46] kubectl apply --server-side is undone, and so is an edit", async () => {
  await applyAll([configMap(namespace, "edited", { a: "1" })]);
  await serverSide(configMap(namespace, "edited", { a: "theirs", b: "theirs" }), "kubectl");
  await bed.edit(path("edited"), { data: { c: "theirs" }, metadata: { labels: { theirs: "yes" } } }, "kubectl-edit");
  assert.equal(action(await applyAll([configMap(namespace, "edited", { a: "1" })])), "configured");
  const live = await bed.read(path("edited"));
  assert.deepEqual([live["data"], live.metadata.labels?.["theirs"], managersOf(live)], [{ a: "1" }, undefined, ["kustomize-controller Apply"]]);
});

test("[AP46] an object that nobody managed becomes ours in one apply", async () => {
  await post(configMap(namespace, "unmanaged", { a: "1", extra: "x" }), "some-tool");
  await bed.client.request({
    method: "PATCH", path: path("unmanaged"), contentType: "application/json-patch+json",
    body: [{ op: "replace", path: "/metadata/managedFields", value: [{}] }],
  });
  assert.deepEqual(managersOf(await bed.read(path("unmanaged"))), []);
  const outcome = await applyAll([configMap(namespace, "unmanaged", { a: "1" })]);
  const live = await bed.read(path("unmanaged"));
  assert.deepEqual([action(outcome), live["data"], managersOf(live)], ["configured", { a: "1" }, ["kustomize-controller Apply"]]);
});

test("[AP46] what Flux's own name for edits that are to stay owns is left alone, and so is another controller's", async () => {
  await applyAll([configMap(namespace, "shared", { a: "1" })]);
  await bed.edit(path("shared"), { data: { b: "theirs" } }, "flux-client-side-apply");
  await bed.edit(path("shared"), { data: { c: "theirs" } }, "tuner");
  assert.equal(action(await applyAll([configMap(namespace, "shared", { a: "1" })])), "unchanged");
  assert.deepEqual((await bed.read(path("shared")))["data"], { a: "1", b: "theirs", c: "theirs" });
});

test("[AP46] managers that the operator names are overridden too", async () => {
  const settings = { overriddenManagers: ["tuner"] };
  await applyAll([configMap(namespace, "overridden", { a: "1" })]);
  await serverSide(configMap(namespace, "overridden", { b: "theirs" }), "tuner-2");
  await bed.edit(path("overridden"), { data: { c: "theirs" } }, "tuner");
  assert.equal(action(await applyAll([configMap(namespace, "overridden", { a: "1" })], { cluster: { ...bed.handle, settings } })), "configured");
  assert.deepEqual((await bed.read(path("overridden")))["data"], { a: "1" });
});

const merge = { [annotations.ssa]: "Merge" };
test("[AP48] with ssa: Merge, rendered or live, what others own stays theirs; ours is put back", async () => {
  for (const [name, rendered, live] of [["merge-rendered", merge, {}], ["merge-live", {}, merge]] as const) {
    await applyAll([marked(configMap(namespace, name, { a: "1" }), rendered)]);
    await bed.edit(path(name), { data: { a: "theirs", b: "theirs" }, metadata: { annotations: live } }, "kubectl-edit");
    assert.equal(action(await applyAll([marked(configMap(namespace, name, { a: "1" }), rendered)])), "configured");
    assert.deepEqual((await bed.read(path(name)))["data"], { a: "1", b: "theirs" }, name);
  }
});

test("[AP50] a mark on the live object counts also when the rendered one says something else of itself", async () => {
  const key = annotations.ssa;
  await applyAll([configMap(namespace, "hidden", { a: "1" })]);
  await bed.edit(path("hidden"), { data: { a: "theirs" }, metadata: { annotations: { [key]: "Ignore" } } }, "tuner");
  assert.equal(action(await applyAll([marked(configMap(namespace, "hidden", { a: "1" }), { [key]: "Override" })])), "skipped");
  assert.deepEqual((await bed.read(path("hidden")))["data"], { a: "theirs" });
});

test("[AP50] an object that is only to be created is passed over although its change would be refused", async () => {
  const once = (data: Record<string, string>) => ({ ...marked(configMap(namespace, "once", data), { [annotations.ssa]: "ifnotpresent" }), immutable: true });
  assert.equal(action(await applyAll([once({ a: "1" })])), "created");
  assert.equal(action(await applyAll([once({ a: "2" })])), "skipped");
});

test("[AP14] an object that changed before it could be taken over is looked at again", async () => {
  await post(configMap(namespace, "slipping", { a: "1", extra: "x" }), "kubectl-create");
  let slips = 0;
  const client = { ...bed.client, request: async <T>(request: Parameters<Bed["client"]["request"]>[0]) => {
    if (request.contentType === "application/json-patch+json" && slips++ === 0) await bed.edit(path("slipping"), { data: { late: "y" } }, "kubectl-edit");
    return bed.client.request<T>(request);
  } };
  assert.equal(action(await applyAll([configMap(namespace, "slipping", { a: "1" })], { cluster: { ...bed.handle, client } })), "configured");
  assert.deepEqual([(await bed.read(path("slipping")))["data"], slips], [{ a: "1" }, 2]);
});

test("[AP16] the fence is asked before an object is taken over", async () => {
  await post(configMap(namespace, "fenced", { a: "1", extra: "x" }), "kubectl-create");
  const guard = () => { throw new Error("not now"); };
  assert.match(String(action(await applyAll([configMap(namespace, "fenced", { a: "1" })], { guard }))), /not now/);
  assert.deepEqual(managersOf(await bed.read(path("fenced"))), ["kubectl-create Update"]);
});

test("[AP49] kinds that the operator names are applied before the rest, and nothing of the rest when they fail", async () => {
  const settings = { customStages: new Set(["Secret"]) };
  const secret = (data: object): KubeObject => ({ apiVersion: "v1", kind: "Secret", metadata: { name: "first", namespace }, ...data });
  const broken = await applyAll([configMap(namespace, "second"), secret({ data: { a: "not base64" } })], { cluster: { ...bed.handle, settings } });
  assert.equal(broken.fault?.code, "ObjectInvalid");
  await assert.rejects(bed.read(path("second")), { code: 404 });
  const order: string[] = [];
  const onObject = (id: string) => void order.push(id.split("_").at(-1) ?? "");
  await applyAll([configMap(namespace, "second"), secret({ stringData: { a: "b" } })], { cluster: { ...bed.handle, settings }, onObject });
  assert.deepEqual(order, ["Secret", "ConfigMap"]);
});
