import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { Base64UrlPaddedCodec } from "@nats-io/obj";
import { connect, type NatsConnection } from "nats";
import { Fault } from "#protocol/errors/fault.ts";
import { eventually } from "../../../deploy/local/eventually.ts";
import { startNats, type Nats } from "../../../deploy/local/nats.ts";
import { scratchFolder } from "../../../test/kit/cluster.ts";
import { ArtifactStore } from "../artifacts.ts";
import { openNatsVault } from "./nats-vault.ts";

const digestOf = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const code = (expected: string) => (error: unknown) => error instanceof Fault && error.code === expected;

/** What NATS alone does; the rest is in test/contract/artifact-cases.ts. */
describe("artifacts in NATS", () => {
  const dir = scratchFolder();
  let server: Nats;
  let connection: NatsConnection;
  let store: ArtifactStore;
  /** Another worker's: nothing cached. */
  const elsewhere = async () => new ArtifactStore(await openNatsVault(connection, { timeoutMs: 1_000 }));

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

  test("[NT25] each deletion asks in its tick: one that may not go on deletes nothing, and a later one finishes what broke off", async () => {
    const bytes = randomBytes(600_000);
    const [prefix, path] = ["gitrepository/apps/guarded", "gitrepository/apps/guarded/a.tar.gz"];
    const forbid = () => { throw new Fault("LeaseLost", "w1"); };
    await store.put(path, bytes);
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
    await store.put(path, older);
    // Between the look at the entry and the deletion: what the guard waits for, the server has already.
    const subject = `$O.fl-artifacts.M.${Base64UrlPaddedCodec.encode(path)}`;
    const replace = () => connection.publish(subject, JSON.stringify({ name: path, bucket: "fl-artifacts", nuid: "newer", size: 0, chunks: 0, digest: "SHA-256=" }));
    await assert.rejects(store.remove(prefix, replace), code("StorageFailed"));
    const { streams } = await jetstreamManager(connection);
    const entry = await streams.getMessage("OBJ_fl-artifacts", { last_by_subj: subject });
    assert.equal(entry?.json<{ nuid: string }>().nuid, "newer");
    await store.put(path, newer);
    assert.deepEqual(Buffer.from(await (await elsewhere()).get(path)), newer);
  });

  // Last: it takes the server away.
  test("[SR45] a NATS that is gone ends every call with StorageFailed; when it is back, so is what was stored", async () => {
    const [path, bytes] = ["gitrepository/apps/outage/a.tar.gz", randomBytes(1_200_000)];
    await store.put(path, bytes);
    await server.kill();
    await assert.rejects(store.has(path), code("StorageFailed"));
    assert.deepEqual(Buffer.from(await store.get(path, { digest: digestOf(bytes) })), bytes);
    server = await startNats({ dir, port: server.port, token: server.token });
    await eventually("the connection", () => connection.flush().then(() => true));
    assert.deepEqual(Buffer.from(await (await elsewhere()).get(path)), bytes);
  });
});
