import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import test from "node:test";
import { parseTraceparent } from "#protocol/trace/context.ts";
import { changeOf, childOf, freshTraceparent } from "./ids.ts";

const commit = "4c1d9e2f00000000000000000000000000000001";
const change = (url: string, more: object = {}) => changeOf({ url, commit, committedAtMs: 1_000, ...more });
const traceIdOf = (traceparent: string) => parseTraceparent(traceparent)!.traceId;
const outside = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

test("[TR1] the trace id is the first 16 bytes of sha256(url, newline, commit)", () => {
  const expected = createHash("sha256").update(`https://git.example/fleet/podinfo\n${commit}`).digest("hex").slice(0, 32);
  assert.equal(traceIdOf(change("https://git.example/fleet/podinfo").traceparent), expected);
});

const spellings = [
  "https://git.example/fleet/podinfo.git",
  "https://git.example/fleet/podinfo/",
  "https://GIT.example:443/fleet/podinfo",
  "https://bot:hunter2@git.example/fleet/podinfo.git",
];
for (const url of spellings)
  test(`[TR1] ${url} is the same repository`, () =>
    assert.equal(change(url).traceparent, change("https://git.example/fleet/podinfo").traceparent));

const others = ["https://git.example/fleet/podinfo2", "ssh://git.example/fleet/podinfo", "https://git.example:8443/fleet/podinfo"];
for (const url of others)
  test(`[TR1] ${url} is another repository`, () =>
    assert.notEqual(traceIdOf(change(url).traceparent), traceIdOf(change("https://git.example/fleet/podinfo").traceparent)));

test("[TR1] another commit is another trace", () =>
  assert.notEqual(
    change("https://git.example/a").traceparent,
    changeOf({ url: "https://git.example/a", commit: commit.replace("4", "5"), committedAtMs: 0 }).traceparent,
  ));

const rows = [
  { given: outside, continued: true },
  { given: outside.toUpperCase(), continued: true, why: "hex in capitals is tolerated" },
  { given: outside.replace(/01$/, "00"), continued: true, why: "an outside 'not sampled' does not hide a change" },
  { given: "00-00000000000000000000000000000000-00f067aa0ba902b7-01", continued: false },
  { given: "rm -rf /", continued: false },
  { given: "", continued: false },
];
for (const { given, continued, why = "" } of rows)
  test(`[TR2] traceparent ${JSON.stringify(given)} ${continued ? "is continued" : "is ignored"} ${why}`, () => {
    const { traceparent, parent } = change("https://git.example/a", { traceparent: given });
    const own = parseTraceparent(traceparent)!;
    assert.equal(own.traceId === outside.slice(3, 35), continued);
    assert.equal(parent !== undefined, continued);
    assert.ok(own.sampled);
    if (parent) assert.notEqual(own.spanId, parseTraceparent(parent)!.spanId);
  });

test("[TR3] the root starts at commit time and names the change, without credentials", () => {
  const { name, startMs, attributes } = change("https://bot:hunter2@git.example/fleet/podinfo.git", { branch: "main" });
  assert.equal(name, "SYNC podinfo@4c1d9e2");
  assert.equal(startMs, 1_000);
  assert.deepEqual(attributes, {
    "cicd.pipeline.action.name": "SYNC",
    "vcs.repository.url.full": "https://git.example/fleet/podinfo",
    "vcs.repository.name": "podinfo",
    "vcs.ref.head.revision": commit,
    "vcs.ref.head.name": "main",
    "vcs.ref.head.type": "branch",
  });
});

test("[TR4] a child's context depends on parent and label alone", () => {
  const { traceparent } = change("https://git.example/a");
  assert.equal(childOf(traceparent, "fetch"), childOf(traceparent, "fetch"));
  assert.notEqual(childOf(traceparent, "fetch"), childOf(traceparent, "build"));
  assert.notEqual(childOf(childOf(traceparent, "a"), "fetch"), childOf(childOf(traceparent, "b"), "fetch"));
  assert.equal(traceIdOf(childOf(traceparent, "fetch")), traceIdOf(traceparent));
});

test("[TR4] a child of nothing valid starts a trace of its own", () =>
  assert.ok(parseTraceparent(childOf("nonsense", "fetch"))));

test("a fresh trace is never the same twice", () => assert.notEqual(freshTraceparent(), freshTraceparent()));
