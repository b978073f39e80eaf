import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import {
  condition,
  conditionMeanings,
  findCondition,
  removeCondition,
  setCondition,
  type Condition,
  type ConditionType,
  type NewCondition,
} from "./conditions.ts";

const said: NewCondition = {
  type: "Ready",
  status: "True",
  reason: "Succeeded",
  message: "stored",
  observedGeneration: 3,
};
const then = "2026-01-02T03:04:05Z";
const now = "2026-01-02T04:00:00.987Z";
const nowSecond = "2026-01-02T04:00:00Z";
const before: Condition[] = [{ ...said, lastTransitionTime: then }];

const moves: { what: string; next: NewCondition; time: string }[] = [
  { what: "nothing changes", next: said, time: then },
  { what: "only the generation changes", next: { ...said, observedGeneration: 4 }, time: then },
  { what: "the status changes", next: { ...said, status: "False" }, time: nowSecond },
  { what: "the reason changes", next: { ...said, reason: "Failed" }, time: nowSecond },
  { what: "the message changes", next: { ...said, message: "stored anew" }, time: nowSecond },
];
for (const { what, next, time } of moves)
  test(`[API12] ${what}: the transition time is ${time}`, () =>
    assert.deepEqual(setCondition(before, next, now), [{ ...next, lastTransitionTime: time }]));

const times = [
  { iso: "2026-01-02T04:00:00.987Z", second: "2026-01-02T04:00:00Z" },
  { iso: "2026-01-02T04:00:00Z", second: "2026-01-02T04:00:00Z" },
  { iso: "2026-01-02T04:00:00.5+02:00", second: "2026-01-02T04:00:00+02:00" },
];
for (const { iso, second } of times)
  test(`[API12] ${iso} is kept as ${second}`, () =>
    assert.equal(setCondition([], said, iso)[0]?.lastTransitionTime, second));

const messages = [
  { length: 32_768, message: "x".repeat(32_768), kept: "x".repeat(32_768) },
  { length: 32_769, message: "x".repeat(32_769), kept: `${"x".repeat(32_765)}...` },
  {
    length: 40_000,
    message: `${"x".repeat(32_764)}😀${"x".repeat(7_234)}`,
    kept: `${"x".repeat(32_764)}...`,
    why: "no half emoji",
  },
];
for (const { length, message, kept, why = "" } of messages)
  test(`[API13] a message of ${length} characters ${why}`, () =>
    assert.equal(setCondition([], { ...said, message }, now)[0]?.message, kept));

test("[API13] a message that was cut before is no change", () => {
  const long = { ...said, message: "x".repeat(50_000) };
  const [once] = setCondition([], long, then);
  assert.equal(setCondition(once ? [once] : [], long, now)[0]?.lastTransitionTime, then);
});

const types = Object.keys(conditionMeanings) as ConditionType[];

test("[API14] Stalled, Reconciling, Ready come first, then the newest generation, then the name", () => {
  const list = [...types, "AddedByOthers"].map((type, i) => ({
    ...said,
    type,
    observedGeneration: i % 2,
    lastTransitionTime: then,
  }));
  const order = setCondition(list, { ...said, observedGeneration: 0 }, now).map(
    ({ type, observedGeneration }) => `${observedGeneration} ${type}`,
  );
  assert.deepEqual(
    order.slice(0, 3).map((line) => line.slice(2)),
    ["Stalled", "Reconciling", "Ready"],
  );
  assert.deepEqual(
    order.slice(3),
    order.slice(3).sort((a, b) => Number(b[0]) - Number(a[0]) || (a < b ? -1 : 1)),
  );
  assert.equal(order.length, list.length);
});

test("[API14] the order of the list given does not matter", () => {
  const list = types.map((type) => ({ ...said, type, lastTransitionTime: then }));
  fc.assert(
    fc.property(fc.shuffledSubarray(list, { minLength: list.length }), (shuffled) =>
      assert.deepEqual(setCondition(shuffled, said, now), setCondition(list, said, now)),
    ),
  );
});

test("[API14] conditions of other writers are kept", () => {
  const foreign = { ...said, type: "example.com/Audited", lastTransitionTime: then };
  assert.deepEqual(
    setCondition([foreign], said, now).map(({ type }) => type),
    ["Ready", "example.com/Audited"],
  );
  assert.deepEqual(removeCondition([foreign, ...before], "Ready"), [foreign]);
});

test("[API14] find and remove", () => {
  assert.equal(findCondition(before, "Ready"), before[0]);
  assert.equal(findCondition(before, "Stalled"), undefined);
  assert.deepEqual(removeCondition(before, "Stalled"), before);
});

test("[API13] whatever is said, the API server's own rules for a condition hold", () => {
  fc.assert(
    fc.property(
      fc.string({ size: "xlarge" }),
      fc.constantFrom(...types),
      fc.nat(),
      (message, type, observedGeneration) => {
        for (const one of setCondition(before, { ...said, type, message, observedGeneration }, now))
          condition.parse(one);
      },
    ),
    { numRuns: 50 },
  );
});
