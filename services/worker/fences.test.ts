import assert from "node:assert/strict";
import test from "node:test";
import { Process, VirtualTime } from "../../test/simulate/time.ts";
import { Fences } from "./fences.ts";

function bench(outcomes: ("down" | "done")[]) {
  const time = new VirtualTime();
  const state = { owns: true, raised: [] as string[], failed: 0, done: false };
  const fences = new Fences({
    clock: new Process(time, "w").clock, owns: () => state.owns,
    raise: async ({ partition, epoch }) => {
      if (outcomes.shift() === "down") throw new TypeError("no answer");
      state.raised.push(`${partition}:${epoch}`);
    },
    failed: () => { state.failed++; },
  });
  const wait = () => void fences.raised(7).then(() => { state.done = true; });
  return { fences, state, wait, run: (ms: number) => time.run(ms, () => false) };
}

test("[FN15] nothing is written for a partition before the admission policy was told, however often that fails", async () => {
  const { fences, state, wait, run } = bench(["down", "down", "done"]);
  fences.raise(7, 12);
  wait();
  await run(3_000);
  assert.deepEqual([state.done, state.failed], [false, 2]);
  await run(3_000);
  assert.deepEqual([state.done, state.raised], [true, ["7:12"]]);
});

test("[FN15] of a partition whose owner did not crash nobody is told", async () => {
  const { state, wait, run } = bench([]);
  wait();
  await run(10);
  assert.deepEqual([state.done, state.raised], [true, []]);
});

test("[FN15] a partition that went elsewhere meanwhile is the next owner's matter", async () => {
  const { fences, state, wait, run } = bench(["down", "done"]);
  fences.raise(7, 12);
  wait();
  await run(10);
  state.owns = false;
  await run(10_000);
  assert.deepEqual([state.done, state.raised], [true, []]);
});
