import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import test from "node:test";
import { generated } from "./generate.ts";

const root = dirname(import.meta.dirname);
const files = generated();

for (const [path, text] of files)
  test(`[API7] ${path} is what "npm run generate" writes`, () =>
    assert.equal(readFileSync(join(root, path), "utf8"), text));

test("[API7] nothing else lies in deploy/crds", () => {
  const expected = [...files.keys()]
    .filter((path) => path.startsWith("deploy/crds/"))
    .map((path) => path.slice("deploy/crds/".length));
  assert.deepEqual(readdirSync(join(root, "deploy/crds")).sort(), expected.sort());
});
