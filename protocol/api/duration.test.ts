import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { Fault } from "#protocol/errors/fault.ts";
import { formatDuration, parseDuration } from "./duration.ts";

const read = [
  { text: "1h30m", ms: 5_400_000 },
  { text: "1.5h", ms: 5_400_000 },
  { text: "500ms", ms: 500 },
  { text: "10m", ms: 600_000 },
  { text: "60s", ms: 60_000 },
  { text: "2m0.5s", ms: 120_500 },
  { text: "1s1s", ms: 2_000, why: "a unit may come twice in Go" },
  { text: "1.s", ms: 1_000, why: "digits after the point may be missing in Go" },
  { text: ".5s", ms: 500, why: "and so may those before it" },
  { text: "1500us", ms: 1.5, why: "a part of a millisecond is kept" },
  { text: "0", ms: 0, why: "the one number Go takes without a unit" },
  { text: "0s", ms: 0 },
  { text: "893353197.549s", ms: 893_353_197_549, why: "no error of binary fractions" },
  { text: "2562047h47m16.854775807s", ms: 9_223_372_036_854.775, why: "the longest Go can hold" },
  { text: "2562047h47m16.854775808s", throws: true, why: "a nanosecond more" },
  { text: `${"1".repeat(100)}s`, throws: true, why: "longer than any sensible text" },
  { text: "9999999h", throws: true, why: "longer than Go can hold" },
  ...["", "10", "m", "1 m", " 1m", "1m ", "-1m", "+1m", "1d", "1h30", "m1", "1..5s", "."].map((text) => ({
    text,
    throws: true,
  })),
];
for (const { text, ms, throws, why = "" } of read as { text: string; ms?: number; throws?: true; why?: string }[])
  test(`[API10] "${text}" -> ${throws ? "InvalidObject" : `${ms} ms`} ${why}`, () => {
    if (throws)
      assert.throws(
        () => parseDuration(text),
        (fault) => fault instanceof Fault && fault.code === "InvalidObject",
      );
    else assert.equal(parseDuration(text), ms);
  });

const written = [
  { ms: 0, text: "0s" },
  { ms: 0.0000004, text: "0s", why: "less than half a nanosecond" },
  { ms: 0.0015, text: "1.5µs" },
  { ms: 0.000007, text: "7ns" },
  { ms: 250, text: "250ms" },
  { ms: 1.25, text: "1.25ms" },
  { ms: 1_000, text: "1s" },
  { ms: 1_500, text: "1.5s" },
  { ms: 1_999.9999999, text: "2s", why: "to the nearest nanosecond" },
  { ms: 59_999, text: "59.999s" },
  { ms: 60_000, text: "1m0s" },
  { ms: 600_000, text: "10m0s" },
  { ms: 3_600_000, text: "1h0m0s" },
  { ms: 5_430_500, text: "1h30m30.5s" },
  { ms: 90_000_000, text: "25h0m0s", why: "Go knows no days" },
  { ms: -1_500, text: "-1.5s" },
];
for (const { ms, text, why = "" } of written)
  test(`[API11] ${ms} ms -> ${text} ${why}`, () => assert.equal(formatDuration(ms), text));

test("[API11] what is written reads back as the same number of milliseconds", () => {
  fc.assert(fc.property(fc.nat(2 ** 40), (ms) => assert.equal(parseDuration(formatDuration(ms)), ms)));
});
