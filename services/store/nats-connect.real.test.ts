import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer, type AddressInfo } from "node:net";
import test, { after, before } from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { startNats, type Nats } from "../../deploy/local/nats.ts";
import { scratchFolder } from "../../test/kit/cluster.ts";
import { startConfigured, type ConfiguredNats } from "../../test/kit/nats-configured.ts";
import { checkDurability } from "./nats-check.ts";
import { connectNats, showNats } from "./nats-connect.ts";

const secret = `p@ss:w/rd%${randomBytes(4).toString("hex")}`;

/** One server with accounts: one with JetStream, one without, and a user who may not use it. It writes to disk now and then. */
let accounts: ConfiguredNats;
let [url, monitorUrl] = ["", ""];
/** One without JetStream at all. */
let bare: ConfiguredNats;
let other: Nats;

before(async () => {
  accounts = await startConfigured("accounts", {
    accounts: {
      WITH: {
        jetstream: "enabled",
        users: [{ user: "app", password: secret }, { user: "denied", password: secret, permissions: { publish: { deny: ["$JS.API.>"] } } }],
      },
      WITHOUT: { users: [{ user: "plain", password: secret }] },
    },
    jetstream: {},
  });
  ({ url, monitorUrl } = accounts);
  bare = await startConfigured("bare", {});
  other = await startNats({ dir: scratchFolder() });
});

after(async () => {
  await Promise.all([accounts.stop(), bare.stop(), other.stop()]);
});

const as = (user: string, password = secret) => `nats://${user}:${encodeURIComponent(password)}@${url}`;

test("[NT30] user and password, or a token, come from the address or beside it", async () => {
  for (const address of [{ url: as("app") }, { url: `nats://${other.token}@${new URL(other.url).host}` }, { url: other.url, token: other.token }, { url: `nats://127.0.0.1:1,${as("app")}` }]) {
    const connection = await connectNats({ ...address, name: "test" });
    assert.equal(connection.isClosed(), false);
    await connection.close();
  }
});

const refusals: { name: string; address: () => string; reason: RegExp }[] = [
  { name: "a wrong password", address: () => as("app", "wrong-password"), reason: /refused the credentials/ },
  { name: "no credentials", address: () => `nats://${url}`, reason: /refused the credentials/ },
  { name: "nobody there", address: () => "nats://user:wrong-password@127.0.0.1:1", reason: /no server can be reached/ },
  { name: "an account without JetStream", address: () => as("plain"), reason: /JetStream is not enabled for this account/ },
  { name: "a server without JetStream", address: () => `nats://${bare.url}`, reason: /JetStream is not enabled on this server/ },
  { name: "no permission for JetStream", address: () => as("denied"), reason: /do not allow JetStream/ },
];
for (const { name, address, reason } of refusals)
  test(`[NT31] ${name} is told in one line that says so, at once and without the password`, async () => {
    await assert.rejects(connectNats({ url: address(), name: "test" }), (thrown) => {
      assert.ok(thrown instanceof Fault && thrown.code === "NatsUnreachable");
      assert.match(thrown.message, reason);
      assert.doesNotMatch(thrown.message, /\n|wrong-password|p@ss|p%40ss/);
      return true;
    });
  });

test("[NT31] something that is no NATS server is told as nobody there", async () => {
  const server = createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  await new Promise<void>((resolve) => { server.listen(0, "127.0.0.1", resolve); });
  const { port } = server.address() as AddressInfo;
  await assert.rejects(connectNats({ url: `nats://127.0.0.1:${port}`, name: "test" }), (thrown) => thrown instanceof Fault && thrown.code === "NatsUnreachable");
  await new Promise((resolve) => { server.close(resolve); });
});

const shown = [
  ["nats://a:b@h:4222", "nats://h:4222"], ["nats://token@h:4222, nats://h2", "nats://h:4222,nats://h2"], ["a:p@ss@h", "h"], ["nats://h", "nats://h"],
] as const;
for (const [address, text] of shown) test(`[NT31] an address is shown without what is secret in it: ${text}`, () => assert.equal(showNats(address), text));

test("[NT32] a server that acknowledges before it writes to disk is found out; one that cannot be asked is said to be unknown", async () => {
  const connection = await connectNats({ url: as("app"), name: "test" });
  try {
    const is = async (at?: string) => (await checkDurability(connection, at)).is;
    assert.equal(await is(monitorUrl), "unsafe");
    assert.match((await checkDurability(connection, monitorUrl)).sentence, /accounts acknowledges up to 120 s .*sync_interval: always/);
    for (const nowhere of [undefined, "", "nonsense", "http://127.0.0.1:1", `http://${url}`]) assert.equal(await is(nowhere), "unknown");
    assert.equal(await is(`http://127.0.0.1:1,${monitorUrl}`), "unsafe");
    const { sentence } = await checkDurability(connection, "http://user:hush@127.0.0.1:1");
    assert.doesNotMatch(sentence, /hush/);
  } finally {
    await connection.close();
  }
});

test("[NT32] one that writes first is ok; the monitoring of another NATS says nothing", async () => {
  const safe = await startConfigured("safe", { jetstream: { sync_interval: "always" } });
  const connection = await connectNats({ url: safe.url, name: "test" });
  try {
    assert.equal((await checkDurability(connection, safe.monitorUrl)).is, "ok");
    assert.equal((await checkDurability(connection, `${safe.monitorUrl}, ${monitorUrl}`)).is, "unknown");
  } finally {
    await connection.close();
    await safe.stop();
  }
});
