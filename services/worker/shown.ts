/** What an actor's record shows: to people as a view, to its object as a status, to metrics as a state. */
import { kustomizationStatus } from "#machines/kustomization/status.ts";
import type { KustomizationContext } from "#machines/kustomization/machine.ts";
import { stalledBy, type WantedStatus } from "#machines/rules/status.ts";
import type { SourceContext } from "#machines/source/machine.ts";
import { sourceStatus } from "#machines/source/status.ts";
import { faults, sentence, type FaultData } from "#protocol/errors/fault.ts";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import type { ActorView } from "./fleet.ts";
import type { Host } from "./host.ts";
import type { ActorSummary } from "./host-ports.ts";

export const stateName = ({ snapshot }: ActorRecord): string => (typeof snapshot["value"] === "string" ? snapshot["value"] : "unknown");

/** Of actors at rest only what the index keeps of them. */
export function viewsOf(worker: string, host: Pick<Host, "all" | "residents">): ActorView[] {
  const residents = new Map([...host.residents()].map(({ key, record }) => [actorId(key), viewOf(worker, key, record)]));
  return [...host.all()].map(({ key, state }) => residents.get(actorId(key)) ?? { id: actorId(key), state, worker });
}

/** How many actors of a kind are in which state. */
export function countsOf(actors: Iterable<ActorSummary>): { kind: string; state: string; count: number }[] {
  const counts = new Map<string, { kind: string; state: string; count: number }>();
  for (const { key: { kind }, state } of actors) {
    const entry = counts.get(`${kind} ${state}`) ?? { kind, state, count: 0 };
    entry.count++;
    counts.set(`${kind} ${state}`, entry);
  }
  return [...counts.values()];
}

function viewOf(worker: string, key: ActorKey, record: ActorRecord): ActorView {
  const { artifact, applied, traceparent } = record.snapshot.context as { artifact?: { revision: string } | null; applied?: string; traceparent?: string };
  const revision = artifact?.revision ?? applied;
  const traceId = traceparent?.split("-")[1];
  return {
    id: actorId(key), state: stateName(record), worker, ...(revision && { revision }), ...(traceId && { traceId }),
    ...(record.busySinceMs !== undefined && { since: new Date(record.busySinceMs).toISOString() }),
  };
}

/** What its object should say; undefined: nothing yet. */
export function statusOf({ kind }: ActorKey, record: ActorRecord, quarantine: FaultData | null): WantedStatus | undefined {
  if (quarantine) {
    const failure = { status: "False", reason: "Quarantined", message: sentence(quarantine) } as const;
    return { handledAt: "", conditions: [{ ...failure, type: "Ready" }, { ...stalledBy(quarantine), reason: "Quarantined" }] };
  }
  const context: unknown = record.snapshot.context;
  const state = stateName(record);
  return kind === "kustomization" ? kustomizationStatus(state, context as KustomizationContext) : sourceStatus(state, context as SourceContext);
}

/** A unit created together with its source waits for the first artifact: for a moment, mostly. */
export function isWaiting({ snapshot }: ActorRecord): boolean {
  const { fault } = snapshot.context as { fault?: FaultData | null };
  return Boolean(fault) && faults[(fault as FaultData).code].remedy === "wait";
}

/** Id of the actor it waits for. */
export const awaitedBy = (record: ActorRecord | null | undefined): string =>
  (record?.snapshot.context as { facts?: { source?: string } | null } | undefined)?.facts?.source ?? "";
