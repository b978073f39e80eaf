/** One decision of one actor. The record says what should be running and what is due; a worker makes it so. */
import { createActor, initialTransition, transition } from "xstate";
import type { AnyEventObject, AnyMachineSnapshot, AnyStateMachine, Snapshot } from "xstate";
import type { ActorRecord, Run, Timer } from "#protocol/records/actor.ts";

export type Decision = { record: ActorRecord; emits: AnyEventObject[] };

/** Tag of every state in which the actor works on something; the others wait. */
export const busy = "busy";

/** The first decision of a new actor. `attempts` is where numbering goes on for one that begins afresh. */
export function begin(machine: AnyStateMachine, input: unknown, nowMs: number, attempts = 0): Decision {
  const [after, actions] = initialTransition(machine, input);
  const blank = { v: 1 as const, machine: machine.id, timers: [], runs: [], attempts, outbox: [], seen: {} };
  return settle(machine, blank, after as AnyMachineSnapshot, actions, nowMs);
}

/** The next decision. Pure: same record, event and time in, same decision out; nothing is performed. */
export function step(machine: AnyStateMachine, record: ActorRecord, event: AnyEventObject, nowMs: number): Decision {
  const [after, actions] = transition(machine, stateOf(machine, record), event);
  const { snapshot: _, ...rest } = record;
  const fired = record.timers.filter((timer) => timer.event.type !== event.type);
  return settle(machine, { ...rest, timers: fired }, after as AnyMachineSnapshot, actions, nowMs);
}

/** The record's state as XState sees it: `matches`, `hasTag`, `context`. */
export function stateOf(machine: AnyStateMachine, record: ActorRecord): AnyMachineSnapshot {
  return createActor(machine, { snapshot: record.snapshot as unknown as Snapshot<unknown> }).getSnapshot() as AnyMachineSnapshot;
}

/** The answer to a run: an event only the state that asked can take. */
export const answered = (run: Run, output: unknown): AnyEventObject => ({ type: `xstate.done.actor.${run.id}`, actorId: run.id, output });
export const failed = (run: Run, error: unknown): AnyEventObject => ({ type: `xstate.error.actor.${run.id}`, actorId: run.id, error });

// Everything this project knows of XState's action objects; step.test.ts pins their shapes.
type Action = { type: string; params?: unknown };
type Params = { id: string; sendId: string; delay?: number; event: AnyEventObject; src: string; input: unknown };

function settle(
  machine: AnyStateMachine,
  before: Omit<ActorRecord, "snapshot">,
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
  // Through JSON, as it is stored: what does not survive there must not influence the next decision either.
  const snapshot = JSON.parse(JSON.stringify(machine.getPersistedSnapshot(after))) as ActorRecord["snapshot"];
  return { record: { ...rest, snapshot, timers, runs, attempts, ...(busySinceMs !== undefined && { busySinceMs }) }, emits };
}
