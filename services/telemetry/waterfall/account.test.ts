import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { accountOf } from "./account.ts";
import { axisOf, gapsOf } from "./axis.ts";
import { duration, fit, printable } from "./format.ts";

const leaf = (name: string, startMs: number, endMs: number) => ({ traceId: "", spanId: "", name, startMs, endMs });

const accounts = [
  { leaves: [leaf("build", 0, 4), leaf("apply x", 4, 10)], shares: { "apply": 6, build: 4 } },
  { leaves: [leaf("fetch", 2, 4), leaf("apply", 6, 10)], shares: { apply: 4, fetch: 2, waiting: 2, "until noticed": 2 } },
  { leaves: [leaf("a", 0, 10), leaf("b", 3, 5)], shares: { a: 10 }, why: "b held up nothing" },
  { leaves: [leaf("a", 0, 6), leaf("b", 3, 10)], shares: { b: 7, a: 3 }, why: "the one that ends last is charged" },
  { leaves: [leaf("a", 0, 7)], shares: { a: 7, waiting: 3 } },
  { leaves: [], shares: { waiting: 10 } },
];
for (const { leaves, shares, why = "" } of accounts)
  test(`[TR11] ${leaves.map(({ name, startMs, endMs }) => `${name} ${startMs}-${endMs}`).join(", ")} ${why}`, () =>
    assert.deepEqual(Object.fromEntries(accountOf({ startMs: 0, endMs: 10 }, leaves).map(({ step, ms }) => [step, ms])), shares));

const intervals = fc.array(fc.tuple(fc.nat(1000), fc.nat(1000)).map(([a, b]) => ({ startMs: Math.min(a, b), endMs: Math.max(a, b) })));
const whole = { startMs: 0, endMs: 1000 };

test("[TR11] the shares always add up to the whole", () =>
  fc.assert(
    fc.property(intervals, (parts) => {
      const shares = accountOf(whole, parts.map(({ startMs, endMs }, i) => leaf(`s${i % 3}`, startMs, endMs)));
      assert.equal(shares.reduce((sum, { ms }) => sum + ms, 0), 1000);
    }),
  ));

test("[TR10] the axis keeps the order of instants, fills its width, and finds its way back", () =>
  fc.assert(
    fc.property(intervals, fc.nat(1000), fc.nat(1000), (busy, a, b) => {
      const axis = axisOf(whole, busy, 80);
      assert.equal(axis.columnOf(0), 0);
      assert.ok(Math.abs(axis.columnOf(1000) - 80) < 1e-6);
      assert.ok(axis.columnOf(Math.min(a, b)) <= axis.columnOf(Math.max(a, b)) + 1e-9);
      const back = axis.msAt(axis.columnOf(a));
      if (back !== undefined && !axis.cuts.some((cut) => a >= cut.startMs && a <= cut.endMs)) assert.ok(Math.abs(back - a) < 1e-6);
    }),
  ));

test("[TR10] gaps and intervals together cover the whole, and a gap touches no interval", () =>
  fc.assert(
    fc.property(intervals, (busy) => {
      const gaps = gapsOf(whole, busy);
      for (const gap of gaps)
        for (const { startMs, endMs } of busy) assert.ok(endMs <= gap.startMs || startMs >= gap.endMs || startMs === endMs);
      assert.deepEqual(gapsOf(whole, [...busy, ...gaps]), []);
    }),
  ));

const durations = [
  { ms: 0, text: "0ms" }, { ms: 0.4, text: "0.4ms" }, { ms: 12.3, text: "12ms" }, { ms: 999.6, text: "1.00s" }, { ms: 1_240, text: "1.24s" },
  { ms: 9_996, text: "10.0s" }, { ms: 59_970, text: "1m00s" }, { ms: 192_000, text: "3m12s" }, { ms: 7_500_000, text: "2h05m" },
  { ms: 86_400_000 * 12 + 10_800_000, text: "12d3h" },
];
for (const { ms, text } of durations) test(`[TR10] ${ms} ms reads ${text}`, () => assert.equal(duration(ms), text));

test("[TR10] untrusted text becomes one harmless line", () => assert.equal(printable(" a\u001b[31m\nb\u2028c\u202ed "), "a [31m b c d"));
test("[TR10] a cut text says so", () => assert.deepEqual([fit("abc", 3), fit("abcd", 3), fit("abc", 0)], ["abc", "ab…", ""]));
