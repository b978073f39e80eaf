/** The hub's own objects: followed, patched, reported on; against a real API server. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { cluster } from "../../test/kit/cluster.ts";
import { apply } from "./apply.ts";
import { installCrds } from "./crds.ts";
import { createDiscovery } from "./discovery.ts";
import { followHub, type HubKind } from "./hub.ts";
import { getSecret, patchMetadata, patchStatus, postEvent, type HubRef, type WriteContext } from "./objects.ts";
import { FluxView } from "../worker/feed/flux-view.ts";
import { configMap, custom, definition, openBed, type Bed } from "./sample-objects.ts";

const group = `kustomize.g${randomBytes(3).toString("hex")}.example.com`;
const kind: HubKind = { group, version: "v1", kind: "Unit", plural: "units" };
const heard: string[] = [];
let bed: Bed;
let namespace: string;
const held = new Map<string, KubeObject>();
before(async () => {
  const real = await cluster();
  namespace = await real.namespace("hub");
  bed = await openBed(real.kubeconfig);
  assert.deepEqual(await installCrds(bed.handle, [definition(group, kind.kind)], () => {}, bed.stop.signal), [`units.${group}`]);
  followHub(bed.client, [kind], {
    changed: (_, object) => {
      held.set(object.metadata.name, object);
      heard.push(`changed ${object.metadata.name}`);
    },
    deleted: (_, { namespace: where, name }) => {
      held.delete(name);
      heard.push(`deleted ${where}/${name}`);
    },
    synced: () => void heard.push("synced"),
  }, bed.stop.signal);
  await eventually("all is told", () => heard.includes("synced"));
});
after(() => bed.close());

const context: WriteContext = { guard: () => {} };
const refOf = (name: string): HubRef => ({ ...kind, namespace, name });
const unitPath = (name = "") => `/apis/${group}/v1/namespaces/${namespace}/units${name && `/${name}`}`;
const create = async (name: string) =>
  (await bed.client.request<KubeObject>({ method: "POST", path: unitPath(), body: custom(group, namespace, name, kind.kind) })).body;
const at = ({ metadata: { uid = "", resourceVersion = "" } }: KubeObject) => ({ uid, resourceVersion });
const lost = { guard: () => { throw new Fault("LeaseLost", "partition 7"); } };

test("[AP44] objects are told as they change, without what nobody reads, and so are their ends", async () => {
  await create("followed");
  await eventually("the object is told", () => heard.includes("changed followed"));
  const told = held.get("followed");
  assert.deepEqual([told?.kind, told?.apiVersion, told?.metadata.managedFields], ["Unit", `${group}/v1`, undefined]);
  await bed.client.request({ method: "DELETE", path: unitPath("followed") });
  await eventually("the deletion is told", () => heard.includes(`deleted ${namespace}/followed`));
  assert.equal(held.has("followed"), false);
});

test("[AP44] a view never goes back behind our own writes", async () => {
  const key = { kind: "unit", namespace, name: "taken" };
  const view = new FluxView();
  const versionOf = () => view.get(key)?.metadata.resourceVersion;
  let object = await create("taken");
  await eventually("the object is told", () => held.has("taken"));
  for (let round = 0; round < 20; round++) {
    object = await patchStatus(bed.client, refOf("taken"), { round }, at(object), context);
    view.wrote(key, object);
    view.put(key, JSON.stringify(held.get("taken")));
    assert.deepEqual(view.get(key)?.["status"], { round });
  }
  const foreign = await bed.edit(unitPath("taken"), { spec: { size: 9 } });
  await eventually("the foreign change is told", () => held.get("taken")?.metadata.resourceVersion === foreign.metadata.resourceVersion);
  view.put(key, JSON.stringify(held.get("taken")));
  assert.equal(versionOf(), foreign.metadata.resourceVersion);
});

test("[AP41] finalizers and status are written under the version that was read", async () => {
  const first = await create("patched");
  const held = await patchMetadata(bed.client, refOf("patched"), { finalizers: ["finalizers.fluxcd.io"] }, at(first), context);
  assert.deepEqual(held.metadata.finalizers, ["finalizers.fluxcd.io"]);
  await assert.rejects(patchStatus(bed.client, refOf("patched"), { a: 1 }, at(first), context), { code: "ApplyConflict", subject: `Unit/${namespace}/patched` });
  const told = await patchStatus(bed.client, refOf("patched"), { a: 1, b: 2 }, at(held), context);
  const next = await patchStatus(bed.client, refOf("patched"), { b: null }, at(told), context);
  assert.deepEqual(next["status"], { a: 1 });
  assert.deepEqual(next.metadata.managedFields?.map(({ manager }) => manager).filter((name) => name !== "flotilla").sort(), ["gotk-kustomize-controller", "gotk-kustomize-controller"]);

  await assert.rejects(patchStatus(bed.client, refOf("patched"), { a: 2 }, at(next), lost), { code: "LeaseLost" });
  await bed.client.request({ method: "DELETE", path: unitPath("patched") });
  const leaving = await bed.read(unitPath("patched"));
  await patchMetadata(bed.client, refOf("patched"), { finalizers: [] }, at(leaving), context);
  await assert.rejects(patchStatus(bed.client, refOf("patched"), { a: 2 }, at(leaving), context), { code: "ObjectGone" });
});

test("[AP41] another object of the same name is not written", async () => {
  const first = await create("reborn");
  await bed.client.request({ method: "DELETE", path: unitPath("reborn") });
  await create("reborn");
  await assert.rejects(patchStatus(bed.client, refOf("reborn"), { a: 1 }, at(first), context), { code: "ApplyConflict" });
  await assert.rejects(patchMetadata(bed.client, refOf("reborn"), { finalizers: [] }, at(first), context), { code: "ApplyConflict" });
});

test("[AP42] an event shows where a Flux user looks for it, however long its message", async () => {
  const object = await create("reported");
  const notice = { type: "Warning" as const, reason: "BuildFailed", message: `${"x".repeat(1020)}€€€`, metadata: { revision: "main@sha1:abc" } };
  await postEvent(bed.client, refOf("reported"), object, notice, "worker-1", context);
  const { body } = await bed.client.request<{ items: Record<string, unknown>[] }>({
    method: "GET", path: `/api/v1/namespaces/${namespace}/events`, query: { fieldSelector: "involvedObject.name=reported" },
  });
  const event = body.items[0] ?? {};
  const message = event["message"] as string;
  assert.deepEqual([Buffer.byteLength(message) <= 1024, message.endsWith("x..."), event["type"], event["reason"]], [true, true, "Warning", "BuildFailed"]);
  assert.deepEqual([event["reportingComponent"], event["source"]], ["kustomize-controller", { component: "kustomize-controller" }]);
  assert.deepEqual((event["metadata"] as KubeObject["metadata"]).annotations, { [`${group}/revision`]: "main@sha1:abc" });
  await assert.rejects(postEvent(bed.client, refOf("reported"), object, notice, "worker-1", lost), { code: "LeaseLost" });
});

test("[AP41] a Secret is read as bytes; a missing one is named", async () => {
  const body = { apiVersion: "v1", kind: "Secret", metadata: { name: "git" }, stringData: { password: "pässword" } };
  await bed.client.request({ method: "POST", path: `/api/v1/namespaces/${namespace}/secrets`, body });
  assert.equal(Buffer.from((await getSecret(bed.client, namespace, "git"))["password"] ?? []).toString(), "pässword");
  await assert.rejects(getSecret(bed.client, namespace, "none"), { code: "SecretMissing", subject: `Secret/${namespace}/none` });
});

for (const name of ["..", ".", "a/../../kube-system/secrets/b", "a%2fb", "git/status"])
  test(`[AP45] the name ${name} leads nowhere`, async () => {
    bed.seen.length = 0;
    await assert.rejects(getSecret(bed.client, namespace, name), { code: "ObjectInvalid" });
    await assert.rejects(getSecret(bed.client, name, "git"), { code: "ObjectInvalid" });
    const { fault } = await apply(bed.call({ name: "a", namespace }, [configMap(namespace, name), configMap(name, "a")]));
    assert.equal(fault?.code, "ObjectInvalid");
    assert.deepEqual(bed.seen.filter(({ resource }) => resource !== "discovery"), []);
  });

for (const apiVersion of ["../../api/v1/secrets", "x/v1/namespaces", "g/v1?x=1", "..", "v1/../x", ""])
  test(`[AP45] the version "${apiVersion}" asks for nothing`, async () => {
    await bed.handle.discovery.known("v1", "ConfigMap");
    bed.seen.length = 0;
    await assert.rejects(bed.handle.discovery.find(apiVersion, "Widget"), { code: "KindUnknown" });
    assert.deepEqual(bed.seen, []);
  });

test("[AP43] a definition that is there stays as it is", async () => {
  const other = definition(group, kind.kind);
  (other["spec"] as { names: { shortNames?: string[] } }).names.shortNames = ["un"];
  const before = await bed.read(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/units.${group}`);
  assert.deepEqual(await installCrds(bed.handle, [other], lost.guard, bed.stop.signal), []);
  const now = await bed.read(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/units.${group}`);
  assert.equal(now.metadata.resourceVersion, before.metadata.resourceVersion);
});

test("[AP40] all kinds are found by two requests, a new one by one more, a missing one not twice within 3 s", async () => {
  let nowMs = 0;
  const discovery = createDiscovery(bed.client, () => nowMs);
  bed.seen.length = 0;
  await Promise.all(["ConfigMap", "Secret", "Namespace"].map((name) => discovery.find("v1", name)));
  const deployments = await discovery.find("apps/v1", "Deployment");
  assert.deepEqual([deployments.plural, deployments.namespaced, bed.seen.length], ["deployments", true, 2]);

  const late = `late.${group}`;
  const missing = () => assert.rejects(discovery.find(`${late}/v1`, "Widget"), { code: "KindUnknown" });
  await missing();
  await missing();
  assert.equal(bed.seen.length, 3);
  await installCrds(bed.handle, [definition(late)], () => {}, bed.stop.signal);
  await missing();
  nowMs += 3_000;
  assert.equal((await discovery.find(`${late}/v1`, "Widget")).plural, "widgets");
  assert.equal((await discovery.preferred(late, "Widget", "v1alpha1")).apiVersion, `${late}/v1`);
});
