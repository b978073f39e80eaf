import assert from "node:assert/strict";
import test from "node:test";
import { memberRecord, ownRecord, parseActorRecord } from "./actor.ts";

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

test("[NM5] owner records and heartbeats likewise", () => {
  assert.equal(ownRecord.safeParse({ v: 1, worker: "w", epoch: 2 }).success, true);
  for (const bad of [{}, { v: 2, worker: "w", epoch: 2 }, { v: 1, worker: "w", epoch: 2.5 }, { v: 1, epoch: 2 }]) assert.equal(ownRecord.safeParse(bad).success, false);
  assert.equal(memberRecord.safeParse({ v: 1, worker: "w", beat: "3" }).success, false);
});
