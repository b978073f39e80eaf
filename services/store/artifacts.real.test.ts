import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { Base64UrlPaddedCodec } from "@nats-io/obj";
import { connect, type NatsConnection } from "nats";
import { Fault } from "#protocol/errors/fault.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { startNats, type Nats } from "../../deploy/local/nats.ts";
import { scratchFolder } from "../../test/kit/cluster.ts";
import { ArtifactStore } from "./artifacts.ts";

const digestOf = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const code = (expected: string) => (error: unknown) => error instanceof Fault && error.code === expected;
const contentsOf = async (stream: ReadableStream<Uint8Array>) => Buffer.concat(await Array.fromAsync(stream));

describe("artifact store", () => {
  const dir = scratchFolder();
  let server: Nats;
  let connection: NatsConnection;
  let store: ArtifactStore;
  /** Another worker's: nothing cached. */
  const elsewhere = () => ArtifactStore.open(connection, { timeoutMs: 1_000 });

  before(async () => {
    server = await startNats({ dir });
    connection = await connect({
      servers: server.url,
      token: server.token,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 50,
    });
    store = await elsewhere();
  });
  after(async () => {
    await connection.close();
    await server.stop();
  });

  for (const sizeBytes of [1, 512 * 1024, 512 * 1024 + 1, 3_000_000])
    test(`[SR40] ${sizeBytes} bytes are stored under their path and read back elsewhere`, async () => {
      const [path, bytes] = [`gitrepository/apps/shop.eu/size${sizeBytes}.tar.gz`, randomBytes(sizeBytes)];
      await store.put(path, bytes, digestOf(bytes));
      const other = await elsewhere();
      assert.equal(await other.has(path), true);
      assert.deepEqual(Buffer.from(await other.get(path, { digest: digestOf(bytes) })), bytes);
      const opened = await (await elsewhere()).open(path);
      assert.deepEqual(
        { size: opened?.sizeBytes, digest: opened?.digest },
        { size: sizeBytes, digest: digestOf(bytes) },
      );
      assert.deepEqual(opened && (await contentsOf(opened.stream)), bytes);
    });

  test("[SR41] bytes that are not those of the digest are refused: on storing, on reading, on passing on", async () => {
    const [path, bytes] = ["gitrepository/apps/damaged/a.tar.gz", randomBytes(1_200_000)];
    await assert.rejects(store.put(path, bytes, digestOf(randomBytes(1))), code("ArtifactCorrupt"));
    await store.put(path, bytes, digestOf(bytes));
    await assert.rejects((await elsewhere()).get(path, { digest: digestOf(randomBytes(1)) }), code("ArtifactCorrupt"));

    // a chunk is replaced behind the store's back, by one of the same size
    const manager = await jetstreamManager(connection);
    const meta = await manager.direct.getMessage("OBJ_fl-artifacts", {
      last_by_subj: `$O.fl-artifacts.M.${Buffer.from(path).toString("base64url").padEnd(48, "=")}`,
    });
    const { nuid } = meta?.json<{ nuid: string }>() ?? { nuid: "" };
    const subject = `$O.fl-artifacts.C.${nuid}`;
    const first = await manager.direct.getMessage("OBJ_fl-artifacts", { seq: 1, next_by_subj: subject });
    assert.ok(first);
    await manager.streams.deleteMessage("OBJ_fl-artifacts", first.seq);
    await connection.request(subject, randomBytes(first.data.length));
    await assert.rejects((await elsewhere()).get(path), code("ArtifactCorrupt"));
    const opened = await (await elsewhere()).open(path);
    assert.ok(opened);
    await assert.rejects(contentsOf(opened.stream), code("ArtifactCorrupt"));
  });

  test("[SR42] what is not there is missing: null to whoever passes it on, a fault to whoever needs it", async () => {
    const path = "gitrepository/apps/none/a.tar.gz";
    assert.equal(await store.has(path), false);
    assert.equal(await store.open(path), undefined);
    await assert.rejects(store.get(path), code("ArtifactMissing"));
  });

  test("[SR43] retain keeps what it is told, of this object alone, and leaves no trace of the rest", async () => {
    const bytes = randomBytes(100);
    const paths = ["one/a", "one/b", "one/c", "one-more/a"].map((tail) => `gitrepository/apps/${tail}.tar.gz`);
    for (const path of paths) await store.put(path, bytes, digestOf(bytes));
    await store.retain("gitrepository/apps/one", paths.slice(1, 3));
    assert.deepEqual(await Promise.all(paths.map((path) => store.has(path))), [false, true, true, true]);
    await store.remove("gitrepository/apps/one");
    assert.deepEqual(await Promise.all(paths.map((path) => store.has(path))), [false, false, false, true]);

    const { streams } = await jetstreamManager(connection);
    const { state } = await streams.info("OBJ_fl-artifacts", { subjects_filter: "$O.fl-artifacts.M.>" });
    const names = Object.keys(state.subjects ?? {}).map((subject) =>
      Buffer.from(subject.split(".")[3] ?? "", "base64url").toString(),
    );
    assert.deepEqual(
      names.filter((name) => name.includes("/one")),
      ["gitrepository/apps/one-more/a.tar.gz"],
    );
  });

  test("[NT25] each deletion asks in its tick: one that may not go on deletes nothing, and a later one finishes what broke off", async () => {
    const bytes = randomBytes(600_000);
    const [prefix, path] = ["gitrepository/apps/guarded", "gitrepository/apps/guarded/a.tar.gz"];
    const forbid = () => { throw new Fault("LeaseLost", "w1"); };
    await store.put(path, bytes, digestOf(bytes));
    await assert.rejects(store.remove(prefix, forbid), code("LeaseLost"));
    assert.deepEqual(Buffer.from(await (await elsewhere()).get(path)), bytes);

    const { streams } = await jetstreamManager(connection);
    const kept = async () => (await streams.info("OBJ_fl-artifacts")).state.messages;
    const before = await kept();
    let asked = 0;
    await assert.rejects(store.remove(prefix, () => { if (++asked === 2) forbid(); }), code("LeaseLost"));
    assert.equal(await store.has(path), false);
    assert.equal(await kept(), before); // a mark, and still the bytes
    await store.remove(prefix, () => { asked++; });
    assert.deepEqual([asked, await kept()], [5, before - 3]);
  });

  test("[NT25] an artifact stored under the same path while an older one is deleted stays", async () => {
    const [prefix, path] = ["gitrepository/apps/raced", "gitrepository/apps/raced/a.tar.gz"];
    const [older, newer] = [randomBytes(1_000), randomBytes(2_000)];
    await store.put(path, older, digestOf(older));
    // Between the look at the entry and the deletion: what the guard waits for, the server has already.
    const subject = `$O.fl-artifacts.M.${Base64UrlPaddedCodec.encode(path)}`;
    const replace = () => connection.publish(subject, JSON.stringify({ name: path, bucket: "fl-artifacts", nuid: "newer", size: 0, chunks: 0, digest: "SHA-256=" }));
    await assert.rejects(store.remove(prefix, replace), code("StorageFailed"));
    const { streams } = await jetstreamManager(connection);
    const entry = await streams.getMessage("OBJ_fl-artifacts", { last_by_subj: subject });
    assert.equal(entry?.json<{ nuid: string }>().nuid, "newer");
    await store.put(path, newer, digestOf(newer));
    assert.deepEqual(Buffer.from(await (await elsewhere()).get(path)), newer);
  });

  test("[SR44] other bytes under the same path replace the old ones", async () => {
    const path = "gitrepository/apps/again/a.tar.gz";
    const [before, after] = [randomBytes(1_000_000), randomBytes(700_000)];
    for (const bytes of [before, after]) await store.put(path, bytes, digestOf(bytes));
    assert.deepEqual(Buffer.from(await (await elsewhere()).get(path)), after);
  });

  const outage = "gitrepository/apps/outage";
  const [path, bytes] = [`${outage}/a.tar.gz`, randomBytes(1_200_000)];
  async function everyCallFails(): Promise<void> {
    await Promise.all([
      assert.rejects(store.put(`${outage}/b.tar.gz`, bytes, digestOf(bytes)), code("StorageFailed")),
      assert.rejects(store.get(path), code("StorageFailed")),
      assert.rejects(store.open(path), code("StorageFailed")),
      assert.rejects(store.has(path), code("StorageFailed")),
      assert.rejects(store.remove(outage), code("StorageFailed")),
    ]);
    assert.deepEqual(Buffer.from(await store.get(path, { digest: digestOf(bytes) })), bytes);
  }

  test("[SR45] a silent NATS ends every call with StorageFailed; what is in memory is still read", async () => {
    await store.put(path, bytes, digestOf(bytes));
    const opened = await (await elsewhere()).open(path);
    process.kill(server.pid, "SIGSTOP");
    try {
      await everyCallFails();
      assert.ok(opened);
      await assert.rejects(contentsOf(opened.stream), code("StorageFailed"));
    } finally {
      process.kill(server.pid, "SIGCONT");
    }
    assert.equal(await store.has(path), true);
  });

  // Last: it takes the server away.
  test("[SR45] so does one that is gone; when it is back, so is what was stored", async () => {
    await server.kill();
    await everyCallFails();
    server = await startNats({ dir, port: server.port, token: server.token });
    await eventually("the connection", () => connection.flush().then(() => true));
    assert.deepEqual(Buffer.from(await (await elsewhere()).get(path)), bytes);
  });
});
