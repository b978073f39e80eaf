import assert from "node:assert/strict";
import test from "node:test";
import type { WantedStatus } from "#machines/rules/status.ts";
import type { Clock } from "#services/store/clock.ts";
import { StatusWriter } from "./status-writer.ts";

const key = { kind: "kustomization", namespace: "apps", name: "shop" };
const said = (message: string): WantedStatus => ({ handledAt: "", conditions: [{ type: "Ready", status: "True", reason: "Succeeded", message }] });

/** Virtual time, one object, and a list of what was sent. */
function bench(outcomes: ("sent" | "conflict" | "down")[] = []) {
  let nowMs = 0;
  const agenda: { dueMs: number; run: () => void }[] = [];
  const clock: Clock = {
    nowMs: () => nowMs, monoMs: () => nowMs,
    at(dueMs, run) {
      const entry = { dueMs, run };
      agenda.push(entry);
      return () => { if (agenda.includes(entry)) agenda.splice(agenda.indexOf(entry), 1); };
    },
  };
  const sent: string[] = [];
  const state = { wanted: said("one"), busy: false, rereads: 0 };
  const writer = new StatusWriter({
    clock,
    wanted: () => ({ status: state.wanted, generation: 1, busy: state.busy }),
    live: () => ({ metadata: { name: "shop" } }),
    reread: async () => { state.rereads++; return { metadata: { name: "shop" } }; },
    patch: async (_key, _live, patch) => {
      const outcome = outcomes.shift() ?? "sent";
      if (outcome === "down") throw new TypeError("no answer");
      if (outcome === "sent") sent.push((patch["conditions"] as { message: string }[])[0]?.message ?? "");
      return outcome === "sent";
    },
    artifactUrl: (path) => path,
    failed: () => undefined,
  });
  const run = async (untilMs: number) => {
    for (;;) {
      const next = agenda.toSorted((a, b) => a.dueMs - b.dueMs)[0];
      if (!next || next.dueMs > untilMs) break;
      agenda.splice(agenda.indexOf(next), 1);
      nowMs = next.dueMs;
      next.run();
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    }
    nowMs = untilMs;
  };
  return { writer, sent, state, run };
}

test("[WK6] progress that ends quickly is never shown", async () => {
  const { writer, sent, state, run } = bench();
  writer.touch(key, true);
  await run(1_000);
  assert.deepEqual(sent, []);
  state.wanted = said("done");
  writer.touch(key, false);
  await run(2_000);
  assert.deepEqual(sent, ["done"]);
});

test("[WK6] progress that lasts is shown, as it is by then", async () => {
  const { writer, sent, state, run } = bench();
  writer.touch(key, true);
  state.wanted = said("still at it");
  await run(1_600);
  assert.deepEqual(sent, ["still at it"]);
});

test("[WK6] of many in progress at once some are shown; what has ended is shown of all", async () => {
  const { writer, sent, state, run } = bench();
  const all = Array.from({ length: 100 }, (_, i) => ({ ...key, name: `shop-${i}` }));
  [state.wanted, state.busy] = [said("at it"), true];
  for (const each of all) writer.touch(each, true);
  await run(11_500);
  assert.equal(sent.length, 10 + 10 + 10, "at once, after 5 s, after 10 s");
  await run(120_000);
  assert.equal(sent.length, 100, "in the end");
  [state.wanted, state.busy] = [said("done"), false];
  for (const each of all) writer.touch(each, false);
  await run(120_001);
  assert.deepEqual(sent.slice(100), Array<string>(100).fill("done"));
});

test("[WK14] units that a commit leaves as they are wait for each other, and no news wait for them", async () => {
  const held: string[] = [];
  const sent: string[] = [];
  const status = (revision: string, background: boolean): WantedStatus => ({ ...said(revision), lastAppliedRevision: revision, ...(background && { background }) });
  const due: (() => void)[] = [];
  const writer = new StatusWriter({
    clock: { nowMs: () => 0, monoMs: () => 0, at: (_, run) => { due.push(run); return () => undefined; } },
    wanted: ({ name }) => ({ status: status("r2", name !== "changed"), generation: 1, busy: false }),
    live: ({ name }) => ({ metadata: { name }, status: status("r1", false) as Record<string, unknown> }),
    reread: async () => undefined,
    patch: async (to) => {
      if (to.name === "changed") return Boolean(sent.push(to.name));
      held.push(to.name);
      return new Promise<boolean>(() => undefined); // the API server is slow
    },
    artifactUrl: (path) => path,
    failed: (_, thrown) => assert.fail(String(thrown)),
  });
  for (let i = 0; i < 100; i++) writer.touch({ ...key, name: `same-${i}` }, false);
  writer.touch({ ...key, name: "changed" }, false);
  for (const run of due.splice(0)) run();
  for (let turn = 0; turn < 50; turn++) await Promise.resolve();
  assert.deepEqual([held.length, sent], [8, ["changed"]]);
});

test("[WK7] a conflict is written again from the newer object", async () => {
  const { writer, sent, state, run } = bench(["conflict", "conflict"]);
  writer.touch(key, false);
  await run(10);
  assert.deepEqual(sent, ["one"]);
  assert.equal(state.rereads, 2);
});

test("[WK7] a write that fails is made later", async () => {
  const { writer, sent, run } = bench(["down", "down"]);
  writer.touch(key, false);
  await run(900);
  assert.deepEqual(sent, []);
  await run(5_000);
  assert.deepEqual(sent, ["one"]);
});
