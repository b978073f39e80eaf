/** Fields that are left to others, on a real API server. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { ApplyOutcome } from "#protocol/messages/kustomization.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { cluster } from "../../test/kit/cluster.ts";
import { apply } from "./apply.ts";
import type { IgnoreRule } from "./ignore.ts";
import { configMap, deployment, openBed, type Bed } from "./sample-objects.ts";

let bed: Bed;
let namespace: string;
before(async () => {
  const real = await cluster();
  namespace = await real.namespace("ignore");
  bed = await openBed(real.kubeconfig);
});
after(() => bed.close());

const owner = { name: "apps", namespace: "flux-system" };
const path = (name: string) => `/apis/apps/v1/namespaces/${namespace}/deployments/${name}`;
const ignore: IgnoreRule[] = [{ paths: ["/spec/replicas"], target: { kind: "Deployment" } }];
const applyAll = (objects: KubeObject[], more: Parameters<Bed["call"]>[2] = {}) => apply(bed.call(owner, objects, { scope: "all", ignore, ...more }));
const action = ({ changes, fault }: ApplyOutcome) => fault?.detail ?? changes[0]?.action;
const replicasOf = async (name: string) => ((await bed.read(path(name)))["spec"] as { replicas: number }).replicas;
const imageOf = (live: KubeObject) => (live["spec"] as { template: { spec: { containers: { image: string }[] } } }).template.spec.containers[0]?.image;
const ownersOf = ({ metadata }: KubeObject) => (metadata.managedFields ?? []).filter(({ fieldsV1 }) => "f:replicas" in ((fieldsV1 as { "f:spec"?: object } | undefined)?.["f:spec"] ?? {})).map(({ manager }) => manager).sort();
const serverSide = (name: string, spec: object) => bed.client.request({
  method: "PATCH", path: path(name), query: { fieldManager: "scaler", force: true }, contentType: "application/apply-patch+yaml",
  body: { apiVersion: "apps/v1", kind: "Deployment", metadata: { name, namespace }, spec },
});

test("[AP53] [AP55] an ignored field is set when the object is made, and then left to whoever scales it: nothing is written", async () => {
  const created = await applyAll([deployment(namespace, "scaled", "app:1", 2)]);
  assert.deepEqual([action(created), await replicasOf("scaled")], ["created", 2]);
  await bed.edit(`${path("scaled")}/scale`, { spec: { replicas: 5 } }, "autoscaler");
  const { metadata } = await bed.read(path("scaled"));
  bed.seen.length = 0;
  const looked = await applyAll([deployment(namespace, "scaled", "app:1", 2)], { drifted: new Map([[created.entries[0]?.id ?? "", "autoscaler"]]) });
  // Once more where the Deployment's controller writes its status in between.
  assert.deepEqual([action(looked), [...new Set(bed.seen.map(({ verb }) => verb))]], ["unchanged", ["get", "dry-run"]]);
  assert.equal((await bed.read(path("scaled"))).metadata.generation, metadata.generation);
  assert.notEqual(looked.entries[0]?.owned, created.entries[0]?.owned, "the field is somebody else's now, and that is how it stands");

  assert.equal(action(await applyAll([deployment(namespace, "scaled", "app:2", 2)])), "configured");
  const live = await bed.read(path("scaled"));
  assert.deepEqual([await replicasOf("scaled"), imageOf(live)], [5, "app:2"]);
});

test("[AP53] a field that another apply owns is given up to it", async () => {
  await applyAll([deployment(namespace, "shared", "app:1", 2)]);
  await serverSide("shared", { replicas: 4 });
  assert.equal(action(await applyAll([deployment(namespace, "shared", "app:2", 2)])), "configured");
  const live = await bed.read(path("shared"));
  assert.deepEqual([await replicasOf("shared"), imageOf(live), ownersOf(live)], [4, "app:2", ["scaler"]]);
});

test("[AP53] drift in other fields is put back, and the ignored one stays", async () => {
  await applyAll([deployment(namespace, "edited", "app:1", 2)]);
  await bed.edit(path("edited"), { spec: { replicas: 7, paused: true, template: { spec: { containers: [{ name: "app", image: "bad" }] } } } }, "kubectl-edit");
  assert.equal(action(await applyAll([deployment(namespace, "edited", "app:1", 2)])), "configured");
  const live = await bed.read(path("edited"));
  assert.deepEqual([await replicasOf("edited"), imageOf(live), (live["spec"] as { paused?: boolean }).paused], [7, "app:1", undefined]);
});

test("[AP54] when a rule comes or goes, its objects are compared, and no others", async () => {
  const objects = [deployment(namespace, "ruled", "app:1", 2), configMap(namespace, "unruled")];
  const first = await apply(bed.call(owner, objects));
  await bed.edit(path("ruled"), { spec: { replicas: 6 } }, "tuner");
  const count = async (more: Parameters<Bed["call"]>[2]) => {
    bed.seen.length = 0;
    const outcome = await apply(bed.call(owner, objects, more));
    // A look and a dry-run; both once more where the Deployment's controller writes its status in between.
    return { outcome, asked: [...new Set(bed.seen.map(({ verb, resource }) => `${verb} ${resource}`))] };
  };
  const ruled = await count({ ignore, inventory: first.entries });
  assert.deepEqual([action(ruled.outcome), ruled.asked, await replicasOf("ruled")], ["unchanged", ["get deployments", "dry-run deployments"], 6]);
  assert.deepEqual((await count({ ignore, inventory: ruled.outcome.entries })).asked, []);
  const free = await count({ inventory: ruled.outcome.entries });
  assert.deepEqual([action(free.outcome), await replicasOf("ruled")], ["configured", 2]);
});

test("[AP53] a change between the look and the dry-run is looked at again", async () => {
  await applyAll([deployment(namespace, "slipping", "app:1", 2)]);
  let slips = 0;
  const client = { ...bed.client, request: async <T>(request: Parameters<Bed["client"]["request"]>[0]) => {
    if (request.query?.["dryRun"] && slips++ === 0) await bed.edit(`${path("slipping")}/scale`, { spec: { replicas: 9 } }, "autoscaler");
    return bed.client.request<T>(request);
  } };
  assert.equal(action(await applyAll([deployment(namespace, "slipping", "app:2", 2)], { cluster: { ...bed.handle, client } })), "configured");
  assert.deepEqual([await replicasOf("slipping"), slips > 1], [9, true]);
});

test("[AP53] whose an object is, is said by us, whatever is ignored; and a mark on it counts", async () => {
  const all: IgnoreRule[] = [{ paths: ["/metadata/labels"] }];
  await applyAll([configMap(namespace, "labels")], { ignore: all });
  const at = `/api/v1/namespaces/${namespace}/configmaps/labels`;
  await bed.edit(at, { metadata: { labels: { "kustomize.toolkit.fluxcd.io/name": "thief", theirs: "yes" } } }, "tuner");
  assert.equal(action(await applyAll([configMap(namespace, "labels", { a: "2" })], { ignore: all })), "configured");
  const live = await bed.read(at);
  assert.deepEqual([live.metadata.labels?.["kustomize.toolkit.fluxcd.io/name"], live.metadata.labels?.["theirs"]], ["apps", "yes"]);
  await bed.edit(at, { metadata: { annotations: { "kustomize.toolkit.fluxcd.io/reconcile": "disabled" } } }, "tuner");
  assert.equal(action(await applyAll([configMap(namespace, "labels", { a: "3" })], { ignore: all })), "skipped");
});

test("[AP52] a rule that cannot be read stops the apply before anything is asked", async () => {
  bed.seen.length = 0;
  const { fault } = await applyAll([configMap(namespace, "never")], { ignore: [{ paths: ["replicas"] }] });
  assert.deepEqual([fault?.code, bed.seen.length], ["IgnoreRuleInvalid", 0]);
});
