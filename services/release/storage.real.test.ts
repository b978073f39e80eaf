/** Releases that helm reads, and those of helm that are read here: on a real API server, with the real helm command. */
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { after, before, test } from "node:test";
import { fieldManagers } from "#protocol/api/annotations.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { tool } from "../../deploy/local/tools.ts";
import { cluster } from "../../test/kit/cluster.ts";
import { make } from "./make.ts";
import { chartFolder, composition, configMap, deployment, openBed, placeIn, usual, type Bed } from "./sample-release.ts";
import { createRevision, listRevisions, readRevision, removeRevision, truncate, updateRevision } from "./storage.ts";
import { uninstall } from "./uninstall.ts";
import type { ReleaseDocument } from "./document.ts";

let bed: Bed;
let namespace: string;
before(async () => {
  const real = await cluster();
  namespace = await real.namespace("release");
  bed = await openBed(real.kubeconfig, await tool("helm"));
});
after(() => bed.close());

const none = { files: [], policy: "Create" as const };
const secret = (name: string, version: number) => `/api/v1/namespaces/${namespace}/secrets/sh.helm.release.v1.${name}.v${version}`;
const documentOf = (name: string, version: number, more: Partial<ReleaseDocument> = {}): ReleaseDocument =>
  ({ name, version, namespace, info: { status: "deployed", description: "Install complete" }, manifest: "", ...more });
const json = async (args: string[]) => JSON.parse(await bed.helm([...args, "-n", namespace, "-o", "json"])) as unknown;
const fails = (code: string, about: RegExp) => (thrown: unknown) => thrown instanceof Fault && thrown.code === code && about.test(thrown.message);
const options = { timeoutMs: 60_000, hooks: true, wait: "poller", keepHistory: false, propagation: "background" } as const;

test("[RL1] helm lists, shows, rolls back and uninstalls what was released here", async () => {
  const place = placeIn(namespace, "here");
  const install = await make(bed.call(place), { action: "install", version: 1, composition: composition([configMap("here"), deployment("here")]), definitions: none, createNamespace: false }, usual);
  assert.equal(install.fault, undefined);
  const upgrade = await make(bed.call(place), { action: "upgrade", version: 2, composition: composition([configMap("here", { greeting: "bye" }), deployment("here")], { version: "1.1.0" }), definitions: none, createNamespace: false }, usual);
  assert.equal(upgrade.fault, undefined);

  const [listed] = (await json(["list", "--filter", "^here$"])) as Record<string, string>[];
  assert.deepEqual({ ...listed, updated: "" }, { name: "here", namespace, revision: "2", updated: "", status: "deployed", chart: "shop-1.1.0", app_version: "2.0" });
  const history = (await json(["history", "here"])) as Record<string, unknown>[];
  assert.deepEqual(history.map(({ revision, status, description }) => [revision, status, description]), [[1, "superseded", "Install complete"], [2, "deployed", "Upgrade complete"]]);
  assert.match(await bed.helm(["get", "manifest", "here", "-n", namespace]), /bye/);
  assert.equal((await bed.helm(["get", "notes", "here", "-n", namespace])).trim(), "NOTES:\nthank you");
  assert.deepEqual(await json(["get", "values", "here"]), { replicas: 1 });

  await bed.helm(["rollback", "here", "1", "-n", namespace, "--force-conflicts"]);
  assert.deepEqual((await bed.read(`/api/v1/namespaces/${namespace}/configmaps/here`))?.["data"], { greeting: "hello" });
  assert.deepEqual((await listRevisions(bed.call(place))).map(({ version, status, intent }) => [version, status, intent]), [[3, "deployed", undefined], [2, "superseded", undefined], [1, "superseded", upgrade.written[1]?.revision.intent]]);
  await bed.helm(["uninstall", "here", "-n", namespace, "--wait"]);
  assert.equal(await bed.read(`/api/v1/namespaces/${namespace}/configmaps/here`), undefined);
  assert.deepEqual(await listRevisions(bed.call(place)), []);
});

test("[RL1] a release of helm is upgraded, rolled back and uninstalled here", async () => {
  const place = placeIn(namespace, "there");
  const chart = chartFolder({ "map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: there}\ndata: {greeting: {{ .Values.greeting }}, gone: soon, mode: \"0644\"}\n", "old.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: there-old}\n" });
  await bed.helm(["install", "there", chart, "-n", namespace]);
  const stored = await readRevision(bed.call(place), 1);
  assert.equal(stored?.document.info.status, "deployed");
  assert.match(stored.document.manifest, /greeting: hello/);

  const upgrade = await make(bed.call(place), { action: "upgrade", version: 2, composition: composition([configMap("there", { greeting: "mine" })]), definitions: none, createNamespace: false }, usual);
  assert.equal(upgrade.fault, undefined);
  const live = await bed.read(`/api/v1/namespaces/${namespace}/configmaps/there`);
  assert.deepEqual(live?.["data"], { greeting: "mine" }, "what left the chart has left the object, though helm had owned it");
  assert.deepEqual(live.metadata.managedFields?.map(({ manager }) => manager), [fieldManagers.helm]);
  assert.equal(await bed.read(`/api/v1/namespaces/${namespace}/configmaps/there-old`), undefined);

  const rollback = await make(bed.call(place), { action: "rollback", version: 3, to: 1 }, usual);
  assert.equal(rollback.fault, undefined);
  assert.deepEqual((await bed.read(`/api/v1/namespaces/${namespace}/configmaps/there`))?.["data"], { greeting: "hello", gone: "soon", mode: "0644" });
  const history = (await json(["history", "there"])) as Record<string, unknown>[];
  assert.deepEqual(history.map(({ status, description }) => [status, description]), [["superseded", "Install complete"], ["superseded", "Upgrade complete"], ["deployed", "Rollback to 1"]]);

  const removed = await uninstall(bed.call(place), 3, options);
  assert.equal(removed.fault, undefined);
  assert.deepEqual(await json(["list", "--filter", "^there$"]), []);
  assert.equal(await bed.read(`/api/v1/namespaces/${namespace}/configmaps/there`), undefined);
});

test("[RL2] of two who write one revision one is refused, and who repeats itself is not", async () => {
  const place = placeIn(namespace, "twice");
  const mine = bed.call(place);
  const stored = await createRevision(mine, documentOf("twice", 1), mine.intent);
  assert.equal((await createRevision(mine, documentOf("twice", 1), mine.intent)).revision.uid, stored.revision.uid);
  await assert.rejects(createRevision(bed.call(place), documentOf("twice", 1), "another"), fails("ReleaseChanged", /v1\.twice\.v1/));
  const failed = documentOf("twice", 1, { info: { status: "failed" } });
  await updateRevision(mine, stored, failed);
  await updateRevision(mine, stored, failed); // the answer was lost, say
  await assert.rejects(updateRevision(mine, stored, documentOf("twice", 1, { info: { status: "superseded" } })), fails("ReleaseChanged", /somebody else/));
  await assert.rejects(removeRevision(mine, stored.revision), fails("ReleaseChanged", /somebody else/));
  assert.equal((await readRevision(mine, 1))?.document.info.status, "failed");
});

test("[RL3] no more revisions are kept than asked for, and the deployed one always", async () => {
  const place = placeIn(namespace, "many");
  const call = bed.call(place);
  const status = (version: number) => ({ info: { status: version === 1 ? "deployed" : "failed" } }) as const;
  for (const version of [1, 2, 3, 4]) await createRevision(call, documentOf("many", version, status(version)), "x");
  await truncate(call, await listRevisions(call), 0);
  assert.equal((await listRevisions(call)).length, 4);
  await truncate(call, await listRevisions(call), 3);
  assert.deepEqual((await listRevisions(call)).map(({ version }) => version), [4, 1]);
});

const broken: { name: string; release: string; why: RegExp }[] = [
  { name: "text", release: "no base64 of anything!", why: /does not hold JSON/ },
  { name: "zipped", release: Buffer.concat([Buffer.from([0x1f, 0x8b, 0x08]), Buffer.from("nonsense")]).toString("base64"), why: /not compressed as Helm/ },
  { name: "other", release: gzipSync(JSON.stringify({ name: "other", version: "one" })).toString("base64"), why: /its field version is not as expected/ },
  { name: "bomb", release: gzipSync(Buffer.alloc(40 << 20)).toString("base64"), why: /more than 16777216 bytes/ },
  { name: "wrong", release: gzipSync(JSON.stringify({ name: "wrong", version: 7, info: { status: "deployed" } })).toString("base64"), why: /it holds version 7/ },
];
for (const { name, release, why } of broken)
  test(`[RL4] a Secret that holds no release is named, and left as it is: ${name}`, async () => {
    const data = { release: Buffer.from(release).toString("base64") };
    const labels = { name, owner: "helm", status: "deployed", version: "1" };
    await bed.client.request({ method: "POST", path: `/api/v1/namespaces/${namespace}/secrets`, body: { apiVersion: "v1", kind: "Secret", type: "helm.sh/release.v1", metadata: { name: `sh.helm.release.v1.${name}.v1`, labels }, data } });
    const call = bed.call(placeIn(namespace, name));
    await assert.rejects(readRevision(call, 1), fails("ReleaseUnreadable", why));
    await assert.rejects(make(call, { action: "upgrade", version: 2, composition: composition([configMap(name)]), definitions: none, createNamespace: false }, usual), fails("ReleaseUnreadable", why));
    await assert.rejects(uninstall(call, 1, options), fails("ReleaseUnreadable", why));
    assert.deepEqual((await bed.read(secret(name, 1)))?.["data"], data);
    assert.equal(await bed.read(`/api/v1/namespaces/${namespace}/configmaps/${name}`), undefined);
  });

test("[RL5] a release too large for a Secret is refused before anything is written", async () => {
  const call = bed.call(placeIn(namespace, "large"));
  const noise = Array.from({ length: 130_000 }, (_, index) => ((index * 2_654_435_761) % 4_294_967_296).toString(36) + Math.imul(index ^ 0x5bd1e995, 0x2545f491).toString(36)).join("");
  const large = { ...composition([configMap("large")]), notes: noise };
  await assert.rejects(make(call, { action: "install", version: 1, composition: large, definitions: none, createNamespace: false }, usual), fails("ReleaseTooLarge", /a Secret holds 1048576/));
  assert.deepEqual(await listRevisions(call), []);
  assert.equal(await bed.read(`/api/v1/namespaces/${namespace}/configmaps/large`), undefined);
});
