import assert from "node:assert/strict";
import test from "node:test";
import type { ActorKey } from "#protocol/names/actor.ts";
import { partitionOf } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import { LogError } from "#services/store/log.ts";
import { Process, VirtualTime } from "../../test/simulate/time.ts";
import { Comparison } from "./comparison.ts";

const unit = (name: string): ActorKey => ({ kind: "kustomization", namespace: "apps", name });
const record: ActorRecord = { v: 1, machine: "kustomization", snapshot: { status: "active", context: { inventory: [] } }, timers: [], runs: [], attempts: 0, outbox: [], seen: {} };

function bench(units: ActorKey[]) {
  const time = new VirtualTime();
  const state = { away: false, reads: 0, objects: new Set(units.map(({ name }) => name)) };
  const told: string[] = [];
  const comparison = new Comparison({
    clock: new Process(time, "w").clock, owns: () => true, units: () => units,
    recordOf: (key) => {
      state.reads++;
      if (state.away) return Promise.reject(new LogError("busy", "not connected"));
      return Promise.resolve(state.objects.has(key.name) ? record : undefined);
    },
    hasObject: ({ name }) => state.objects.has(name), gone: ({ name }) => told.push(`gone ${name}`), status: ({ name }) => told.push(`status ${name}`),
    drift: ({ name }) => told.push(`drift ${name}`), ensureWatched: (_, entries) => { told.push(...entries.map(({ id }) => `watched ${id}`)); return Promise.resolve(); },
    isElsewhere: ({ name }) => name.startsWith("remote"), reachAgain: (_, records) => told.push(...records.map(({ key }) => `reach ${key.name}`)), failed: (thrown) => told.push(String(thrown)),
  });
  return { comparison, state, told, run: (ms: number) => time.run(ms, () => false) };
}

test("[FD20] what was taken over is compared when it is shown: what went, what its object says, what drifted", async () => {
  const [a, b] = [unit("a"), unit("b")];
  const { comparison, state, told, run } = bench([a, b]);
  state.objects.delete("b");
  comparison.took(partitionOf(a), [{ key: a, record }, { key: b, record }]);
  assert.deepEqual([comparison.isShown(partitionOf(a)), comparison.isComing(partitionOf(a))], [false, true], "what the watch tells meanwhile need not be compared one by one");
  comparison.show(partitionOf(a));
  await run(10);
  assert.equal(comparison.isComing(partitionOf(a)), false);
  assert.deepEqual([comparison.isShown(partitionOf(a)), told], [true, ["status a", "gone b", "drift a", "drift b"]]);
  comparison.relisted(partitionOf(a));
  await run(10);
  assert.equal(told.length, 4, "it was compared just now");
});

test("[FD20] after a watch began anew every unit is compared; while NATS is away it waits, and does not spin", async () => {
  const { comparison, state, told, run } = bench([unit("a"), unit("b")]);
  state.away = true;
  comparison.relisted();
  await run(5_500);
  assert.deepEqual([state.reads <= 6, told], [true, []]);
  state.away = false;
  await run(2_000);
  assert.deepEqual(told, ["drift a", "drift b"]);
});

test("[TN42] of a unit that acts elsewhere nothing is followed or compared on the hub; it is compared once all is known there", async () => {
  const [here, there] = [unit("here"), unit("remote")];
  const with_ = (id: string): ActorRecord => ({ ...record, snapshot: { status: "active", context: { inventory: [{ id, v: "v1", uid: "", digest: "", owned: "" }] } } });
  const { comparison, told, run } = bench([here, there]);
  comparison.took(partitionOf(here), [{ key: here, record: with_("a") }, { key: there, record: with_("b") }]);
  comparison.show(partitionOf(here));
  await run(10);
  assert.deepEqual(told, ["status here", "status remote", "watched a", "reach remote", "drift here"]);
  comparison.known(there);
  await run(10);
  assert.equal(told.at(-1), "drift remote");
});
