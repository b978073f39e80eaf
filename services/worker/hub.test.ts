/** The hub as a worker uses it, over ports that note what is asked of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { actorId, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { createLog } from "#services/telemetry/log.ts";
import { MemoryExchange, memoryBus, perfectBusWire } from "../../test/simulate/memory-bus.ts";
import { Process, VirtualTime } from "../../test/simulate/time.ts";
import { HubObjects } from "./effects/hub-objects.ts";
import type { RequestPort, WatchListener } from "./feed/ports.ts";
import { SampleHub } from "./feed/sample-hub.ts";
import { createHub } from "./hub.ts";

const unit: ActorKey = { kind: "kustomization", namespace: "apps", name: "unit" };
const elsewhere = (() => {
  for (let i = 0; ; i++) {
    const key = { ...unit, name: `unit-${i}` };
    if (partitionOf(key) !== partitionOf(unit)) return key;
  }
})();
const silent = createLog({ sink: { write() {} } });

function open() {
  const time = new VirtualTime();
  const process = new Process(time, "w1");
  const sample = new SampleHub();
  const guarded: string[] = [];
  const asked: string[] = [];
  const seen: string[] = [];
  const requests: RequestPort = {
    get: (key) => { asked.push(actorId(key)); return Promise.resolve(sample.flux.get(actorId(key))); },
    patchStatus: (key, status, _, { guard }) => { guard(); return Promise.resolve(sample.put(key, status)); },
    patchMetadata: (key, metadata, _, { guard }) => { guard(); return Promise.resolve(sample.put(key, metadata)); },
    event: (_, __, ___, { guard }) => { guard(); return Promise.resolve(); },
    data: () => Promise.resolve(undefined),
    secret: () => Promise.resolve({}),
    list: () => Promise.resolve([]), applyOwned: () => Promise.reject(new Error("not here")), removeOwned: () => Promise.reject(new Error("not here")),
    pullSecretNames: () => Promise.resolve([]),
    idsOf: () => Promise.resolve([]),
    apply: (_, { guard }) => { guard(); return Promise.resolve({ entries: [], changes: [] }); },
    compare: () => Promise.resolve({ differences: [] }),
    prune: (_, { guard }) => { guard(); return Promise.resolve({ deleted: [], left: [] }); },
    healthOf: () => Promise.resolve({ status: "Current", message: "" }),
    hasAccount: () => Promise.resolve(true), handleOf: () => assert.fail("nothing is released"),
    readObject: () => Promise.resolve({ resource: "deployments.apps" }), followObject() {},
    raiseEpoch: async () => undefined,
  };
  const stop = new AbortController();
  const hub = createHub({
    clock: process.clock, worker: "w1", bus: memoryBus(new MemoryExchange(), { ...perfectBusWire("w1", process.clock), later: (ms, run) => time.in(ms, run) }),
    guard: (key) => void guarded.push(actorId(key)), signal: stop.signal, shards: () => [], log: silent,
    onObject: (key, object) => void seen.push(`${actorId(key)} ${object ? "is" : "gone"}`),
    onStatus: (key) => void seen.push(`${actorId(key)} says`),
    onShown: (partition) => void seen.push(`shown ${partition}`), onWritten() {},
    watch: sample.port(process, time, () => 1), requests,
  });
  return { time, sample, hub, guarded, asked, seen, stop, requests };
}

test("[FD15] every write asks, in its own tick, whether this worker may write for that very actor", async () => {
  const { hub, sample, guarded } = open();
  const live = sample.put(unit);
  const call = { key: unit, target: {}, owner: { namespace: "apps", name: "unit" }, signal: new AbortController().signal };
  const writes = [
    () => hub.patchStatus(unit, live, {}),
    () => hub.patchFinalizers(unit, live, []),
    () => hub.postEvent(unit, live, { type: "notice", severity: "Normal", reason: "R", message: "m" }),
    () => hub.cluster.apply({ ...call, objects: [], inventory: [], scope: "all", drifted: new Map(), force: false }),
    () => hub.cluster.prune({ ...call, entries: [] }),
  ];
  for (const write of writes) {
    guarded.length = 0;
    const done = write();
    assert.deepEqual(guarded, [actorId(unit)]);
    await done;
  }
});

test("[FD16] an object of another worker's partition is asked of the server, and not kept", async () => {
  const { hub, time, sample, asked, seen } = open();
  sample.put(unit);
  sample.put(elsewhere);
  hub.watchedBy("w1");
  hub.follow(new Set([partitionOf(unit)]));
  void hub.connect();
  await time.run(1_000, () => false);
  assert.deepEqual([hub.isConnected(), seen], [true, [`${actorId(unit)} is`, `shown ${partitionOf(unit)}`]]);
  const objects = new HubObjects(hub);
  assert.equal((await objects.need(unit)).metadata.name, unit.name);
  assert.deepEqual(asked, []);
  assert.equal((await objects.need(elsewhere)).metadata.name, elsewhere.name);
  assert.deepEqual([asked, hub.cached(elsewhere)], [[actorId(elsewhere)], undefined]);
  await assert.rejects(objects.need({ ...elsewhere, name: "none" }), (thrown: Fault) => thrown.code === "ObjectGone");
});

test("[FD14] the watch ends with its signal, or when another worker is to watch", async () => {
  const { hub, time } = open();
  hub.watchedBy("w1");
  hub.follow(new Set([1]));
  for (const end of ["signal", "owner"]) {
    const stop = new AbortController();
    let ended = false;
    void hub.watch(stop.signal).then(() => { ended = true; });
    await time.run(6_000, () => false);
    assert.deepEqual([hub.isConnected(), ended], [true, false]);
    if (end === "signal") stop.abort();
    else hub.watchedBy("w2");
    await time.run(500, () => false);
    assert.deepEqual([hub.isConnected(), ended], [false, true]);
  }
});

test("[FD18] a kind that may not be watched is named with what the server says, until it may", async () => {
  const time = new VirtualTime();
  const process = new Process(time, "w1");
  let listener: WatchListener | undefined;
  const lines: string[] = [];
  const { requests } = open();
  const hub = createHub({
    clock: process.clock, worker: "w1", bus: memoryBus(new MemoryExchange(), perfectBusWire("w1", process.clock)), guard() {}, signal: new AbortController().signal, shards: () => [],
    log: createLog({ sink: { write: (line) => void lines.push(line) } }), onObject() {}, onStatus() {}, onShown() {}, onWritten() {}, requests,
    watch: { prepare: async () => {}, start: (wanted) => { listener = wanted; return { follow() {} }; } },
  });
  void hub.connect();
  await new Promise((resolve) => { setImmediate(resolve); });
  for (let i = 0; i < 2; i++) listener?.lost("helmreleases.helm.toolkit.fluxcd.io", "User \"ci\" cannot list resource", true);
  assert.deepEqual(hub.refusals(), ["the account may not list and watch helmreleases.helm.toolkit.fluxcd.io: User \"ci\" cannot list resource"]);
  assert.equal(lines.filter((line) => line.includes("helmreleases")).length, 1, "said once");
  listener?.fluxSynced();
  assert.deepEqual(hub.refusals(), []);
});
