import assert from "node:assert/strict";
import test from "node:test";
import { deadlineMs } from "#machines/rules/lease.ts";
import { subject } from "#protocol/names/subject.ts";
import { memberRecord } from "#protocol/records/cell.ts";
import { memoryLog, MemoryStream, type Fate } from "../../test/simulate/memory-log.ts";
import { Process, VirtualTime } from "../../test/simulate/time.ts";
import { createHeart, type HeartOptions } from "./heart-beat.ts";
import type { About } from "./heart.ts";
import { LogError } from "./log.ts";

const about: About = { capacity: 1, actors: 0, load: 0, draining: false, refuses: [] };
const well = (): Fate => ({ arriveMs: 0, answerMs: 1 });
const cut = (): Fate => ({ arriveMs: undefined, answerMs: undefined });

/** A heart in virtual time: its process can stop and die, its way to the log can fail, its wall clock can be set. */
function heartOf(options: Partial<HeartOptions> = {}) {
  const time = new VirtualTime();
  const stream = new MemoryStream(() => time.nowMs);
  const process = new Process(time, "w1");
  const way = { fate: well };
  const wall = { aheadMs: 0 };
  const lost: string[] = [];
  const asked: { owns: boolean | Error; times: number } = { owns: true, times: 0 };
  const clock = { ...process.clock, nowMs: () => process.clock.nowMs() + wall.aheadMs, at: (dueMs: number, run: () => void) => process.clock.at(dueMs - wall.aheadMs, run) };
  const log = memoryLog(stream, {
    client: "w1", clock, later: (ms, run) => void time.in(ms, run), enter: (run) => process.enter(run),
    fate: () => way.fate(), copyMs: () => undefined, lagMs: () => 0, commitMs: () => 0,
  });
  const heart = createHeart(log, {
    worker: "w1", clock, about, onLost: (reason) => lost.push(reason),
    stillOwns: async () => {
      asked.times++;
      if (asked.owns instanceof Error) throw asked.owns;
      return asked.owns;
    },
    ...options,
  });
  const name = subject.member("w1");
  const record = () => memberRecord.safeParse(JSON.parse(stream.read(name)?.data || "{}")).data;
  const bury = () => stream.store([{ subject: name, data: "", ttlSeconds: 60 }]);
  return { time, run: (ms: number) => time.run(ms, () => false), stream, process, way, wall, lost, asked, clock, heart, name, record, bury };
}

async function beating(options: Partial<HeartOptions> = {}) {
  const world = heartOf(options);
  const started = { is: false };
  void world.heart.start().then(() => { started.is = true; });
  await world.run(10);
  assert.equal(started.is, true);
  return world;
}

const acts = ({ heart }: { heart: ReturnType<typeof createHeart> }) => heart.state().leaseUntilMs > 0;

test("[NT10] a stored beat gives the right to act until a margin before anybody may doubt it, from when it was sent", async () => {
  const { heart, run, clock, way, process } = heartOf();
  assert.deepEqual(heart.state(), { leaseUntilMs: 0, steadySinceMs: 0 });
  way.fate = () => ({ arriveMs: 0, answerMs: 250 });
  const sentAtMs = clock.monoMs();
  void heart.start();
  await run(249);
  assert.equal(heart.state().leaseUntilMs, 0);
  await run(2);
  assert.deepEqual(heart.state(), { leaseUntilMs: deadlineMs(sentAtMs), steadySinceMs: sentAtMs });
  process.stop();
  await run(deadlineMs(sentAtMs) - clock.monoMs());
  assert.deepEqual(heart.state(), { leaseUntilMs: 0, steadySinceMs: 0 });
});

test("[NT10] it never lapses while beats get through, and steady is since the first", async () => {
  const world = await beating();
  const { steadySinceMs } = world.heart.state();
  for (let ms = 0; ms < 30_000; ms += 50) {
    await world.run(50);
    assert.equal(acts(world), true);
  }
  assert.equal(world.heart.state().steadySinceMs, steadySinceMs);
  assert.ok((world.record()?.beat ?? 0) >= 70);
});

test("[NT11] a beat says what the worker last said of itself", async () => {
  const { heart, run, record } = await beating();
  heart.say({ capacity: 4, actors: 12, load: 3.5, draining: true, refuses: [7] });
  await run(500);
  assert.deepEqual({ ...record(), beat: 0 }, { v: 1, worker: "w1", beat: 0, protocol: 1, capacity: 4, actors: 12, load: 3.5, draining: true, refuses: [7], shard: "" });
});

const troubles: { name: string; fates: Fate[] }[] = [
  { name: "the answer to one beat gets lost", fates: [{ arriveMs: 0, answerMs: undefined }] },
  { name: "one beat gets lost", fates: [cut()] },
  { name: "one beat lands after it was given up", fates: [{ arriveMs: 1_001, answerMs: 1 }] },
  { name: "the server refuses for now, a few times", fates: Array.from({ length: 5 }, () => ({ ...well(), refusal: new LogError("busy", "no leader") })) },
];
for (const { name, fates } of troubles)
  test(`[NT12] ${name}: the lease does not lapse, and nobody is held for dead`, async () => {
    const world = await beating();
    const { steadySinceMs } = world.heart.state();
    world.way.fate = () => fates.shift() ?? well();
    for (let ms = 0; ms < 5_000; ms += 20) {
      await world.run(20);
      assert.equal(acts(world), true, `after ${ms} ms`);
    }
    assert.deepEqual([fates, world.lost, world.heart.state().steadySinceMs], [[], [], steadySinceMs]);
  });

test("[NT12] an answer that comes after the lease would be over gives none", async () => {
  const world = heartOf();
  world.way.fate = () => ({ arriveMs: 0, answerMs: 900 });
  void world.heart.start();
  await world.run(100);
  world.process.stop();
  await world.run(3_000);
  world.way.fate = cut;
  world.process.resume();
  await world.run(10);
  assert.equal(acts(world), false);
});

test("[NT12] while nothing gets through the right ends; it comes back with the next beat, and steady begins anew", async () => {
  const world = await beating();
  await world.run(1_000);
  world.way.fate = cut;
  await world.run(2_200);
  assert.equal(acts(world), false);
  world.way.fate = well;
  const cameBackMs = world.clock.monoMs();
  await world.run(1_200);
  assert.equal(acts(world), true);
  assert.ok(world.heart.state().steadySinceMs > cameBackMs);
  assert.deepEqual([world.lost, world.asked.times], [[], 0]);
});

test("[NT13] a mark of death in the place of its beat ends it for good, told once", async () => {
  const world = await beating();
  world.bury();
  await world.run(500);
  assert.deepEqual([world.lost, acts(world), world.stream.read(world.name)?.data], [["another worker declared this one dead"], false, ""]);
  await world.run(90_000);
  await world.heart.stop();
  assert.deepEqual([world.lost.length, acts(world), world.stream.read(world.name)], [1, false, undefined]);
});

test("[NT13] a record in its place that is no beat of its own ends it too", async () => {
  const world = await beating();
  world.stream.store([{ subject: world.name, data: JSON.stringify({ v: 1, worker: "w1", beat: 9_999 }) }]);
  await world.run(500);
  assert.equal(world.lost.length, 1);
});

const answers = [
  { name: "goes on when nobody took over", owns: true, after: { acts: true, lost: 0 } },
  { name: "ends when somebody did, and leaves no beat behind", owns: false, after: { acts: false, lost: 1 } },
  { name: "may not act while nobody can say", owns: new Error("away"), after: { acts: false, lost: 0 } },
] as const;
for (const { name, owns, after } of answers)
  test(`[NT14] a worker whose record is gone ${name}`, async () => {
    const world = await beating();
    world.process.stop();
    await world.run(130_000); // longer than beats, and marks of death, are kept
    assert.equal(world.stream.read(world.name), undefined);
    world.asked.owns = owns;
    world.process.resume();
    await world.run(2_000);
    assert.deepEqual({ acts: acts(world), lost: world.lost.length }, after);
    assert.ok(world.asked.times > 0);
    assert.equal(world.stream.read(world.name)?.data === "", owns === false);
    if (!(owns instanceof Error)) return;
    world.asked.owns = true;
    await world.run(500);
    assert.equal(acts(world), true);
  });

test("[NT14] it may not act before the answer, though its beat is stored", async () => {
  const owns = Promise.withResolvers<boolean>();
  const world = await beating({ stillOwns: () => owns.promise });
  world.process.stop();
  await world.run(130_000);
  world.process.resume();
  await world.run(300);
  assert.deepEqual([acts(world), (world.record()?.beat ?? 0) > 0], [false, true]);
  owns.resolve(true);
  await world.run(200);
  assert.equal(acts(world), true);
});

for (const aheadMs of [201, -3_600_000])
  test(`[NT15] a jump of the wall clock by ${aheadMs} ms against the monotonic one ends the right at once, until the next beat is stored`, async () => {
    const world = await beating();
    await world.run(1_000);
    world.wall.aheadMs = aheadMs;
    assert.deepEqual(world.heart.state(), { leaseUntilMs: 0, steadySinceMs: 0 });
    const jumpedMs = world.clock.monoMs();
    await world.run(450);
    assert.equal(acts(world), true);
    assert.ok(world.heart.state().steadySinceMs > jumpedMs);
  });

test("[NT15] a beat that was under way during the jump does not count", async () => {
  const world = await beating();
  await world.run(1_000);
  world.way.fate = () => ({ arriveMs: 0, answerMs: 300 });
  await world.run(450);
  world.wall.aheadMs = 60_000;
  await world.run(300);
  assert.equal(acts(world), false);
  await world.run(700);
  assert.equal(acts(world), true);
});

test("[NT15] what ended with a jump does not come back when the clock is set back", async () => {
  const world = await beating();
  await world.run(1_000);
  world.way.fate = cut;
  world.wall.aheadMs = 5_000;
  await world.run(450);
  world.wall.aheadMs = 0;
  assert.equal(acts(world), false);
});

test("[NT15] corrections of the wall clock do not matter", async () => {
  const world = await beating();
  for (let i = 0; i < 50; i++) {
    world.wall.aheadMs += 20;
    await world.run(100);
    assert.equal(acts(world), true);
  }
});

test("[NT16] it stops speaking for a worker that has stopped working, and goes on with it", async () => {
  let works = true;
  const world = await beating({ isWorking: () => works });
  works = false;
  await world.run(2_000);
  assert.equal(acts(world), false);
  const { beat = 0 } = world.record() ?? {};
  await world.run(2_000);
  assert.equal(world.record()?.beat, beat);
  works = true;
  await world.run(200);
  assert.deepEqual([acts(world), world.lost], [true, []]);
});

for (const [name, fate] of [["at rest", well()], ["with a beat under way", { arriveMs: 20, answerMs: 1 }]] as const)
  test(`[NT17] stopped ${name}, it may not act at once, and says goodbye`, async () => {
    const world = await beating();
    world.way.fate = () => fate;
    await world.run(400);
    const stopped = { is: false };
    void world.heart.stop().then(() => { stopped.is = true; });
    assert.equal(acts(world), false);
    await world.run(200);
    assert.deepEqual([stopped.is, world.stream.read(world.name)?.data, world.lost], [true, "", []]);
    await world.run(2_000);
    assert.equal(world.stream.read(world.name)?.data, "");
  });

test("[NT17] stopped while nothing gets through, it ends without a goodbye", async () => {
  const world = await beating();
  world.way.fate = cut;
  const stopped = { is: false };
  void world.heart.stop().then(() => { stopped.is = true; });
  await world.run(5_000);
  assert.equal(stopped.is, true);
});

test("[NT17] one that can not begin says why, and one stopped before it began ends", async () => {
  const denied = heartOf();
  denied.way.fate = () => ({ ...well(), refusal: new LogError("refused", "no permission") });
  const begun = assert.rejects(denied.heart.start(), /no permission/);
  await denied.run(10);
  await begun;
  const early = heartOf();
  early.way.fate = cut;
  const ended = assert.rejects(early.heart.start(), /stopped/);
  void early.heart.stop();
  await early.run(3_000);
  await ended;
});
