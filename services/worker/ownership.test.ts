/** Workers that share a cell, hand partitions over and refuse them: the real cell, heart and charts in virtual time. */
import assert from "node:assert/strict";
import test from "node:test";
import { isSuspect } from "#machines/rules/lease.ts";
import { partitionCount, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import { subject } from "#protocol/names/subject.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import { Cell } from "#services/store/cell.ts";
import { createHeart } from "#services/store/heart-beat.ts";
import type { Log } from "#services/store/log.ts";
import { MemoryExchange, memoryBus } from "../../test/simulate/memory-bus.ts";
import { memoryLog, MemoryStream, type Fate } from "../../test/simulate/memory-log.ts";
import { Process, VirtualTime } from "../../test/simulate/time.ts";
import { Ownership } from "./ownership.ts";

const key: ActorKey = { kind: "kustomization", namespace: "apps", name: "shop" };
const partition = partitionOf(key);
const record = (attempts: number): ActorRecord => ({
  v: 1, machine: "kustomization", snapshot: { status: "active", context: {} }, timers: [], runs: [], attempts, outbox: [], seen: {},
});

/** Reads records of a later version as if they were of this one. */
const readsLater = (log: Log): Log => ({
  ...log,
  async *scan(filter, from) { for await (const stored of log.scan(filter, from)) yield { ...stored, data: stored.data.replace(/^\{"v":3/, "{\"v\":1") }; },
});

function fleet() {
  const time = new VirtualTime();
  const stream = new MemoryStream(() => time.nowMs);
  const exchange = new MemoryExchange();
  const run = (ms: number) => time.run(ms, () => false);
  const writes: { worker: string; epoch: number; cause: string; atMs: number }[] = [];
  stream.watch((batch) => {
    for (const { subject: name, data } of batch) if (name === subject.own(partition)) writes.push({ ...(JSON.parse(data) as { worker: string; epoch: number; cause: string }), atMs: time.nowMs });
  });
  const start = (name: string, { reads = (log: Log): Log => log, says = true, freezeMs = 20 } = {}) => {
    const process = new Process(time, name);
    const { clock } = process;
    const way = { fate: (): Fate => ({ arriveMs: 0, answerMs: 1 }), words: true };
    const wire = { client: name, clock, later: (ms: number, does: () => void) => void time.in(ms, does), enter: (does: () => void) => process.enter(does) };
    const log = reads(memoryLog(stream, { ...wire, fate: () => way.fate(), copyMs: () => 1, lagMs: () => 0, commitMs: () => 0 }));
    const bus = memoryBus(exchange, { ...wire, deliverMs: () => (way.words ? 1 : undefined) });
    const events: string[] = [];
    const refused = new Set<number>();
    const known = new Map<number, number>();
    const state = { draining: false, lost: "" };
    const about = () => ({ capacity: 1, actors: 0, load: 0, draining: state.draining, refuses: says ? [...refused] : [] });
    const note = (of: number, text: string) => { if (of === partition) events.push(text); };
    const cell: Cell = new Cell(log, {
      worker: name, clock, hubId: "one", about: about(), startHeart: (callbacks) => createHeart(log, { worker: name, clock, about: about(), ...callbacks }),
      onOwn: (of, own) => ownership.own(of, own), onWant: (of, want) => ownership.want(of, want), onFenced: (of) => ownership.fenced(of),
      onHint: () => undefined, onAwaited: () => undefined, onLost: (reason) => { state.lost = reason; ownership.stop(); }, onUnreadable: () => undefined,
    });
    const ownership: Ownership = new Ownership({
      worker: name, clock, bus, cell,
      take: ({ partition: of, contents, recovered, from }) => {
        known.set(of, contents.records[0]?.record.attempts ?? 0);
        note(of, `take ${contents.records.map((each) => each.record.attempts).join()} of ${from || "nobody"}${recovered ? ", recovered" : ""}`);
        cell.openMail(of, contents);
      },
      freeze: async (of) => { note(of, "freeze"); await process.sleep(freezeMs); },
      thaw: (of) => note(of, "thaw"),
      drop: (of, next, lost) => { note(of, `drop for ${next?.worker ?? "?"}${lost ? ", lost" : ""}`); known.delete(of); cell.drop(of); },
      changed: () => undefined,
      refused: (of) => { note(of, "refuse"); refused.add(of); },
      debug: () => undefined,
    });
    const begin = () => {
      void cell.join().then(() => {
        const look = () => {
          if (state.lost) return;
          ownership.look();
          cell.say(about());
          clock.at(clock.nowMs() + 200, look);
        };
        look();
      });
    };
    begin();
    return { name, cell, ownership, process, way, events, state, clock, known };
  };
  const has = ({ cell }: { cell: Cell }) => cell.owned.length;
  return { time, stream, run, start, writes, has };
}

test("[OW30] workers that begin together share the cell, and all of it is taken up", async () => {
  const { run, start, has } = fleet();
  const workers = ["a", "b", "c"].map((name) => start(name));
  await run(1_500);
  assert.ok(workers.every(({ ownership }) => ownership.isSettled()));
  await run(20_000);
  const shares = workers.map(has);
  assert.equal(shares.reduce((sum, share) => sum + share, 0), partitionCount);
  assert.ok(Math.max(...shares) - Math.min(...shares) <= 1, shares.join());
});

test("[OW32] a hand-over: what was written last is what the next owner begins with, and the pause is short", async () => {
  const { run, start, time, stream } = fleet();
  const a = start("a");
  await run(2_000);
  void a.cell.commit({ key, record: record(1), hints: [] });
  await run(50);
  const b = start("b");
  a.state.draining = true;
  let frozenMs = 0;
  let pauseMs = 0;
  let n = 1;
  while (!b.cell.owns(partition)) {
    if (!a.events.includes("freeze")) void a.cell.commit({ key, record: record(++n), hints: [] }).catch(() => undefined);
    else frozenMs ||= time.nowMs;
    await run(2);
    pauseMs = frozenMs && time.nowMs - frozenMs;
    assert.ok(!(a.cell.owns(partition) && b.cell.owns(partition)));
    assert.ok(n < 20_000);
  }
  assert.deepEqual([a.events, b.events], [["take  of nobody", "freeze", "drop for b"], [`take ${(JSON.parse(stream.read(subject.snapshot(key))?.data ?? "{}") as ActorRecord).attempts} of a`]]);
  assert.ok(pauseMs < 100, `${pauseMs} ms`);
});

test("[OW30] a worker that drains is emptied, and gets its part again when it may stay", async () => {
  const { run, start, has } = fleet();
  const [a, b] = [start("a"), start("b")];
  await run(15_000);
  a.state.draining = true;
  await run(15_000);
  assert.deepEqual([has(a), has(b)], [0, partitionCount]);
  a.state.draining = false;
  await run(25_000);
  assert.deepEqual([has(a), has(b)], [partitionCount / 2, partitionCount / 2]);
});

test("[OW32] words that get lost hold up a hand-over, and nothing else", async () => {
  const { run, start, has } = fleet();
  const [a, b] = [start("a"), start("b")];
  await run(5_000);
  for (const { way } of [a, b]) way.words = false;
  a.state.draining = true;
  const before = has(a);
  await run(5_000);
  assert.equal(has(a), before);
  assert.equal(a.events.includes("freeze"), false);
  for (const { way } of [a, b]) way.words = true;
  await run(25_000);
  assert.equal(has(a), 0);
});

test("[OW35] of a worker that is killed everything is taken over within two seconds and a half", async () => {
  const { run, start, has, time } = fleet();
  const [a, b, c] = [start("a"), start("b"), start("c")];
  await run(15_000);
  const killed = [a, b, c].find(({ cell }) => cell.owns(partition)) ?? a; // perhaps the coordinator
  killed.process.kill();
  const left = [a, b, c].filter((each) => each !== killed);
  const beganMs = time.nowMs;
  while (left.reduce((sum, each) => sum + has(each), 0) < partitionCount) {
    await run(20);
    assert.ok(time.nowMs - beganMs < 2_700, "the coordinator's part may take a little longer");
  }
  assert.ok(left.some(({ events }) => events.some((event) => event.endsWith("recovered"))));
  assert.ok(left.every(({ events }) => !events.some((event) => event.startsWith("drop"))), "nobody else's moved");
});

const tooNew = JSON.stringify({ ...record(5), v: 3 });

test("[OW37] a partition that a worker cannot read goes to one that can, without a detour", async () => {
  const { run, start, stream, writes } = fleet();
  const a = start("a");
  await run(3_000);
  stream.store([{ subject: subject.snapshot(key), data: tooNew }]);
  void a.cell.close();
  a.ownership.stop();
  a.state.lost = "left";
  await run(100);
  const [b, c] = [start("b"), start("c", { reads: readsLater })];
  await run(10_000);
  assert.deepEqual([b.cell.owns(partition), c.cell.owns(partition)], [false, true]);
  assert.equal(c.events.filter((event) => event.startsWith("take 5")).length, 1);
  assert.ok(writes.length <= 5, JSON.stringify(writes));
});

test("[OW37] a worker that cannot read what it is to be handed says so before it is", async () => {
  const { run, start, stream, writes } = fleet();
  const a = start("a", { reads: readsLater });
  await run(3_000);
  stream.store([{ subject: subject.snapshot(key), data: tooNew }]);
  const b = start("b");
  a.state.draining = true;
  await run(20_000);
  assert.deepEqual([a.cell.owned, b.cell.owned.length, writes.length], [[partition], partitionCount - 1, 1]);
  assert.deepEqual(a.events.slice(1), []);
  assert.ok(b.events.length > 0 && b.events.length < 20 && b.events.every((event) => event === "refuse"), b.events.join());
});

const nobodyCan = [
  { what: "and all say so", says: true, most: 6 },
  { what: "though none of them says so", says: false, most: 140 },
];
for (const { what, says, most } of nobodyCan)
  test(`[OW37] a partition that nobody can read does not go round and round, ${what}`, async () => {
    const { run, start, stream, writes, has } = fleet();
    stream.store([{ subject: subject.snapshot(key), data: tooNew }]);
    const workers = [start("a", { says }), start("b", { says })];
    await run(60_000);
    assert.ok(writes.length <= most, `${writes.length} owner records in a minute`);
    assert.ok(workers.reduce((sum, each) => sum + has(each), 0) >= partitionCount - 1, "nothing else suffers");
    if (!says) return;
    assert.equal(writes.at(-1)?.worker, "");
    const c = start("c", { reads: readsLater });
    await run(5_000);
    assert.equal(c.cell.owns(partition), true);
  });

test("[OW51] a write that is refused though the partition is still ours: it is read and taken up again", async () => {
  const { run, start, stream } = fleet();
  const a = start("a");
  await run(3_000);
  void a.cell.commit({ key, record: record(1), hints: [] });
  await run(50);
  // A renewal of its own that nobody counted on any more.
  stream.store([{ subject: subject.own(partition), data: JSON.stringify({ v: 1, worker: "a", epoch: 2, cause: "renewal" }) }]);
  const refused = a.cell.commit({ key, record: record(2), hints: [] }).then(() => "done", () => "refused");
  await run(500);
  assert.equal(await refused, "refused");
  assert.deepEqual([a.events.at(-1), a.cell.owns(partition), a.cell.epochOf(key)], ["take 1 of nobody", true, 2]);
  void a.cell.commit({ key, record: record(3), hints: [] });
  await run(50);
  assert.equal((JSON.parse(stream.read(subject.snapshot(key))?.data ?? "") as ActorRecord).attempts, 3);
});

test("[OW51] when it is another's, it is dropped, however often it is told", async () => {
  const { run, start, stream } = fleet();
  const a = start("a");
  await run(3_000);
  stream.store([{ subject: subject.own(partition), data: JSON.stringify({ v: 1, worker: "ghost", epoch: 2, cause: "crash" }) }, { subject: subject.member("ghost"), data: JSON.stringify({ v: 1, worker: "ghost", beat: 1 }) }]);
  void a.cell.commit({ key, record: record(2), hints: [] }).catch(() => undefined);
  await run(500);
  assert.equal(a.cell.owns(partition), false);
  assert.equal(a.events.filter((event) => event.startsWith("take")).length, 1);
});

test("[OW33] a hand-over whose answer gets lost ends with one owner", async () => {
  const { run, start } = fleet();
  const [a, b] = [start("a"), start("b")];
  await run(15_000);
  const [from, to] = a.cell.owns(partition) ? [a, b] : [b, a];
  let chance = 0;
  from.way.fate = () => (chance++ % 3 === 0 ? { arriveMs: 0, answerMs: undefined } : { arriveMs: 0, answerMs: 1 });
  from.state.draining = true;
  for (let ms = 0; ms < 30_000; ms += 100) {
    await run(100);
    assert.ok(!(from.cell.owns(partition) && to.cell.owns(partition)));
  }
  from.way.fate = () => ({ arriveMs: 0, answerMs: 1 });
  await run(20_000);
  assert.deepEqual([from.cell.owns(partition), to.cell.owns(partition), from.state.lost], [false, true, ""]);
});

test("[OW34] when the coordinator goes another one leads, and only after it can be told dead", async () => {
  const { run, start } = fleet();
  const [a, b] = [start("a"), start("b")];
  await run(5_000);
  const first = a.cell.roster.coordinator.worker === "a" ? a : b;
  const second = first === a ? b : a;
  first.process.kill();
  for (let ms = 0; second.cell.roster.coordinator.worker !== second.name; ms += 20) {
    assert.ok(ms < 2_700);
    await run(20);
    const member = second.cell.roster.member(first.name);
    if (second.cell.roster.coordinator.worker === second.name) assert.ok(member?.gone || isSuspect(member?.seenMs ?? 0, second.clock.monoMs()));
  }
});

test("[OW47] a worker that died while NATS was away for longer than heartbeats are kept is told dead when it is back", async () => {
  const { run, start, has } = fleet();
  const [a, b] = [start("a"), start("b")];
  await run(15_000);
  const coordinator = a.cell.roster.coordinator.worker === "a" ? a : b; // it has to be told dead before another can lead
  const left = coordinator === a ? b : a;
  coordinator.process.kill();
  left.way.fate = () => ({ arriveMs: undefined, answerMs: undefined });
  await run(70_000);
  left.way.fate = () => ({ arriveMs: 0, answerMs: 1 });
  await run(15_000);
  assert.deepEqual([left.state.lost, has(left)], ["", partitionCount]);
});
