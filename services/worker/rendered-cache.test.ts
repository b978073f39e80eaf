import assert from "node:assert/strict";
import test from "node:test";
import { RenderedCache } from "./rendered-cache.ts";

const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" } };
const passing = new Set(["_job_batch_Job"]);

test("[SO20] decrypted objects leave the cache when they were applied; what may be gone is still known", () => {
  const cache = new RenderedCache();
  cache.put("apps/shop", { key: "k", objects: [{ object, digest: "d" }, { object, digest: "e", secret: true }], passing, confidential: [] });
  assert.equal(cache.get("apps/shop", "k")?.objects.length, 2);
  cache.applied("apps/shop");
  assert.equal(cache.get("apps/shop", "k"), undefined);
  assert.deepEqual(cache.passing("apps/shop", "k"), passing);
});

test("[SO20] what was never encrypted stays at hand", () => {
  const cache = new RenderedCache();
  cache.put("apps/shop", { key: "k", objects: [{ object, digest: "d" }], passing, confidential: [] });
  cache.applied("apps/shop");
  assert.equal(cache.get("apps/shop", "k")?.objects.length, 1);
  assert.equal(cache.get("apps/shop", "other"), undefined);
});
