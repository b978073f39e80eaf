import assert from "node:assert/strict";
import test from "node:test";
import { Buffer } from "node:buffer";
import * as fc from "fast-check";
import { readSetKey, type ReadSet } from "./read-set.ts";
import { Tree } from "./tree.ts";

const tree = (files: Record<string, string>, directories: string[] = []) =>
  new Tree(
    Object.entries(files).map(([path, content]) => [path, Buffer.from(content)]),
    directories,
  );

const looked: ReadSet = { files: ["a/k.yaml", "a/missing.yaml", "a/sub"], dirs: ["a"] };
const before = { "a/k.yaml": "1", "a/sub/x": "1", "b/other": "1" };
const rows: { what: string; after: Record<string, string>; changed: boolean }[] = [
  { what: "nothing changed", after: before, changed: false },
  { what: "a file that was read changed", after: { ...before, "a/k.yaml": "2" }, changed: true },
  { what: "a file that was looked for appeared", after: { ...before, "a/missing.yaml": "" }, changed: true },
  { what: "a directory became a file", after: { "a/k.yaml": "1", "a/sub": "1", "b/other": "1" }, changed: true },
  { what: "a file that was read is gone", after: { "a/sub/x": "1", "b/other": "1" }, changed: true },
  { what: "a directory that was listed has one more name", after: { ...before, "a/new.txt": "" }, changed: true },
  { what: "a file elsewhere changed", after: { ...before, "b/other": "2", "c/new": "" }, changed: false },
  {
    what: "a file below a directory that was only looked at",
    after: { ...before, "a/sub/x": "2", "a/sub/y": "" },
    changed: false,
  },
];
for (const { what, after, changed } of rows)
  test(`[RN28] ${what}: ${changed ? "another" : "the same"} key`, () =>
    assert.equal(readSetKey(tree(after), looked) !== readSetKey(tree(before), looked), changed));

test("[RN28] places in another order give the same key", () =>
  assert.equal(
    readSetKey(tree(before), { files: [...looked.files].reverse(), dirs: looked.dirs }),
    readSetKey(tree(before), looked),
  ));

test("[RN28] names and contents cannot be traded for one another", () =>
  fc.assert(
    fc.property(fc.dictionary(name, fc.string()), fc.dictionary(name, fc.string()), (one, two) => {
      const paths = [...new Set([...Object.keys(one), ...Object.keys(two)])];
      const same = paths.every((path) => one[path] === two[path]);
      const all = { files: paths, dirs: [""] };
      assert.equal(readSetKey(tree(one), all) === readSetKey(tree(two), all), same);
    }),
  ));

const name = fc.string({ minLength: 1, maxLength: 3, unit: fc.constantFrom("a", "b", "\n", '"', ",", " ") });
