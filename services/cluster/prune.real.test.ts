/** Deletion of what is no longer rendered, against a real API server. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import type { InventoryEntry } from "#protocol/messages/kustomization.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { cluster } from "../../test/kit/cluster.ts";
import { apply } from "./apply.ts";
import { prune, waitTermination, type PruneCall } from "./prune.ts";
import { configMap, openBed, type Bed } from "./sample-objects.ts";

let bed: Bed;
let namespace: string;
before(async () => {
  const real = await cluster();
  namespace = await real.namespace("prune");
  bed = await openBed(real.kubeconfig);
});
after(() => bed.close());

const owner = { name: "apps", namespace: "flux-system" };
const mapPath = (name: string) => `/api/v1/namespaces/${namespace}/configmaps/${name}`;
const entriesOf = async (...objects: KubeObject[]): Promise<InventoryEntry[]> => (await apply(bed.call(owner, objects, { scope: "all" }))).entries;
const pruneAll = (entries: InventoryEntry[], more: Partial<PruneCall> = {}) =>
  prune({ cluster: bed.handle, owner, entries, guard: () => {}, signal: bed.stop.signal, ...more });
const exists = (name: string) => bed.read(mapPath(name)).then(() => true, () => false);

test("[AP26] what we applied is deleted; what somebody took over is let go of", async () => {
  const entries = await entriesOf(configMap(namespace, "ours"), configMap(namespace, "theirs"), configMap(namespace, "kept"));
  await bed.edit(mapPath("theirs"), { metadata: { labels: { "kustomize.toolkit.fluxcd.io/name": "other" } } });
  await bed.edit(mapPath("kept"), { metadata: { annotations: { "kustomize.toolkit.fluxcd.io/prune": "disabled" } } });
  const report = await pruneAll(entries);
  assert.deepEqual([report.deleted, report.left, report.fault], [[`${namespace}_ours__ConfigMap`], [], undefined]);
  assert.deepEqual(report.skipped.sort(), [`${namespace}_kept__ConfigMap`, `${namespace}_theirs__ConfigMap`]);
  assert.deepEqual(await Promise.all(["ours", "theirs", "kept"].map(exists)), [false, true, true]);
});

test("[AP28] what is gone already, and what the cluster has no kind for, count as deleted", async () => {
  const entries = await entriesOf(configMap(namespace, "gone"));
  await bed.client.request({ method: "DELETE", path: mapPath("gone") });
  const unknown = { ...(entries[0] as InventoryEntry), id: `${namespace}_x_absent.example.com_Widget` };
  const report = await pruneAll([...entries, unknown]);
  assert.deepEqual([report.deleted.length, report.left, report.fault], [2, [], undefined]);
});

test("[AP25] kinds go in the reverse of the order of apply", async () => {
  const service = { apiVersion: "v1", kind: "Service", metadata: { name: "s", namespace }, spec: { ports: [{ port: 80 }] } };
  const account = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "s", namespace } };
  const order: string[] = [];
  await pruneAll(await entriesOf(account, configMap(namespace, "s"), service), { onObject: (id) => order.push(id.split("_").at(-1) ?? "") });
  assert.deepEqual(order, ["Service", "ConfigMap", "ServiceAccount"]);
});

test("[AP27] an object that opts out between the look and the deletion stays", async () => {
  const entries = await entriesOf(configMap(namespace, "late"));
  let raced = false;
  const client = { ...bed.client, request: async <T>(request: Parameters<Bed["client"]["request"]>[0]) => {
    if (request.method === "DELETE" && !raced) {
      raced = true;
      await bed.edit(mapPath("late"), { metadata: { annotations: { "kustomize.toolkit.fluxcd.io/prune": "disabled" } } });
    }
    return bed.client.request<T>(request);
  } };
  const report = await pruneAll(entries, { cluster: { ...bed.handle, client } });
  assert.deepEqual([report.skipped, await exists("late")], [[`${namespace}_late__ConfigMap`], true]);
});

test("[AP29] what may not be deleted stays in the inventory, with the server's words", async () => {
  const entries = await entriesOf(configMap(namespace, "forbidden"));
  const nobody = bed.client.as("system:serviceaccount:default:nobody");
  const client = { ...bed.client, request: <T>(request: Parameters<Bed["client"]["request"]>[0]) =>
    (request.method === "DELETE" ? nobody : bed.client).request<T>(request) };
  const report = await pruneAll(entries, { cluster: { ...bed.handle, client } });
  assert.deepEqual([report.left, report.deleted, report.fault?.code], [entries, [], "PruneFailed"]);
  assert.match(report.fault?.detail ?? "", /ConfigMap\/prune-\w+\/forbidden delete failed \(Forbidden\): .*cannot delete/);
});

test("[AP16] a fence that refuses deletes nothing", async () => {
  const entries = await entriesOf(configMap(namespace, "fenced"));
  const guard = () => {
    throw new Fault("LeaseLost", "partition 7");
  };
  const report = await pruneAll(entries, { guard });
  assert.deepEqual([report.fault?.code, report.left, await exists("fenced")], ["LeaseLost", entries, true]);
});

test("[AP30] termination is waited for, finalizers and all, but not for ever", async () => {
  const entries = await entriesOf(configMap(namespace, "lingering"), configMap(namespace, "quick"));
  await bed.edit(mapPath("lingering"), { metadata: { finalizers: ["example.com/hold"] } });
  const { deleted } = await pruneAll(entries);
  assert.equal(deleted.length, 2);
  const waited = await waitTermination({ cluster: bed.handle, signal: bed.stop.signal }, deleted, 0);
  assert.deepEqual(waited, [`${namespace}_lingering__ConfigMap`]);
  await bed.edit(mapPath("lingering"), { metadata: { finalizers: null } });
  assert.deepEqual(await waitTermination({ cluster: bed.handle, signal: bed.stop.signal }, deleted, 30_000), []);
});
