/** Every chart, whatever happens to it in whatever order. */
import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import type { AnyEventObject, AnyStateMachine } from "xstate";
import { faults, type FaultCode } from "#protocol/errors/fault.ts";
import { parseActorRecord, type ActorRecord } from "#protocol/records/actor.ts";
import { cluster } from "./cluster/machine.ts";
import { kustomization, type KustomizationContext } from "./kustomization/machine.ts";
import { kustomizationStatus } from "./kustomization/status.ts";
import { source, type SourceContext } from "./source/machine.ts";
import { sourceStatus } from "./source/status.ts";
import { answered, begin, failed, step } from "./step.ts";

const flag = fc.boolean();
const facts = fc.record({
  uid: fc.constantFrom("u1", "u2"), generation: fc.integer({ min: 1, max: 4 }), deleting: fc.oneof(fc.constant(false), fc.constant(false), flag), finalizer: flag,
  suspended: fc.oneof(fc.constant(false), fc.constant(false), flag), requestedAt: fc.constantFrom("", "q1", "q2"), handledAt: fc.constantFrom("", "q1"),
  notYet: fc.constantFrom([], ["spec.force"]), intervalMs: fc.constantFrom(0, 60_000), timeoutMs: fc.constant(30_000), retryMs: fc.constantFrom(1, 60_000),
  source: fc.constant("gitrepository/apps/shop"), prune: flag, health: flag, deletion: fc.constantFrom("Delete", "Orphan", "WaitForTermination"),
  invalid: fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.constant({ code: "InvalidObject", subject: "it" }) }),
});

const n = fc.integer({ min: 1, max: 3 });
const names = fc.subarray(["a", "b", "c"]);
const entries = names.map((list) => list.map((name) => ({ id: `apps_${name}__ConfigMap`, v: "v1", uid: name, digest: name, owned: name })));
const code = fc.constantFrom(...(Object.keys(faults) as FaultCode[]));
const fault = fc.option(code.map((which) => ({ code: which, subject: "it" })), { nil: undefined });
const artifact = n.map((i) => ({ revision: `r${i}`, digest: `d${i}`, sizeBytes: 1, path: `p${i}`, storedAt: "" }));

/** What an effect may answer. */
const outputs: Record<string, fc.Arbitrary<unknown>> = {
  resolve: fc.record({ revision: n.map((i) => `r${i}`), stored: flag }),
  fetch: fc.record({ artifact, subject: fc.constant("s"), traceparent: fc.constant("") }),
  findSource: fc.record({ artifact, traceparent: fc.constant(""), inventory: entries }),
  build: fc.record({ renderKey: fc.constantFrom("k1", "k2"), readSet: fc.constant({ files: [], dirs: [] }), objects: entries }),
  apply: fc.record({ entries, changes: entries.map((list) => list.map(({ id }) => ({ id, action: "created" }))), fault }),
  prune: fc.record({ deleted: names, left: entries, fault }),
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
  return what.kind === "fail" ? failed(run, { code: what.code, subject: "it" }) : answered(run, what.output[run.src] ?? null);
}

const charts: { chart: AnyStateMachine; status: (state: string, context: object) => unknown }[] = [
  { chart: source, status: (state, context) => sourceStatus(state, context as SourceContext) },
  { chart: kustomization, status: (state, context) => kustomizationStatus(state, context as KustomizationContext) },
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
        const mayRest = ["waiting", "suspended", "gone"].includes(state) || (state === "stalled" && seen?.invalid !== undefined);
        assert.ok(mayRest || record.runs.length + record.timers.length > 0, `${state} waits for nothing`);
        assert.ok(record.runs.length <= 1);
        assert.ok(state !== "suspended" || record.runs.length + record.timers.length === 0);
        status(state, record.snapshot.context);
      }
    }), { numRuns: 150, seed: 1 });
  });
