/** Hooks and tests of a release, with the controllers that run Jobs and Pods. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually } from "../../deploy/local/eventually.ts";
import { tool } from "../../deploy/local/tools.ts";
import { cluster, type Cluster } from "../../test/kit/cluster.ts";
import type { Hook } from "./document.ts";
import { make } from "./make.ts";
import { composition, configMap, hook, job, openBed, placeIn, usual, type Bed } from "./sample-release.ts";
import { readRevision } from "./storage.ts";
import { testRelease } from "./test-release.ts";
import { uninstall } from "./uninstall.ts";

let real: Cluster;
let bed: Bed;
let namespace: string;
before(async () => {
  real = await cluster();
  bed = await openBed(real.kubeconfig, await tool("helm"));
  namespace = await real.namespace("hooks");
});
after(() => bed.close());

const install = (name: string, hooks: Hook[], timeoutMs = 60_000, objects: object[] = [configMap(name)]) =>
  make(bed.call(placeIn(namespace, name)), { action: "install", version: 1, composition: composition(objects, { hooks }), definitions: { files: [], policy: "Create" }, createNamespace: false }, { ...usual, timeoutMs });
const jobPath = (name: string) => `/apis/batch/v1/namespaces/${namespace}/jobs/${name}`;
const mapPath = (name: string) => `/api/v1/namespaces/${namespace}/configmaps/${name}`;
const phases = async (name: string) => Object.fromEntries(((await readRevision(bed.call(placeIn(namespace, name)), 1))?.document.hooks ?? []).map((each) => [each.name, each.last_run.phase]));
const removal = { timeoutMs: 10_000, hooks: true, wait: "poller", keepHistory: false, propagation: "background" } as const;

test("[RL30] hooks run one after the other, by weight and then by name, before the objects and after them", async () => {
  const events = ["pre-install", "post-install"];
  const hooks = [hook(job("h-b"), ["pre-install"], { weight: 1 }), hook(job("h-a"), ["pre-install"], { weight: 1 }), hook(job("h-first"), ["pre-install"], { weight: -5 }), hook(configMap("h-map"), events), hook(job("h-z"), ["post-install"])];
  const acted = await install("ordered", hooks);
  assert.equal(acted.fault, undefined);
  assert.deepEqual(acted.changes.map(({ id }) => id.split("_")[1]), ["h-first", "h-map", "h-a", "h-b", "ordered", "h-map", "h-z"]);
  const runs = (await readRevision(bed.call(placeIn(namespace, "ordered")), 1))?.document.hooks ?? [];
  assert.ok(runs.every(({ last_run: { phase, started_at, completed_at } }) => phase === "Succeeded" && started_at && completed_at));
});

test("[RL31] a hook goes before it is made anew, and after it by its policies", async () => {
  const hooks = (tag: string) => [hook(job("again", `registry.example/job:${tag}`), ["pre-install", "pre-upgrade"]), hook(job("passing"), ["pre-install"], { delete_policies: ["hook-succeeded"] })];
  await install("policies", hooks("1"));
  const uid = (await bed.read(jobPath("again")))?.metadata.uid;
  assert.ok(uid, "before-hook-creation is what holds when nothing is said");
  assert.equal(await bed.read(jobPath("passing")), undefined);
  const acted = await make(bed.call(placeIn(namespace, "policies")), { action: "upgrade", version: 2, composition: composition([configMap("policies")], { hooks: hooks("2") }), definitions: { files: [], policy: "Create" }, createNamespace: false }, usual);
  assert.equal(acted.fault, undefined);
  assert.notEqual((await bed.read(jobPath("again")))?.metadata.uid, uid);
});

test("[RL32] a hook that fails, or never ends, fails the revision before its objects are applied", async () => {
  const pod = (name: string) => ({ apiVersion: "v1", kind: "Pod", metadata: { name }, spec: { restartPolicy: "Never", containers: [{ name: "c", image: "registry.example/job:missing" }] } });
  const acted = await install("ending", [hook(job("well"), ["pre-install"], { weight: -1, delete_policies: ["hook-succeeded"] }), hook(pod("endless"), ["pre-install"], { delete_policies: ["hook-failed"], output_log_policies: ["hook-failed"] })], 3_000);
  assert.equal(acted.fault?.code, "HookFailed");
  assert.match(acted.fault.detail ?? "", /^pre-install hook shop\/templates\/endless.yaml failed: health check failed after 3s: timeout waiting for: \[Pod\/[^ ]+\/endless status: 'InProgress'\]/);
  assert.equal(await bed.read(mapPath("ending")), undefined);
  assert.deepEqual(await phases("ending"), { well: "Succeeded", endless: "Failed" });
  assert.equal(await bed.read(`/api/v1/namespaces/${namespace}/pods/endless`), undefined, "hook-failed");
  assert.equal(await bed.read(jobPath("well")), undefined, "hook-succeeded of those before it");
  assert.deepEqual(acted.hookLogs, ["POD LOGS: endless (c)\ncannot be read"]);
  const info = (await readRevision(bed.call(placeIn(namespace, "ending")), 1))?.document.info;
  assert.match(info?.description ?? "", /^Release "ending" failed: pre-install hook/);
});

test("[RL32] a Pod that ends badly fails its hook at once", async () => {
  const running = install("bad-pod", [hook({ apiVersion: "v1", kind: "Pod", metadata: { name: "bad" }, spec: { nodeName: "nowhere", restartPolicy: "Never", containers: [{ name: "c", image: "x" }] } }, ["pre-install"])]);
  const path = `/api/v1/namespaces/${namespace}/pods/bad`;
  await eventually("the pod", () => bed.read(path));
  await bed.client.request({ method: "PATCH", path: `${path}/status`, contentType: "application/merge-patch+json", body: { status: { phase: "Failed" } } });
  const acted = await running;
  assert.match(acted.fault?.detail ?? "", /failed early due to stalled resources: \[Pod\/[^ ]+\/bad status: 'Failed'\]/);
});

test("[RL33] tests run where they are selected, say what each came to, and leave the other hooks alone", async () => {
  await install("tested", [hook(job("t-one"), ["test"]), hook(job("t-two"), ["test"]), hook(job("t-three", "registry.example/job:missing"), ["test"]), hook(job("t-other"), ["pre-install"])]);
  const run = (filters: { name: string; exclude?: boolean }[], timeoutMs = 60_000) => testRelease(bed.call(placeIn(namespace, "tested")), 1, { timeoutMs, filters });
  const some = await run([{ name: "t-three", exclude: true }]);
  assert.equal(some.fault, undefined);
  assert.deepEqual(Object.entries(some.testHooks ?? {}).map(([name, { phase }]) => [name, phase]), [["t-one", "Succeeded"], ["t-two", "Succeeded"]]);
  assert.ok(some.testHooks?.["t-one"]?.lastStarted && some.testHooks["t-one"].lastCompleted);
  const one = await run([{ name: "t-three" }], 2_000);
  assert.equal(one.fault?.code, "HookFailed");
  assert.deepEqual(Object.entries(one.testHooks ?? {}).map(([name, { phase }]) => [name, phase]), [["t-three", "Failed"]]);
  assert.deepEqual(await phases("tested"), { "t-one": "Succeeded", "t-two": "Succeeded", "t-three": "Failed", "t-other": "Succeeded" });
  assert.equal((await readRevision(bed.call(placeIn(namespace, "tested")), 1))?.document.info.status, "deployed");
  assert.match(await bed.helm(["status", "tested", "-n", namespace]), /TEST SUITE: +t-one\n/);
});

test("[RL34] hooks of a deletion run before the objects go and after; one that fails before keeps the release", async () => {
  await install("leaving", [hook(job("d-before", "registry.example/job:missing"), ["pre-delete"]), hook(job("d-after"), ["post-delete"])]);
  const call = bed.call(placeIn(namespace, "leaving"));
  const failed = await uninstall(call, 1, { ...removal, timeoutMs: 2_000 });
  assert.equal(failed.fault?.code, "HookFailed");
  assert.notEqual(await bed.read(mapPath("leaving")), undefined);
  assert.equal((await readRevision(call, 1))?.document.info.status, "uninstalling");
  const uid = (await bed.read(jobPath("d-before")))?.metadata.uid;
  const again = await uninstall(call, 1, { ...removal, timeoutMs: 2_000 });
  assert.equal(again.fault?.code, "HookFailed");
  assert.notEqual((await bed.read(jobPath("d-before")))?.metadata.uid, uid, "whoever tries again runs it again");
  const acted = await uninstall(bed.call(placeIn(namespace, "leaving")), 1, { ...removal, hooks: false });
  assert.equal(acted.fault, undefined);
  assert.equal(await bed.read(mapPath("leaving")), undefined);
  assert.equal(await readRevision(call, 1), undefined);
});

test("[RL35] a hook that brings a definition is never deleted", async () => {
  const group = `${namespace}.example`;
  const crd = { apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", metadata: { name: `gears.${group}` }, spec: { group, scope: "Namespaced", names: { kind: "Gear", plural: "gears", singular: "gear", listKind: "GearList" }, versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } }] } };
  const acted = await install("defining", [hook(crd, ["pre-install"], { delete_policies: ["before-hook-creation", "hook-succeeded"] })]);
  assert.equal(acted.fault, undefined);
  assert.notEqual(await bed.read(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gears.${group}`), undefined);
});
