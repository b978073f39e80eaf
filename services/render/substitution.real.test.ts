import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { artifact, configMap, lines, renderer, type Files } from "./fixtures.ts";
import type { KubeObject } from "./objects.ts";
import type { RenderRequest } from "./render.ts";
import type { KustomizeSpec } from "./spec.ts";

const made = await renderer({ timeoutMs: 20_000 });
const { signal } = new AbortController();

type Settings = { always?: boolean; strict?: boolean; spec?: KustomizeSpec };

const request = async (files: Files, values: Record<string, string>, { always = false, strict = true, spec = {} }: Settings = {}): Promise<RenderRequest> => ({
  artifact: await artifact(files), path: "", spec,
  substitution: { version: "1", read: async () => ({ values, version: "1", confidential: [] }), always, strict },
});

async function objectsOf(...args: Parameters<typeof request>): Promise<KubeObject[]> {
  const rendered = await made.render(await request(...args), signal);
  return rendered.unchanged ? [] : rendered.objects.map(({ object }) => object);
}

const failureOf = (...args: Parameters<typeof request>) =>
  objectsOf(...args).then(() => assert.fail("it was built"), (thrown: unknown) => Fault.from(thrown, "").toJSON());

/** What becomes of one text in a manifest, as its author writes it. */
async function evaluated(text: string, values: Record<string, string>, settings?: Settings): Promise<unknown> {
  const [object] = await objectsOf({ "a.yaml": lines("apiVersion: v1", "kind: ConfigMap", "metadata: {name: a}", "data:", `  k: ${text}`) }, values, settings);
  return (object?.["data"] as { k: unknown } | undefined)?.k;
}

const v = { v: "Hello-World", n: "5", path: "a/b/c.txt", empty: "" };
const texts: { text: string; gives: unknown; why?: string }[] = [
  { text: "${v}", gives: "Hello-World" },
  { text: "x${v}y", gives: "xHello-Worldy" },
  { text: "$v", gives: "$v", why: "only braces count" },
  { text: "$${v}", gives: "${v}", why: "an escape" },
  { text: "${#v}", gives: 11, why: "a number" },
  { text: "${v^}", gives: "Hello-World" },
  { text: "${v^^}", gives: "HELLO-WORLD" },
  { text: "${v,}", gives: "hello-World" },
  { text: "${v,,}", gives: "hello-world" },
  { text: "${v:6}", gives: "World" },
  { text: "${v:0:5}", gives: "Hello" },
  { text: "${path#*/}", gives: "b/c.txt" },
  { text: "${path##*/}", gives: "c.txt" },
  { text: "${path%/*}", gives: "a/b" },
  { text: "${path%%/*}", gives: "a" },
  { text: "${path/a/x}", gives: "x/b/c.txt" },
  { text: "${v/o/0}", gives: "Hell0-World" },
  { text: "${v//o/0}", gives: "Hell0-W0rld" },
  { text: "${v/#Hello/Bye}", gives: "Bye-World" },
  { text: "${v/%World/All}", gives: "Hello-All" },
  { text: "${none:=d}", gives: "d" },
  { text: "${none=d}", gives: "d" },
  { text: "${none:-d}", gives: "d" },
  { text: "${none:?d}", gives: "d" },
  { text: "${none:+d}", gives: "d" },
  { text: "${v:+d}", gives: "Hello-World" },
  { text: "${empty:=d}", gives: "d", why: "an empty value takes the default too" },
  { text: "${none:=${v}}", gives: "Hello-World", why: "a variable in a default" },
  { text: "${none:=${nothing:=deep}}", gives: "deep" },
];
for (const { text, gives, why } of texts)
  test(`[SB2] ${text} -> ${JSON.stringify(gives)}${why ? `: ${why}` : ""}`, async () => assert.equal(await evaluated(text, v), gives));

for (const text of ["${none-d}", "${none+d}"])
  test(`[SB2] ${text} is not among them`, async () => {
    const { code } = await failureOf({ "a.yaml": configMap("a", `{k: '${text}'}`) }, v);
    assert.equal(code, "SubstitutionFailed");
  });

const types: { text: string; value: string; gives: unknown }[] = [
  { text: "${x}", value: "5", gives: 5 },
  { text: '"${x}"', value: "5", gives: 5 },
  { text: '"n${x}"', value: "5", gives: "n5" },
  { text: "${x}", value: '"5"', gives: "5" },
  { text: "${x}", value: "true", gives: true },
  { text: "${x}", value: "null", gives: null },
  { text: "${x}", value: "[1, a]", gives: [1, "a"] },
  { text: "${x}", value: "{a: 1}", gives: { a: 1 } },
  { text: "${x}", value: "1.50", gives: 1.5 },
  { text: "${x}", value: "a # b", gives: "a" },
];
for (const { text, value, gives } of types)
  test(`[SB1] ${text} with ${value} becomes ${JSON.stringify(gives)}`, async () => assert.deepEqual(await evaluated(text, { x: value }), gives));

test("[SB3] a variable that has neither value nor default fails the build and is named, unless that is switched off", async () => {
  const files = { "a.yaml": configMap("a", "{k: 'x${MISSING}y', j: '${MISSING:=z}'}") };
  const { code, detail = "" } = await failureOf(files, { other: "1" });
  assert.equal(code, "SubstitutionFailed");
  assert.match(detail, /post build failed for 'ConfigMap\/a': variable substitution failed: variable not set \(strict mode\): "MISSING"/);
  const [object] = await objectsOf(files, { other: "1" }, { strict: false });
  assert.deepEqual(object?.["data"], { k: "xy", j: "z" });
});

const marked = (where: string, key: string, value: string) =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  ${where}: {${key}: '${value}'}\ndata: {k: '\${v}'}\n`;
const key = "kustomize.toolkit.fluxcd.io/substitute";
for (const { where, value, left } of [
  { where: "annotations", value: "disabled", left: true },
  { where: "labels", value: "disabled", left: true },
  { where: "labels", value: "Disabled", left: false },
  { where: "annotations", value: "enabled", left: false },
])
  test(`[SB4] with ${where} ${value} it is ${left ? "left alone" : "substituted"}`, async () => {
    const [object] = await objectsOf({ "a.yaml": marked(where, key, value) }, v);
    assert.deepEqual(object?.["data"], { k: left ? "${v}" : "Hello-World" });
  });

test("[SB5] without variables nothing is touched, unless the strategy is Always", async () => {
  assert.equal(await evaluated("${none:=d}", {}), "${none:=d}");
  assert.equal(await evaluated("${none:=d}", {}, { always: true }), "d");
});

test("[SB6] it sees what patches and prefixes made, and commonMetadata comes after it", async () => {
  const patch = "- op: add\n  path: /data/p\n  value: from-${v}\n";
  const [object] = await objectsOf({ "a.yaml": configMap("a", "{k: '${v}'}") }, { v: "1", suffix: "s" }, {
    spec: { namePrefix: "pre-", nameSuffix: "-${suffix}", patches: [{ patch, target: { kind: "ConfigMap" } }], commonMetadata: { labels: { l: "${v}" } } },
  });
  assert.deepEqual([object?.metadata.name, object?.["data"], object?.metadata.labels], ["pre-a-s", { k: 1, p: "from-1" }, { l: "${v}" }]);
});

for (const name of ["a-b", "1a", "a.b", "tls.crt", "", "ä", "a b"])
  test(`[SB7] the name ${JSON.stringify(name)} is refused`, async () => {
    const { code, detail = "" } = await failureOf({ "a.yaml": configMap("a", "{k: '$'}") }, { [name]: "hunter2", ok: "1" });
    assert.equal(code, "SubstitutionFailed");
    assert.ok(detail.startsWith(`'${name}' var name is invalid, must match `), detail);
    assert.doesNotMatch(detail, /hunter2/);
  });

const broken: { what: string; text: string; value: string; says: RegExp }[] = [
  { what: "an anchor that is nowhere", text: "${x}", value: "*hunter2", says: /after variable substitution it is not YAML$/ },
  { what: "a mapping in a mapping", text: "${x}", value: "hunter2: b: c", says: /not YAML: mapping values are not allowed in this context/ },
  { what: "an open bracket", text: "${x}", value: "[hunter2", says: /not YAML/ },
  { what: "a list for a key", text: "${x}", value: "{[hunter2]: 1}", says: /not YAML/ },
  { what: "a brace that is not closed", text: "'${x'", value: "hunter2", says: /missing closing brace/ },
  { what: "no name", text: "'${}'", value: "hunter2", says: /variable substitution failed/ },
];
for (const { what, text, value, says } of broken)
  test(`[SB8] ${what} fails the build, names the object and quotes no value`, async () => {
    const files = { "a.yaml": `apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n  k: ${text}\n` };
    const { code, detail = "" } = await failureOf(files, { x: value });
    assert.equal(code, "SubstitutionFailed");
    assert.match(detail, /^post build failed for 'Secret\/a': /);
    assert.match(detail, says);
    assert.doesNotMatch(detail, /hunter2/);
  });

test("[SB8] an object that loses its name is refused", async () => {
  const { code, detail = "" } = await failureOf({ "a.yaml": configMap("'${x}'") }, { x: "5" });
  assert.deepEqual([code, /apiVersion, kind and metadata.name are needed/.test(detail)], ["BuildFailed", true]);
});

const megabyte = 1024 * 1024;
const endless: { what: string; text: string; values: Record<string, string> }[] = [
  { what: "text that grows a million times", text: "'${v//a/${w}}'", values: { v: "a".repeat(megabyte), w: "b".repeat(megabyte) } },
  { what: "defaults in defaults in defaults", text: `'${"${none:=".repeat(20_000)}${"}".repeat(20_000)}'`, values: { v: "1" } },
  { what: "aliases of aliases", text: "${v}", values: { v: bomb() } },
  { what: "a pattern that goes back and forth", text: "'${v##*a*a*a*a*a*a*a*a*b}'", values: { v: "a".repeat(3_000) } },
];
function bomb(): string {
  const levels = Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`).join(",")}]`);
  return `{a0: &a0 [x,x,x,x,x,x,x,x,x], ${levels.join(", ")}}`;
}
const bounded = renderer({ timeoutMs: 3_000, memoryLimitBytes: 256 * megabyte });
for (const { what, text, values } of endless)
  test(`[SB9] ${what} end their own build at most`, async () => {
    const other = await bounded;
    const files = { "a.yaml": lines("apiVersion: v1", "kind: ConfigMap", "metadata: {name: a}", "data:", `  k: ${text}`) };
    await other.render(await request(files, values), signal).then(() => {}, (thrown: unknown) => {
      assert.ok(thrown instanceof Fault && ["SubstitutionFailed", "BuildFailed", "RenderTimeout"].includes(thrown.code), String(thrown));
    });
    const rendered = await other.render(await request({ "a.yaml": configMap("a", "{k: 'x${v}'}") }, { v: "1" }), signal);
    assert.ok(!rendered.unchanged && (rendered.objects[0]?.object["data"] as { k: string } | undefined)?.k === "x1");
  });

test("[SB10] integers keep their digits through it", async () => {
  const [object] = await objectsOf({ "a.yaml": "apiVersion: x.example/v1\nkind: Thing\nmetadata: {name: a}\nspec: {big: 9007199254740993, text: '${v}'}\n" }, { v: "9007199254740995" });
  assert.match(JSON.stringify(object?.["spec"]), /"big":9007199254740993,"text":9007199254740995/);
});

test("[SB14] the same versions and files are not built again; another version is, and only by its version the key differs", async () => {
  const files = { "a.yaml": configMap("a", "{k: 'x${v}'}") };
  const handle = await artifact(files);
  let reads = 0;
  const substitution = (version: string, value: string) =>
    ({ version, read: async () => { reads++; return { values: { v: value }, version, confidential: [value] }; }, always: false, strict: true });
  const first = await made.render({ artifact: handle, path: "", spec: {}, substitution: substitution("s1", "one") }, signal);
  assert.ok(!first.unchanged);
  const previous = { key: first.key, readSet: first.readSet };
  const again = await made.render({ artifact: handle, path: "", spec: {}, previous, substitution: substitution("s1", "whatever") }, signal);
  assert.deepEqual([again.unchanged, again.key, reads], [true, first.key, 1], "nothing is read when nothing is built");
  const next = await made.render({ artifact: handle, path: "", spec: {}, previous, substitution: substitution("s2", "two") }, signal);
  assert.ok(!next.unchanged && next.key !== first.key);
  assert.deepEqual(next.objects[0]?.object["data"], { k: "xtwo" });
  const same = await made.render({ artifact: handle, path: "", spec: {}, substitution: substitution("s2", "another secret") }, signal);
  assert.equal(same.key, next.key, "no value goes into the key");
});

test("[SB17] where values come from Secrets the digests are keyed: the same under the same key, and others under none", async () => {
  const handle = await artifact({ "a.yaml": configMap("a", "{k: 'x${v}'}"), "b.yaml": configMap("b", "{k: plain}") });
  const digests = async (digestKey?: Uint8Array) => {
    const substitution = { version: "1", read: async () => ({ values: { v: "1234" }, version: "1", confidential: ["1234"] }), always: false, strict: true, ...(digestKey && { digestKey }) };
    const rendered = await made.render({ artifact: handle, path: "", spec: {}, substitution }, signal);
    return rendered.unchanged ? assert.fail("it was not built") : { digests: rendered.objects.map(({ digest }) => digest), key: rendered.key, secret: rendered.objects.some(({ secret }) => secret) };
  };
  const [key, another] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
  const first = await digests(key);
  assert.deepEqual(await digests(key), first);
  const [other, none] = [await digests(another), await digests()];
  assert.equal(new Set([first, other, none].flatMap((each) => each.digests)).size, 6);
  assert.equal(new Set([first.key, other.key, none.key]).size, 1, "what is rendered anew does not depend on it");
  assert.equal(first.secret, false, "the API server's words about them are redacted, not withheld");
});
