import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import type { StoredSpan } from "#protocol/trace/span.ts";
import { waterfall, type WaterfallOptions } from "./waterfall.ts";

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const commitMs = Date.parse("2026-03-01T12:00:00Z");

/** A span by hand: times in milliseconds after the commit, ids as short words. */
const span = (spanId: string, parentId: string | undefined, name: string, from: number, to: number, more: Partial<StoredSpan> = {}): StoredSpan => ({
  traceId, spanId, ...(parentId !== undefined && { parentId }), name, startMs: commitMs + from, endMs: commitMs + to, ...more,
});
const change = {
  "vcs.repository.url.full": "https://git.example/fleet/podinfo",
  "vcs.ref.head.revision": "4c1d9e2",
  "vcs.ref.head.name": "main",
  "vcs.change.title": "Bump podinfo",
};
const unit = (name: string) => ({ "gitops.unit": `kustomization/apps/${name}`, "cicd.pipeline.action.name": "SYNC" });

const root = span("r", undefined, "SYNC podinfo@4c1d9e2", 0, 1000, { attributes: change });
const fetched = span("f", "r", "fetch", 0, 1000);
const run = span("k", "r", "SYNC kustomization/apps/dev", 1000, 4000, { attributes: unit("dev") });
const steps = [span("b", "k", "build", 1000, 2000), span("h", "k", "health", 3000, 4000)];
const whole = [root, fetched, run, ...steps];

const draw = (spans: StoredSpan[], options: Partial<WaterfallOptions> = {}) => waterfall(spans, { width: 80, ascii: true, ...options });

test("[TR10] a change, drawn: bars to scale, a gap where the unit waited, and where the time went", () =>
  assert.equal(
    draw(whole),
    [
      'SYNC podinfo@4c1d9e2  "Bump podinfo"',
      "https://git.example/fleet/podinfo  main  2026-03-01T12:00:00Z  trace 4bf92f3577~",
      "* 1 unit done, 4.00s after the commit",
      "",
      "                                         0         1s       2s        3s  4.00s",
      "SYNC podinfo@4c1d9e2              4.00s |===================---------==========|",
      "|- fetch                          1.00s |##########                            |",
      "`- SYNC kustomization/apps/dev    3.00s |         ==========---------==========|",
      "   |- build                       1.00s |         ##########                   |",
      "   `- health                      1.00s |                            ##########|",
      "",
      "time went to: health 1.00s (25%), waiting 1.00s (25%), build 1.00s (25%), fetch 1.00s (25%)",
      "",
    ].join("\n"),
  ));

const verdicts: { why: string; spans: StoredSpan[]; says: RegExp }[] = [
  { why: "done", spans: whole, says: /^\* 1 unit done, 4\.00s after the commit$/m },
  { why: "a unit that failed", spans: [root, { ...run, error: { type: "BuildFailed", message: "bad" } }], says: /^x 1 of 1 units failed/m },
  {
    why: "a unit that failed and then succeeded counts as done",
    spans: [root, { ...run, error: { type: "BuildFailed", message: "bad" } }, span("k2", "r", run.name, 5000, 6000, { attributes: unit("dev") })],
    says: /^\* 1 unit done/m,
  },
  { why: "a unit whose own span is not stored yet", spans: [root, ...steps], says: /^~ not finished/m },
  { why: "a failed fetch, before any unit", spans: [root, { ...fetched, error: { type: "X", message: "" } }], says: /^x failed, 1\.00s after the commit$/m },
  { why: "a trace that no commit caused", spans: [span("d", undefined, "SYNC drift", 0, 70)], says: /^\* done, in 70ms$/m },
];
for (const { why, spans, says } of verdicts) test(`[TR10] verdict: ${why}`, () => assert.match(draw(spans), says));

const rows: { why: string; spans: StoredSpan[]; options?: Partial<WaterfallOptions>; shows: RegExp[]; hides?: RegExp[] }[] = [
  {
    why: "an error stands below its row",
    spans: [root, { ...fetched, error: { type: "UpstreamUnreachable", message: "no answer" } }],
    shows: [/`- x fetch.*\n +UpstreamUnreachable: no answer/],
  },
  {
    why: "children of an unfinished unit hang under a stand-in that names it",
    spans: [root, span("b", "gone", "build", 1000, 2000, { attributes: { "gitops.unit": "kustomization/apps/dev" } })],
    shows: [/`- ~ SYNC kustomization\/dev \(not/, /\n {3}`- build/],
  },
  {
    why: "a change that continues an outside trace is still the top row",
    spans: [{ ...root, parentId: "00f067aa0ba902b7" }, fetched],
    shows: [/\nSYNC podinfo@4c1d9e2 /],
    hides: [/not finished/],
  },
  {
    why: "a commit noticed days later: the wait is cut out of the axis and said",
    spans: [span("r", undefined, root.name, -3 * 86_400_000, 1000, { attributes: change }), fetched, run, ...steps],
    shows: [/4\.00s after it was noticed, 3d0h after the commit/, /\|\/\/=/, /3d0h in which nothing ran: not to scale/],
  },
  {
    why: "of many children the failed and the longest are kept",
    spans: [
      root,
      ...Array.from({ length: 100 }, (_, i) => span(`c${i}`, "r", `apply c${i}`, i, i + 1 + (i === 50 ? 500 : 0))),
      span("bad", "r", "apply bad", 60, 61, { error: { type: "ObjectInvalid", message: "no" } }),
    ],
    options: { mostChildren: 5 },
    shows: [/x apply bad/, /apply c50/, /`- 97 more, 1ms at most/],
  },
  {
    why: "escape sequences in names and messages are taken out",
    spans: [span("e", undefined, "apply \u001b[2J\u009bevil\u202e", 0, 5, { error: { type: "X", message: "a\r\nb\u0007" } })],
    shows: [/apply \[2J evil/, /X: a b/],
    // eslint-disable-next-line no-control-regex -- control characters are what is looked for
    hides: [/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/],
  },
  { why: "without colour there is no escape sequence", spans: whole, shows: [/fetch/], hides: [/\u001b/] }, // eslint-disable-line no-control-regex
  { why: "with colour there is", spans: whole, options: { colour: true }, shows: [/\u001b\[36m/] }, // eslint-disable-line no-control-regex
  { why: "box drawing", spans: whole, options: { ascii: false }, shows: [/├─ fetch/, /└─ SYNC/, /━┄/, /█/] },
  { why: "no spans", spans: [], shows: [/^no spans\n$/] },
  {
    why: "parents in a circle do not hang it",
    spans: [span("a", "b", "one", 0, 1), span("b", "a", "two", 0, 1), span("c", "a", "three", 0, 1)],
    shows: [/one/, /two/, /three/],
  },
  { why: "a span that is its own parent", spans: [span("a", "a", "one", 0, 1)], shows: [/one/] },
];
for (const { why, spans, options, shows, hides = [] } of rows)
  test(`[TR10] ${why}`, () => {
    const text = draw(spans, options);
    for (const pattern of shows) assert.match(text, pattern);
    for (const pattern of hides) assert.doesNotMatch(text, pattern);
  });

test("[TR11] whatever the spans, no line is wider than the terminal and every span is accounted for", () =>
  fc.assert(
    fc.property(
      fc.array(fc.record({ parent: fc.nat(20), from: fc.nat(100_000), length: fc.nat(100_000), failed: fc.boolean() }), { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 60, max: 200 }),
      (shapes, width) => {
        const spans = shapes.map(({ parent, from, length, failed }, i) =>
          span(`s${i}`, parent === i ? undefined : `s${parent}`, `step${i}x`, from, from + length, failed ? { error: { type: "X", message: "m".repeat(300) } } : {}),
        );
        const lines = draw(spans, { width }).split("\n");
        for (const line of lines.filter((line) => !line.startsWith("time went to"))) assert.ok(line.length <= width, line);
        for (let i = 0; i < spans.length; i++) assert.equal(lines.filter((line) => line.includes(`step${i}x`) && line.includes("|")).length, 1);
      },
    ),
  ));
