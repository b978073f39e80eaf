/** What a crashed owner had sent and what comes late, against a real API server. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { annotations, fieldManagers, labels } from "#protocol/api/annotations.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { InventoryEntry } from "#protocol/messages/kustomization.ts";
import { isDrifted } from "#machines/rules/drift.ts";
import type { KubeObject, ObjectMeta } from "#machines/rules/inventory.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { cluster } from "../../test/kit/cluster.ts";
import { look, write } from "./apply-object.ts";
import { apply } from "./apply.ts";
import { identify } from "./handle.ts";
import type { Managed } from "./managed-record.ts";
import { watchManaged } from "./managed.ts";
import { prune } from "./prune.ts";
import { configMap, custom, definition, namespaceOf, openBed, rendered, type Bed } from "./sample-objects.ts";

let bed: Bed;
let namespace: string;
before(async () => {
  const real = await cluster();
  namespace = await real.namespace("touch");
  bed = await openBed(real.kubeconfig);
});
after(() => bed.close());

const owner = { name: "apps", namespace: "flux-system" };
const touch = { epoch: "17:4" };
const mapPath = (name: string) => `/api/v1/namespaces/${namespace}/configmaps/${name}`;
const idOf = (name: string) => `${namespace}_${name}__ConfigMap`;
const unique = (prefix: string) => `${prefix}-${randomBytes(3).toString("hex")}`;
const applyAll = async (objects: KubeObject[], more: Parameters<Bed["call"]>[2] = {}) => {
  const outcome = await apply(bed.call(owner, objects, more));
  assert.equal(outcome.fault, undefined);
  return outcome;
};
const pruneAll = (entries: InventoryEntry[], keep?: ReadonlySet<string>) =>
  prune({ cluster: bed.handle, owner, entries, keep, guard: () => {}, signal: bed.stop.signal });

/** What an owner that is dead by now had decided on the object as it was then: it arrives when the test says so. */
async function delayed(object: KubeObject, condition: "as it is" | "absent"): Promise<() => Promise<number>> {
  const metadata: Partial<ObjectMeta> = condition === "absent" ? { resourceVersion: "1" } : (await bed.read(mapPath(object.metadata.name))).metadata;
  const { uid, resourceVersion } = metadata;
  const marks = { [labels.ownerName]: owner.name, [labels.ownerNamespace]: owner.namespace };
  return () => bed.client.request({
    method: "PATCH", path: mapPath(object.metadata.name), query: { fieldManager: fieldManagers.kustomization, force: true },
    contentType: "application/apply-patch+yaml",
    body: { ...object, metadata: { ...object.metadata, labels: marks, ...(uid && { uid }), resourceVersion } },
  }).then(({ code }) => code, ({ code }: { code: number }) => code);
}

test("[FN3] a PATCH of a crashed owner is refused once the object was found to be as wanted", async () => {
  const object = configMap(namespace, "reverted", { a: "1" });
  const { entries } = await applyAll([object]);
  const zombie = await delayed(configMap(namespace, "reverted", { a: "2" }), "as it is");
  const { changes } = await applyAll([object], { inventory: entries, touch });
  assert.deepEqual([changes, await zombie()], [[{ id: idOf("reverted"), action: "unchanged" }], 409]);
  const live = await bed.read(mapPath("reverted"));
  assert.deepEqual([live["data"], live.metadata.annotations], [{ a: "1" }, { [annotations.fence]: "17:4" }]);
});

test("[FN3] without the touch it would land, and nobody would see it as drift", async () => {
  const object = configMap(namespace, "open", { a: "1" });
  const { entries } = await applyAll([object]);
  const zombie = await delayed(configMap(namespace, "open", { a: "2" }), "as it is");
  await applyAll([object], { inventory: entries });
  assert.equal(await zombie(), 200);
  const { entries: after } = await applyAll([configMap(namespace, "open", { a: "2" })], { scope: "all" });
  assert.equal(after[0]?.owned, entries[0]?.owned);
});

test("[FN3] one that landed before the touch is put right, whatever the inventory says", async () => {
  const object = configMap(namespace, "landed", { a: "1" });
  const { entries } = await applyAll([object]);
  const zombie = await delayed(configMap(namespace, "landed", { a: "2" }), "as it is");
  assert.equal(await zombie(), 200);
  const { changes } = await applyAll([object], { inventory: entries, touch });
  assert.deepEqual([changes, (await bed.read(mapPath("landed")))["data"]], [[{ id: idOf("landed"), action: "configured" }], { a: "1" }]);
});

test("[FN3] one that lands between the look and the touch is seen: the object is looked at again", async () => {
  const object = configMap(namespace, "between", { a: "1" });
  await applyAll([object]);
  const zombie = await delayed(configMap(namespace, "between", { a: "2" }), "as it is");
  const item = { id: idOf("between"), v: "v1", digest: rendered(object).digest, whole: false, payload: labelled(object) };
  const call = {
    cluster: bed.handle, force: false, guard: () => {}, signal: bed.stop.signal, traceparent: () => undefined, known: () => undefined,
    fresh: new Set<string>(), touch,
  };
  const found = await look(call, item);
  assert.equal(await zombie(), 200);
  assert.deepEqual([(await write(call, item, found)).action, (await bed.read(mapPath("between")))["data"]], ["configured", { a: "1" }]);
});

test("[FN3] what is written anyway is not touched as well, nor what was touched in this epoch; a guard that refuses touches nothing", async () => {
  const { entries } = await applyAll([configMap(namespace, "written", { a: "1" })]);
  await applyAll([configMap(namespace, "written", { a: "2" })], { inventory: entries, touch });
  assert.equal((await bed.read(mapPath("written"))).metadata.annotations, undefined);

  const object = configMap(namespace, "once");
  const first = await applyAll([object]);
  const second = await applyAll([object], { inventory: first.entries, touch });
  const { metadata } = await bed.read(mapPath("once"));
  await applyAll([object], { inventory: second.entries, touch });
  assert.equal((await bed.read(mapPath("once"))).metadata.resourceVersion, metadata.resourceVersion);
  const guard = () => { throw new Fault("LeaseLost", "partition 17"); };
  const { fault } = await apply(bed.call(owner, [object], { inventory: second.entries, touch: { epoch: "17:5" }, guard }));
  assert.deepEqual([fault?.code, (await bed.read(mapPath("once"))).metadata.resourceVersion], ["LeaseLost", metadata.resourceVersion]);
});

test("[FN3] what is to be left alone is", async () => {
  const object = configMap(namespace, "paused");
  const { entries } = await applyAll([object]);
  const { metadata } = await bed.edit(mapPath("paused"), { metadata: { annotations: { "kustomize.toolkit.fluxcd.io/reconcile": "disabled" } } });
  await applyAll([object], { inventory: entries, touch });
  assert.equal((await bed.read(mapPath("paused"))).metadata.resourceVersion, metadata.resourceVersion);
});

test("[FN8] a touch is no drift, and nobody is named for it", async () => {
  const stop = new AbortController();
  const seen = new Map<string, Managed | undefined>();
  const watching = watchManaged(bed.handle, { changed: (id, record) => seen.set(id, record), synced: () => {}, absent: () => {} }, stop.signal);
  watching.follow("", "ConfigMap", "v1");
  const object = configMap(namespace, "calm");
  const { entries: [entry] } = await applyAll([object]);
  const outcome = await applyAll([object], { inventory: entry ? [entry] : [], touch });
  const { metadata } = await bed.read(mapPath("calm"));
  assert.equal(metadata.annotations?.[annotations.fence], "17:4");
  const record = await eventually("the touch is seen", () => {
    const now = seen.get(idOf("calm"));
    return now?.resourceVersion === metadata.resourceVersion && now;
  });
  assert.deepEqual([outcome.entries, entry && isDrifted(entry, record), record.by], [[entry], false, ""]);
  assert.deepEqual(metadata.managedFields?.map(({ manager }) => manager).sort(), [fieldManagers.fence, fieldManagers.kustomization]);
  stop.abort();
});

test("[FN6] a POST that arrives late is removed when its suspects are pruned once more", async () => {
  const suspect = { id: idOf("late"), v: "v1", uid: "", digest: "", owned: "" };
  const zombie = await delayed(configMap(namespace, "late"), "absent");
  const first = await pruneAll([suspect]);
  assert.deepEqual([first.missing, first.deleted], [[suspect.id], [suspect.id]]);
  assert.equal(await zombie(), 201);
  const second = await pruneAll([suspect]);
  assert.deepEqual([second.missing, second.deleted], [[], [suspect.id]]);
  await assert.rejects(bed.read(mapPath("late")), { code: 404 });
});

test("[FN6] an object of that name that belongs to somebody else stays", async () => {
  await bed.client.request({ method: "POST", path: `/api/v1/namespaces/${namespace}/configmaps`, body: configMap(namespace, "foreign") });
  const report = await pruneAll([{ id: idOf("foreign"), v: "v1", uid: "", digest: "", owned: "" }]);
  assert.deepEqual([report.skipped, report.deleted], [[idOf("foreign")], []]);
});

const role = (name: string): KubeObject => ({
  apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", metadata: { name, namespace }, rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }],
});
const scopedDefinition = (group: string): KubeObject => {
  const made = definition(group);
  return { ...made, spec: { ...(made["spec"] as object), scope: "Cluster" } };
};

test("[FN1] objects are noted under the very ids that the apply gives them, also where their definition comes with them", async () => {
  const group = `${unique("g")}.example.com`;
  const fresh = unique("noted");
  const objects = [custom(group, namespace, fresh), configMap(fresh, "cfg"), role(`x:${fresh}`), namespaceOf(fresh), scopedDefinition(group)];
  const noted = await identify(bed.handle, objects);
  assert.ok(noted.some(({ id }) => id === `_${fresh}_${group}_Widget`));
  const { entries } = await applyAll(objects);
  const ids = (list: { id: string; v: string }[]) => list.map(({ id, v }) => `${id} ${v}`).sort();
  assert.deepEqual(ids(entries), ids(noted));
  assert.deepEqual(ids(await identify(bed.handle, objects)), ids(noted), "nor does it change once the kind is served");
});

test("[FN1] a kind that nobody defines keeps the namespace of its manifest", async () => {
  const [noted] = await identify(bed.handle, [custom("absent.example.com", namespace, "x")]);
  assert.deepEqual([noted?.id, noted?.scope], [`${namespace}_x_absent.example.com_Widget`, undefined]);
});

test("[FN2] a cluster-scoped object that was noted with a namespace is not deleted while it is wanted", async () => {
  const name = unique("scoped");
  const { entries } = await applyAll([role(name)]);
  const noted = { id: `${namespace}_${name}_rbac.authorization.k8s.io_ClusterRole`, v: "v1", uid: "", digest: "", owned: "" };
  const keep = new Set(entries.map(({ id }) => id));
  const report = await pruneAll([noted], keep);
  const path = `/apis/rbac.authorization.k8s.io/v1/clusterroles/${name}`;
  assert.deepEqual([report.skipped, report.deleted, (await bed.read(path)).metadata.uid], [[noted.id], [], entries[0]?.uid]);
  assert.deepEqual([(await pruneAll(entries, keep)).skipped.length, (await pruneAll([noted])).deleted], [1, [noted.id]], "not wanted any more, it goes");
  await assert.rejects(bed.read(path), { code: 404 });
});

const labelled = (object: KubeObject): KubeObject =>
  ({ ...object, metadata: { ...object.metadata, labels: { [labels.ownerName]: owner.name, [labels.ownerNamespace]: owner.namespace } } });
