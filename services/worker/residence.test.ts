import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import { contextOf, dozing, hosted, key, object, stateOf, working } from "./lamp.ts";

const counts = ({ host: { sizes } }: ReturnType<typeof hosted>) => [sizes.resident, sizes.cold];
const dozingRecord = async () => (await dozing()).host.record(key) ?? assert.fail();

/** An actor at rest that left memory; its record, as the store has it. */
async function cold() {
  const record = await dozingRecord();
  const world = hosted();
  world.host.adopt(key, record);
  assert.deepEqual(counts(world), [0, 1]);
  return { ...world, record };
}

test("[RS5] an actor with nothing under way leaves memory after a minute, and is still known", async () => {
  const world = await dozing();
  const { host, advance } = world;
  await advance(59_999);
  assert.deepEqual(counts(world), [1, 0]);
  await advance(1_001);
  assert.deepEqual(counts(world), [0, 1]);
  assert.deepEqual([host.size, host.record(key), host.stateOf(key)], [1, undefined, "dozing"]);
  assert.deepEqual([...host.all()], [{ key, state: "dozing", busy: false, factsHash: 0 }]);
  assert.deepEqual([...host.residents()], []);
});

test("[RS5] whatever comes begins the minute anew", async () => {
  const world = await dozing();
  await world.advance(50_000);
  world.host.deliver(key, { type: "look" }, { kind: "look", seq: 9 });
  await world.settle();
  await world.advance(50_000);
  assert.deepEqual(counts(world), [1, 0]);
  await world.advance(12_000);
  assert.deepEqual(counts(world), [0, 1]);
});

const stays: { name: string; make(): Promise<ReturnType<typeof hosted>> }[] = [
  { name: "works", make: working },
  {
    name: "has something to tell", make: async () => {
      const world = await dozing();
      world.host.deliver(key, { type: "tell", text: "hello" });
      await world.settle();
      await world.keepAll();
      return world;
    },
  },
  {
    name: "is set aside", make: async () => {
      const world = await dozing();
      world.host.quarantine(key, { code: "RecordUnreadable", subject: "lamp" });
      return world;
    },
  },
  {
    name: "waits for a decision to be kept", make: async () => {
      const world = await dozing();
      world.host.deliver(key, object("u2"));
      return world;
    },
  },
];
for (const { name, make } of stays)
  test(`[RS5] one that ${name} stays`, async () => {
    const world = await make();
    await world.advance(500_000);
    assert.deepEqual(counts(world), [1, 0]);
  });

test("[RS5] when there are too many the longest at rest leaves at once", async () => {
  const record = { ...(await dozingRecord()), timers: [] };
  const world = hosted({ mostResident: 2, restMs: Infinity });
  const { host, advance, settle, loads } = world;
  const keys = ["a", "b", "c"].map((name): ActorKey => ({ ...key, name }));
  for (const each of keys) {
    host.adopt(each, record);
    host.deliver(each, { type: "look" }, { kind: "look", seq: 1 });
    loads.at(-1)?.answer(record);
    await settle();
    await advance(1);
  }
  assert.deepEqual([...host.residents()].map(({ key: { name } }) => name), ["b", "c"]);
  host.deliver(keys[1] ?? key, { type: "look" }, { kind: "look", seq: 2 });
  host.deliver(keys[0] ?? key, { type: "look" }, { kind: "look", seq: 2 });
  loads.at(-1)?.answer(record);
  await settle();
  assert.deepEqual([...host.residents()].map(({ key: { name } }) => name), ["b", "a"]);
});

test("[RS6] a record at rest is taken up without being looked into", async () => {
  const record = await dozingRecord();
  const world = hosted();
  const unknownState = { ...record, snapshot: { ...record.snapshot, value: "no such state", context: { ...record.snapshot.context, facts: { a: 1 } } } };
  world.host.adopt(key, unknownState);
  assert.deepEqual(counts(world), [0, 1]);
  assert.equal(world.host.stateOf(key), "no such state");
  assert.notEqual(world.host.summaryOf(key)?.factsHash, 0);
  assert.deepEqual([world.commits.length, world.loads.length], [0, 0]);
});

test("[RS6] one that is due in a moment is kept in memory", async () => {
  const record = await dozingRecord();
  const world = hosted();
  world.host.adopt(key, { ...record, timers: record.timers.map((timer) => ({ ...timer, dueMs: 3_000 })) });
  assert.deepEqual(counts(world), [1, 0]);
  await world.advance(2_000);
  await world.keepAll();
  assert.equal(world.performed.length, 1);
  assert.equal(world.loads.length, 0);
});

test("[RS7] one that is due is read, and its timer fires", async () => {
  const { host, record, loads, performed, advance, settle, keepAll } = await cold();
  await advance((record.timers[0]?.dueMs ?? 0) - 1_001);
  assert.equal(loads.length, 0);
  await advance(1);
  assert.equal(loads.length, 1);
  loads[0]?.answer(record);
  await settle();
  await advance(0);
  await keepAll();
  assert.equal(stateOf(host.record(key)), "working");
  assert.deepEqual(performed.map(({ src, recovered }) => [src, recovered]), [["work", false]]);
});

test("[RS7] what comes meanwhile waits, in order", async () => {
  const { host, record, loads, commits, settle } = await cold();
  for (const text of ["a", "b", "c"]) {
    host.deliver(key, { type: "tell", text });
    await settle();
  }
  assert.deepEqual([loads.length, commits.length], [1, 0]);
  loads[0]?.answer(record);
  await settle();
  assert.deepEqual(commits[0]?.record?.outbox.map((notice) => notice["message"]), ["a", "b", "c"]);
});

const doubtful: { name: string; answer(load: Awaited<ReturnType<typeof cold>>["loads"][number], record: ActorRecord): void }[] = [
  { name: "fails", answer: (load) => load.fail(new Error("away")) },
  { name: "brings an older record", answer: (load, record) => load.answer({ ...record, attempts: record.attempts - 1 }) },
  { name: "brings a record that was still at work", answer: (load, record) => load.answer({ ...record, runs: [{ id: "work", src: "work", input: null, attempt: 1, sinceMs: 0 }] }) },
  { name: "brings none, once", answer: (load) => load.answer(undefined) },
];
for (const { name, answer } of doubtful)
  test(`[RS7] a read that ${name} is tried again, and nothing is lost`, async () => {
    const { host, record, loads, commits, settle, advance } = await cold();
    host.deliver(key, { type: "tell", text: "hello" });
    answer(loads[0] ?? assert.fail(), record);
    await settle();
    host.deliver(key, { type: "tell", text: "again" });
    await settle();
    assert.equal(loads.length, 1, "not at once");
    await advance(1_000);
    assert.equal(loads.length, 2);
    loads[1]?.answer(record);
    await settle();
    assert.deepEqual(commits[0]?.record?.outbox.map((notice) => notice["message"]), ["hello", "again"]);
  });

test("[RS7] at most 64 are read at a time, and all in the end", async () => {
  const record = await dozingRecord();
  const world = hosted();
  const keys = Array.from({ length: 200 }, (_, i): ActorKey => ({ ...key, name: `unit-${i}` }));
  for (const each of keys) world.host.adopt(each, record);
  for (const each of keys) world.host.deliver(each, { type: "look" });
  assert.equal(world.loads.length, 64);
  for (let done = 0; done < world.loads.length; done++) {
    assert.ok(world.loads.length - done <= 64);
    world.loads[done]?.answer(record);
    await world.settle();
  }
  assert.deepEqual(counts(world), [200, 0]);
});

test("[RS7] its record can be read without waking it", async () => {
  const world = await cold();
  const reading = world.host.recordOf(key);
  world.loads[0]?.answer(world.record);
  assert.equal(await reading, world.record);
  assert.equal(await world.host.recordOf({ ...key, name: "nobody" }), undefined);
  assert.deepEqual(counts(world), [0, 1]);
});

test("[RS8] one without a record is gone when the store insists, and the object that waited begins anew", async () => {
  const { host, loads, settle, keepAll, advance } = await cold();
  host.deliver(key, object("u7"));
  for (let asked = 0; asked < loads.length && asked < 50; asked++) {
    loads[asked]?.answer(undefined);
    await settle();
    await advance(30_000);
  }
  await keepAll();
  assert.equal(contextOf(host.record(key)).uid, "u7");
  assert.equal(host.size, 1);
});

test("[RS8] one whose record is damaged is set aside until its object comes", async () => {
  const { host, loads, quarantines, settle, keepAll } = await cold();
  host.deliver(key, { type: "look" });
  loads[0]?.fail(new Fault("RecordUnreadable", "lamp"));
  await settle();
  await keepAll();
  assert.deepEqual([quarantines.length, host.quarantineOf(key)?.code], [1, "RecordUnreadable"]);
  host.deliver(key, object("u3"));
  await settle();
  await keepAll();
  assert.equal(stateOf(host.record(key)), "working");
});

const partition = partitionOf(key);
const neighbour = Array.from({ length: 9 }, (_, i): ActorKey => ({ ...key, name: `other-${i}` })).find((other) => partitionOf(other) !== partition) ?? key;
const isDone = async (promise: Promise<unknown>) => Promise.race([promise.then(() => true), new Promise<false>((resolve) => { setImmediate(resolve, false); })]);

test("[RS9] a partition stands still when its tasks have ended", async () => {
  const { host, performed, commits, settle, advance } = await working();
  const frozen = host.freeze(partition);
  assert.equal(performed[0]?.signal.aborted, true);
  assert.equal(await isDone(frozen), false);
  performed[0]?.answer(7);
  await frozen;
  const before = commits.length;
  host.deliver(key, { type: "tell", text: "a" });
  await settle();
  await advance(60_000);
  assert.deepEqual([commits.length, performed.length], [before, 1]);
});

test("[RS9] or when they had five seconds to", async () => {
  const { host, advance } = await working();
  const frozen = host.freeze(partition);
  await advance(4_999);
  assert.equal(await isDone(frozen), false);
  await advance(1);
  await frozen;
});

test("[RS9] and when nothing is being kept any more", async () => {
  const { host, commits, performed, settle } = await dozing();
  const before = performed.length;
  host.deliver(key, object("u2"));
  const frozen = host.freeze(partition);
  await settle();
  assert.equal(await isDone(frozen), false);
  commits.at(-1)?.accept();
  await frozen;
  assert.equal(stateOf(host.record(key)), "working", "what was decided is decided");
  assert.equal(performed.length, before, "but not begun");
});

test("[RS9] the others go on", async () => {
  const { host, performed, settle, keepAll } = await working();
  void host.freeze(partition);
  host.deliver(neighbour, object("u5"));
  await settle();
  await keepAll();
  assert.equal(performed.at(-1)?.key.name, neighbour.name);
});

test("[RS9] timers do not fire, neither in memory nor at rest", async () => {
  const { host, loads, advance } = await cold();
  await host.freeze(partition);
  await advance(3_600_000);
  assert.equal(loads.length, 0);
  host.thaw(partition);
  assert.equal(loads.length, 1);
  const awake = await dozing();
  await awake.host.freeze(partition);
  const before = awake.commits.length;
  await awake.advance(3_600_000);
  assert.equal(awake.commits.length, before);
  awake.host.thaw(partition);
  await awake.advance(0);
  assert.equal(stateOf(awake.commits[before]?.record), "working");
});

test("[RS10] runs begin again and what came is decided on, in order", async () => {
  const { host, performed, commits, settle, keepAll } = await working();
  const frozen = host.freeze(partition);
  performed[0]?.fail(new Error("stopped"));
  await frozen;
  const before = commits.length;
  for (const text of ["a", "b"]) host.deliver(key, { type: "tell", text });
  await settle();
  host.thaw(partition);
  await settle();
  assert.deepEqual(performed.map(({ run }) => run.attempt), [1, 1], "the same run, not another");
  assert.equal(performed[1]?.signal.aborted, false);
  assert.deepEqual(commits.slice(before).map(({ record }) => record?.outbox.map((notice) => notice["message"])), [["a", "b"]]);
  performed[1]?.answer(4);
  await keepAll();
  await settle();
  await keepAll();
  assert.equal(contextOf(host.record(key)).turns, 4);
});

test("[RS10] an object nobody knew begins its actor then", async () => {
  const { host, commits, settle, keepAll } = hosted();
  await host.freeze(partition);
  host.deliver(key, object("u1"));
  await settle();
  assert.equal(commits.length, 0);
  host.thaw(partition);
  await settle();
  await keepAll();
  assert.equal(stateOf(host.record(key)), "working");
});

test("[RS10] what came for one at rest is read then", async () => {
  const { host, record, loads, commits, settle } = await cold();
  await host.freeze(partition);
  host.deliver(key, { type: "tell", text: "a" });
  await settle();
  assert.equal(loads.length, 0);
  host.thaw(partition);
  loads[0]?.answer(record);
  await settle();
  assert.equal(commits.length, 1);
});

test("[RS11] a released partition is forgotten, and what is on its way changes nothing", async () => {
  const world = await working();
  const { host, performed, commits, settle, keepAll, advance } = world;
  host.deliver(neighbour, object("u5"));
  await settle();
  await keepAll();
  host.deliver(key, { type: "tell", text: "a" });
  await settle();
  host.release(partition);
  assert.equal(performed[0]?.signal.aborted, true);
  assert.deepEqual([...host.all()].map(({ key: { name } }) => name), [neighbour.name]);
  const before = commits.length;
  commits.at(-1)?.accept();
  performed[0]?.answer(1);
  host.deliver(key, { type: "look" });
  await advance(3_600_000);
  assert.deepEqual([commits.length, host.record(key), counts(world)], [before, undefined, [1, 0]]);
});

test("[RS11] also one at rest that is being read, and one that is frozen", async () => {
  const world = await cold();
  const { host, record, loads, commits, settle, advance, keepAll } = world;
  host.deliver(key, { type: "tell", text: "a" });
  await host.freeze(partition);
  host.release(partition);
  loads[0]?.answer(record);
  await advance(3_600_000);
  assert.deepEqual([host.size, commits.length], [0, 0]);
  host.deliver(key, object("u8"));
  await settle();
  await keepAll();
  assert.equal(stateOf(host.record(key)), "working", "it is frozen no more");
});

test("[RS12] a task that was told to stop is at work until it ends", async () => {
  const { host, performed } = await working();
  const writes = new Set(["work", "apply"]);
  assert.equal(host.busyWith(partition, writes), true);
  assert.equal(host.busyWith(partition, new Set(["resolve"])), false);
  assert.equal(host.busyWith(partitionOf(neighbour), writes), false);
  void host.freeze(partition);
  assert.equal(host.busyWith(partition, writes), true);
  const quiet = host.quiet(partition, writes, 60_000);
  assert.equal(await isDone(quiet), false);
  performed[0]?.answer(1);
  assert.equal(await quiet, true);
  assert.equal(host.busyWith(partition, writes), false);
});

test("[RS12] waiting for it ends in time", async () => {
  const { host, advance, timersDue } = await working();
  const quiet = host.quiet(partition, new Set(["work"]), 3_000);
  await advance(2_999);
  assert.equal(await isDone(quiet), false);
  await advance(1);
  assert.equal(await quiet, false);
  assert.equal(await host.quiet(partition, new Set(["prune"]), 3_000), true);
  assert.deepEqual(timersDue(), []);
});

test("[RS13] only runs that were there when it was recovered are", async () => {
  const record = (await working()).host.record(key);
  const { host, performed, settle, keepAll, advance } = hosted();
  host.adopt(key, record, { recovered: true });
  await settle();
  host.adopt(neighbour, record);
  await settle();
  assert.deepEqual(performed.map(({ recovered }) => recovered), [true, false]);
  void host.freeze(partition);
  performed[0]?.fail(new Error("stopped"));
  await settle();
  host.thaw(partition);
  await settle();
  assert.equal(performed[2]?.recovered, true, "the same run, begun again");
  performed[2]?.answer(1);
  await settle();
  await keepAll();
  await advance(1_000);
  await keepAll();
  assert.deepEqual([performed[3]?.run.attempt, performed[3]?.recovered], [2, false]);
});
