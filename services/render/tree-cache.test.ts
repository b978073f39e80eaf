import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { hash } from "node:crypto";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { artifact } from "./fixtures.ts";
import { TreeCache } from "./tree-cache.ts";

/** An artifact that counts how often it is loaded. */
async function counted(content: string) {
  const handle = await artifact({ "a.yaml": content });
  let loads = 0;
  return {
    digest: handle.digest,
    load: () => {
      loads++;
      return handle.load();
    },
    loads: () => loads,
  };
}

test("[RN30] a tree is loaded once for all who want it at the same time, and kept", async () => {
  const cache = new TreeCache(1_000);
  const one = await counted("1");
  const [a, b] = await Promise.all([cache.get(one), cache.get(one)]);
  assert.equal(a, b);
  assert.equal(await cache.get(one), a);
  assert.equal(one.loads(), 1);
});

test("[RN30] trees beyond the bound are let go, the one not used for longest first", async () => {
  const cache = new TreeCache(250);
  const [one, two, three] = await Promise.all(["1", "2", "3"].map((digit) => counted(digit.repeat(100))));
  assert.ok(one && two && three);
  await cache.get(one);
  await cache.get(two);
  await cache.get(one);
  await cache.get(three);
  await cache.get(one);
  assert.deepEqual([one.loads(), two.loads(), three.loads()], [1, 1, 1]);
  await cache.get(two);
  assert.equal(two.loads(), 2);
});

test("[RN30] a tree larger than the cache is still a tree", async () => {
  const large = await counted("x".repeat(500));
  assert.equal((await new TreeCache(100).get(large)).sizeBytes, 500);
});

test("[RN33] bytes that do not match their digest are refused, and asked for again", async () => {
  const cache = new TreeCache(1_000);
  const { digest, load } = await artifact({ "a.yaml": "a" });
  const other = await artifact({ "a.yaml": "b" });
  await assert.rejects(cache.get({ digest, load: other.load }), corrupt);
  assert.ok(await cache.get({ digest, load }));
});

for (const digest of ["", "sha256:", "sha256", "md5:0cc175b9c0f1b6a831c399e269772661", "blake3:00"])
  test(`[RN33] digest "${digest}" vouches for nothing`, async () => {
    const { load } = await artifact({});
    await assert.rejects(new TreeCache(1_000).get({ digest, load }), corrupt);
  });

test("[RN33] sha512 is a digest too", async () => {
  const { load } = await artifact({ a: "a" });
  assert.ok(await new TreeCache(1_000).get({ digest: `sha512:${hash("sha512", Buffer.from(await load()))}`, load }));
});

const corrupt = (thrown: unknown) => thrown instanceof Fault && thrown.code === "ArtifactCorrupt";
