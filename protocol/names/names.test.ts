import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { actorId, escapeToken, parseActorId, partitionCount, partitionOf, unescapeToken, type ActorKey } from "./actor.ts";
import { hintKinds, isSnapshot, parseMailbox, parseOwn, parseSnapshot, republishPrefix, subject } from "./subject.ts";

/** RFC 1123: what Kubernetes takes for a name; with dots where a subdomain may stand. */
const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);
const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("."));
const key: fc.Arbitrary<ActorKey> = fc.record({ kind: fc.stringMatching(/^[a-z]{3,20}$/), namespace: label, name }, { noNullPrototype: true });

test("[NM1] an actor is found again by its id", () => fc.assert(fc.property(key, (each) => assert.deepEqual(parseActorId(actorId(each)), each))));

for (const bad of ["", "a", "a/b", "a//c", "/b/c", "a/b/", "a/b/c/d"]) test(`[NM1] "${bad}" is no actor`, () => assert.throws(() => parseActorId(bad), RangeError));

test("[NM3] a dot in a name comes back", () =>
  fc.assert(fc.property(name, (each) => {
    assert.equal(unescapeToken(escapeToken(each)), each);
    assert.ok(!/[.*> ]/.test(escapeToken(each)));
  })));

test("[NM4] subjects are read back to what they were built from", () =>
  fc.assert(fc.property(key, fc.constantFrom(...hintKinds), (each, hint) => {
    assert.deepEqual(parseSnapshot(subject.snapshot(each)), each);
    assert.deepEqual(parseMailbox(subject.mailbox(each, hint)), { key: each, hint });
    assert.deepEqual(parseMailbox(subject.mailbox(each, hint).replace("fl.", `${republishPrefix}.`)), { key: each, hint });
    assert.deepEqual([isSnapshot(subject.snapshot(each)), isSnapshot(subject.mailbox(each, hint))], [true, false]);
  })));

test("[NM4] an owner record names its partition", () => {
  for (const partition of [0, 7, partitionCount - 1]) assert.equal(parseOwn(subject.own(partition)), partition);
});

const shop = { kind: "kustomization", namespace: "apps", name: "shop" };
const elsewhere = subject.snapshot(shop).replace(/^fl\.\d+/, `fl.${(partitionOf(shop) + 1) % partitionCount}`);
const strangers: { read: (text: string) => unknown; text: string }[] = [
  ...["fl.1.snap.kustomization.apps", "fl.1.snap.a.b.c.d", "xx.1.snap.a.b.c", "fl.1.mbx.a.b.c", "", elsewhere].map((text) => ({ read: parseSnapshot, text })),
  ...[`${subject.mailbox(shop, "look")}.more`, subject.mailbox(shop, "look").replace("look", "listen"), "fl.1.mbx.a.b.look", elsewhere].map((text) => ({ read: parseMailbox, text })),
  ...["fl.1024.own", "fl.-1.own", "fl.x.own", "fl.1.5.own", "fl.1.snap", "fl.1.own.more"].map((text) => ({ read: parseOwn, text })),
];
for (const { read, text } of strangers) test(`[NM4] ${read.name} refuses "${text}"`, () => assert.throws(() => read(text), RangeError));

const fnvCases = [
  { key: shop, bytes: "kustomizationappsshop" },
  { key: { ...shop, name: "shop.v2" }, bytes: "kustomizationappsshop_v2" },
];
for (const { key: each, bytes } of fnvCases)
  test(`[NM2] ${actorId(each)} lies where FNV-1a of "${bytes}" says`, () => {
    let hash = 0x811c9dc5n; // as published, in whole numbers of any size
    for (const byte of new TextEncoder().encode(bytes)) hash = ((hash ^ BigInt(byte)) * 0x01000193n) & 0xffffffffn;
    assert.equal(partitionOf(each), Number(hash % 1_024n));
  });

test("[NM2] actors spread over the partitions", () => {
  const load = new Map<number, number>();
  for (let i = 0; i < 20_000; i++) {
    const partition = partitionOf({ ...shop, name: `app-${i}` });
    load.set(partition, (load.get(partition) ?? 0) + 1);
  }
  assert.equal(load.size, partitionCount);
  assert.ok(Math.max(...load.values()) < 60);
});
