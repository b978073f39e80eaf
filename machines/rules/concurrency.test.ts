import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { beginConcurrency, learn, usualBounds, type Answered, type Concurrency } from "./concurrency.ts";

const begin = (first = 10) => beginConcurrency({ ...usualBounds, first }, 0);
type Given = Partial<Answered> & { tookMs?: number };
/** So many requests, one after the other in time, all of the same length. */
function after(state: Concurrency, nowMs: number, size: number, { tookMs = 10, outcome = "answered", full = true }: Given = {}): Concurrency {
  for (let i = 0; i < size; i++) state = learn(state, { startedMs: nowMs, endedMs: nowMs + tookMs, outcome, full }, usualBounds);
  return state;
}

const rows: { name: string; rule: string; size: number; given?: Given; limit: number }[] = [
  { rule: "FA10", name: "a window in which all places were taken", size: 10, limit: 11 },
  { rule: "FA10", name: "less than a window", size: 9, limit: 10 },
  { rule: "FA10", name: "requests that began before the window do not count", size: 20, limit: 11 },
  { rule: "FA10", name: "a window in which places were free", size: 10, given: { full: false }, limit: 10 },
  { rule: "FA11", name: "one refusal", size: 1, given: { outcome: "overloaded" }, limit: 7 },
  { rule: "FA11", name: "a storm of refusals of requests that began together", size: 500, given: { outcome: "overloaded" }, limit: 7 },
  { rule: "FA13", name: "requests without an answer", size: 500, given: { outcome: "lost" }, limit: 10 },
];
for (const { rule, name, size, given, limit } of rows)
  test(`[${rule}] ${name}: 10 -> ${limit}`, () => assert.equal(after(begin(), 1, size, given).limit, limit));

test("[FA11] a refusal of a request that began after the cut cuts again, down to the floor", () => {
  let state = begin(32);
  const limits = Array.from({ length: 8 }, (_, i) => (state = after(state, 100 * (i + 1), 3, { outcome: "overloaded" })).limit);
  assert.deepEqual(limits, [22, 15, 10, 7, 4, 4, 4, 4]);
});

test("[FA11] answers of requests that began before the cut do not raise it again", () => {
  const cut = after(begin(), 100, 1, { outcome: "overloaded" });
  assert.equal(after(cut, 50, 100).limit, 7);
  assert.equal(after(cut, 110, 7).limit, 8);
});

const slow: { name: string; tookMs: number[]; limit: number }[] = [
  { name: "all answers take four times the fastest", tookMs: Array.from({ length: 10 }, () => 400), limit: 7 },
  { name: "three times is not slow", tookMs: Array.from({ length: 10 }, () => 300), limit: 11 },
  { name: "one is as fast as ever", tookMs: [...Array.from({ length: 9 }, () => 30_000), 120], limit: 11 },
];
for (const { name, tookMs, limit } of slow)
  test(`[FA12] ${name}`, () => {
    let state = after(begin(), 1, 1, { tookMs: 100, full: false });
    state = { ...state, window: { ...state.window, answers: 0, fastestMs: Infinity } };
    for (const ms of tookMs) state = after(state, 10, 1, { tookMs: ms });
    assert.equal(state.limit, limit);
  });

test("[FA12] answers within 100 ms are never slow", () => {
  const state = after(begin(), 1, 10, { tookMs: 1, full: false });
  assert.equal(after(state, 10, 10, { tookMs: 99 }).limit, 11);
});

test("[FA12] a server that has become slow for good is measured by what it is now", () => {
  let state = after(begin(), 0, 10, { tookMs: 100, full: false });
  let nowMs = 1_000;
  const limits = new Set<number>();
  for (let i = 0; i < 40; i++, nowMs += 3_000) limits.add((state = after(state, nowMs, state.limit, { tookMs: 500 })).limit);
  assert.ok(limits.has(4), "it goes down first");
  assert.ok(state.limit > 4, "and up again");
});

test("[FA10] a server with room for some is asked about as many at once", () => {
  const room = 20;
  let state = begin(4);
  let nowMs = 0;
  const seen: number[] = [];
  for (let i = 0; i < 400; i++, nowMs += 20) {
    const outcome = state.limit > room ? "overloaded" : "answered";
    state = after(state, nowMs, state.limit, { outcome });
    if (i > 50) seen.push(state.limit);
  }
  assert.ok(Math.min(...seen) >= Math.floor(room * 0.7) && Math.max(...seen) <= room + 1, `${Math.min(...seen)} to ${Math.max(...seen)}`);
});

test("[FA13] the limit stays within its bounds and moves by one step, whatever comes", () =>
  fc.assert(fc.property(
    fc.integer({ min: -5, max: 200 }),
    fc.array(fc.record({ startedMs: fc.nat(60_000), tookMs: fc.integer({ min: -5, max: 70_000 }), outcome: fc.constantFrom("answered", "answered", "overloaded", "lost"), full: fc.boolean(), size: fc.nat(70) }), { maxLength: 60 }),
    (first, seen) => {
      let state = begin(first);
      for (const { size, startedMs, tookMs, outcome, full } of seen)
        for (let i = 0; i < size; i++) {
          const next = learn(state, { startedMs, endedMs: startedMs + tookMs, outcome, full }, usualBounds);
          assert.ok(next.limit >= 4 && next.limit <= 64 && Number.isInteger(next.limit));
          assert.ok([state.limit, state.limit + 1, Math.max(4, Math.floor(state.limit * 0.7))].includes(next.limit));
          state = next;
        }
    }), { numRuns: 100 }));
