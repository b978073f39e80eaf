/** `build helmrelease` with the real engine: what a worker would make of a chart on this machine. */
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { helmProgram } from "#services/render/helm/program.ts";
import { buildWasm } from "#services/render/wasm-file.ts";
import { configMap, lines, pack } from "#services/render/fixtures.ts";
import type { FluxObject } from "./cluster.ts";
import { FakeShell } from "./fake-shell.ts";
import { openBuilder } from "./local/builder.ts";
import { main } from "./main.ts";

await buildWasm(() => {}, process.env, helmProgram);
const root = mkdtempSync(join(tmpdir(), "flotilla-chart-"));
after(() => rmSync(root, { recursive: true, force: true }));
function files(all: Record<string, string>): void {
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}
files({
  "prod.yaml": "size: 3\n",
  "chart/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
  "chart/values.yaml": "size: 1\nword: none\n",
  "chart/crds/a.yaml": "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: a.example.org}\n",
  "chart/templates/a.yaml": configMap("{{ .Release.Name }}-{{ .Release.Revision }}", '{size: "{{ .Values.size }}", word: "is {{ .Values.word }}", kube: "{{ .Capabilities.KubeVersion.Version }}", has: "{{ .Capabilities.APIVersions.Has `v1` }}"}'),
  "chart/templates/b.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {word: '{{ .Values.word }}'}\n",
  "chart/templates/c.yaml": "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j, annotations: {helm.sh/hook: pre-install}}\n",
});

const release = (spec: object = {}, status: object = {}) => ({
  apiVersion: "helm.toolkit.fluxcd.io/v2", kind: "HelmRelease", metadata: { name: "shop", namespace: "apps", uid: "u-1", resourceVersion: "7", generation: 1 },
  spec: { interval: "1m", chart: { spec: { chart: "./chart", sourceRef: { kind: "GitRepository", name: "shop" } } }, ...spec }, status,
});

async function run(argv: string[], object: object | undefined, path = join(root, "chart"), sources: object[] = []) {
  const shell = new FakeShell();
  shell.objects["GitRepository"] = sources as FluxObject[];
  shell.objects["HelmRelease"] = object ? [object as FluxObject] : [];
  shell.data["Secret/apps/words"] = { data: { "values.yaml": new TextEncoder().encode("word: hunter2\n") } } as never;
  shell.openBuilder = () => Promise.resolve(openBuilder());
  const code = await main(["build", "helmrelease", "shop", "-n", "apps", "--path", path, "--root", root, ...argv], shell);
  return { code, shell, objects: () => JSON.parse(shell.stdout) as { kind: string; metadata: { name: string; labels?: object }; data?: object; stringData?: object }[] };
}

test("[CL40] what a chart on this machine becomes: definitions, the manifest in its order, hooks; labelled as by a worker", async () => {
  const { code, shell, objects } = await run(["--json"], release({ values: { word: "here" } }));
  assert.equal(code, 0, shell.stderr);
  assert.deepEqual(objects().map(({ kind, metadata }) => `${kind}/${metadata.name}`), ["CustomResourceDefinition/a.example.org", "Secret/s", "ConfigMap/shop-1", "Job/j"]);
  const [, , map] = objects();
  assert.deepEqual(map?.data, { size: "1", word: "is here", kube: "v1.37.2", has: "true" });
  assert.deepEqual(map?.metadata.labels, { "helm.toolkit.fluxcd.io/name": "shop", "helm.toolkit.fluxcd.io/namespace": "apps" });
});

test("[CL40] values files of the source, values of a Secret, which nobody sees, and the next revision", async () => {
  const chart = { spec: { chart: "./chart", sourceRef: { kind: "GitRepository", name: "shop" }, valuesFiles: ["chart/values.yaml", "prod.yaml"] } };
  const { objects, shell } = await run(["--json"], release({ chart, valuesFrom: [{ kind: "Secret", name: "words" }], upgrade: { crds: "Skip" } }, { history: [{ version: 4 }] }));
  const [secret, map] = objects();
  assert.deepEqual(map?.data, { size: "3", word: "is *****", kube: "v1.37.2", has: "true" });
  assert.equal(map?.metadata.name, "shop-5");
  assert.deepEqual(secret?.stringData, { word: "*****" });
  assert.doesNotMatch(shell.stdout + shell.stderr, /hunter2/);
});

test("[CL40] with a file and --dry-run no cluster is asked", async () => {
  const file = join(root, "release.yaml");
  writeFileSync(file, lines("apiVersion: helm.toolkit.fluxcd.io/v2", "kind: HelmRelease", "metadata: {name: shop}", "spec: {interval: 1m, chartRef: {kind: OCIRepository, name: web}, valuesFrom: [{kind: Secret, name: words}]}"));
  const { code, shell, objects } = await run(["--json", "--dry-run", "--helmrelease-file", file, "--kube-version", "v1.30.1", "--api-versions", "apps/v1"], undefined);
  assert.equal(code, 0, shell.stderr);
  assert.deepEqual(shell.opened, []);
  assert.deepEqual(objects().find(({ kind }) => kind === "ConfigMap")?.data, { size: "1", word: "is none", kube: "v1.30.1", has: "false" });
  assert.match(shell.stderr, /the values of Secret\/words count as absent/);
});

for (const { what, object, path, argv, says } of [
  { what: "no such object", object: undefined, says: /HelmRelease 'shop' not found in namespace apps: give its file with --helmrelease-file/ },
  { what: "a directory that is no chart", object: release(), path: root, says: /Chart\.yaml file is missing/ },
  { what: "a values file that is missing", object: release({ chart: { spec: { chart: "./chart", sourceRef: { kind: "GitRepository", name: "shop" }, valuesFiles: ["none.yaml"] } } }), says: /values file none\.yaml: not found/ },
  { what: "a Secret that is missing", object: release({ valuesFrom: [{ kind: "Secret", name: "none" }] }), says: /could not find Secret 'apps\/none'/ },
  { what: "--dry-run without a file", object: release(), argv: ["--dry-run"], says: /give the HelmRelease with --helmrelease-file/ },
] as { what: string; object: object | undefined; path?: string; argv?: string[]; says: RegExp }[])
  test(`[CL40] ${what} is said: ${says.source}`, async () => {
    const { code, shell } = await run(argv ?? [], object, path);
    assert.notEqual(code, 0);
    assert.match(shell.stderr, says);
  });

const sourceOf = (name: string) => ({ kind: "GitRepository", name });
const file = (name: string, valuesKey: string, more: object = {}) => ({ ...sourceOf(name), valuesKey, ...more });
const mapIn = (objects: { kind: string; data?: object }[]) => objects.find(({ kind }) => kind === "ConfigMap")?.data as { size: string; word: string } | undefined;

test("[CL43] files of values beside the chart are read from this machine, also without a cluster; another source's directory is named", async () => {
  files({ "fleet/words.yaml": "word: fleet\n", "fleet/.sourceignore": "secret.yaml\n", "fleet/secret.yaml": "word: ignored\n" });
  const beside = await run(["--json"], release({ valuesFrom: [file("shop", "prod.yaml")] }));
  assert.equal(beside.code, 0, beside.shell.stderr);
  assert.equal(mapIn(beside.objects())?.size, "3");
  const both = release({ valuesFrom: [file("shop", "prod.yaml"), file("fleet", "words.yaml"), file("fleet", "secret.yaml", { optional: true })] });
  const { code, shell, objects } = await run(["--json", "--values-root", `GitRepository/fleet=${join(root, "fleet")}`], both);
  assert.equal(code, 0, shell.stderr);
  assert.deepEqual([mapIn(objects())?.size, mapIn(objects())?.word], ["3", "is fleet"]);

  const path = join(root, "with-values.yaml");
  writeFileSync(path, JSON.stringify({ ...release({ chart: undefined, chartRef: { kind: "OCIRepository", name: "web" }, valuesFrom: [file("fleet", "words.yaml"), file("other", "a.yaml"), { kind: "Secret", name: "words" }] }) }));
  const alone = await run(["--json", "--dry-run", "--helmrelease-file", path, "--values-root", `gitrepository/apps/fleet=${join(root, "fleet")}`], undefined);
  assert.equal(alone.code, 0, alone.shell.stderr);
  assert.equal(mapIn(alone.objects())?.word, "is fleet");
  assert.deepEqual(alone.shell.opened, []);
  assert.match(alone.shell.stderr, /the values of GitRepository\/other \(a\.yaml\), Secret\/words count as absent/);
});

for (const { what, valuesFrom, argv = [], says } of [
  { what: "a file that is not in the directory", valuesFrom: [file("shop", "none.yaml")], says: /GitRepository apps\/shop, file none\.yaml: there is no such file in \// },
  { what: "a directory for no source", valuesFrom: [], argv: ["--values-root", "."], says: /no entry of spec\.valuesFrom is a file of a source/ },
  { what: "a directory for another source", valuesFrom: [file("fleet", "a")], argv: ["--values-root", "Bucket/fleet=."], says: /no entry of spec\.valuesFrom is a file of Bucket\/fleet/ },
  { what: "one directory for several sources", valuesFrom: [file("a", "a"), file("b", "b")], argv: ["--values-root", "."], says: /say which one it is for, as KIND\/NAME=DIR: GitRepository\/a, GitRepository\/b/ },
  { what: "no directory", valuesFrom: [file("a", "a")], argv: ["--values-root", "/none"], says: /--values-root: no directory \/none/ },
  { what: "a source that is not in the cluster", valuesFrom: [file("none", "a")], says: /could not find GitRepository 'apps\/none'/ },
  { what: "a path that leads out", valuesFrom: [file("shop", "../a")], says: /spec\.valuesFrom\[0\]\.valuesKey: \.\.\/a leads out of the artifact/ },
] as { what: string; valuesFrom: object[]; argv?: string[]; says: RegExp }[])
  test(`[CL43] ${what}: ${says.source}`, async () => {
    const { code, shell } = await run(argv, release({ valuesFrom }));
    assert.notEqual(code, 0);
    assert.match(shell.stderr, says);
  });

test("[CL43] otherwise files are read from what their source in the cluster offers, once each", async () => {
  const source = await offered("GitRepository", "charts", { revision: "main@sha1:4c1d" });
  downloads = 0;
  const found = await run(["--json"], release({ valuesFrom: [file("charts", "web/values.yaml"), file("charts", "web/more.yaml", { optional: true }), { kind: "Secret", name: "words" }] }), undefined, [source]);
  assert.equal(found.code, 0, found.shell.stderr);
  assert.equal(mapIn(found.objects())?.word, "is *****");
  assert.equal(downloads, 1);
  const wrong = await run([], release({ valuesFrom: [file("charts", "none.yaml")] }), undefined, [await offered("GitRepository", "charts", { revision: "main@sha1:4c1d" })]);
  assert.match(wrong.shell.stderr, /GitRepository apps\/charts, file none\.yaml: there is no such file in main@sha1:4c1d/);
  const away = await run([], release({ valuesFrom: [file("charts", "a")] }), undefined, [await offered("GitRepository", "charts", { url: "http://127.0.0.1:1/a.tar.gz" })]);
  assert.match(away.shell.stderr, /the artifact of GitRepository\/apps\/charts cannot be fetched .* give its files with --values-root/);
});

let downloads = 0;

/** A source with the chart, as a worker publishes it. */
async function offered(kind: string, name: string, { revision = "1.0.0", digest, url }: { revision?: string; digest?: string; url?: string } = {}) {
  const tgz = Buffer.from(await pack(["Chart.yaml", "values.yaml", "templates/a.yaml"].map((path) => ({ name: `web/${path}`, content: readFileSync(join(root, "chart", path), "utf8") }))));
  const gateway = createServer((_, response) => { downloads++; response.end(tgz); });
  await new Promise<void>((listening) => gateway.listen(0, "127.0.0.1", listening));
  after(() => gateway.close());
  const artifact = {
    url: url ?? `http://127.0.0.1:${(gateway.address() as AddressInfo).port}/chart.tgz`, path: "p", revision, digest: digest ?? `sha256:${hash("sha256", tgz)}`, lastUpdateTime: "2026-01-01T00:00:00Z", size: tgz.length,
  };
  return { apiVersion: "source.toolkit.fluxcd.io/v1", kind, metadata: { name, namespace: "apps" }, spec: {}, status: { artifact } };
}

async function runOffered(source: { kind: string }, spec: object, argv = ["--json"]) {
  const shell = new FakeShell();
  shell.objects["HelmRelease"] = [release(spec) as FluxObject];
  shell.objects[source.kind] = [source as unknown as FluxObject];
  shell.openBuilder = () => Promise.resolve(openBuilder());
  return { code: await main(["build", "helmrelease", "shop", "-n", "apps", ...argv], shell), shell };
}

const chartRef = { chart: undefined, chartRef: { kind: "OCIRepository", name: "web" } };
const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

test("[CL41] without --path the chart is the one that the release's source offers, under the version that its worker gives it", async () => {
  const { code, shell } = await runOffered(await offered("OCIRepository", "web", { revision: `1.0.0@${digest}` }), { ...chartRef, values: { word: "here" } });
  assert.equal(code, 0, shell.stderr);
  assert.match(shell.stdout, /"word": "is here"/);
  const ofHelmChart = await runOffered(await offered("HelmChart", "apps-shop"), {});
  assert.equal(ofHelmChart.code, 0, ofHelmChart.shell.stderr);
});

for (const { what, source, spec = chartRef, says } of [
  { what: "no source", source: () => offered("OCIRepository", "another"), says: /OCIRepository\/apps\/web, which has the chart, not found: give the chart with --path/ },
  { what: "a source without an artifact", source: async () => ({ ...(await offered("OCIRepository", "web")), status: {} }), says: /OCIRepository\/apps\/web has no artifact: flotilla why helmrelease shop/ },
  { what: "an address that cannot be reached from here", source: () => offered("OCIRepository", "web", { url: "http://127.0.0.1:1/chart.tgz" }), says: /cannot be fetched from where the worker offers it .*give the chart with --path/ },
  { what: "another archive than the source says", source: () => offered("OCIRepository", "web", { digest }), says: /is not the artifact of OCIRepository\/apps\/web/ },
  { what: "a tag that is not the chart's version", source: () => offered("OCIRepository", "web", { revision: `2.0.0@${digest}` }), says: /artifact revision 2\.0\.0 does not match chart version 1\.0\.0/ },
] as { what: string; source: () => Promise<{ kind: string }>; spec?: object; says: RegExp }[])
  test(`[CL41] ${what}: ${says.source}`, async () => {
    const { code, shell } = await runOffered(await source(), spec);
    assert.notEqual(code, 0);
    assert.match(shell.stderr, says);
  });
