import assert from "node:assert/strict";
import test from "node:test";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import type { ActorSummary } from "./host-ports.ts";
import { awaitedBy, countsOf, isWaiting, stateName, statusOf, viewsOf } from "./shown.ts";

const unit: ActorKey = { kind: "kustomization", namespace: "apps", name: "shop" };
const record = (context: Record<string, unknown>, value: unknown = "settled", more: Partial<ActorRecord> = {}): ActorRecord => ({
  v: 1, machine: "kustomization", snapshot: { status: "active", value, context } as ActorRecord["snapshot"], timers: [], runs: [], attempts: 0, outbox: [], seen: {}, ...more,
});

const summary = (key: ActorKey, state: string): ActorSummary => ({ key, state, busy: false, factsHash: 0 });
/** A host in which the unit is awake. */
const viewOf = (worker: string, key: ActorKey, of: ActorRecord) =>
  viewsOf(worker, { all: () => [summary(key, "settled")], residents: () => [{ key, record: of }] } as unknown as Parameters<typeof viewsOf>[1])[0];

const views = [
  { what: "a source", context: { artifact: { revision: "main@sha1:1" } }, shows: { revision: "main@sha1:1" } },
  { what: "a unit", context: { applied: "main@sha1:2" }, shows: { revision: "main@sha1:2" } },
  { what: "one that has nothing yet", context: { artifact: null }, shows: {} },
  { what: "one that is traced", context: { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01` }, shows: { traceId: "a".repeat(32) } },
];
for (const { what, context, shows } of views)
  test(`[OW50] a view of ${what}`, () => assert.deepEqual(viewOf("w1", unit, record(context)), { id: "kustomization/apps/shop", state: "settled", worker: "w1", ...shows }));

test("[OW50] a view says since when it is busy", () =>
  assert.equal(viewOf("w1", unit, record({}, "building", { busySinceMs: 0 }))?.since, "1970-01-01T00:00:00.000Z"));

test("[OW50] of an actor at rest no more is shown than is kept in memory", () => {
  const host = { all: () => [summary(unit, "settled")], residents: () => [] } as unknown as Parameters<typeof viewsOf>[1];
  assert.deepEqual(viewsOf("w1", host), [{ id: "kustomization/apps/shop", state: "settled", worker: "w1" }]);
});

test("[OW50] actors are counted by kind and state", () => {
  const source = { ...unit, kind: "gitrepository" };
  const counts = countsOf([summary(unit, "settled"), summary({ ...unit, name: "blog" }, "settled"), summary(unit, "failing"), summary(source, "settled")]);
  assert.deepEqual(counts.map(({ kind, state, count }) => `${kind} ${state} ${count}`), ["kustomization settled 2", "kustomization failing 1", "gitrepository settled 1"]);
});

test("[OW50] a state without a name is unknown", () => assert.deepEqual([stateName(record({}, { deep: "er" })), stateName(record({}, "failing"))], ["unknown", "failing"]));

test("[OW17] an actor that was set aside says so, whatever its record says", () => {
  const status = statusOf(unit, record({}), { code: "RecordUnreadable", subject: "kustomization/apps/shop" });
  assert.deepEqual(status?.conditions?.map(({ type, status: is, reason }) => `${type} ${is} ${reason}`), ["Ready False Quarantined", "Stalled True Quarantined"]);
});

test("[OW43] [DP7] a unit waits for its source, and for what blocks it as long as that does", () => {
  const source = "gitrepository/apps/shop";
  const blocked = { facts: { source }, awaits: [{ id: "kustomization/apps/infra" }, { id: "Deployment@apps@v1/apps/web", any: true }] };
  const waits = (context: Record<string, unknown>) => [...awaitedBy(record(context))];
  assert.deepEqual([waits({ facts: { source } }), waits({ facts: null }), waits({}), [...awaitedBy(null)], [...awaitedBy(undefined)]], [[[source, false]], [], [], [], []]);
  assert.deepEqual(waits(blocked), [[source, false], ["kustomization/apps/infra", false], ["Deployment@apps@v1/apps/web", true]]);
  const faults = [{ code: "ArtifactMissing", subject: "x" }, { code: "BuildFailed", subject: "x" }, null, undefined];
  assert.deepEqual(faults.map((fault) => isWaiting(record({ fault }))), [true, false, false, false]);
});

for (const name of ["", "a b", "*", ">", "a/b", "..//x", "a@1@2", "a>", "x".repeat(1_000)])
  test(`[NM12] what no object can be called is not waited for: ${JSON.stringify(name.slice(0, 10))}`, () =>
    assert.deepEqual([...awaitedBy(record({ facts: { source: `gitrepository/apps/${name}`, madeFrom: [`imagerepository/apps/${name}`, `imagerepository/${name}/shop`, "bucket/apps/shop.v1"] } })).keys()], ["bucket/apps/shop.v1"]));
