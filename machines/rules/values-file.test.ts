import assert from "node:assert/strict";
import test from "node:test";
import { valuesPath } from "./values-file.ts";

const rows: { key: string | undefined; path?: string; wrong?: RegExp }[] = [
  { key: "values.yaml", path: "values.yaml" },
  { key: "./apps//shop/prod.yaml", path: "apps/shop/prod.yaml" },
  { key: "apps/shop/../values.yaml", path: "apps/values.yaml" },
  { key: "..values", path: "..values" },
  { key: undefined, wrong: /^needed with a source/ },
  { key: "/values.yaml", wrong: /absolute path/ },
  { key: "../values.yaml", wrong: /leads out of the artifact/ },
  { key: "apps/../../values.yaml", wrong: /leads out of the artifact/ },
  { key: "apps/", wrong: /names a directory/ },
  { key: "apps/..", wrong: /names a directory/ },
  { key: ".", wrong: /names a directory/ },
];

for (const { key, path, wrong } of rows)
  test(`[HR18] valuesKey ${key} of a source -> ${path ?? wrong?.source}`, () => {
    const found = valuesPath(key);
    if (wrong) assert.match("wrong" in found ? found.wrong : "", wrong);
    else assert.deepEqual(found, { path });
  });
