import assert from "node:assert/strict";
import test from "node:test";
import { contextOf, hosted, key, object, stateOf, working } from "./lamp.ts";

test("[OW13] a run begins when the decision that asks for it is kept, and not before", async () => {
  const { host, commits, performed, settle } = hosted();
  host.deliver(key, object("u1"));
  await settle();
  commits[0]?.accept(); // the actor's birth
  await settle();
  assert.equal(stateOf(commits[1]?.record), "working");
  assert.equal(performed.length, 0);
  assert.equal(stateOf(host.record(key)), "waiting", "nobody sees what is not kept");
  commits[1]?.accept();
  await settle();
  assert.deepEqual(performed.map(({ src, run }) => [src, run.attempt]), [["work", 1]]);
});

test("[OW13] events that come while a decision is being kept are decided on together, in order", async () => {
  const { host, commits, settle } = await working();
  const before = commits.length;
  host.deliver(key, { type: "tell", text: "a" });
  await settle();
  host.deliver(key, { type: "tell", text: "b" });
  host.deliver(key, { type: "tell", text: "c" });
  await settle();
  assert.equal(commits.length, before + 1);
  commits[before]?.accept();
  await settle();
  assert.deepEqual(commits[before + 1]?.record?.outbox.map((notice) => notice["message"]), ["a", "b", "c"]);
});

test("[OW14] the answer of a run that left the record counts for nothing", async () => {
  const { host, performed, settle, keepAll } = await working();
  const [first] = performed;
  host.deliver(key, object("u2"));
  await settle();
  await keepAll();
  assert.equal(first?.signal.aborted, true);
  first?.answer(99);
  await settle();
  await keepAll();
  assert.equal(performed[1]?.run.attempt, 2);
  performed[1]?.answer(7);
  await settle();
  await keepAll();
  assert.equal(contextOf(host.record(key)).turns, 7);
});

test("[OW14] nor does one that comes while the decision against it is being kept", async () => {
  const { host, performed, commits, settle, keepAll } = await working();
  host.deliver(key, object("u2"));
  await settle();
  assert.equal(stateOf(commits.at(-1)?.record), "working");
  performed[0]?.answer(99);
  await settle();
  await keepAll();
  assert.deepEqual([stateOf(host.record(key)), contextOf(host.record(key)).turns], ["working", 0]);
});

test("[OW16] the next run waits until the one before has ended", async () => {
  const { host, performed, settle, keepAll } = await working();
  host.deliver(key, object("u2"));
  await settle();
  await keepAll();
  assert.equal(performed.length, 1);
  performed[0]?.fail(new Error("stopped"));
  await settle();
  assert.equal(performed.length, 2);
});

test("[OW16] but not for ever", async () => {
  const { host, performed, settle, keepAll, advance } = await working();
  host.deliver(key, object("u2"));
  await settle();
  await keepAll();
  await advance(4_999);
  assert.equal(performed.length, 1);
  await advance(1);
  assert.equal(performed.length, 2);
});

test("[OW16] an actor of the same name waits too", async () => {
  const { host, performed, settle, keepAll } = await working();
  host.deliver(key, object("leaving"));
  await settle();
  await keepAll();
  performed[0]?.fail(new Error("stopped"));
  await settle();
  const clear = performed[1];
  host.deliver(key, object("u2")); // it came back: the clearing is told to stop, and is slow to
  await settle();
  await keepAll();
  assert.equal(clear?.signal.aborted, true);
  assert.equal(performed.length, 2);
  clear?.answer(null);
  await settle();
  assert.equal(performed[2]?.src, "work");
});

test("[OW15] a timer is armed from the record, and one that left it never fires", async () => {
  const { host, performed, timersDue, settle, keepAll, advance } = await working();
  performed[0]?.answer(1);
  await settle();
  await keepAll();
  assert.deepEqual(timersDue(), [2_000]);
  host.deliver(key, object("u2"));
  await settle();
  await keepAll();
  assert.deepEqual(timersDue(), []);
  assert.equal(stateOf(host.record(key)), "working");
  await advance(5_000);
  assert.equal(performed.length, 2);
});

test("[OW15] one that fires while the decision against it is being kept changes nothing", async () => {
  const { host, performed, commits, settle, keepAll, advance } = await working();
  performed[0]?.answer(1);
  await settle();
  await keepAll();
  host.deliver(key, object("leaving"));
  await settle();
  assert.equal(stateOf(commits.at(-1)?.record), "clearing");
  await advance(1_000);
  await keepAll();
  assert.equal(stateOf(host.record(key)), "clearing");
});

test("[OW15] whoever takes a record up starts its runs and arms its timers, overdue ones at once", async () => {
  const first = await working();
  const record = first.host.record(key);
  const second = hosted();
  second.host.adopt(key, record);
  await second.settle();
  assert.deepEqual(second.performed.map(({ run }) => run.attempt), [1]);
  assert.equal(second.commits.length, 0, "taking up is no decision");
  first.performed[0]?.answer(1);
  await first.settle();
  await first.keepAll();
  const third = hosted();
  third.host.adopt(key, first.host.record(key));
  await third.advance(10_000);
  await third.keepAll();
  assert.equal(stateOf(third.host.record(key)), "working");
});

test("[OW6] a hint is taken once; one that changes nothing is not worth a write", async () => {
  const { host, commits, settle, keepAll } = await working();
  const before = commits.length;
  host.deliver(key, { type: "look" }, { kind: "look", seq: 5 });
  await settle();
  assert.equal(commits.length, before);
  assert.equal(host.record(key)?.seen["look"], 5);
  host.deliver(key, { type: "tell", text: "again" }, { kind: "look", seq: 5 });
  host.deliver(key, { type: "tell", text: "older" }, { kind: "look", seq: 4 });
  await settle();
  assert.equal(commits.length, before);
  host.deliver(key, { type: "tell", text: "news" }, { kind: "look", seq: 6 });
  await settle();
  assert.equal(commits.at(-1)?.record?.seen["look"], 6);
  await keepAll();
});

test("[OW18] a notice stays in the record until it was told, and is offered again by whoever takes the record up", async () => {
  const first = await working();
  first.host.deliver(key, { type: "tell", text: "hello" });
  await first.settle();
  assert.equal(first.told.length, 0, "not before it is kept");
  await first.keepAll();
  assert.deepEqual(first.told.map(({ text }) => text), ["hello"]);
  const second = hosted();
  second.host.adopt(key, first.host.record(key));
  assert.deepEqual(second.told.map(({ text }) => text), ["hello"]);
  second.told[0]?.done();
  await second.settle();
  assert.deepEqual(second.commits.at(-1)?.record?.outbox, []);
});

test("[OW18] news for many are kept as a notice is, until they were told", async () => {
  const { host, told, settle, keepAll } = await working();
  host.deliver(key, { type: "elect" });
  await settle();
  await keepAll();
  assert.deepEqual(told.map(({ text }) => text), ["elected"]);
  const next = hosted();
  next.host.adopt(key, host.record(key));
  assert.deepEqual(next.told.map(({ text }) => text), ["elected"]);
});

test("[OW18] one that was told while another decision was being kept is not told again", async () => {
  const { host, told, commits, settle, keepAll } = await working();
  host.deliver(key, { type: "tell", text: "a" });
  host.deliver(key, { type: "tell", text: "b" });
  await settle();
  await keepAll();
  told[0]?.done();
  await settle();
  told[1]?.done(); // that "a" was told is being kept
  await settle();
  await keepAll();
  assert.deepEqual(told.map(({ text }) => text), ["a", "b"]);
  assert.deepEqual(commits.at(-1)?.record?.outbox, []);
});

test("[OW18] one that cannot be told is dropped", async () => {
  const { host, told, commits, settle, keepAll } = await working();
  host.deliver(key, { type: "tell", text: "hello" });
  await settle();
  await keepAll();
  told[0]?.fail();
  await settle();
  assert.deepEqual(commits.at(-1)?.record?.outbox, []);
});

test("[OW21] an actor that is over leaves a tombstone, once it has told everything", async () => {
  const { host, performed, told, commits, settle, keepAll } = await working();
  host.deliver(key, object("leaving"));
  host.deliver(key, { type: "tell", text: "farewell" });
  await settle();
  await keepAll();
  performed[0]?.fail(new Error("stopped"));
  await settle();
  performed[1]?.answer(null);
  await settle();
  await keepAll();
  assert.notEqual(commits.at(-1)?.record, null);
  told[0]?.done();
  await settle();
  await keepAll();
  assert.equal(commits.at(-1)?.record, null);
  assert.equal(host.size, 0);
});

test("[OW21] an object that comes under the same name while the tombstone is written begins a new actor", async () => {
  const { host, performed, told, commits, settle, keepAll } = await working();
  host.deliver(key, object("leaving"));
  await settle();
  await keepAll();
  performed[0]?.fail(new Error("stopped"));
  await settle();
  host.deliver(key, { type: "tell", text: "holds the pump" });
  await settle();
  performed[1]?.answer(null);
  await settle();
  host.deliver(key, object("u2")); // decided on together with the answer
  await settle();
  commits.at(-1)?.accept();
  await settle();
  commits.at(-1)?.accept();
  await settle();
  told[0]?.done();
  await settle();
  assert.equal(commits.at(-1)?.record, null);
  host.deliver(key, object("u3")); // comes while it is being written
  await settle();
  await keepAll();
  assert.equal(contextOf(host.record(key)).uid, "u3");
});

test("[OW21] only its object brings an actor to life", async () => {
  const { host, commits, settle } = hosted();
  host.deliver(key, { type: "look" });
  host.deliver(key, object(null));
  host.deliver({ ...key, kind: "unheard-of" }, object("u1"));
  await settle();
  assert.deepEqual([host.size, commits.length], [0, 0]);
});

const poisons = [
  { name: "the chart throws", hurt: (world: Awaited<ReturnType<typeof working>>) => world.host.deliver(key, { type: "poison" }) },
  { name: "its record is damaged", hurt: (world: Awaited<ReturnType<typeof working>>) => world.host.quarantine(key, { code: "RecordUnreadable", subject: "lamp" }) },
];
for (const { name, hurt } of poisons)
  test(`[OW17] when ${name}, the actor does nothing, whatever it is told, and the others go on`, async () => {
    const world = await working();
    const { host, performed, quarantines, settle, keepAll, advance } = world;
    const other = { ...key, name: "ceiling" };
    host.deliver(other, object("u9"));
    hurt(world);
    await settle();
    await keepAll();
    assert.equal(quarantines.length, 1);
    assert.equal(performed[0]?.signal.aborted, true);
    performed[0]?.answer(3);
    host.deliver(key, { type: "look" });
    await settle();
    await keepAll();
    await advance(60_000);
    assert.deepEqual(performed.filter((call) => call.key.name === key.name).length, 1, "nothing of it runs");
    assert.equal(stateOf(host.record(other)), "working");
    host.deliver(key, object("u2"));
    await settle();
    await keepAll();
    assert.equal(host.quarantineOf(key), null);
    assert.equal(stateOf(host.record(key)), "working");
    assert.ok((host.record(key)?.runs[0]?.attempt ?? 0) > 1, "attempts count on: no old answer fits a new run");
  });

test("[OW17] an object behind the poison is not lost", async () => {
  const { host, settle, keepAll } = await working();
  host.deliver(key, { type: "tell", text: "holds the pump" });
  await settle();
  host.deliver(key, { type: "poison" });
  host.deliver(key, object("u2"));
  await settle();
  await keepAll();
  assert.equal(host.quarantineOf(key), null);
  assert.equal(contextOf(host.record(key)).uid, "u2");
});

test("[OW17] an object that is the poison quarantines once, not in a loop", async () => {
  const { host, quarantines, settle, keepAll } = await working();
  host.deliver(key, object("poison"));
  await settle();
  await keepAll();
  assert.equal(quarantines.length, 1);
});

test("[OW17] a record that the store will never take sets its actor aside", async () => {
  const { host, commits, quarantines, settle } = await working();
  host.deliver(key, { type: "tell", text: "too long" });
  await settle();
  commits.at(-1)?.refuse(new Error("refused: too large"));
  await settle();
  assert.deepEqual([quarantines.length, host.record(key)?.outbox.length], [1, 0]);
});

test("[OW9] a host that was stopped does nothing more: no decision, no run, no answer", async () => {
  const { host, performed, commits, settle, advance } = await working();
  host.deliver(key, object("u2"));
  await settle();
  const before = commits.length;
  host.stop();
  commits.at(-1)?.accept();
  performed[0]?.answer(1);
  host.deliver(key, object("u3"));
  await advance(60_000);
  assert.deepEqual([commits.length, performed.length, host.size], [before, 1, 0]);
  assert.equal(performed[0]?.signal.aborted, true);
});
