import assert from "node:assert/strict";
import test from "node:test";
import type { Own } from "#machines/rules/coordination.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { partitionCount, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import { subject } from "#protocol/names/subject.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import { memoryLog, MemoryStream, type Fate } from "../../test/simulate/memory-log.ts";
import { Process, VirtualTime } from "../../test/simulate/time.ts";
import { Cell } from "./cell.ts";
import { createHeart } from "./heart-beat.ts";
import type { Heart } from "./heart.ts";
import type { Delivered } from "./mail.ts";

const key: ActorKey = { kind: "kustomization", namespace: "apps", name: "shop" };
const other: ActorKey = { ...key, name: "blog" };
const [home, elsewhere] = [partitionOf(key), partitionOf(other)];
const about = { capacity: 1, actors: 0, load: 0, draining: false, refuses: [] };

const record = (n: number): ActorRecord => ({
  v: 1, machine: "kustomization", snapshot: { status: "active", context: { n } }, timers: [], runs: [], attempts: n, outbox: [], seen: {},
});

const well = (): Fate => ({ arriveMs: 0, answerMs: 1 });
const cut = (): Fate => ({ arriveMs: undefined, answerMs: undefined });

/** Cells on one stream in virtual time; each has a process that can stop and die, and a way to the log that can fail. */
function cells() {
  const time = new VirtualTime();
  const stream = new MemoryStream(() => time.nowMs);
  const run = (ms: number) => time.run(ms, () => false);
  const start = (worker: string, hubId = "one") => {
    const process = new Process(time, worker);
    const [lost, fenced, hints]: [string[], number[], Delivered[]] = [[], [], []];
    const owns: [number, Own][] = [];
    const way = { fate: well, lagMs: () => 0, copyMs: (): number | undefined => 1 };
    const log = memoryLog(stream, {
      client: worker, clock: process.clock, later: (ms, does) => void time.in(ms, does), enter: (does) => process.enter(does),
      fate: () => way.fate(), copyMs: () => way.copyMs(), lagMs: () => way.lagMs(), commitMs: () => 0,
    });
    const parts: { heart?: Heart } = {};
    const cell = new Cell(log, {
      worker, clock: process.clock, hubId, about, startHeart: (callbacks) => (parts.heart = createHeart(log, { worker, clock: process.clock, about, ...callbacks })),
      onOwn: (partition, own) => owns.push([partition, own]), onWant: () => undefined, onFenced: (partition) => fenced.push(partition),
      onHint: (hint) => hints.push(hint), onAwaited: () => undefined, onLost: (reason) => lost.push(reason), onUnreadable: () => undefined,
    });
    return { cell, process, log, way, lost, fenced, hints, owns };
  };
  return { time, stream, run, start };
}

type Started = ReturnType<ReturnType<typeof cells>["start"]>;

/** How a promise stands. */
function watched(promise: Promise<unknown>): { state: string } {
  const seen = { state: "pending" };
  promise.then(() => { seen.state = "done"; }, (thrown: unknown) => { seen.state = thrown instanceof Fault ? thrown.code : String(thrown); });
  return seen;
}

const ownerOf = (stream: MemoryStream, partition = home) => JSON.parse(stream.read(subject.own(partition))?.data ?? "{}") as { worker: string; epoch: number; cause: string };

/** `w1`, joined and the owner of both actors' partitions. */
async function owned() {
  const world = cells();
  const first = world.start("w1");
  const joined = watched(first.cell.join());
  await world.run(50);
  assert.equal(joined.state, "done");
  const hold = async ({ cell }: Started, partition: number, to = "w1") => {
    const before = world.stream.read(subject.own(partition));
    const epoch = before ? ownerOf(world.stream, partition).epoch + 1 : 1;
    await world.run(0);
    const said = watched(cell.perform({ do: "assign", assignments: [{ partition, to, epoch, cause: "claim", expect: before?.sequence ?? 0 }] }, "p"));
    await world.run(20);
    assert.equal(said.state, "done");
  };
  const take = async ({ cell }: Started, partition: number) => {
    const own = cell.roster.own(partition);
    assert.ok(own);
    const load = cell.load(partition, own.sequence, () => false);
    load.catch(() => undefined);
    await world.run(100);
    cell.hold(partition, own);
    cell.openMail(partition, await load);
    return load;
  };
  for (const partition of [home, elsewhere]) {
    await hold(first, partition);
    await take(first, partition);
  }
  return { ...world, first, hold, take };
}

const mismatches = [
  { what: "another number of partitions", config: { v: 1, partitions: 512, hub: "one" }, code: "CellMismatch" },
  { what: "something that cannot be read", config: "old", code: "CellMismatch" },
  { what: "another cluster", config: { v: 1, partitions: partitionCount, hub: "two" }, code: "CellTaken" },
  { what: "the same cluster", config: { v: 1, partitions: partitionCount, hub: "one" }, code: "done" },
  { what: "no cluster yet", config: { v: 1, partitions: partitionCount }, code: "done" },
];
for (const { what, config, code } of mismatches)
  test(`[OW48] a cell that was begun with ${what}: ${code}`, async () => {
    const { stream, run, start } = cells();
    stream.store([{ subject: subject.config, data: JSON.stringify(config) }]);
    const joined = watched(start("w1").cell.join());
    await run(100);
    assert.equal(joined.state, code);
    assert.equal(stream.read(subject.member("w1")) !== undefined, code === "done", "no member before");
  });

const races = [
  { what: "of one cluster both join", hubs: ["one", "one"], states: ["done", "done"] },
  { what: "of two clusters one is refused", hubs: ["one", "two"], states: ["CellTaken", "done"] },
];
for (const { what, hubs, states } of races)
  test(`[OW48] of two that begin an empty cell at once, ${what}`, async () => {
    const { run, start } = cells();
    const both = hubs.map((hub, i) => watched(start(`w${i}`, hub).cell.join()));
    await run(100);
    assert.deepEqual(both.map(({ state }) => state).sort(), states);
  });

test("[OW48] whoever joins while NATS is away joins when it is back", async () => {
  const { run, start } = cells();
  const first = start("w1");
  first.way.fate = cut;
  const joined = watched(first.cell.join());
  await run(20_000);
  assert.equal(joined.state, "pending");
  first.way.fate = well;
  await run(3_000);
  assert.deepEqual([joined.state, first.cell.holds(), first.cell.owned], ["done", true, []]);
});

const denied = (does: () => void) => assert.throws(does, (thrown) => thrown instanceof Fault && thrown.code === "LeaseLost");

test("[OW9] the right to write is for what this worker owns, ends with the lease and comes back with it", async () => {
  const { run, first } = await owned();
  first.cell.guard(key);
  denied(() => first.cell.guard({ ...key, name: "another" }));
  first.way.fate = cut;
  await run(2_200);
  denied(() => first.cell.guard(key));
  assert.equal(first.cell.owns(home), true, "only the right to act");
  first.way.fate = well;
  await run(1_500);
  first.cell.guard(key);
  first.cell.drop(home);
  denied(() => first.cell.guard(key));
  first.cell.guard(other);
});

test("[OW9] the lease ends before anybody else may hold this worker for dead", async () => {
  const { run, start, first, time } = await owned();
  const second = start("w2");
  void second.cell.join();
  await run(3_000);
  first.way.fate = cut;
  let endedMs = 0;
  while (time.nowMs - (endedMs || time.nowMs) < 300) {
    await run(10);
    if (!first.cell.holds()) endedMs ||= time.nowMs;
    const age = second.process.clock.monoMs() - (second.cell.roster.member("w1")?.seenMs ?? 0);
    if (first.cell.holds()) assert.ok(age < 2_100);
  }
});

test("[OW8] whoever is declared dead is refused its next heartbeat, loses everything at once and says so once", async () => {
  const { run, start, first } = await owned();
  const second = start("w2");
  void second.cell.join();
  await run(1_000);
  first.process.stop();
  await run(3_000);
  const { sequence = 0 } = second.cell.roster.member("w1") ?? {};
  void second.cell.perform({ do: "declare", worker: "w1", expect: sequence }, "p");
  await run(20);
  assert.equal(second.cell.roster.member("w1")?.gone, true);
  first.process.resume();
  const commit = watched(first.cell.commit({ key, record: record(1), hints: [] }));
  for (let ms = 0; ms < 2_000; ms += 10) {
    await run(10);
    assert.equal(first.cell.holds(), false);
  }
  assert.deepEqual([first.lost, first.cell.owned], [["another worker declared this one dead"], []]);
  assert.notEqual(commit.state, "pending");
});

test("[OW8] a living one is not declared dead: the comparison fails, and what stands there is known then", async () => {
  const { run, start, first } = await owned();
  const second = start("w2");
  void second.cell.join();
  await run(1_000);
  second.way.copyMs = () => undefined;
  const { sequence = 0 } = second.cell.roster.member("w1") ?? {};
  await run(450);
  const declared = watched(second.cell.perform({ do: "declare", worker: "w1", expect: sequence }, "p"));
  await run(20);
  assert.match(declared.state, /fenced/);
  assert.ok((second.cell.roster.member("w1")?.sequence ?? 0) > sequence);
  assert.equal(first.lost.length, 0);
});

test("[OW47] a heartbeat that ran out does not keep its worker alive for ever", async () => {
  const { run, start, first } = await owned();
  const second = start("w2");
  void second.cell.join();
  await run(1_000);
  first.process.kill();
  await run(70_000);
  const { sequence = 0 } = second.cell.roster.member("w1") ?? {};
  const tries = [sequence, 0].map((expect) => () => watched(second.cell.perform({ do: "declare", worker: "w1", expect }, "p")));
  const states: string[] = [];
  for (const attempt of tries) {
    const said = attempt();
    await run(20);
    states.push(said.state);
    if (states.length === 1) assert.equal(second.cell.roster.member("w1")?.sequence, 0);
  }
  assert.deepEqual([/fenced/.test(states[0] ?? ""), states[1], second.cell.roster.member("w1")?.gone], [true, "done", true]);
});

const forgotten = [
  { what: "goes on when nobody took over", taken: false },
  { what: "ends when somebody did, also when a replica lags", taken: true },
];
for (const { what, taken } of forgotten)
  test(`[OW22] a worker whose heartbeat is no longer in the log ${what}`, async () => {
    const { run, start, first, hold, stream } = await owned();
    first.process.stop();
    await run(70_000); // longer than heartbeats are kept
    assert.equal(stream.read(subject.member("w1")), undefined);
    if (taken) {
      const second = start("w2");
      void second.cell.join();
      await run(100);
      await hold(second, home, "w2");
    }
    first.way.lagMs = () => 5_000;
    first.way.copyMs = () => undefined;
    first.process.resume();
    await run(2_000);
    assert.deepEqual([first.lost.length, first.cell.holds()], taken ? [1, false] : [0, true]);
  });

test("[OW1] a record of a former owner is refused, and the partition's fence told of once", async () => {
  const { run, first, stream } = await owned();
  stream.store([{ subject: subject.own(home), data: JSON.stringify({ v: 1, worker: "w2", epoch: 9, cause: "crash" }) }]);
  const commits = [1, 2].map((n) => watched(first.cell.commit({ key, record: record(n), hints: [] })));
  const unharmed = watched(first.cell.commit({ key: other, record: record(1), hints: [] }));
  await run(50);
  assert.ok(commits.every(({ state }) => /fenced/.test(state)));
  assert.deepEqual([unharmed.state, first.fenced, stream.read(subject.snapshot(key)), first.cell.owned], ["done", [home], undefined, [elsewhere]]);
});

test("[OW7] a record, what it tells others and whom it waits for are stored together or not at all", async () => {
  const { run, first, stream } = await owned();
  const source = { ...key, kind: "gitrepository" };
  const well = watched(first.cell.commit({ key, record: record(1), hints: [{ to: other, kind: "artifact", body: { revision: "r1" } }], awaits: { add: [{ key: source }], drop: [other] } }));
  await run(10);
  assert.equal(well.state, "done");
  const { sequence = 0 } = stream.read(subject.snapshot(key)) ?? {};
  assert.deepEqual([subject.dependent(source, key), subject.dependent(other, key), subject.mailbox(other, "artifact")].map((name) => (stream.read(name)?.sequence ?? 0) - sequence), [1, 2, 3]);
  const large = watched(first.cell.commit({ key, record: record(2), hints: [{ to: other, kind: "artifact", body: "x".repeat(5_000_000) }] }));
  await run(100);
  assert.match(large.state, /refused/);
  assert.equal(stream.read(subject.snapshot(key))?.sequence, sequence);
});

test("[OW4] a hint that a watch sends is fenced where its actor is ours: given up, it never lands later", async () => {
  const { run, first, stream } = await owned();
  await run(410); // past a heartbeat, so that the next request is ours
  let requests = 0;
  first.way.fate = () => (requests++ === 0 ? { arriveMs: 5_000, answerMs: 1 } : well());
  void first.cell.send({ to: key, kind: "object", body: { n: 1 } });
  await run(1_300);
  void first.cell.send({ to: key, kind: "object", body: { n: 2 } });
  void first.cell.send({ to: { ...key, name: "theirs" }, kind: "look", body: {} });
  await run(10_000);
  assert.equal(stream.read(subject.mailbox(key, "object"))?.data, "{\"n\":2}");
  assert.notEqual(stream.read(subject.mailbox({ ...key, name: "theirs" }, "look")), undefined);
});

const releases: { what: string; fate: () => Fate; state: string; owner: string; again?: boolean }[] = [
  { what: "answered", fate: well, state: "done", owner: "w2" },
  { what: "stored, its answer lost", fate: () => ({ arriveMs: 0, answerMs: undefined }), state: "done", owner: "w2" },
  { what: "lost", fate: cut, state: "unknown", owner: "w1", again: true },
];
for (const { what, fate, state, owner, again } of releases)
  test(`[OW33] letting go of a partition: ${what}`, async () => {
    const { run, first, stream } = await owned();
    await run(410);
    let requests = 0;
    first.way.fate = () => (requests++ === 0 ? fate() : well());
    const release = watched(first.cell.release(home, "w2"));
    assert.equal(first.cell.owns(home), false, "nothing is written to it from now on, whatever becomes of it");
    await run(1_300);
    assert.match(release.state, new RegExp(state));
    assert.deepEqual([ownerOf(stream).worker, first.cell.roster.own(home)?.worker], [owner, owner]);
    if (!again) return;
    const once = watched(first.cell.release(home, "w2"));
    await run(50);
    assert.deepEqual([once.state, ownerOf(stream).worker, ownerOf(stream).cause], ["done", "w2", "handover"]);
  });

test("[OW33] what lands late is the same as what was written again", async () => {
  const { run, first, stream } = await owned();
  await run(410);
  let requests = 0;
  first.way.fate = () => (requests++ === 0 ? { arriveMs: 3_000, answerMs: 1 } : well());
  void first.cell.release(home, "w2").catch(() => undefined);
  await run(1_300);
  void first.cell.release(home, "");
  await run(10_000);
  assert.deepEqual([ownerOf(stream).worker, ownerOf(stream).epoch], ["", 2]);
});

test("[OW20] a worker that leaves writes first what it has decided, gives back everything and says goodbye", async () => {
  const { run, first, stream, start } = await owned();
  const second = start("w2");
  void second.cell.join();
  await run(100);
  let requests = 0;
  first.way.fate = () => (requests++ === 0 ? { arriveMs: 0, answerMs: 300 } : well());
  void first.cell.commit({ key, record: record(1), hints: [] });
  await run(1);
  void first.cell.commit({ key: other, record: record(1), hints: [] });
  const close = watched(first.cell.close());
  await run(2_500);
  assert.equal(close.state, "done");
  assert.notEqual(stream.read(subject.snapshot(other)), undefined);
  assert.deepEqual([home, elsewhere].map((partition) => ownerOf(stream, partition)), [2, 2].map((epoch) => ({ v: 1, worker: "", epoch, cause: "claim" })));
  assert.deepEqual([second.cell.roster.member("w1")?.farewell, first.cell.holds(), first.lost], [true, false, []]);
  await assert.rejects(first.cell.commit({ key, record: record(2), hints: [] }), (thrown) => thrown instanceof Fault && thrown.code === "LeaseLost");
});

test("[OW42] a hint that comes while its partition is being taken is delivered after what was kept", async () => {
  const { run, first, hold, stream } = await owned();
  await hold(first, 9);
  const at = Array.from({ length: 20_000 }, (_, i) => ({ ...key, name: `app-${i}` })).find((each) => partitionOf(each) === 9) ?? key;
  stream.store([{ subject: subject.mailbox(at, "look"), data: "1" }]);
  await run(5);
  const own = first.cell.roster.own(9) as Own;
  const load = first.cell.load(9, own.sequence, () => false);
  await run(20);
  stream.store([{ subject: subject.mailbox(at, "health"), data: "2" }]);
  await run(20);
  assert.deepEqual(first.hints, []);
  first.cell.hold(9, own);
  first.cell.openMail(9, await load);
  assert.deepEqual(first.hints.map(({ body }) => body), [1, 2]);
});

test("[OW42] a hint that came between the owner record and its reading is found, though a replica lagged", async () => {
  const { run, first, hold, stream, time } = await owned();
  await run(4_000);
  first.way.copyMs = () => undefined;
  await hold(first, 9);
  const at = Array.from({ length: 20_000 }, (_, i) => ({ ...key, name: `app-${i}` })).find((each) => partitionOf(each) === 9) ?? key;
  stream.store([{ subject: subject.mailbox(at, "look"), data: "1" }]);
  const storedMs = time.nowMs;
  await run(6_000); // the scan has passed it: it was nobody's here
  assert.deepEqual(first.hints, []);
  first.way.lagMs = () => time.nowMs - storedMs + 1;
  const own = first.cell.roster.own(9) as Own;
  const load = first.cell.load(9, own.sequence, () => false);
  await run(20);
  first.way.lagMs = () => 0;
  first.cell.hold(9, own);
  const contents = await load;
  assert.equal(contents.mail.length, 0);
  first.cell.openMail(9, contents);
  await run(6_000);
  assert.deepEqual(first.hints.map(({ body }) => body), [1]);
});

test("[OW36] one stale assignment does not hold up the others", async () => {
  const { run, first, stream } = await owned();
  const { sequence = 0 } = stream.read(subject.own(home)) ?? {};
  first.way.copyMs = () => undefined;
  stream.store([{ subject: subject.own(home), data: JSON.stringify({ v: 1, worker: "w9", epoch: 5, cause: "claim" }) }]);
  const assignments = Array.from({ length: partitionCount }, (_, partition) => partition).filter((partition) => partition !== elsewhere)
    .map((partition) => ({ partition, to: "w1", epoch: 2, cause: "claim" as const, expect: partition === home ? sequence : 0 }));
  const done = watched(first.cell.perform({ do: "assign", assignments }, "p"));
  await run(200);
  assert.equal(done.state, "done");
  assert.deepEqual([first.cell.roster.own(home)?.worker, first.cell.roster.partitionsOf("w1").length], ["w9", partitionCount - 1]);
  for (const partition of [3, 700]) assert.equal(first.cell.roster.own(partition)?.sequence, stream.read(subject.own(partition))?.sequence);
});

test("[OW34] of two that stand for coordinator at once one is refused, and knows who leads then", async () => {
  const { run, first, start } = await owned();
  const second = start("w2");
  void second.cell.join();
  await run(100);
  for (const { way } of [first, second]) way.copyMs = () => undefined;
  const both = [first, second].map(({ cell }) => watched(cell.stand()));
  await run(20);
  assert.deepEqual(both.map(({ state }) => /fenced/.test(state)), [false, true]);
  assert.deepEqual([first, second].map(({ cell }) => cell.roster.coordinator.worker), ["w1", "w1"]);
});
