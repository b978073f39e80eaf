import assert from "node:assert/strict";
import test from "node:test";
import { setImmediate as tick } from "node:timers/promises";
import type { ActorRecord } from "#protocol/records/actor.ts";
import { Process, VirtualTime } from "../../test/simulate/time.ts";
import { DriftWatch } from "./drift-watch.ts";

const key = { kind: "kustomization", namespace: "apps", name: "shop" };
const entry = { id: "apps_web_apps_Deployment", v: "v1", uid: "u", digest: "d", owned: "o" };
const record = (value: string): ActorRecord => ({
  v: 1, machine: "kustomization", snapshot: { status: "active", value, context: { inventory: [entry] } }, timers: [], runs: [], attempts: 0, outbox: [], seen: {},
});

const { clock: still } = new Process(new VirtualTime(), "w");

function bench(differs: () => boolean, state: { value: string }) {
  const told: string[] = [];
  const watch = new DriftWatch({
    recordOf: () => record(state.value),
    drifted: (_unit, entries) => (differs() ? entries.map(({ id }) => id) : []),
    report: () => told.push("drift"),
    clock: still, storageOf: () => undefined, look: () => assert.fail("looks"),
  });
  return { told, watch };
}

test("[WK9] a burst of events of one object is one report", async () => {
  const { told, watch } = bench(() => true, { value: "settled" });
  for (let i = 0; i < 5; i++) watch.changed(key, entry.id);
  await tick();
  assert.deepEqual(told, ["drift"]);
});

test("[WK9] an event about an object that is as applied reports nothing", async () => {
  const { told, watch } = bench(() => false, { value: "settled" });
  watch.changed(key, entry.id);
  await tick();
  assert.deepEqual(told, []);
});

test("[WK9] what is seen while the unit applies is compared when the outcome is kept", async () => {
  const state = { value: "applying" };
  const { told, watch } = bench(() => true, state);
  watch.changed(key, entry.id);
  await tick();
  assert.deepEqual(told, []);
  state.value = "settled";
  watch.moved(key, record("applying"), record("settled"));
  assert.deepEqual(told, ["drift"]);
});

test("[WK9] an object of no inventory concerns nobody", async () => {
  const { told, watch } = bench(() => true, { value: "settled" });
  watch.changed(key, "apps_other__ConfigMap");
  await tick();
  assert.deepEqual(told, []);
});

const releaseKey = { kind: "helmrelease", namespace: "apps", name: "shop" };

/** A release whose record has `mark` of its storage, or none while an action writes there. */
function storageBench(known: { mark?: string }, seen: { mark?: string }, mode = "disabled") {
  const time = new VirtualTime();
  const told: string[] = [];
  const released = (): ActorRecord => {
    const context = { inventory: [entry], facts: { drift: mode }, ...(known.mark !== undefined && { storage: { place: "apps/shop", mark: known.mark, versions: [1], settled: true } }) };
    return { ...record("settled"), machine: "release", snapshot: { status: "active", value: "settled", context } };
  };
  const watch = new DriftWatch({
    recordOf: released, drifted: (_unit, entries) => entries.map(({ id }) => id), report: () => told.push("drift"),
    clock: new Process(time, "w").clock, storageOf: (_unit, place) => (place === "apps/shop" ? seen.mark : undefined), look: () => told.push("look"),
  });
  return { told, watch, released, run: (ms: number) => time.run(ms, () => false) };
}

test("[RL45] a release whose storage somebody else changed looks at it; our own writes, told before they are recorded or after, are nothing new", async () => {
  const [known, seen] = [{ mark: "a" } as { mark?: string }, { mark: "a" } as { mark?: string }];
  const { told, watch, run } = storageBench(known, seen);
  delete known.mark; // an action of ours writes
  seen.mark = "half";
  watch.storageChanged(releaseKey);
  await run(5_000);
  known.mark = "b"; // it has ended
  watch.storageChanged(releaseKey);
  await run(200);
  seen.mark = "b";
  watch.storageChanged(releaseKey);
  await run(5_000);
  assert.deepEqual(told, []);
  seen.mark = "theirs";
  watch.storageChanged(releaseKey);
  await run(5_000);
  assert.deepEqual(told, ["look"]);
  delete seen.mark; // it may not be watched any more
  watch.storageChanged(releaseKey);
  await run(5_000);
  assert.deepEqual(told, ["look"]);
});

test("[RL45] what was changed in storage while nobody watched is found when all is compared", async () => {
  const { told, watch, released, run } = storageBench({ mark: "a" }, { mark: "b" });
  watch.compareAll(releaseKey, released());
  await run(5_000);
  assert.deepEqual(told, ["look"]);
});

test("[RL43] a release that does not ask for it hears of no drift", async () => {
  for (const [mode, expected] of [["disabled", []], ["warn", ["drift"]], ["enabled", ["drift"]]] as const) {
    const { told, watch, released } = storageBench({}, {}, mode);
    watch.compareAll(releaseKey, released());
    assert.deepEqual(told, expected, mode);
  }
});
