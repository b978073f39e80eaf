/** One decision of one actor. The record says what should be running and what is due; a worker makes it so. */
import { createActor, initialTransition } from "xstate";
import type { AnyActorScope, AnyEventObject, AnyMachineSnapshot, AnyStateMachine } from "xstate";
import type { ActorRecord, Run, Timer } from "#protocol/records/actor.ts";

export type Decision = { record: ActorRecord; emits: AnyEventObject[] };

/** Tag of every state in which the actor works on something; the others wait. */
export const busy = "busy";

/** The first decision of a new actor. `attempts` is where numbering goes on for one that begins afresh. */
export function begin(machine: AnyStateMachine, input: unknown, nowMs: number, attempts = 0): Decision {
  const [after, actions] = initialTransition(machine, input);
  const blank = { v: 1 as const, machine: machine.id, timers: [], runs: [], attempts, outbox: [], seen: {} };
  return settle(machine, blank, {}, after as AnyMachineSnapshot, actions, nowMs);
}

const atMs = "atMs";

/** When the event that a chart decides on came, in ms since 1970; 0 at its very beginning. */
export const timeOf = (event: object): number => (event as { [atMs]?: number })[atMs] ?? 0;

/** The next decision. Pure: same record, event and time in, same decision out; nothing is performed. */
export function step(machine: AnyStateMachine, record: ActorRecord, event: AnyEventObject, nowMs: number): Decision {
  const actions: Action[] = [];
  const scope: AnyActorScope = { ...scopeOf(machine), actionExecutor: (action) => { actions.push(action); } };
  const after = machine.transition(stateOf(machine, record), { ...event, [atMs]: nowMs }, scope) as AnyMachineSnapshot;
  const { snapshot, ...rest } = record;
  const fired = record.timers.filter((timer) => timer.event.type !== event.type);
  return settle(machine, { ...rest, timers: fired }, snapshot.context, after, actions, nowMs);
}

/** The record's state as XState sees it: `matches`, `hasTag`, `context`. */
export function stateOf(machine: AnyStateMachine, { snapshot }: ActorRecord): AnyMachineSnapshot {
  const known = states.get(snapshot);
  if (known?.machine === machine) return known;
  // XState walks through a context in search of references to actors; ours hold none, and may be large.
  const restored = machine.restoreSnapshot({ ...snapshot, context: {} } as never, scopeOf(machine)) as AnyMachineSnapshot;
  const state = { ...restored, context: snapshot.context };
  states.set(snapshot, state);
  return state;
}

/** The state of every snapshot that is in memory, so that it is restored once at most. */
const states = new WeakMap<ActorRecord["snapshot"], AnyMachineSnapshot>();

/** How a value is stored. What was spelled once is not spelled again: contents of a record are never changed in place. */
export function textOf(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) as string | undefined;
  const known = texts.get(value);
  if (known !== undefined) return known;
  const text = JSON.stringify(value) as string | undefined;
  if (text !== undefined) texts.set(value, text);
  return text;
}

const texts = new WeakMap<object, string>();

/** The answer to a run: an event only the state that asked can take. */
export const answered = (run: Run, output: unknown): AnyEventObject => ({ type: `xstate.done.actor.${run.id}`, actorId: run.id, output });
export const failed = (run: Run, error: unknown): AnyEventObject => ({ type: `xstate.error.actor.${run.id}`, actorId: run.id, error });

// Everything this project knows of XState's action objects; step.test.ts pins their shapes.
type Action = { type: string; params?: unknown };
type Params = { id: string; sendId: string; delay?: number; event: AnyEventObject; src: string; input: unknown };

function settle(
  machine: AnyStateMachine,
  before: Omit<ActorRecord, "snapshot">,
  contextBefore: Context,
  after: AnyMachineSnapshot,
  actions: readonly Action[],
  nowMs: number,
): Decision {
  let { timers, runs, attempts } = before;
  const emits: AnyEventObject[] = [];
  for (const action of actions) {
    const { id, sendId, delay, event, src, input } = (action.params ?? {}) as Params;
    switch (action.type) {
      case "xstate.raise":
        if (delay !== undefined) timers = [...timers.filter((t) => t.id !== id), { id, dueMs: nowMs + delay, event } satisfies Timer];
        break;
      case "xstate.cancel":
        timers = timers.filter((timer) => timer.id !== sendId);
        break;
      case "xstate.spawnChild":
        runs = [...runs.filter((run) => run.id !== id), { id, src, input, attempt: ++attempts, sinceMs: nowMs }];
        break;
      case "xstate.stopChild":
        runs = runs.filter((run) => run.id !== id);
        break;
      case "xstate.emit":
        emits.push(event);
        break;
      default:
    }
  }
  const busySinceMs = after.hasTag(busy) ? (before.busySinceMs ?? nowMs) : undefined;
  const { busySinceMs: _, ...rest } = before;
  const context = asStored(contextBefore, after.context as Context);
  const shell = JSON.stringify(machine.getPersistedSnapshot({ ...after, context: {} } as never));
  const snapshot = { ...(JSON.parse(shell) as ActorRecord["snapshot"]), context };
  states.set(snapshot, { ...after, context });
  return { record: { ...rest, snapshot, timers, runs, attempts, ...(busySinceMs !== undefined && { busySinceMs }) }, emits };
}

type Context = Record<string, unknown>;

/**
 * A context after its way through JSON, as it is stored: what does not survive there must not influence the next decision
 * either. What stayed equal stays the same value, so that a large inventory is neither copied nor spelled at every step.
 */
function asStored(before: Context, after: Context): Context {
  if (before === after) return before;
  const stored: Context = {};
  for (const [name, value] of Object.entries(after)) {
    const former = before[name];
    if (value === former && value !== undefined) {
      stored[name] = former;
      continue;
    }
    const text = JSON.stringify(value) as string | undefined; // a value that is new to the record may still be changed by its maker
    if (text === undefined) continue;
    if (typeof former === "object" && former !== null && textOf(former) === text) stored[name] = former;
    else {
      const kept: unknown = JSON.parse(text);
      if (typeof kept === "object" && kept !== null) texts.set(kept, text);
      stored[name] = kept;
    }
  }
  return stored;
}

/** Where a chart's decisions are made: nothing in it is ever started, so all actors of the chart share it. */
function scopeOf(machine: AnyStateMachine): AnyActorScope {
  const known = scopes.get(machine);
  if (known) return known;
  const self = createActor(machine);
  const scope: AnyActorScope = {
    self, system: self.system, id: "", sessionId: "", logger: nothing, defer: nothing, emit: nothing, stopChild: nothing, actionExecutor: nothing,
  };
  scopes.set(machine, scope);
  return scope;
}

const scopes = new WeakMap<AnyStateMachine, AnyActorScope>();
const nothing = () => {};
