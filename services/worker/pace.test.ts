import assert from "node:assert/strict";
import test from "node:test";
import { setImmediate as tick } from "node:timers/promises";
import { Fault } from "#protocol/errors/fault.ts";
import { KubeError } from "#services/clients/kubernetes/error.ts";
import type { Clock } from "#services/store/clock.ts";
import { createPace } from "./pace.ts";

function bench(first: number) {
  const time = { ms: 1 };
  const clock: Clock = { nowMs: () => time.ms, monoMs: () => time.ms, at: () => () => {} };
  const pace = createPace({ clock, floor: 1, ceiling: 8, first });
  const begun: { name: string; end: (error?: Error) => void }[] = [];
  const ask = (name: string, signal?: AbortSignal) => pace.gate(() => new Promise<string>((resolve, reject) => {
    begun.push({ name, end: (error) => (error ? reject(error) : resolve(name)) });
  }), signal);
  return { time, pace, begun, ask, names: () => begun.map(({ name }) => name) };
}

test("[FA14] as many as the limit are on their way, the rest wait in the order in which they came", async () => {
  const { pace, begun, ask, names } = bench(2);
  const results = ["a", "b", "c", "d"].map((name) => ask(name));
  await tick();
  assert.deepEqual(names(), ["a", "b"]);
  begun[1]?.end();
  assert.equal(await results[1], "b");
  await tick();
  assert.deepEqual([names(), pace.limit()], [["a", "b", "c"], 2]);
  begun[0]?.end();
  await results[0];
  await tick();
  assert.deepEqual([names(), pace.limit()], [["a", "b", "c", "d"], 3], "two answers were a window");
  for (const { end } of begun) end();
  assert.deepEqual(await Promise.all(results), ["a", "b", "c", "d"]);
});

const refusal = (code: number, retryAfterMs?: number) => new KubeError(code, { message: "as asked" }, retryAfterMs);
const outcomes: { name: string; error?: Error; limit: number; rule: string }[] = [
  { rule: "FA11", name: "429", error: refusal(429), limit: 1 },
  { rule: "FA11", name: "503 that says when to come back", error: refusal(503, 1_000), limit: 1 },
  { rule: "FA13", name: "503 that does not", error: refusal(503), limit: 2 },
  { rule: "FA13", name: "500", error: refusal(500), limit: 2 },
  { rule: "FA13", name: "no answer", error: new Error("reset"), limit: 2 },
  { rule: "FA13", name: "a lease that was lost before it was sent", error: new Fault("LeaseLost", "partition 7"), limit: 2 },
  { rule: "FA10", name: "404", error: refusal(404), limit: 3 },
  { rule: "FA10", name: "409", error: refusal(409), limit: 3 },
  { rule: "FA10", name: "an answer", limit: 3 },
];
for (const { rule, name, error, limit } of outcomes)
  test(`[${rule}] two requests that end with ${name}: 2 -> ${limit}`, async () => {
    const { time, pace, begun, ask } = bench(2);
    const results = Promise.allSettled([ask("a"), ask("b")]);
    await tick();
    time.ms = 20;
    for (const { end } of begun) end(error);
    for (const result of await results) assert.equal(result.status === "rejected" ? result.reason : undefined, error);
    assert.equal(pace.limit(), limit);
  });

test("[FA11] nothing more is let in while more are on their way than the limit that is left", async () => {
  const { time, pace, begun, ask, names } = bench(4);
  const results = ["a", "b", "c", "d", "e"].map((name) => ask(name).catch(() => name));
  await tick();
  time.ms = 20;
  begun[0]?.end(refusal(429));
  await results[0];
  await tick();
  assert.deepEqual([pace.limit(), names()], [2, ["a", "b", "c", "d"]]);
  begun[1]?.end();
  await results[1];
  await tick();
  assert.equal(names().length, 4, "two are still on their way");
  begun[2]?.end();
  await results[2];
  await tick();
  assert.equal(names().length, 5);
  for (const { end } of begun) end();
  await Promise.all(results);
});

test("[FA14] a request that is given up while it waits is never sent", async () => {
  const { begun, ask, names } = bench(1);
  const stop = new AbortController();
  const reason = new Error("no longer wanted");
  const first = ask("a");
  const given = ask("b", stop.signal);
  const last = ask("c");
  stop.abort(reason);
  await assert.rejects(given, reason);
  await assert.rejects(ask("d", stop.signal), reason);
  begun[0]?.end();
  await first;
  await tick();
  begun[1]?.end();
  await last;
  assert.deepEqual(names(), ["a", "c"]);
});
