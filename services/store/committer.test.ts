import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { subject } from "#protocol/names/subject.ts";
import { memoryLog, MemoryStream, type Fate } from "../../test/simulate/memory-log.ts";
import { Process, VirtualTime } from "../../test/simulate/time.ts";
import { Committer, ownData } from "./committer.ts";
import { LogError, type Log, type Message } from "./log.ts";

const well = (): Fate => ({ arriveMs: 0, answerMs: 1 });

/** A committer that holds partitions 1, 2 and 3, and a way to the log that can fail. */
function bench(wrap: (log: Log) => Log = (log) => log) {
  const time = new VirtualTime();
  const stream = new MemoryStream(() => time.nowMs);
  const process = new Process(time, "w1");
  const way = { fates: [] as Fate[], commitMs: 0 };
  const sizes: number[] = [];
  const log = memoryLog(stream, {
    client: "w1", clock: process.clock, later: (ms, does) => void time.in(ms, does), enter: (does) => process.enter(does),
    fate: () => way.fates.shift() ?? well(), copyMs: () => 1, lagMs: () => 0, commitMs: () => way.commitMs,
  });
  const fenced: number[] = [];
  const committer = new Committer(wrap(log), { worker: "w1", clock: process.clock, onFenced: (partition) => fenced.push(partition), onCommit: (_, writes) => sizes.push(writes) });
  const hold = (partition: number, worker = "w1") => {
    const epoch = (JSON.parse(stream.read(subject.own(partition))?.data ?? "{\"epoch\":0}") as { epoch: number }).epoch + 1;
    const sequence = stream.store([{ subject: subject.own(partition), data: ownData(worker, epoch, "claim") }]);
    if (worker === "w1") committer.hold(partition, { sequence, epoch });
  };
  for (const partition of [1, 2, 3]) hold(partition);
  const states = new Map<string, string>();
  const write = (name: string, partition: number | undefined, data = name) => {
    states.set(name, "pending");
    committer.write([message(partition ?? 9, name, data)], partition).then(() => states.set(name, "done"), (thrown: unknown) =>
      states.set(name, thrown instanceof Fault ? thrown.code : thrown instanceof LogError ? thrown.kind : String(thrown)));
  };
  return { time, stream, process, way, sizes, fenced, committer, hold, states, write, run: (ms: number) => time.run(ms, () => false) };
}

const message = (partition: number, name: string, data = name): Message => ({ subject: `fl.${partition}.snap.unit.apps.${name}`, data });
const stored = (stream: MemoryStream, partition: number, name: string) => stream.read(`fl.${partition}.snap.unit.apps.${name}`)?.data;
const lost: Fate = { arriveMs: undefined, answerMs: undefined };
const late = (arriveMs: number): Fate => ({ arriveMs, answerMs: 1 });
const refusedFor = (kind: "busy" | "refused"): Fate => ({ arriveMs: 0, answerMs: 1, refusal: new LogError(kind, "said the server") });

test("[OW23] one batch is under way at a time, and what comes meanwhile leaves with the next", async () => {
  let underWay = 0;
  let most = 0;
  const { run, write, sizes } = bench((log) => ({
    ...log, publishAll: async (messages) => {
      most = Math.max(most, ++underWay);
      try { return await log.publishAll(messages); } finally { underWay--; }
    },
  }));
  for (let i = 0; i < 30; i++) write(`a${i}`, 1 + (i % 3));
  await run(0);
  for (let i = 0; i < 5; i++) write(`b${i}`, 1);
  await run(20);
  assert.deepEqual([sizes, most], [[30, 5], 1]);
});

test("[OW23] a batch is bounded by its messages and by its size", async () => {
  const { run, write, sizes } = bench();
  for (let i = 0; i < 450; i++) write(`n${i}`, 1);
  await run(50);
  assert.deepEqual(sizes.splice(0), [200, 200, 50]);
  for (let i = 0; i < 20; i++) write(`l${i}`, 1, "x".repeat(500_000));
  await run(50);
  assert.deepEqual(sizes, [8, 8, 4]);
});

test("[OW23] a write that can never be stored fails alone", async () => {
  const { run, write, states, fenced } = bench();
  write("large", 1, "x".repeat(5_000_000));
  write("small", 1);
  write("other", 2);
  await run(50);
  assert.deepEqual([Object.fromEntries(states), fenced], [{ large: "refused", small: "done", other: "done" }, []]);
});

test("[OW1] a partition that another worker owns by now fails alone, and is told of once", async () => {
  const { run, write, states, fenced, hold, committer, stream } = bench();
  hold(2, "w2");
  write("a", 1);
  write("b", 2);
  write("c", 2);
  write("d", 3);
  await run(50);
  assert.deepEqual([Object.fromEntries(states), fenced, committer.partitions], [{ a: "done", b: "fenced", c: "fenced", d: "done" }, [2], [1, 3]]);
  assert.equal(stored(stream, 2, "b"), undefined);
  write("e", 2);
  await run(10);
  assert.equal(states.get("e"), "LeaseLost");
});

test("[OW5] refused for now is asked again, and costs no token", async () => {
  const { run, write, states, way, committer, fenced } = bench();
  way.fates = Array.from({ length: 4 }, () => refusedFor("busy"));
  write("a", 1);
  await run(2_000);
  assert.deepEqual([states.get("a"), committer.token(1)?.epoch, fenced], ["done", 1, []]);
});

const unanswered = [
  { what: "lost", fate: lost },
  { what: "late", fate: late(5_000) },
  { what: "stored, its answer lost", fate: { arriveMs: 0, answerMs: undefined } satisfies Fate },
];
for (const { what, fate } of unanswered)
  test(`[OW4] a write without an answer (${what}) is repeated under new tokens, and can never land later`, async () => {
    const { run, write, states, way, committer, stream, fenced } = bench();
    way.fates = [fate];
    write("a", 1, "old");
    write("b", 2);
    await run(1_400);
    assert.deepEqual([states.get("a"), states.get("b")], ["done", "done"]);
    assert.deepEqual([1, 2, 3].map((partition) => committer.token(partition)?.epoch), [2, 2, 1], "only those it concerned");
    write("a", 1, "new");
    await run(10_000);
    assert.deepEqual([stored(stream, 1, "a"), fenced], ["new", []]);
  });

test("[OW4] a renewal whose answer was lost is found", async () => {
  const { run, write, states, way, committer, fenced } = bench();
  way.fates = [lost, { arriveMs: 0, answerMs: undefined }];
  write("a", 1);
  await run(5_000);
  assert.deepEqual([states.get("a"), committer.token(1)?.epoch, fenced], ["done", 2, []]);
});

test("[OW4] whoever lost the partition meanwhile gets no new token", async () => {
  const { run, write, states, way, committer, fenced, hold } = bench();
  way.fates = [lost];
  write("a", 1);
  await run(100);
  hold(1, "w2");
  await run(5_000);
  assert.deepEqual([states.get("a"), committer.token(1), fenced], ["fenced", undefined, [1]]);
});

test("[OW41] what waits for a partition that is let go is rejected, the rest is written", async () => {
  const { run, write, states, committer } = bench();
  write("a", 1);
  await run(0);
  write("b", 1);
  write("c", 2);
  committer.drop(1);
  await run(50);
  assert.deepEqual(Object.fromEntries(states), { a: "done", b: "LeaseLost", c: "done" });
});

test("[OW41] what was decided before a partition was let go is not written when it comes back", async () => {
  const { run, write, states, way, committer, hold, stream, fenced } = bench();
  way.fates = Array.from({ length: 3 }, () => refusedFor("busy"));
  write("a", 1, "old");
  await run(20);
  committer.drop(1);
  hold(1);
  await run(5_000);
  assert.deepEqual([states.get("a"), stored(stream, 1, "a"), fenced, committer.token(1)?.epoch], ["fenced", undefined, [], 2]);
});

test("[OW41] it is idle when nothing of the partition waits or is under way", async () => {
  const { run, write, way, committer } = bench();
  way.fates = [late(300)];
  write("a", 1);
  let idle = "";
  for (const partition of [1, 2]) void committer.idle(partition).then(() => { idle += partition; });
  await run(100);
  assert.equal(idle, "2");
  await run(300);
  assert.equal(idle, "21");
});

test("[OW20] after the end nothing is written, and nobody waits for ever", async () => {
  const { run, write, states, way, committer, fenced } = bench();
  way.fates = Array.from({ length: 100 }, () => lost);
  write("a", 1);
  await run(10);
  write("b", 1);
  committer.close();
  write("c", undefined);
  await run(5_000);
  assert.deepEqual([states.get("a"), states.get("b"), states.get("c"), fenced], ["unknown", "LeaseLost", "LeaseLost", []]);
});

test("[OW5] while a write on the same fence is under way another waits for it", async () => {
  const { run, write, states, way, stream } = bench();
  way.commitMs = 30;
  write("a", 1, "1");
  await run(5);
  write("a", 1, "2");
  await run(500);
  assert.deepEqual([states.get("a"), stored(stream, 1, "a")], ["done", "2"]);
});
