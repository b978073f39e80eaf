/** The table of live objects: drift and health by watch, against a real API server whose pods really start. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { InventoryEntry } from "#protocol/messages/kustomization.ts";
import { hasHealth } from "#machines/rules/health.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { cluster } from "../../test/kit/cluster.ts";
import { apply } from "./apply.ts";
import { systemClock } from "../store/clock.ts";
import { ManagedView, type ManagedChange } from "../worker/feed/managed-view.ts";
import { followHealth } from "../worker/follow-health.ts";
import { watchManaged } from "./managed.ts";
import type { ClusterHandle } from "./handle.ts";
import type { AppliedTable } from "./apply.ts";
import { configMap, deployment, openBed, type Bed } from "./sample-objects.ts";

let bed: Bed;
let namespace: string;
let table: ManagedView;
let ours: AppliedTable;
const changes: ManagedChange[] = [];
before(async () => {
  const real = await cluster();
  namespace = await real.namespace("managed");
  bed = await openBed(real.kubeconfig);
  table = viewOf(bed.handle, bed.stop.signal);
  table.subscribe({ change: (change) => void changes.push(change), synced() {} });
  ours = table.tableOf(owner());
});
after(() => bed.close());

/** A view fed by the real watch, without a feed between them. */
function viewOf(handle: ClusterHandle, signal: AbortSignal): ManagedView {
  const watch = watchManaged(handle, {
    changed: (id, record) => (record ? view.put(id, record) : view.drop(id)),
    synced: (group, kind) => view.kindIs(`${group}/${kind}`, "synced"),
    absent: (group, kind) => view.kindIs(`${group}/${kind}`, "absent"),
  }, signal);
  const view: ManagedView = new ManagedView({
    clock: systemClock, isShown: () => true, isAllShown: () => true, onNeed: ({ group, kind, v }) => watch.follow(group, kind, v),
  });
  return view;
}

const owner = () => ({ name: "apps", namespace });
const applyAll = async (objects: KubeObject[], inventory: InventoryEntry[] = []) => {
  const outcome = await apply(bed.call(owner(), objects, { inventory, table: ours }));
  assert.equal(outcome.fault, undefined);
  return outcome.entries;
};
const mapPath = (name: string) => `/api/v1/namespaces/${namespace}/configmaps/${name}`;
const deploymentPath = (name: string) => `/apis/apps/v1/namespaces/${namespace}/deployments/${name}`;
const unit = { kind: "kustomization", namespace: "any", name: "any" };
const driftOf = (entries: InventoryEntry[]) => [...table.drifted(unit, entries)];
const seen = (entries: InventoryEntry[]) =>
  eventually("the watch shows what was written", () => entries.every(({ id, owned }) => table.get(id)?.owned === owned));
const wait = (ids: string[], timeoutMs = 60_000, mayBeGone = new Set<string>()) =>
  followHealth(ids.map((id) => ({ id, v: "v1" })), { target: {}, timeoutMs, signal: bed.stop.signal, mayBeGone, foreign: [], failFast: true },
    { clock: systemClock, managed: table, requests: { healthOf: () => assert.fail("a wait for these asks nothing") } });

test("[AP33] our own writes are no drift, whenever their events come", async () => {
  const objects = Array.from({ length: 20 }, (_, i) => configMap(namespace, `own-${i}`, { round: "0" }));
  let entries = await applyAll(objects);
  await seen(entries);
  changes.length = 0;
  for (let round = 1; round <= 5; round++) {
    entries = await applyAll(objects.map((object) => ({ ...object, data: { round: String(round), [`field-${round}`]: "x" } })), entries);
    assert.deepEqual(driftOf(entries), []);
  }
  await seen(entries);
  assert.deepEqual(changes.filter(({ drift, id }) => drift && entries.some((entry) => entry.id === id)), []);
});

test("[AP31] a changed, a removed and a vanished field are drift, a foreign one is not", async () => {
  const [entry] = await applyAll([configMap(namespace, "map", { a: "1", b: "2" })]) as [InventoryEntry];
  await seen([entry]);
  const { metadata } = await bed.edit(mapPath("map"), { data: { foreign: "x" } }, "tuner");
  await eventually("the foreign field is seen", () => table.get(entry.id)?.resourceVersion === metadata.resourceVersion);
  assert.deepEqual(driftOf([entry]), []);

  await bed.edit(mapPath("map"), { data: { a: "theirs" } }, "tuner");
  await eventually("the change is seen", () => driftOf([entry]).length === 1);
  assert.deepEqual(driftOf([entry]), [[entry.id, "tuner"]]);

  const [back] = await applyAll([configMap(namespace, "map", { a: "1", b: "2" })], []) as [InventoryEntry];
  await seen([back]);
  assert.deepEqual([back.owned, driftOf([back])], [entry.owned, []]);
  await bed.edit(mapPath("map"), { data: { b: null } }, "sweeper");
  await eventually("the removal is seen", () => driftOf([back]).length === 1);
  assert.deepEqual(driftOf([back]), [[entry.id, ""]], "who removes a field leaves no trace");
});

test("[AP51] a field that is added by hand, and kubectl apply's mark, are drift", async () => {
  const [entry] = await applyAll([configMap(namespace, "by-hand", { a: "1" })]) as [InventoryEntry];
  await seen([entry]);
  await bed.edit(mapPath("by-hand"), { data: { b: "theirs" } });
  await eventually("the addition is seen", () => driftOf([entry]).length === 1);
  assert.deepEqual(driftOf([entry]), [[entry.id, "kubectl-edit"]]);
  const [back] = await applyAll([configMap(namespace, "by-hand", { a: "1" })], []) as [InventoryEntry];
  await seen([back]);
  assert.deepEqual([back.owned, driftOf([back])], [entry.owned, []]);
  await bed.edit(mapPath("by-hand"), { metadata: { annotations: { "kubectl.kubernetes.io/last-applied-configuration": "{}" } } }, "tuner");
  await eventually("the mark is seen", () => driftOf([back]).length === 1);
});

test("[AP31] a deleted object is drift, and so is one of the same name that somebody made", async () => {
  const [entry] = await applyAll([configMap(namespace, "deleted")]) as [InventoryEntry];
  await seen([entry]);
  await bed.client.request({ method: "DELETE", path: mapPath("deleted") });
  await eventually("the deletion is seen", () => driftOf([entry]).length === 1);
  await bed.client.request({ method: "POST", path: `/api/v1/namespaces/${namespace}/configmaps`, body: configMap(namespace, "deleted") });
  assert.deepEqual(driftOf([entry]), [[entry.id, ""]]);
});

test("[AP31] a Deployment scaled by hand has drifted, its status has not", async () => {
  const [entry] = await applyAll([deployment(namespace, "scaled")]) as [InventoryEntry];
  await wait([entry.id]);
  assert.deepEqual(driftOf([entry]), []);
  await bed.edit(deploymentPath("scaled"), { spec: { replicas: 2 } });
  await eventually("the scaling is seen", () => driftOf([entry]).length === 1);
  assert.deepEqual(driftOf([entry]), [[entry.id, "kubectl-edit"]]);
});

test("[AP35] a mark put on a live object is noticed, and so is its end", async () => {
  const object = configMap(namespace, "marked");
  const first = await applyAll([object]);
  await seen(first);
  await bed.edit(mapPath("marked"), { metadata: { annotations: { "kustomize.toolkit.fluxcd.io/reconcile": "disabled" } } });
  await eventually("the mark is seen", () => driftOf(first).length === 1);
  const drifted = table.drifted(unit, first);
  const paused = (await apply(bed.call(owner(), [object], { inventory: first, table: ours, drifted }))).entries;
  assert.deepEqual(driftOf(paused), []);
  const { metadata } = await bed.edit(mapPath("marked"), { data: { greeting: "theirs" } });
  await eventually("the edit is seen", () => table.get(paused[0]?.id ?? "")?.resourceVersion === metadata.resourceVersion);
  assert.deepEqual(driftOf(paused), [], "nobody's changes to it are drift");
  await bed.edit(mapPath("marked"), { metadata: { annotations: { "kustomize.toolkit.fluxcd.io/reconcile": null } } });
  await eventually("the end of the mark is seen", () => driftOf(paused).length === 1);
});

test("[HL4] a Deployment is waited for until its pods run; a new one, until its new pods run", async () => {
  const entries = await applyAll([deployment(namespace, "web", "registry.example/app:1", 3), configMap(namespace, "web")]);
  await wait(entries.map(({ id }) => id));
  const status = async () => (await bed.read(deploymentPath("web")))["status"] as Record<string, number>;
  assert.equal((await status())["availableReplicas"], 3);

  const next = await applyAll([deployment(namespace, "web", "registry.example/app:2", 3), configMap(namespace, "web")], entries);
  await wait(next.map(({ id }) => id));
  const { updatedReplicas, availableReplicas, observedGeneration } = await status();
  assert.deepEqual([updatedReplicas, availableReplicas, observedGeneration], [3, 3, 2]);
});

test("[HL16] right after a write the object counts as in progress, whatever the table still holds", async () => {
  const [entry] = await applyAll([deployment(namespace, "fresh")]) as [InventoryEntry];
  await wait([entry.id]);
  assert.equal(table.health(entry.id)?.status, "Current");
  ours.begin(entry.id);
  const { uid = "", resourceVersion = "0" } = (await bed.read(deploymentPath("fresh"))).metadata;
  ours.end(entry.id, { uid, owned: entry.owned, appliedAtS: 0, resourceVersion: String(Number(resourceVersion) + 1) });
  assert.equal(table.health(entry.id)?.status, "InProgress");
  await bed.edit(deploymentPath("fresh"), { metadata: { annotations: { touched: "yes" } } });
  await wait([entry.id]);
});

test("[HL14] a wait ends early at what has failed for good", async () => {
  const stuck = deployment(namespace, "stuck");
  // No node takes its pods, or it might be healthy before it is stuck.
  Object.assign((stuck["spec"] as { template: { spec: object } }).template.spec, { nodeSelector: { none: "such" } });
  const [entry] = await applyAll([stuck]) as [InventoryEntry];
  const conditions = [{ type: "Stalled", status: "True", reason: "No", message: "no image", lastTransitionTime: "2026-11-01T10:00:00Z" }];
  await bed.edit(`${deploymentPath("stuck")}/status`, { status: { conditions } }, "test");
  const fault = await wait([entry.id]).then(() => undefined, (error: { code: string; detail: string }) => error);
  assert.equal(fault?.code, "HealthCheckFailed");
  assert.match(fault.detail, new RegExp(`^failed early due to stalled resources: \\[Deployment/${namespace}/stuck status: 'Failed'\\]; .*no image$`));
});

test("[HL15] a wait whose time is over names what is missing", async () => {
  const entries = await applyAll([deployment(namespace, "slow", "app", 0), configMap(namespace, "slow")]);
  const missing = `${namespace}_nowhere_apps_Deployment`;
  await wait(entries.map(({ id }) => id));
  const fault = await wait([...entries.map(({ id }) => id), missing], 50).then(() => undefined, (error: { detail: string }) => error);
  assert.match(fault?.detail ?? "", new RegExp(`^health check failed after .*: timeout waiting for: \\[Deployment/${namespace}/nowhere status: 'NotFound'\\]`));
});

test("[HL17] a Job that may be removed after its end counts as done when it is gone", async () => {
  const id = `${namespace}_done_batch_Job`;
  await table.ensureEntries([{ id, v: "v1" }]);
  await wait([id], 10_000, new Set([id]));
  await assert.rejects(wait([id], 20), { code: "HealthCheckFailed" });
});

test("[HL18] waiting and comparing ask the server nothing", async () => {
  const entries = await applyAll([deployment(namespace, "quiet")]);
  bed.seen.length = 0;
  await wait(entries.map(({ id }) => id));
  driftOf(entries);
  assert.deepEqual(bed.seen, []);
});

test("[AP34] of a Secret only metadata is watched", async () => {
  const secret: KubeObject = { apiVersion: "v1", kind: "Secret", metadata: { name: "s", namespace }, stringData: { password: "hunter2-in-plain" } };
  const entries = await applyAll([secret]);
  await seen(entries);
  assert.equal(hasHealth("", "Secret"), false);
  assert.doesNotMatch(JSON.stringify([table.get(entries[0]?.id ?? ""), changes]), /hunter2|aHVudGVy/);
});

test("[AP31] what carries an owner's labels is told, and so is their loss", async () => {
  const entries = await applyAll([configMap(namespace, "listed")]);
  await seen(entries);
  assert.equal(table.get(`${namespace}_listed__ConfigMap`)?.owner, `${namespace}/apps`);
  await bed.edit(mapPath("listed"), { metadata: { labels: { "kustomize.toolkit.fluxcd.io/name": null } } });
  await eventually("the lost label is seen", () => table.get(`${namespace}_listed__ConfigMap`) === undefined);
  assert.deepEqual(driftOf(entries), [[`${namespace}_listed__ConfigMap`, ""]]);
});

test("[AP31] a table that starts later knows from an inventory what to follow, and finds what happened meanwhile", async () => {
  const entries = await applyAll([configMap(namespace, "before"), deployment(namespace, "before", "app", 0)]);
  await bed.edit(mapPath("before"), { data: { greeting: "theirs" } });
  const own = new AbortController();
  const later = viewOf(bed.handle, own.signal);
  const unknown = { id: `${namespace}_x_absent.example.com_Widget`, v: "v1", uid: "u", digest: "d", owned: "0" };
  assert.deepEqual([...later.drifted(unit, entries)], [], "nothing is known yet");
  await later.ensureEntries([...entries, unknown]);
  assert.deepEqual([...later.drifted(unit, [...entries, unknown])], [[`${namespace}_before__ConfigMap`, "kubectl-edit"]]);
  own.abort();
});
