/** Releases that are applied on the client's side, as Helm 3 does it. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fieldManagers } from "#protocol/api/annotations.ts";
import { cluster } from "../../test/kit/cluster.ts";
import type { MakeOptions } from "./call.ts";
import { make, type Composition } from "./make.ts";
import { composition, configMap, deployment, openBed, placeIn, usual, type Bed } from "./sample-release.ts";
import { readRevision } from "./storage.ts";

let bed: Bed;
let namespace: string;
before(async () => {
  const real = await cluster();
  namespace = await real.namespace("client-side");
  bed = await openBed(real.kubeconfig);
});
after(() => bed.close());

const made = (name: string, version: number, contents: Composition, options: Partial<MakeOptions> = {}) =>
  make(bed.call(placeIn(namespace, name)), { action: version === 1 ? "install" : "upgrade", version, composition: contents, definitions: { files: [], policy: "Create" }, createNamespace: false }, { ...usual, wait: "hooks", ...options });
const mapPath = (name: string) => `/api/v1/namespaces/${namespace}/configmaps/${name}`;
const methodOf = async (name: string, version: number) => (await readRevision(bed.call(placeIn(namespace, name)), version))?.document.apply_method;
const managersOf = async (path: string) => (await bed.read(path))?.metadata.managedFields?.map(({ manager, operation }) => `${manager} ${operation}`).sort();

test("[RL50] what left the chart goes, what it says counts, what others set stays; an upgrade goes on in the same way", async () => {
  const containers = (image: string, ...env: string[]) => {
    const object = deployment("web", image);
    Object.assign(object.spec.template.spec.containers[0] ?? {}, { env: env.map((name) => ({ name, value: "chart" })) });
    return object;
  };
  await made("merge", 1, composition([configMap("merge", { a: "1", b: "1", c: "1" }), containers("x:1", "KEPT", "GONE")]), { serverSide: false });
  assert.equal(await methodOf("merge", 1), "csa");
  assert.deepEqual(await managersOf(mapPath("merge")), [`${fieldManagers.helm} Update`]);
  await bed.edit(mapPath("merge"), { data: { c: "changed", theirs: "added" } });
  const path = `/apis/apps/v1/namespaces/${namespace}/deployments/web`;
  await bed.client.request({ method: "PATCH", path, query: { fieldManager: "injector" }, contentType: "application/strategic-merge-patch+json", body: { spec: { template: { spec: { containers: [{ name: "app", env: [{ name: "THEIRS", value: "1" }] }, { name: "sidecar", image: "sidecar:1" }] } } } } });

  const acted = await made("merge", 2, composition([configMap("merge", { a: "2", c: "1" }), containers("x:2", "KEPT")]));
  assert.equal(acted.fault, undefined);
  assert.equal(await methodOf("merge", 2), "csa");
  assert.deepEqual((await bed.read(mapPath("merge")))?.["data"], { a: "2", c: "1", theirs: "added" });
  const { template } = ((await bed.read(path))?.["spec"] ?? {}) as { template: { spec: { containers: { name: string; image: string; env?: { name: string }[] }[] } } };
  assert.deepEqual(template.spec.containers.map(({ name, image, env = [] }) => [name, image, env.map((each) => each.name)]), [["app", "x:2", ["KEPT", "THEIRS"]], ["sidecar", "sidecar:1", []]]);
  assert.deepEqual((await made("merge", 3, composition([configMap("merge", { a: "2", c: "1" }), containers("x:2", "KEPT")]))).changes.map(({ action }) => action), ["unchanged", "unchanged"]);
});

test("[RL51] a release changes from one way to the other, and what left its chart goes all the same", async () => {
  await made("ways", 1, composition([configMap("ways", { a: "1", b: "1" })]), { serverSide: false });
  await made("ways", 2, composition([configMap("ways", { a: "1", c: "1" })]), { serverSide: true });
  assert.deepEqual((await bed.read(mapPath("ways")))?.["data"], { a: "1", c: "1" });
  assert.deepEqual(await managersOf(mapPath("ways")), [`${fieldManagers.helm} Apply`]);
  assert.equal(await methodOf("ways", 2), "ssa");
  await made("ways", 3, composition([configMap("ways", { a: "1" })]));
  assert.deepEqual((await bed.read(mapPath("ways")))?.["data"], { a: "1" });
  assert.equal(await methodOf("ways", 3), "ssa");
});

test("[RL52] force replaces whole objects where they are applied on the client's side", async () => {
  await made("forced", 1, composition([configMap("forced", { a: "1" })]), { serverSide: false });
  await bed.edit(mapPath("forced"), { data: { theirs: "added" } });
  await made("forced", 2, composition([configMap("forced", { a: "2" })]), { force: true });
  assert.deepEqual((await bed.read(mapPath("forced")))?.["data"], { a: "2" });
});

test("[RL53] an unknown field is refused, and the revision is failed", async () => {
  const acted = await made("strict", 1, composition([{ ...configMap("strict"), dota: {} }]), { serverSide: false });
  assert.equal(acted.fault?.code, "ObjectInvalid");
  assert.equal(await bed.read(mapPath("strict")), undefined);
});
