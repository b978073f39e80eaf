import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { jetstream } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "nats";
import { subject } from "#protocol/names/subject.ts";
import { startNats, type Nats } from "../../deploy/local/nats.ts";
import { changeOf, childOf } from "./ids.ts";
import { openSpans, type Spans } from "./spans.ts";
import { traceStore, type TraceStore } from "./trace-store.ts";
import { ensureTraceStream, tracePublisher } from "./trace-stream.ts";

let dir: string;
let nats: Nats;
let connection: NatsConnection;
let spans: Spans;
let store: TraceStore;

const connectTo = ({ url, token }: Nats) =>
  connect({ servers: url, token, reconnectTimeWait: 50, maxReconnectAttempts: -1, timeout: 2_000 });

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "flotilla-traces-"));
  nats = await startNats({ dir });
  connection = await connectTo(nats);
  await ensureTraceStream(connection);
  spans = await openSpans({ version: "1", worker: "w1", publish: tracePublisher(connection), env: {} });
  store = traceStore(connection);
});

after(async () => {
  await spans.shutdown();
  await connection.close();
  await nats.stop();
  await rm(dir, { recursive: true, force: true });
});

async function next(connection: NatsConnection, type: string): Promise<void> {
  for await (const status of connection.status()) if (status.type === type) return;
}

const commitOf = (digits: string) => digits.padEnd(40, "0");
const changeAt = (commit: string, url = "https://git.example/podinfo", committedAtMs = 1_000) => changeOf({ url, commit, committedAtMs });
const traceIdOf = (traceparent: string) => traceparent.slice(3, 35);

test("[TR9] what is recorded is read back by trace id, in order, each span once", async () => {
  const change = changeAt(commitOf("aaaa1"));
  const own = childOf(change.traceparent, "fetch");
  spans.recordSpan({ name: "fetch", parent: change.traceparent, traceparent: own, startMs: 1_100, endMs: 1_200 });
  spans.recordSpan({ ...change, endMs: 1_200 });
  await spans.flush();
  spans.recordSpan({ name: "fetch", parent: change.traceparent, traceparent: own, startMs: 1_100, endMs: 1_300 }); // after a crash: again
  await spans.flush();
  const read = await store.read(traceIdOf(change.traceparent));
  assert.deepEqual(read.map(({ name, endMs }) => [name, endMs]), [["SYNC podinfo@aaaa100", 1_200], ["fetch", 1_300]]);
});

const lookups = [
  { prefix: "bbbb", finds: ["bbbb1", "bbbb2"] },
  { prefix: "bbbb1", finds: ["bbbb1"] },
  { prefix: commitOf("bbbb2"), finds: ["bbbb2"] },
  { prefix: "bbbb3", finds: [] },
];
test("[TR9] commits are found by their first digits", async () => {
  for (const digits of ["bbbb1", "bbbb2"]) spans.recordSpan({ ...changeAt(commitOf(digits)), endMs: 2_000 });
  await spans.flush();
  for (const { prefix, finds } of lookups) {
    const found = (await store.byCommit(prefix)).map(({ commit }) => commit?.slice(0, 5));
    assert.deepEqual(found.sort(), finds, prefix);
  }
});

test("[TR9] one commit in two repositories is two traces", async () => {
  for (const url of ["https://git.example/a", "https://git.example/b"]) spans.recordSpan({ ...changeAt(commitOf("cccc"), url), endMs: 2_000 });
  await spans.flush();
  assert.deepEqual((await store.byCommit("cccc")).map(({ url }) => url).sort(), ["https://git.example/a", "https://git.example/b"]);
});

test("[TR9] a unit's traces come newest first", async () => {
  const unit = "kustomization/apps/my.app";
  const changes = ["dddd1", "dddd2", "dddd3"].map((digits) => changeAt(commitOf(digits)));
  for (const { traceparent } of changes) {
    spans.recordSpan({ name: "build", parent: traceparent, startMs: 1, endMs: 2, attributes: { "gitops.unit": unit } });
    await spans.flush();
  }
  const expected = changes.map(({ traceparent }) => traceIdOf(traceparent)).reverse();
  assert.deepEqual((await store.byUnit(unit)).map(({ traceId }) => traceId), expected);
  assert.deepEqual(await store.byUnit("kustomization/apps/other"), []);
});

test("[TR9] the latest change is the first of the recent ones", async () => {
  spans.recordSpan({ ...changeAt(commitOf("eeee")), endMs: 2_000 });
  await spans.flush();
  assert.equal((await store.recent())[0]?.commit, commitOf("eeee"));
});

test("[TR9] a damaged message is left out", async () => {
  const change = changeAt(commitOf("ffff"));
  spans.recordSpan({ ...change, endMs: 2_000 });
  await spans.flush();
  const client = jetstream(connection);
  for (const body of ["{", '{"v":2,"spans":[]}', '{"v":1,"spans":[{"name":1}]}']) await client.publish(subject.trace(traceIdOf(change.traceparent)), body);
  assert.equal((await store.read(traceIdOf(change.traceparent))).length, 1);
});

for (const bad of ["", "xyz", ">", "AAAA", "aaa"]) test(`[TR9] ${JSON.stringify(bad)} is no commit`, () => assert.rejects(store.byCommit(bad), RangeError));
test("[TR9] no such trace: no spans", async () => assert.deepEqual(await store.read("0".repeat(32)), []));

test("ensuring the stream again changes nothing that is stored, and takes new settings", async () => {
  const before = (await store.recent()).length;
  await ensureTraceStream(connection, { maxBytes: 64 << 20 });
  await ensureTraceStream(connection, { maxBytes: 64 << 20 });
  assert.equal((await store.recent()).length, before);
});

test("[TR12] the server is killed and comes back: the spans recorded meanwhile are stored", async () => {
  const { port, token } = nats;
  const reconnected = next(connection, "reconnect");
  await nats.kill();
  const change = changeAt(commitOf("abcd"));
  spans.recordSpan({ ...change, endMs: 2_000 });
  await spans.flush();
  nats = await startNats({ dir, port, token });
  await reconnected;
  await spans.flush();
  await spans.flush(); // the first may have ended a try that began while the server was away
  assert.equal((await store.read(traceIdOf(change.traceparent))).length, 1);
  assert.equal(spans.droppedTotal(), 0);
});
