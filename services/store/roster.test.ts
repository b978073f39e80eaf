import assert from "node:assert/strict";
import test from "node:test";
import { subject } from "#protocol/names/subject.ts";
import { memoryLog, MemoryStream } from "../../test/simulate/memory-log.ts";
import { Process, VirtualTime } from "../../test/simulate/time.ts";
import { ownData } from "./committer.ts";
import { LogError } from "./log.ts";
import { deathMark, Roster } from "./roster.ts";

async function bench() {
  const time = new VirtualTime();
  const stream = new MemoryStream(() => time.nowMs);
  const process = new Process(time, "w1");
  const way = { copies: [] as (number | undefined)[], lagMs: 0, refusal: undefined as LogError | undefined };
  const log = memoryLog(stream, {
    client: "w1", clock: process.clock, later: (ms, does) => void time.in(ms, does), enter: (does) => process.enter(does),
    fate: () => ({ arriveMs: 0, answerMs: 1, ...(way.refusal && { refusal: way.refusal }) }),
    copyMs: () => (way.copies.length > 0 ? way.copies.shift() : 1), lagMs: () => way.lagMs, commitMs: () => 0,
  });
  const told: string[] = [];
  const unreadable: string[] = [];
  const roster = new Roster(log, {
    worker: "w1", clock: process.clock, onUnreadable: (name) => unreadable.push(name),
    onOwn: (partition, own) => told.push(`${partition} ${own.worker}`), onWant: (partition, want) => told.push(`${partition} for ${want?.to ?? "nobody"}`),
  });
  const run = (ms: number) => time.run(ms, () => false);
  const own = (partition: number, worker: string, epoch = 1) => stream.store([{ subject: subject.own(partition), data: ownData(worker, epoch, "claim") }]);
  const want = (partition: number, to: string) => stream.store([{ subject: subject.want(partition), data: to === "" ? "" : JSON.stringify({ v: 1, from: "a", to, plan: "p" }), ...(to === "" && { ttlSeconds: 60 }) }]);
  const beat = (worker: string, data = JSON.stringify({ v: 1, worker, beat: 1 })) => stream.store([{ subject: subject.member(worker), data, ttlSeconds: 60 }]);
  const begin = async () => { void roster.start(); await run(10); };
  return { time, stream, process, way, roster, told, unreadable, run, own, want, beat, begin };
}

test("[OW45] whoever joins knows what is stored, and hears what comes", async () => {
  const { roster, told, own, want, beat, begin, run } = await bench();
  own(3, "a");
  beat("a");
  want(3, "w1");
  await begin();
  assert.deepEqual([told, roster.own(3)?.worker, roster.want(3)?.to, roster.member("a")?.gone], [["3 a", "3 for w1"], "a", "w1", false]);
  own(3, "w1", 2);
  want(3, "");
  await run(10);
  assert.deepEqual([told.slice(2), roster.partitionsOf("w1")], [["3 w1", "3 for nobody"], [3]]);
});

test("[OW45] a copy that got lost is made up for within a second and a bit", async () => {
  const { roster, way, own, begin, run } = await bench();
  await begin();
  way.copies = [undefined];
  own(3, "a");
  await run(1_100);
  assert.equal(roster.own(3)?.worker, "a");
});

test("[OW45] copies in any order and any number tell the newest, once", async () => {
  const { roster, told, way, own, want, begin, run } = await bench();
  await begin();
  way.copies = [500, 1, 500, 1];
  own(3, "a", 1);
  own(3, "b", 2);
  want(3, "b");
  want(3, "");
  await run(3_000);
  assert.deepEqual([told, roster.own(3)?.epoch, roster.want(3)], [["3 b", "3 for nobody"], 2, undefined]);
});

test("[OW45] a replica that lags takes nothing back, and is asked again from there", async () => {
  const { roster, way, own, begin, run } = await bench();
  own(3, "a", 1);
  await begin();
  own(3, "b", 2);
  await run(10);
  way.lagMs = 2_000;
  way.copies = [undefined];
  own(4, "c", 1);
  await run(1_500);
  assert.deepEqual([roster.own(3)?.worker, roster.own(4)], ["b", undefined]);
  await run(3_000);
  assert.equal(roster.own(4)?.worker, "c");
});

test("[OW45] a start that is refused at first is made once", async () => {
  const { roster, way, told, own, run } = await bench();
  way.refusal = new LogError("busy", "no responders");
  const tries = [roster.start(), roster.start()].map((each) => each.catch((thrown: unknown) => thrown instanceof LogError));
  await run(100);
  assert.deepEqual(await Promise.all(tries), [true, true]);
  way.refusal = undefined;
  void roster.start();
  await run(10);
  own(3, "a");
  await run(10);
  roster.close();
  own(4, "a");
  await run(5_000);
  assert.deepEqual(told, ["3 a"]);
});

const ends = [
  { what: "a goodbye", data: "", farewell: true },
  { what: "a mark of death", data: deathMark, farewell: false },
];
for (const { what, data, farewell } of ends)
  test(`[OW46] ${what} ends a membership, and is remembered after it ran out`, async () => {
    const { roster, own, beat, begin, run } = await bench();
    own(3, "a");
    beat("a");
    await begin();
    beat("a", data);
    await run(10);
    assert.deepEqual([roster.member("a")?.gone, roster.member("a")?.farewell], [true, farewell]);
    await run(600_000);
    assert.equal(roster.member("a")?.gone, true, "while it owns something");
    own(3, "b", 2);
    beat("b");
    await run(2_000);
    assert.equal(roster.member("a"), undefined, "forgotten when it owns nothing");
  });

test("[OW46] a heartbeat in a form that nobody here knows is a heartbeat", async () => {
  const { roster, beat, begin, run } = await bench();
  await begin();
  beat("a", "{\"v\":2}");
  await run(10);
  const { gone, sequence = 0 } = roster.member("a") ?? {};
  assert.deepEqual([gone, sequence > 0], [false, true]);
});

test("[OW46] an owner without a heartbeat is a member that nobody has heard of, until one comes", async () => {
  const { roster, process, own, beat, begin, run } = await bench();
  own(3, "a");
  await begin();
  const { sequence, gone, seenMs = 0 } = roster.member("a") ?? {};
  assert.deepEqual([sequence, gone], [0, false]);
  await run(3_000);
  assert.equal(roster.member("a")?.seenMs, seenMs, "first missed then");
  const beaten = beat("a");
  await run(10);
  assert.deepEqual([roster.member("a")?.sequence, roster.member("a")?.seenMs], [beaten, process.clock.monoMs() - 9]);
});

test("[OW47] a heartbeat that ran out while nobody could write counts as missing from when that was found", async () => {
  const { roster, process, own, beat, begin, run, stream } = await bench();
  own(3, "a");
  beat("a");
  await begin();
  await run(70_000);
  assert.equal(stream.read(subject.member("a")), undefined);
  assert.notEqual(roster.member("a")?.sequence, 0);
  roster.vanished(subject.member("a"));
  assert.deepEqual([roster.member("a")?.sequence, roster.member("a")?.seenMs], [0, process.clock.monoMs()]);
  await run(100);
  roster.vanished(subject.member("a"));
  assert.equal(roster.member("a")?.seenMs, process.clock.monoMs() - 100);
});

test("[OW47] a plan whose end ran out unseen is over", async () => {
  const { roster, told, way, want, begin, run } = await bench();
  want(3, "b");
  await begin();
  way.refusal = new LogError("busy", "no responders");
  way.copies = [undefined];
  want(3, "");
  await run(70_000);
  way.refusal = undefined;
  await run(2_000);
  assert.equal(roster.want(3)?.to, "b");
  roster.vanished(subject.want(3));
  roster.vanished(subject.want(3));
  assert.deepEqual([roster.want(3), told], [undefined, ["3 for b", "3 for nobody"]]);
});

test("[OW45] what cannot be read is named, and changes nothing", async () => {
  const { roster, stream, unreadable, own, begin, run } = await bench();
  await begin();
  own(3, "a");
  await run(10);
  const strange = [subject.own(3), subject.want(3), subject.coordinator, subject.load("a"), "fl.x.own"];
  stream.store(strange.map((name) => ({ subject: name, data: "{" })));
  await run(10);
  assert.deepEqual([unreadable.toSorted(), roster.own(3)?.worker], [strange.toSorted(), "a"]);
});

test("[OW45] what a partition costs is said best by the one that has it", async () => {
  const { roster, stream, own, beat, begin } = await bench();
  const load = (worker: string, costs: Record<string, number>) => stream.store([{ subject: subject.load(worker), data: JSON.stringify({ v: 1, costs }) }]);
  for (const worker of ["a", "b", "c"]) beat(worker);
  own(3, "a");
  load("a", { 3: 50, 4: 70 });
  load("b", { 3: 900 });
  own(5, "c");
  load("c", { 5: 9 });
  await begin();
  const costs = () => [3, 4, 5].map((partition) => roster.view(1).costs.get(partition));
  assert.deepEqual(costs(), [50, 70, 9]);
  roster.take({ subject: subject.member("c"), sequence: 1_000, data: "" });
  roster.take({ subject: subject.load("c"), sequence: 1_001, data: JSON.stringify({ v: 1, costs: { 5: 9 } }) });
  assert.deepEqual(costs(), [50, 70, undefined], "one that is gone says nothing");
});

test("[OW45] the coordinator is who was written last", async () => {
  const { roster, stream, begin, run } = await bench();
  await begin();
  assert.deepEqual(roster.coordinator, { worker: "", term: 0, sequence: 0 });
  const sequence = stream.store([{ subject: subject.coordinator, data: JSON.stringify({ v: 1, worker: "a", term: 4 }) }]);
  await run(10);
  assert.deepEqual({ ...roster.coordinator, v: 1 }, { v: 1, worker: "a", term: 4, sequence });
});
