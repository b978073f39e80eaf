import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { partitionCount, type ActorKey } from "#protocol/names/actor.ts";
import { subject } from "#protocol/names/subject.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import { memoryLog, MemoryStream, type Fate } from "../../test/simulate/memory-log.ts";
import { Process, VirtualTime } from "../../test/simulate/time.ts";
import { Cell, type Delivered } from "./cell.ts";
import { LogError } from "./log.ts";

const key: ActorKey = { kind: "kustomization", namespace: "apps", name: "shop" };
const other: ActorKey = { ...key, name: "blog" };

const record = (n: number): ActorRecord => ({
  v: 1, machine: "kustomization", snapshot: { status: "active", context: { n } }, timers: [], runs: [], attempts: n, outbox: [], seen: {},
});

/** Cells on one stream in virtual time; each has a process that can stop and die, and a way to the log that can fail. */
function cells() {
  const time = new VirtualTime();
  const stream = new MemoryStream(() => time.nowMs);
  const run = (ms: number) => time.run(ms, () => false);
  const start = (worker: string) => {
    const process = new Process(time, worker);
    const lost: string[] = [];
    const waitedFor: string[] = [];
    const unreadable: string[] = [];
    const commits: number[] = [];
    const way = { fate: (): Fate => ({ arriveMs: 0, answerMs: 1 }), lagMs: () => 0, copyMs: (): number | undefined => 1 };
    const log = memoryLog(stream, {
      client: worker, clock: process.clock, later: (ms, does) => void time.in(ms, does), enter: (does) => process.enter(does),
      fate: () => way.fate(), copyMs: () => way.copyMs(), lagMs: () => way.lagMs(), commitMs: () => 0,
    });
    const cell = new Cell(log, {
      worker, clock: process.clock, onLost: (reason) => lost.push(reason), onWaiting: (name) => waitedFor.push(name),
      onCommit: (_, messages) => commits.push(messages), onUnreadable: (name) => unreadable.push(name),
    });
    return { cell, process, log, way, lost, waitedFor, unreadable, commits };
  };
  return { time, stream, run, start };
}

/** How a promise stands. */
function watched(promise: Promise<unknown>): { state: string } {
  const seen = { state: "pending" };
  promise.then(() => { seen.state = "done"; }, (thrown: unknown) => { seen.state = thrown instanceof Fault ? thrown.code : String(thrown); });
  return seen;
}

async function owned() {
  const world = cells();
  const first = world.start("w1");
  const claim = watched(first.cell.claim());
  await world.run(100);
  assert.equal(claim.state, "done");
  return { ...world, first };
}

const ownerOf = (stream: MemoryStream, partition = 7) => JSON.parse(stream.read(subject.own(partition))?.data ?? "{}") as { worker: string; epoch: number };

test("[OW20] an empty cell is taken at once, every partition of it", async () => {
  const { stream, first } = await owned();
  const owners = stream.newest(subject.everyOwn);
  assert.equal(owners.length, partitionCount);
  assert.deepEqual(ownerOf(stream), { v: 1, worker: "w1", epoch: 1 });
  assert.equal(first.cell.holds(), true);
  assert.equal(first.cell.epochOf(key), 1);
});

test("[OW20] a second worker stands by, and takes over when the first is dead for longer than its lease", async () => {
  const { stream, run, start, first } = await owned();
  const second = start("w2");
  const claim = watched(second.cell.claim());
  await run(60_000);
  assert.equal(claim.state, "pending");
  assert.deepEqual(second.waitedFor, ["w1"]);
  first.process.kill();
  await run(2_000);
  assert.equal(claim.state, "pending");
  await run(700);
  assert.equal(claim.state, "done");
  assert.deepEqual(ownerOf(stream), { v: 1, worker: "w2", epoch: 2 });
});

test("[OW20] after a goodbye it need not wait", async () => {
  const { run, start, first } = await owned();
  const second = start("w2");
  const claim = watched(second.cell.claim());
  await run(5_000);
  void first.cell.close();
  await run(600);
  assert.equal(claim.state, "done");
  assert.equal(first.cell.holds(), false);
});

test("[OW20] of two that begin at once, one owns the cell and the other stands by", async () => {
  const { run, start, stream } = cells();
  const both = [start("w1"), start("w2")];
  const claims = both.map(({ cell }) => watched(cell.claim()));
  await run(30_000);
  assert.deepEqual(claims.map(({ state }) => state).sort(), ["done", "pending"]);
  const owner = claims.findIndex(({ state }) => state === "done");
  assert.ok(stream.newest(subject.everyOwn).every(({ data }) => data.includes(`"w${owner + 1}"`)));
});

test("[OW8] who is taken over is told first: its heartbeat is refused and its lease never comes back", async () => {
  const { run, start, first } = await owned();
  const second = start("w2");
  void second.cell.claim();
  await run(3_000);
  first.process.stop();
  await run(4_000);
  assert.equal(second.cell.epochOf(key), 2);
  first.process.resume();
  for (let ms = 0; ms < 2_000; ms += 10) {
    await run(10);
    assert.equal(first.cell.holds(), false);
  }
  assert.deepEqual(first.lost, ["another worker declared this one dead"]);
});

test("[OW8] while a worker's own heartbeats do not get through, it holds nobody for dead", async () => {
  const { run, start, first, stream } = await owned();
  const second = start("w2");
  const claim = watched(second.cell.claim());
  await run(5_000);
  const cut = (): Fate => ({ arriveMs: undefined, answerMs: undefined });
  first.way.fate = cut;
  // It may read from a replica; nobody can write.
  let reads = true;
  second.way.fate = () => { reads = !reads; return reads ? { arriveMs: 0, answerMs: 1 } : cut(); };
  await run(30_000);
  const well = (): Fate => ({ arriveMs: 0, answerMs: 1 });
  first.way.fate = well;
  second.way.fate = well;
  await run(20_000);
  assert.deepEqual([claim.state, first.lost, ownerOf(stream).epoch], ["pending", [], 1]);
  assert.equal(first.cell.holds(), true);
});

test("[OW9] the right to write ends with the lease and comes back with it", async () => {
  const { run, first } = await owned();
  await run(1_000);
  first.way.fate = () => ({ arriveMs: undefined, answerMs: undefined });
  await run(2_200);
  assert.throws(() => first.cell.guard(), (thrown) => thrown instanceof Fault && thrown.code === "LeaseLost");
  first.way.fate = () => ({ arriveMs: 0, answerMs: 1 });
  await run(1_500);
  first.cell.guard();
});

test("[OW9] it ends before anybody else may take over, however long the last answer took", async () => {
  const { run, start, first, time } = await owned();
  const second = start("w2");
  void second.cell.claim();
  await run(3_000);
  first.way.fate = () => ({ arriveMs: 0, answerMs: 900 });
  await run(5_000);
  first.way.fate = () => ({ arriveMs: undefined, answerMs: undefined });
  let endedMs = 0;
  while (second.cell.epochOf(key) < 2) {
    await run(10);
    if (!first.cell.holds()) endedMs ||= time.nowMs;
    assert.ok(second.cell.epochOf(key) < 2 || !first.cell.holds());
  }
  assert.ok(time.nowMs - endedMs > 300, "with a margin");
});

const vanished = [
  { name: "goes on when nobody took over", taken: false },
  { name: "ends when somebody did", taken: true },
];
for (const { name, taken } of vanished)
  test(`[OW22] a worker whose heartbeat is no longer in the log ${name}`, async () => {
    const { run, start, first, stream } = await owned();
    const second = taken ? start("w2") : undefined;
    void second?.cell.claim();
    await run(1_000);
    first.process.stop();
    await run(130_000); // longer than heartbeats, and marks of death, are kept
    assert.equal(stream.read(subject.member("w1")), undefined);
    first.process.resume();
    await run(2_000);
    assert.deepEqual([first.lost.length, first.cell.holds()], taken ? [1, false] : [0, true]);
  });

test("[OW1] a record of a former owner is refused, and its worker ends, once", async () => {
  const { run, start, first, stream } = await owned();
  const second = start("w2");
  void second.cell.claim();
  await run(1_000);
  first.process.stop();
  await run(3_000);
  first.process.resume();
  const commits = [watched(first.cell.commit({ key, record: record(1), hints: [] })), watched(first.cell.commit({ key: other, record: record(1), hints: [] }))];
  await run(50);
  assert.ok(commits.every(({ state }) => state !== "pending" && state !== "done"));
  assert.equal(first.lost.length, 1);
  assert.equal(stream.read(subject.snapshot(key)), undefined);
});

test("[OW7] a record and what it tells others are stored together or not at all", async () => {
  const { run, first, stream } = await owned();
  const hints = [{ to: other, kind: "artifact" as const, body: { revision: "r1" } }];
  const well = watched(first.cell.commit({ key, record: record(1), hints }));
  await run(10);
  assert.equal(well.state, "done");
  const [snapshot, hint] = [stream.read(subject.snapshot(key)), stream.read(subject.mailbox(other, "artifact"))];
  assert.equal(hint?.sequence, (snapshot?.sequence ?? 0) + 1);
  const large = watched(first.cell.commit({ key, record: record(2), hints: [{ to: other, kind: "artifact", body: "x".repeat(600_000) }] }));
  await run(100);
  assert.match(large.state, /refused/);
  assert.equal(stream.read(subject.snapshot(key))?.sequence, snapshot?.sequence);
});

test("[OW4] a write without an answer is repeated under a new token, and the lost one can never land", async () => {
  const { run, first, stream } = await owned();
  await run(410); // past a heartbeat, so that the next request is ours
  let requests = 0;
  first.way.fate = () => (requests++ === 0 ? { arriveMs: 5_000, answerMs: 1 } : { arriveMs: 0, answerMs: 1 });
  const commit = watched(first.cell.commit({ key, record: record(1), hints: [] }));
  await run(1_300);
  assert.equal(commit.state, "done");
  assert.equal(first.cell.epochOf(key), 2);
  const later = watched(first.cell.commit({ key, record: record(2), hints: [] }));
  await run(10_000);
  assert.equal(later.state, "done");
  assert.equal((JSON.parse(stream.read(subject.snapshot(key))?.data ?? "") as ActorRecord).attempts, 2);
  assert.deepEqual(first.lost, []);
});

test("[OW4] so is a hint that a watch sends", async () => {
  const { run, first, stream } = await owned();
  await run(410);
  let requests = 0;
  first.way.fate = () => (requests++ === 0 ? { arriveMs: 5_000, answerMs: 1 } : { arriveMs: 0, answerMs: 1 });
  void first.cell.send({ to: key, kind: "object", body: { n: 1 } });
  await run(1_300);
  void first.cell.send({ to: key, kind: "object", body: { n: 2 } });
  await run(10_000);
  assert.equal(stream.read(subject.mailbox(key, "object"))?.data, "{\"n\":2}");
});

test("[OW4] when the write had been stored after all, storing it again does no harm", async () => {
  const { run, first, stream } = await owned();
  await run(410);
  let requests = 0;
  first.way.fate = () => (requests++ === 0 ? { arriveMs: 0, answerMs: undefined } : { arriveMs: 0, answerMs: 1 });
  const commit = watched(first.cell.commit({ key, record: record(1), hints: [] }));
  await run(1_300);
  assert.equal(commit.state, "done");
  assert.equal((JSON.parse(stream.read(subject.snapshot(key))?.data ?? "") as ActorRecord).attempts, 1);
});

test("[OW5] refused for now is asked again, and costs neither token nor cell", async () => {
  const { run, first } = await owned();
  await run(410);
  let requests = 0;
  first.way.fate = () => (requests++ < 4 ? { arriveMs: 0, answerMs: 1, refusal: new LogError("busy", "no responders") } : { arriveMs: 0, answerMs: 1 });
  const commit = watched(first.cell.commit({ key, record: record(1), hints: [] }));
  await run(2_000);
  assert.deepEqual([commit.state, first.cell.epochOf(key), first.lost], ["done", 1, []]);
});

test("[OW23] what is decided in one tick leaves in one batch, and what comes meanwhile in the next", async () => {
  const { run, first } = await owned();
  const keys = Array.from({ length: 30 }, (_, i) => ({ ...key, name: `u${i}` }));
  for (const each of keys) void first.cell.commit({ key: each, record: record(1), hints: [] });
  await run(0);
  for (const each of keys.slice(0, 5)) void first.cell.commit({ key: each, record: record(2), hints: [] });
  await run(20);
  assert.deepEqual(first.commits, [30, 5]);
});

test("[OW23] a batch holds no more than the log takes", async () => {
  const { run, first } = await owned();
  for (let i = 0; i < 450; i++) void first.cell.commit({ key: { ...key, name: `u${i}` }, record: record(1), hints: [] });
  await run(50);
  assert.deepEqual(first.commits, [200, 200, 50]);
});

test("[OW23] a write that can never be stored fails alone", async () => {
  const { run, first } = await owned();
  const big = { ...record(1), outbox: [{ type: "notice", message: "x".repeat(600_000) }] };
  const states = [watched(first.cell.commit({ key, record: big, hints: [] })), watched(first.cell.commit({ key: other, record: record(1), hints: [] }))];
  await run(100);
  assert.deepEqual(states.map(({ state }) => state.slice(0, 17)), ["LogError: refused", "done"]);
  assert.deepEqual(first.lost, []);
});

test("[OW6] hints are taken that lay there, that come live, and whose copy got lost", async () => {
  const { run, first, stream } = await owned();
  const at = (name: string) => subject.mailbox({ ...key, name }, "look");
  stream.store([{ subject: at("before"), data: "{}" }]);
  const taken: Delivered[] = [];
  void first.cell.receive((hint) => taken.push(hint));
  await run(10);
  stream.store([{ subject: at("live"), data: "{}" }]);
  await run(10);
  first.way.copyMs = () => undefined;
  stream.store([{ subject: at("lost"), data: "{}" }]);
  await run(6_000);
  assert.deepEqual([...new Set(taken.map((hint) => hint.key.name))], ["before", "live", "lost"]);
});

test("[OW6] a message that is no hint is set aside", async () => {
  const { run, first, stream } = await owned();
  const taken: Delivered[] = [];
  stream.store([{ subject: "fl.3.mbx.what", data: "{}" }, { subject: subject.mailbox(key, "look"), data: "{" }, { subject: "fl.1.mbx.kustomization.apps.shop.look", data: "{}" }]);
  void first.cell.receive((hint) => taken.push(hint));
  await run(10);
  assert.deepEqual([taken, first.unreadable.length], [[], 3]);
});

async function loaded(cell: Cell) {
  const found = [];
  for await (const each of cell.load()) found.push(each);
  return found;
}

test("[OW19] a replica that lags does not bring back what the owner before us had overwritten", async () => {
  const { run, start, first } = await owned();
  for (let n = 1; n <= 3; n++) {
    void first.cell.commit({ key, record: record(n), hints: [] });
    await run(50);
  }
  void first.cell.close();
  await run(20);
  const second = start("w2");
  void second.cell.claim();
  await run(300);
  let lagMs = 1_000;
  second.way.lagMs = () => lagMs;
  const load = loaded(second.cell);
  await run(100);
  lagMs = 0;
  await run(200);
  const [found] = await load;
  assert.equal(found && "record" in found && found.record.attempts, 3);
});

test("[OW17] a record that cannot be read is handed over as damage, with the others unharmed", async () => {
  const { run, first, stream } = await owned();
  void first.cell.commit({ key, record: record(1), hints: [] });
  void first.cell.commit({ key: { ...key, name: "gone" }, record: null, hints: [] });
  await run(20);
  stream.store([{ subject: subject.snapshot(other), data: "{\"v\":1" }, { subject: "fl.9.snap.strange", data: "{}" }, { subject: subject.snapshot({ ...key, name: "new" }), data: "{\"v\":2}" }]);
  const second = watched(loaded(first.cell).then((found) => {
    const readable = Object.fromEntries(found.map((each) => [each.key.name, "record" in each]));
    assert.deepEqual(readable, { shop: true, blog: false, new: false });
  }));
  await run(200);
  assert.equal(second.state, "done");
  assert.deepEqual(first.unreadable, ["fl.9.snap.strange"]);
});

test("[OW20] a worker that leaves writes first what it has decided", async () => {
  const { run, first, stream } = await owned();
  first.way.fate = () => ({ arriveMs: 0, answerMs: 300 });
  void first.cell.commit({ key, record: record(1), hints: [] });
  await run(1);
  void first.cell.commit({ key: other, record: record(1), hints: [] });
  const close = watched(first.cell.close());
  await run(2_000);
  assert.equal(close.state, "done");
  assert.notEqual(stream.read(subject.snapshot(other)), undefined);
  await assert.rejects(first.cell.commit({ key, record: record(2), hints: [] }), (thrown) => thrown instanceof Fault && thrown.code === "LeaseLost");
});
