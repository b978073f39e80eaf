/** For tests: a small chart, and a host whose ports do nothing by themselves. */
import assert from "node:assert/strict";
import { assign, emit, setup, type AnyEventObject } from "xstate";
import { effect } from "#machines/effect.ts";
import { busy } from "#machines/step.ts";
import type { FaultData } from "#protocol/errors/fault.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import type { Hint, Write } from "#services/store/cell.ts";
import type { Clock } from "#services/store/clock.ts";
import { Host, type EffectCall, type HostOptions, type HostPorts } from "./host.ts";

export const key: ActorKey = { kind: "lamp", namespace: "home", name: "desk" };

/** Waits for its object, works, rests a second, works again. Enough of a chart for everything a host does. */
export const lamp = setup({
  types: {} as { context: { key: string; uid: string; turns: number }; input: { key: string }; events: AnyEventObject },
  actors: { work: effect<{ turn: number }, number>(), clear: effect<null, null>() },
  delays: { rest: 1_000, doze: 600_000 },
}).createMachine({
  id: "lamp",
  context: ({ input }) => ({ ...input, uid: "", turns: 0 }),
  initial: "waiting",
  on: {
    object: [
      { guard: ({ event }) => event["facts"] === "poison", actions: assign(() => { throw new TypeError("poison"); }) },
      { guard: ({ event }) => event["facts"] === "leaving", target: ".clearing" },
      { target: ".working", actions: assign({ uid: ({ event }) => String(event["facts"]) }) },
    ],
    look: {},
    doze: ".dozing",
    tell: { actions: emit(({ event }) => ({ type: "notice", severity: "Normal", reason: "Told", message: String(event["text"]) })) },
    elect: { actions: emit({ type: "elected" }) },
    poison: { actions: assign(() => { throw new TypeError("poison"); }) },
  },
  states: {
    waiting: {},
    working: {
      tags: busy,
      invoke: { id: "work", src: "work", input: ({ context }) => ({ turn: context.turns }), onDone: { target: "resting", actions: assign({ turns: ({ event }) => event.output }) }, onError: "resting" },
    },
    resting: { after: { rest: "working" } },
    dozing: { after: { doze: "working" } },
    clearing: { tags: busy, invoke: { id: "clear", src: "clear", input: null, onDone: "gone", onError: "clearing" } },
    gone: { type: "final" },
  },
});

type Performed = EffectCall & { src: string; answer(output: unknown): void; fail(error: unknown): void };

/** Ports that do nothing by themselves: every test says what happens, and in which order. */
export function hosted(options?: HostOptions) {
  let nowMs = 1_000;
  let timers: { dueMs: number; run: () => void }[] = [];
  const clock: Clock = {
    nowMs: () => nowMs,
    monoMs: () => nowMs,
    at(dueMs, run) {
      const timer = { dueMs, run };
      timers.push(timer);
      return () => { timers = timers.filter((each) => each !== timer); };
    },
  };
  const commits: (Write & { accept(): void; refuse(error: Error): void })[] = [];
  const performed: Performed[] = [];
  const told: { text: string; done(): void; fail(): void }[] = [];
  const quarantines: FaultData[] = [];
  const loads: { key: ActorKey; answer(record: ActorRecord | undefined): void; fail(error: Error): void }[] = [];
  const ports: HostPorts = {
    clock,
    machineOf: (kind) => (kind === "lamp" ? lamp : undefined),
    load: (key) => new Promise((resolve, reject) => { loads.push({ key, answer: resolve, fail: reject }); }),
    commit: (write) => new Promise((resolve, reject) => { commits.push({ ...write, accept: resolve, refuse: reject }); }),
    perform: (src, call) => new Promise((resolve, reject) => { performed.push({ ...call, src, answer: resolve, fail: reject }); }),
    route: (): Hint[] => [],
    tell: (_, word) => new Promise((resolve, reject) => { told.push({ text: String(word["message"] ?? word.type), done: resolve, fail: () => reject(new Error("no")) }); }),
    ended: () => {},
    kept: () => {},
    quarantined: (_, fault) => { quarantines.push(fault); },
  };
  const settle = () => new Promise<void>((resolve) => { setImmediate(resolve); });
  return {
    host: new Host(ports, options), ports, commits, performed, loads, told, quarantines, settle,
    timersDue: () => timers.map(({ dueMs }) => dueMs),
    async advance(ms: number) {
      nowMs += ms;
      for (let timer; (timer = timers.find(({ dueMs }) => dueMs <= nowMs)); timer.run()) timers = timers.filter((each) => each !== timer);
      await settle();
    },
    /** Keeps whatever is to be kept, until nothing more comes. */
    async keepAll() {
      for (let kept = 0; kept < commits.length; ) {
        commits[kept++]?.accept();
        await settle();
      }
    },
  };
}

export const object = (facts: string | null): AnyEventObject => ({ type: "object", facts });
export const contextOf = (record: ActorRecord | undefined) => (record?.snapshot.context ?? {}) as { uid?: string; turns?: number };
export const stateOf = (record: ActorRecord | undefined | null) => record?.snapshot["value"];

/** An actor in `working`, its run begun. */
export async function working(options?: HostOptions) {
  const world = hosted(options);
  world.host.deliver(key, object("u1"));
  await world.settle();
  await world.keepAll();
  assert.equal(stateOf(world.host.record(key)), "working");
  return world;
}

/** An actor in `dozing`, with nothing to do for ten minutes. */
export async function dozing(options?: HostOptions) {
  const world = await working(options);
  world.host.deliver(key, { type: "doze" });
  await world.settle();
  await world.keepAll();
  world.performed[0]?.fail(new Error("stopped"));
  await world.settle();
  assert.equal(stateOf(world.host.record(key)), "dozing");
  return world;
}
