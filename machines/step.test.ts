import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
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

/** Values as they come from outside: what JSON drops or changes must not make a difference later. */
const odd = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom<unknown>(undefined, NaN, -0, { a: undefined, b: [undefined, NaN] }, new Date(0)));

const keeper = setup({
  types: {} as { context: { kept?: unknown; list: unknown[]; present: string }; events: AnyEventObject },
  actors: { fetch: effect<unknown, unknown>() },
  delays: { soon: 500, later: 900 },
}).createMachine({
  id: "keeper",
  context: { kept: null, list: [], present: "" },
  initial: "idle",
  on: {
    keep: { actions: assign({ kept: ({ event }) => event["value"] }) },
    add: { actions: assign({ list: ({ context, event }) => [...context.list, event["value"]] }) },
    same: { actions: assign({ list: ({ context }) => context.list.map((each) => each) }) },
    // Tells an absent field from an empty one, and sees what JSON made of it.
    look: { actions: [assign({ present: ({ context }) => `${"kept" in context} ${typeof context.kept} ${Object.is(context.kept, -0)}` }), emit(({ context }) => ({ type: "seen", kept: context.kept }))] },
    go: ".busy",
    stop: ".idle",
  },
  states: {
    idle: {},
    busy: {
      tags: busy, entry: assign({ present: "busy" }),
      invoke: { id: "fetch", src: "fetch", input: ({ context }: { context: { kept?: unknown } }) => ({ kept: context.kept }), onDone: { target: "waiting", actions: assign({ kept: ({ event }) => event.output }) }, onError: "idle" },
    },
    waiting: { after: { soon: { guard: ({ context }) => context.list.length > 2, target: "busy" }, later: "idle" } },
  },
});

const moves = fc.array(fc.oneof(
  fc.record({ type: fc.constantFrom("keep", "add"), value: odd }, { noNullPrototype: true }),
  fc.record({ type: fc.constantFrom("same", "look", "go", "stop", "unknown", "answer", "fail", "timer") }, { noNullPrototype: true }),
), { maxLength: 30 });

const stored = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

test("[RS14] a decision on a record in memory is the decision on the stored record", () => {
  fc.assert(fc.property(moves, odd, (moves, output) => {
    let live = begin(keeper, undefined, 0);
    let { record } = begin(keeper, undefined, 0);
    for (const [nowMs, move] of moves.entries()) {
      const [run] = record.runs;
      const event = move.type === "answer" ? run && answered(run, output) : move.type === "fail" ? run && failed(run, { code: "Unexpected" }) : move.type === "timer" ? record.timers[0]?.event : move;
      if (!event) continue;
      const before = JSON.stringify(live.record);
      const onState = step(keeper, live.record, event, nowMs);
      const onRecord = step(keeper, stored(record), event, nowMs);
      assert.equal(JSON.stringify(live.record), before, "the record it was given stays as it is");
      assert.deepStrictEqual(stored(onState.record), stored(onRecord.record));
      assert.deepStrictEqual(stored(onState.emits), stored(onRecord.emits));
      assert.deepStrictEqual(onState.record.snapshot, stored(onState.record.snapshot), "nothing is held that is not stored");
      live = onState;
      ({ record } = onRecord);
    }
  }), { numRuns: 300 });
});

test("[RS14] what a step leaves alone is neither copied nor spelled again", () => {
  const first = step(keeper, begin(keeper, undefined, 0).record, { type: "add", value: { deep: [1] } }, 0);
  const next = step(keeper, first.record, { type: "same" }, 1);
  assert.equal(next.record.snapshot.context["list"], first.record.snapshot.context["list"]);
});

test("[RS14] a value its maker changes afterwards is kept as it was", () => {
  const value = { count: 1 };
  const { record } = step(keeper, begin(keeper, undefined, 0).record, { type: "keep", value }, 0);
  value.count = 2;
  assert.deepEqual(record.snapshot.context["kept"], { count: 1 });
  const next = step(keeper, record, { type: "keep", value }, 1).record;
  assert.deepEqual(next.snapshot.context["kept"], { count: 2 });
});
