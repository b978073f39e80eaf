/** Drift of a release's objects: found by dry-run of the stored manifest, and put back. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { annotations, labels } from "#protocol/api/annotations.ts";
import { releaseApplier } from "#machines/rules/applier.ts";
import { isDrifted, ownershipOf } from "#machines/rules/drift.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { watchManaged } from "#services/cluster/managed.ts";
import type { ManagedRecord } from "#protocol/messages/feed.ts";
import type { DriftStanding } from "#protocol/messages/release.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { cluster } from "../../test/kit/cluster.ts";
import { correctDrift, findDrift } from "./drift.ts";
import { make } from "./make.ts";
import { composition, configMap, deployment, openBed, placeIn, usual, type Bed } from "./sample-release.ts";
import { readRevision } from "./storage.ts";
import type { IgnoreRule } from "#services/cluster/ignore.ts";

let bed: Bed;
let namespace: string;
before(async () => {
  const real = await cluster();
  namespace = await real.namespace("drift");
  bed = await openBed(real.kubeconfig);
});
after(() => bed.close());

const mapPath = (name: string) => `/api/v1/namespaces/${namespace}/configmaps/${name}`;

async function release(name: string, objects: object[]) {
  const call = bed.call(placeIn(namespace, name));
  await make(call, { action: "install", version: 1, composition: composition(objects), definitions: { files: [], policy: "Create" }, createNamespace: false }, { ...usual, wait: "hooks" });
  const document = (await readRevision(call, 1))?.document;
  assert.ok(document);
  const drift = (ignore: IgnoreRule[] = []) => ({ ...call, ignore, redact: (text: string) => text });
  const look = (only?: string[], ignore?: IgnoreRule[]) => findDrift(drift(ignore), document, only && new Set(only));
  return { look, find: async (ignore?: IgnoreRule[]) => (await look(undefined, ignore)).differences, correct: (ids: [string, string][], ignore?: IgnoreRule[]) => correctDrift(drift(ignore), document, new Map(ids)) };
}

test("[RL40] fields that were changed, removed or taken are told with who did it, and put back; what others add is no drift", async () => {
  const { find, correct } = await release("fields", [configMap("fields", { a: "1", b: "2", c: "3" }), configMap("same"), deployment("web")]);
  assert.deepEqual(await find(), []);
  await bed.edit(mapPath("fields"), { data: { a: "changed", b: null, theirs: "added" }, metadata: { labels: { theirs: "too" } } });
  const found = await find();
  assert.deepEqual(found.map(({ id, by, fields }) => ({ id, by, fields })), [{
    id: `${namespace}_fields__ConfigMap`, by: "kubectl-edit",
    fields: [{ pointer: "/data/a", wanted: '"1"', is: '"changed"' }, { pointer: "/data/b", wanted: '"2"' }],
  }]);
  const outcome = await correct([[`${namespace}_fields__ConfigMap`, "kubectl-edit"]]);
  assert.deepEqual([outcome.fault, outcome.changes], [undefined, [{ id: `${namespace}_fields__ConfigMap`, action: "configured", by: "kubectl-edit" }]]);
  assert.deepEqual((await bed.read(mapPath("fields")))?.["data"], { a: "1", b: "2", c: "3", theirs: "added" });
  assert.deepEqual(await find(), []);
});

test("[RL40] what is gone is told as gone, and made again", async () => {
  const { find, correct } = await release("gone", [configMap("gone")]);
  await bed.remove(mapPath("gone"));
  assert.deepEqual(await find(), [{ id: `${namespace}_gone__ConfigMap`, missing: true, fields: [] }]);
  assert.deepEqual((await correct([[`${namespace}_gone__ConfigMap`, ""]])).changes, [{ id: `${namespace}_gone__ConfigMap`, action: "created" }]);
  assert.deepEqual(await find(), []);
});

test("[RL41] fields and objects that are left to others are neither told nor put back", async () => {
  const { find, correct } = await release("ignored", [configMap("partly", { a: "1", b: "2" }), configMap("wholly", { a: "1" }), configMap("marked", { a: "1" }, { [annotations.releaseDrift]: "disabled" }), configMap("marked-live", { a: "1" })]);
  for (const name of ["partly", "wholly", "marked", "marked-live"]) await bed.edit(mapPath(name), { data: { a: "theirs", b: "theirs" } });
  await bed.edit(mapPath("marked-live"), { metadata: { annotations: { [annotations.releaseDrift]: "Disabled" } } });
  const rules = [{ paths: ["/data/a"], target: { name: "partly" } }, { paths: [""], target: { kind: "ConfigMap", name: "wholly" } }];
  const found = await find(rules);
  assert.deepEqual(found.map(({ id, fields }) => [id, fields.map(({ pointer }) => pointer)]), [[`${namespace}_partly__ConfigMap`, ["/data/b"]]]);
  await correct(["partly", "wholly"].map((name) => [`${namespace}_${name}__ConfigMap`, ""]), rules);
  assert.deepEqual((await bed.read(mapPath("partly")))?.["data"], { a: "theirs", b: "2" });
  assert.deepEqual((await bed.read(mapPath("wholly")))?.["data"], { a: "theirs", b: "theirs" });
});

test("[RL44] only what is asked about is compared; what stands is known by its fields from then on, and what is left to others not at all", async () => {
  const { look } = await release("asked", ["a", "b", "c"].map((name) => configMap(`asked-${name}`, { a: "1" })));
  const [a, b, c] = ["a", "b", "c"].map((name) => `${namespace}_asked-${name}__ConfigMap`) as [string, string, string];
  for (const name of ["a", "b", "c"]) await bed.edit(mapPath(`asked-${name}`), { data: { a: "theirs" } });
  const found = await look([a, c, "gone_long-ago__ConfigMap"], [{ paths: [""], target: { name: "asked-c" } }]);
  assert.deepEqual(found.differences.map(({ id }) => id), [a], `${b} differs too, and nobody asked`);
  assert.deepEqual(found.standing.map(({ id, uid }) => [id, uid]), [[c, ""], ["gone_long-ago__ConfigMap", ""]]);
  const { differences, standing: [stands, ...more] } = await look([a], [{ paths: ["/data/a"], target: { name: "asked-a" } }]);
  const { metadata } = (await bed.read(mapPath("asked-a"))) as KubeObject;
  assert.deepEqual([differences, more], [[], []]);
  assert.equal(isDrifted({ ...(stands as DriftStanding), digest: "" }, { uid: metadata.uid ?? "", owned: ownershipOf(metadata, [], releaseApplier) }), false);
});

test("[RL42] of a Secret no value is told", async () => {
  const { find } = await release("secretive", [{ apiVersion: "v1", kind: "Secret", metadata: { name: "secretive" }, stringData: { password: "hidden-word" } }]);
  await bed.edit(`/api/v1/namespaces/${namespace}/secrets/secretive`, { data: { password: Buffer.from("another-word").toString("base64") } });
  const found = JSON.stringify(await find());
  assert.match(found, /\/data\/password/);
  assert.doesNotMatch(found, /hidden|another|aGlkZGVu|YW5vdGhlci13b3Jk/);
});

test("[RL43] a release's objects are watched by the HelmRelease they come from: who takes a field is seen, and our own writes are not", async () => {
  const seen = new Map<string, ManagedRecord | undefined>();
  const off = new AbortController();
  const watch = watchManaged({ ...bed.handle, applier: releaseApplier }, { changed: (id, record) => void seen.set(id, record), synced: () => {}, absent: () => {} }, off.signal);
  watch.follow("", "ConfigMap", "v1");
  const marked = { ...configMap("watched", { a: "1" }), metadata: { name: "watched", labels: { [labels.originName]: "shop", [labels.originNamespace]: namespace } } };
  const acted = await make(bed.call(placeIn(namespace, "watched")), { action: "install", version: 1, composition: composition([marked]), definitions: { files: [], policy: "Create" }, createNamespace: false }, usual);
  const entry = acted.entries?.[0];
  assert.ok(entry);
  const record = await eventually("the watch", () => seen.get(entry.id));
  assert.deepEqual([record.owner, isDrifted(entry, record)], [`${namespace}/shop`, false]);
  await bed.edit(mapPath("watched"), { data: { theirs: "added" } });
  await bed.edit(mapPath("watched"), { data: { a: "taken" } });
  const taken = await eventually("the edit", () => [seen.get(entry.id)].find((each) => each && isDrifted(entry, each)));
  assert.equal(taken.by, "kubectl-edit");
  off.abort();
});
