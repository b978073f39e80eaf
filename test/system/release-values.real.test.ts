/** Values of a release out of files in Git, beside the chart's own repository, on one `flotilla up`. */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { eventually } from "../../deploy/local/eventually.ts";
import type { Commit } from "../../deploy/local/git-commit.ts";
import type { ActorView } from "#protocol/messages/fleet.ts";
import type { StoredSpan } from "#protocol/trace/span.ts";
import { ownCluster, scratchFolder } from "../kit/cluster.ts";
import { runCommand, startFlotilla } from "./flotilla.ts";
import type { KubeObject } from "./kube.ts";
import { chartFiles, configMap, deployment, file } from "./objects.ts";
import { startSystem } from "./system.ts";
import { conditionOf, type Tenant } from "./tenant.ts";

const { kubeconfig, auditLog } = await ownCluster();
const system = await startSystem({ kubeconfig, auditLog });
after(() => system.close());

const template = file(configMap("settings", { said: "{{ .Values.said }}", revision: "{{ .Release.Revision }}" }));
const fleetOf = (t: Tenant) => system.git.repoUrl(`${t.namespace}-fleet`);

/** Adds a commit to the repository of values, and lets the webhook say so. */
async function push(t: Tenant, files: Commit["files"]): Promise<string> {
  const sha = await system.git.commit(`${t.namespace}-fleet`, { files, message: "other values" });
  await system.flotilla.announce(fleetOf(t));
  return sha;
}

const fleet = (t: Tenant, name = "fleet") => t.create("GitRepository", name, { spec: { url: fleetOf(t), ref: { branch: "main" }, interval: "1h" } });
const values = { kind: "GitRepository", name: "fleet", valuesKey: "prod/shop.yaml" };
const said = (text: string) => ({ "prod/shop.yaml": `said: ${text}\n` });

/** A chart in one repository, values in another, and a release of both. */
async function tenant(spec: Record<string, unknown> = { valuesFrom: [values] }): Promise<Tenant> {
  const t = await system.tenant();
  await system.git.createRepo(`${t.namespace}-fleet`);
  await Promise.all([t.commit(chartFiles(template)), push(t, said("one"))]);
  await t.source();
  await t.create("HelmChart", "shop", { spec: { chart: "./chart", sourceRef: { kind: "GitRepository", name: "app" }, interval: "1h" } });
  await t.create("HelmRelease", "shop", { spec: { chartRef: { kind: "HelmChart", name: "shop" }, interval: "1h", timeout: "30s", ...spec } });
  return t;
}

const history = ({ status }: KubeObject) => ((status as { history?: { version: number; status: string }[] } | undefined)?.history ?? []).map(({ version, status: is }) => `${version} ${is}`);
const ready = (t: Tenant, revision: string) =>
  t.until("HelmRelease", "shop", `Ready with ${revision}`, (release) => conditionOf(release, "Ready")?.status === "True" && release.status?.observedGeneration === release.metadata.generation && history(release)[0] === revision);
const wordOf = async (t: Tenant) => (await t.get("ConfigMap", "settings")).data?.["said"];

async function api<T>(path: string): Promise<T> {
  const { url, token } = system.flotilla;
  return (await (await fetch(`${url}/api/v1/${path}`, { headers: { authorization: `Bearer ${token}` } })).json()) as T;
}

/** The release has done with this commit, whatever it came to. */
const taken = (t: Tenant, sha: string) =>
  eventually(`the release at ${sha}`, async () => {
    const { actors } = await api<{ actors: ActorView[] }>("actors");
    return actors.some(({ id, state, revision }) => id === `helmrelease/${t.namespace}/shop` && state === "settled" && revision?.includes(sha.slice(0, 12)));
  });

test("[HR18] [HR19] a commit to a values file is released at once, in the commit's trace; one to another file costs no request for the release", async () => {
  const t = await tenant();
  await fleet(t);
  await ready(t, "1 deployed");
  assert.equal(await wordOf(t), "one");

  const second = await push(t, said("two"));
  await ready(t, "2 deployed");
  assert.equal(await wordOf(t), "two");
  const names = await eventually("the release in the trace of the commit", async () => {
    const { traces } = await api<{ traces: { traceId: string }[] }>(`traces?commit=${second}`);
    const { spans = [] } = traces[0] ? await api<{ spans?: StoredSpan[] }>(`traces/${traces[0].traceId}`) : {};
    const all = spans.map(({ name }) => name);
    return all.includes("SYNC helmrelease/shop") ? all : undefined;
  });
  for (const name of ["fetch", "find chart", "release"]) assert.ok(names.includes(name), `${name} in ${names.join(", ")}`);

  const before = await t.get("HelmRelease", "shop");
  const audit = await system.audit();
  await taken(t, await push(t, { "README.md": "nothing of values\n" }));
  const asked = (await audit.requests()).filter(({ namespace, resource, verb }) => namespace === t.namespace && verb !== "watch" && resource !== "gitrepositories" && resource !== "events");
  assert.deepEqual(asked.map(({ verb, resource, name }) => `${verb} ${resource} ${name}`), []);
  assert.equal((await t.get("HelmRelease", "shop")).metadata.resourceVersion, before.metadata.resourceVersion);
});

test("[HR18] a file that goes fails the release, whose objects stay; it goes on when the file is back", async () => {
  const t = await tenant();
  await fleet(t);
  await ready(t, "1 deployed");
  const gone = await push(t, { "prod/shop.yaml": null });
  const failed = await t.failing("HelmRelease", "shop", "ValuesError");
  const message = conditionOf(failed, "Ready")?.message ?? "";
  assert.match(message, new RegExp(`^GitRepository ${t.namespace}/fleet, file prod/shop\\.yaml: there is no such file in main@sha1:${gone} \\(`));
  assert.deepEqual([history(failed), await wordOf(t)], [["1 deployed"], "one"]);
  const told = await t.untilTold("HelmRelease", "shop", "Warning", "ValuesError");
  assert.match(told.message, /there is no such file/);

  await push(t, { "prod/shop.yaml/nested.yaml": "said: hunter2\n" });
  await t.until("HelmRelease", "shop", "says that it is a directory", (release) => /prod\/shop\.yaml: it is a directory/.test(conditionOf(release, "Ready")?.message ?? ""));
  await push(t, { "prod/shop.yaml/nested.yaml": null, "prod/shop.yaml": "a: 1\nhunter2: [\n" });
  await t.until("HelmRelease", "shop", "says that it is no YAML", (release) => /file prod\/shop\.yaml: not YAML with a map of values: line \d+ \(/.test(conditionOf(release, "Ready")?.message ?? ""));
  await push(t, said("two"));
  await ready(t, "2 deployed");
  assert.equal(await wordOf(t), "two");
  const everything = JSON.stringify([t.told("HelmRelease", "shop"), t.seen("HelmRelease", "shop"), system.flotilla.logs()]);
  assert.doesNotMatch(everything, /hunter2/);
});

test("[HR18] a source that is not there yet is waited for; suspended, or deleted, it leaves the release as it is", async () => {
  const t = await tenant();
  const missing = await t.failing("HelmRelease", "shop", "ValuesError");
  assert.match(conditionOf(missing, "Ready")?.message ?? "", new RegExp(`could not find GitRepository '${t.namespace}/fleet'`));
  const why = await runCommand(["why", "helmrelease", "shop", "-n", t.namespace, "--kubeconfig", system.kubeconfig]);
  assert.equal(why.code, 1);
  assert.match(why.stdout, new RegExp(`^HelmRelease/${t.namespace}/shop is blocked: GitRepository/${t.namespace}/fleet is missing`));
  await fleet(t);
  await ready(t, "1 deployed");

  await t.edit("GitRepository", "fleet", { spec: { suspend: true } });
  await push(t, said("two"));
  await t.reconciled("HelmRelease", "shop");
  assert.equal(await wordOf(t), "one");
  await t.edit("GitRepository", "fleet", { spec: { suspend: false } });
  await ready(t, "2 deployed");
  assert.equal(await wordOf(t), "two");

  await t.remove("GitRepository", "fleet");
  await t.untilGone("GitRepository", "fleet");
  await t.reconciled("HelmRelease", "shop");
  const orphan = await t.failing("HelmRelease", "shop", "ValuesError");
  assert.deepEqual([history(orphan)[0], await wordOf(t)], ["2 deployed", "two"]);
  await push(t, said("three"));
  await fleet(t);
  await ready(t, "3 deployed");
});

test("[HR18] the place in the list decides, and what is optional may be missing: a file, and a source", async () => {
  const t = await tenant({
    valuesFrom: [
      { kind: "GitRepository", name: "none", valuesKey: "a.yaml", optional: true }, values, { kind: "ConfigMap", name: "over" },
      { kind: "GitRepository", name: "fleet", valuesKey: "local/shop.yaml", optional: true },
    ],
  });
  await t.create("ConfigMap", "over", { data: { "values.yaml": "said: over\n" } });
  await fleet(t);
  await ready(t, "1 deployed");
  assert.equal(await wordOf(t), "over");
  await push(t, { "local/shop.yaml": "said: local\n" });
  await ready(t, "2 deployed");
  assert.equal(await wordOf(t), "local");
  // A source that comes later is waited for no longer than it has no artifact.
  await fleet(t, "none");
  await push(t, { "a.yaml": "said: first\n" });
  await t.ready("GitRepository", "none");
  await t.reconciled("HelmRelease", "shop");
  assert.equal(await wordOf(t), "local");
});

test("[CL43] diff reads the files that the cluster's source offers, or those of a directory that stands for it", async () => {
  const t = await tenant();
  await fleet(t);
  await ready(t, "1 deployed");
  const diff = (...args: string[]) => runCommand(["diff", "helmrelease", "shop", "-n", t.namespace, "--kubeconfig", system.kubeconfig, ...args]);
  const same = await diff(); // the chart itself says which revision it is
  assert.match(same.stdout, /settings changed\n\s+\/data\/revision: "1" → "2"\n$/, same.stderr);
  const here = scratchFolder();
  await mkdir(join(here, "prod"));
  await writeFile(join(here, "prod/shop.yaml"), "said: local\n");
  const other = await diff("--values-root", here);
  assert.equal(other.code, 1, other.stderr);
  assert.match(other.stdout, /\/data\/said: "one" → "local"/);
});

test("[HR18] a file of an ExternalArtifact that a generator makes: a commit to its part of the repository is released", async () => {
  const t = await tenant({ valuesFrom: [{ kind: "ExternalArtifact", name: "prod", valuesKey: "shop.yaml" }] });
  await fleet(t);
  await t.create("ArtifactGenerator", "split", { spec: { sources: [{ alias: "fleet", kind: "GitRepository", name: "fleet" }], artifacts: [{ name: "prod", copy: [{ from: "@fleet/prod/**", to: "@artifact/" }] }] } });
  await ready(t, "1 deployed");
  await push(t, { "README.md": "nothing of values\n" });
  await push(t, said("two"));
  await ready(t, "2 deployed");
  assert.equal(await wordOf(t), "two");
});

test("[HR20] a commit that changes a chart and values beside it is one revision; one that changes values alone is released too", async () => {
  const t = await system.tenant();
  const chartOf = (more: string) => chartFiles(file(configMap("settings", { said: `{{ .Values.said }} ${more}` })));
  await t.commit({ ...chartOf("first"), ...said("one") });
  await t.source();
  await t.helmRelease("shop", { valuesFrom: [{ ...values, name: "app" }] });
  await ready(t, "1 deployed");
  const sha = await t.push({ ...chartOf("second"), ...said("two") });
  await ready(t, "2 deployed");
  assert.equal(await wordOf(t), "two second");
  await taken(t, sha);
  assert.deepEqual(history(await t.get("HelmRelease", "shop")), ["2 deployed", "1 superseded"]);
  await t.edit("HelmRelease", "shop", { spec: { chart: { spec: { reconcileStrategy: "ChartVersion" } } } });
  await ready(t, "3 deployed"); // its chart has another version by that
  await t.push(said("three"));
  await ready(t, "4 deployed");
  assert.equal(await wordOf(t), "three second");
});

test("[HR12] [HR18] killed in the middle of an upgrade whose values went on meanwhile: it is finished as it was begun, then released anew", async () => {
  const t = await system.tenant();
  await system.git.createRepo(`${t.namespace}-fleet`);
  const slow = `${template}---\n{{ if .Values.slow }}${file(deployment("slow", "example.com/web:missing"))}{{ end }}`;
  await Promise.all([t.commit(chartFiles(slow)), push(t, said("one"))]);
  await t.source();
  await fleet(t);
  await t.create("HelmChart", "shop", { spec: { chart: "./chart", sourceRef: { kind: "GitRepository", name: "app" }, interval: "1h" } });
  await t.create("HelmRelease", "shop", { spec: { chartRef: { kind: "HelmChart", name: "shop" }, interval: "1h", timeout: "8s", valuesFrom: [values] } });
  await ready(t, "1 deployed");
  await push(t, { "prod/shop.yaml": "said: two\nslow: true\n" });
  await eventually("the upgrade under way", async () => (await t.find("ConfigMap", "settings"))?.data?.["said"] === "two" && (await t.find("Deployment", "slow")));
  // The artifact that it is made of goes with the second one after it.
  for (const word of ["three", "four", "five"]) await t.ready("GitRepository", "fleet", await push(t, said(word)));
  await system.flotilla.crash();
  const { data, url } = system.flotilla;
  system.flotilla = await startFlotilla({ kubeconfig: system.kubeconfig, data, listen: new URL(url).host, args: ["--artifact-cache", "0"] });
  await t.until("HelmRelease", "shop", "released anew", (release) => history(release)[0] === "3 deployed");
  assert.equal(await wordOf(t), "five");
  const { items } = await system.kube.get<{ items: { metadata: { labels: Record<string, string> } }[] }>(`/api/v1/namespaces/${t.namespace}/secrets?labelSelector=owner%3Dhelm`);
  assert.deepEqual(items.map(({ metadata: { labels } }) => `${labels["version"]} ${labels["status"]}`).sort(), ["1 superseded", "2 failed", "3 deployed"]);
  assert.deepEqual(t.told("HelmRelease", "shop").filter(({ message }) => /artifact/i.test(message)), []);
});
