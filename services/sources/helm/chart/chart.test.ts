import assert from "node:assert/strict";
import test from "node:test";
import { load } from "js-yaml";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { chartFiles, chartPackage, tarball } from "../../../../test/kit/helm-server.ts";
import { defaultLimits } from "../limits.ts";
import { build, inspect, type BuildJob } from "./build.ts";
import { helmIgnore } from "./ignore.ts";
import { readPackage } from "./package.ts";
import { mergeValues, readValues, writeValues } from "./yaml.ts";

const limits = defaultLimits;
const shown = "helmchart/apps/shop";
const refused = (code: FaultCode, detail: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Fault, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.detail ?? "", detail);
  return true;
};

/** The artifact of another source. */
const tree = async (files: Record<string, string | Buffer>, path: string) =>
  ({ kind: "tree", bytes: await tarball(Object.entries(files).map(([name, contents]) => ({ path: name, contents }))), path }) as const;
const under = (folder: string, files: Record<string, string>) => Object.fromEntries(Object.entries(files).map(([path, contents]) => [`${folder}/${path}`, contents]));

const made = async (job: Partial<BuildJob> & Pick<BuildJob, "origin">) => {
  const { archive, ...more } = await build({ version: "1.0.0", ignoreMissing: false, fetched: [], limits, shown, ...job });
  const files = await readPackage(archive, limits);
  return { ...more, archive, files: Object.fromEntries([...files].map(([path, contents]) => [path, contents.toString()])) };
};

test("[HS16] values are merged as Helm merges files of them: maps deep, lists and null in place of what was there", () => {
  const [base = {}] = readValues("a: {b: 1, c: [1, 2], d: {e: x}}\nz: 1\n");
  const [over = {}] = readValues("a: {c: [3], d: null, f: on}\nz: {k: 1}\n");
  assert.deepEqual(mergeValues(base, over), { a: { b: 1, c: [3], d: null, f: true }, z: { k: 1 } });
  const [hostile = {}] = readValues('"__proto__": {polluted: yes}\nconstructor: {prototype: {polluted: yes}}\n');
  assert.equal(Object.hasOwn(mergeValues(mergeValues({}, hostile), hostile), "__proto__"), true);
  assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
});

const words: [written: string, means: unknown][] = [
  ["yes", true], ["Off", false], ["y", true], ["~", null], ["", null], ["1.10", 1.1], ["012", 10], ["0o17", 15], ["0x1F", 31], ["0b11", 3], ["1_000", 1000],
  ["1e3", 1000], [".5", 0.5], ["-3", -3], ["1:30", "1:30"], ["2001-01-01", "2001-01-01"], ["1.2.3", "1.2.3"], ['"yes"', "yes"], ["'1'", "1"], ["08", 8], ["nope", "nope"],
];
for (const [written, means] of words)
  test(`[HS16] a value written ${written || "as nothing"} means ${JSON.stringify(means)}, and stays that when it is written again`, () => {
    const [values = {}] = readValues(`a: ${written}\n`);
    assert.deepEqual(values, { a: means });
    assert.deepEqual(readValues(writeValues(values, 1000)), [{ a: means }]);
  });

test("[HS16] values are written the same for everybody, in order, and nothing in them changes its meaning", () => {
  const values = { b: [1, [2, { c: "no" }], {}, []], a: { "on": "1", "x: y": "line\nline", "": null, long: "# no comment" }, list: [{ a: 1, b: [{ c: 2 }] }] };
  const text = writeValues(values, 10_000);
  assert.deepEqual(readValues(text), [values]);
  assert.deepEqual(load(text), values, "read by another reader too");
  assert.equal(writeValues({ z: 1, a: 2 }, 100), "a: 2\nz: 1\n");
  assert.equal(writeValues({}, 100), "");
  assert.throws(() => writeValues({ a: "x".repeat(200) }, 100), RangeError);
});

test("[HS16] YAML that unfolds without end is refused", () => {
  const bomb = `a0: &a0 [x, x]\n${Array.from({ length: 40 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}, *a${i}]\n`).join("")}`;
  const [values = {}] = readValues(bomb);
  assert.throws(() => writeValues(values, limits.fileBytes), /too long/);
});

const ignored: [rules: string, path: string, isDirectory: boolean, out: boolean][] = [
  ["", "templates/.hidden", false, true],
  ["", "templates/shown", false, false],
  ["# a comment\n\n*.md", "docs/a.md", false, true],
  ["docs/", "docs", true, true],
  ["docs/", "docs", false, false],
  ["docs/*.md", "docs/a.md", false, true],
  ["docs/*.md", "docs/b/a.md", false, false],
  ["/a.md", "a.md", false, true],
  ["/a.md", "b/a.md", false, false],
  ["!*.yaml", "a.md", false, true],
  ["!*.yaml", "a.yaml", false, false],
];
for (const [rules, path, isDirectory, out] of ignored)
  test(`[HS13] .helmignore ${JSON.stringify(rules)}: ${path}${isDirectory ? "/" : ""} is ${out ? "out" : "in"}`, () => assert.equal(helmIgnore(rules)(path, isDirectory), out));

test("[HS13] what Helm refuses in a .helmignore is refused", () => assert.throws(() => helmIgnore("a/**/b"), /not supported/));

test("[HS13] a directory is packaged: without what it ignores, below the chart's name, always to the same bytes", async () => {
  const origin = await tree({ ...under("charts/shop", chartFiles("shop", "1.0.0", { ".helmignore": "*.md\nci/\n", "README.md": "no", "ci/a.yaml": "no", "crds/a.yaml": "yes" })), "other.yaml": "no" }, "./charts/../charts/shop");
  const { files, archive } = await made({ origin });
  assert.deepEqual(Object.keys(files).sort(), [".helmignore", "Chart.yaml", "crds/a.yaml", "templates/configmap.yaml", "values.yaml"]);
  assert.deepEqual((await made({ origin })).archive, archive);
  assert.deepEqual(await inspect({ origin, limits, shown }), { name: "shop", version: "1.0.0", isDirectory: true, missing: [] });
});

test("[HS15] [HS16] another version and other values stand in the package; what else is in Chart.yaml stays", async () => {
  const origin = { kind: "package", bytes: await chartPackage("shop", "1.0.0", { "values.yaml": "replicas: 1\nweb: {port: 80}\n", "prod.yaml": "web: {host: shop}\n", "big.yaml": "replicas: 3\n" }) } as const;
  const { files, valuesFiles } = await made({ origin, version: "1.0.0+7", valuesFiles: ["values.yaml", "prod.yaml", "./big.yaml"] });
  assert.equal(files["Chart.yaml"], "apiVersion: v2\nname: shop # as it is called\nversion: 1.0.0+7\n");
  assert.deepEqual([files["values.yaml"], valuesFiles], ["replicas: 3\nweb:\n  host: shop\n  port: 80\n", ["values.yaml", "prod.yaml", "./big.yaml"]]);
  const some = await made({ origin, valuesFiles: ["none.yaml", "big.yaml"], ignoreMissing: true });
  assert.deepEqual([some.files["values.yaml"], some.valuesFiles], ["replicas: 3\n", ["big.yaml"]]);
  await assert.rejects(made({ origin, valuesFiles: ["none.yaml"] }), refused("ValuesFilesInvalid", /no values file found at path "none.yaml"/));
});

test("[HS16] values files of a chart in another source may lie anywhere in it, and nowhere else", async () => {
  const origin = await tree({ ...under("shop", chartFiles("shop", "1.0.0")), "env/prod.yaml": "replicas: 9\n", "env/bad.yaml": "a: [" }, "shop");
  assert.equal((await made({ origin, valuesFiles: ["../../env/prod.yaml"] })).files["values.yaml"], "replicas: 9\n");
  await assert.rejects(made({ origin, valuesFiles: ["prod.yaml"] }), refused("ValuesFilesInvalid", /no values file/));
  await assert.rejects(made({ origin, valuesFiles: ["env/bad.yaml"] }), refused("ValuesFilesInvalid", /"env\/bad.yaml": it is no YAML/));
});

const dependent = (...list: { name: string; version?: string; repository?: string; alias?: string }[]) =>
  `apiVersion: v2\nname: shop\nversion: 1.0.0\ndependencies:\n${list.map(({ name, version = "1.x", repository = "https://charts.example.com", alias }) => `- name: ${name}\n  version: ${version}\n  repository: "${repository}"\n${alias ? `  alias: ${alias}\n` : ""}`).join("")}`;

test("[HS17] what a chart depends on and has not is fetched by the repositories it names; what lies beside it is taken from there", async () => {
  const files = {
    ...under("shop", chartFiles("shop", "1.0.0", { "Chart.yaml": dependent({ name: "db" }, { name: "db", alias: "cache" }, { name: "lib", repository: "file://../lib", version: "^2.0.0" }, { name: "here" }) })),
    ...under("shop/charts/here", chartFiles("here", "1.2.0")), ...under("lib", chartFiles("lib", "2.1.0")),
  };
  const origin = await tree(files, "shop");
  const { missing } = await inspect({ origin, limits, shown });
  assert.deepEqual(missing.map(({ name, alias }) => [name, alias]), [["db", ""], ["db", "cache"]]);
  const db = await chartPackage("db", "1.4.0");
  const { files: packed, dependencies } = await made({ origin, fetched: missing.map((dependency) => ({ dependency, bytes: db })) });
  assert.equal(dependencies, 3);
  const names = Object.fromEntries(["here", "db", "cache", "lib"].map((name) => [name, /^name: (\w+)/m.exec(packed[`charts/${name}/Chart.yaml`] ?? "")?.[1]]));
  assert.deepEqual(names, { here: "here", db: "db", cache: "cache", lib: "lib" });
});

test("[HS17] the lock says which version of what; a local one must be there, inside of the source, and of a version that is wanted", async () => {
  const locked = await tree(under("shop", chartFiles("shop", "1.0.0", { "Chart.yaml": dependent({ name: "db" }), "Chart.lock": "dependencies:\n- name: db\n  repository: https://charts.example.com\n  version: 1.3.0\n" })), "shop");
  assert.deepEqual((await inspect({ origin: locked, limits, shown })).missing.map(({ version }) => version), ["1.3.0"]);
  const local = (repository: string, version = "1.x") => tree({ ...under("shop", chartFiles("shop", "1.0.0", { "Chart.yaml": dependent({ name: "lib", repository, version }) })), ...under("lib", chartFiles("lib", "2.0.0")) }, "shop");
  for (const [origin, detail] of [[local("file://../none"), /no chart at "none"/], [local("file://../lib"), /version 2.0.0 is not within "1.x"/], [local("file://../../../etc"), /no chart at "etc"/], [local("file://../lib", "so"), /no range/]] as const)
    await assert.rejects(made({ origin: await origin }), refused("DependencyBuildFailed", detail));
});

const wrong: [title: string, files: Record<string, string>, code: FaultCode, detail: RegExp][] = [
  ["no chart there", { "other/a": "" }, "ChartReferenceInvalid", /no chart at "shop"/],
  ["Chart.yaml is no YAML", { "shop/Chart.yaml": "a: [" }, "ChartReferenceInvalid", /Chart.yaml: it is no YAML/],
  ["Chart.yaml without a name", { "shop/Chart.yaml": "version: 1.0.0" }, "ChartReferenceInvalid", /no name/],
  ["a name that leads elsewhere", { "shop/Chart.yaml": "name: ../x\nversion: 1.0.0" }, "ChartReferenceInvalid", /not allowed/],
  ["a version that is none", { "shop/Chart.yaml": "name: shop\nversion: one" }, "ChartReferenceInvalid", /version in Chart.yaml is none/],
  ["a file beyond the bounds", { ...under("shop", chartFiles("shop", "1.0.0")), "shop/big": "x".repeat(limits.fileBytes + 1) }, "ChartReferenceInvalid", /larger than/],
];
for (const [title, files, code, detail] of wrong)
  test(`[HS18] ${title}: refused`, async () => assert.rejects(inspect({ origin: await tree(files, "shop"), limits, shown }), refused(code, detail)));

const hostile: [title: string, bytes: () => Promise<Buffer>, detail: RegExp][] = [
  ["no archive at all", async () => Buffer.from("not a package"), /no tar.gz/],
  ["one that breaks off", async () => (await chartPackage("shop", "1.0.0", { a: "x".repeat(100_000) })).subarray(0, 120), /no tar.gz/],
  ["an entry that leads out", () => tarball([{ path: "shop/../../etc/passwd", contents: "x" }]), /leads out/],
  ["an entry beside the chart", () => tarball([{ path: "Chart.yaml", contents: "x" }]), /not in a directory/],
  ["an absolute path", () => tarball([{ path: "shop//etc/passwd", contents: "x" }]), /absolute/],
  ["a path of Windows that leads out", () => tarball([{ path: "shop\\..\\..\\x", contents: "x" }]), /leads out/],
  ["a bomb", () => tarball([{ path: "shop/a", contents: Buffer.alloc(6 * 2 ** 20) }]), /larger than/],
  ["nothing in it", () => tarball([]), /empty/],
];
for (const [title, bytes, detail] of hostile)
  test(`[HS18] a package with ${title}: refused`, async () => assert.rejects(inspect({ origin: { kind: "package", bytes: await bytes() }, limits, shown }), refused("ChartPullFailed", detail)));
