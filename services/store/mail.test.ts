import assert from "node:assert/strict";
import test from "node:test";
import { actorId, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import { subject } from "#protocol/names/subject.ts";
import { memoryLog, MemoryStream } from "../../test/simulate/memory-log.ts";
import { Process, VirtualTime } from "../../test/simulate/time.ts";
import { addressees, anyChange, Mail, type Delivered } from "./mail.ts";

const unit = (name: string): ActorKey => ({ kind: "kustomization", namespace: "apps", name });
const shop = unit("shop");
const source: ActorKey = { kind: "gitrepository", namespace: "apps", name: "shop" };

function bench() {
  const time = new VirtualTime();
  const stream = new MemoryStream(() => time.nowMs);
  const process = new Process(time, "w1");
  const way = { copies: [] as (number | undefined)[], lagMs: 0, cut: false };
  const log = memoryLog(stream, {
    client: "w1", clock: process.clock, later: (ms, does) => void time.in(ms, does), enter: (does) => process.enter(does),
    fate: () => (way.cut ? { arriveMs: undefined, answerMs: undefined } : { arriveMs: 0, answerMs: 1 }),
    copyMs: () => (way.copies.length > 0 ? way.copies.shift() : 1), lagMs: () => way.lagMs, commitMs: () => 0,
  });
  const [hints, waiters, unreadable]: [Delivered[], string[], string[]] = [[], [], []];
  const ours = new Set([shop, source, unit("late"), unit("lost")].map(partitionOf));
  const mail = new Mail(log, {
    clock: process.clock, isOurs: (partition) => ours.has(partition), deliver: (hint) => hints.push(hint),
    awaited: (_, waiter, missed) => waiters.push(`${waiter.name}${missed ? ", missed" : ""}`), onUnreadable: (name) => unreadable.push(name),
  });
  mail.start();
  const hint = (key: ActorKey, data = "{}") => stream.store([{ subject: subject.mailbox(key, "look"), data }]);
  const waits = (waiter: string, does = true) => stream.store([{ subject: subject.dependent(source, unit(waiter)), data: does ? "1" : "", ...(!does && { ttlSeconds: 60 }) }]);
  const dependents = () => mail.dependentsOf(source).map(({ name }) => name).sort();
  return { time, stream, way, mail, ours, hints, waiters, unreadable, hint, waits, dependents, run: (ms: number) => time.run(ms, () => false) };
}

test("[OW6] a hint is taken live, and what no copy told of is found by a scan", async () => {
  const { run, way, hint, hints } = bench();
  await run(100);
  hint(shop);
  await run(10);
  assert.deepEqual(hints.map(({ key }) => key.name), ["shop"]);
  way.copies = [undefined];
  hint(unit("lost"));
  await run(6_000);
  assert.equal(hints.filter(({ key }) => key.name === "lost").length, 1);
});

test("[OW6] a copy that comes late comes with its sequence, for whoever took a later one", async () => {
  const { run, way, hint, hints } = bench();
  await run(100);
  way.copies = [3_000, 1];
  const [early, later] = [hint(shop, "1"), hint(shop, "2")];
  await run(4_000);
  assert.deepEqual(hints.map(({ seq, body }) => [seq, body]), [[later, 2], [early, 1]]);
});

test("[OW6] a live copy does not move the place where the scan goes on", async () => {
  const { run, way, hint, hints } = bench();
  await run(100);
  way.copies = [undefined, 1];
  hint(unit("lost"));
  hint(shop);
  await run(6_000);
  assert.ok(hints.some(({ key }) => key.name === "lost"));
});

test("[OW6] a scan that fails is made again, from where the last one ended", async () => {
  const { run, way, hint, hints } = bench();
  await run(100);
  way.cut = true;
  way.copies = [undefined];
  hint(unit("lost"));
  await run(20_000);
  way.cut = false;
  await run(6_000);
  assert.equal(hints.length, 1);
});

test("[OW6] what was taken is not taken again: by its live copy, by a scan, by a copy that comes later still", async () => {
  const { run, way, hint, hints, mail, stream } = bench();
  await run(100);
  const stored = { subject: subject.mailbox(shop, "look"), data: "{}", headers: {} };
  const before = stream.store([stored]);
  mail.take(partitionOf(shop), { mail: [{ ...stored, sequence: before }], dependents: [] }, before);
  for (const name of ["lost", "late"]) mail.take(partitionOf(unit(name)), { mail: [], dependents: [] }, before);
  await run(6_000);
  hint(shop);
  way.copies = [undefined, 12_000];
  hint(unit("lost"));
  hint(unit("late"));
  await run(20_000);
  assert.deepEqual(hints.map(({ key }) => key.name), ["shop", "shop", "lost", "late"]);
});

test("[OW42] what was taken is taken again with its partition", async () => {
  const { run, hint, hints, mail } = bench();
  await run(100);
  mail.take(partitionOf(shop), { mail: [], dependents: [] }, 0);
  hint(shop);
  await run(6_000);
  mail.drop(partitionOf(shop), () => source);
  mail.take(partitionOf(shop), { mail: [], dependents: [] }, 0);
  await run(6_000);
  assert.equal(hints.length, 2);
});

test("[OW42] what is not ours is not read; it is when its partition was taken, however far the scans have come", async () => {
  const { run, way, hint, hints, ours, mail } = bench();
  ours.clear();
  await run(100);
  const taken = 0;
  hint(shop);
  await run(12_000);
  assert.deepEqual(hints, []);
  ours.add(partitionOf(shop));
  way.lagMs = 0;
  mail.take(partitionOf(shop), { mail: [], dependents: [] }, taken); // a replica that showed the owner record, and nothing after it
  await run(6_000);
  assert.equal(hints.length, 1);
});

test("[OW17] what is no hint is set aside and named", async () => {
  const { run, stream, hints, unreadable } = bench();
  await run(100);
  const partition = partitionOf(shop);
  stream.store([{ subject: `fl.${partition}.mbx.what`, data: "{}" }, { subject: subject.mailbox(shop, "look"), data: "{" }, { subject: `fl.${partition}.dep.what`, data: "1" }]);
  await run(10);
  assert.deepEqual([hints, unreadable], [[], [`fl.${partition}.mbx.what`, subject.mailbox(shop, "look"), `fl.${partition}.dep.what`]]);
});

test("[OW43] who waits is known, told of once, and forgotten when it waits no longer", async () => {
  const { run, waits, waiters, dependents } = bench();
  await run(100);
  waits("a");
  waits("b");
  await run(6_000);
  assert.deepEqual([dependents(), waiters], [["a", "b"], ["a", "b"]]);
  waits("a", false);
  await run(10);
  assert.deepEqual(dependents(), ["b"]);
  waits("a");
  await run(10);
  assert.deepEqual([dependents(), waiters], [["a", "b"], ["a", "b", "a"]]);
});

test("[OW43] a waiter whose copy got lost is found by a scan, and told of as missed", async () => {
  const { run, way, waits, waiters, dependents } = bench();
  await run(100);
  way.copies = [undefined, undefined];
  waits("a");
  await run(6_000);
  assert.deepEqual([dependents(), waiters], [["a"], ["a, missed"]]);
  waits("a", false);
  await run(6_000);
  assert.deepEqual(dependents(), []);
});

const orders = [
  { what: "that it waits, after that it does no longer", first: true, second: false, left: [] },
  { what: "that it does no longer, after that it waits again", first: false, second: true, left: ["a"] },
];
for (const { what, first, second, left } of orders)
  test(`[OW43] a copy that comes late changes nothing: ${what}`, async () => {
    const { run, way, waits, dependents } = bench();
    await run(100);
    way.copies = [8_000, 1];
    waits("a", first);
    waits("a", second);
    await run(100);
    assert.deepEqual(dependents(), left);
    await run(10_000);
    assert.deepEqual(dependents(), left);
  });

test("[OW43] what was read when the partition was taken does not bring back who has gone since", async () => {
  const { run, waits, mail, dependents } = bench();
  await run(100);
  const sequence = waits("a");
  await run(10);
  waits("a", false);
  await run(10);
  const read = [{ awaited: source, waiter: unit("a"), sequence, word: "1" }, { awaited: source, waiter: unit("b"), sequence: 1, word: "1" }];
  mail.take(partitionOf(source), { mail: [], dependents: read }, sequence);
  assert.deepEqual(dependents(), ["b"]);
});

test("[OW43] who waited is remembered for a minute, not for ever", async () => {
  const { run, waits, mail } = bench();
  await run(100);
  waits("a");
  waits("a", false);
  await run(70_000);
  assert.equal((Reflect.get(mail, "dependents") as Map<string, unknown>).size, 0);
});

test("[OW42] a partition that was let go leaves nothing behind", async () => {
  const { run, waits, mail, ours, dependents, hint, hints } = bench();
  await run(100);
  waits("a");
  await run(10);
  ours.delete(partitionOf(source));
  mail.drop(partitionOf(source), (id) => { const [kind = "", namespace = "", name = ""] = id.split("/"); return { kind, namespace, name }; });
  assert.deepEqual(dependents(), []);
  mail.close();
  hint(shop);
  await run(20_000);
  assert.deepEqual(hints, []);
});

test("[RS16] who has mail that it has not seen is known before the mail is opened", () => {
  const record = (look: number) => ({ v: 1 as const, machine: "kustomization", snapshot: { status: "active", context: {} }, timers: [], runs: [], attempts: 0, outbox: [], seen: { look } });
  const letter = (name: string, sequence: number) => ({ subject: name, sequence, data: "{}", headers: {} });
  const records = [{ key: shop, record: record(5) }, { key: unit("late"), record: record(5) }, { key: unit("lost"), record: record(5) }];
  const mail = [letter(subject.mailbox(shop, "look"), 5), letter(subject.mailbox(unit("late"), "look"), 6), letter(subject.mailbox(unit("nobody"), "look"), 6), letter("fl.1.mbx.odd", 9)];
  assert.deepEqual([...addressees({ records, mail })], ["kustomization/apps/late"]);
});

test("[DP7] who wants to know of every change is told apart, and who changes its mind is heard again", async () => {
  const { run, stream, mail, waiters } = bench();
  await run(100);
  const say = (waiter: string, word: string) => stream.store([{ subject: subject.dependent(shop, unit(waiter)), data: word }]);
  say("a", "1");
  say("b", anyChange);
  await run(10);
  const named = (word?: string) => mail.dependentsOf(shop, word).map(({ name }) => name).sort();
  assert.deepEqual([named(), named(anyChange), [...mail.awaited()]], [["a", "b"], ["b"], [actorId(shop)]]);
  say("a", anyChange);
  await run(10);
  assert.deepEqual([named(anyChange), waiters], [["a", "b"], ["a", "b", "a"]]);
  for (const waiter of ["a", "b"]) say(waiter, "");
  await run(10);
  assert.deepEqual([named(), [...mail.awaited()]], [[], []]);
});
