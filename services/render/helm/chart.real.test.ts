/** Charts by the real engine. */
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import test from "node:test";
import { lines, pack, type Files } from "../fixtures.ts";
import { unpack } from "../unpack.ts";
import { chart, chartYaml, faultOf, helmEngine, plainly } from "./fixtures.ts";

const engine = await helmEngine();
const { signal } = new AbortController();
const crd = (name: string) => `apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: ${name}}\n`;
const bytes = (files: Files) => new Map(Object.entries(files).map(([path, text]) => [path, new TextEncoder().encode(text)]));

test("[HE1] what a chart is: its metadata, values, schema, charts and CRDs, those of its charts included", async () => {
  const inner = await chart({ "crds/b.yaml": crd("b.example.org"), "values.yaml": "x: 1" }, "db");
  const dependency = "dependencies: [{name: db, version: 1.x, repository: 'https://example.org', condition: db.enabled, tags: [data]}]\n";
  const of = await chart({
    "Chart.yaml": chartYaml(`${dependency}kubeVersion: '>=1.30.0'\nannotations: {a: b}\n`), "values.yaml": "a: {b: 1}\n", "values.schema.json": "{}",
    "crds/a.yaml": `${crd("a.example.org")}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: no-crd}\n`,
  });
  const { tgz } = await engine.packageChart({ chart: of.tgz, dependencies: [inner.tgz] }, signal);
  const facts = await engine.loadChart(await handleOf(tgz), signal);
  assert.deepEqual(facts, {
    name: "web", version: "1.2.3", appVersion: "7.8", apiVersion: "v2", description: "", type: "", kubeVersion: ">=1.30.0", deprecated: false, annotations: { a: "b" },
    dependencies: [{ name: "db", version: "1.x", repository: "https://example.org", condition: "db.enabled", tags: ["data"] }],
    charts: ["db"], values: '{"a":{"b":1}}', hasSchema: true,
    crds: [
      { path: "web/crds/a.yaml", objects: [{ apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", metadata: { name: "a.example.org" } }] },
      { path: "web/charts/db/crds/b.yaml", objects: [{ apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", metadata: { name: "b.example.org" } }] },
    ],
  });
});

const handleOf = async (tgz: Uint8Array) => ({ digest: `sha256:${hash("sha256", tgz)}`, load: async () => tgz });
const entry = (name: string, content = "", more = {}) => ({ name, content, ...more });
const big = "a".repeat(5 * 1024 * 1024 + 1);
const hostile: { what: string; entries: Parameters<typeof pack>[0]; says: RegExp }[] = [
  { what: "no chart", entries: [entry("web/README.md", "x")], says: /Chart\.yaml file is missing/ },
  { what: "nothing at all", entries: [], says: /no files in chart archive/ },
  { what: "a path that leads out", entries: [entry("web/Chart.yaml", chartYaml()), entry("web/../../etc/passwd", "x")], says: /illegally references parent directory/ },
  { what: "an absolute path", entries: [entry("web/Chart.yaml", chartYaml()), entry("web//etc/passwd", "x")], says: /absolute paths/ },
  { what: "a file of Windows", entries: [entry("web/Chart.yaml", chartYaml()), entry("web/c:/x", "x")], says: /illegally named files/ },
  { what: "a file that is too large", entries: [entry("web/Chart.yaml", chartYaml()), entry("web/big", big)], says: /larger than the maximum file size/ },
  { what: "too much in all", entries: [entry("web/Chart.yaml", chartYaml()), ...Array.from({ length: 14 }, (_, n) => entry(`web/${n}`, big.slice(1)))], says: /larger than the maximum size/ },
  { what: "too many files", entries: [entry("web/Chart.yaml", chartYaml()), ...Array.from({ length: 10_000 }, (_, n) => entry(`web/${n}`))], says: /more than 10,000 files/ },
  { what: "metadata that are no YAML", entries: [entry("web/Chart.yaml", "a: [")], says: /cannot load Chart\.yaml/ },
  { what: "a version that is none", entries: [entry("web/Chart.yaml", "apiVersion: v2\nname: web\nversion: x.y\n")], says: /chart\.metadata\.version "x\.y" is invalid/ },
  { what: "a name that leads out", entries: [entry("web/Chart.yaml", "apiVersion: v2\nname: ../web\nversion: 1.0.0\n")], says: /chart\.metadata\.name/ },
  { what: "values that are no YAML", entries: [entry("web/Chart.yaml", chartYaml()), entry("web/values.yaml", "a: [")], says: /cannot load values\.yaml/ },
];
for (const { what, entries, says } of hostile)
  test(`[HE2] ${what} is refused: ${says.source}`, async () => {
    const fault = await faultOf(engine.loadChart(await handleOf(await pack(entries)), signal));
    assert.equal(fault.code, "ChartInvalid");
    assert.match(fault.detail ?? "", says);
  });

test("[HE2] archives in archives are bounded together, and in how deep they are", async () => {
  let nested = await chart({}, "c0");
  for (let depth = 1; depth < 12; depth++) {
    const inner = Buffer.from(nested.tgz);
    const tgz = await pack([{ name: `c${depth}/Chart.yaml`, content: chartYaml("", `c${depth}`) }, { name: `c${depth}/charts/c.tgz`, content: inner as unknown as string }]);
    nested = { ...nested, ...(await handleOf(tgz)), tgz };
  }
  assert.match((await faultOf(engine.loadChart(nested, signal))).detail ?? "", /nested too deeply/);
});

test("[HE2] what is not gzip, and bytes that are not what the digest says", async () => {
  assert.equal((await faultOf(engine.loadChart(await handleOf(new Uint8Array([1, 2, 3])), signal))).code, "ChartInvalid");
  const { tgz } = await chart({});
  assert.equal((await faultOf(engine.loadChart({ digest: `sha256:${"0".repeat(64)}`, load: async () => tgz }, signal))).code, "ArtifactCorrupt");
});

test("[HE3] a directory is packaged without what .helmignore names, as Helm does", async () => {
  const files = bytes({ "Chart.yaml": chartYaml(), "values.yaml": "a: 1\n", ".helmignore": "*.bak\nci/\n", "templates/a.yaml": "a", "x.bak": "x", "ci/b.yaml": "x", "templates/.hidden": "x" });
  const { tgz, facts } = await engine.packageChart({ chart: files }, signal);
  assert.equal(facts.version, "1.2.3");
  assert.deepEqual(await namesIn(tgz), ["web/.helmignore", "web/Chart.yaml", "web/templates/a.yaml", "web/values.yaml"]);
});

test("[HE3] values files are merged into values.yaml, the version is replaced, charts are put in", async () => {
  const db = await chart({ "values.yaml": "size: 1" }, "db");
  const old = await chart({ "values.yaml": "size: 0" }, "db");
  const { tgz: withOld } = await engine.packageChart({ chart: bytes({ "Chart.yaml": chartYaml(), "values.yaml": "a: 1\n" }), dependencies: [old.tgz] }, signal);
  const request = { chart: withOld, valuesFiles: [{ path: "values.yaml", text: "a: {b: 1, c: 1}" }, { path: "prod.yaml", text: "a: {c: 2}" }], version: "1.2.3+2", dependencies: [db.tgz] };
  const { tgz, facts } = await engine.packageChart(request, signal);
  assert.equal(facts.version, "1.2.3+2");
  assert.deepEqual(JSON.parse(facts.values), { a: { b: 1, c: 2 } });
  assert.deepEqual(await namesIn(tgz), ["web/Chart.yaml", "web/charts/db/Chart.yaml", "web/charts/db/values.yaml", "web/values.yaml"]);
  assert.deepEqual((await engine.packageChart(request, signal)).tgz, tgz, "the same bytes");
  const { document } = await engine.render(plainly(await handleOf(tgz)), signal);
  assert.equal(document.chart?.metadata?.version, "1.2.3+2");
});

test("[HE3] what cannot be packaged: a version, a values file, a chart that is none", async () => {
  const files = bytes({ "Chart.yaml": chartYaml() });
  assert.equal((await faultOf(engine.packageChart({ chart: files, version: "one" }, signal))).code, "ChartVersionInvalid");
  const values = await faultOf(engine.packageChart({ chart: files, valuesFiles: [{ path: "prod.yaml", text: "- a" }] }, signal));
  assert.deepEqual([values.code, values.detail?.startsWith("values file prod.yaml: ")], ["ValuesFilesInvalid", true]);
  assert.equal((await faultOf(engine.packageChart({ chart: bytes({ "README.md": lines("x") }) }, signal))).code, "ChartPackageFailed");
});

async function namesIn(tgz: Uint8Array): Promise<string[]> {
  return [...(await unpack(tgz, "")).files.keys()].sort();
}
