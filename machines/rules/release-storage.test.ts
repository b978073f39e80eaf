import assert from "node:assert/strict";
import { test } from "node:test";
import { storageMark } from "./release-storage.ts";

const revisions = [{ version: 1, uid: "u1", resourceVersion: "5" }, { version: 2, uid: "u2", resourceVersion: "7" }];

test("[RL45] what stands in storage has one name in whatever order it is told, and another one after each change", () => {
  assert.equal(storageMark(revisions), storageMark(revisions.toReversed()));
  const [first, second] = revisions as [(typeof revisions)[0], (typeof revisions)[0]];
  const others = [[], [first], [first, { ...second, resourceVersion: "8" }], [first, { ...second, uid: "u3" }], [...revisions, { version: 3, uid: "u3", resourceVersion: "9" }]];
  assert.equal(new Set([revisions, ...others].map(storageMark)).size, others.length + 1);
});
