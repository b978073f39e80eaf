import assert from "node:assert/strict";
import { buffer } from "node:stream/consumers";
import { after, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { extract, pack } from "tar-stream";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import type { ArtifactGeneratorSpec, CopyOperation } from "#protocol/api/artifact-generator.ts";
import { generate, type GenerateJob } from "./generate.ts";
import { deepPattern } from "./paths.ts";
import { generateThreads } from "./thread.ts";

const threads = generateThreads(1);
after(() => threads.close());

async function archive(files: Record<string, string | Buffer>): Promise<Buffer> {
  const tar = pack();
  for (const [name, contents] of Object.entries(files)) tar.entry(name.endsWith("/") ? { name, type: "directory" } : { name, mode: name.endsWith(".sh") ? 0o755 : 0o644 }, contents);
  tar.finalize();
  return gzipSync(await buffer(tar));
}
async function filesOf(bytes: Uint8Array): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  const tar = extract();
  tar.end(gunzipSync(bytes));
  for await (const entry of tar) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    files[entry.header.name] = entry.header.type === "directory" ? "/" : Buffer.concat(chunks).toString();
  }
  return files;
}
const repo = {
  "apps/shop/a.yaml": "a", "apps/shop/b.md": "b", "apps/shop/env/prod.yaml": "p", "apps/web/a.yaml": "w", "apps/web/run.sh": "#!", "README.md": "r", "logo.png": "x",
  "values.yaml": "image: {name: shop, tag: v1}\nlist: [1, 2]\n", "prod.yaml": "image: {tag: v2}\nlist: [3]\nmore: yes\n",
};
const sources = async (): Promise<GenerateJob["sources"]> => [["repo", await archive(repo)], ["charts", await archive({ "shop-1.0.0.tgz": await archive({ "shop/Chart.yaml": "c" }), "notes.txt": "n", "deep/er/x.tar.gz": await archive({ "x.yaml": "x" }) })]];
const make = async (copy: CopyOperation[]) => filesOf((await generate({ spec: { artifacts: [{ name: "one", copy }] }, sources: await sources(), shown: "ArtifactGenerator/apps/split" }))[0]?.archive ?? assert.fail());
const names = async (...copy: CopyOperation[]) => Object.entries(await make(copy)).filter(([, text]) => text !== "/").map(([name]) => name).sort();
const refused = (code: FaultCode, detail: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Fault, String(error));
  assert.deepEqual([error.code, detail.test(error.detail ?? "")], [code, true], error.message);
  return true;
};

const copies: { what: string; copy: CopyOperation[]; gives: string[] }[] = [
  { what: "a file under another name", copy: [{ from: "@repo/README.md", to: "@artifact/docs.md" }], gives: ["docs.md"] },
  { what: "a file into a directory", copy: [{ from: "@repo/README.md", to: "@artifact/docs/" }], gives: ["docs/README.md"] },
  { what: "a file into a directory that is there", copy: [{ from: "@repo/apps/web", to: "@artifact/" }, { from: "@repo/README.md", to: "@artifact/web" }], gives: ["web/README.md", "web/a.yaml", "web/run.sh"] },
  { what: "a directory becomes one below", copy: [{ from: "@repo/apps/shop", to: "@artifact/x" }], gives: ["x/shop/a.yaml", "x/shop/b.md", "x/shop/env/prod.yaml"] },
  { what: "all that is in a directory", copy: [{ from: "@repo/apps/shop/**", to: "@artifact/" }], gives: ["a.yaml", "b.md", "env/prod.yaml"] },
  { what: "a pattern keeps the whole path", copy: [{ from: "@repo/apps/*/a.yaml", to: "@artifact/x" }], gives: ["x/apps/shop/a.yaml", "x/apps/web/a.yaml"] },
  { what: "** in the middle is one directory", copy: [{ from: "@repo/**/a.yaml", to: "@artifact/" }, { from: "@repo/README.md", to: "@artifact/" }].slice(1) as CopyOperation[], gives: ["README.md"] },
  { what: "excluded by name, at any depth", copy: [{ from: "@repo/apps/**", to: "@artifact/", exclude: ["*.md", "env/**"] }], gives: ["shop/a.yaml", "shop/env/prod.yaml", "web/a.yaml", "web/run.sh"] },
  { what: "excluded by path, below what is picked or from the root", copy: [{ from: "@repo/apps/**", to: "@artifact/", exclude: ["shop/env", "apps/web/**"] }], gives: ["shop/a.yaml", "shop/b.md"] },
  { what: "the whole, without what every source leaves out", copy: [{ from: "@repo/", to: "@artifact/" }], gives: ["README.md", "apps/shop/a.yaml", "apps/shop/b.md", "apps/shop/env/prod.yaml", "apps/web/a.yaml", "apps/web/run.sh", "prod.yaml", "values.yaml"] },
  { what: "archives are extracted, other files of a pattern skipped", copy: [{ from: "@charts/**", to: "@artifact/c", strategy: "Extract" }], gives: ["c/shop/Chart.yaml", "c/x.yaml"] },
  { what: "one archive is extracted", copy: [{ from: "@charts/shop-1.0.0.tgz", to: "@artifact/", strategy: "Extract" }], gives: ["shop/Chart.yaml"] },
  { what: "an excluded file is no failure", copy: [{ from: "@repo/README.md", to: "@artifact/a", exclude: ["*.md"] }, { from: "@repo/values.yaml", to: "@artifact/b" }], gives: ["b"] },
];
for (const { what, copy, gives } of copies) test(`[AG10] ${what}`, async () => assert.deepEqual(await names(...copy), gives));

test("[AG11] Overwrite takes the later one, Merge joins as Helm joins values", async () => {
  const from = (file: string, strategy?: "Merge") => ({ from: `@repo/${file}`, to: "@artifact/values.yaml", ...(strategy && { strategy }) });
  assert.deepEqual(await make([from("values.yaml"), from("prod.yaml")]), { "values.yaml": repo["prod.yaml"] });
  const { "values.yaml": merged = "" } = await make([from("values.yaml"), from("prod.yaml", "Merge")]);
  assert.equal(merged, "image:\n  name: shop\n  tag: v2\nlist:\n  - 3\nmore: yes\n");
  assert.deepEqual(await make([from("prod.yaml", "Merge")]), { "values.yaml": repo["prod.yaml"] });
});

const wrong: { what: string; copy: CopyOperation; detail: RegExp }[] = [
  { what: "an alias that is not there", copy: { from: "@other/a", to: "@artifact/" }, detail: /artifact one, copy from @other\/a to @artifact\/: there is no source with the alias "other"/ },
  { what: "a file that is not there", copy: { from: "@repo/none", to: "@artifact/" }, detail: /does not exist/ },
  { what: "a pattern that finds nothing", copy: { from: "@repo/*.json", to: "@artifact/" }, detail: /no files match/ },
  { what: "a pattern whose files are all excluded", copy: { from: "@repo/*.md", to: "@artifact/", exclude: ["*"] }, detail: /are excluded/ },
  { what: "a malformed pattern", copy: { from: "@repo/[a", to: "@artifact/" }, detail: /malformed/ },
  { what: "a malformed exclusion", copy: { from: "@repo/", to: "@artifact/", exclude: ["[a"] }, detail: /malformed/ },
  { what: "a way out of the artifact", copy: { from: "@repo/README.md", to: "@artifact/../../etc/passwd" }, detail: /leads out/ },
  { what: "a way out of the source", copy: { from: "@repo/../other/a", to: "@artifact/" }, detail: /leads out/ },
  { what: "a directory to be extracted", copy: { from: "@repo/apps", to: "@artifact/", strategy: "Extract" }, detail: /cannot be extracted/ },
  { what: "no archive to be extracted", copy: { from: "@repo/README.md", to: "@artifact/", strategy: "Extract" }, detail: /no .tar.gz/ },
  { what: "more alternatives than anybody needs", copy: { from: "@repo/", to: "@artifact/", exclude: ["{a,b}".repeat(20)] }, detail: /more than 256 alternatives/ },
];
for (const { what, copy, detail } of wrong) test(`[AG12] ${what} -> GenerateFailed`, () => assert.rejects(make([copy]), refused("GenerateFailed", detail)));

test("[AG12] a file where a directory is, a merge of what is no map or unfolds without end, an archive that is none", async () => {
  await assert.rejects(make([{ from: "@repo/README.md", to: "@artifact/a" }, { from: "@repo/README.md", to: "@artifact/a/b" }]), refused("GenerateFailed", /"a" is a file and a directory/));
  const merge = async (text: string) => generate({ spec: { artifacts: [{ name: "one", copy: [{ from: "@x/a", to: "@artifact/a" }, { from: "@x/a", to: "@artifact/a", strategy: "Merge" }] }] }, sources: [["x", await archive({ a: text })]], shown: "x" });
  await assert.rejects(merge("[1]"), refused("GenerateFailed", /no map/));
  await assert.rejects(merge("a: [b"), refused("GenerateFailed", /no YAML/));
  const lol = ["a: &a [x,x,x,x,x,x,x,x,x]", ...["b", "c", "d", "e", "f", "g"].map((each, i) => `${each}: &${each} [${Array(9).fill(`*${"abcdef"[i]}`).join(",")}]`)].join("\n");
  await assert.rejects(merge(lol), refused("GenerateFailed", /too many aliases/));
  await assert.rejects(generate({ spec: { artifacts: [{ name: "one", copy: [{ from: "@x/", to: "@artifact/" }] }] }, sources: [["x", Buffer.from("plain")]], shown: "x" }), refused("GenerateFailed", /source x: the layer is no tar.gz archive/));
  const limits = { bytes: 10, entries: 3 };
  await assert.rejects(generate({ spec: { artifacts: [{ name: "one", copy: [{ from: "@repo/values.yaml", to: "@artifact/" }] }] }, sources: await sources(), shown: "x", limits }), refused("SourceTooLarge", /more than 10 bytes/));
  await assert.rejects(generate({ spec: { artifacts: [{ name: "one", copy: [{ from: "@repo/apps/**", to: "@artifact/" }] }] }, sources: await sources(), shown: "x", limits }), refused("SourceTooLarge", /more than 3 entries/));
});

test("[AG13] the same files give the same bytes, whatever else the source holds: only a slice that changed is another", async () => {
  const spec: ArtifactGeneratorSpec = { sources: [], artifacts: ["shop", "web"].map((name) => ({ name, copy: [{ from: `@repo/apps/${name}/**`, to: "@artifact/" }] })) };
  const before = await threads.run("generate", { spec, sources: [["repo", await archive(repo)]], shown: "x" }, AbortSignal.timeout(20_000));
  const now = await threads.run("generate", { spec, sources: [["repo", await archive({ ...repo, "apps/web/a.yaml": "w2", "README.md": "r2" })]], shown: "x" }, AbortSignal.timeout(20_000));
  assert.deepEqual([Buffer.compare(before[0]!.archive, now[0]!.archive), Buffer.compare(before[1]!.archive, now[1]!.archive) !== 0], [0, true]);
});

const tree = { "apps/Shop/envs/prod/a.yaml": "1", "apps/web/envs/prod/a.yaml": "2", "apps/web/envs/test/a.yaml": "3", "apps/readme.md": "4" };
const byPattern = async (pathPattern: string, name: string, from = "@repo/apps/{app}/envs/{env}/**", files: Record<string, string> = tree) =>
  generate({ spec: { pathPattern, artifacts: [{ name, copy: [{ from, to: "@artifact/{env}/" }] }] }, sources: [["repo", await archive(files)]], shown: "x" });

test("[AG20] each directory that the pattern finds gives an artifact, named and labelled by what was captured", async () => {
  const made = await byPattern("@repo/apps/{app}/envs/{env}", "{app}-{env}");
  assert.deepEqual(made.map(({ name, labels }) => [name, labels]), [["shop-prod", { app: "shop", env: "prod" }], ["web-prod", { app: "web", env: "prod" }], ["web-test", { app: "web", env: "test" }]]);
  assert.deepEqual(await filesOf(made[0]!.archive), { prod: "/", "prod/a.yaml": "1" });
  assert.deepEqual(await byPattern("@repo/none/{app}/{env}", "{app}-{env}"), []);
});

for (const [what, call, detail] of [
  ["two directories of one name", () => byPattern("@repo/apps/{app}/envs/{env}", "{app}"), /both give an artifact of the name web/],
  ["a capture that is not there", () => byPattern("@repo/apps/{app}/envs/{env}", "{other}"), /\{other\} is not in spec.pathPattern/],
  ["a capture twice", () => byPattern("@repo/{app}/{app}", "{app}"), /twice/],
  ["captures side by side", () => byPattern("@repo/{app}{env}", "{app}"), /beside each other/],
  ["a name that is none", () => byPattern("@repo/apps/{app}/envs/{env}", "-{app}-{env}"), /is not the name of an object/],
  ["a label that is none", () => byPattern("@repo/apps/{app}/envs/{env}", "{app}-{env}", "@repo/", { "apps/a b/envs/x/a": "1" }), /is not the value of a label/],
  ["a brace alone", () => byPattern("@repo/apps/{app", "{app}"), /has no other/],
  ["an alias that is not there", () => byPattern("@other/{app}/{env}", "{app}"), /no source with the alias "other"/],
] as [string, () => Promise<unknown>, RegExp][])
  test(`[AG21] ${what} -> PathPatternInvalid`, () => assert.rejects(call(), refused("PathPatternInvalid", detail)));

test("[AG10] patterns of exclusion and extraction: ** is any number of directories, braces are alternatives", () => {
  for (const [pattern, path, is] of [["**/*.tgz", "a/b/c.tgz", true], ["**/*.tgz", "c.tgz", true], ["a/**", "a", true], ["a/**", "a/b/c", true], ["*.{md,txt}", "a.txt", true], ["*.{md,txt}", "a.yaml", false], ["a/*/c", "a/b/d/c", false]] as const)
    assert.equal(deepPattern(pattern)(path), is, `${pattern} ${path}`);
  deepPattern(`${"**/".repeat(300)}x`)("a/".repeat(300));
});
