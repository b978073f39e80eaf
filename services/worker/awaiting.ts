/**
 * Who waits for whom, wherever either of them is hosted: a unit for its source, a source for those it is made from, and a
 * unit that is blocked for what it depends on. Whoever waits is kept beside the awaited; its owner tells them.
 */
import type { AnyEventObject } from "xstate";
import type { GeneratorContext } from "#machines/generator/machine.ts";
import type { SourceContext } from "#machines/source/machine.ts";
import { placeOf, type Artifact, type ArtifactNews, type ArtifactPlace } from "#protocol/messages/source.ts";
import { kindOf } from "#protocol/api/registry.ts";
import { Fault, sentence } from "#protocol/errors/fault.ts";
import { actorId, parseActorId, partitionOf, placedAt, type ActorKey } from "#protocol/names/actor.ts";
import { awaitedObject, type ObjectRef } from "#protocol/names/awaited.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import type { Cell, Hint, Write } from "#services/store/cell.ts";
import type { Clock } from "#services/store/clock.ts";
import type { KustomizationPorts } from "./effects/kustomization.ts";
import type { Transition } from "./host-ports.ts";
import { isUnit } from "./kinds.ts";
import { awaitedBy, isReady } from "./shown.ts";

export type AwaitingPorts = {
  clock: Clock;
  cell: Pick<Cell, "transfers" | "send" | "dependentsOf" | "awaited" | "owns">;
  /** Of an actor in memory. */
  recordOf(key: ActorKey): ActorRecord | undefined;
  /** Whether it is in a shard, and not on this worker. */
  isAway(key: ActorKey): boolean;
  /** Whether the hub has such an object. */
  exists(key: ActorKey): Promise<boolean>;
  /** Watches one object of any kind, until the signal or the end of this worker. */
  follow(object: ObjectRef, changed: () => void, signal: AbortSignal): void;
};

/** Of a thousand messages in a batch of NATS, the record and whom it waits for are some. */
const mostInDecision = 500;

/** How long after a source's news a unit that only now says that it waits may have missed them. */
const freshMs = 10_000;

export class Awaiting {
  private readonly ports: AwaitingPorts;
  /** Whom the decision that is being kept has told: others may begin to wait meanwhile. */
  private readonly told = new Map<string, Set<string>>();
  /** Objects that are no actors, by id: watched while somebody waits for them. */
  private readonly followed = new Map<string, AbortController>();

  constructor(ports: AwaitingPorts) {
    this.ports = ports;
  }

  /** The artifact a source holds now, and the trace of its change. */
  async held(key: ActorKey): ReturnType<KustomizationPorts["held"]> {
    const { cell, recordOf, exists } = this.ports;
    const record = recordOf(key) ?? (await cell.transfers.readAnywhere(key));
    if (!record) return (await exists(key)) ? "no artifact" : "no source";
    const { artifact, traceparent, fault } = record.snapshot.context as unknown as Partial<SourceContext>;
    if (artifact) return { artifact, traceparent: traceparent ?? "" };
    // One whose status is somebody else's cannot say itself what is wrong.
    const kind = kindOf(key.kind);
    if (kind?.source?.isForeign && fault) throw new Fault("ArtifactMissing", `${kind.kind}/${key.namespace}/${key.name}`, { detail: sentence(fault) });
    return "no artifact";
  }

  /**
   * Where a source's newest artifact lies, when the path is the name that always means it (`status.url`).
   *
   * @param path `<kind>/<namespace>/<name>/<file>`
   */
  async newestAt(path: string): Promise<string | undefined> {
    const [kind = "", namespace = "", name = "", file = ""] = path.split("/");
    if (file === "" || kindOf(kind)?.source?.latest !== file) return undefined;
    const record = this.ports.recordOf({ kind, namespace, name }) ?? (await this.ports.cell.transfers.readAnywhere({ kind, namespace, name }));
    return (record?.snapshot.context as Partial<SourceContext> | undefined)?.artifact?.path;
  }

  /**
   * The artifact at this path was wanted and is not there, or damaged: whoever made it looks again, and stores it anew. False
   * when it is nobody's now.
   */
  async lost(path: string): Promise<boolean> {
    const [kind = "", namespace = "", name = ""] = path.split("/");
    const to = { kind, namespace, name };
    const record = kindOf(kind) && (this.ports.recordOf(to) ?? (await this.ports.cell.transfers.readAnywhere(to)));
    const { artifact, made } = (record?.snapshot.context ?? {}) as Partial<Pick<SourceContext, "artifact"> & Pick<GeneratorContext, "made">>;
    if (artifact?.path !== path && !made?.artifacts.some((each) => each.path === path)) return false;
    await this.ports.cell.send({ to, kind: "look", body: {} });
    return true;
  }

  /** A unit's decision, with whom it waits for from then on. */
  withAwaited(write: Write): Write {
    const before = awaitedBy(this.ports.recordOf(write.key));
    const after = awaitedBy(write.record);
    const add = [...after].filter(([id, any]) => before.get(id) !== any).map(([id, any]) => ({ key: parseActorId(id), any }));
    const drop = [...before.keys()].filter((id) => !after.has(id)).map(parseActorId);
    return add.length + drop.length === 0 ? write : { ...write, awaits: { add, drop } };
  }

  /** Whom an actor's news concern. */
  route(from: ActorKey, emitted: AnyEventObject): Hint[] {
    // Together with the push itself; other sources with its URL are found when they are told (spread.ts).
    if (emitted.type === "pushed") return emitted["source"] ? [{ to: parseActorId(String(emitted["source"])), kind: "look", body: {} }] : [];
    const hint = hintOf(emitted);
    if (!hint) return [];
    // Who waits for it is known at home.
    if (from.shard !== undefined) return [{ to: placedAt(from), kind: "news", body: hint }];
    const waiters = this.ports.cell.dependentsOf(from);
    // More than one batch takes: the decision is kept with a word to ourselves, which whoever has the partition passes on.
    if (waiters.length > mostInDecision) return [{ to: from, kind: "news", body: { ...hint, atMs: this.ports.clock.nowMs() } }];
    this.told.set(actorId(from), new Set(waiters.map(actorId)));
    return waiters.map((to) => ({ to, ...hint }));
  }

  /** The decision is kept: whoever began to wait while it was being kept may have looked before. */
  kept({ key, emits }: Pick<Transition, "key" | "emits">): void {
    const told = this.told.get(actorId(key));
    if (!told) return;
    this.told.delete(actorId(key));
    for (const emitted of emits) {
      const hint = hintOf(emitted);
      if (hint) for (const to of this.ports.cell.dependentsOf(key)) if (!told.has(actorId(to))) this.send({ to, ...hint });
    }
  }

  /**
   * Somebody waits for an actor or object of ours from now on. It may have looked just before there was news, whose hint
   * it then missed. `missed`: that it waits was itself heard late.
   */
  awaited(key: ActorKey, waiter: ActorKey, missed: boolean): void {
    if (awaitedObject(key)) return this.objectAwaited(key, waiter);
    if (isUnit(key)) return void this.unitAwaited(key, waiter);
    const { cell, recordOf, isAway } = this.ports;
    if (!isAway(key)) return this.sourceAwaited(recordOf(key), waiter, missed);
    cell.transfers.readAnywhere(key).then((record) => this.sourceAwaited(record, waiter, missed), () => undefined);
  }

  private sourceAwaited(record: ActorRecord | undefined, waiter: ActorKey, missed: boolean): void {
    const { artifact } = (record?.snapshot.context ?? {}) as Partial<SourceContext>;
    const isFresh = artifact && this.ports.clock.nowMs() - Date.parse(artifact.storedAt) < freshMs;
    if (!missed && !isFresh) return;
    this.send({ to: waiter, ...(artifact ? { kind: "artifact", body: newsOf(artifact) } : look) });
  }

  /** A unit's object is another now, or gone. */
  objectChanged(key: ActorKey): void {
    for (const to of this.ports.cell.dependentsOf(key, true)) this.send({ to, ...dependency });
  }

  /** What lies in a partition that was taken: whoever had it before may not have got round to telling. */
  took(partition: number): void {
    for (const id of this.ports.cell.awaited()) {
      const key = parseActorId(id);
      if (partitionOf(key) !== partition || (!isUnit(key) && !awaitedObject(key))) continue;
      for (const waiter of this.ports.cell.dependentsOf(key)) this.awaited(key, waiter, true);
    }
  }

  /** Objects that nobody waits for any more, or of partitions that went, are watched no longer. */
  tidy(): void {
    if (this.followed.size === 0) return;
    const wanted = new Set(this.ports.cell.awaited());
    for (const [id, watch] of this.followed)
      if (!wanted.has(id) || !this.ports.cell.owns(partitionOf(parseActorId(id)))) {
        watch.abort();
        this.followed.delete(id);
      }
  }

  private async unitAwaited(key: ActorKey, waiter: ActorKey): Promise<void> {
    const { cell, recordOf } = this.ports;
    const any = cell.dependentsOf(key, true).some((each) => actorId(each) === actorId(waiter));
    const record = recordOf(key) ?? (any ? undefined : await cell.transfers.readAnywhere(key).catch(() => undefined));
    if (any || (record && isReady(key, record))) this.send({ to: waiter, ...dependency });
  }

  private objectAwaited(key: ActorKey, waiter: ActorKey): void {
    const id = actorId(key);
    if (this.followed.has(id)) return this.send({ to: waiter, ...dependency });
    const watch = new AbortController();
    this.followed.set(id, watch);
    // Its first word is how the object stands now: whoever waits already looks once more.
    this.ports.follow(awaitedObject(key) as ObjectRef, () => {
      for (const to of this.ports.cell.dependentsOf(key)) this.send({ to, ...dependency });
    }, watch.signal);
  }

  private send(hint: Hint): void {
    this.ports.cell.send(hint).catch(() => undefined); // a look at an interval repairs it
  }
}

type Word = Pick<Hint, "kind" | "body">;

const dependency: Word = { kind: "dependency", body: {} };
const look: Word = { kind: "look", body: {} };

function hintOf(emitted: AnyEventObject): Word | undefined {
  if (emitted.type === "unitReady") return dependency;
  if (emitted.type !== "artifactStored") return undefined;
  const { artifact, before } = emitted as unknown as { artifact: Artifact; before?: ArtifactPlace };
  return { kind: "artifact", body: { ...newsOf(artifact), ...(before && { before }) } };
}

const newsOf = (artifact: Artifact): ArtifactNews => ({ revision: artifact.revision, ...placeOf(artifact) });
