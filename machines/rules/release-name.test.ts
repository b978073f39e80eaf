import assert from "node:assert/strict";
import { hash } from "node:crypto";
import test from "node:test";
import { releasePlace } from "./release-name.ts";

const key = { namespace: "apps", name: "shop" };
const long = "a".repeat(54);
const rows = [
  { spec: {}, gives: { name: "shop", namespace: "apps", storageNamespace: "apps" } },
  { spec: { targetNamespace: "shops" }, gives: { name: "shops-shop", namespace: "shops", storageNamespace: "apps" } },
  { spec: { targetNamespace: "shops", releaseName: "store", storageNamespace: "releases" }, gives: { name: "store", namespace: "shops", storageNamespace: "releases" } },
  { spec: { releaseName: "a".repeat(53) }, gives: { name: "a".repeat(53), namespace: "apps", storageNamespace: "apps" } },
  { spec: { releaseName: long }, gives: { name: `${"a".repeat(40)}-${hash("sha256", long).slice(0, 12)}`, namespace: "apps", storageNamespace: "apps" } },
];
for (const { spec, gives } of rows)
  test(`[HR13] ${JSON.stringify(spec)} lies at ${gives.name}`, () => assert.deepEqual(releasePlace(key, spec, (text) => hash("sha256", text)), gives));
