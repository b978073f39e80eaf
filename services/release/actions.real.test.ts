/** Install, upgrade, rollback and uninstall on a real API server, with controllers that run Jobs and Pods. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { annotations, fieldManagers, helm, labels } from "#protocol/api/annotations.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { cluster, type Cluster } from "../../test/kit/cluster.ts";
import type { MakeOptions } from "./call.ts";
import { make, type ChartDefinitions, type Composition } from "./make.ts";
import { composition, configMap, deployment, document, job, openBed, placeIn, usual, type Bed } from "./sample-release.ts";
import { listRevisions, readRevision } from "./storage.ts";
import { uninstall } from "./uninstall.ts";

let real: Cluster;
let bed: Bed;
let namespace: string;
before(async () => {
  real = await cluster();
  bed = await openBed(real.kubeconfig);
  namespace = await real.namespace("actions");
});
after(() => bed.close());

const none: ChartDefinitions = { files: [], policy: "Create" };
const made = (name: string, version: number, contents: Composition, options: Partial<MakeOptions> = {}, definitions = none) =>
  make(bed.call(placeIn(namespace, name)), { action: version === 1 ? "install" : "upgrade", version, composition: contents, definitions, createNamespace: false }, { ...usual, ...options });
const mapPath = (name: string) => `/api/v1/namespaces/${namespace}/configmaps/${name}`;
const removal = { timeoutMs: 60_000, hooks: true, wait: "poller", keepHistory: false, propagation: "background" } as const;
const statusOf = async (name: string, version: number) => (await readRevision(bed.call(placeIn(namespace, name)), version))?.document.info;

test("[RL6] objects carry Helm's marks and belong to helm-controller; the inventory names them as a Kustomization's does", async () => {
  const acted = await made("marks", 1, composition([configMap("marks", { a: "1" }), { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", metadata: { name: `marks:${namespace}` }, rules: [] }]));
  const live = await bed.read(mapPath("marks"));
  assert.equal(live?.metadata.labels?.[labels.managedBy], "Helm");
  assert.deepEqual([live.metadata.annotations?.[helm.releaseName], live.metadata.annotations?.[helm.releaseNamespace]], ["marks", namespace]);
  assert.deepEqual(live.metadata.managedFields?.map(({ manager, operation }) => [manager, operation]), [[fieldManagers.helm, "Apply"]]);
  assert.deepEqual(acted.entries?.map(({ id, v }) => [id, v]), [[`${namespace}_marks__ConfigMap`, "v1"], [`_marks__${namespace}_rbac.authorization.k8s.io_ClusterRole`, "v1"]]);
  assert.equal(acted.entries?.[0]?.uid, live.metadata.uid);
  await uninstall(bed.call(placeIn(namespace, "marks")), 1, removal);
});

test("[RL7] what left the manifest goes, unless its policy is to be kept or another release has it", async () => {
  const kept = { [annotations.resourcePolicy]: "keep" };
  await made("leaves", 1, composition([configMap("stays"), configMap("leaves"), configMap("kept", {}, kept), configMap("taken")]));
  await bed.edit(mapPath("taken"), { metadata: { annotations: { [helm.releaseName]: "another" } } });
  const acted = await made("leaves", 2, composition([configMap("stays")]));
  assert.deepEqual(acted.changes.filter(({ action }) => action === "deleted").map(({ id }) => id), [`${namespace}_leaves__ConfigMap`]);
  assert.equal(await bed.read(mapPath("leaves")), undefined);
  assert.notEqual(await bed.read(mapPath("kept")), undefined);
  assert.notEqual(await bed.read(mapPath("taken")), undefined);
});

test("[RL26] what failed revisions have made goes with the next that is made, or with the release", async () => {
  const failing = (version: number, ...objects: object[]) => made("strays", version, composition([configMap("strays"), ...objects]), { timeoutMs: 1_000 });
  const refused = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "strays-refused" }, data: { number: 1 } };
  await failing(1);
  assert.equal((await failing(2, configMap("stray-2"), deployment("stray-2", "registry.example/app:missing"))).fault?.code, "HealthCheckFailed");
  assert.notEqual((await failing(3, refused)).fault, undefined);
  assert.notEqual(await bed.read(mapPath("stray-2")), undefined, "the third was refused before anything was written");
  const acted = await failing(4);
  assert.equal(acted.fault, undefined);
  assert.deepEqual(acted.changes.filter(({ action }) => action === "deleted").map(({ id }) => id.split("_").slice(1).join("_")).sort(), ["stray-2__ConfigMap", "stray-2_apps_Deployment"]);
  await failing(5, configMap("stray-5"), deployment("stray-5", "registry.example/app:missing"));
  await failing(6, refused);
  await uninstall(bed.call(placeIn(namespace, "strays")), 6, removal);
  for (const name of ["strays", "stray-2", "stray-5"]) assert.equal(await bed.read(mapPath(name)), undefined, name);
});

test("[RL8] an object that does not become ready is named with its last events, and the revision is failed", async () => {
  await made("late", 1, composition([deployment("late")]));
  const acted = await made("late", 2, composition([deployment("late", "registry.example/app:missing")]), { timeoutMs: 4_000 });
  assert.equal(acted.fault?.code, "HealthCheckFailed");
  assert.match(acted.fault.detail ?? "", /health check failed after 4s: timeout waiting for: \[Deployment\/[^ ]+\/late status: 'InProgress'\].*last events: (?:Deployment|ReplicaSet|Pod)\/late/);
  const info = await statusOf("late", 2);
  assert.equal(info?.status, "failed");
  assert.match(info.description ?? "", /^Upgrade "late" failed: health check failed/);
  assert.equal((await statusOf("late", 1))?.status, "deployed", "what was deployed still is");
});

test("[RL8] a Job that fails ends the wait; where Jobs are not waited for, one that began will do", async () => {
  const never = job("never", "registry.example/job:missing");
  assert.equal((await made("jobs", 1, composition([never]), { timeoutMs: 3_000 })).fault?.code, "HealthCheckFailed");
  assert.equal((await made("jobs", 2, composition([never]), { jobs: false })).fault, undefined);
});

test("[RL8] the rules of Helm 3 wait for a Deployment's newest pods, and not for what they do not know", async () => {
  const contents = (image: string) => composition([deployment("legacy", image), { apiVersion: "v1", kind: "Service", metadata: { name: "legacy" }, spec: { selector: { app: "legacy" }, ports: [{ port: 80 }] } }]);
  assert.equal((await made("legacy", 1, contents("registry.example/app:1"), { wait: "legacy" })).fault, undefined);
  assert.equal((await made("legacy", 2, contents("registry.example/app:2"), { wait: "legacy" })).fault, undefined);
  const late = await made("legacy", 3, contents("registry.example/app:missing"), { wait: "legacy", timeoutMs: 3_000 });
  assert.match(late.fault?.detail ?? "", /Deployment\/[^ ]+\/legacy status: 'InProgress'/);
  assert.equal((await made("legacy", 4, contents("registry.example/app:missing"), { wait: "hooks" })).fault, undefined, "disableWait");
});

test("[RL8] an expression judges what the rules do not know", async () => {
  const call = bed.call(placeIn(namespace, "judged"), {
    judge: (id) => (id.endsWith("_judged__ConfigMap") ? async (object) => ({ status: (object["data"] as { go?: string }).go === "yes" ? "Current" : "InProgress", message: "" }) : undefined),
  });
  const install = make(call, { action: "install", version: 1, composition: composition([configMap("judged", { go: "no" })]), definitions: none, createNamespace: false }, usual);
  await eventually("the object", () => bed.read(mapPath("judged")));
  await bed.edit(mapPath("judged"), { data: { go: "yes" } });
  assert.equal((await install).fault, undefined);
});

test("[RL9] what an upgrade that fails has created is deleted where that is asked for, and nothing else", async () => {
  await made("cleanup", 1, composition([configMap("cleanup")]));
  const acted = await made("cleanup", 2, composition([configMap("cleanup", { v: "2" }), configMap("cleanup-new"), deployment("cleanup-web", "registry.example/app:missing")]), { cleanupOnFail: true, timeoutMs: 2_000 });
  assert.equal(acted.fault?.code, "HealthCheckFailed");
  assert.equal(await bed.read(mapPath("cleanup-new")), undefined);
  assert.deepEqual((await bed.read(mapPath("cleanup")))?.["data"], { v: "2" });
});

test("[RL10] an object of somebody else is taken over, or refused before anything is stored", async () => {
  await bed.client.request({ method: "POST", path: `/api/v1/namespaces/${namespace}/configmaps`, body: configMap("foreign", { theirs: "1" }) });
  const contents = composition([configMap("foreign", { ours: "1" })]);
  await assert.rejects(made("foreign", 1, contents, { takeOwnership: false }), (thrown: Fault) =>
    thrown.code === "ObjectTaken" && /exists and cannot be imported into the current release: invalid ownership metadata; label validation error: missing key "app.kubernetes.io\/managed-by": must be set to "Helm"/.test(thrown.message));
  assert.deepEqual(await listRevisions(bed.call(placeIn(namespace, "foreign"))), []);
  assert.equal((await made("foreign", 1, contents)).fault, undefined);
  assert.deepEqual((await bed.read(mapPath("foreign")))?.["data"], { theirs: "1", ours: "1" });
});

const definition = (group: string, description: string) => ({
  apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", metadata: { name: `widgets.${group}` },
  spec: { group, scope: "Namespaced", names: { kind: "Widget", plural: "widgets", singular: "widget", listKind: "WidgetList" }, versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { description, type: "object", "x-kubernetes-preserve-unknown-fields": true } } }] },
});
const describedAs = async (group: string) => JSON.stringify((await bed.read(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.${group}`))?.["spec"]).match(/"description":"(\w+)"/)?.[1];

test("[RL11] definitions of the chart come first and by policy, are marked with their origin, and outlive the release", async () => {
  const group = `${namespace}.example`;
  const files = (text: string) => [document(definition(group, text)) + document(configMap("stranger"))];
  const contents = composition([{ apiVersion: `${group}/v1`, kind: "Widget", metadata: { name: "widget" }, spec: { size: 1 } }]);
  await assert.rejects(made("defined", 1, contents, {}, { files: files("one"), policy: "Skip" }), (thrown: Fault) => thrown.code === "KindUnknown");
  const acted = await made("defined", 1, contents, {}, { files: files("one"), policy: "Create" });
  assert.equal(acted.fault, undefined);
  assert.ok(acted.entries?.some(({ id }) => id === `_widgets.${group}_apiextensions.k8s.io_CustomResourceDefinition`));
  assert.ok(acted.log.some((line) => /ConfigMap\/stranger/.test(line)));
  assert.equal(await bed.read(mapPath("stranger")), undefined);
  const live = await bed.read(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.${group}`);
  assert.deepEqual([live?.metadata.labels?.[labels.originName], live?.metadata.labels?.[labels.originNamespace]], ["shop", "flux-system"]);
  await made("defined", 2, contents, {}, { files: files("two"), policy: "Create" });
  assert.equal(await describedAs(group), "one");
  await made("defined", 3, contents, {}, { files: files("three"), policy: "CreateReplace" });
  assert.equal(await describedAs(group), "three");
  assert.equal((await uninstall(bed.call(placeIn(namespace, "defined")), 3, removal)).fault, undefined);
  assert.equal(await describedAs(group), "three");
});

test("[RL12] the release's namespace is made where that is asked for, and is left alone where it is there", async () => {
  const place = { name: "spaced", namespace: `${namespace}-made`, storageNamespace: namespace };
  const asked = { action: "install", version: 1, composition: composition([configMap("spaced")]), definitions: none } as const;
  const failed = await make(bed.call(place), { ...asked, createNamespace: false }, usual);
  assert.equal(failed.fault?.code, "NamespaceMissing");
  const second = await make(bed.call(place), { ...asked, action: "upgrade", version: 2, createNamespace: true }, usual);
  assert.equal(second.fault, undefined);
  assert.equal((await bed.read(`/api/v1/namespaces/${place.namespace}`))?.metadata.labels?.["name"], place.namespace);
  await uninstall(bed.call(place), 2, removal);
  assert.notEqual(await bed.read(`/api/v1/namespaces/${place.namespace}`), undefined, "it may hold what is not the release's");
});

test("[RL13] a manifest that cannot be read, or names a kind that is not there, stores nothing", async () => {
  const broken = [{ manifest: "a: [", code: "ManifestInvalid" }, { manifest: document({ kind: "ConfigMap" }), code: "ManifestInvalid" }, { manifest: document({ apiVersion: "nowhere.example/v1", kind: "Thing", metadata: { name: "x" } }), code: "KindUnknown" }];
  for (const { manifest, code } of broken)
    await assert.rejects(made("broken", 1, { ...composition([]), manifest }), (thrown: Fault) => thrown.code === code);
  assert.deepEqual(await listRevisions(bed.call(placeIn(namespace, "broken"))), []);
});

test("[RL14] what the server refuses fails the revision in the server's words, and nothing was written or deleted", async () => {
  await made("refused", 1, composition([configMap("refused-old")]));
  const acted = await made("refused", 2, composition([configMap("refused-new"), { ...deployment("refused"), spec: { replicas: "many" } }]));
  assert.equal(acted.fault?.code, "ObjectInvalid");
  assert.equal((await statusOf("refused", 2))?.status, "failed");
  assert.notEqual(await bed.read(mapPath("refused-old")), undefined);
  assert.equal(await bed.read(mapPath("refused-new")), undefined);
});

test("[RL15] an uninstall keeps what is to be kept, and the history where that is asked for", async () => {
  const call = () => bed.call(placeIn(namespace, "going"));
  await made("going", 1, composition([configMap("going"), configMap("going-kept", {}, { [annotations.resourcePolicy]: "keep" })]));
  const acted = await uninstall(call(), 1, { ...removal, keepHistory: true });
  assert.equal(acted.fault, undefined);
  assert.equal(await bed.read(mapPath("going")), undefined);
  assert.notEqual(await bed.read(mapPath("going-kept")), undefined);
  const info = await statusOf("going", 1);
  assert.deepEqual([info?.status, info?.description], ["uninstalled", "Uninstallation complete"]);
  assert.ok(info?.deleted);
  assert.equal((await uninstall(call(), 1, { ...removal, keepHistory: true })).absent, true);
  assert.equal((await uninstall(call(), 1, removal)).absent, true);
  assert.deepEqual(await listRevisions(call()), []);
  assert.equal((await uninstall(call(), 1, removal)).absent, true);
});

test("[RL15] what a deleted object owns goes, stays or goes first, as asked", async () => {
  const owned = async (propagation: "background" | "orphan") => {
    const name = `owner-${propagation}`;
    await made(name, 1, composition([deployment(name)]));
    await uninstall(bed.call(placeIn(namespace, name)), 1, { ...removal, propagation });
    return name;
  };
  const sets = async (name: string) => ((await bed.client.request<{ items: unknown[] | null }>({ method: "GET", path: `/apis/apps/v1/namespaces/${namespace}/replicasets`, query: { labelSelector: `app=${name}` } })).body.items ?? []).length;
  const gone = await owned("background");
  await eventually("its ReplicaSet is gone", async () => (await sets(gone)) === 0);
  assert.equal(await sets(await owned("orphan")), 1);
});

test("[RL16] a rollback brings back what the revision held, and says of which it is", async () => {
  await made("back", 1, composition([configMap("back", { v: "1" }), configMap("back-first")]));
  await made("back", 2, composition([configMap("back", { v: "2" }), configMap("back-second")]));
  const acted = await make(bed.call(placeIn(namespace, "back")), { action: "rollback", version: 3, to: 1 }, usual);
  assert.equal(acted.fault, undefined);
  assert.deepEqual((await bed.read(mapPath("back")))?.["data"], { v: "1" });
  assert.notEqual(await bed.read(mapPath("back-first")), undefined);
  assert.equal(await bed.read(mapPath("back-second")), undefined);
  assert.deepEqual(acted.written.map(({ document: { version, info: { status, description } } }) => [version, status, description]), [[3, "deployed", "Rollback to 1"], [2, "superseded", "Upgrade complete"]]);
  await assert.rejects(make(bed.call(placeIn(namespace, "back")), { action: "rollback", version: 4, to: 9 }, usual), (thrown: Fault) => thrown.code === "ReleaseMissing");
});

test("[RL17] an action that is called off writes nothing more, and goes on when it is asked for again", async () => {
  const off = new AbortController();
  const place = placeIn(namespace, "called-off");
  const call = bed.call(place, { signal: off.signal });
  const asked = { action: "install", version: 1, composition: composition([deployment("called-off", "registry.example/app:missing")]), definitions: none, createNamespace: false } as const;
  const running = make(call, asked, usual);
  await eventually("the object", () => bed.read(`/apis/apps/v1/namespaces/${namespace}/deployments/called-off`));
  off.abort(new Error("handed over"));
  await assert.rejects(running, /handed over/);
  assert.equal((await statusOf("called-off", 1))?.status, "pending-install");
  const again = await make(bed.call(place, { intent: call.intent }), { ...asked }, { ...usual, timeoutMs: 2_000 });
  assert.equal(again.fault?.code, "HealthCheckFailed");
  const answer = await make(bed.call(place, { intent: call.intent }), asked, usual);
  assert.equal(answer.fault?.code, "ReleaseFailed", "it was settled: nothing is done again");
  await assert.rejects(make(bed.call(place), asked, usual), (thrown: Fault) => thrown.code === "ReleaseChanged");
});

test("[RL62] a field that a custom resource does not have is refused, and the revision is failed", async () => {
  const group = `strict.${namespace}.example.org`;
  const definitions = { files: [JSON.stringify(definition(group, "strict")).replace(',"x-kubernetes-preserve-unknown-fields":true', "")], policy: "Create" as const };
  const widget = (more: object) => composition([{ apiVersion: `${group}/v1`, kind: "Widget", metadata: { name: "strict" }, ...more }]);
  const acted = await made("strict", 1, widget({ nothingLikeIt: 1 }), {}, definitions);
  assert.match(acted.fault?.detail ?? "", /unknown field|not declared in schema/);
  assert.equal((await made("strict", 2, widget({}), {}, definitions)).fault, undefined);
});

test("[RL22] a release is installed anew where one was uninstalled and its history kept, if that is asked for", async () => {
  const call = () => bed.call(placeIn(namespace, "anew"));
  await made("anew", 1, composition([configMap("anew", { v: "1" })]));
  await uninstall(call(), 1, { ...removal, keepHistory: true });
  const again = { action: "install", version: 2, composition: composition([configMap("anew", { v: "2" })]), definitions: none, createNamespace: false } as const;
  await assert.rejects(make(call(), again, usual), (thrown: Fault) => thrown.code === "ReleaseNameTaken" && thrown.detail === "cannot reuse a name that is still in use");
  assert.deepEqual((await listRevisions(call())).map(({ version, status }) => [version, status]), [[1, "uninstalled"]]);
  const acted = await make(call(), again, { ...usual, replace: true });
  assert.equal(acted.fault, undefined);
  assert.deepEqual((await listRevisions(call())).map(({ version, status }) => [version, status]), [[2, "deployed"], [1, "superseded"]]);
  assert.deepEqual((await bed.read(mapPath("anew")))?.["data"], { v: "2" });
});

test("[RL23] of what a release holds no digest is kept: a short password could be guessed from it", async () => {
  const acted = await made("digests", 1, composition([{ apiVersion: "v1", kind: "Secret", metadata: { name: "digests" }, stringData: { password: "1234" } }]));
  assert.deepEqual(acted.entries?.map(({ digest, owned }) => [digest, owned.length]), [["", 16]]);
});
