import assert from "node:assert/strict";
import test from "node:test";
import { attribute, resourceAttributes, unitAttributes } from "./attributes.ts";
import { isCommit, traceIndex } from "./subject.ts";

const sha = "4c1d9e2f00000000000000000000000000000001";
test("[TR9] a commit's subject is matched by the filter of each of its beginnings", () => {
  const tokens = traceIndex.commit(sha, "t").split(".");
  assert.equal(tokens.join("."), `tri.c.4c1d.${sha.slice(4)}.t`);
  for (let digits = 4; digits <= 40; digits++) assert.equal(traceIndex.commitsLike(sha.slice(0, digits)), "tri.c.4c1d.*.*");
});

test("[TR9] a dot in a name stays within its token", () =>
  assert.equal(traceIndex.unit("kustomization/apps/my.app"), "tri.u.kustomization.apps.my_app"));

for (const bad of ["a/b", "a/b/c/d", "kustomization/>/x", "kustomization/a/*", "Kustomization/a/b", "a//b"])
  test(`[TR9] ${bad} is no unit`, () => assert.throws(() => traceIndex.unit(bad), RangeError));

test("[TR9] a commit is 40 or 64 hex digits", () => {
  assert.deepEqual([isCommit(sha), isCommit(sha.slice(1)), isCommit(sha.repeat(2).slice(0, 64)), isCommit(sha.toUpperCase())], [true, false, true, false]);
});

test("[TR3] a unit's spans name it as Flux's events do; a cluster-scoped object has no namespace", () => {
  assert.equal(unitAttributes({ kind: "kustomization", namespace: "apps", name: "a" }, "Kustomization")[attribute.unit], "kustomization/apps/a");
  assert.ok(!(attribute.resourceNamespace in resourceAttributes({ kind: "Namespace", name: "a" })));
});
