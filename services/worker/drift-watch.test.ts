import assert from "node:assert/strict";
import test from "node:test";
import { setImmediate as tick } from "node:timers/promises";
import type { ActorRecord } from "#protocol/records/actor.ts";
import { DriftWatch } from "./drift-watch.ts";

const key = { kind: "kustomization", namespace: "apps", name: "shop" };
const entry = { id: "apps_web_apps_Deployment", v: "v1", uid: "u", digest: "d", owned: "o" };
const record = (value: string): ActorRecord => ({
  v: 1, machine: "kustomization", snapshot: { status: "active", value, context: { inventory: [entry] } }, timers: [], runs: [], attempts: 0, outbox: [], seen: {},
});

function bench(differs: () => boolean, state: { value: string }) {
  const told: string[] = [];
  const watch = new DriftWatch({
    recordOf: () => record(state.value),
    drifted: (_unit, entries) => (differs() ? entries.map(({ id }) => id) : []),
    report: () => told.push("drift"),
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
