import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { KubeObject } from "./inventory.ts";
import { mergePatch, threeWayMerge } from "./three-way-merge.ts";

const of = (body: object, apiVersion = "v1"): KubeObject => ({ apiVersion, kind: "Thing", metadata: { name: "x" }, ...body });
const merged = (before: object, wanted: object, live: object, apiVersion?: string) => {
  const { apiVersion: _, kind: __, metadata: ___, ...rest } = threeWayMerge(of(before, apiVersion), of(wanted, apiVersion), of(live, apiVersion));
  return rest;
};
const pod = (...containers: object[]) => ({ spec: { containers } });

const cases: { what: string; before: object; wanted: object; live: object; becomes: object }[] = [
  { what: "what the manifest says counts", before: { data: { a: "1" } }, wanted: { data: { a: "2" } }, live: { data: { a: "changed" } }, becomes: { data: { a: "2" } } },
  { what: "what left the manifest goes", before: { data: { a: "1", b: "1" } }, wanted: { data: { a: "1" } }, live: { data: { a: "1", b: "1" } }, becomes: { data: { a: "1" } } },
  { what: "what others set stays", before: { data: { a: "1" } }, wanted: { data: { a: "1" } }, live: { data: { a: "1", c: "theirs" } }, becomes: { data: { a: "1", c: "theirs" } } },
  { what: "containers are known by their names", before: pod({ name: "a", image: "1" }, { name: "b" }), wanted: pod({ name: "a", image: "2" }), live: pod({ name: "b" }, { name: "a", image: "1", tty: true }, { name: "sidecar" }), becomes: pod({ name: "a", image: "2", tty: true }, { name: "sidecar" }) },
  { what: "ports of containers are known by their numbers", before: pod({ name: "a", ports: [{ containerPort: 1 }] }), wanted: pod({ name: "a", ports: [{ containerPort: 2 }] }), live: pod({ name: "a", ports: [{ containerPort: 1, protocol: "TCP" }] }), becomes: pod({ name: "a", ports: [{ containerPort: 2 }] }) },
  { what: "other lists are replaced", before: { spec: { tolerations: [{ key: "a" }] } }, wanted: { spec: { tolerations: [{ key: "b" }] } }, live: { spec: { tolerations: [{ key: "a" }, { key: "c" }] } }, becomes: { spec: { tolerations: [{ key: "b" }] } } },
];
for (const { what, before, wanted, live, becomes } of cases)
  test(`[RL50] ${what}`, () => assert.deepEqual(merged(before, wanted, live), becomes));

test("[RL54] of a custom resource only what the manifest changes is changed", () => {
  assert.deepEqual(merged({ spec: { a: 1, b: 1, list: [1] } }, { spec: { a: 1, c: 1, list: [2] } }, { spec: { a: 9, b: 1, list: [3] } }, "x.example/v1"), { spec: { a: 9, c: 1, list: [2] } });
});

test("[RL50] of an object that was not applied before nothing goes", () => {
  const { data } = threeWayMerge(undefined, of({ data: { a: "1" } }), of({ data: { b: "theirs" } }));
  assert.deepEqual(data, { b: "theirs", a: "1" });
});

test("[RL50] a key that is a trap stays a key", () => {
  const wanted = JSON.parse('{"data":{"__proto__":"x"}}') as object;
  const result = threeWayMerge(undefined, of(wanted), of({ data: {} }));
  assert.deepEqual(Object.keys(result["data"] as object), ["__proto__"]);
  assert.equal(({} as { x?: unknown }).x, undefined);
});

const tree = fc.object({ maxDepth: 3, values: [fc.integer(), fc.string(), fc.boolean(), fc.array(fc.integer())], key: fc.constantFrom("a", "b", "containers", "name", "x") });
const apply = (into: unknown, patch: unknown): unknown => {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> = typeof into === "object" && into !== null && !Array.isArray(into) ? { ...into } : {};
  for (const [key, value] of Object.entries(patch)) if (value === null) delete result[key]; else result[key] = apply(result[key], value);
  return result;
};

test("[RL55] the patch that is sent makes of the live object what was merged, and none is sent when they are the same", () => {
  fc.assert(fc.property(tree, tree, (from, to) => {
    const patch = mergePatch(from as never, to as never);
    assert.deepEqual(apply(from, patch ?? {}), to);
    assert.equal(mergePatch(to as never, to as never), undefined);
  }));
});

test("[RL55] what is merged is stable, and holds what the manifest says", () => {
  fc.assert(fc.property(tree, tree, tree, (before, wanted, live) => {
    const once = threeWayMerge(of({ spec: before }), of({ spec: wanted }), of({ spec: live }));
    assert.deepEqual(threeWayMerge(of({ spec: wanted }), of({ spec: wanted }), once), once);
  }));
});
