import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import type { Clock } from "#services/store/clock.ts";
import { Wheel } from "./wheel.ts";

/** Jumps from one pending call to the next; a wall clock may also be slow to call. */
function clockAt(startMs: number) {
  let nowMs = startMs;
  const pending = new Set<{ dueMs: number; run: () => void }>();
  const clock: Clock = {
    nowMs: () => nowMs,
    monoMs: () => nowMs,
    at(dueMs, run) {
      const call = { dueMs, run };
      pending.add(call);
      return () => { pending.delete(call); };
    },
  };
  const runUntil = (endMs: number, lateMs = 0) => {
    for (;;) {
      const [first] = [...pending].sort((a, b) => a.dueMs - b.dueMs);
      if (!first || first.dueMs > endMs) break;
      pending.delete(first);
      nowMs = Math.max(nowMs, first.dueMs + lateMs);
      first.run();
    }
    nowMs = Math.max(nowMs, endMs);
  };
  return { clock, pending, runUntil, nowMs: () => nowMs };
}

const startMs = 1_767_225_600_123;
const hourMs = 3_600_000;
const waits = fc.oneof(fc.integer({ min: -2_000, max: 3_000 }), fc.integer({ min: 0, max: 2 * hourMs }), fc.integer({ min: 0, max: 72 * hourMs }));
const moves = fc.array(fc.oneof(
  fc.record({ do: fc.constant("arm" as const), slot: fc.integer({ min: 0, max: 200 }), ms: waits }),
  fc.record({ do: fc.constant("disarm" as const), slot: fc.integer({ min: 0, max: 200 }), ms: fc.constant(0) }),
  fc.record({ do: fc.constant("run" as const), slot: fc.constant(0), ms: fc.oneof(fc.integer({ min: 0, max: 5_000 }), fc.integer({ min: 0, max: 20 * hourMs })) }),
), { maxLength: 80 });

test("[RS1] whatever is armed, moved and taken back: each fires once, at its time", () => {
  fc.assert(fc.property(moves, (moves) => {
    const { clock, pending, runUntil, nowMs } = clockAt(startMs);
    const due = new Map<number, number>();
    const wheel = new Wheel(clock, (slot) => {
      const dueMs = due.get(slot);
      assert.ok(dueMs !== undefined, `slot ${slot} fired though nothing was due`);
      assert.equal(Math.max(dueMs, armedAt.get(slot) ?? 0), nowMs(), `slot ${slot} at its time`);
      due.delete(slot);
    });
    const armedAt = new Map<number, number>();
    for (const { do: what, slot, ms } of moves) {
      if (what === "run") runUntil(nowMs() + ms);
      else if (what === "disarm") {
        wheel.disarm(slot);
        due.delete(slot);
      } else {
        wheel.arm(slot, nowMs() + ms);
        due.set(slot, nowMs() + ms);
        armedAt.set(slot, nowMs());
      }
      assert.ok(pending.size <= 1);
      assert.equal(wheel.size, due.size);
    }
    runUntil(nowMs() + 100 * hourMs);
    assert.deepEqual([...due], []);
    assert.equal(pending.size, 0);
  }), { numRuns: 300 });
});

test("[RS1] a clock that is late, or leaps, fires everything that is due, in order", () => {
  const { clock, runUntil } = clockAt(startMs);
  const fired: number[] = [];
  const wheel = new Wheel(clock, (slot) => { fired.push(slot); });
  for (const [slot, ms] of [[1, 90_000_000], [2, 500], [3, 7_000], [4, 6_999], [5, 900_000]] as const) wheel.arm(slot, startMs + ms);
  runUntil(startMs + 1_000, 200_000_000);
  assert.deepEqual(fired, [2, 4, 3, 5, 1]);
});

test("[RS1] what is armed again as it fires waits for the next turn", () => {
  const { clock, runUntil } = clockAt(startMs);
  let count = 0;
  const wheel = new Wheel(clock, (slot) => { if (++count < 3) wheel.arm(slot, startMs); });
  wheel.arm(7, startMs);
  runUntil(startMs);
  assert.equal(count, 3);
  wheel.arm(7, startMs + 1);
  wheel.stop();
  runUntil(startMs + 10_000);
  assert.deepEqual([count, wheel.size], [3, 0]);
});
