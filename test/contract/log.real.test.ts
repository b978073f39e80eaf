/** The log on a real nats-server, by the cases that hold for the fake; and what only a real connection can do wrong. */
import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "nats";
import { LogError, type Log } from "#services/store/log.ts";
import { openNatsLog } from "#services/store/nats-log.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { startNats, type Nats } from "../../deploy/local/nats.ts";
import { scratchFolder } from "../kit/cluster.ts";
import { logCases } from "./log-cases.ts";

// A server of its own: two streams of one account cannot both hold `fl.>`.
const dir = scratchFolder();
let nats: Nats;
let connection: NatsConnection;
let log: Log;

before(async () => {
  nats = await startNats({ dir });
  connection = await connect({ servers: nats.url, token: nats.token, reconnectTimeWait: 50, maxReconnectAttempts: -1 });
  log = await openNatsLog(connection, "FL_contract");
});

after(async () => {
  await connection.close();
  await nats.stop();
});

for (const [at, { title, run }] of logCases.entries()) test(`${title} (NATS)`, () => run(log, at));

/** The connection, with some of its methods as given. */
const altered = (changes: Partial<NatsConnection>): NatsConnection =>
  new Proxy(connection, {
    get(target, name) {
      const found: unknown = Reflect.get(changes, name) ?? Reflect.get(target, name);
      return typeof found === "function" ? found.bind(target) : found;
    },
  });

test("[LG6] a scan leaves no subscription behind", async () => {
  let open = 0;
  const counted = altered({
    subscribe(subject, options) {
      const subscription = connection.subscribe(subject, options);
      open++;
      return new Proxy(subscription, {
        get(target, name) {
          if (name === "unsubscribe") open--;
          const found: unknown = Reflect.get(target, name);
          return typeof found === "function" ? found.bind(target) : found;
        },
      });
    },
  });
  const watched = await openNatsLog(counted, "FL_contract");
  for (let i = 0; i < 5; i++) for await (const _ of watched.scan("fl.*.mbx.>")) continue;
  for await (const _ of watched.scan("fl.*.nothing.>")) continue;
  assert.equal(open, 0);
});

test("[LG6] a scan whose answers stay away ends", async () => {
  const deaf = altered({ publish: (subject, ...rest) => { if (!subject.startsWith("$JS.API.DIRECT")) connection.publish(subject, ...rest); } });
  const lonely = await openNatsLog(deaf, "FL_contract");
  await assert.rejects(async () => { for await (const _ of lonely.scan("fl.>")) continue; }, (thrown) => thrown instanceof LogError && thrown.kind === "unknown");
});

test("[LG4] a batch that loses a message on the way is refused for now", async () => {
  let n = 0;
  const lossy = altered({ publish: (subject, ...rest) => { if (!subject.startsWith("fl.") || ++n !== 2) connection.publish(subject, ...rest); } });
  const losing = await openNatsLog(lossy, "FL_contract");
  const messages = ["a", "b", "c", "d"].map((name) => ({ subject: `fl.900.snap.${name}`, data: name }));
  await assert.rejects(losing.publishAll(messages), (thrown) => thrown instanceof LogError && thrown.kind === "busy");
  assert.equal(await log.read("fl.900.snap.a"), undefined);
});

test("[NT20] the record of a unit with very many objects fits", async () => {
  const data = "x".repeat(4 * 2 ** 20 - 2_048);
  await log.publishAll([{ subject: "fl.902.snap.a", data }, { subject: "fl.902.snap.b", data: "x" }]);
  assert.equal((await log.read("fl.902.snap.a"))?.data.length, data.length);
});

test("[NT20] an existing stream that takes less is brought to what we need, and keeps what else it was given", async () => {
  const jsm = await jetstreamManager(connection);
  await jsm.streams.update("FL_contract", { max_msg_size: 512 * 1024, description: "theirs" });
  const again = await openNatsLog(connection, "FL_contract");
  await again.publish({ subject: "fl.903.snap.a", data: "x".repeat(600 * 1024) });
  const { config } = await jsm.streams.info("FL_contract");
  assert.deepEqual([config.max_msg_size, config.num_replicas, config.description], [4 * 2 ** 20, 1, "theirs"]);
});

test("[NT21] without a cluster a wish for three replicas is refused; without a wish there is one", async () => {
  await assert.rejects(openNatsLog(connection, "FL_contract", { replicas: 3 }), /replicas/);
});

test("[LG7] while the server is away nobody can say what became of a write, and afterwards everything is there", async () => {
  const sequence = await log.publish({ subject: "fl.901.own", data: "w1" });
  await nats.kill();
  const failures = await Promise.allSettled([
    log.publish({ subject: "fl.901.own", data: "w2", expectLast: sequence }), log.read("fl.901.own"), (async () => { for await (const _ of log.scan("fl.901.>")) continue; })(),
  ]);
  for (const failure of failures)
    assert.ok(failure.status === "rejected" && failure.reason instanceof LogError && ["unknown", "busy"].includes(failure.reason.kind));
  await eventually("the client has noticed", () => connection.info === undefined);
  const refused = log.publish({ subject: "fl.901.own", data: "kept back", expectLast: sequence });
  await assert.rejects(refused, (thrown) => thrown instanceof LogError && thrown.kind === "busy");
  nats = await startNats({ dir, port: nats.port, token: nats.token });
  const stored = await eventually("it answers again", () => log.read("fl.901.own").catch(() => undefined));
  assert.notEqual(stored.data, "kept back");
  assert.equal(await log.publish({ subject: "fl.901.own", data: "w3", expectLast: stored.sequence }), stored.sequence + 1);
});
