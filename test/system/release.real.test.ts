/** From a chart to a release that helm could read, on one `flotilla up`. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { eventually } from "../../deploy/local/eventually.ts";
import { startRegistry } from "../../deploy/local/registry.ts";
import { ownCluster, scratchFolder } from "../kit/cluster.ts";
import { pack } from "../../services/render/fixtures.ts";
import { pathOf, type KubeObject } from "./kube.ts";
import { startFlotilla } from "./flotilla.ts";
import { configMap, file } from "./objects.ts";
import { startSystem } from "./system.ts";
import { conditionOf, type Tenant } from "./tenant.ts";

const { kubeconfig, auditLog } = await ownCluster();
const [system, registry] = await Promise.all([startSystem({ kubeconfig, auditLog }), startRegistry({ dir: scratchFolder() })]);
const shelf = new Map<string, Buffer>();
const repository = createServer(({ url = "" }, response) => {
  const found = shelf.get(url);
  response.writeHead(found ? 200 : 404).end(found);
});
await new Promise<void>((listening) => repository.listen(0, "127.0.0.1", listening));
const repositoryUrl = `http://127.0.0.1:${(repository.address() as AddressInfo).port}`;
after(async () => {
  await Promise.all([system.close(), registry.stop()]);
  await new Promise((closed) => repository.close(closed));
});

const layer = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
const templates = {
  "templates/settings.yaml": 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: settings }\ndata: { said: "{{ .Values.said }}", revision: "{{ .Release.Revision }}" }\n',
  // A Deployment that never becomes ready, where the values ask for it.
  "templates/broken.yaml": `{{ if .Values.broken }}
apiVersion: apps/v1
kind: Deployment
metadata: { name: broken }
spec:
  selector: { matchLabels: { app: broken } }
  template: { metadata: { labels: { app: broken } }, spec: { containers: [{ name: main, image: "example.com/web:missing" }] } }
{{ end }}`,
  "values.yaml": "said: nothing\nbroken: false\n",
};

async function chart(name: string, version: string, more: Record<string, string> = {}): Promise<Buffer> {
  const files = { "Chart.yaml": `apiVersion: v2\nname: ${name}\nversion: ${version}\nappVersion: "7"\n`, ...templates, ...more };
  return Buffer.from(await pack(Object.entries(files).map(([path, content]) => ({ name: `${name}/${path}`, content }))));
}

/** As `helm push` does it. */
const push = async (t: Tenant, version: string, more: Record<string, string> = {}) =>
  (await registry.push(t.namespace, version, [{ mediaType: layer, bytes: await chart("shop", version, more) }])).digest;

type Snapshot = { version: number; status: string; action?: string; chartVersion: string };
type Status = { history?: Snapshot[]; storageNamespace?: string; helmChart?: string; inventory?: { entries: { id: string }[] }; lastAttemptedRevision?: string };
const statusOf = ({ status }: KubeObject) => (status ?? {}) as unknown as Status;
const historyOf = (release: KubeObject) => (statusOf(release).history ?? []).map(({ version, status }) => `${version} ${status}`);

/** What storage holds, oldest first, from the labels that helm reads. */
async function revisions(t: Tenant): Promise<string[]> {
  const { items } = await system.kube.get<{ items: { metadata: { name: string; labels: Record<string, string> } }[] }>(`/api/v1/namespaces/${t.namespace}/secrets?labelSelector=owner%3Dhelm`);
  return items.map(({ metadata: { labels } }) => `${labels["version"]} ${labels["status"]}`).sort();
}

async function manifestOf(t: Tenant, version: number): Promise<string> {
  const secret = (await t.get("Secret", `sh.helm.release.v1.shop.v${version}`)) as KubeObject & { data: { release: string } };
  const plain = gunzipSync(Buffer.from(Buffer.from(secret.data.release, "base64").toString(), "base64"));
  return (JSON.parse(plain.toString()) as { manifest: string }).manifest;
}

/** A tenant with the chart at 1.0.0 in a registry, and a release of it. */
async function tenant(spec: Record<string, unknown> = {}): Promise<Tenant> {
  const t = await system.tenant();
  await push(t, "1.0.0");
  await t.create("OCIRepository", "shop", { spec: { url: registry.repoUrl(t.namespace), interval: "1h", insecure: true, ref: { semver: "*" }, layerSelector: { mediaType: layer, operation: "copy" } } });
  await t.create("HelmRelease", "shop", { spec: { chartRef: { kind: "OCIRepository", name: "shop" }, interval: "1h", timeout: "4s", values: { said: "one" }, ...spec } });
  return t;
}

const ready = (t: Tenant, revision: string, name = "shop") =>
  t.until("HelmRelease", name, `Ready with ${revision}`, (release) => conditionOf(release, "Ready")?.status === "True" && release.status?.observedGeneration === release.metadata.generation && historyOf(release)[0] === revision);
const said = async (t: Tenant) => (await t.get("ConfigMap", "settings")).data?.["said"];

test("[HR1] [HR7] a chart is installed, upgraded by a push and by other values, and uninstalled; helm's storage says the same", async () => {
  const t = await tenant();
  const first = await ready(t, "1 deployed");
  assert.match(conditionOf(first, "Ready")?.message ?? "", new RegExp(`^Helm install succeeded for release ${t.namespace}/shop\\.v1 with chart shop@1\\.0\\.0\\+[0-9a-f]{12}$`));
  assert.equal(await said(t), "one");
  assert.deepEqual(await revisions(t), ["1 deployed"]);
  assert.equal(statusOf(first).storageNamespace, t.namespace);
  assert.deepEqual(statusOf(first).inventory?.entries.map(({ id }) => id), [`${t.namespace}_settings__ConfigMap`]);
  assert.match(await manifestOf(t, 1), new RegExp(`helm.toolkit.fluxcd.io/namespace: ${t.namespace}`));
  const told = await t.untilTold("HelmRelease", "shop", "Normal", "InstallSucceeded");
  assert.match(told.annotations["helm.toolkit.fluxcd.io/revision"] ?? "", /^1\.0\.0\+/);
  assert.equal(told.annotations["helm.toolkit.fluxcd.io/app-version"], "7");

  await push(t, "1.1.0");
  await t.reconciled("OCIRepository", "shop");
  await ready(t, "2 deployed");
  await t.edit("HelmRelease", "shop", { spec: { values: { said: "three" } } });
  const third = await ready(t, "3 deployed");
  assert.equal(await said(t), "three");
  assert.deepEqual(historyOf(third), ["3 deployed", "2 superseded"]);
  assert.deepEqual(await revisions(t), ["1 superseded", "2 superseded", "3 deployed"]);

  // Nothing to do: nothing is made.
  await t.reconciled("HelmRelease", "shop");
  assert.deepEqual(await revisions(t), ["1 superseded", "2 superseded", "3 deployed"]);

  await t.remove("HelmRelease", "shop");
  await t.untilGone("HelmRelease", "shop");
  assert.deepEqual(await revisions(t), []);
  assert.equal(await t.find("ConfigMap", "settings"), undefined);
});

test("[HR2] an upgrade that does not become healthy is rolled back; what is corrected is upgraded to", async () => {
  const t = await tenant({ upgrade: { remediation: { retries: 1, remediateLastFailure: true } } });
  await ready(t, "1 deployed");
  await t.edit("HelmRelease", "shop", { spec: { values: { said: "two", broken: true } } });
  const stalled = await t.until("HelmRelease", "shop", "stalled", (release) => conditionOf(release, "Stalled")?.status === "True");
  assert.equal(conditionOf(stalled, "Stalled")?.reason, "RetriesExceeded");
  assert.equal(conditionOf(stalled, "Remediated")?.reason, "RollbackSucceeded");
  assert.equal(await said(t), "one");
  const failed = await t.untilTold("HelmRelease", "shop", "Warning", "UpgradeFailed");
  assert.match(failed.message, /Deployment\/.*\/broken/);
  assert.deepEqual(await revisions(t), ["1 superseded", "2 failed", "3 superseded", "4 failed", "5 deployed"]);
  await t.edit("HelmRelease", "shop", { spec: { values: { said: "two", broken: false } } });
  await ready(t, "6 deployed");
  assert.equal(await said(t), "two");
});

test("[HR1] values come from ConfigMaps and Secrets; a change of one that asks to be watched is released", async () => {
  const t = await system.tenant();
  const labels = { "reconcile.fluxcd.io/watch": "Enabled" };
  await system.kube.create({ apiVersion: "v1", kind: "Secret", metadata: { name: "values", namespace: t.namespace, labels }, stringData: { "values.yaml": "said: whispered" } } as never);
  await push(t, "1.0.0");
  await t.create("OCIRepository", "shop", { spec: { url: registry.repoUrl(t.namespace), interval: "1h", insecure: true, ref: { semver: "*" }, layerSelector: { mediaType: layer, operation: "copy" } } });
  await t.create("HelmRelease", "shop", { spec: { chartRef: { kind: "OCIRepository", name: "shop" }, interval: "1h", valuesFrom: [{ kind: "Secret", name: "values" }, { kind: "ConfigMap", name: "none" }] } });
  const missing = await t.failing("HelmRelease", "shop", "ValuesError");
  assert.match(conditionOf(missing, "Ready")?.message ?? "", /could not find ConfigMap/);
  assert.deepEqual(await revisions(t), []);
  await t.edit("HelmRelease", "shop", { spec: { valuesFrom: [{ kind: "Secret", name: "values" }] } });
  await ready(t, "1 deployed");
  assert.equal(await said(t), "whispered");
  await system.kube.merge(pathOf("Secret", t.namespace, "values"), { stringData: { "values.yaml": "said: shouted" } });
  await ready(t, "2 deployed");
  assert.equal(await said(t), "shouted");
});

test("[HR10] drift is put back where the object asks for that, and told", async () => {
  const t = await tenant({ driftDetection: { mode: "enabled" } });
  await ready(t, "1 deployed");
  await t.edit("ConfigMap", "settings", { data: { said: "other" } }, "somebody");
  await t.request("HelmRelease", "shop");
  await eventually("put back", async () => (await said(t)) === "one");
  const told = await t.untilTold("HelmRelease", "shop", "Normal", "DriftCorrected");
  assert.match(told.message, new RegExp(`ConfigMap/${t.namespace}/settings configured`));
  assert.deepEqual(await revisions(t), ["1 deployed"]);
});

test("[RL43] [RL44] drift is put back when it happens, with who did it: a changed field, a removed one, a deleted object", async () => {
  const t = await tenant({ driftDetection: { mode: "enabled", ignore: [{ paths: ["/data/revision"], target: { kind: "ConfigMap" } }] } });
  await ready(t, "1 deployed");
  await t.edit("ConfigMap", "settings", { data: { said: "other" } }, "somebody");
  await eventually("put back", async () => (await said(t)) === "one");
  const told = await t.untilTold("HelmRelease", "shop", "Normal", "DriftCorrected");
  assert.match(told.message, new RegExp(`ConfigMap/${t.namespace}/settings configured \\(was changed by somebody\\)`));
  await t.edit("ConfigMap", "settings", { data: { said: null } }, "somebody");
  await eventually("the field is back", async () => (await said(t)) === "one");
  await t.remove("ConfigMap", "settings");
  await eventually("the object is back", async () => (await t.find("ConfigMap", "settings"))?.data?.["said"] === "one");
  await t.edit("ConfigMap", "settings", { data: { revision: "left to others" } }, "somebody");
  await t.request("HelmRelease", "shop");
  assert.equal((await t.get("ConfigMap", "settings")).data?.["revision"], "left to others");
  assert.deepEqual(await revisions(t), ["1 deployed"]);
});

test("[HR10] [RL43] in warn mode drift is told when it happens and left; without a mode nobody looks", async () => {
  const t = await tenant({ driftDetection: { mode: "warn" } });
  await ready(t, "1 deployed");
  await t.edit("ConfigMap", "settings", { data: { said: "other" } }, "somebody");
  const told = await t.untilTold("HelmRelease", "shop", "Warning", "DriftDetected");
  assert.match(told.message, new RegExp(`ConfigMap/${t.namespace}/settings changed \\(0 additions, 1 changes, 0 removals\\) by somebody`));
  await t.until("HelmRelease", "shop", "drifted", (release) => conditionOf(release, "Drifted")?.status === "True");
  assert.equal(await said(t), "other");
  // Whoever writes the value back keeps the field: that is seen at the next look.
  await t.edit("ConfigMap", "settings", { data: { said: "one" } }, "somebody");
  await t.request("HelmRelease", "shop");
  await t.until("HelmRelease", "shop", "as it was", (release) => conditionOf(release, "Drifted")?.status === "False");
});

test("[RL45] what somebody does to a release's storage is noticed when it happens: a revision that was changed, and one that was deleted", async () => {
  const t = await tenant();
  await ready(t, "1 deployed");
  // As `helm rollback` or another controller would: a revision that is not ours.
  const { metadata: { labels = {} }, ...secret } = (await t.get("Secret", "sh.helm.release.v1.shop.v1")) as KubeObject & { data: { release: string }; type: string };
  const document = JSON.parse(gunzipSync(Buffer.from(Buffer.from(secret.data.release, "base64").toString(), "base64")).toString()) as { version: number; info: object };
  const theirs = Buffer.from(gzipSync(JSON.stringify({ ...document, version: 2, info: { ...document.info, description: "by hand" } })).toString("base64")).toString("base64");
  await system.kube.create({ ...secret, data: { release: theirs }, metadata: { name: "sh.helm.release.v1.shop.v2", namespace: t.namespace, labels: { ...labels, version: "2" } } } as never);
  await ready(t, "3 deployed");
  for (const version of [3, 2, 1]) await t.remove("Secret", `sh.helm.release.v1.shop.v${version}`);
  await t.until("HelmRelease", "shop", "installed anew", async () => (await revisions(t)).join() === "1 deployed");
  await ready(t, "1 deployed");
});

test("[HR5] [HR11] suspended and deleted: the release stays, and is taken over by the next object without another revision", async () => {
  const t = await tenant();
  await ready(t, "1 deployed");
  await t.edit("HelmRelease", "shop", { spec: { suspend: true } });
  await t.edit("HelmRelease", "shop", { spec: { values: { said: "two" } } });
  await t.remove("HelmRelease", "shop");
  await t.untilGone("HelmRelease", "shop");
  assert.equal(await said(t), "one");
  await t.create("HelmRelease", "next", { spec: { chartRef: { kind: "OCIRepository", name: "shop" }, interval: "1h", releaseName: "shop", values: { said: "one" } } });
  const next = await ready(t, "1 deployed", "next");
  assert.deepEqual(statusOf(next).inventory?.entries.map(({ id }) => id), [`${t.namespace}_settings__ConfigMap`]);
  assert.deepEqual(await revisions(t), ["1 deployed"]);
});

test("[HR14] a chart of a Helm repository: its HelmChart is made, kept and deleted with the release", async () => {
  const t = await system.tenant();
  const base = `/${t.namespace}`;
  shelf.set(`${base}/shop-1.0.0.tgz`, await chart("shop", "1.0.0"));
  shelf.set(`${base}/index.yaml`, Buffer.from(`apiVersion: v1\nentries:\n  shop:\n    - { apiVersion: v2, name: shop, version: 1.0.0, urls: ["shop-1.0.0.tgz"] }\n`));
  await t.create("HelmRepository", "charts", { spec: { url: `${repositoryUrl}${base}`, interval: "1h" } });
  await t.create("HelmRelease", "shop", { spec: { interval: "1h", chart: { spec: { chart: "shop", version: "1.x", sourceRef: { kind: "HelmRepository", name: "charts" } } }, values: { said: "one" } } });
  const release = await ready(t, "1 deployed");
  assert.equal(statusOf(release).helmChart, `${t.namespace}/${t.namespace}-shop`);
  assert.equal(statusOf(release).lastAttemptedRevision, "1.0.0");

  const audit = await system.audit();
  await t.edit("HelmRelease", "shop", { spec: { values: { said: "two" } } });
  await ready(t, "2 deployed");
  assert.deepEqual((await audit.requests()).filter(({ namespace, resource, verb }) => namespace === t.namespace && resource === "helmcharts" && verb !== "watch"), [], "it stands as it is wanted");

  const name = `${t.namespace}-shop`;
  await t.edit("HelmChart", name, { spec: { version: "9.x" } });
  await t.until("HelmChart", name, "no such version", (edited) => conditionOf(edited, "Ready")?.status === "False");
  await t.edit("HelmRelease", "shop", { spec: { values: { said: "three" } } });
  await ready(t, "3 deployed");
  assert.equal((await t.get("HelmChart", name) as unknown as { spec: { version: string } }).spec.version, "1.x");

  await t.remove("HelmRelease", "shop");
  await t.untilGone("HelmRelease", "shop");
  await t.untilGone("HelmChart", `${t.namespace}-shop`);
});

test("[HR2] a chart whose templates fail, and values that its schema refuses: nothing is stored, and the object says why", async () => {
  const t = await tenant();
  await ready(t, "1 deployed");
  await push(t, "2.0.0", { "templates/wrong.yaml": "{{ .Values.nothing.at.all }}" });
  await t.reconciled("OCIRepository", "shop");
  const failed = await t.failing("HelmRelease", "shop", "UpgradeFailed");
  assert.match(conditionOf(failed, "Ready")?.message ?? "", /^Helm upgrade failed for release .*\/shop with chart shop@2\.0\.0\+.*wrong\.yaml/);
  assert.deepEqual(await revisions(t), ["1 deployed"]);
  await push(t, "2.0.1");
  await t.reconciled("OCIRepository", "shop");
  await ready(t, "2 deployed");
});

test("[HR15] releases and Kustomizations wait for one another, and are woken by the one that becomes ready", async () => {
  const t = await tenant({ dependsOn: [{ name: "first" }] });
  await t.failing("HelmRelease", "shop", "DependencyNotReady");
  await t.commit({ "after/a.yaml": file(configMap("after", { n: "1" })) });
  await t.source();
  await t.unit("after", { dependsOn: [{ apiVersion: "helm.toolkit.fluxcd.io/v2", kind: "HelmRelease", name: "shop" }] });
  await t.failing("Kustomization", "after", "DependencyNotReady");
  const refused = await t.failing("Kustomization", "after", "DependencyNotReady");
  assert.match(conditionOf(refused, "Ready")?.message ?? "", new RegExp(`dependency '${t.namespace}/shop' is not ready`));
  await t.create("HelmRelease", "first", { spec: { chartRef: { kind: "OCIRepository", name: "shop" }, interval: "1h", releaseName: "first", values: { said: "first" } } });
  await ready(t, "1 deployed", "first");
  await ready(t, "1 deployed");
  await t.ready("Kustomization", "after");
});

test("[HR16] a release acts as its ServiceAccount: what that may not do is told, and is done once it may", async () => {
  const t = await system.tenant();
  await t.create("ServiceAccount", "robot");
  await push(t, "1.0.0");
  await t.create("OCIRepository", "shop", { spec: { url: registry.repoUrl(t.namespace), interval: "1h", insecure: true, ref: { semver: "*" }, layerSelector: { mediaType: layer, operation: "copy" } } });
  await system.grant([{ apiGroups: [""], resources: ["serviceaccounts"], verbs: ["impersonate"] }]);
  await t.create("HelmRelease", "shop", { spec: { chartRef: { kind: "OCIRepository", name: "shop" }, interval: "1h", serviceAccountName: "robot", values: { said: "one" } } });
  const refused = await t.until("HelmRelease", "shop", "refused", (release) => /forbidden/.test(conditionOf(release, "Ready")?.message ?? ""));
  assert.equal(conditionOf(refused, "Ready")?.status, "False");
  assert.deepEqual(await revisions(t), []);
  const rules = [{ apiGroups: [""], resources: ["secrets", "configmaps"], verbs: ["*"] }];
  await t.create("Role", "robot", { rules });
  await t.create("RoleBinding", "robot", { roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "robot" }, subjects: [{ kind: "ServiceAccount", name: "robot", namespace: t.namespace }] });
  await ready(t, "1 deployed");
  assert.equal(await said(t), "one");
});

test("[HR12] killed in the middle of an upgrade: the next one finishes that very revision, and nothing stays pending", async () => {
  const t = await tenant({ timeout: "8s" });
  await ready(t, "1 deployed");
  await t.edit("HelmRelease", "shop", { spec: { values: { said: "two", broken: true } } });
  await eventually("the upgrade under way", async () => (await revisions(t)).includes("2 pending-upgrade") && (await said(t)) === "two");
  await system.flotilla.crash();
  assert.deepEqual(await revisions(t), ["1 deployed", "2 pending-upgrade"]);
  system.flotilla = await startFlotilla({ kubeconfig: system.kubeconfig, data: system.flotilla.data });
  await t.until("HelmRelease", "shop", "stalled", (release) => conditionOf(release, "Stalled")?.reason === "RetriesExceeded");
  assert.deepEqual(await revisions(t), ["1 deployed", "2 failed"]);
  await t.edit("HelmRelease", "shop", { spec: { values: { said: "three", broken: false } } });
  await ready(t, "3 deployed");
  assert.equal(await said(t), "three");
});
