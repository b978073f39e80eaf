/** The parts of the feed by themselves: what a session may hold and send, and what our own writes mean for what is told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { InventoryEntry } from "#protocol/messages/kustomization.ts";
import type { Attach, Feeding } from "#protocol/messages/feed.ts";
import { partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import { Process, VirtualTime } from "../../../test/simulate/time.ts";
import type { RawObject } from "../facts.ts";
import { Contents } from "./contents.ts";
import { FluxView } from "./flux-view.ts";
import { ManagedView, type ManagedChange } from "./managed-view.ts";
import { managedId, SampleHub } from "./sample-hub.ts";
import { Session } from "./session.ts";

const unit: ActorKey = { kind: "kustomization", namespace: "apps", name: "unit" };
const object = (version: number, spec: object = {}, uid = "u"): RawObject =>
  ({ metadata: { name: unit.name, namespace: unit.namespace, uid, resourceVersion: String(version) }, spec });
const text = (version: number, spec?: object, uid?: string) => JSON.stringify(object(version, spec, uid));

const attach = (partitions: number[]): Attach => ({
  t: "attach", reader: "w1", session: "s", seen: 0, partitions, fresh: partitions.map((partition) => [partition, 1]), kinds: [], again: [],
});

function openSession(contents: Contents) {
  const sent: { message: Feeding; bytes: number }[] = [];
  const send = (message: Feeding, json: string) => void sent.push({ message, bytes: Buffer.byteLength(json) });
  const session = new Session("s", "t", 0, { contents, send, stateOf: () => undefined });
  const flushAll = () => { while (session.flush(1_000_000)); };
  const sentBytes = () => sent.reduce((sum, { bytes }) => sum + bytes, 0);
  return { session, sent, flushAll, sentBytes };
}

test("[FD6] a reader that acknowledges nothing costs a window and a queue of what it follows, however much changes", () => {
  const contents = new Contents();
  const keys = Array.from({ length: 100 }, (_, i): ActorKey => ({ ...unit, name: `unit-${i}` }));
  const { session, sent, flushAll, sentBytes } = openSession(contents);
  session.attach(attach([...new Set(keys.map(partitionOf))]));
  for (let round = 0; round < 100; round++) {
    for (const key of keys) {
      contents.setFlux(key, object(round, { filler: "x".repeat(5_000) }));
      session.fluxChanged(`${key.kind}/${key.namespace}/${key.name}`);
    }
    flushAll();
  }
  assert.ok(session.queued <= keys.length, `${session.queued} queued`);
  assert.ok(sentBytes() < 5_000_000, `${sentBytes()} bytes`);
  const before = sent.length;
  session.ack(session.last);
  flushAll();
  assert.equal(session.queued, 0);
  assert.match(JSON.stringify(sent.slice(before)), /\\"resourceVersion\\":\\"99\\"/);
});

for (const { what, filler } of [
  { what: "a status of a million characters", filler: "x".repeat(1_000_000) },
  { what: "characters of several bytes", filler: "日本語 😀 \\\" ".repeat(60_000) },
])
  test(`[FD7] no message reaches 512 KiB; a longer object comes in parts and whole: ${what}`, () => {
    const contents = new Contents();
    contents.setFlux(unit, object(1, { filler }));
    for (let i = 0; i < 3_000; i++) contents.setFlux({ ...unit, name: `unit-${i}` }, object(i, { n: i }));
    const { session, sent, flushAll } = openSession(contents);
    session.attach(attach(Array.from({ length: 1024 }, (_, i) => i)));
    for (let n = 0; n !== session.last; ) {
      n = session.last;
      session.ack(n);
      flushAll();
    }
    flushAll();
    assert.ok(sent.every(({ bytes }) => bytes < 512 * 1024), String(Math.max(...sent.map(({ bytes }) => bytes))));
    const items = sent.flatMap(({ message }) => (message.t === "items" ? message.items : []));
    const parts = items.flatMap((item) => (item.t === "flux" && item.k === "kustomization/apps/unit" ? [item.o] : []));
    assert.deepEqual(JSON.parse(parts.join("")), object(1, { filler }));
    assert.equal(new Set(items.flatMap((item) => (item.t === "flux" ? [item.k] : []))).size, 3_001);
    assert.deepEqual(sent.map(({ message }) => (message.t === "items" ? message.n : 0)), sent.map((_, i) => i + 1));
  });

test("[FD9] what is told never goes behind our own writes, and a write of ours is no news", () => {
  const view = new FluxView();
  assert.ok(view.put(unit, text(1)));
  view.wrote(unit, object(3, { mine: true }));
  assert.equal(view.put(unit, text(2)), undefined);
  assert.equal(view.get(unit)?.metadata.resourceVersion, "3");
  assert.equal(view.put(unit, text(3, { mine: true })), undefined, "our own write");
  assert.ok(view.put(unit, text(10)), "somebody else's");
});

test("[FD9] what a request found before the feed told of it is news still", () => {
  const view = new FluxView();
  view.put(unit, text(1));
  view.read(unit, object(2, { theirs: true }));
  view.wrote(unit, object(3, { theirs: true }));
  assert.equal(view.put(unit, text(2, { theirs: true })), undefined, "our write of it comes after");
  assert.deepEqual(view.put(unit, text(3, { theirs: true }))?.["spec"], { theirs: true });
});

test("[FD9] an object that only a request has shown is not believed gone, nor believed to be there", () => {
  const view = new FluxView();
  view.read(unit, object(5));
  assert.equal(view.isGone("kustomization/apps/unit"), false);
  assert.deepEqual(view.doubtful(), ["kustomization/apps/unit"]);
  view.put(unit, text(5));
  assert.deepEqual([view.doubtful(), view.isGone("kustomization/apps/unit")], [[], true]);
});

const id = managedId("map");
const entryOf = ({ uid, owned }: { uid: string; owned: string }): InventoryEntry => ({ id, v: "v1", uid, owned, digest: "d" });

function openTable(shown = true) {
  const time = new VirtualTime();
  const { clock } = new Process(time, "w1");
  const changes: ManagedChange[] = [];
  const is = { shown };
  const table = new ManagedView({ clock, isShown: () => is.shown, isAllShown: () => is.shown, onNeed() {} });
  table.subscribe({ change: (change) => void changes.push(change), synced() {} });
  void table.ensureEntries([{ id, v: "v1" }]);
  return { time, table, changes, is, ours: table.tableOf({ namespace: "apps", name: "unit" }) };
}
const sample = new SampleHub();
const record = (owned: string) => sample.putManaged("map", "apps/unit", owned);

for (const order of ["after its answer", "before its answer"])
  test(`[FD10] a write of ours that is told ${order} is no drift; what others do next is`, () => {
    const { table, changes, ours } = openTable();
    table.put(id, record("1"));
    table.kindIs("/ConfigMap", "synced");
    changes.length = 0;
    ours.begin(id);
    const written = record("2");
    if (order === "before its answer") table.put(id, written);
    ours.end(id, { ...written, appliedAtS: 1 });
    if (order === "after its answer") {
      assert.equal(table.health(id)?.status, "InProgress");
      assert.equal(table.drifted(unit, [entryOf(written)]).size, 0);
      table.put(id, written);
    }
    assert.deepEqual(changes.filter(({ drift }) => drift), []);
    table.put(id, { ...record("3"), by: "kubectl-edit" });
    assert.deepEqual(changes.filter(({ drift }) => drift).map((change) => change.id), [id]);
    assert.deepEqual([...table.drifted(unit, [entryOf(written)])], [[id, "kubectl-edit"]]);
  });

test("[FD10] an object we have just written and nobody names counts as gone after 2 s, not before", async () => {
  const { time, table, changes, ours } = openTable();
  table.kindIs("/ConfigMap", "synced");
  ours.begin(id);
  const written = record("2");
  ours.end(id, { ...written, appliedAtS: 1 });
  table.drop(id); // the one before ours
  await time.run(1_900, () => false);
  assert.deepEqual([changes, table.drifted(unit, [entryOf(written)]).size], [[], 0]);
  await time.run(200, () => false);
  assert.deepEqual(changes, [{ id, owner: { namespace: "apps", name: "unit" }, now: undefined, drift: true }]);
  assert.deepEqual([...table.drifted(unit, [entryOf(written)])], [[id, ""]]);
});

test("[FD20] a kind that is told of for the first time is no reason to compare everything; told anew, it is", () => {
  const { table, ours } = openTable();
  const said = [];
  ours.follow({ apiVersion: "example.com/v1", group: "example.com", kind: "Lamp", prefix: "/apis/example.com/v1", plural: "lamps", namespaced: true, verbs: [] });
  said.push(table.kindIs("example.com/Lamp", "synced"));
  table.unsync(); // another session
  said.push(table.kindIs("example.com/Lamp", "synced"), table.kindIs("example.com/Lamp", "absent"), table.kindIs("example.com/Lamp", "synced"), table.kindIs("/Unknown", "synced"));
  assert.deepEqual(said, [false, true, true, true, false]);
});

test("[FD11] what is missing is drift only when all of its partition and of its kind was told", () => {
  const { table, is } = openTable(false);
  const entry = entryOf({ uid: "u", owned: "1" });
  const judged = () => [table.drifted(unit, [entry]).size, table.health(id)?.status];
  assert.deepEqual(judged(), [0, undefined]);
  table.kindIs("/ConfigMap", "synced");
  assert.deepEqual(judged(), [0, undefined]);
  is.shown = true;
  assert.deepEqual(judged(), [1, "NotFound"]);
  table.unsync();
  assert.deepEqual(judged(), [0, undefined]);
  table.put(id, record("1"));
  assert.equal(table.drifted(unit, [entry]).size, 1, "one that is there is compared at any time");
});
