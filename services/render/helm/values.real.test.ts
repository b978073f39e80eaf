/** Values by the real engine: facts are of fluxcd/pkg chartutil (values_test.go, digest_test.go) and Helm's strvals. */
import assert from "node:assert/strict";
import test from "node:test";
import { helmEngine, faultOf } from "./fixtures.ts";
import type { ValuesSource } from "./types.ts";

const engine = await helmEngine();
const { signal } = new AbortController();
const source = (text: string, more: Partial<ValuesSource> = {}): ValuesSource => ({ text, subject: "ConfigMap apps/values, key values.yaml", ...more });
const compose = async (sources: ValuesSource[], inline?: Record<string, unknown>) => engine.composeValues({ sources, inline }, signal);
const valuesOf = async (sources: ValuesSource[], inline?: Record<string, unknown>) => JSON.parse((await compose(sources, inline)).text) as unknown;

const merges: { what: string; sources: ValuesSource[]; inline?: Record<string, unknown>; gives: unknown }[] = [
  { what: "nothing", sources: [], gives: {} },
  { what: "an empty document", sources: [source("")], gives: {} },
  { what: "maps are merged deep, in order", sources: [source("a: {b: 1, c: 1}"), source("a: {c: 2}")], gives: { a: { b: 1, c: 2 } } },
  { what: "lists are replaced", sources: [source("a: [1, 2]"), source("a: [3]")], gives: { a: [3] } },
  { what: "a map takes the place of a scalar, and the other way round", sources: [source("a: 1\nb: {c: 1}"), source("a: {b: 1}\nb: 2")], gives: { a: { b: 1 }, b: 2 } },
  { what: "a null stays, for the chart's default to be removed", sources: [source("a: null")], gives: { a: null } },
  { what: "inline values win", sources: [source("a: 1\nb: 1")], inline: { a: 2 }, gives: { a: 2, b: 1 } },
  { what: "a single value", sources: [source("x", { targetPath: "a.b" })], gives: { a: { b: "x" } } },
  { what: "a single value has a type of its own", sources: [source("1", { targetPath: "n" }), source("true", { targetPath: "b" }), source("null", { targetPath: "z" })], gives: { n: 1, b: true, z: null } },
  { what: "quoted, it is a string", sources: [source("'1'", { targetPath: "a" }), source('"true"', { targetPath: "b" })], gives: { a: "1", b: "true" } },
  { what: "a list of the --set grammar", sources: [source("{x,y}", { targetPath: "a" }), source("z", { targetPath: "b[1].c" })], gives: { a: ["x", "y"], b: [null, { c: "z" }] } },
  { what: "a comma begins another value", sources: [source("x,b=y", { targetPath: "a" })], gives: { a: "x", b: "y" } },
  { what: "literal, it is taken as it stands", sources: [source("x,b={y}\n'1'", { targetPath: "a", literal: true })], gives: { a: "x,b={y}\n'1'" } },
  { what: "a dot in a key is escaped", sources: [source("x", { targetPath: "a.nginx\\.io/b" })], gives: { a: { "nginx.io/b": "x" } } },
  { what: "a later document wins over a single value", sources: [source("x", { targetPath: "a" }), source("a: z")], gives: { a: "z" } },
  { what: "at the top, a single value loses to inline", sources: [source("x", { targetPath: "a" })], inline: { a: "inline" }, gives: { a: "inline" } },
  { what: "the first below a map that is inline only wins", sources: [source("x", { targetPath: "a.b" })], inline: { a: { b: "inline", c: 1 } }, gives: { a: { b: "x", c: 1 } } },
  {
    what: "below a map that is there already, a later one loses where inline has the same leaf",
    sources: [source("a: {z: 1}"), source("x", { targetPath: "a.b" })], inline: { a: { b: "inline" } }, gives: { a: { b: "inline", z: 1 } },
  },
];
for (const { what, sources, inline, gives } of merges)
  test(`[HE4] ${what}`, async () => assert.deepEqual(await valuesOf(sources, inline), gives));

const digests: { what: string; inline: Record<string, unknown>; digest: string }[] = [
  { what: "no values", inline: {}, digest: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
  {
    what: "maps and lists", digest: "fcdc2b0de1581a3633ada4afee3f918f6eaa5b5ab38c3fef03d5b48d3f85d9f6",
    inline: { replicas: 3, image: { tag: "latest", repository: "nginx" }, ports: [{ protocol: "TCP", port: 8080 }, { port: 9090, protocol: "UDP" }] },
  },
  {
    what: "keys that look like numbers", digest: "8a980fcbeadd6f05818f07e8aec14070c22250ca3d96af1fcd5f93b3e85b4d70",
    inline: { replicas: 3, test: { "632bd80235a05f4192aefade": "value1", "632bd80ddf416cf32fd50679": "value2", "632bd817c559818a52307da2": "value3", "632bd82398e71231a98004b6": "value4" } },
  },
];
for (const { what, inline, digest } of digests)
  test(`[HE5] the digest of ${what} is Flux's`, async () => assert.equal((await compose([], inline)).digest, `sha256:${digest}`));

test("[HE5] the digest does not depend on the order of keys, nor on where a value comes from", async () => {
  const one = await compose([source("a: 1\nb: {c: x, d: [1.5]}")]);
  const other = await compose([source("1", { targetPath: "a" })], { b: { d: [1.5], c: "x" } });
  assert.equal(one.digest, other.digest);
});

test("[HE6] a whole number that was set and one that was written in YAML stay different", async () => {
  const { text } = await compose([source("1000000", { targetPath: "set" }), source("yaml: 1000000\nlong: 12345678901234567890\nreal: 1.5")]);
  assert.equal(text, '{"long":1.2345678901234567e+19,"real":1.5,"set":1000000,"yaml":1e+06}');
});

test("[HE7] what comes from a Secret is told as confidential, and no fault quotes it", async () => {
  const { confidential } = await compose([source("a: {password: hunter2, port: 80, list: [topsecret]}", { secret: true }), source("'quoted'", { targetPath: "b", secret: true }), source("c: public")]);
  assert.deepEqual(confidential, ["hunter2", "quoted", "topsecret"]);
  for (const [text, targetPath] of [["hunter2: [", undefined], ["hunter2", "a[x]"], ["- hunter2", undefined]] as const) {
    const fault = await faultOf(compose([source(text, { secret: true, subject: "Secret apps/values, key password", ...(targetPath && { targetPath }) })]));
    assert.equal(fault.code, "ValuesInvalid");
    assert.match(fault.detail ?? "", /^Secret apps\/values, key password: /);
    assert.doesNotMatch(fault.detail ?? "", /hunter2/);
  }
});

const refused: { what: string; source: ValuesSource; says: RegExp }[] = [
  { what: "a list for a document", source: source("- a"), says: /^ConfigMap apps\/values, key values\.yaml: not YAML with a map of values: / },
  { what: "no YAML", source: source("a: ["), says: /not YAML with a map of values/ },
  { what: "a path that is none", source: source("x", { targetPath: "a[x]" }), says: /targetPath "a\[x\]"/ },
  { what: "an index beyond all bounds", source: source("x", { targetPath: "a[999999999]" }), says: /index of 999999999 is greater than maximum supported index/ },
  { what: "a path that is nested without end", source: source("x", { targetPath: Array(100).fill("a").join(".") }), says: /nested/ },
];
for (const { what, source: given, says } of refused)
  test(`[HE4] ${what} is refused: ${says.source}`, async () => assert.match((await faultOf(compose([given]))).detail ?? "", says));
