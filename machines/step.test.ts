import assert from "node:assert/strict";
import test from "node:test";
import { assign, emit, initialTransition, setup, transition, type AnyEventObject } from "xstate";
import { effect } from "./effect.ts";
import { answered, begin, busy, failed, stateOf, step } from "./step.ts";

const chart = setup({
  types: {} as { context: { count: number }; events: AnyEventObject },
  actors: { fetch: effect<{ count: number }, number>() },
  delays: { soon: 500 },
}).createMachine({
  id: "chart",
  context: { count: 0 },
  initial: "idle",
  states: {
    idle: { on: { go: "busy", throw: { actions: assign(() => { throw new TypeError("no"); }) } } },
    busy: {
      tags: busy,
      invoke: { id: "fetch", src: "fetch", input: ({ context }) => context, onDone: { target: "waiting", actions: assign({ count: ({ event }) => event.output }) }, onError: "idle" },
      on: { stop: "idle", again: { target: "busy", reenter: true } },
    },
    waiting: { entry: emit({ type: "fetched" }), after: { soon: "busy" }, on: { stop: "idle" } },
  },
});

type Params = { id?: string; src?: string; input?: unknown; delay?: number; event?: AnyEventObject; sendId?: string };
const paramsOf = ({ params }: { params?: unknown }) => params as Params;

/** What this project knows of XState: what `step` reads of an action. Another XState that says it otherwise fails here first. */
test("[RC25] XState's actions look as step.ts reads them", () => {
  const [idle] = initialTransition(chart);
  const [running, started] = transition(chart, idle, { type: "go" });
  assert.deepEqual(started.map((action) => {
    const { id, src, input } = paramsOf(action);
    return [action.type, id, src, input];
  }), [["xstate.spawnChild", "fetch", "fetch", { count: 0 }]]);
  const [waiting, done] = transition(chart, running, { type: "xstate.done.actor.fetch", actorId: "fetch", output: 7 } as AnyEventObject);
  const seen = done.map((action) => {
    const { id, delay, event } = paramsOf(action);
    return [action.type, id, delay, event?.type];
  });
  assert.deepEqual(seen, [
    ["xstate.stopChild", "fetch", undefined, undefined],
    ["xstate.emit", undefined, undefined, "fetched"],
    ["xstate.raise", "xstate.after.soon.chart.waiting", 500, "xstate.after.soon.chart.waiting"],
  ]);
  const [, stopped] = transition(chart, waiting, { type: "stop" });
  assert.deepEqual(stopped.map((action) => [action.type, paramsOf(action).sendId]), [["xstate.cancel", "xstate.after.soon.chart.waiting"]]);
});

test("[OW15] a record says what runs, what is due and what is said", () => {
  const first = begin(chart, undefined, 100).record;
  assert.deepEqual([first.v, first.machine, first.runs, first.timers, first.busySinceMs], [1, "chart", [], [], undefined]);
  const second = step(chart, first, { type: "go" }, 200).record;
  assert.deepEqual([second.runs, second.busySinceMs], [[{ id: "fetch", src: "fetch", input: { count: 0 }, attempt: 1, sinceMs: 200 }], 200]);
  const { record: third, emits } = step(chart, second, answered(second.runs[0] ?? assert.fail(), 5), 300);
  assert.deepEqual([third.runs, third.timers.map(({ dueMs }) => dueMs), third.busySinceMs, emits], [[], [800], undefined, [{ type: "fetched" }]]);
  const fourth = step(chart, third, third.timers[0]?.event ?? assert.fail(), 800).record;
  assert.deepEqual([fourth.timers, fourth.runs.map(({ input }) => input)], [[], [{ count: 5 }]]);
});

test("[OW14] a run that is begun again has another number", () => {
  const first = step(chart, begin(chart, undefined, 0).record, { type: "go" }, 0).record;
  const second = step(chart, first, { type: "again" }, 1).record;
  assert.deepEqual([first.runs.map(({ attempt }) => attempt), second.runs.map(({ attempt }) => attempt)], [[1], [2]]);
  assert.equal(begin(chart, undefined, 0, 7).record.attempts, 7);
});

test("[OW15] a state that is left takes its timers and runs along", () => {
  const running = step(chart, begin(chart, undefined, 0).record, { type: "go" }, 0).record;
  assert.deepEqual(step(chart, running, { type: "stop" }, 1).record.runs, []);
  const waiting = step(chart, running, answered(running.runs[0] ?? assert.fail(), 1), 1).record;
  assert.deepEqual(step(chart, waiting, { type: "stop" }, 2).record.timers, []);
});

test("[RC25] a step is pure: the record it was given stays as it is", () => {
  const before = step(chart, begin(chart, undefined, 0).record, { type: "go" }, 0).record;
  const text = JSON.stringify(before);
  step(chart, before, failed(before.runs[0] ?? assert.fail(), { code: "Unexpected" }), 5);
  assert.equal(JSON.stringify(before), text);
});

test("[OW17] a chart that throws throws to the caller", () => {
  assert.throws(() => step(chart, begin(chart, undefined, 0).record, { type: "throw" }, 0), TypeError);
});

test("[RC25] a record that went through JSON is the same state", () => {
  const record = step(chart, begin(chart, undefined, 0).record, { type: "go" }, 0).record;
  const state = stateOf(chart, JSON.parse(JSON.stringify(record)) as typeof record);
  assert.deepEqual([state.value, state.hasTag(busy), state.context], ["busy", true, { count: 0 }]);
});
