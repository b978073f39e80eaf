/** What an actor's record shows: to people as a view, to its object as a status, to metrics as a state. */
import type { GeneratorContext } from "#machines/generator/machine.ts";
import { generatorStatus } from "#machines/generator/status.ts";
import type { ImageContext } from "#machines/image/machine.ts";
import { imageStatus } from "#machines/image/status.ts";
import type { ImageUpdateContext } from "#machines/image-update/machine.ts";
import { imageUpdateStatus } from "#machines/image-update/status.ts";
import { kustomizationStatus } from "#machines/kustomization/status.ts";
import type { KustomizationContext } from "#machines/kustomization/machine.ts";
import type { UnitReadiness } from "#machines/rules/dependency.ts";
import { stalledBy, type WantedStatus } from "#machines/rules/status.ts";
import type { ReleaseContext } from "#machines/release/machine.ts";
import { releaseStatus } from "#machines/release/status.ts";
import type { SourceContext } from "#machines/source/machine.ts";
import { sourceStatus } from "#machines/source/status.ts";
import { kindOf } from "#protocol/api/registry.ts";
import { faults, sentence, type FaultData } from "#protocol/errors/fault.ts";
import type { ActorView } from "#protocol/messages/fleet.ts";
import { actorId, isPossibleId, objectId, type ActorKey } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import type { Host } from "./host.ts";
import type { ActorSummary } from "./host-ports.ts";

export const stateName = ({ snapshot }: ActorRecord): string => (typeof snapshot["value"] === "string" ? snapshot["value"] : "unknown");

/** Of actors at rest only what the index keeps of them. */
export function viewsOf(worker: string, host: Pick<Host, "all" | "residents">): ActorView[] {
  const residents = new Map([...host.residents()].map(({ key, record }) => [actorId(key), viewOf(worker, key, record)]));
  return [...host.all()].map(({ key, state }) => residents.get(actorId(key)) ?? { id: objectId(key), state, worker });
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
    id: objectId(key), state: stateName(record), worker, ...(revision && { revision }), ...(traceId && { traceId }),
    ...(record.busySinceMs !== undefined && { since: new Date(record.busySinceMs).toISOString() }),
  };
}

/** What its object should say; undefined: nothing yet. */
export function statusOf({ kind }: ActorKey, record: ActorRecord, quarantine: FaultData | null): WantedStatus | undefined {
  if (kindOf(kind)?.source?.isForeign) return undefined; // its producer's
  if (quarantine) {
    const failure = { status: "False", reason: "Quarantined", message: sentence(quarantine) } as const;
    return { handledAt: "", conditions: [{ ...failure, type: "Ready" }, { ...stalledBy(quarantine), reason: "Quarantined" }] };
  }
  const context: unknown = record.snapshot.context;
  const state = stateName(record);
  if (kind === "artifactgenerator") return generatorStatus(state, context as GeneratorContext);
  if (kind === "helmrelease") return releaseStatus(state, context as ReleaseContext);
  if (kind === "imagerepository" || kind === "imagepolicy") return imageStatus(state, context as ImageContext);
  if (kind === "imageupdateautomation") return imageUpdateStatus(state, context as ImageUpdateContext);
  return kind === "kustomization" ? kustomizationStatus(state, context as KustomizationContext) : sourceStatus(state, context as SourceContext);
}

/** A unit created together with its source waits for the first artifact: for a moment, mostly. */
export function isWaiting({ snapshot }: ActorRecord): boolean {
  const { fault } = snapshot.context as { fault?: FaultData | null };
  return Boolean(fault) && faults[(fault as FaultData).code].remedy === "wait";
}

/** Ids of what it waits for: its sources always, and what blocks it; true: for any change of it. */
export function awaitedBy(record: ActorRecord | null | undefined): Map<string, boolean> {
  const { facts, awaits = [] } = (record?.snapshot.context ?? {}) as Awaiter;
  const sources = [...(facts?.source ? [facts.source] : []), ...(facts?.madeFrom ?? [])];
  return new Map([...sources.map((id) => [id, false] as const), ...awaits.map(({ id, any = false }) => [id, any] as const)].filter(([id]) => isPossibleId(id)));
}

/** A unit has one source; a source may be made from others. */
type Awaiter = { facts?: { source?: string; madeFrom?: string[] } | null; awaits?: KustomizationContext["awaits"] };

/** What a unit's record says of it to those that depend on it. */
export function readinessOf(key: ActorKey, record: ActorRecord): UnitReadiness & { uid: string } {
  const { facts, applied, observedGeneration } = record.snapshot.context as unknown as KustomizationContext;
  const ready = statusOf(key, record, null)?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
  return { generation: facts?.generation ?? 0, observedGeneration, ready, lastAppliedRevision: applied, source: facts?.source ?? "", uid: facts?.uid ?? "" };
}

export const isReady = (key: ActorKey, record: ActorRecord): boolean => readinessOf(key, record).ready;
