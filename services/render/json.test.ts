import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { canonicalJson, parseJson } from "./json.ts";

for (const text of [
  '{"a":9007199254740993}',
  '{"a":[-9223372036854775808,18446744073709551615],"b":9007199254740993}',
  '{"a":1,"b":1.5,"c":"12345678901234567890","d":null,"e":[true]}',
])
  test(`[RN18] ${text} is written as it was read`, () => {
    assert.equal(JSON.stringify(parseJson(text)), text);
    assert.equal(canonicalJson(parseJson(text)), text);
  });

test("[RN18] an integer that fits stays a number, beside one that does not", () =>
  assert.equal((parseJson('{"small":3,"big":9007199254740993}') as { small: number }).small, 3));

test("[RN24] canonical JSON is JSON of the same value, whatever the order of keys", () =>
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = canonicalJson(value);
      assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)));
      assert.equal(canonicalJson(reversed(value)), text);
    }),
  ));

test("[RN24] what is undefined is left out", () => assert.equal(canonicalJson({ b: undefined, a: [1] }), '{"a":[1]}'));

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, item]) => [key, reversed(item)]),
  );
}
