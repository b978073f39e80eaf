import assert from "node:assert/strict";
import test from "node:test";
import { assign, setup } from "xstate";
import { effect } from "#machines/effect.ts";
import { faultOf } from "#machines/rules/notice.ts";
import type { Run } from "#protocol/records/actor.ts";
import { Process, VirtualTime } from "../../test/simulate/time.ts";
import { Chart } from "./chart.ts";

const errand = setup({
  types: {} as { context: { fault: string }; events: { type: "go" | "stay" | "again" }; emitted: { type: "gone" | "back" } },
  actors: { fetch: effect<null, null>() },
  delays: { soon: 100 },
}).createMachine({
  id: "errand", context: { fault: "" }, initial: "home",
  states: {
    home: { on: { go: "away" }, after: { soon: "away" } },
    away: {
      invoke: { id: "fetch", src: "fetch", input: null, onDone: "back", onError: { target: "home", actions: assign({ fault: ({ event }) => faultOf(event).code }) } },
      on: { stay: "home", again: { target: "away", reenter: true } },
    },
    back: {},
  },
});

function bench() {
  const time = new VirtualTime();
  const { clock } = new Process(time, "w1");
  const runs: { run: Run; signal: AbortSignal; end(): void; fail(): void }[] = [];
  const chart = new Chart(errand, {}, {
    clock, emitted: () => undefined,
    perform: (run, signal) => new Promise((resolve, reject) => { runs.push({ run, signal, end: () => resolve(null), fail: () => reject(new Error("broken")) }); }),
  });
  return { chart, runs, run: (ms: number) => time.run(ms, () => false) };
}

test("[OW32] a timer moves the chart on, and the effect's answer too", async () => {
  const { chart, runs, run } = bench();
  await run(100);
  assert.deepEqual([chart.state, runs.length], ["away", 1]);
  runs[0]?.end();
  await run(1);
  assert.equal(chart.state, "back");
});

test("[OW32] a failure of an effect is an answer", async () => {
  const { chart, runs, run } = bench();
  chart.send({ type: "go" });
  await run(1);
  runs[0]?.fail();
  await run(1);
  assert.equal(chart.state, "home");
});

test("[OW14] an effect that the chart has left is told so, and its answer does not count", async () => {
  const { chart, runs, run } = bench();
  chart.send({ type: "go" });
  await run(1);
  chart.send({ type: "again" });
  await run(1);
  assert.deepEqual(runs.map(({ signal }) => signal.aborted), [true, false]);
  runs[0]?.end();
  await run(1);
  assert.equal(chart.state, "away");
  chart.send({ type: "stay" });
  runs[1]?.end();
  await run(50);
  assert.equal(chart.state, "home");
});

test("[OW14] an effect that is left in the tick in which it was asked for is never begun", async () => {
  const { chart, runs, run } = bench();
  chart.send({ type: "go" });
  chart.send({ type: "stay" });
  await run(1);
  assert.deepEqual([chart.state, runs.length], ["home", 0]);
});

test("[OW15] a timer that the chart has left does not fire, and one that is begun anew fires in time", async () => {
  const { chart, runs, run } = bench();
  await run(60);
  chart.send({ type: "go" });
  chart.send({ type: "stay" });
  await run(60);
  assert.equal(chart.state, "home");
  await run(40);
  assert.deepEqual([chart.state, runs.length], ["away", 1]);
});

test("[OW32] what was stopped does nothing more", async () => {
  const { chart, runs, run } = bench();
  chart.send({ type: "go" });
  await run(1);
  chart.stop();
  assert.equal(runs[0]?.signal.aborted, true);
  runs[0]?.end();
  chart.send({ type: "stay" });
  await run(1_000);
  assert.deepEqual([chart.state, runs.length], ["away", 1]);
});
