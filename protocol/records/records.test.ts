import assert from "node:assert/strict";
import test from "node:test";
import { drain, actorsWanted, warm } from "#protocol/messages/fleet.ts";
import { parseJson } from "#services/store/json.ts";
import { parseActorRecord } from "./actor.ts";
import { cellConfig, coordinatorRecord, gatewayRecord, homeRecord, loadRecord, memberRecord, ownRecord, shardsRecord, wantRecord } from "./cell.ts";

const record = {
  v: 1, machine: "source", snapshot: { status: "active", value: "settled", context: { key: "k" }, children: {} },
  timers: [{ id: "t", dueMs: 5, event: { type: "e", more: 1 } }], runs: [{ id: "r", src: "resolve", input: { path: "p" }, attempt: 3, sinceMs: 4 }],
  attempts: 3, outbox: [{ type: "notice", n: 2 }], seen: { look: 9 }, busySinceMs: 4,
};

test("[NM5] a record is read as it was written, XState's part untouched", () => assert.deepEqual(parseActorRecord(structuredClone(record)), record));

const { busySinceMs: _, ...idle } = record;
test("[NM5] an idle actor's record has no busySinceMs", () => assert.deepEqual(parseActorRecord(idle), idle));

const damaged: { what: string; value: unknown }[] = [
  { what: "nothing", value: null },
  { what: "text", value: "record" },
  { what: "a later version", value: { ...record, v: 2 } },
  { what: "a record without its runs", value: { ...record, runs: undefined } },
  { what: "a timer without a time", value: { ...record, timers: [{ id: "t", event: { type: "e" } }] } },
  { what: "an attempt that is text", value: { ...record, runs: [{ ...record.runs[0], attempt: "3" }] } },
  { what: "a snapshot without a context", value: { ...record, snapshot: { status: "active" } } },
  { what: "a sequence that is text", value: { ...record, seen: { look: "9" } } },
];
for (const { what, value } of damaged) test(`[NM5] ${what} is damage`, () => assert.throws(() => parseActorRecord(value)));

const schemas = {
  ownRecord: { schema: ownRecord, good: { v: 1, worker: "w", epoch: 2, cause: "crash" }, bad: [{}, { v: 1, epoch: 2 }, { v: 1, worker: "w", epoch: 2.5 }, { v: 1, worker: "w", epoch: 2, cause: "whim" }] },
  wantRecord: { schema: wantRecord, good: { v: 1, from: "a", to: "b", plan: "p" }, bad: [{}, { v: 1, from: "a", to: "b" }, { v: 1, from: 1, to: "b", plan: "p" }] },
  coordinatorRecord: { schema: coordinatorRecord, good: { v: 1, worker: "w", term: 3 }, bad: [{}, { v: 1, worker: "w", term: "3" }] },
  gatewayRecord: { schema: gatewayRecord, good: { v: 1, url: "http://x" }, bad: [{}, { v: 1, url: null }] },
  cellConfig: { schema: cellConfig, good: { v: 1, partitions: 1_024, hub: "uid" }, bad: [{}, { v: 1, partitions: "1024", hub: "" }] },
  shardsRecord: { schema: shardsRecord, good: { v: 1, keys: ["heavy", "light"] }, bad: [{ v: 1, keys: "heavy" }, { v: 1, keys: [1] }] },
  homeRecord: { schema: homeRecord, good: { v: 1, shard: 3 }, bad: [{ v: 1, shard: 64 }, { v: 1, shard: "3" }] },
  memberRecord: {
    schema: memberRecord, good: { v: 1, worker: "w", beat: 3, protocol: 1, capacity: 2, actors: 5, load: 7.5, draining: true, refuses: [4], shard: "heavy" },
    bad: [{ v: 1, worker: "w", beat: "3" }, { v: 1, worker: "w", beat: 3, capacity: 0 }, { v: 1, worker: "w", beat: 3, refuses: ["4"] }],
  },
  loadRecord: { schema: loadRecord, good: { v: 1, costs: { 7: 30 } }, bad: [{}, { v: 1, costs: { 7: "30" } }] },
} as const;
for (const [name, { schema, good, bad }] of Object.entries(schemas))
  test(`[NM5] ${name} is read as it was written, in this version only, and damage is seen`, () => {
    assert.deepEqual(schema.parse(JSON.parse(JSON.stringify(good))), good);
    for (const each of [...bad, { ...good, v: 2 }, null, "text"]) assert.equal(schema.safeParse(each).success, false, JSON.stringify(each));
  });

test("[NM5] what an earlier release did not say is read as it was then", () => {
  assert.equal(ownRecord.parse({ v: 1, worker: "w", epoch: 2 }).cause, "claim");
  assert.equal(cellConfig.parse({ v: 1, partitions: 1_024 }).hub, "");
  assert.deepEqual(memberRecord.parse({ v: 1, worker: "w", beat: 1 }), { v: 1, worker: "w", beat: 1, protocol: 1, capacity: 1, actors: 0, load: 0, draining: false, refuses: [], shard: "" });
});

const words = [
  { schema: warm, good: "{\"partition\":7,\"worker\":\"w\",\"plan\":\"p\"}", bad: "{\"partition\":\"7\",\"worker\":\"w\",\"plan\":\"p\"}" },
  { schema: drain, good: "{\"draining\":false}", bad: "{\"draining\":0}" },
  { schema: actorsWanted, good: "{\"page\":0}", bad: "{\"page\":-1}" },
];
test("[OW32] a word between workers that cannot be read is none", () => {
  for (const { schema, good, bad } of words)
    assert.deepEqual([good, bad, "{", ""].map((text) => schema.safeParse(parseJson(text)).success), [true, false, false, false]);
});
