/** What an apply would change, asked of a real API server without changing it. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { cluster } from "../../test/kit/cluster.ts";
import { apply } from "./apply.ts";
import { compare, type CompareCall } from "./compare.ts";
import { configMap, deployment, openBed, type Bed } from "./sample-objects.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";

let bed: Bed;
let namespace: string;
before(async () => {
  const real = await cluster();
  namespace = await real.namespace("compare");
  bed = await openBed(real.kubeconfig);
});
after(() => bed.close());

const owner = { name: "apps", namespace: "flux-system" };
const mapPath = (name: string) => `/api/v1/namespaces/${namespace}/configmaps/${name}`;
const workload = (name: string) => `/apis/apps/v1/namespaces/${namespace}/deployments/${name}`;

/** What is found, and what was asked for it. */
async function compared(objects: KubeObject[], more: Partial<CompareCall> = {}) {
  bed.seen.length = 0;
  const found = await compare({ ...bed.call(owner, objects), scope: "all", redact: (text) => text, ...more });
  return { found, asked: [...new Set(bed.seen.map(({ verb }) => verb))].sort() };
}

test("[DR4] differing fields are told by their pointers, with who owns them now; nothing is written", async () => {
  const objects = [configMap(namespace, "told", { colour: "blue" }), deployment(namespace, "told")];
  await apply(bed.call(owner, objects, { scope: "all" }));
  await bed.edit(mapPath("told"), { data: { colour: "red" } }, "somebody");
  await bed.edit(workload("told"), { spec: { template: { spec: { containers: [{ name: "app", image: "registry.example/app:9" }] } } } }, "tuner");
  const before = await bed.read(mapPath("told"));
  const { found, asked } = await compared(objects);
  assert.deepEqual(found.map(({ by, fields }) => [by, fields[0]]), [
    ["somebody", { pointer: "/data/colour", wanted: '"blue"', is: '"red"' }],
    ["tuner", { pointer: "/spec/template/spec/containers/0/image", wanted: '"registry.example/app:1"', is: '"registry.example/app:9"' }],
  ]);
  assert.deepEqual(asked, ["dry-run", "get"]);
  assert.deepEqual(await bed.read(mapPath("told")), before);
});

test("[DR4] what stands as applied, is put back by hand, or is left alone differs in nothing; only what drifted is asked about", async () => {
  const objects = ["same", "back", "alone"].map((name) => configMap(namespace, name, { colour: "blue" }));
  const { entries } = await apply(bed.call(owner, objects, { scope: "all" }));
  for (const colour of ["red", "blue"]) await bed.edit(mapPath("back"), { data: { colour } }, "somebody");
  await bed.edit(mapPath("alone"), { data: { colour: "red" }, metadata: { annotations: { "kustomize.toolkit.fluxcd.io/reconcile": "disabled" } } }, "somebody");
  assert.deepEqual((await compared(objects)).found, []);
  const { found, asked } = await compared(objects, { scope: "changed", inventory: entries, drifted: new Map() });
  assert.deepEqual([found, asked], [[], []]);
});

test("[DR8] an object that is gone is told as such, and what kubectl added as what an apply would remove", async () => {
  const objects = [configMap(namespace, "gone"), configMap(namespace, "grown")];
  await apply(bed.call(owner, [objects[1] as KubeObject], { scope: "all" }));
  await bed.edit(mapPath("grown"), { data: { added: "x" } });
  assert.deepEqual((await compared(objects)).found, [
    { id: `${namespace}_gone__ConfigMap`, missing: true, fields: [] },
    { id: `${namespace}_grown__ConfigMap`, by: "kubectl-edit", fields: [{ pointer: "/data/added", is: '"x"' }] },
  ]);
});

test("[DR7] nothing of a Secret is told but which fields, nor of what was decrypted", async () => {
  const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "login", namespace }, stringData: { user: "owner" } };
  const decrypted = configMap(namespace, "decrypted", { key: "owner" });
  await apply(bed.call(owner, [secret, decrypted], { scope: "all" }));
  await bed.edit(`/api/v1/namespaces/${namespace}/secrets/login`, { stringData: { user: "thief" } }, "somebody");
  await bed.edit(mapPath("decrypted"), { data: { key: "thief" } }, "somebody");
  const call = bed.call(owner, [secret, decrypted]);
  const { found } = await compared([], { objects: call.objects.map((each, place) => (place === 1 ? { ...each, secret: true as const } : each)) });
  assert.deepEqual(found.map(({ fields }) => fields), ["/data/user", "/data/key"].map((pointer) => [{ pointer, wanted: '"*****"', is: '"*****"' }]));
});
