/** An actor in memory, and what it makes of the events that came for it. */
import type { AnyEventObject, AnyStateMachine } from "xstate";
import { begin, step, type Decision } from "#machines/step.ts";
import { Fault, type FaultData } from "#protocol/errors/fault.ts";
import { actorId, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import type { HintKind } from "#protocol/names/subject.ts";
import type { ActorRecord, Timer } from "#protocol/records/actor.ts";
import { factsHash } from "./facts-hash.ts";
import type { AtRest } from "./idle-index.ts";
import { isForMany } from "./spread.ts";

export type Delivery = { event: AnyEventObject; attempt?: number; timerDueMs?: number; hint?: { kind: HintKind; seq: number } };

export type Resident = {
  readonly slot: number;
  readonly key: ActorKey;
  readonly partition: number;
  readonly machine: AnyStateMachine;
  record: ActorRecord;
  /** The record is in the store: false only for an actor that was just begun. */
  kept: boolean;
  queue: Delivery[];
  /** What came after the actor's end, for the actor that begins under its name. */
  later: Delivery[];
  /** The decision under way. */
  working: Promise<void> | null;
  readonly tasks: Map<number, AbortController>;
  /** Armed and not yet fired. */
  readonly timers: Map<string, Timer>;
  readonly telling: Set<number>;
  quarantine: FaultData | null;
  /** Runs up to this attempt were left by an owner that did not let go. */
  readonly recoveredUpTo: number;
  restsSinceMs: number;
  /** No longer in memory: another may go by its name by now. */
  gone: boolean;
};

/** From its record, or begun now. */
export function newResident(slot: number, key: ActorKey, machine: AnyStateMachine, nowMs: number, record?: ActorRecord, recovered = false): Resident {
  const first = record ?? begin(machine, { key: actorId(key) }, nowMs).record;
  return {
    slot, key, machine, partition: partitionOf(key), record: first, kept: record !== undefined, queue: [], later: [], working: null,
    tasks: new Map(), timers: new Map(), telling: new Set(), quarantine: null, recoveredUpTo: recovered ? first.attempts : 0,
    restsSinceMs: 0, gone: false,
  };
}

export const posted = "flotilla.posted";

/** What the deliveries make of the actor, in order; nothing is kept or acted on yet. */
export function decideOn(live: Resident, deliveries: Delivery[], nowMs: number): Decision {
  const id = actorId(live.key);
  let { record } = live;
  const emits: AnyEventObject[] = [];
  for (const [index, delivery] of deliveries.entries()) {
    const { event, hint } = delivery;
    if (live.quarantine) {
      if (event.type !== "object") continue;
      live.quarantine = null; // the object changed, or a reconcile was asked for: begin afresh
      const { outbox, attempts } = record;
      record = { ...begin(live.machine, { key: id }, nowMs, attempts).record, outbox };
    }
    if (!isExpected(record, delivery)) continue;
    if (event.type === posted) record = { ...record, outbox: record.outbox.filter(({ n }) => n !== event["n"]) };
    else if (record.snapshot.status === "done") live.later.push(delivery);
    else
      try {
        const decision = step(live.machine, record, event, nowMs);
        if (decision.record.snapshot.status === "error") throw new Fault("Unexpected", id, { detail: `chart failed on ${event.type}` });
        ({ record } = decision);
        emits.push(...decision.emits);
      } catch (thrown) {
        live.queue.unshift(...deliveries.slice(index + 1)); // its object may be among them
        throw thrown;
      }
    if (hint) record = { ...record, seen: { ...record.seen, [hint.kind]: hint.seq } };
  }
  const words = emits.filter((emitted) => emitted.type === "notice" || isForMany(emitted));
  if (words.length > 0) record = { ...record, ...numbered(record, words) };
  return { record, emits };
}

/** Late answers, timers that were cancelled or moved, and hints seen before count for nothing. */
function isExpected(record: ActorRecord, { event, attempt, timerDueMs, hint }: Delivery): boolean {
  if (attempt !== undefined) return record.runs.some((run) => run.attempt === attempt);
  if (timerDueMs !== undefined) return record.timers.some((timer) => timer.event.type === event.type && timer.dueMs === timerDueMs);
  return hint === undefined || hint.seq > (record.seen[hint.kind] ?? 0);
}

function numbered(record: ActorRecord, words: AnyEventObject[]): Pick<ActorRecord, "outbox" | "attempts"> {
  let { attempts } = record;
  return { outbox: [...record.outbox, ...words.map((word) => ({ ...word, n: ++attempts }))], attempts };
}

/** Makes the timers equal to the record's. */
export function setTimers({ record, timers }: Resident): void {
  const ids = new Set(record.timers.map(timerKey));
  for (const id of timers.keys()) if (!ids.has(id)) timers.delete(id);
  for (const timer of record.timers) timers.set(timerKey(timer), timer);
}

/** Those that are due, in order; they fire once. */
export function takeDue({ timers }: Resident, nowMs: number): Timer[] {
  const due = [...timers.values()].filter(({ dueMs }) => dueMs <= nowMs).sort((a, b) => a.dueMs - b.dueMs);
  for (const timer of due) timers.delete(timerKey(timer));
  return due;
}

export function abortTasks({ tasks }: Resident): void {
  for (const controller of tasks.values()) controller.abort();
  tasks.clear();
}

const timerKey = ({ id, dueMs }: Timer): string => `${id}@${dueMs}`;

/** Nothing runs and nothing is left to tell: the record can be read again when something happens. */
export const isAtRest = ({ snapshot, runs, outbox }: ActorRecord): boolean => snapshot.status === "active" && runs.length === 0 && outbox.length === 0;

export const earliestMs = (timers: Iterable<Timer>): number => [...timers].reduce((least, { dueMs }) => Math.min(least, dueMs), Infinity);

export const stateNameOf = ({ snapshot }: ActorRecord): string => (typeof snapshot["value"] === "string" ? snapshot["value"] : "unknown");

export const factsHashOf = ({ snapshot }: ActorRecord): number => factsHash(snapshot.context["facts"]);

export const atRest = (record: ActorRecord): AtRest => ({
  state: stateNameOf(record), dueMs: earliestMs(record.timers), attempts: record.attempts, factsHash: factsHashOf(record),
});
