import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { bus as subjects, subject } from "#protocol/names/subject.ts";
import { ownData } from "#services/store/committer.ts";
import { Roster } from "#services/store/roster.ts";
import { MemoryExchange, memoryBus, perfectBusWire } from "../../test/simulate/memory-bus.ts";
import { memoryLog, MemoryStream, perfectWire } from "../../test/simulate/memory-log.ts";
import { Process, VirtualTime } from "../../test/simulate/time.ts";
import type { ActorView } from "#protocol/messages/fleet.ts";
import { Fleet } from "./fleet.ts";

const view = (worker: string, name: string): ActorView => ({ id: `kustomization/apps/${name}`, state: "settled", worker });

/** Workers of which each has as many actors as is said; all know of each other. */
function bench(workers: Record<string, number>) {
  const time = new VirtualTime();
  const stream = new MemoryStream(() => time.nowMs);
  const exchange = new MemoryExchange();
  const drained: string[] = [];
  const pages: string[] = [];
  const members = Object.entries(workers).map(([worker, actors]) => {
    const { clock } = new Process(time, worker);
    const wire = perfectBusWire(worker, clock);
    const roster = new Roster(memoryLog(stream, perfectWire(clock)), { worker, clock, onOwn: () => undefined, onWant: () => undefined });
    const fleet = new Fleet({
      worker, clock, bus: memoryBus(exchange, wire), roster,
      actors: () => { pages.push(worker); return Array.from({ length: actors }, (_, i) => view(worker, `${worker}-${i}`)); }, drain: (on) => drained.push(`${worker} ${on}`),
    });
    return { worker, fleet, roster, bus: memoryBus(exchange, wire) };
  });
  const run = (ms: number) => time.run(ms, () => false);
  const about = { capacity: 2, draining: false, refuses: [], actors: 5, load: 70, protocol: 1, shard: "heavy" };
  const beat = (worker: string, changes: object = {}) => stream.store([{ subject: subject.member(worker), data: JSON.stringify({ v: 1, worker, beat: 1, ...about, ...changes }) }]);
  const answered = async <T>(promise: Promise<T>, ms: number): Promise<T | string> => {
    let answer: T | string = "pending";
    promise.then((value) => { answer = value; }, (thrown: unknown) => { answer = thrown instanceof Fault ? `${thrown.code} ${thrown.subject}` : String(thrown); });
    await run(ms);
    return answer;
  };
  return { time, stream, members, drained, pages, run, beat, answered };
}

test("[FL4] every member is named with what it says of itself, what it owns, and when it was heard", async () => {
  const { stream, members, run, beat } = bench({ a: 0 });
  const [{ fleet, roster }] = members as [typeof members[number]];
  beat("a");
  beat("b", { draining: true });
  beat("gone");
  stream.store([1, 2].map((partition) => ({ subject: subject.own(partition), data: ownData("a", 1, "claim") })));
  stream.store([{ subject: subject.own(3), data: ownData("lost", 1, "claim") }, { subject: subject.coordinator, data: JSON.stringify({ v: 1, worker: "a", term: 1 }) }]);
  stream.store([{ subject: subject.member("gone"), data: "" }]);
  void roster.start();
  await run(1_201);
  const views = fleet.workers();
  assert.deepEqual(views.map(({ name, state, partitions }) => `${name} ${state} ${partitions}`), ["a silent 2", "b silent 0", "lost silent 1"]);
  assert.deepEqual(views[0], { name: "a", state: "silent", partitions: 2, actors: 5, loadMsPerMinute: 70, leaseAgeMs: 1_201, coordinator: true, capacity: 2, shard: "heavy" });
  beat("a");
  beat("b", { draining: true });
  await run(1_000);
  assert.deepEqual(fleet.workers().map(({ name, state }) => `${name} ${state}`), ["a ready", "b draining", "lost silent"]);
});

test("[FL4] a worker is told to drain, and one that does not answer is unknown", async () => {
  const { members, drained, answered } = bench({ a: 0, b: 0 });
  const fleet = members[0]?.fleet;
  assert.ok(fleet);
  assert.equal(await answered(fleet.drain("b", true), 100), undefined);
  assert.equal(await answered(fleet.drain("b", false), 100), undefined);
  assert.equal(await answered(fleet.drain("c", true), 2_000), "WorkerUnknown c");
  assert.deepEqual(drained, ["b true", "b false"]);
});

test("[FL4] a wish that cannot be read changes nothing", async () => {
  const { members, drained, run } = bench({ a: 0 });
  for (const data of ["", "{", "null", "{\"draining\":\"yes\"}"]) members[0]?.bus.publish(subjects.to("a", "drain"), data);
  await run(100);
  assert.deepEqual(drained, []);
});

test("[OW50] actors are gathered from all workers, page by page, however many there are", async () => {
  const { members, beat, answered, pages, run } = bench({ a: 2_500, b: 3 });
  const fleet = members[0]?.fleet;
  assert.ok(fleet);
  for (const name of ["a", "b", "silent"]) beat(name);
  for (const { roster } of members) void roster.start();
  await run(10);
  const found = await answered(fleet.actors(), 5_000);
  assert.ok(Array.isArray(found));
  assert.deepEqual([found.length, new Set(found.map(({ worker }) => worker)).size], [2_503, 2]);
  assert.equal(pages.filter((worker) => worker === "a").length, 3);
});

test("[OW50] a worker that always has more does not keep anybody for ever, and nonsense is passed over", async () => {
  const { members, answered } = bench({ a: 1 });
  const [{ fleet, bus }] = members as [typeof members[number]];
  let asked = 0;
  bus.subscribe(subjects.all("actors"), (_, answer) => answer?.(asked++ % 2 === 0 ? JSON.stringify({ actors: [], more: true }) : "{"));
  const found = await answered(fleet.actors(), 3_000_000);
  assert.ok(Array.isArray(found) && found.length === 1);
  fleet.close();
});
