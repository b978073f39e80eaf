/** What every store of artifacts keeps, wherever it keeps them: run on NATS and on S3. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { Fault } from "#protocol/errors/fault.ts";
import { ArtifactStore, type ArtifactStoreOptions } from "#services/store/artifacts.ts";
import type { Entry, Vault } from "#services/store/artifacts/vault.ts";
import { eventually } from "../../deploy/local/eventually.ts";

export type ArtifactStage = {
  /** Another worker's: nothing cached. */
  vault(): Promise<Vault>;
  /** Other bytes in the place of the stored ones, as many. */
  damage(entry: Entry): Promise<void>;
  /** A part of the bytes, or all of them, are gone. */
  lose(entry: Entry): Promise<void>;
  /** Nothing is answered until what is returned is called. */
  silence(): Promise<() => Promise<void>>;
};

const digestOf = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const code = (...expected: string[]) => (error: unknown) => error instanceof Fault && expected.includes(error.code);
const contentsOf = async (stream: ReadableStream<Uint8Array>) => Buffer.concat(await Array.fromAsync(stream));
const forbid = () => { throw new Fault("LeaseLost", "w1"); };

export const artifactCases: { title: string; run(stage: ArtifactStage): Promise<void> }[] = [
  ...[1, 512 * 1024, 512 * 1024 + 1, 3_000_000].map((sizeBytes) => ({
    title: `[SR40] ${sizeBytes} bytes are stored under their path and read back elsewhere`,
    async run({ vault }: ArtifactStage) {
      const [path, bytes] = [`gitrepository/apps/shop.eu/sha256:size${sizeBytes}+1.tar.gz`, randomBytes(sizeBytes)];
      assert.deepEqual(await new ArtifactStore(await vault()).put(path, bytes), { path, digest: digestOf(bytes), sizeBytes });
      const other = new ArtifactStore(await vault());
      assert.deepEqual([await other.has(path), await other.has(path, digestOf(bytes)), await other.has(path, digestOf(randomBytes(1)))], [true, true, false]);
      assert.deepEqual(Buffer.from(await other.get(path, { digest: digestOf(bytes) })), bytes);
      const opened = await new ArtifactStore(await vault()).open(path);
      assert.deepEqual([opened?.sizeBytes, opened?.digest], [sizeBytes, digestOf(bytes)]);
      assert.deepEqual(opened && (await contentsOf(opened.stream)), bytes);
    },
  })),
  {
    title: "[SR40] who reads slowly is sent slowly: what is not read yet does not pile up",
    async run({ vault }) {
      const [path, bytes] = ["gitrepository/apps/slow/a.tar.gz", randomBytes(20 * 2 ** 20)];
      const inner = await vault();
      await new ArtifactStore(inner).put(path, bytes);
      let taken = 0;
      async function* counted(entry: Entry) {
        for await (const chunk of inner.read(entry)) {
          taken += chunk.byteLength;
          yield chunk;
        }
      }
      const opened = await new ArtifactStore({ ...bound(inner), read: counted }).open(path);
      const reader = opened?.stream.getReader();
      const first = await reader?.read();
      await new Promise((resolve) => setImmediate(resolve));
      assert.ok(first?.value && taken < 4 * 2 ** 20, `${taken} bytes were taken`);
      await reader?.cancel();
    },
  },
  {
    title: "[SR41] [SR47] damaged bytes are refused on reading, on passing on; they go, and whoever stores them is told",
    async run({ vault, damage }) {
      const [path, bytes] = ["gitrepository/apps/damaged/a.tar.gz", randomBytes(1_200_000)];
      const lost: string[] = [];
      const elsewhere = async (options: ArtifactStoreOptions = { onLost: (each) => lost.push(each) }) => new ArtifactStore(await vault(), options);
      const store = await elsewhere();
      for (const read of [
        async () => (await elsewhere()).get(path, { digest: digestOf(bytes) }),
        async () => contentsOf((await (await elsewhere()).open(path))?.stream ?? assert.fail("not there")),
      ]) {
        await store.put(path, bytes);
        await assert.rejects((await elsewhere({})).get(path, { digest: digestOf(randomBytes(1)) }), code("ArtifactCorrupt"));
        await damage((await (await vault()).find(path)) ?? assert.fail("not stored"));
        await assert.rejects(read(), code("ArtifactCorrupt"));
        assert.deepEqual([await store.has(path), lost.splice(0)], [false, [path]]);
      }
      await store.put(path, bytes);
      assert.deepEqual(Buffer.from(await (await elsewhere()).get(path)), bytes);
    },
  },
  {
    title: "[SR47] what is lost within the store is found out when it is read, and stored anew",
    async run({ vault, lose }) {
      const [path, bytes] = ["gitrepository/apps/lost/a.tar.gz", randomBytes(1_200_000)];
      const lost: string[] = [];
      const store = new ArtifactStore(await vault());
      await store.put(path, bytes);
      await lose((await (await vault()).find(path)) ?? assert.fail("not stored"));
      const reader = new ArtifactStore(await vault(), { onLost: (each) => lost.push(each) });
      await assert.rejects(reader.get(path, { digest: digestOf(bytes) }), code("ArtifactCorrupt", "ArtifactMissing"));
      assert.deepEqual([lost, await store.has(path, digestOf(bytes))], [[path], false]);
      await store.put(path, bytes);
      assert.deepEqual(Buffer.from(await reader.get(path, { digest: digestOf(bytes) })), bytes);
    },
  },
  {
    title: "[SR42] what is not there is missing: nothing to whoever passes it on, a fault to whoever needs it",
    async run({ vault }) {
      const path = "gitrepository/apps/none/a.tar.gz";
      const store = new ArtifactStore(await vault());
      assert.deepEqual([await store.has(path), await store.open(path)], [false, undefined]);
      await assert.rejects(store.get(path), code("ArtifactMissing"));
    },
  },
  {
    title: "[SR43] retain keeps what it is told, of this object alone, and leaves no trace of the rest",
    async run({ vault }) {
      const bytes = randomBytes(100);
      const store = new ArtifactStore(await vault());
      const paths = ["one/a", "one/b", "one/c", "one-more/a"].map((tail) => `gitrepository/apps/${tail}.tar.gz`);
      for (const path of paths) await store.put(path, bytes);
      await store.retain("gitrepository/apps/one", paths.slice(1, 3));
      assert.deepEqual(await Promise.all(paths.map((path) => store.has(path))), [false, true, true, true]);
      await store.remove("gitrepository/apps/one");
      assert.deepEqual(await Promise.all(paths.map((path) => store.has(path))), [false, false, false, true]);
      assert.deepEqual(await (await vault()).besides("gitrepository/apps/one", []), []);
    },
  },
  {
    title: "[SR44] other bytes under the same path replace the old ones",
    async run({ vault }) {
      const path = "gitrepository/apps/again/a.tar.gz";
      const store = new ArtifactStore(await vault());
      const [before, after] = [randomBytes(1_000_000), randomBytes(700_000)];
      for (const bytes of [before, after]) await store.put(path, bytes);
      assert.deepEqual(Buffer.from(await new ArtifactStore(await vault()).get(path)), after);
      await store.retain("gitrepository/apps/again", [path]);
      assert.deepEqual(Buffer.from(await new ArtifactStore(await vault()).get(path)), after);
    },
  },
  {
    title: "[SR46] a deletion on its way means what was looked at: what the next owner stored stays, the same bytes under the same path too",
    async run({ vault }) {
      const [folder, path, bytes] = ["gitrepository/apps/raced", "gitrepository/apps/raced/a.tar.gz", randomBytes(1_000)];
      const [former, next] = [await vault(), new ArtifactStore(await vault())];
      await new ArtifactStore(former).put(path, bytes);
      const [seen = assert.fail("nothing to delete")] = await former.besides(folder, []);
      await next.put(path, bytes);
      await former.erase(seen, () => undefined).catch(() => undefined); // refused, or without effect
      assert.deepEqual(Buffer.from(await new ArtifactStore(await vault()).get(path, { digest: digestOf(bytes) })), bytes);
      await next.remove(folder);
      assert.deepEqual(await former.besides(folder, []), []);
    },
  },
  {
    title: "[SR46] who may not act any more deletes nothing",
    async run({ vault }) {
      const [folder, path, bytes] = ["gitrepository/apps/guarded", "gitrepository/apps/guarded/a.tar.gz", randomBytes(600_000)];
      const store = new ArtifactStore(await vault());
      await store.put(path, bytes);
      await assert.rejects(store.remove(folder, forbid), code("LeaseLost"));
      assert.deepEqual(Buffer.from(await new ArtifactStore(await vault()).get(path)), bytes);
    },
  },
  {
    title: "[SR45] [SR49] a store that is silent ends every call with StorageFailed; what is in memory is read, and it says that it is not ready until it is back",
    async run({ vault, silence }) {
      const [folder, path, bytes] = ["gitrepository/apps/outage", "gitrepository/apps/outage/a.tar.gz", randomBytes(1_200_000)];
      const store = new ArtifactStore(await vault());
      await store.put(path, bytes);
      assert.deepEqual(store.reasonsNotReady(), []);
      const opened = await new ArtifactStore(await vault()).open(path);
      const end = await silence();
      try {
        await Promise.all([
          assert.rejects(store.put(`${folder}/b.tar.gz`, bytes), code("StorageFailed")),
          assert.rejects(store.get(path), code("StorageFailed")),
          assert.rejects(store.open(path), code("StorageFailed")),
          assert.rejects(store.has(path), code("StorageFailed")),
          assert.rejects(store.remove(folder), code("StorageFailed")),
        ]);
        assert.deepEqual(Buffer.from(await store.get(path, { digest: digestOf(bytes) })), bytes);
        assert.match(store.reasonsNotReady().join(), /^the artifact store, .+, does not work: .+/);
        await assert.rejects(contentsOf(opened?.stream ?? assert.fail("not there")), code("StorageFailed"));
      } finally {
        await end();
      }
      await eventually("it is ready by itself", async () => store.reasonsNotReady().length === 0);
      assert.equal(await store.has(path), true);
      store.close();
    },
  },
];

/** Methods of a class's instance that can be spread. */
const bound = (vault: Vault): Vault => ({
  shown: vault.shown, find: (path) => vault.find(path), read: (entry) => vault.read(entry), write: (path, bytes, digest) => vault.write(path, bytes, digest),
  besides: (folder, keep) => vault.besides(folder, keep), erase: (entry, guard) => vault.erase(entry, guard), check: () => vault.check(),
});
