/** Helm repositories and charts, from a server, a registry and a Git repository to published packages, on one `flotilla up`. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, test } from "node:test";
import { eventually } from "../../deploy/local/eventually.ts";
import { startRegistry } from "../../deploy/local/registry.ts";
import { ownCluster, scratchFolder } from "../kit/cluster.ts";
import { chartFiles, chartPackage, startHelmServer } from "../kit/helm-server.ts";
import { attachEnvelopes, described, envelopes, Notary, trustSecret } from "../kit/notation.ts";
import { runCommand } from "./flotilla.ts";
import type { KubeObject } from "./kube.ts";
import { startSystem } from "./system.ts";
import { conditionOf, type Tenant } from "./tenant.ts";

const { kubeconfig, auditLog } = await ownCluster();
const user = { username: "ada", password: "correct-horse" };
const [system, charts, registry] = await Promise.all([startSystem({ kubeconfig, auditLog }), startHelmServer({ auth: user }), startRegistry({ dir: scratchFolder() })]);
after(() => Promise.all([system.close(), charts.stop(), registry.stop()]));

type Artifact = { revision: string; digest: string; url: string; path: string };
type Status = {
  artifact?: Artifact; url?: string; observedChartName?: string; observedSourceArtifactRevision?: string; observedValuesFiles?: string[];
  conditions?: { type: string; status: string; reason: string }[];
};

const statusOf = ({ status }: KubeObject) => (status ?? {}) as Status;
const typesOf = (object: KubeObject) => (statusOf(object).conditions ?? []).map(({ type, status, reason }) => `${type}=${status} ${reason}`);
const under = (folder: string, files: Record<string, string>) => Object.fromEntries(Object.entries(files).map(([path, contents]) => [`${folder}/${path}`, contents]));
const onCluster = (t: Tenant, ...args: string[]) => runCommand([...args, "-n", t.namespace, "--kubeconfig", system.kubeconfig]);

async function isServed(artifact: Artifact | undefined, url: string | undefined): Promise<void> {
  for (const each of [url, artifact?.url]) {
    const body = Buffer.from(await (await fetch(each ?? "")).arrayBuffer());
    assert.equal(`sha256:${createHash("sha256").update(body).digest("hex")}`, artifact?.digest, each);
  }
}

/** A tenant with a repository `charts` that asks for a password, and a chart of it that is named as its namespace. */
async function tenant(): Promise<Tenant> {
  const t = await system.tenant();
  charts.publish(t.namespace, "1.0.0", await chartPackage(t.namespace, "1.0.0", { "prod.yaml": "replicas: 3\n" }));
  const data = Object.fromEntries(Object.entries(user).map(([key, value]) => [key, Buffer.from(value).toString("base64")]));
  await t.create("Secret", "user", { data });
  await t.create("HelmRepository", "charts", { spec: { url: charts.url, interval: "1h", secretRef: { name: "user" } } });
  return t;
}
const chart = (t: Tenant, name: string, spec: Record<string, unknown> = {}) =>
  t.create("HelmChart", name, { spec: { chart: t.namespace, interval: "1h", sourceRef: { kind: "HelmRepository", name: "charts" }, ...spec } });

test("[HS1] [HS20] an index and a chart of it are published, and told of as Flux tells it; new versions are published when the index has them", async () => {
  const t = await tenant();
  await chart(t, "web", { version: "1.x" });
  const repository = await t.ready("HelmRepository", "charts");
  const { artifact, url } = statusOf(repository);
  const hex = artifact?.revision.slice(7);
  assert.equal(artifact?.path, `helmrepository/${t.namespace}/charts/index-${hex}.yaml`);
  assert.match(url ?? "", /\/charts\/index\.yaml$/);
  assert.deepEqual(typesOf(repository), ["Ready=True Succeeded", "ArtifactInStorage=True Succeeded"]);
  assert.equal(conditionOf(repository, "Ready")?.message, `stored artifact: revision '${artifact?.revision}'`);
  await isServed(artifact, url);
  assert.match((await t.untilTold("HelmRepository", "charts", "Normal", "NewArtifact")).message, /^stored fetched index of size \S+ from 'http:/);

  const web = await t.ready("HelmChart", "web", "1.0.0");
  const status = statusOf(web);
  assert.equal(status.artifact?.path, `helmchart/${t.namespace}/web/${t.namespace}-1.0.0.tgz`);
  assert.match(status.url ?? "", /\/web\/latest\.tar\.gz$/);
  assert.deepEqual([status.observedChartName, status.observedSourceArtifactRevision, status.observedValuesFiles], [t.namespace, artifact?.revision, undefined]);
  assert.deepEqual(typesOf(web), ["Ready=True ChartPullSucceeded", "ArtifactInStorage=True ChartPullSucceeded"]);
  const said = `pulled '${t.namespace}' chart with version '1.0.0'`;
  assert.equal(conditionOf(web, "Ready")?.message, said);
  assert.equal((await t.untilTold("HelmChart", "web", "Normal", "ChartPullSucceeded")).message, said);
  await isServed(status.artifact, status.url);

  charts.publish(t.namespace, "1.1.0", await chartPackage(t.namespace, "1.1.0"));
  const reconciled = await onCluster(t, "reconcile", "source", "helm", "charts");
  assert.equal(reconciled.code, 0, reconciled.stderr);
  const next = statusOf(await t.ready("HelmChart", "web", "1.1.0"));
  await eventually("the chart was looked up in the newest index", () => statusOf(t.seen("HelmChart", "web") as KubeObject).observedSourceArtifactRevision === statusOf(t.seen("HelmRepository", "charts") as KubeObject).artifact?.revision);
  await isServed(next.artifact, next.url);
  assert.doesNotMatch(JSON.stringify([system.watched.HelmChart.history(t.namespace, "web"), t.told("HelmChart", "web"), system.flotilla.logs()]), /correct-horse/);
});

test("[HS16] [HS20] other values are another version, and the status says which files there were; the commands know both kinds", async () => {
  const t = await tenant();
  await chart(t, "web", { valuesFiles: ["values.yaml", "prod.yaml", "none.yaml"], ignoreMissingValuesFiles: true });
  const web = await t.ready("HelmChart", "web", "1.0.0+1");
  assert.deepEqual(statusOf(web).observedValuesFiles, ["values.yaml", "prod.yaml"]);
  assert.deepEqual(typesOf(web), ["Ready=True ChartPackageSucceeded", "ArtifactInStorage=True ChartPackageSucceeded"]);
  const got = await onCluster(t, "get", "sources", "chart");
  assert.match(got.stdout, new RegExp(`web\\s+1\\.0\\.0\\+1\\s+False\\s+True\\s+packaged '${t.namespace}' chart with version '1\\.0\\.0\\+1' and merged values files \\[values\\.yaml prod\\.yaml\\]`), got.stderr);
  const both = await onCluster(t, "reconcile", "source", "chart", "web", "--with-source");
  assert.equal(both.code, 0, both.stderr);
  assert.match(both.stderr, /annotating HelmRepository charts[^]*fetched revision 1\.0\.0\+1/);
  await t.edit("HelmChart", "web", { spec: { valuesFiles: ["prod.yaml", "none.yaml"], ignoreMissingValuesFiles: false } });
  const failing = await t.failing("HelmChart", "web", "ValuesFilesError");
  assert.deepEqual(typesOf(failing), ["Stalled=True ValuesFilesError", "Ready=False ValuesFilesError", "ArtifactInStorage=True ChartPackageSucceeded", "BuildFailed=True ValuesFilesError"]);
  assert.equal(statusOf(failing).artifact?.revision, "1.0.0+1", "the last good one stays");
  await t.edit("HelmChart", "web", { spec: { valuesFiles: null } });
  assert.equal(statusOf(await t.ready("HelmChart", "web", "1.0.0")).observedValuesFiles, undefined);
});

test("[HS10] [HS19] [SR80] a chart waits for its source, for its first artifact, and for a version that is within its range", async () => {
  const t = await system.tenant();
  charts.publish(t.namespace, "1.0.0", await chartPackage(t.namespace, "1.0.0"));
  await chart(t, "web", { version: "2.x" });
  await t.failing("HelmChart", "web", "SourceUnavailable");
  await t.create("HelmRepository", "charts", { spec: { url: charts.url, interval: "1h", secretRef: { name: "user" } } });
  await t.failing("HelmRepository", "charts", "AuthenticationFailed");
  await t.request("HelmChart", "web");
  const waiting = await t.failing("HelmChart", "web", "NoSourceArtifact");
  assert.match(conditionOf(waiting, "Ready")?.message ?? "", /no artifact available for HelmRepository source 'charts'/);
  const data = Object.fromEntries(Object.entries(user).map(([key, value]) => [key, Buffer.from(value).toString("base64")]));
  await t.create("Secret", "user", { data });
  await t.request("HelmRepository", "charts");
  const stalled = await t.failing("HelmChart", "web", "InvalidChartReference");
  assert.equal(conditionOf(stalled, "Stalled")?.status, "True");
  charts.publish(t.namespace, "2.0.0", await chartPackage(t.namespace, "2.0.0"));
  await t.request("HelmRepository", "charts");
  await t.ready("HelmChart", "web", "2.0.0");
});

test("[HS13] [HS15] [HS17] [SR80] a chart in Git is packaged with what it depends on, and anew with each commit that is worth it", async () => {
  const t = await tenant();
  await t.ready("HelmRepository", "charts");
  const dependsOn = `dependencies:\n- {name: ${t.namespace}, version: 1.x, repository: "${charts.url}"}\n`;
  const files = (version: string, more: Record<string, string> = {}) => under("charts/web", { ...chartFiles("web", version), "Chart.yaml": `apiVersion: v2\nname: web\nversion: ${version}\n${dependsOn}`, ...more });
  const first = await t.commit(files("1.0.0"));
  await t.source();
  const sourceRef = { kind: "GitRepository", name: "app" };
  await Promise.all([chart(t, "web", { chart: "./charts/web", sourceRef }), chart(t, "each", { chart: "charts/web", sourceRef, reconcileStrategy: "Revision" })]);
  const web = await t.ready("HelmChart", "web", "1.0.0");
  assert.equal(statusOf(web).observedSourceArtifactRevision, `main@sha1:${first}`);
  assert.equal((await t.untilTold("HelmChart", "web", "Normal", "ResolvedDependencies")).message, "resolved 1 chart dependencies");
  await t.ready("HelmChart", "each", `1.0.0+${first.slice(0, 12)}`);
  const second = await t.push(files("1.0.0", { "templates/more.yaml": "kind: Secret\n" }));
  await t.ready("HelmChart", "each", `1.0.0+${second.slice(0, 12)}`);
  const same = await t.until("HelmChart", "web", "looked at the second commit", (object) => statusOf(object).observedSourceArtifactRevision === `main@sha1:${second}`);
  assert.equal(statusOf(same).artifact?.digest, statusOf(web).artifact?.digest, "the same version is the same package");
  await t.push(files("1.1.0"));
  await t.ready("HelmChart", "web", "1.1.0");
});

test("[HS6] [SR81] a repository in a registry only says where charts are: no status, no finalizer; the commands call it ready", async () => {
  const t = await system.tenant();
  const push = async (version: string) =>
    registry.push(`${t.namespace}/web`, version, [{ mediaType: "application/vnd.cncf.helm.chart.content.v1.tar+gzip", bytes: await chartPackage("web", version) }]);
  await push("1.0.0");
  await t.create("HelmRepository", "charts", { spec: { url: registry.repoUrl(t.namespace), type: "oci", interval: "1h" } });
  await chart(t, "web", { chart: "web", version: "*" });
  await t.ready("HelmChart", "web", "1.0.0");
  const got = await onCluster(t, "get", "sources", "helm", "charts");
  assert.match(got.stdout, /charts\s+False\s+True\s+Helm repository is Ready/);
  assert.equal((await onCluster(t, "reconcile", "source", "helm", "charts")).code, 0);
  await push("1.1.0");
  await t.request("HelmChart", "web");
  await t.ready("HelmChart", "web", "1.1.0");
  const { metadata, status } = await t.get("HelmRepository", "charts");
  assert.deepEqual([metadata.finalizers, status], [undefined, { observedGeneration: -1 }]);

  await t.create("Secret", "user", { data: Object.fromEntries(Object.entries(user).map(([key, value]) => [key, Buffer.from(value).toString("base64")])) });
  charts.publish("web", "2.0.0", await chartPackage("web", "2.0.0"));
  await t.edit("HelmRepository", "charts", { spec: { url: charts.url, type: "default", secretRef: { name: "user" } } });
  const stored = statusOf(await t.ready("HelmRepository", "charts"));
  await t.ready("HelmChart", "web", "2.0.0");
  await t.edit("HelmRepository", "charts", { spec: { url: registry.repoUrl(t.namespace), type: "oci", secretRef: null } });
  await t.until("HelmRepository", "charts", "without status", ({ metadata: { finalizers = [] }, status: said }) => finalizers.length === 0 && !said?.artifact && !said?.conditions);
  await eventually("its index gone", async () => (await fetch(stored.artifact?.url ?? "")).status === 404);
  await t.remove("HelmRepository", "charts");
  await t.untilGone("HelmRepository", "charts");
});

test("[HS5] [HS12] [HS20] what fails keeps the last good artifact, and says so with Flux's reasons; what is deleted leaves nothing", async () => {
  const t = await tenant();
  await chart(t, "web", { version: "1.x" });
  const good = statusOf(await t.ready("HelmChart", "web", "1.0.0"));
  const index = statusOf(await t.ready("HelmRepository", "charts")).artifact;
  try {
    charts.spoil = ({ path }) => (path.endsWith("index.yaml") ? { status: 503 } : undefined);
    await t.request("HelmRepository", "charts");
    const failing = await t.failing("HelmRepository", "charts", "Failed");
    assert.deepEqual(typesOf(failing).sort(), ["ArtifactInStorage=True Succeeded", "FetchFailed=True Failed", "Ready=False Failed", "Reconciling=True ProgressingWithRetry"]);
    charts.spoil = ({ path }) => (path.endsWith("index.yaml") ? { status: 200, body: "<html>" } : undefined);
    await t.request("HelmRepository", "charts");
    await t.failing("HelmRepository", "charts", "IndexationFailed");
    charts.publish(t.namespace, "1.1.0", await chartPackage(t.namespace, "1.1.0"));
    charts.spoil = ({ path }) => (path.endsWith("1.1.0.tgz") ? { status: 200, body: "another file" } : undefined);
    await t.request("HelmRepository", "charts");
    const pulled = await t.failing("HelmChart", "web", "ChartPullError");
    assert.deepEqual(typesOf(pulled).sort(), ["ArtifactInStorage=True ChartPullSucceeded", "FetchFailed=True ChartPullError", "Ready=False ChartPullError", "Reconciling=True ProgressingWithRetry"]);
    assert.equal(statusOf(pulled).artifact?.digest, good.artifact?.digest);
    await isServed(good.artifact, good.url);
  } finally {
    charts.spoil = undefined;
  }
  assert.notEqual(index, undefined);
  await t.request("HelmChart", "web");
  const last = statusOf(await t.ready("HelmChart", "web", "1.1.0"));
  await Promise.all([t.remove("HelmChart", "web"), t.remove("HelmRepository", "charts")]);
  await Promise.all([t.untilGone("HelmChart", "web"), t.untilGone("HelmRepository", "charts")]);
  await eventually("its package gone", async () => (await fetch(last.artifact?.url ?? "")).status === 404);
});

test("[HS21] a chart in a registry is published when it is signed as the trust policy of notation asks, and not before", async () => {
  const t = await tenant();
  const notary = await Notary.open();
  const root = notary.authority("root");
  await t.create("Secret", "trust", { stringData: trustSecret([root]) });
  const { manifest } = await registry.push(`${t.namespace}/web`, "1.0.0", [{ mediaType: "application/vnd.cncf.helm.chart.content.v1.tar+gzip", bytes: await chartPackage("web", "1.0.0") }]);
  await t.create("HelmRepository", "oci", { spec: { url: registry.repoUrl(t.namespace), type: "oci", interval: "1h" } });
  await chart(t, "web", { chart: "web", version: "1.0.0", sourceRef: { kind: "HelmRepository", name: "oci" }, verify: { provider: "notation", secretRef: { name: "trust" } } });
  const failing = await t.failing("HelmChart", "web", "ChartVerificationError");
  assert.equal(conditionOf(failing, "SourceVerified")?.status, "False");
  assert.equal(statusOf(failing).artifact, undefined);
  const blob = notary.sign(described(manifest), [notary.signer(root, "release"), root]);
  await attachEnvelopes(registry, `${t.namespace}/web`, described(manifest), [{ mediaType: envelopes.jws, blob }]);
  const published = await t.ready("HelmChart", "web", "1.0.0");
  assert.equal(conditionOf(published, "SourceVerified")?.message, "verified signature of version 1.0.0");
});
