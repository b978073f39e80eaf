import assert from "node:assert/strict";
import test from "node:test";
import { jetstreamManager, jetstream, StorageType } from "@nats-io/jetstream";
import { connect } from "nats";
import { scratchFolder } from "../../test/kit/cluster.ts";
import { startNats } from "./nats.ts";

test("what was stored survives kill -9 and a start on the same folder, port and token", async () => {
  const dir = scratchFolder();
  const first = await startNats({ dir });
  const connection = await connect({ servers: first.url, token: first.token });
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: "kept", subjects: ["kept.>"], storage: StorageType.File });
  await jetstream(connection).publish("kept.one", "1");
  await connection.close();

  await first.kill();
  const second = await startNats({ dir, port: first.port, token: first.token });
  try {
    assert.equal(second.url, first.url);
    assert.notEqual(second.pid, first.pid);
    const again = await connect({ servers: second.url, token: second.token });
    const stored = await (await jetstreamManager(again)).streams.getMessage("kept", { seq: 1 });
    assert.equal(stored?.string(), "1");
    await again.close();
  } finally {
    await second.stop();
  }
});

test("a client without the token is refused", async () => {
  const server = await startNats({ dir: scratchFolder() });
  try {
    await assert.rejects(connect({ servers: server.url, reconnect: false }), /authorization/i);
  } finally {
    await server.stop();
  }
});
