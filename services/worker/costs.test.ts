import assert from "node:assert/strict";
import test from "node:test";
import { Costs } from "./costs.ts";

/** Works that long in every minute, as measured every ten seconds. */
function work(costs: Costs, fromMinute: number, minutes: number, msPerMinute: number): Record<string, number> {
  let said: Record<string, number> = {};
  for (let i = 1; i <= minutes * 6; i++) {
    if (msPerMinute > 0) costs.add(7, msPerMinute / 6);
    said = costs.turn(fromMinute * 60_000 + i * 10_000);
  }
  return said;
}

test("[OW49] what a partition costs approaches what it has cost lately, by half in a minute", () => {
  const costs = new Costs(0);
  assert.deepEqual(work(costs, 0, 1, 1_000), { 7: 500 });
  assert.deepEqual(work(costs, 1, 9, 1_000), { 7: 999 });
  assert.deepEqual(work(costs, 10, 1, 0), { 7: 500 });
});

test("[OW49] what costs next to nothing is not told", () => {
  const costs = new Costs(0);
  work(costs, 0, 1, 1_000);
  assert.deepEqual(work(costs, 1, 12, 0), {});
  assert.equal(costs.total(), 0);
});

test("[OW49] a measurement that comes late or at once counts the same per minute", () => {
  const rows = [[60_000], [1, 60_000], [30_000, 60_000], [59_999, 60_000]];
  const told = rows.map((turns) => {
    const costs = new Costs(0);
    costs.add(7, 1_000);
    return turns.map((nowMs) => costs.turn(nowMs)).at(-1)?.[7] ?? 0;
  });
  assert.ok(told.every((ms) => Math.abs(ms - 500) <= 200), told.join());
});

test("[OW49] what was let go costs nothing any more, and the sum is of the rest", () => {
  const costs = new Costs(0);
  costs.add(1, 600);
  costs.add(2, 1_200);
  assert.deepEqual(costs.turn(60_000), { 1: 300, 2: 600 });
  assert.equal(costs.total(), 900);
  costs.drop(2);
  assert.deepEqual([costs.total(), costs.turn(60_001)], [300, { 1: 300 }]);
});
