/**
 * Turns what a unit did between two rests into spans under its change. Nothing is recorded until the unit rests again:
 * only then it is known whether anything happened, and a look that found nothing new is not worth a span.
 */
import type { KustomizationContext } from "#machines/kustomization/machine.ts";
import { displayName, parseInventoryId } from "#machines/rules/inventory.ts";
import type { FaultData } from "#protocol/errors/fault.ts";
import type { ChangeAction } from "#protocol/messages/kustomization.ts";
import { actorId, objectId, type ActorKey } from "#protocol/names/actor.ts";
import type { ActorRecord, Run } from "#protocol/records/actor.ts";
import { attribute, resourceAttributes, syncAction, unitAttributes } from "#protocol/trace/attributes.ts";
import { childOf, freshTraceparent } from "#services/telemetry/ids.ts";
import { isUnit, kindName } from "./kinds.ts";
import type { Spans } from "#services/telemetry/spans.ts";

type Part = { name: string; attempt: number; startMs: number; endMs: number; fault?: FaultData };
type ObjectPart = { id: string; action: ChangeAction; startMs: number; endMs: number; by?: string | undefined };
type Work = { parts: Part[]; objects: ObjectPart[] };

/** A unit that was busy when its partition changed hands. Epochs of the partition before and after. */
export type Handover = { fromEpoch: number; toEpoch: number; worker: string; cause: string; atMs: number };

const partNames: Record<string, string> = {
  applyChart: "apply chart", findChart: "find chart", compose: "compose", inspect: "inspect", act: "release", compare: "compare", correct: "correct",
  adopt: "adopt", findSource: "find source", checkDependencies: "check dependencies", build: "build", apply: "apply", prune: "prune", followHealth: "health",
};
/** Parts that change objects. */
const writes = new Set(["apply", "release"]);
const mostObjectSpans = 200; // backends cut large traces; the apply's own span counts them all

export class Traces {
  private readonly spans: Pick<Spans, "recordSpan">;
  private readonly works = new Map<string, Work>();
  private readonly takenOver = new Map<string, Handover>();

  constructor(spans: Pick<Spans, "recordSpan">) {
    this.spans = spans;
  }

  ended(key: ActorKey, run: Run, { endMs, fault }: { endMs: number; fault?: FaultData }): void {
    const name = isUnit(key) ? partNames[run.src] : undefined;
    if (name) this.workOf(key).parts.push({ name, attempt: run.attempt, startMs: run.sinceMs, endMs, ...(fault && { fault }) });
  }

  objectWritten(key: ActorKey, id: string, action: ChangeAction, startMs: number, endMs: number, by?: string): void {
    if (action !== "unchanged" && action !== "skipped") this.workOf(key).objects.push({ id, action, startMs, endMs, by });
  }

  /**
   * The unit goes to another worker in the middle of its work. What was done so far is told here; the span of the whole
   * is told where it comes to rest. Both can be computed from the change and the epoch, so each names the other.
   */
  handedOver(key: ActorKey, record: ActorRecord, handover: Handover): void {
    const { parts, objects } = this.works.get(actorId(key)) ?? { parts: [], objects: [] };
    this.forget(key);
    const { busySinceMs } = record;
    if (!isUnit(key)) return;
    const { traceparent, attempted, applied } = record.snapshot.context as unknown as KustomizationContext;
    if (busySinceMs === undefined || !traceparent || applied === attempted || parts.length + objects.length === 0) return;
    const { fromEpoch, toEpoch, worker, atMs } = handover;
    const own = childOf(traceparent, partLabel(key, attempted, fromEpoch));
    this.spans.recordSpan({
      name: `${syncAction} ${key.kind}/${key.name} (until handed over)`, traceparent: own, parent: traceparent, startMs: busySinceMs, endMs: atMs,
      links: [childOf(traceparent, unitLabel(key, attempted))],
      events: [{ name: "gitops.handover", atMs, attributes: { "gitops.epoch.from": fromEpoch, "gitops.epoch.to": toEpoch, "gitops.worker.to": worker } }],
      attributes: { ...unitAttributes(key, kindName(key.kind)), [attribute.revision]: attempted, [attribute.epoch]: fromEpoch },
    });
    for (const part of parts) if (part.startMs >= busySinceMs) this.part(key, own, part, objects);
  }

  /** These came here; which of them were busy is told once they rest. */
  tookOver(actors: Iterable<{ key: ActorKey; record: ActorRecord }>, handover: Handover): void {
    for (const { key, record } of actors)
      if (isUnit(key) && record.busySinceMs !== undefined) this.takenOver.set(actorId(key), handover);
  }

  /** The unit rests again. */
  rested(key: ActorKey, before: ActorRecord, after: ActorRecord, endMs: number): void {
    const work = this.works.get(actorId(key));
    const handover = this.takenOver.get(actorId(key));
    this.forget(key);
    if (!work || before.busySinceMs === undefined) return;
    const was = before.snapshot.context as unknown as KustomizationContext;
    const is = after.snapshot.context as unknown as KustomizationContext;
    const newChange = was.applied !== is.attempted;
    const wentWrong = is.fault !== null && (was.fault?.code !== is.fault.code || newChange);
    if (work.objects.length === 0 && !wentWrong && !(newChange && is.appliedKey !== "" && work.parts.some(({ name }) => writes.has(name)))) return;

    // What no change caused, such as putting drift back, is a trace of its own with a link to the change that stands.
    const unit = newChange && is.traceparent ? childOf(is.traceparent, unitLabel(key, is.attempted)) : freshTraceparent();
    const former = handover && is.traceparent ? [childOf(is.traceparent, partLabel(key, is.attempted, handover.fromEpoch))] : [];
    this.spans.recordSpan({
      name: `${syncAction} ${key.kind}/${key.name}`,
      traceparent: unit, kind: "server", startMs: before.busySinceMs, endMs,
      ...(newChange && is.traceparent ? { parent: is.traceparent, links: former } : { links: is.traceparent ? [is.traceparent] : [] }),
      ...(handover && { events: [{ name: "gitops.takeover", atMs: handover.atMs, attributes: eventAttributes(handover) }] }),
      ...(is.fault && { error: is.fault }),
      attributes: {
        ...unitAttributes(key, kindName(key.kind)),
        [attribute.action]: syncAction, [attribute.revision]: is.attempted, [attribute.result]: is.fault ? "failure" : "success",
        ...(!newChange && { [attribute.drift]: true }), "gitops.objects.changed": work.objects.length,
      },
    });
    const { busySinceMs } = before;
    for (const part of work.parts) if (part.startMs >= busySinceMs) this.part(key, unit, part, work.objects);
  }

  forget(key: ActorKey): void {
    this.works.delete(actorId(key));
    this.takenOver.delete(actorId(key));
  }

  private part(key: ActorKey, unit: string, { name, attempt, startMs, endMs, fault }: Part, objects: ObjectPart[]): void {
    const own = childOf(unit, `${name}\n${attempt}`);
    this.spans.recordSpan({
      name, parent: unit, traceparent: own, startMs, endMs, ...(fault && { error: fault }),
      attributes: { [attribute.unit]: objectId(key), [attribute.taskName]: name },
    });
    if (!writes.has(name)) return;
    // Two clocks of one process, one in whole milliseconds.
    const within = (each: ObjectPart) => each.startMs >= startMs - 1 && each.endMs <= endMs + 1;
    for (const object of objects.filter(within).slice(0, mostObjectSpans)) {
      const id = parseInventoryId(object.id);
      this.spans.recordSpan({
        name: `${object.action} ${displayName(id)}`, parent: own, startMs: object.startMs, endMs: object.endMs,
        attributes: { [attribute.unit]: objectId(key), ...resourceAttributes(id), ...(object.by && { [attribute.driftManager]: object.by }) },
      });
    }
  }

  private workOf(key: ActorKey): Work {
    const id = actorId(key);
    let work = this.works.get(id);
    if (!work) this.works.set(id, (work = { parts: [], objects: [] }));
    return work;
  }
}

const unitLabel = (key: ActorKey, revision: string): string => `${objectId(key)}\n${revision}`;
const partLabel = (key: ActorKey, revision: string, epoch: number): string => `${unitLabel(key, revision)}\n${epoch}`;

const eventAttributes = ({ fromEpoch, toEpoch, worker, cause }: Handover) =>
  ({ "gitops.epoch.from": fromEpoch, "gitops.epoch.to": toEpoch, "gitops.worker.from": worker, "gitops.takeover.cause": cause });
