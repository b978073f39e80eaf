/** The log on a cluster of three nats-servers, by the cases that hold for one; and what only a cluster does. */
import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { jetstreamManager, type JetStreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "nats";
import { LogError, type Log, type Stored } from "#services/store/log.ts";
import { connectNats } from "#services/store/nats-connect.ts";
import { openNatsLog } from "#services/store/nats-log.ts";
import { ensureTraceStream } from "#services/telemetry/trace-stream.ts";
import { openNatsVault } from "#services/store/artifacts/nats-vault.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { startNatsCluster, type NatsCluster, type NatsNode } from "../../deploy/local/nats-cluster.ts";
import { scratchFolder } from "../kit/cluster.ts";
import { logCases } from "./log-cases.ts";

const stream = "FL_contract";

let cluster: NatsCluster;
let connection: NatsConnection;
let jsm: JetStreamManager;
let log: Log;

before(async () => {
  cluster = await startNatsCluster({ dir: scratchFolder() });
  connection = await connectNats({ url: cluster.url, token: cluster.token, name: "contract" });
  jsm = await jetstreamManager(connection);
  log = await openNatsLog(connection, stream);
});

after(async () => {
  await connection.close();
  await cluster.stop();
});

/**
 * Any replica answers a scan, and one that lags does not see what was just acknowledged. Asked for something newer until
 * each must have answered with it; the cell waits for its own claim in the same way.
 */
async function replicasHaveAll(): Promise<void> {
  const sequence = await insist(() => log.publish({ subject: "fl.barrier", data: "" }));
  for (let inARow = 0; inARow < 25; ) {
    const seen = await jsm.direct.getMessage(stream, { last_by_subj: "fl.barrier" }).catch(() => null);
    inARow = (seen?.seq ?? 0) >= sequence ? inARow + 1 : 0;
  }
}

async function insist<T>(attempt: () => Promise<T>): Promise<T> {
  for (;;)
    try {
      return await attempt();
    } catch (thrown) {
      if (!(thrown instanceof LogError) || (thrown.kind !== "busy" && thrown.kind !== "unknown")) throw thrown;
      await sleep(20);
    }
}

const all = (filter: string): Promise<Stored[]> => insist(() => Array.fromAsync(log.scan(filter)));

for (const [at, { title, run }] of logCases.entries())
  test(`${title} (cluster)`, () =>
    run({
      publish: (message) => log.publish(message), publishAll: (messages) => log.publishAll(messages), read: (subject) => log.read(subject),
      listen: (filter, receive) => log.listen(filter, receive),
      async *scan(filter, from) {
        await replicasHaveAll();
        yield* log.scan(filter, from);
      },
    }, at));

test("[NT21] in a cluster everything is kept three times; what was made with less grows", async () => {
  await openNatsVault(connection);
  await ensureTraceStream(connection);
  const replicas = async (name: string) => (await jsm.streams.info(name)).config.num_replicas;
  const names = [stream, "OBJ_fl-artifacts", "FL_TRACES"];
  assert.deepEqual(await Promise.all(names.map(replicas)), [3, 3, 3]);
  for (const name of names) await jsm.streams.update(name, { num_replicas: 1 });
  await openNatsVault(connection);
  await ensureTraceStream(connection);
  await openNatsLog(connection, stream);
  assert.deepEqual(await Promise.all(names.map(replicas)), [3, 3, 3]);
  await openNatsLog(connection, stream, { replicas: 1 });
  assert.equal(await replicas(stream), 1);
  await openNatsLog(connection, stream);
  await eventually("all three have it", async () => (await jsm.streams.info(stream)).cluster?.replicas?.every(({ current }) => current));
});

test("[NT22] of many writes under one fence at once some are refused for now, none as if somebody else had written", async () => {
  const fence = { subject: "fl.800.own", sequence: await log.publish({ subject: "fl.800.own", data: "w1" }) };
  const outcomes = await Promise.allSettled(Array.from({ length: 300 }, (_, i) => log.publish({ subject: `fl.800.snap.a${i}`, data: "x", fence })));
  const kinds = outcomes.flatMap((each) => (each.status === "rejected" ? [each.reason instanceof LogError ? each.reason.kind : String(each.reason)] : []));
  assert.ok(kinds.length > 0);
  assert.deepEqual(new Set(kinds), new Set(["busy"]));
  await replicasHaveAll();
  assert.equal((await all("fl.800.snap.>")).length, outcomes.length - kinds.length);
});

/** Neither leads the stream nor holds our connection. */
async function bystander(): Promise<NatsNode> {
  return eventually("a server that is neither the leader nor ours", async () => {
    const leader = await cluster.leaderOf(stream);
    return leader && cluster.nodes.find((node) => node !== leader && !node.url.endsWith(connection.getServer()));
  });
}

test("[NT23] a follower killed: writes, reads, scans and copies go on; it catches up when it is back", async () => {
  const heard: string[] = [];
  const stop = log.listen("fll.801.mbx.>", ({ data }) => heard.push(data));
  await connection.flush();
  const fence = { subject: "fl.801.own", sequence: await insist(() => log.publish({ subject: "fl.801.own", data: "w1" })) };
  const write = (i: number) => insist(() => log.publish({ subject: `fl.801.mbx.a${i}`, data: String(i), fence }));
  for (let i = 0; i < 10; i++) await write(i);
  const dead = await bystander();
  await dead.kill();
  for (let i = 10; i < 40; i++) await write(i);
  assert.equal((await insist(() => log.read("fl.801.mbx.a39")))?.data, "39");
  const expected = Array.from({ length: 40 }, (_, i) => String(i));
  await eventually("a scan of whoever is left has it all", async () => (await all("fl.801.mbx.>")).length === 40);
  assert.deepEqual((await all("fl.801.mbx.>")).map(({ data }) => data), expected);
  await eventually("every copy", () => heard.length >= 40);
  assert.deepEqual(heard, expected);
  stop();

  await dead.start();
  await eventually("it has caught up", async () => (await jsm.streams.info(stream)).cluster?.replicas?.every(({ current, offline }) => current && !offline));
});

test("[NT23] the server we are connected to killed: the connection moves on, and a listener hears again", async () => {
  const heard: string[] = [];
  const stop = log.listen("fll.802.mbx.>", ({ data }) => heard.push(data));
  await connection.flush();
  const ours = cluster.nodes.find(({ url }) => url.endsWith(connection.getServer()));
  assert.ok(ours);
  await ours.kill();
  await eventually("we are somewhere else", () => connection.info !== undefined && !ours.url.endsWith(connection.getServer()) && connection.flush().then(() => true));
  await insist(() => log.publish({ subject: "fl.802.mbx.a", data: "after" }));
  await eventually("it is heard", () => heard.includes("after"));
  stop();
  await ours.start();
});

test("[NT24] the leader killed: writes are refused for now or unanswered, never as if somebody else had written, until there is a new one", async () => {
  const fence = { subject: "fl.803.own", sequence: await insist(() => log.publish({ subject: "fl.803.own", data: "w1" })) };
  const leader = await eventually("a leader", () => cluster.leaderOf(stream));
  await leader.kill();
  const sequence = await insist(() => log.publish({ subject: "fl.803.snap.a", data: "x", fence }));
  assert.ok(sequence > fence.sequence);
  assert.notEqual((await eventually("a new leader", () => cluster.leaderOf(stream))).name, leader.name);
  const late = await connectNats({ url: cluster.url, token: cluster.token, name: "late" });
  assert.equal((await (await openNatsLog(late, stream)).read("fl.803.snap.a"))?.sequence, sequence);
  await late.close();
});
