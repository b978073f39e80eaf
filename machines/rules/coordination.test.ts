import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { coordinate, joinMs, mostMoves, planMs, type Act, type Assignment, type Member, type Own, type View, type Want } from "./coordination.ts";

const nowMs = 100_000;
const member = (worker: string, changes: Partial<Omit<Member, "about">> & { about?: Partial<Member["about"]> } = {}): Member => ({
  worker, sequence: 10, seenMs: nowMs - 100, joinedMs: 0, gone: false, farewell: false, ...changes,
  about: { capacity: 1, draining: false, refuses: [], actors: 0, load: 0, protocol: 1, shard: "", ...changes.about },
});
const dead = (worker: string): Member => member(worker, { gone: true });
const parted = (worker: string): Member => member(worker, { gone: true, farewell: true });
const silent = (worker: string): Member => member(worker, { seenMs: nowMs - 2_100 });

const own = (worker: string, partition: number, epoch = 3): Own => ({ worker, epoch, cause: "claim", sequence: 100 + partition });
/** One letter per partition: who owns it; `-`: nobody; `.`: nothing is known. */
const owners = (letters: string): View["owners"] => [...letters].map((letter, partition) => (letter === "." ? undefined : own(letter === "-" ? "" : letter, partition)));
const want = (from: string, to: string, changes: Partial<Want> = {}): Want => ({ v: 1, from, to, plan: "p", sequence: 900, sinceMs: nowMs - 50, ...changes });
const view = (members: Member[], letters: string, changes: Partial<View> = {}): View => ({
  nowMs, steadySinceMs: 1, members, owners: owners(letters), wants: new Map(), costs: new Map(), shards: [], ...changes,
});
const done = (acts: Act[], what: Act["do"]) => acts.filter((act) => act.do === what);
const assigned = (acts: Act[]): Assignment[] => acts.flatMap((act) => (act.do === "assign" ? act.assignments : []));

const declared = [
  { why: "it was heard of late", view: view([member("a"), silent("b")], "ab"), worker: ["b"] },
  { why: "it was heard of a moment before that", view: view([member("a"), member("b", { seenMs: nowMs - 2_099 })], "ab"), worker: [] },
  { why: "our own heartbeats do not get through", view: view([member("a"), silent("b")], "ab", { steadySinceMs: 0 }), worker: [] },
  { why: "ours get through only since just now", view: view([member("a"), silent("b")], "ab", { steadySinceMs: nowMs - 2_099 }), worker: [] },
  { why: "it is known to be gone", view: view([member("a"), { ...silent("b"), gone: true }], "aa"), worker: [] },
  { why: "it owns something and no heartbeat of it is stored", view: view([member("a"), { ...silent("b"), sequence: 0 }], "ab"), worker: ["b"] },
];
for (const { why, view: seen, worker } of declared)
  test(`[OW35] declared dead: ${worker.join() || "nobody"}: ${why}`, () =>
    assert.deepEqual(done(coordinate(seen), "declare").map((act) => act.do === "declare" && act.worker), worker));

test("[OW35] the mark of death compares with the last heartbeat that was seen", () =>
  assert.deepEqual(done(coordinate(view([member("a"), { ...silent("b"), sequence: 77 }], "ab")), "declare"), [{ do: "declare", worker: "b", expect: 77 }]));

const homes = [
  { what: "never owned", members: [member("a")], letters: ".", homeless: true, cause: "claim", epoch: 1, expect: 0 },
  { what: "handed to nobody", members: [member("a")], letters: "-", homeless: true, cause: "claim", epoch: 4, expect: 100 },
  { what: "of one that said goodbye", members: [member("a"), parted("b")], letters: "b", homeless: true, cause: "claim", epoch: 4, expect: 100 },
  { what: "of one that was held for dead", members: [member("a"), dead("b")], letters: "b", homeless: true, cause: "crash", epoch: 4, expect: 100 },
  { what: "of one that is silent, and not declared dead", members: [member("a"), silent("b")], letters: "b", homeless: false },
  { what: "of one that nothing is known of", members: [member("a")], letters: "b", homeless: false },
  { what: "of a living one", members: [member("a"), member("b")], letters: "b", homeless: false },
];
for (const { what, members, letters, homeless, cause, epoch, expect } of homes)
  test(`[OW36] a partition ${what} ${homeless ? `is given away, for ${cause}` : "stays where it is"}`, () =>
    assert.deepEqual(assigned(coordinate(view(members, letters))), homeless ? [{ partition: 0, to: "a", cause, epoch, expect }] : []));

test("[OW36] nothing is given to one that is silent, unknown or gone, nor what it cannot read", () => {
  const members = [member("a", { about: { refuses: [1] } }), silent("b"), dead("c"), member("d", { sequence: 0 })];
  assert.deepEqual(assigned(coordinate(view(members, "--"))).map(({ partition, to }) => [partition, to]), [[0, "a"]]);
});

test("[OW37] what nobody can read stays nobody's, and holds up nothing else", () => {
  const members = [member("a", { about: { refuses: [4] } }), member("b", { about: { refuses: [4] } })];
  const acts = coordinate(view(members, "aaaa-"));
  assert.deepEqual([assigned(acts), done(acts, "want").length], [[], 2]);
});

const letters = "aaaaaaaaaaaabbbb";
const unmoved = [
  { why: "something is homeless", view: view([member("a"), member("b")], `${letters}-`) },
  { why: "somebody is in doubt", view: view([member("a"), member("b"), silent("c")], letters) },
  { why: "the one that lacks has just come", view: view([member("a"), member("b", { joinedMs: nowMs - joinMs + 1 })], letters) },
  { why: "what is planned evens it out", view: view([member("a"), member("b")], letters, { wants: new Map([0, 1, 2, 3].map((p) => [p, want("a", "b")])) }) },
  { why: "shares are even", view: view([member("a"), member("b")], "abab") },
];
for (const { why, view: seen } of unmoved) test(`[OW38] nothing moves: ${why}`, () => assert.deepEqual(done(coordinate(seen), "want"), []));

test("[OW38] otherwise as many move as even it out, from those that have too many", () => {
  const acts = done(coordinate(view([member("a"), member("b")], letters)), "want");
  assert.deepEqual(acts.map((act) => act.do === "want" && `${act.from}${act.to}`), ["ab", "ab", "ab", "ab"]);
});

test("[OW38] never more at a time than a twentieth, or eight, counting those under way", () => {
  const many = "a".repeat(400);
  const members = [member("a"), member("b")];
  assert.equal(done(coordinate(view(members, many)), "want").length, mostMoves(400));
  assert.equal(mostMoves(400), 20);
  assert.equal(mostMoves(16), 8);
  const wants = new Map(Array.from({ length: 17 }, (_, p) => [p, want("a", "b")] as const));
  assert.equal(done(coordinate(view(members, many, { wants })), "want").length, 3);
});

const plans = [
  { why: "it is carried out", letters: "b", want: want("a", "b"), members: [member("a"), member("b")] },
  { why: "its owner is another by now", letters: "c", want: want("a", "b"), members: [member("a"), member("b"), member("c")] },
  { why: "the one that was to have it is gone", letters: "a", want: want("a", "b"), members: [member("a"), dead("b")] },
  { why: "nothing is known of the one that was to have it", letters: "a", want: want("a", "b"), members: [member("a")] },
  { why: "the one that was to have it cannot read it", letters: "a", want: want("a", "b"), members: [member("a"), member("b", { about: { refuses: [0] } })] },
  { why: "it came to nothing for long", letters: "a", want: want("a", "b", { sinceMs: nowMs - planMs - 1 }), members: [member("a"), member("b")] },
  { why: "", letters: "a", want: want("a", "b"), members: [member("a"), member("b")] },
];
for (const { why, letters: owned, want: plan, members } of plans)
  test(`[OW39] a plan ${why ? `is dropped: ${why}` : "stands while it may be carried out"}`, () =>
    assert.deepEqual(done(coordinate(view(members, owned, { wants: new Map([[0, plan]]) })), "unwant"), why ? [{ do: "unwant", partition: 0, expect: 900 }] : []));

test("[OW39] plans that are dropped do not count for the next ones", () => {
  const stale = new Map(Array.from({ length: 8 }, (_, p) => [p, want("c", "b")] as const)); // none of them was ever "c"'s
  const acts = coordinate(view([member("a"), member("b")], letters, { wants: stale }));
  assert.equal(done(acts, "unwant").length, 8);
  assert.ok(done(acts, "want").every((act) => act.do === "want" && act.from === "a"), "as if b had them all");
});

test("[OW35] a coordinator that knows of nobody does nothing but tell the dead", () =>
  assert.deepEqual(coordinate(view([silent("a")], "a.")).map((act) => act.do), ["declare"]));

/** What NATS and the workers make of it, at once and without trouble. */
function apply(seen: View, acts: Act[]): View {
  const [members, owned, wants] = [[...seen.members], [...seen.owners], new Map(seen.wants)];
  for (const act of acts)
    if (act.do === "declare") members.splice(members.findIndex(({ worker }) => worker === act.worker), 1, dead(act.worker));
    else if (act.do === "unwant") wants.delete(act.partition);
    else if (act.do === "want") wants.set(act.partition, want(act.from, act.to, { sinceMs: seen.nowMs }));
    else
      for (const { partition, to, epoch, cause, expect } of act.assignments) {
        assert.equal(expect, owned[partition]?.sequence ?? 0);
        assert.ok(epoch > (owned[partition]?.epoch ?? 0));
        owned[partition] = { worker: to, epoch, cause, sequence: expect + 1_000 };
      }
  for (const [partition, { from, to }] of wants) {
    const before = owned[partition];
    if (before?.worker === from) owned[partition] = { ...before, worker: to, epoch: before.epoch + 1, sequence: before.sequence + 1_000 };
  }
  return { ...seen, members, owners: owned, wants };
}

const someMember = (worker: string) => fc.record({ kind: fc.constantFrom("well", "well", "silent", "dead", "parted", "phantom"), draining: fc.boolean(), here: fc.constant(worker) })
  .map(({ kind, draining }): Member => {
    const made = { well: member(worker), silent: silent(worker), dead: dead(worker), parted: parted(worker), phantom: { ...silent(worker), sequence: 0 } }[kind] ?? member(worker);
    return { ...made, about: { ...made.about, draining: draining && worker !== "a" } };
  });
const someView = fc.tuple(fc.tuple(...["b", "c", "d"].map(someMember)), fc.array(fc.constantFrom("a", "a", "b", "c", "d", "-", "."), { minLength: 1, maxLength: 60 }))
  .map(([others, letters]) => view([member("a"), ...others], letters.join("")));

test("[OW40] what it does comes to an end, and then all who stay have even shares", () =>
  fc.assert(fc.property(someView, (start) => {
    let seen = start;
    let rounds = 0;
    let moves = 0;
    for (let acts = coordinate(seen); acts.length > 0; acts = coordinate(seen), rounds++) {
      assert.ok(rounds < 50, "no end");
      moves += done(acts, "want").length;
      seen = apply(seen, acts);
    }
    const staying = seen.members.filter(({ gone, about }) => !gone && !about.draining).map(({ worker }) => worker);
    const shares = staying.map((worker) => seen.owners.filter((each) => each?.worker === worker).length);
    assert.equal(shares.reduce((sum, share) => sum + share, 0), seen.owners.length);
    assert.ok(Math.max(...shares) - Math.min(...shares) <= 1, shares.join());
    assert.ok(moves <= seen.owners.length, "none moves twice");
  })));

test("[OW40] whoever comes or goes, no more partitions change hands than its part and one per worker", () =>
  fc.assert(fc.property(fc.integer({ min: 1, max: 9 }), fc.boolean(), (workers, comes) => {
    const names = Array.from({ length: workers + 1 }, (_, i) => `w${i}`);
    const stayed = names.slice(0, workers);
    const shared = comes ? stayed : names;
    const before = Array.from({ length: 240 }, (_, p) => own(shared[p % shared.length] ?? "", p));
    const last = names[workers] ?? "";
    let seen: View = { ...view([], ""), members: [...stayed.map((name) => member(name)), comes ? member(last) : dead(last)], owners: before };
    for (let acts = coordinate(seen); acts.length > 0; acts = coordinate(seen)) seen = apply(seen, acts);
    const moved = seen.owners.filter((each, p) => each?.worker !== before[p]?.worker).length;
    assert.ok(moved <= Math.ceil(240 / (workers + 1)) + workers, `${moved}`);
  })));
