import assert from "node:assert/strict";
import test from "node:test";
import { setImmediate as tick } from "node:timers/promises";
import type { Lane } from "#machines/rules/fairness.ts";
import type { Clock } from "#services/store/clock.ts";
import { Lanes } from "./lanes.ts";

type Held = { name: string; end: (error?: Error) => void };

function bench(inFlight: number) {
  const time = { ms: 0 };
  const clock: Clock = { nowMs: () => time.ms, monoMs: () => time.ms, at: () => () => {} };
  const lanes = new Lanes({ clock, inFlight });
  const begun: Held[] = [];
  /** Work that goes on until it is told to end. */
  const run = (name: string, { tenant = name, lane = "change" as Lane, signal = new AbortController().signal } = {}) =>
    lanes.run({ tenant, lane, signal }, () => new Promise<string>((resolve, reject) => {
      begun.push({ name, end: (error) => (error ? reject(error) : resolve(`${name} done`)) });
    }));
  const names = () => begun.map(({ name }) => name);
  return { time, lanes, begun, run, names };
}

test("[FA3] what finds a place begins at once, the rest when one is free", async () => {
  const { lanes, begun, run, names } = bench(2);
  const results = ["a", "b", "c"].map((name) => run(name));
  await tick();
  assert.deepEqual([names(), lanes.queued], [["a", "b"], 1]);
  begun[1]?.end();
  assert.equal(await results[1], "b done");
  await tick();
  assert.deepEqual([names(), lanes.queued], [["a", "b", "c"], 0]);
  for (const { end } of begun) end();
  assert.deepEqual(await Promise.all(results), ["a done", "b done", "c done"]);
});

test("[FA1] of those that wait a command begins first, routine last", async () => {
  const { begun, run, names } = bench(1);
  const results = [run("first"), run("routine", { lane: "interval" }), run("drift", { lane: "drift" }), run("command", { lane: "command" })];
  for (let i = 0; i < 4; i++) {
    await tick();
    begun[i]?.end();
  }
  await Promise.all(results);
  assert.deepEqual(names(), ["first", "command", "drift", "routine"]);
});

test("[FA7] a wait that is given up ends with the signal's reason, and its work never begins", async () => {
  const { lanes, begun, run, names } = bench(1);
  const stop = new AbortController();
  const first = run("first");
  const given = run("given up", { signal: stop.signal });
  const last = run("last");
  const reason = new Error("no longer wanted");
  stop.abort(reason);
  await assert.rejects(given, reason);
  assert.equal(lanes.queued, 1);
  begun[0]?.end();
  await first;
  await tick();
  begun[1]?.end();
  await last;
  assert.deepEqual(names(), ["first", "last"]);
});

test("[FA7] what was given up before it came never waits", async () => {
  const { lanes, run, names } = bench(1);
  const reason = new Error("no longer wanted");
  await assert.rejects(run("late", { signal: AbortSignal.abort(reason) }), reason);
  assert.deepEqual([names(), lanes.queued, lanes.stats().running], [[], 0, 0]);
});

test("[FA7] work that has begun holds its place until it has ended, also when it is no longer wanted", async () => {
  const { lanes, begun, run, names } = bench(1);
  const stop = new AbortController();
  const first = run("first", { signal: stop.signal });
  const second = run("second");
  stop.abort(new Error("no longer wanted"));
  await tick();
  assert.deepEqual([names(), lanes.queued], [["first"], 1]);
  begun[0]?.end();
  assert.equal(await first, "first done");
  await tick();
  begun[1]?.end();
  assert.equal(await second, "second done");
});

test("[FA7] work that fails, or throws before its first promise, gives its place back", async () => {
  const { lanes, begun, run } = bench(1);
  const signal = new AbortController().signal;
  const broken = new Error("broken");
  const failed = run("failed");
  const thrown = lanes.run({ tenant: "t", lane: "drift", signal }, () => { throw broken; });
  begun[0]?.end(broken);
  await assert.rejects(failed, broken);
  await assert.rejects(thrown, broken);
  assert.equal(await lanes.run({ tenant: "t", lane: "drift", signal }, () => Promise.resolve("next")), "next");
  await tick();
  assert.equal(lanes.stats().running, 0);
});

test("[FA6] it tells what waits, runs and has waited", async () => {
  const { time, lanes, begun, run } = bench(1);
  const results = [run("a"), run("b"), run("c", { lane: "interval" })];
  assert.deepEqual(lanes.stats().lanes.change, { queued: 1, running: 1, started: 1, waitedMs: 0, longestWaitMs: 0 });
  time.ms = 40;
  for (let i = 0; i < 3; i++) {
    begun[i]?.end();
    await tick();
  }
  await Promise.all(results);
  const { change, interval } = lanes.stats().lanes;
  assert.deepEqual(change, { queued: 0, running: 0, started: 2, waitedMs: 40, longestWaitMs: 40 });
  assert.deepEqual(interval, { queued: 0, running: 0, started: 1, waitedMs: 40, longestWaitMs: 40 });
});
