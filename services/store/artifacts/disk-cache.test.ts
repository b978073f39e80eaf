import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readdir, readFile, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { scratchFolder } from "../../../test/kit/cluster.ts";
import { ArtifactStore } from "../artifacts.ts";
import { DiskCache, type DiskCacheOptions } from "./disk-cache.ts";
import type { Vault } from "./vault.ts";

const digestOf = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const fileOf = (dir: string, bytes: Uint8Array) => join(dir, digestOf(bytes).slice(7));

function cacheIn(dir: string, options: Partial<DiskCacheOptions> = {}): { cache: DiskCache; troubles: string[] } {
  const troubles: string[] = [];
  return { troubles, cache: new DiskCache({ dir, maxBytes: 10_000, onTrouble: (detail, thrown) => troubles.push(`${detail} (${(thrown as { code?: string }).code})`), ...options }) };
}

async function kept(cache: DiskCache, bytes: Uint8Array): Promise<void> {
  cache.put(digestOf(bytes), bytes);
  await cache.settled();
}

/** A vault with one artifact, which counts how often it is read. */
function vaultOf(path: string, bytes: Uint8Array): Vault & { reads: number } {
  const entry = { path, digest: digestOf(bytes), sizeBytes: bytes.length, id: "1" };
  return {
    shown: "a store", reads: 0, find: async () => entry, write: async () => undefined, besides: async () => [], erase: async () => undefined, check: async () => undefined,
    async *read() {
      this.reads++;
      yield bytes;
    },
  };
}

test("[SR48] what was read once is read from disk by the next process; a cold, damaged or emptied cache costs a download", async () => {
  const dir = join(scratchFolder(), "not/there/yet");
  const [path, bytes] = ["gitrepository/apps/shop/a.tar.gz", randomBytes(2_000)];
  const vault = vaultOf(path, bytes);
  const read = async () => {
    const { cache } = cacheIn(dir);
    assert.deepEqual(Buffer.from(await new ArtifactStore(vault, { disk: cache }).get(path, { digest: digestOf(bytes) })), bytes);
    await cache.settled();
    return vault.reads;
  };
  assert.deepEqual([await read(), await read()], [1, 1]);
  await writeFile(fileOf(dir, bytes), randomBytes(2_000));
  assert.deepEqual([await read(), await read()], [2, 2]);
  await writeFile(fileOf(dir, bytes), "");
  assert.deepEqual([await read(), await read()], [3, 3]);
});

test("[SR48] the cache is bounded: what was not used for longest goes first, one that is large is not kept", async () => {
  const dir = scratchFolder();
  const { cache } = cacheIn(dir);
  const [first, second, third, large] = [3_000, 3_000, 3_000, 6_000].map((size) => randomBytes(size)) as [Buffer, Buffer, Buffer, Buffer];
  for (const bytes of [first, second, third, large]) await kept(cache, bytes);
  assert.equal(await cache.get(digestOf(large)), undefined);
  for (const [bytes, minutes] of [[first, 3], [second, 2], [third, 1]] as const) {
    const at = new Date(Date.now() - minutes * 60_000);
    await utimes(fileOf(dir, bytes), at, at);
  }
  assert.ok(await cache.get(digestOf(first))); // used again
  await kept(cache, randomBytes(1_500));
  assert.deepEqual(await Promise.all([first, second, third].map(async (bytes) => (await cache.get(digestOf(bytes))) !== undefined)), [true, false, true]);
  const again = cacheIn(dir, { maxBytes: 7_000 }).cache; // a smaller bound holds from the first write on
  await kept(again, randomBytes(100));
  const sizes = await Promise.all((await readdir(dir)).map(async (name) => (await readFile(join(dir, name))).length));
  assert.ok(sizes.reduce((sum, size) => sum + size, 0) <= 7_000, String(sizes));
});

test("[SR48] a full disk is told once, leaves nothing half written, and is not tried again at once", async () => {
  const dir = scratchFolder();
  let tries = 0;
  const full = async (file: unknown) => {
    tries++;
    await writeFile(file as string, "half");
    throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
  };
  const { cache, troubles } = cacheIn(dir, { write: full as typeof writeFile });
  const bytes = randomBytes(500);
  const store = new ArtifactStore(vaultOf("a/b/c/d.tar.gz", bytes), { disk: cache });
  await store.put("a/b/c/d.tar.gz", bytes);
  await kept(cache, randomBytes(600));
  assert.deepEqual([tries, await readdir(dir), troubles.length], [1, [], 1]);
  assert.match(troubles[0] ?? "", /ENOSPC/);
  assert.deepEqual(Buffer.from(await store.get("a/b/c/d.tar.gz", { digest: digestOf(bytes) })), bytes);
});

test("[SR48] a folder that cannot be made is told once, and everything is read from the store", async () => {
  const file = join(scratchFolder(), "a-file");
  await writeFile(file, "");
  const { cache, troubles } = cacheIn(join(file, "artifacts"));
  const bytes = randomBytes(500);
  const store = new ArtifactStore(vaultOf("a/b/c/d.tar.gz", bytes), { disk: cache });
  assert.deepEqual(Buffer.from(await store.get("a/b/c/d.tar.gz", { digest: digestOf(bytes) })), bytes);
  await kept(cache, randomBytes(600));
  assert.equal(troubles.length, 1);
  assert.match(troubles[0] ?? "", /ENOTDIR/);
});
