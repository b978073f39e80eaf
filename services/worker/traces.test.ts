import assert from "node:assert/strict";
import test from "node:test";
import type { ActorRecord, Run } from "#protocol/records/actor.ts";
import type { FinishedSpan } from "#services/telemetry/spans.ts";
import { Traces, type Handover } from "./traces.ts";

const key = { kind: "kustomization", namespace: "apps", name: "shop" };
const change = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01";
const handover: Handover = { fromEpoch: 4, toEpoch: 5, worker: "b", cause: "handover", atMs: 30 };

const record = (state: string, context: object, busySinceMs?: number): ActorRecord => ({
  v: 1, machine: "kustomization", timers: [], runs: [], attempts: 0, outbox: [], seen: {}, ...(busySinceMs !== undefined && { busySinceMs }),
  snapshot: { status: "active", value: state, context: { traceparent: change, applied: "r1", attempted: "r2", appliedKey: "k", fault: null, ...context } },
});
const run = (src: string, attempt: number, sinceMs: number): Run => ({ id: src, src, input: null, attempt, sinceMs });

function worker() {
  const spans: FinishedSpan[] = [];
  const traces = new Traces({ recordSpan: (span) => { spans.push(span); return span.traceparent ?? ""; } });
  return { traces, spans, named: (name: string) => spans.find((span) => span.name === name) ?? assert.fail(`no span ${name}: ${spans.map((span) => span.name).join()}`) };
}

test("[OW52] a trace goes on where its unit goes: each worker's part tells of the move with both epochs, and names the other's", () => {
  const [a, b] = [worker(), worker()];
  a.traces.ended(key, run("build", 1, 10), { endMs: 20 });
  a.traces.handedOver(key, record("applying", {}, 10), handover);
  const before = a.named("SYNC kustomization/shop (until handed over)");

  b.traces.tookOver([{ key, record: record("applying", {}, 10) }], { ...handover, worker: "a", atMs: 35 });
  b.traces.ended(key, run("apply", 2, 36), { endMs: 50 });
  b.traces.rested(key, record("applying", {}, 10), record("settled", { applied: "r2" }), 60);
  const after = b.named("SYNC kustomization/shop");

  assert.deepEqual([before.parent, after.parent], [change, change]);
  assert.deepEqual([before.links, after.links], [[after.traceparent], [before.traceparent]]);
  assert.deepEqual(before.events, [{ name: "gitops.handover", atMs: 30, attributes: { "gitops.epoch.from": 4, "gitops.epoch.to": 5, "gitops.worker.to": "b" } }]);
  assert.deepEqual(after.events, [{ name: "gitops.takeover", atMs: 35, attributes: { "gitops.epoch.from": 4, "gitops.epoch.to": 5, "gitops.worker.from": "a", "gitops.takeover.cause": "handover" } }]);
  assert.deepEqual([a.named("build").parent, b.named("apply").parent], [before.traceparent, after.traceparent]);
});

test("[TR15] the span of an object that was put back names who had changed it", () => {
  const { traces, named } = worker();
  traces.ended(key, run("apply", 1, 40), { endMs: 50 });
  traces.objectWritten(key, "apps_a__ConfigMap", "configured", 41, 42, "kubectl-edit");
  traces.objectWritten(key, "apps_b__ConfigMap", "configured", 43, 44);
  traces.rested(key, record("applying", { applied: "r2" }, 40), record("settled", { applied: "r2" }), 60);
  assert.deepEqual(["a", "b"].map((name) => named(`configured ConfigMap/apps/${name}`).attributes?.["gitops.drift.manager"]), ["kubectl-edit", undefined]);
  assert.equal(named("SYNC kustomization/shop").attributes?.["gitops.drift"], true);
});

test("[OW52] a unit that rested when it moved tells nothing of it", () => {
  const { traces, spans } = worker();
  traces.handedOver(key, record("settled", { attempted: "r1" }), handover);
  traces.tookOver([{ key, record: record("settled", { attempted: "r1" }) }], handover);
  traces.ended(key, run("apply", 1, 40), { endMs: 50 });
  traces.rested(key, record("applying", {}, 40), record("settled", { applied: "r2" }), 60);
  assert.deepEqual(spans.map(({ name, events }) => [name, events ?? []]), [["SYNC kustomization/shop", []], ["apply", []]]);
});
