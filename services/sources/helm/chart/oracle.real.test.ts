/** What is packaged here, beside what Helm's own libraries make of the same files. */
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import test from "node:test";
import { helmEngine } from "#services/render/helm/fixtures.ts";
import { chartFiles, chartPackage, tarball } from "../../../../test/kit/helm-server.ts";
import { defaultLimits } from "../limits.ts";
import { build } from "./build.ts";
import { readPackage } from "./package.ts";

const engine = await helmEngine();
const { signal } = new AbortController();
const bytesOf = (files: Record<string, string>) => new Map(Object.entries(files).map(([path, text]) => [path, Buffer.from(text)]));
const facts = (tgz: Uint8Array) => engine.loadChart({ digest: `sha256:${hash("sha256", tgz)}`, load: async () => tgz }, signal);
const options = { ignoreMissing: false, fetched: [], limits: defaultLimits, shown: "it" };

const odd = [
  "yes", "No", "on", "OFF", "y", "n", "true", "True", "~", "null", "NULL", "''", '"yes"', "1", "-1", "+1", "1.0", "1.10", ".5", "5.", "1e3", "1E-7", "1e400", "0x1f", "0o17", "017", "08", "0b11",
  "1_000", "12345678901234567890", "0.1", "-0", ".inf", "1:30", "2001-01-01", "2001-01-01T00:00:00Z", "1.2.3", "v1", "=", "<<", "a b", "|\n  two\n  lines\n", ">\n  folded\n  text\n", "[1, [yes, {a: off}]]",
  "{}", "[]", "{on: 1, 1: b, 2.5: d, 'yes': e}", "&a {x: 1}", "!!str 1", "'it''s'", '"tab\\t \\u00e9 \\x41"', "ünïcödé", "# nothing", "{~: 1}", "{[1]: 2}", "{a: 1, a: 2}", "- 1\n- 2",
];

for (const text of odd)
  test(`[HS16] a value written ${JSON.stringify(text)} means here what it means to Helm`, async () => {
    const files = chartFiles("web", "1.0.0", { "a.yaml": `before: {k: 1, keep: 2}\nv:${text.startsWith("- ") ? `\n${text}` : ` ${text}`}\n`, "b.yaml": "before: {k: [3]}\n" });
    const wanted = ["a.yaml", "b.yaml"];
    const theirs = await engine.packageChart({ chart: bytesOf(files), version: "1.0.0+1", valuesFiles: wanted.map((path) => ({ path, text: files[path] ?? "" })) }, signal).catch((thrown: unknown) => thrown as Error);
    const tree = await tarball(Object.entries(files).map(([path, contents]) => ({ path, contents })));
    const ours = await build({ ...options, origin: { kind: "tree", bytes: tree, path: "." }, version: "1.0.0+1", valuesFiles: wanted }).catch((thrown: unknown) => thrown as Error);
    if (theirs instanceof Error || ours instanceof Error) return assert.deepEqual([ours instanceof Error, theirs instanceof Error], [true, true], `${String(ours)} ${String(theirs)}`);
    const read = await facts(ours.archive);
    assert.deepEqual(JSON.parse(read.values), JSON.parse(theirs.facts.values));
    assert.equal(read.version, theirs.facts.version);
  });

test("[HS13] [HS17] Helm finds in our package what it finds in its own: files, charts, metadata", async () => {
  const dependencies = "dependencies:\n- {name: db, version: 1.x, repository: 'https://charts.example.com'}\n";
  const files = chartFiles("web", "1.0.0", {
    "Chart.yaml": `apiVersion: v2\nname: web\nversion: 1.0.0\nappVersion: "1.10"\ndescription: |\n  two\n  lines\nannotations:\n  a/b: "yes"\nkubeVersion: ">=1.30.0"\n${dependencies}`,
    ".helmignore": "# out\n*.md\n/ci\ndocs/\n!*\n".replace("!*\n", ""), "README.md": "x", "ci/a.yaml": "x", "docs/b.txt": "x", "deep/ci/a.yaml": "in", "templates/.hidden": "x", "templates/_a.tpl": "in",
    "crds/a.yaml": "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: a.example.org}\n", "values.schema.json": "{}", "Chart.lock": "dependencies:\n- {name: db, version: 1.4.0, repository: 'https://charts.example.com'}\n",
  });
  const db = await chartPackage("db", "1.4.0", { "charts/inner/Chart.yaml": "apiVersion: v2\nname: inner\nversion: 0.1.0\n" });
  const dependency = { name: "db", version: "1.4.0", repository: "https://charts.example.com", alias: "" };
  const tree = await tarball(Object.entries(files).map(([path, contents]) => ({ path: `charts/web/${path}`, contents })));
  const ours = await build({ ...options, origin: { kind: "tree", bytes: tree, path: "charts/web" }, version: "1.0.0+abc", fetched: [{ dependency, bytes: db }] });
  const theirs = await engine.packageChart({ chart: bytesOf(files), version: "1.0.0+abc", dependencies: [db] }, signal);
  assert.deepEqual(await facts(ours.archive), theirs.facts);
  const names = async (tgz: Uint8Array) => [...(await readPackage(tgz, defaultLimits)).keys()].sort();
  assert.deepEqual(await names(ours.archive), await names(theirs.tgz));
});

test("[HS17] a chart under another name than its own, and charts of Helm 2, are what Helm takes", async () => {
  const files = chartFiles("web", "1.0.0", { "Chart.yaml": "name: web\nversion: 1.0.0\n", "requirements.yaml": "dependencies:\n- {name: db, alias: cache, version: 1.x, repository: 'https://charts.example.com'}\n" });
  const dependency = { name: "db", version: "1.x", repository: "https://charts.example.com", alias: "cache" };
  const tree = await tarball(Object.entries(files).map(([path, contents]) => ({ path, contents })));
  const { archive } = await build({ ...options, origin: { kind: "tree", bytes: tree, path: "./" }, version: "1.0.0", fetched: [{ dependency, bytes: await chartPackage("db", "1.4.0") }] });
  const read = await facts(archive);
  assert.deepEqual([read.apiVersion, read.charts, read.dependencies.map(({ alias }) => alias)], ["v1", ["cache"], ["cache"]]);
});
