import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { awaitedKey, awaitedObject } from "./awaited.ts";
import {
  actorId, escapeToken, mostShards, objectId, parseActorId, partitionCount, partitionOf, partitionsWith, placedAt, shardOfPartition, shardPartitions, unescapeToken, type ActorKey,
} from "./actor.ts";
import {
  areaOf, bus, hintKinds, isSnapshot, parseDependent, parseHome, parseMailbox, parseOwn, parseSnapshot, parseWant, partitionOfSubject, republishPrefix, subject,
} from "./subject.ts";

/** RFC 1123: what Kubernetes takes for a name; with dots where a subdomain may stand. */
const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);
const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("."));
const key: fc.Arbitrary<ActorKey> = fc.record(
  { kind: fc.stringMatching(/^[a-z]{3,20}$/), namespace: label, name, shard: fc.integer({ min: 0, max: mostShards - 1 }) },
  { noNullPrototype: true, requiredKeys: ["kind", "namespace", "name"] },
);

test("[NM1] an actor is found again by its id", () => fc.assert(fc.property(key, (each) => assert.deepEqual(parseActorId(actorId(each)), each))));

for (const bad of ["", "a", "a/b", "a//c", "/b/c", "a/b/", "a/b/c/d", "a/b/c@", "a/b/c@64", "a/b/c@-1", "a/b/c@1@2", "a/b/@1", "a/b/c@x"]) test(`[NM1] "${bad}" is no actor`, () => assert.throws(() => parseActorId(bad), RangeError));

test("[NM10] an actor in a shard lies in the shard's partitions, and is the same object's as at home", () =>
  fc.assert(fc.property(key, (each) => {
    const partition = partitionOf(each);
    assert.equal(shardOfPartition(partition), each.shard);
    if (each.shard === undefined) assert.ok(partition < partitionCount);
    else assert.ok(partition >= partitionsWith(each.shard) && partition < partitionsWith(each.shard) + shardPartitions);
    assert.equal(objectId(each), actorId(placedAt(each)));
    const home = subject.home(placedAt(each));
    assert.deepEqual(parseHome(home), placedAt(each));
    assert.deepEqual([areaOf(home), partitionOfSubject(home)], ["home", partitionOf(placedAt(each))]);
  })));

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

test("[NM4] that one actor waits for another is read back, stored or repeated", () =>
  fc.assert(fc.property(key, key, (awaited, waiter) => {
    const text = subject.dependent(awaited, waiter);
    assert.deepEqual(parseDependent(text), { awaited, waiter: placedAt(waiter) });
    assert.deepEqual(parseDependent(text.replace("fl.", `${republishPrefix}.`)), { awaited, waiter: placedAt(waiter) });
  })));

test("[NM4] an owner record and a plan name their partition", () => {
  for (const partition of [0, 7, partitionCount - 1]) {
    assert.equal(parseOwn(subject.own(partition)), partition);
    assert.equal(parseWant(subject.want(partition)), partition);
  }
});

test("[NM4] everything of a partition begins with it, and lies in one area", () =>
  fc.assert(fc.property(key, key, (each, waiter) => {
    const partition = partitionOf(each);
    const named = { snap: subject.snapshot(each), mbx: subject.mailbox(each, "look"), dep: subject.dependent(each, waiter), own: subject.own(partition), want: subject.want(partition) };
    for (const [area, text] of Object.entries(named)) {
      assert.equal(areaOf(text), area);
      for (const copy of [text, text.replace("fl.", `${republishPrefix}.`)]) assert.equal(partitionOfSubject(copy), partition);
    }
  })));

test("[NM4] what concerns the cell as a whole lies in no partition", () => {
  for (const text of [subject.config, subject.member("w"), subject.coordinator, subject.gateway, subject.load("w"), "fl.2048.own", "fl.-1.own", "fl", ""])
    assert.equal(partitionOfSubject(text), undefined, text);
});

/** As NATS matches. */
const matches = (filter: string, text: string) => new RegExp(`^${filter.replaceAll(".", "\\.").replaceAll("*", "[^.]+").replace(/>$/, ".+")}$`).test(text);
const live = (text: string) => text.replace(/^fl\./, `${republishPrefix}.`);

test("[NM4] each filter finds what it is for, stored and repeated, and nothing else", () => {
  const all = [
    subject.own(7), subject.want(7), subject.snapshot(shop), subject.mailbox(shop, "look"), subject.dependent(shop, shop), subject.config,
    subject.member("w"), subject.coordinator, subject.gateway, subject.load("w"),
  ];
  const [own, want, snapshot, mailbox, dependent, ...control] = all;
  const found = (filter: string, texts = all) => texts.filter((text) => matches(filter, text));
  const repeated = all.map(live);
  assert.deepEqual(
    [subject.everyOwn, subject.everyWant, subject.everySnapshot, subject.everyMailbox, subject.everyDependent, subject.everyControl].map((filter) => found(filter)),
    [[own], [want], [snapshot], [mailbox], [dependent], control]);
  assert.deepEqual(
    [subject.everyOwnLive, subject.everyWantLive, subject.everyMailboxLive, subject.everyDependentLive, subject.everyControlLive].map((filter) => found(filter, repeated)),
    [[own], [want], [mailbox], [dependent], control].map((texts) => texts.map((text) => live(text ?? ""))));
  assert.deepEqual([found(subject.everyMember), found(subject.everyLoad), found(subject.every)], [[subject.member("w")], [subject.load("w")], all]);
  assert.deepEqual(found(subject.partition(7)), [own, want]);
});

test("[NM4] a word to one worker is none to another, nor to all", () => {
  const said = [bus.to("a", "warm"), bus.to("b", "warm"), bus.to("a", "drain"), bus.all("actors"), bus.all("warm")];
  assert.equal(new Set(said).size, said.length);
  assert.ok(said.every((text) => text.split(".").length === 3 && !text.startsWith("fl.")));
});

const shop = { kind: "kustomization", namespace: "apps", name: "shop" };
const elsewhere = subject.snapshot(shop).replace(/^fl\.\d+/, `fl.${(partitionOf(shop) + 1) % partitionCount}`);
const strangers: { read: (text: string) => unknown; text: string }[] = [
  ...["fl.1.snap.kustomization.apps", "fl.1.snap.a.b.c.d", "xx.1.snap.a.b.c", "fl.1.mbx.a.b.c", "", elsewhere].map((text) => ({ read: parseSnapshot, text })),
  ...[`${subject.mailbox(shop, "look")}.more`, subject.mailbox(shop, "look").replace("look", "listen"), "fl.1.mbx.a.b.look", elsewhere].map((text) => ({ read: parseMailbox, text })),
  ...["fl.2048.want", "fl.x.want", "fl.1.own", "fl.1.want.more"].map((text) => ({ read: parseWant, text })),
  ...[subject.dependent(shop, shop).replace(/^fl\.\d+/, `fl.${(partitionOf(shop) + 1) % partitionCount}`), `${subject.dependent(shop, shop)}.more`, "fl.1.dep.a.b.c.d.e", "xx.1.dep.a.b.c.d.e.f", elsewhere]
    .map((text) => ({ read: parseDependent, text })),
  ...["fl.2048.own", "fl.-1.own", "fl.x.own", "fl.1.5.own", "fl.1.snap", "fl.1.own.more"].map((text) => ({ read: parseOwn, text })),
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

test("[NM1] [DP9] an object of any kind is found again by its key, which is a legal subject and no actor's", () =>
  fc.assert(fc.property(
    fc.record({
      apiVersion: fc.tuple(fc.option(name, { nil: "" }), fc.stringMatching(/^v[1-9]((alpha|beta)[1-9])?$/)).map(([group, version]) => (group ? `${group}/${version}` : version)),
      kind: fc.stringMatching(/^[A-Z][A-Za-z]{1,20}$/), namespace: fc.option(label, { nil: "" }), name,
    }, { noNullPrototype: true }),
    (object) => {
      const each = awaitedKey(object);
      assert.deepEqual(awaitedObject(parseActorId(actorId(each))), object);
      const waiter = { kind: "kustomization", namespace: "apps", name: "shop" };
      assert.deepEqual(parseDependent(subject.dependent(each, waiter)), { awaited: each, waiter });
      assert.equal(awaitedObject(waiter), undefined);
    },
  )));
