/** The admission policy against a real API server: what a former owner sends is refused, what the present one sends is not. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { annotations } from "#protocol/api/annotations.ts";
import { kinds } from "#protocol/api/registry.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ApplyOutcome } from "#protocol/messages/kustomization.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { apply } from "#services/cluster/apply.ts";
import { configMap, openBed, type Bed } from "#services/cluster/sample-objects.ts";
import { installCrds } from "#services/cluster/crds.ts";
import { raiseEpoch } from "#services/cluster/touch.ts";
import { cluster, type Cluster } from "../../test/kit/cluster.ts";
import { eventually } from "../local/eventually.ts";

const account = `system:serviceaccount:flux-system:flotilla-${randomBytes(3).toString("hex")}`;
let real: Cluster;
let bed: Bed;
let worker: Bed["handle"];
let namespace: string;
let policy: string;
before(async () => {
  real = await cluster();
  namespace = await real.namespace("policy");
  bed = await openBed(real.kubeconfig);
  // All as in a cluster, but for names of its own: other tests use the same API server.
  const text = await readFile(join(import.meta.dirname, "epoch-fence.yaml"), "utf8");
  policy = text.replaceAll("flux-system:flotilla", account.slice("system:serviceaccount:".length)).replaceAll("namespace: flux-system", `namespace: ${namespace}`)
    .replaceAll("flotilla-epoch-fence", `flotilla-epoch-fence-${namespace}`);
  await real.kubectl(["apply", "--validate=strict", "-f", "-"], policy);
  await real.kubectl(["create", "clusterrolebinding", namespace, "--clusterrole=cluster-admin", `--serviceaccount=${account.slice("system:serviceaccount:".length)}`]);
  worker = { ...bed.handle, client: bed.client.as(account) };
});
after(async () => {
  await real.kubectl(["delete", "--ignore-not-found", "-f", "-"], policy);
  await real.kubectl(["delete", "--ignore-not-found", "clusterrolebinding", namespace]);
  await bed.close();
});

const owner = { name: "apps", namespace: "flux-system" };
const path = (name: string) => `/api/v1/namespaces/${namespace}/configmaps/${name}`;
const epochs = { namespace: "", name: "flotilla-epochs" };
const applyAs = (stamp: string | undefined, object: KubeObject, more: Parameters<Bed["call"]>[2] = {}): Promise<ApplyOutcome> =>
  apply(bed.call(owner, [object], { cluster: worker, stamp, ...more }));
const told = ({ fault, changes }: ApplyOutcome) => fault?.detail ?? changes.map(({ action }) => action).join();
const raise = (partition: number, epoch: number) =>
  raiseEpoch(bed.handle, { ...epochs, namespace }, { partition, epoch }, { guard: () => {}, signal: bed.stop.signal });
const refused = /^apply failed \(Invalid\): .*partition 17 has a newer owner: this write is of epoch 3, and 4 counts/;

test("[FN9] a write of a former epoch is refused, of the present one it is not", async () => {
  assert.equal(told(await applyAs("17:3", configMap(namespace, "before"))), "created");
  await raise(17, 4);
  await eventually("the new epoch counts", async () => refused.test(told(await applyAs("17:3", configMap(namespace, `late-${randomBytes(3).toString("hex")}`)))));
  assert.match(told(await applyAs("17:3", configMap(namespace, "before", { a: "late" }))), refused);
  assert.deepEqual((await bed.read(path("before")))["data"], { greeting: "hello" });
  assert.equal(told(await applyAs("17:4", configMap(namespace, "before", { a: "new" }))), "configured");
  assert.equal(told(await applyAs("17:4", configMap(namespace, "fresh"))), "created");
  assert.equal(told(await applyAs("18:1", configMap(namespace, "elsewhere"))), "created", "another partition has its own epochs");
});

test("[FN9] what carries no stamp, and what is no apply of a unit, is not judged", async () => {
  const unit: KubeObject = {
    apiVersion: "kustomize.toolkit.fluxcd.io/v1", kind: "Kustomization", metadata: { name: "child", namespace },
    spec: { interval: "1h", prune: true, suspend: true, sourceRef: { kind: "GitRepository", name: "none" } },
  };
  await installCrds(bed.handle, kinds.map((kind) => kind.crd() as unknown as KubeObject), () => {}, bed.stop.signal);
  assert.equal(told(await applyAs("21:2", unit)), "created");
  await raise(21, 3);
  await eventually("the new epoch counts", async () => (await applyAs("21:2", configMap(namespace, `any-${randomBytes(3).toString("hex")}`))).fault !== undefined);
  const finalized = (finalizers: string[]) => worker.client.request({
    method: "PATCH", path: `/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/${namespace}/kustomizations/child`,
    query: { fieldManager: "kustomize-controller" }, contentType: "application/merge-patch+json", body: { metadata: { finalizers } },
  });
  assert.equal((await finalized(["example.com/hold"])).code, 200);
  assert.equal((await finalized([])).code, 200);
  assert.equal(told(await applyAs(undefined, configMap(namespace, "plain"))), "created");
});

test("[FN10] an epoch of its own is no reason to write", async () => {
  const object = configMap(namespace, "calm");
  const first = await applyAs("30:1", object);
  assert.equal((await bed.read(path("calm"))).metadata.annotations?.[annotations.epoch], "30:1");
  const { serverMs } = await bed.client.request({ method: "GET", path: "/version" });
  await eventually("the server's clock goes on", async () => (await bed.client.request({ method: "GET", path: "/version" })).serverMs >= serverMs + 3_000);
  const again = await applyAs("30:2", object, { scope: "all" });
  assert.equal(told(again), "unchanged");
  const { metadata } = await bed.read(path("calm"));
  assert.equal(metadata.annotations?.[annotations.epoch], "30:1");
  assert.deepEqual(again.entries, first.entries, "nor is it drift");

  const plain = configMap(namespace, "unstamped");
  await applyAs(undefined, plain);
  const later = await bed.client.request({ method: "GET", path: "/version" });
  await eventually("the server's clock goes on", async () => (await bed.client.request({ method: "GET", path: "/version" })).serverMs >= later.serverMs + 3_000);
  assert.equal(told(await applyAs("30:2", plain, { scope: "all" })), "unchanged", "nor is the policy's coming into use");
});

test("[FN11] epochs in the ConfigMap only grow, and a fence that refuses raises none", async () => {
  await raise(40, 7);
  await raise(40, 5);
  await Promise.all([raise(41, 1), raise(42, 2), raise(43, 3)]);
  const guard = () => { throw new Fault("LeaseLost", "partition 40"); };
  await assert.rejects(raiseEpoch(bed.handle, { ...epochs, namespace }, { partition: 40, epoch: 9 }, { guard, signal: bed.stop.signal }), { code: "LeaseLost" });
  const data = (await bed.read(path("flotilla-epochs")))["data"] as Record<string, string>;
  assert.deepEqual(["40", "41", "42", "43"].map((key) => data[key]), ["7", "1", "2", "3"]);
});
