/** Every chart, whatever happens to it in whatever order. */
import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import type { AnyEventObject, AnyStateMachine } from "xstate";
import { faults, type FaultCode } from "#protocol/errors/fault.ts";
import { parseActorRecord, type ActorRecord } from "#protocol/records/actor.ts";
import { cluster } from "./cluster/machine.ts";
import { generator, type GeneratorContext } from "./generator/machine.ts";
import { generatorStatus } from "./generator/status.ts";
import { image, type ImageContext } from "./image/machine.ts";
import { imageUpdate, type ImageUpdateContext } from "./image-update/machine.ts";
import { imageUpdateStatus } from "./image-update/status.ts";
import { imageStatus } from "./image/status.ts";
import { kustomization, type KustomizationContext } from "./kustomization/machine.ts";
import { kustomizationStatus } from "./kustomization/status.ts";
import { release, type ReleaseContext } from "./release/machine.ts";
import { releaseStatus } from "./release/status.ts";
import { source, type SourceContext } from "./source/machine.ts";
import { sourceStatus } from "./source/status.ts";
import { answered, begin, failed, step } from "./step.ts";

const flag = fc.boolean();
const facts = fc.record({
  uid: fc.constantFrom("u1", "u2"), generation: fc.integer({ min: 1, max: 4 }), deleting: fc.oneof(fc.constant(false), fc.constant(false), flag), finalizer: flag,
  suspended: fc.oneof(fc.constant(false), fc.constant(false), flag), requestedAt: fc.constantFrom("", "q1", "q2"), handledAt: fc.constantFrom("", "q1"),
  static: fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: flag }),
  intervalMs: fc.constantFrom(0, 60_000), timeoutMs: fc.constant(30_000), retryMs: fc.constantFrom(1, 60_000),
  source: fc.constant("gitrepository/apps/shop"), prune: flag, health: flag, deletion: fc.constantFrom("Delete", "Orphan", "WaitForTermination"),
  place: fc.record({ name: fc.constantFrom("shop", "store"), namespace: fc.constant("apps"), storageNamespace: fc.constantFrom("apps", "releases") }),
  drift: fc.constantFrom("enabled", "warn", "disabled"), forceAt: fc.constantFrom(undefined, "q1", "q2"), resetAt: fc.constantFrom(undefined, "q2"),
  install: fc.record({ retries: fc.constantFrom(-1, 0, 2), ignoreTestFailures: flag, remediateLast: flag }),
  upgrade: fc.record({ retries: fc.constantFrom(0, 2), ignoreTestFailures: flag, remediateLast: flag, strategy: fc.constantFrom("rollback", "uninstall"), reinstalls: flag, retryMs: fc.constantFrom(undefined, 300_000) }),
  test: fc.record({ enabled: flag, ignoreFailures: flag }), timeouts: fc.constant({ install: 1, upgrade: 1, rollback: 1, uninstall: 1, test: 1 }),
  invalid: fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.constant({ code: "InvalidObject", subject: "it" }) }),
});

const n = fc.integer({ min: 1, max: 3 });
const names = fc.subarray(["a", "b", "c"]);
const entries = names.map((list) => list.map((name) => ({ id: `apps_${name}__ConfigMap`, v: "v1", uid: name, digest: name, owned: name })));
const code = fc.constantFrom(...(Object.keys(faults) as FaultCode[]));
const fault = fc.option(code.map((which) => ({ code: which, subject: "it" })), { nil: undefined });
const artifact = n.map((i) => ({ revision: `r${i}`, digest: `d${i}`, sizeBytes: 1, path: `p${i}`, storedAt: "" }));

const stored = fc.record({
  name: fc.constant("shop"), namespace: fc.constant("apps"), version: n, status: fc.constantFrom("deployed", "failed", "superseded", "uninstalled", "uninstalling", "pending-install", "pending-upgrade"),
  chartName: fc.constantFrom("shop", "store"), chartVersion: n.map((i) => `${i}.0.0`), configDigest: fc.constantFrom("c1", "c2"), digest: n.map((i) => `d${i}`),
  firstDeployed: fc.constant("t"), lastDeployed: fc.constant("t"), intent: fc.constantFrom(undefined, "u1.1", "u1.2"),
});
const releases = fc.array(stored, { maxLength: 2 });
const known = fc.record({
  history: releases, storageNamespace: fc.constantFrom("", "apps"), chart: fc.constant(""), failures: n, installFailures: n, upgradeFailures: n, lastAction: fc.constantFrom(undefined, "install", "upgrade"),
  postRenderersDigest: fc.constantFrom("", "p"), commonMetadataDigest: fc.constant(""), inventory: entries, observedGeneration: n, handledForceAt: fc.constant(""), handledResetAt: fc.constant(""), conditions: fc.constant([]),
});

/** What an effect may answer. */
const outputs: Record<string, fc.Arbitrary<unknown>> = {
  resolve: fc.record({ revision: n.map((i) => `r${i}`), stored: flag, madeOf: fc.option(n.map((i) => [`r${i} d${i}`]), { nil: undefined }) }),
  fetch: fc.record({ artifact, subject: fc.constant("s"), traceparent: fc.constant("") }),
  generate: fc.record({ artifacts: names.map((list) => list.map((name) => ({ name, revision: "r1", digest: "d1", sizeBytes: 1, path: "p1", storedAt: "" }))), sourcesDigest: fc.constant("s1"), madeOf: n.map((i) => [`r${i} d${i}`]) }),
  look: fc.oneof(
    fc.record({ scan: fc.record({ image: fc.constant("shop"), exclusionList: fc.constant([]), revision: n.map(String), tagCount: n, latestTags: names, scannedAt: fc.constant(""), artifact }), traceparent: fc.constant("") }),
    fc.record({ election: fc.record({ latest: n.map((i) => ({ name: "shop", tag: `v${i}` })), madeOf: n.map((i) => [`r${i} d${i}`]) }), traceparent: fc.constant("") }),
  ),
  edit: fc.record({
    revision: n.map((i) => `r${i}`), elected: fc.constant({}), ranAt: fc.constant("t"), arrivedAt: fc.constantFrom(undefined, "t"), remarks: names,
    intent: fc.option(fc.record({ commit: n.map(String), branch: fc.constantFrom("main", "auto"), from: fc.constant(null), url: fc.constant("https://git.example.com/shop"), isOther: flag, isOnBranch: flag, madeOf: n.map(String), message: fc.constant("m"), pack: fc.constant({ path: "p", digest: "d" }), revision: fc.constant("r1"), elected: fc.constant({}), traceparent: fc.constant(""), proposes: fc.constantFrom(undefined, { base: "main" }) }), { nil: undefined }),
  }),
  push: fc.record({ moved: flag, at: fc.constant("t"), refused: fc.constantFrom(undefined, "no") }),
  propose: fc.record({ url: fc.constant("https://git.example.com/shop/pulls/1"), created: flag }),
  findSource: fc.record({ artifact, traceparent: fc.constant(""), inventory: entries }),
  build: fc.record({ renderKey: fc.constantFrom("k1", "k2"), readSet: fc.constant({ files: [], dirs: [] }), objects: entries }),
  apply: fc.record({ entries, changes: entries.map((list) => list.map(({ id }) => ({ id, action: "created" }))), fault }),
  prune: fc.record({ deleted: names, left: entries, fault }),
  applyChart: fc.constantFrom({ chart: "" }, { chart: "apps/apps-shop", seen: { wanted: "w1", uid: "u1", generation: 1, atMs: 0 }, done: { reason: "HelmChartCreated", message: "created" } }),
  checkDependencies: fc.record({ awaits: fc.constant([]), fault }),
  findChart: fc.record({ artifact, traceparent: fc.constant(""), ociDigest: fc.constant(""), known }),
  compose: fc.record({ chartName: fc.constantFrom("shop", "store"), chartVersion: n.map((i) => `${i}.0.0`), appVersion: fc.constant("1"), configDigest: fc.constantFrom("c1", "c2"), postRenderersDigest: fc.constantFrom("", "p"), commonMetadataDigest: fc.constant("") }),
  inspect: fc.record({ last: fc.option(stored, { nil: undefined }), known: releases }),
  act: fc.record({ written: releases, entries, testHooks: fc.constantFrom(undefined, {}, { a: { phase: "Failed" } }), log: fc.constantFrom([], ["line"]), fault }),
  compare: fc.record({ differences: names.map((list) => list.map((name) => ({ id: `apps_${name}__ConfigMap`, fields: [] }))), fault }),
  correct: fc.record({ changes: fc.constant([]), fault }),
  "release remove": fc.constantFrom({}, { skipped: "no account" }, { removed: { written: [], log: [] } }, { removed: { written: [], log: [], fault: { code: "HealthCheckFailed", subject: "it" } } }),
};

type Happening = { kind: "event"; event: AnyEventObject } | { kind: "answer" | "fail" | "timer"; pick: number; output: Record<string, unknown>; code: FaultCode };

const happening: fc.Arbitrary<Happening> = fc.oneof(
  { weight: 3, arbitrary: fc.oneof({ weight: 9, arbitrary: facts }, { weight: 1, arbitrary: fc.constant(null) }).map((seen) => ({ kind: "event" as const, event: { type: "object", facts: seen } })) },
  { weight: 3, arbitrary: fc.oneof(
    fc.constantFrom({ type: "look" }, { type: "drift" }, { type: "health" }, { type: "unheard-of" }, { type: "artifact" }),
    n.map((i) => ({ type: "artifact", revision: `r${i}`, digest: `d${i}` })),
  ).map((event) => ({ kind: "event" as const, event })) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constantFrom("answer" as const, "answer" as const, "fail" as const, "timer" as const), pick: fc.nat(9), output: fc.record(outputs), code }) },
);

function eventOf(record: ActorRecord, what: Happening): AnyEventObject | undefined {
  if (what.kind === "event") return what.event;
  const [run] = record.runs;
  const timer = record.timers[what.pick % (record.timers.length || 1)];
  if (what.kind === "timer") return timer?.event;
  if (!run) return undefined;
  return what.kind === "fail" ? failed(run, { code: what.code, subject: "it" }) : answered(run, what.output[`${record.machine} ${run.src}`] ?? what.output[run.src] ?? null);
}

const charts: { chart: AnyStateMachine; status: (state: string, context: object) => unknown }[] = [
  { chart: source, status: (state, context) => sourceStatus(state, context as SourceContext) },
  { chart: generator, status: (state, context) => generatorStatus(state, context as GeneratorContext) },
  { chart: image, status: (state, context) => imageStatus(state, context as ImageContext) },
  { chart: imageUpdate, status: (state, context) => imageUpdateStatus(state, context as ImageUpdateContext) },
  { chart: kustomization, status: (state, context) => kustomizationStatus(state, context as KustomizationContext) },
  { chart: release, status: (state, context) => releaseStatus(state, context as ReleaseContext) },
  { chart: cluster, status: () => undefined },
];

for (const { chart, status } of charts)
  test(`[RC25] [RT5] ${chart.id}: no order of events makes it throw, rest for ever, or depend on when it was restored`, () => {
    fc.assert(fc.property(fc.array(happening, { maxLength: 40 }), (happenings) => {
      let nowMs = 0;
      let { record } = begin(chart, { key: `${chart.id}/apps/shop` }, nowMs);
      for (const what of happenings) {
        const event = eventOf(record, what);
        if (!event) continue;
        nowMs += 1_000;
        const stored = parseActorRecord(JSON.parse(JSON.stringify(record)));
        const next = step(chart, record, event, nowMs);
        assert.deepEqual(step(chart, stored, event, nowMs), next);
        assert.deepEqual(JSON.parse(JSON.stringify(next.record)), next.record);
        ({ record } = next);
        assert.notEqual(record.snapshot.status, "error");
        if (record.snapshot.status === "done") return; // the host buries it
        const state = String(record.snapshot["value"]);
        const { facts: seen } = record.snapshot.context as { facts?: { invalid?: unknown } | null };
        const { stalledBy } = record.snapshot.context as Partial<ReleaseContext>;
        const mayRest = ["waiting", "suspended", "static", "gone"].includes(state) || (state === "stalled" && (seen?.invalid !== undefined || stalledBy !== undefined));
        assert.ok(mayRest || record.runs.length + record.timers.length > 0, `${state} waits for nothing`);
        assert.ok(record.runs.length <= 1);
        assert.ok(state !== "suspended" || record.runs.length + record.timers.length === 0);
        status(state, record.snapshot.context);
      }
    }), { numRuns: 150, seed: 1 });
  });
