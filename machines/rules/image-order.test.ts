import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { latestKey, parseGoNumber, readImageOrder, type ImageOrderSpec } from "./image-order.ts";

const latest = (keys: string[], spec: ImageOrderSpec) => {
  const order = readImageOrder(spec);
  return latestKey(keys, typeof order === "string" ? assert.fail(order) : order);
};
const [asc, desc] = [{ order: "asc" }, { order: "desc" }];
const versions = ["1.0.0", "v1.4.2", "1.10.0", "2.0.0-rc.1", "latest", "1.9", "2"];

const rows: { rule: string; keys: string[]; spec: ImageOrderSpec; key?: string; why?: string }[] = [
  { rule: "[IM1]", keys: versions, spec: { semver: { range: ">=1.0.0" } }, key: "1.10.0", why: "a pre-release only where the range has one" },
  { rule: "[IM1]", keys: versions, spec: { semver: { range: ">=1.0.0-0" } }, key: "2.0.0-rc.1" },
  { rule: "[IM1]", keys: versions, spec: { semver: { range: "1.4.x" } }, key: "v1.4.2" },
  { rule: "[IM1]", keys: ["1.9", "2", "latest"], spec: { semver: { range: "*" } }, why: "unable to determine latest version from provided list" },
  { rule: "[IM1]", keys: ["1.0.0+a", "1.0.0+b", "1.0.0"], spec: { semver: { range: "*" } }, key: "1.0.0+b" },
  { rule: "[IM2]", keys: ["b", "c", "a"], spec: { alphabetical: asc }, key: "c" },
  { rule: "[IM2]", keys: ["b", "c", "a"], spec: { alphabetical: desc }, key: "a" },
  { rule: "[IM2]", keys: ["b", "B", "_"], spec: { alphabetical: {} }, key: "b" },
  { rule: "[IM3]", keys: ["9", "10", "1"], spec: { numerical: asc }, key: "10" },
  { rule: "[IM3]", keys: ["9", "10", "1"], spec: { numerical: desc }, key: "1" },
  { rule: "[IM3]", keys: ["9", "latest"], spec: { numerical: asc }, why: "failed to parse invalid numeric value 'latest'" },
  { rule: "[IM3]", keys: ["1.0", "1", "01"], spec: { numerical: asc }, key: "01" },
  { rule: "[IM4]", keys: ["9", "10"], spec: { semver: { range: "*" }, alphabetical: asc, numerical: asc }, why: "unable to determine latest version from provided list" },
  { rule: "[IM4]", keys: ["9", "10"], spec: { alphabetical: asc, numerical: asc }, key: "9" },
  { rule: "[IM4]", keys: ["9", "10"], spec: { numerical: { order: "DESC" } }, key: "9" },
  { rule: "[IM5]", keys: [], spec: { numerical: asc }, why: "version list argument cannot be empty" },
];
for (const { rule, keys, spec, key, why = "" } of rows)
  test(`${rule} ${JSON.stringify(spec)} of ${keys.join(" ") || "nothing"} -> ${key ?? why}`, () => assert.deepEqual(latest(keys, spec), key === undefined ? { why } : { key }));

for (const spec of [{}, { semver: { range: "newest" } }, { alphabetical: { order: "up" } }, { numerical: { order: "ascending" } }])
  test(`[IM4] ${JSON.stringify(spec)} is no order`, () => assert.equal(typeof readImageOrder(spec), "string"));

const key = fc.oneof(fc.stringMatching(/^v?[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{1,2}(-[a-c])?(\+[ab])?$/), fc.stringMatching(/^[0-9]{1,3}(\.[05])?$/));
for (const spec of [{ semver: { range: "*" } }, { alphabetical: asc }, { alphabetical: desc }, { numerical: asc }, { numerical: desc }])
  test(`[IM5] ${JSON.stringify(spec)}: the same one of the keys, in whatever order they are`, () =>
    fc.assert(fc.property(fc.uniqueArray(key, { maxLength: 12 }).chain((keys) => fc.tuple(fc.constant(keys), fc.shuffledSubarray(keys, { minLength: keys.length }))), ([keys, shuffled]) => {
      const found = latest(keys, spec);
      assert.deepEqual(latest(shuffled, spec), found);
      if ("key" in found) assert.ok(keys.includes(found.key));
    })));

// Printed by Go 1.26's strconv.
const numbers: [text: string, number: number | undefined][] = [
  ["", undefined], ["1", 1], ["-1", -1], ["+1", 1], ["01", 1], [".5", 0.5], ["5.", 5], [".", undefined], ["1e3", 1000], ["1E-3", 0.001],
  ["1e", undefined], ["e1", undefined], ["1e400", undefined], ["1e-400", 0], ["-1e400", undefined], ["0x10", undefined], ["0x10p1", 32],
  ["0x1.8p-1", 0.75], ["0X1P2", 4], ["0xp1", undefined], ["1_000", 1000], ["1__0", undefined], ["_1", undefined], ["1_", undefined],
  ["1_0.5_0", 10.5], ["0x_1p1", 2], ["0b1", undefined], ["inf", Infinity], ["+Inf", Infinity], ["-infinity", -Infinity], ["NaN", Number.NaN],
  ["+nan", undefined], ["-nan", undefined], ["infinit", undefined], ["1.2.3", undefined], [" 1", undefined], ["1 ", undefined], ["1f", undefined],
  ["１", undefined], ["20240101120000", 20240101120000], ["0x1p2000", undefined], ["0x1p-2000", 0], ["1e1_0", 1e10],
];
for (const [text, number] of numbers) test(`[IM3] ${JSON.stringify(text)} is the number ${number}`, () => assert.equal(parseGoNumber(text), number));
