import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { begin, step } from "#machines/step.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import { lamp, object } from "./lamp.ts";
import { differs, recordText } from "./record-text.ts";

const first = begin(lamp, { key: "lamp/home/desk" }, 0).record;
const values = fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.constantFrom(undefined, NaN));
const records = fc.record({
  context: fc.dictionary(fc.string({ maxLength: 5 }).filter((name) => name !== "__proto__"), values, { noNullPrototype: true }),
  attempts: fc.nat(3), outbox: fc.array(fc.record({ type: fc.constant("notice"), text: fc.string() }, { noNullPrototype: true }), { maxLength: 2 }),
  seen: fc.dictionary(fc.constantFrom("look", "object"), fc.nat(5), { noNullPrototype: true }), value: fc.constantFrom("working", "waiting"),
}, { noNullPrototype: true }).map(({ context, value, ...rest }): ActorRecord => ({ ...first, ...rest, snapshot: { ...first.snapshot, value, context } }));

const stored = (record: ActorRecord): unknown => JSON.parse(JSON.stringify(record));

test("[RS15] the text is the record as JSON has it", () => {
  fc.assert(fc.property(records, (record) => {
    assert.deepEqual(JSON.parse(recordText(record)), stored(record));
    assert.equal(recordText(record), recordText(record));
  }));
});

test("[RS15] two records differ when what is stored differs, apart from what was seen", () => {
  const unseen = (record: ActorRecord) => stored({ ...record, seen: {} });
  const same = (a: unknown, b: unknown) => { try { assert.deepStrictEqual(a, b); return true; } catch (thrown) { return thrown instanceof assert.AssertionError ? false : assert.fail(String(thrown)); } };
  fc.assert(fc.property(records, records, fc.boolean(), (before, other, isCopy) => {
    const after = isCopy ? { ...(stored(before) as ActorRecord), seen: { look: 99 } } : other;
    assert.equal(differs(before, after), !same(unseen(before), unseen(after)));
  }));
});

test("[RS15] an event that changes nothing makes no difference", () => {
  const busy = step(lamp, first, object("u1"), 1).record;
  assert.equal(differs(first, busy), true);
  assert.equal(differs(busy, step(lamp, busy, { type: "look" }, 2).record), false);
});
