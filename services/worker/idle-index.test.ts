import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import { factsHash } from "./facts-hash.ts";
import { IdleIndex } from "./idle-index.ts";
import { Wheel } from "./wheel.ts";

const keys: fc.Arbitrary<ActorKey> = fc.record({
  kind: fc.constantFrom("kustomization", "gitrepository", "cluster"),
  namespace: fc.constantFrom("apps", "flux-system", "a", "größe"),
  name: fc.oneof(fc.integer({ min: 0, max: 60 }).map((i) => `unit-${i}`), fc.constantFrom("a.b", "a", "b", "a/b")),
}, { noNullPrototype: true });

test("[RS2] whatever comes and goes, an actor is found by its key and listed with its partition", () => {
  fc.assert(fc.property(fc.array(fc.record({ key: keys, stays: fc.boolean() }), { maxLength: 400 }), (moves) => {
    const index = new IdleIndex();
    const model = new Map<string, { key: ActorKey; slot: number; attempts: number }>();
    for (const [attempts, { key, stays }] of moves.entries()) {
      const id = `${key.kind}|${key.namespace}|${key.name}`;
      const known = model.get(id);
      assert.equal(index.find(key), known?.slot ?? 0);
      if (stays && !known) {
        const slot = index.add(key);
        index.note(slot, { state: `s${attempts % 5}`, dueMs: attempts * 1.5, attempts, factsHash: attempts * 2 ** 36 + 7 });
        model.set(id, { key, slot, attempts });
      } else if (!stays && known) {
        index.remove(known.slot);
        model.delete(id);
      }
    }
    assert.equal(index.size, model.size);
    for (const { key, slot, attempts } of model.values()) {
      assert.equal(index.find(key), slot);
      assert.deepEqual(index.keyOf(slot), key);
      assert.deepEqual(index.noted(slot), { state: `s${attempts % 5}`, dueMs: attempts * 1.5, attempts, factsHash: attempts * 2 ** 36 + 7 });
      assert.ok(index.slotsOf(partitionOf(key)).includes(slot));
    }
    const sorted = (slots: Iterable<number>) => [...slots].sort((a, b) => a - b);
    assert.deepEqual(sorted(index.slots()), sorted([...model.values()].map(({ slot }) => slot)));
    const partitions = new Set([...model.values()].map(({ key }) => partitionOf(key)));
    assert.deepEqual(sorted([...partitions].flatMap((partition) => index.slotsOf(partition))), sorted(index.slots()));
  }), { numRuns: 100 });
});

test("[RS2] names of actors that went take no room for long", () => {
  const index = new IdleIndex();
  const key = (i: number) => ({ kind: "kustomization", namespace: "apps", name: `some-rather-long-name-${i}` });
  for (let i = 0; i < 1_000; i++) index.add(key(i));
  const beforeBytes = index.sizeBytes;
  for (let i = 1_000; i < 50_000; i++) {
    index.remove(index.find(key(i - 1_000)));
    index.add(key(i));
  }
  assert.ok(index.sizeBytes < beforeBytes + 200_000, `${beforeBytes} -> ${index.sizeBytes}`);
  assert.deepEqual(index.keyOf(index.find(key(49_500))), key(49_500));
});

for (const count of [10_000, 100_000])
  test(`[RS3] ${count} actors at rest, each with a timer`, () => {
    const index = new IdleIndex();
    const wheel = new Wheel({ nowMs: () => 0, monoMs: () => 0, at: () => () => {} }, () => {});
    for (let i = 0; i < count; i++) {
      const slot = index.add({ kind: "kustomization", namespace: `team-${i % 100}`, name: `application-${i}` });
      wheel.arm(slot, i * 100);
    }
    const bytes = (index.sizeBytes + wheel.sizeBytes) / count;
    assert.ok(bytes < 150, `${bytes} bytes each`);
  });

test("[RS4] the order of fields counts for nothing", () => {
  const facts = fc.dictionary(fc.string({ maxLength: 4 }), fc.jsonValue({ maxDepth: 2 }), { noNullPrototype: true });
  const reversed = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(reversed);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).reverse().map(([name, field]) => [name, reversed(field)]));
  };
  fc.assert(fc.property(facts, (facts) => {
    assert.equal(factsHash(facts), factsHash(reversed(facts)));
    assert.equal(factsHash({ ...facts, nothing: undefined }), factsHash(facts));
  }));
});

test("[RS4] anything else that differs counts, and no facts are told from all others", () => {
  const base = { uid: "u", generation: 1, suspended: false, inputs: ["a"], source: "gitrepository/a/b" };
  const others: unknown[] = [
    null, {}, base, { ...base, generation: 2 }, { ...base, suspended: true }, { ...base, inputs: [] }, { ...base, inputs: ["a", "b"] },
    { ...base, inputs: ["ab"] }, { ...base, uid: "v" }, { ...base, source: "gitrepository/a/c" }, { ...base, generation: "1" }, { ...base, invalid: null },
  ];
  const hashes = others.map(factsHash);
  assert.equal(new Set(hashes).size, others.length);
  for (let i = 0; i < 20_000; i++) hashes.push(factsHash({ ...base, generation: i + 3 }));
  assert.equal(new Set(hashes).size, hashes.length);
  for (const hash of hashes) assert.ok(Number.isInteger(hash) && hash >= 0 && hash < 2 ** 48);
});
