/** Staged server-side apply against a real API server. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { fieldManagers, labels } from "#protocol/api/annotations.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ApplyOutcome } from "#protocol/messages/kustomization.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { cluster } from "../../test/kit/cluster.ts";
import { apply } from "./apply.ts";
import { look, write } from "./apply-object.ts";
import { configMap, custom, definition, deployment, namespaceOf, openBed, rendered, type Bed } from "./sample-objects.ts";

let bed: Bed;
let namespace: string;
before(async () => {
  const real = await cluster();
  namespace = await real.namespace("apply");
  bed = await openBed(real.kubeconfig);
});
after(() => bed.close());

const owner = { name: "apps", namespace: "flux-system" };
const mapPath = (name: string) => `/api/v1/namespaces/${namespace}/configmaps/${name}`;
const idOf = (name: string, kind = "ConfigMap") => `${namespace}_${name}__${kind}`;
const unique = (prefix: string) => `${prefix}-${randomBytes(3).toString("hex")}`;

const applyAll = (objects: KubeObject[], more: Parameters<Bed["call"]>[2] = {}) => apply(bed.call(owner, objects, more));
const actions = ({ changes }: ApplyOutcome) => Object.fromEntries(changes.map(({ id, action }) => [id, action]));
const requests = async <T>(work: () => Promise<T>) => {
  await bed.handle.discovery.known("v1", "ConfigMap"); // once per cluster, not per apply
  bed.seen.length = 0;
  const result = await work();
  return { result, verbs: bed.seen.map(({ verb }) => verb).sort() };
};

test("[AP18] what is applied carries its owner's labels and belongs to Flux's manager", async () => {
  const outcome = await applyAll([configMap(namespace, "labelled")]);
  const { metadata } = await bed.read(mapPath("labelled"));
  assert.equal(metadata.labels?.[labels.ownerName], "apps");
  assert.equal(metadata.labels?.[labels.ownerNamespace], "flux-system");
  assert.deepEqual(metadata.managedFields?.map(({ manager, operation }) => [manager, operation]), [[fieldManagers.kustomization, "Apply"]]);
  assert.deepEqual(outcome.entries.map(({ id, v, uid }) => ({ id, v, uid })), [{ id: idOf("labelled"), v: "v1", uid: metadata.uid }]);
});

test("[AP15] the outcome tells created, unchanged and configured apart", async () => {
  const first = await applyAll([configMap(namespace, "told", { a: "1" })]);
  const again = await applyAll([configMap(namespace, "told", { a: "1" })], { scope: "all" });
  const changed = await applyAll([configMap(namespace, "told", { a: "2" })], { scope: "all" });
  assert.deepEqual([first, again, changed].map((outcome) => actions(outcome)[idOf("told")]), ["created", "unchanged", "configured"]);
  assert.equal(again.entries[0]?.owned, first.entries[0]?.owned);
});

test("[AP12] two requests per object at most, one when the table shows that it stands", async () => {
  const objects = ["one", "two", "three"].map((name) => configMap(namespace, name));
  const created = await requests(() => applyAll(objects));
  assert.deepEqual(created.verbs, ["apply", "apply", "apply", "dry-run", "dry-run", "dry-run"]);

  const live = await bed.read(mapPath("one"));
  const entry = created.result.entries.find(({ id }) => id === idOf("one"));
  const time = Date.parse(live.metadata.managedFields?.[0]?.time ?? "") / 1000;
  const known = { uid: live.metadata.uid ?? "", resourceVersion: live.metadata.resourceVersion ?? "", owned: entry?.owned ?? "", appliedAtS: time };
  const table = { known: () => known, begin: () => {}, end: () => {}, follow: () => {} };
  await serverPast(time);
  const stands = await requests(() => applyAll([configMap(namespace, "one")], { scope: "all", table }));
  assert.deepEqual([stands.verbs, actions(stands.result)], [["dry-run"], { [idOf("one")]: "unchanged" }]);

  // The same values, but a field more that is ours: the version and time of the dry-run are the old ones.
  await bed.edit(mapPath("one"), { data: { shared: "x" } }, "tuner");
  const edited = await bed.read(mapPath("one"));
  const stale = { ...known, resourceVersion: edited.metadata.resourceVersion ?? "" };
  const owns = await requests(() => applyAll([configMap(namespace, "one", { greeting: "hello", shared: "x" })], { scope: "all", table: { ...table, known: () => stale } }));
  assert.deepEqual(owns.verbs, ["apply", "dry-run"]);
});

test("[AP5] objects with the digest of the inventory cost no request", async () => {
  const objects = [configMap(namespace, "kept"), configMap(namespace, "moved", { a: "1" })];
  const { entries } = await applyAll(objects);
  const { result, verbs } = await requests(() => applyAll([objects[0] as KubeObject, configMap(namespace, "moved", { a: "2" })], { inventory: entries }));
  assert.deepEqual([actions(result), verbs], [{ [idOf("moved")]: "configured" }, ["apply", "dry-run"]]);
  assert.deepEqual(result.entries.map(({ id }) => id), [idOf("kept"), idOf("moved")]);
  const idle = await requests(() => applyAll(objects.slice(0, 1), { inventory: result.entries }));
  assert.deepEqual(idle.verbs, []);
});

test("[AP31] drift is put back, and who made it is named", async () => {
  const { entries } = await applyAll([configMap(namespace, "edited", { a: "1" })]);
  await bed.edit(mapPath("edited"), { data: { a: "theirs", extra: "stays" } }, "tuner");
  const outcome = await applyAll([configMap(namespace, "edited", { a: "1" })], { inventory: entries, drifted: new Map([[idOf("edited"), "tuner"]]) });
  assert.deepEqual(outcome.changes, [{ id: idOf("edited"), action: "configured", by: "tuner" }]);
  assert.deepEqual((await bed.read(mapPath("edited")))["data"], { a: "1", extra: "stays" });
  assert.equal(outcome.entries[0]?.owned, entries[0]?.owned);
});

test("[AP10] a dry-run that fails leaves the whole stage unwritten", async () => {
  const broken = { ...configMap(namespace, "broken"), data: { a: 1 } } as KubeObject;
  const outcome = await applyAll([configMap(namespace, "sound"), broken]);
  assert.deepEqual([outcome.fault?.code, outcome.fault?.subject], ["ObjectInvalid", `ConfigMap/${namespace}/broken`]);
  assert.deepEqual([outcome.entries, outcome.changes], [[], []]);
  await assert.rejects(bed.read(mapPath("sound")), { code: 404 });
});

test("[AP11] what earlier stages wrote is reported when a later one fails", async () => {
  const fresh = unique("late");
  const broken = { ...configMap(fresh, "broken"), data: { a: 1 } } as KubeObject;
  const outcome = await applyAll([broken, namespaceOf(fresh)]);
  assert.equal(outcome.fault?.code, "ObjectInvalid");
  assert.deepEqual(outcome.entries.map(({ id }) => id), [`_${fresh}__Namespace`]);
});

test("[AP17] a definition, its objects and their namespace come in one apply", async () => {
  const group = `${unique("g")}.example.com`;
  const fresh = unique("whole");
  const outcome = await applyAll([custom(group, fresh, "first"), configMap(fresh, "cfg"), namespaceOf(fresh), definition(group)]);
  assert.equal(outcome.fault, undefined);
  assert.deepEqual(outcome.changes.map(({ id, action }) => `${id} ${action}`).slice(-1)[0]?.endsWith("Widget created"), true);
  assert.equal((await bed.read(`/apis/${group}/v1/namespaces/${fresh}/widgets/first`))["spec"] !== undefined, true);

  const wider = definition(group);
  const [version] = (wider["spec"] as { versions: { schema: { openAPIV3Schema: { properties: { spec: { properties: object } } } } }[] }).versions;
  if (version) version.schema.openAPIV3Schema.properties.spec.properties = { size: { type: "integer" }, color: { type: "string" } };
  const colored = { ...custom(group, fresh, "first"), spec: { size: 3, color: "red" } };
  const next = await applyAll([colored, wider], { inventory: outcome.entries });
  assert.equal(next.fault, undefined, "a field that the new schema brings is there when its object is applied");
});

test("[AP17] what comes after a definition is not touched when the definition cannot be used", async () => {
  const group = `${unique("g")}.example.com`;
  await applyAll([definition(group)]);
  const taken = definition(group, "Gadget");
  Object.assign((taken["spec"] as { names: object }).names, { singular: "widget" });
  const outcome = await applyAll([taken, configMap(namespace, "after-taken")]);
  assert.equal(outcome.fault?.code, "ApplyFailed");
  assert.equal(outcome.fault?.detail, `failed early due to stalled resources: [CustomResourceDefinition/gadgets.${group} status: 'Failed']`);
  assert.deepEqual(outcome.entries.map(({ id }) => id), [`_gadgets.${group}_apiextensions.k8s.io_CustomResourceDefinition`]);
  await assert.rejects(bed.read(mapPath("after-taken")), { code: 404 });
});

test("[AP21] a kind that was known and is gone is KindUnknown", async () => {
  const group = `${unique("g")}.example.com`;
  await applyAll([definition(group), custom(group, namespace, "first")]);
  await bed.client.request({ method: "DELETE", path: `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.${group}` });
  const gone = await eventually("the kind is gone", async () => {
    const { fault } = await applyAll([custom(group, namespace, "second")], { scope: "all" });
    return fault?.code === "KindUnknown" && fault;
  });
  assert.equal(gone.subject, `Widget/${namespace}/second`);
});

test("[AP4] a namespace on a cluster-scoped object does not count", async () => {
  const name = unique("scoped");
  const role = {
    apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", metadata: { name: `x:${name}`, namespace },
    rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }],
  };
  const outcome = await applyAll([role]);
  assert.deepEqual(outcome.entries.map(({ id }) => id), [`_x__${name}_rbac.authorization.k8s.io_ClusterRole`]);
});

test("[AP16] a fence that refuses lets nothing out, not on repetitions either", async () => {
  let asked = 0;
  const guard = () => {
    asked++;
    throw new Fault("LeaseLost", "partition 7");
  };
  const { result, verbs } = await requests(() => applyAll([configMap(namespace, "fenced")], { guard }));
  assert.deepEqual([result.fault?.code, asked, verbs.filter((verb) => verb === "apply").length], ["LeaseLost", 1, 1]);
  assert.deepEqual(bed.seen.filter(({ verb }) => verb === "apply").map(({ code }) => code), [0], "asked, but never sent");
  await assert.rejects(bed.read(mapPath("fenced")), { code: 404 });
});

test("[AP14] an object changed between dry-run and write is looked at again and written", async () => {
  await applyAll([configMap(namespace, "contested", { a: "1" })]);
  const found = await look(objectCall(), itemOf(configMap(namespace, "contested", { a: "2" })));
  await bed.edit(mapPath("contested"), { data: { b: "theirs" } }, "tuner");
  const { action } = await write(objectCall(), itemOf(configMap(namespace, "contested", { a: "2" })), found);
  assert.equal(action, "configured");
  assert.deepEqual((await bed.read(mapPath("contested")))["data"], { a: "2", b: "theirs" });
});

test("[AP14] an object deleted between dry-run and write is created", async () => {
  await applyAll([configMap(namespace, "vanishing")]);
  const item = itemOf(configMap(namespace, "vanishing"));
  const found = await look(objectCall(), item);
  await bed.client.request({ method: "DELETE", path: mapPath("vanishing") });
  assert.equal((await write(objectCall(), item, found)).action, "created");
});

test("[AP13] an object that somebody created between dry-run and write is looked at again, not overwritten blindly", async () => {
  const item = itemOf(configMap(namespace, "raced", { a: "1" }));
  const found = await look(objectCall(), item);
  assert.equal(found.next, "create");
  await applyAll([configMap(namespace, "raced", { a: "2" })]);
  let asked = 0;
  const { action } = await write({ ...objectCall(), guard: () => void asked++ }, item, found);
  assert.deepEqual([action, asked], ["configured", 2]);
});

test("[AP14] an object that never holds still ends in ApplyConflict", async () => {
  await applyAll([configMap(namespace, "restless")]);
  const item = itemOf(configMap(namespace, "restless", { a: "2" }));
  const restless = { ...objectCall(), guard: () => undefined };
  const slip = async () => void (await bed.edit(mapPath("restless"), { data: { n: randomBytes(4).toString("hex") } }));
  const client = { ...bed.client, request: async <T>(request: Parameters<Bed["client"]["request"]>[0]) => {
    if (request.method === "PATCH" && !request.query?.["dryRun"]) await slip();
    return bed.client.request<T>(request);
  } };
  restless.cluster = { ...bed.handle, client };
  await assert.rejects(look(restless, item).then((found) => write(restless, item, found)), { code: "ApplyConflict", subject: `ConfigMap/${namespace}/restless` });
});

const faults: { name: string; objects: () => KubeObject[]; code: string; detail: RegExp }[] = [
  { name: "no such kind", objects: () => [custom("absent.example.com", namespace, "x")], code: "KindUnknown", detail: /^no matches for kind "Widget" in version "absent\.example\.com\/v1"$/ },
  { name: "no such namespace", objects: () => [configMap("not-there", "x")], code: "NamespaceMissing", detail: /namespaces "not-there" not found/ },
  { name: "no namespace given", objects: () => [{ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "x" } }], code: "NamespaceUnspecified", detail: /namespace not specified/ },
  { name: "an unknown field", objects: () => [{ ...configMap(namespace, "x"), wrong: 1 }], code: "ObjectInvalid", detail: /dry-run failed.*wrong/ },
  { name: "an invalid value", objects: () => [deployment(namespace, "x", "app", -1)], code: "ObjectInvalid", detail: /dry-run failed \(Invalid\): .*must be greater than or equal to 0/ },
];
for (const { name, objects, code, detail } of faults)
  test(`[${code === "KindUnknown" ? "AP21" : "AP22"}] ${name}: ${code}`, async () => {
    const { fault } = await applyAll(objects());
    assert.equal(fault?.code, code);
    assert.match(fault?.detail ?? "", detail);
  });

test("[AP22] an account without the right gets ObjectForbidden, and the server's words", async () => {
  const client = bed.client.as("system:serviceaccount:default:nobody");
  const { fault } = await applyAll([configMap(namespace, "x")], { cluster: { ...bed.handle, client } });
  assert.equal(fault?.code, "ObjectForbidden");
  assert.match(fault?.detail ?? "", /nobody" cannot patch resource "configmaps"/);
});

test("[AP23] a refused Secret's contents are in no message", async () => {
  const secret = (data: object) => ({ apiVersion: "v1", kind: "Secret", metadata: { name: "s", namespace }, ...data }) as KubeObject;
  const refused = [{ data: { password: "hunter2-in-plain" } }, { data: { password: 12345678 } }, { type: "kubernetes.io/tls", stringData: { "tls.crt": "hunter2-in-plain" } }];
  for (const data of refused) {
    const { fault } = await applyAll([secret(data)]);
    assert.equal(fault?.code, "ObjectInvalid");
    assert.doesNotMatch(JSON.stringify(fault), /hunter2|12345678|aHVudGVy/);
  }
});

test("[AP22] an immutable field without force is ObjectImmutable", async () => {
  const fixed = { ...configMap(namespace, "fixed", { a: "1" }), immutable: true };
  await applyAll([fixed]);
  const { fault } = await applyAll([{ ...fixed, data: { a: "2" } }], { scope: "all" });
  assert.deepEqual([fault?.code, /immutable/.test(fault?.detail ?? "")], ["ObjectImmutable", true]);
});

test("[AP20] with force an immutable object is created anew", async () => {
  const fixed = { ...configMap(namespace, "forced", { a: "1" }), immutable: true };
  const before = await applyAll([fixed]);
  const outcome = await applyAll([{ ...fixed, data: { a: "2" } }], { force: true });
  assert.equal(actions(outcome)[idOf("forced")], "created");
  assert.notEqual(outcome.entries[0]?.uid, before.entries[0]?.uid);
  assert.deepEqual((await bed.read(mapPath("forced")))["data"], { a: "2" });
});

test("[AP20] with force an object whose successor is refused as well stays", async () => {
  const { entries } = await applyAll([deployment(namespace, "stays")]);
  const { fault } = await applyAll([deployment(namespace, "stays", "app", -1)], { force: true });
  assert.equal(fault?.code, "ObjectInvalid");
  assert.equal((await bed.read(`/apis/apps/v1/namespaces/${namespace}/deployments/stays`)).metadata.uid, entries[0]?.uid);
});

test("[AP20] the annotation forces one object, for a change that is refused without the word immutable", async () => {
  const spec = (serviceName: string) => ({
    serviceName, replicas: 0, selector: { matchLabels: { app: "sts" } },
    template: { metadata: { labels: { app: "sts" } }, spec: { containers: [{ name: "app", image: "app" }] } },
  });
  const set = (serviceName: string): KubeObject => ({
    apiVersion: "apps/v1", kind: "StatefulSet", spec: spec(serviceName),
    metadata: { name: "sts", namespace, annotations: { "kustomize.toolkit.fluxcd.io/force": "Enabled" } },
  });
  await applyAll([set("one")]);
  assert.equal(actions(await applyAll([set("two")]))[`${namespace}_sts_apps_StatefulSet`], "created");
});

test("[AP7] an object whose live annotation says so is left alone, and stays in the inventory", async () => {
  const { entries } = await applyAll([configMap(namespace, "paused", { a: "1" })]);
  await bed.edit(mapPath("paused"), { metadata: { annotations: { "kustomize.toolkit.fluxcd.io/reconcile": "disabled" } }, data: { a: "theirs" } });
  const outcome = await applyAll([configMap(namespace, "paused", { a: "2" })], { inventory: entries });
  assert.equal(actions(outcome)[idOf("paused")], "skipped");
  assert.deepEqual(outcome.entries.map(({ id }) => id), [idOf("paused")]);
  assert.deepEqual((await bed.read(mapPath("paused")))["data"], { a: "theirs" });
});

test("[AP8] IfNotPresent creates and never changes", async () => {
  const once = (data: Record<string, string>) => {
    const object = configMap(namespace, "once", data);
    return { ...object, metadata: { ...object.metadata, annotations: { "kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent" } } };
  };
  assert.equal(actions(await applyAll([once({ a: "1" })]))[idOf("once")], "created");
  assert.equal(actions(await applyAll([once({ a: "2" })]))[idOf("once")], "skipped");
  assert.deepEqual((await bed.read(mapPath("once")))["data"], { a: "1" });
});

test("[AP6] every object is reported once, and its span lies in the time of the apply", async () => {
  const spans: { id: string; startMs: number; endMs: number }[] = [];
  const objects = ["x", "y"].map((name) => configMap(namespace, `span-${name}`));
  const beganMs = Date.now() - 1;
  await applyAll(objects, { scope: "all", onObject: (id, _action, startMs, endMs) => spans.push({ id, startMs, endMs }) });
  assert.deepEqual(spans.map(({ id }) => id).sort(), [idOf("span-x"), idOf("span-y")]);
  for (const { startMs, endMs } of spans) assert.ok(beganMs <= startMs && startMs <= endMs && endMs <= Date.now() + 1);
});

const objectCall = () => ({
  cluster: bed.handle, force: false, guard: () => {}, signal: bed.stop.signal, traceparent: () => undefined, known: () => undefined, fresh: new Set<string>(),
});

function itemOf(object: KubeObject) {
  const labelled = { ...object, metadata: { ...object.metadata, labels: { [labels.ownerName]: owner.name, [labels.ownerNamespace]: owner.namespace } } };
  return { id: idOf(object.metadata.name), v: "v1", digest: rendered(object).digest, payload: labelled, whole: false };
}

/** The server's clock has to leave the second of the write: only then does an equal time mean that nothing was written. */
const serverPast = (timeS: number) =>
  eventually("the server's clock goes on", async () => (await bed.client.request({ method: "GET", path: "/version" })).serverMs >= timeS * 1000 + 2_000);
