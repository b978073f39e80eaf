import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import test from "node:test";
import { labels } from "#protocol/api/annotations.ts";
import { actorId, partitionOf, placedAt, type ActorKey } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import type { Contents } from "#services/store/partition-reader.ts";
import type { RawObject } from "./facts.ts";
import { Places } from "./places.ts";

const home: ActorKey = { kind: "kustomization", namespace: "apps", name: "shop" };
const heavy = placedAt(home, 0);
const record = { v: 1 } as unknown as ActorRecord;
const object = (key?: string): RawObject => ({ metadata: { name: "shop", namespace: "apps", ...(key && { labels: { [labels.shardKey]: key } }) } });
const nothing: Contents = { records: [], damaged: [], dependents: [], away: [], mail: [] };

/** Places of a worker that holds the object's partitions at home and in the shard; what it asks for is noted in `said`. */
function stage(contents: Partial<Contents> = {}, nowMs = 0) {
  const said: string[] = [];
  const world = {
    exists: true as boolean | Error, object: undefined as RawObject | undefined, moved: undefined as { record: ActorRecord | null } | undefined,
    depart: async () => {},
  };
  const note = (text: string) => void said.push(text);
  const places = new Places({
    clock: { nowMs: () => nowMs, monoMs: () => 0, at: () => () => {} },
    cell: {
      owns: () => true, dependentsOf: () => [{ ...home, name: "waiter" }],
      send: async ({ to, kind }) => note(`send ${actorId(to)} ${kind}`),
    },
    transfers: {
      depart: async (key, to, taken) => { note(`depart ${actorId(key)} ${actorId(to)} ${taken ? "record" : "nothing"}`); await world.depart(); },
      arrive: async (key, taken) => note(`arrive ${actorId(key)} ${taken ? "record" : "nothing"}`),
      passOn: async (key, to) => note(`pass on ${actorId(key)} ${actorId(to)}`),
      movedTo: async () => world.moved,
    },
    host: {
      evict: async () => record, remove: (key) => note(`remove ${actorId(key)}`), stay: (key) => note(`stay ${actorId(key)}`),
      adopt: (key) => note(`adopt ${actorId(key)}`), summaryOf: () => undefined,
    },
    writing: new Set(), shards: () => ["heavy", "light"], object: () => world.object, isShown: () => true,
    exists: async () => { if (world.exists instanceof Error) throw world.exists; return world.exists; },
    inOrder: async (waiters) => waiters,
    tell: (key, seen) => note(`tell ${actorId(key)} ${seen ? "is" : "gone"}`), debug: () => {},
  });
  for (const key of [home, heavy]) places.took(partitionOf(key), { ...nothing, ...(key === home ? { away: contents.away ?? [] } : { records: contents.records ?? [], mail: contents.mail ?? [] }) });
  const settled = async (): Promise<string[]> => { for (let i = 0; i < 10; i++) await turn(); return said.splice(0); };
  return { places, world, settled };
}

const away = { away: [{ key: home, shard: 0 }] };
const here = { records: [{ key: heavy, record }] };

test("[SH1] an object with the label of a shard leaves home with its record, and its home acts for it no more", async () => {
  const { places, world, settled } = stage();
  world.object = object("heavy");
  assert.equal(places.mayAct(home), true);
  assert.equal(places.sighted(home, world.object), false);
  assert.deepEqual(await settled(), [`depart ${actorId(home)} ${actorId(heavy)} record`, `remove ${actorId(home)}`]);
  assert.deepEqual([places.mayAct(home), places.isAway(home)], [false, true]);
});

test("[SH2] nobody acts for it from where it is stopped until its departure is kept; if that fails it goes on at home", async () => {
  const { places, world, settled } = stage();
  const kept = Promise.withResolvers<void>();
  world.object = object("heavy");
  world.depart = () => kept.promise;
  places.sighted(home, world.object);
  await settled();
  assert.deepEqual([places.mayAct(home), places.mayAct(heavy)], [false, false]);
  kept.reject(new Error("the lease ran out"));
  assert.deepEqual((await settled()).slice(0, 1), [`stay ${actorId(home)}`]);
});

const strangers: { name: string; contents: Partial<Contents>; key: ActorKey; moved?: { record: ActorRecord | null } }[] = [
  { name: "a copy of a message that stands there no more", contents: {}, key: heavy },
  { name: "the same for its home", contents: away, key: home },
  { name: "what comes home though it is there", contents: {}, key: home, moved: { record } },
  { name: "the sign in a shard that it is there", contents: here, key: heavy, moved: { record: null } },
];
for (const { name, contents, key, moved } of strangers)
  test(`[SH2] ${name} moves nothing`, async () => {
    const { places, world, settled } = stage(contents);
    world.moved = moved;
    assert.equal(places.received({ key, kind: "moved", body: { record }, seq: 1 }), true);
    assert.deepEqual(await settled(), []);
  });

test("[SH1] in its shard it is taken in before it acts, and told what its object says", async () => {
  const { places, world, settled } = stage();
  [world.moved, world.object] = [{ record }, object("heavy")];
  assert.equal(places.sighted(heavy, world.object), false);
  places.received({ key: heavy, kind: "moved", body: {}, seq: 1 });
  assert.equal(places.mayAct(heavy), false);
  assert.deepEqual(await settled(), [`arrive ${actorId(heavy)} record`, `adopt ${actorId(heavy)}`, `tell ${actorId(heavy)} is`]);
  assert.equal(places.mayAct(heavy), true);
});

const returns: { name: string; seen: RawObject | undefined; says: string[] }[] = [
  { name: "without a label", seen: object(), says: [`arrive ${actorId(home)} record`, `adopt ${actorId(home)}`, `tell ${actorId(home)} is`] },
  { name: "with another one", seen: object("light"), says: [`pass on ${actorId(home)} ${actorId(home)}@1`] },
  { name: "and its object is gone", seen: undefined, says: [`arrive ${actorId(home)} record`, `adopt ${actorId(home)}`, `tell ${actorId(home)} gone`] },
];
for (const { name, seen, says } of returns)
  test(`[SH1] what comes back from its shard ${name}`, async () => {
    const { places, world, settled } = stage(away);
    [world.moved, world.object] = [{ record }, seen];
    places.received({ key: home, kind: "moved", body: {}, seq: 1 });
    assert.deepEqual(await settled(), says);
  });

test("[SH1] an object whose label changed is called back, and its shard sends it home", async () => {
  const { places, settled } = stage(away);
  assert.equal(places.sighted(home, object("light")), false);
  assert.deepEqual(await settled(), [`send ${actorId(heavy)} leave`]);

  const shard = stage(here);
  shard.places.received({ key: heavy, kind: "leave", body: {}, seq: 2 });
  assert.deepEqual((await shard.settled()).slice(0, 2), [`depart ${actorId(heavy)} ${actorId(home)} record`, `remove ${actorId(heavy)}`]);
  assert.equal(shard.places.mayAct(heavy), false);
});

test("[SH3] what is said to an object is passed on to its shard; a source's news come home, and go to those who wait", async () => {
  const { places, settled } = stage(away);
  assert.equal(places.received({ key: home, kind: "look", body: {}, seq: 3 }), true);
  assert.equal(places.received({ key: home, kind: "news", body: { kind: "artifact", body: {} }, seq: 4 }), true);
  assert.equal(places.received({ key: home, kind: "news", body: "nonsense", seq: 5 }), true);
  assert.deepEqual(await settled(), [`send ${actorId(heavy)} look`, "send kustomization/apps/waiter artifact"]);
  assert.equal(stage().places.received({ key: home, kind: "look", body: {}, seq: 3 }), false);
});

const unseen: { name: string; exists: boolean | Error; says: string[] }[] = [
  { name: "and is there: its home will call it back", exists: true, says: [] },
  { name: "and is not there: it is gone", exists: false, says: [`tell ${actorId(heavy)} gone`] },
  { name: "and nobody can say: it is asked again", exists: new Error("away"), says: [] },
];
for (const { name, exists, says } of unseen)
  test(`[SH5] what its shard is not shown any more ${name}`, async () => {
    const { places, world, settled } = stage(here);
    world.exists = exists;
    assert.equal(places.sighted(heavy, undefined), false);
    assert.equal(places.mayAct(heavy), false);
    assert.deepEqual(await settled(), says);
    assert.equal(places.sighted(heavy, object("heavy")), true);
    assert.equal(places.mayAct(heavy), true);
  });

test("[SW5] news in an actor's own mailbox are passed on to all who wait, also by a successor, and not for ever", async () => {
  const body = { kind: "artifact", body: { revision: "main@sha1:2" }, atMs: 1_000_000 };
  const now = stage({}, 1_000_000 + 4 * 60_000);
  assert.equal(now.places.received({ key: home, kind: "news", body, seq: 1 }), true);
  assert.deepEqual(await now.settled(), ["send kustomization/apps/waiter artifact"]);
  const later = stage({}, 1_000_000 + 6 * 60_000);
  assert.equal(later.places.received({ key: home, kind: "news", body, seq: 1 }), true);
  assert.deepEqual(await later.settled(), []);
});
