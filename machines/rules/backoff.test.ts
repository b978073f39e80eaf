import assert from "node:assert/strict";
import test from "node:test";
import { backoffMs, contestedMs, jitteredMs, retryMs } from "./backoff.ts";

const waits = [
  { failures: 1, ms: 750 },
  { failures: 2, ms: 1_500 },
  { failures: 11, ms: 768_000, why: "the last step below the ceiling" },
  { failures: 12, ms: 900_000 },
  { failures: 5_000, ms: 900_000, why: "2 ** 4999 is Infinity; the ceiling still holds" },
];
for (const { failures, ms, why = "" } of waits) test(`[RT1] ${failures} failures -> ${ms} ${why}`, () => assert.equal(backoffMs(failures), ms));
for (const failures of [0, -1, 1.5, Number.NaN]) test(`[RT1] ${failures} failures are a bug`, () => assert.throws(() => backoffMs(failures), RangeError));

test("[RT2] intervals spread by 5 % either way, and stay the same for the same actor", () => {
  const moved = Array.from({ length: 500 }, (_, i) => jitteredMs(600_000, `kustomization/apps/u${i}`));
  assert.ok(moved.every((ms) => ms >= 570_000 && ms <= 630_000));
  assert.ok(Math.min(...moved) < 580_000 && Math.max(...moved) > 620_000 && new Set(moved).size > 450);
  assert.equal(jitteredMs(600_000, "a"), jitteredMs(600_000, "a"));
  assert.equal(jitteredMs(0, "a"), 0);
});

const contests = [[1, 0], [2, 0], [3, 0], [4, 750], [5, 1_500], [40, 900_000]] as const;
for (const [corrections, ms] of contests) test(`[RT8] correction ${corrections} -> ${ms}`, () => assert.equal(contestedMs(corrections), ms));

const retries = [
  { intervalMs: 600_000, passing: false, failures: 1, ms: 600_000 },
  { intervalMs: 600_000, passing: true, failures: 1, ms: 750 },
  { intervalMs: 600_000, passing: true, failures: 0, ms: 750, why: "not counted yet" },
  { intervalMs: 600_000, passing: true, failures: 30, ms: 60_000 },
  { intervalMs: 10_000, passing: true, failures: 30, ms: 10_000, why: "never later than asked for" },
];
for (const { ms, why = "", ...given } of retries)
  test(`[RT6] ${JSON.stringify(given)} -> ${ms} ${why}`, () => assert.equal(retryMs(given.intervalMs, given.passing, given.failures), ms));
