/** What must hold at every moment of a simulated life, and what must hold once it is calm. Ids: docs/spec. */
import { inventoryId } from "#machines/rules/inventory.ts";
import type { KustomizationContext } from "#machines/kustomization/machine.ts";
import type { SourceContext } from "#machines/source/machine.ts";
import { leaseMs } from "#machines/rules/lease.ts";
import { finalizer, labels } from "#protocol/api/annotations.ts";
import type { ApplyOutcome } from "#protocol/messages/kustomization.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import type { AnyEventObject } from "xstate";
import { actorId, objectId, parseActorId, partitionOf, placedAt, type ActorKey } from "#protocol/names/actor.ts";
import { isSnapshot, parseMailbox, parseOwn, parseSnapshot, subject } from "#protocol/names/subject.ts";
import { parseActorRecord, type ActorRecord } from "#protocol/records/actor.ts";
import { homeRecord, ownRecord } from "#protocol/records/cell.ts";
import type { Stored } from "#services/store/log.ts";
import { deathMark } from "#services/store/roster.ts";
import type { EffectCall, Transition } from "#services/worker/host.ts";
import { fluxKinds } from "./cluster-watch.ts";
import { pathOfId } from "./cluster.ts";
import type { By, Change, SimulatedKube } from "./kube.ts";
import type { MemoryStream } from "./memory-log.ts";
import type { Process } from "./time.ts";
import { isRelease, ReleaseChecks } from "./release-checks.ts";
import { indexOf, type Upstream } from "./upstream.ts";
import { hintMs, WaitingChecks } from "./waiting-checks.ts";

export type Observed = {
  readonly process: Process;
  readonly joined: boolean;
  readonly cell: { holds(): boolean; epochOf(key: ActorKey): number; readonly owned: number[] };
  /** Whether it passes the guard. */
  acts(key: ActorKey): boolean;
  readonly host: { record(key: ActorKey): ActorRecord | undefined; quarantineOf(key: ActorKey): unknown };
};

export type CheckPorts = {
  stream: MemoryStream;
  kube: SimulatedKube;
  upstream: Upstream;
  nowMs(): number;
  workers(): Iterable<Observed>;
  violated(rule: string, text: string): void;
};

const graceMs = 5_000;


export class Checks {
  readonly ports: CheckPorts;
  /** Notices that were kept and are still to be told: `<actor> <n>`. */
  /** Epochs under which records were damaged, by their actor. */
  private readonly lostUnder = new Map<string, number>();
  readonly untold = new Set<string>();
  private readonly saidOnce = new Set<string>();
  readonly durable = new Map<string, ActorRecord>();
  private readonly owners = new Map<number, { worker: string; epoch: number; sinceMs: number }>();
  /** Who owned a partition under an epoch. */
  private readonly history = new Map<string, string>();
  private readonly serials = new Map<string, number>();
  private readonly runs = new Set<string>();
  private readonly epochs = new Map<string, number>();
  /** By object: the epoch under which somebody compared it last, and found or made it as wanted. */
  private readonly sealed = new Map<string, number>();
  private readonly working = new Map<string, { call: EffectCall; abortedMs: number | undefined }[]>();
  /** When an actor was given something last. */
  private readonly given = new Map<string, number>();
  /** Newest hint that reached a worker's host. */
  private readonly taken = new Map<string, number>();
  /** Sequence of an actor's first record: hints from before it are not meant for it. */
  private readonly births = new Map<string, number>();
  private readonly knownSinceMs = new Map<string, number>();

  private readonly waits: WaitingChecks;
  readonly releases: ReleaseChecks;
  private readonly hints = new Map<string, { sequence: number; atMs: number }>();
  private readonly suspendedAtDeletion = new Map<string, boolean>();
  private readonly beats = new Map<string, number[]>();
  private disturbedMs = 0;

  constructor(ports: CheckPorts) {
    this.ports = ports;
    this.waits = new WaitingChecks(ports);
    this.releases = new ReleaseChecks({ ...ports, epochOf: (unit) => this.owners.get(partitionOf(parseActorId(unit)))?.epoch ?? 0, isAskedFor: (unit, attempt) => this.durable.get(unit)?.runs.some((run) => run.attempt === attempt) === true });
    ports.stream.watch((batch, writer) => this.stored(batch, writer));
    ports.kube.watch((change) => this.changed(change));
  }

  owner(key: ActorKey): string | undefined {
    return this.ownerOf(partitionOf(key));
  }

  ownerOf(partition: number): string | undefined {
    return this.owners.get(partition)?.worker;
  }

  /** Something from outside is on its way to the actor. */
  delivered(worker: Observed, key: ActorKey, event: AnyEventObject, hint?: { kind: string; seq: number }): void {
    if (hint) {
      const at = `${worker.process.name} ${actorId(key)} ${hint.kind}`;
      this.taken.set(at, Math.max(this.taken.get(at) ?? 0, hint.seq)); // a copy of an earlier one may come late
    }
    if (event.type === "object" && event["facts"] === null) {
      const live = this.ports.kube.get(pathOfUnit(actorId(key)));
      const { facts } = (this.durable.get(actorId(key))?.snapshot.context ?? {}) as { facts?: { uid: string } | null };
      this.expect(!live || live.metadata.uid !== facts?.uid, "FD2", () => `${worker.process.name} is told that ${actorId(key)} is gone, and it is not`);
    }
    this.given.set(`${worker.process.name} ${actorId(key)}`, this.ports.nowMs());
  }

  private stored(batch: Stored[], writer: string): void {
    for (const { subject: name, data, headers, sequence } of batch)
      if (name.endsWith(".own")) this.owned(parseOwn(name), data);
      else if (name.startsWith(subject.member(""))) this.beat(name.slice(subject.member("").length), data, writer);
      else if (name.includes(".mbx.") && !/\.(moved|leave|news)$/.test(name) && data !== "") this.hints.set(name, { sequence, atMs: this.ports.nowMs() });
      else if (isSnapshot(name) && writer !== "") {
        const key = parseSnapshot(name);
        if (!this.durable.has(actorId(key))) {
          this.births.set(actorId(key), sequence);
          this.knownSinceMs.set(actorId(key), this.ports.nowMs());
        }
        this.recorded(key, data, Number(headers["sim-serial"]), writer, batch);
      }
  }

  private beat(worker: string, data: string, writer: string): void {
    const nowMs = this.ports.nowMs();
    if (data !== deathMark && data !== "") return void this.beats.set(worker, [...(this.beats.get(worker) ?? []).slice(-9), nowMs]);
    if (data !== deathMark) return;
    const last = this.beats.get(worker)?.at(-1) ?? 0;
    this.expect(nowMs - last >= leaseMs, "OW8", () => `${writer} holds ${worker} for dead ${nowMs - last} ms after its last heartbeat`);
    const [first = nowMs] = this.steady(this.beats.get(writer) ?? []);
    this.expect(nowMs - first >= 400, "OW8", () => `${writer} holds ${worker} for dead though its own heartbeats have come through for ${nowMs - first} ms only`);
  }

  /** The newest beats, back to the last gap. */
  private steady(beats: number[]): number[] {
    const gap = beats.findLastIndex((atMs, i) => i > 0 && atMs - (beats[i - 1] ?? 0) > leaseMs);
    return beats.slice(Math.max(0, gap));
  }

  private owned(partition: number, data: string): void {
    const { worker, epoch } = ownRecord.parse(JSON.parse(data));
    const before = this.owners.get(partition);
    this.expect(!before || epoch > before.epoch, "OW2", () => `partition ${partition}: epoch ${epoch} after ${before?.epoch}`);
    this.owners.set(partition, { worker, epoch, sinceMs: before?.worker === worker ? before.sinceMs : this.ports.nowMs() });
    this.history.set(`${partition} ${epoch}`, worker);
    this.oneActs();
  }

  private recorded(key: ActorKey, data: string, serial: number, writer: string, batch: Stored[]): void {
    const id = actorId(key);
    const owner = this.owner(key);
    this.expect(owner === writer, "OW1", () => `${writer} wrote the record of ${id}, which ${owner} owns`);
    const last = `${writer} ${id}`;
    this.expect(serial > (this.serials.get(last) ?? 0), "OW4", () => `a write of ${id} that was given up landed after a later one`);
    this.serials.set(last, serial);
    const before = this.durable.get(id);
    if (data === "") {
      this.forget(id);
      for (const list of [this.runs, this.saidOnce]) for (const each of list) if (each.startsWith(`${id} `)) list.delete(each);
      return;
    }
    const record = parseActorRecord(JSON.parse(data));
    const afresh = record.snapshot["value"] === "waiting";
    this.expect(afresh || record.attempts >= (before?.attempts ?? 0), "OW19", () => `${writer} goes on from an old record of ${id}`);
    this.durable.set(id, record);
    for (const { attempt } of record.runs) this.runs.add(`${id} ${attempt}`);
    this.promised(id, before, record);
    if (key.kind === "kustomization") this.waits.recorded(key, before, record);
    if (isRelease(id)) this.releases.recorded(before, record);
    if (key.kind === "gitrepository") this.announced(id, before, record, batch);
    const [was, is] = [before, record].map((each) => (each?.snapshot.context ?? {}) as { handledAt?: string; facts?: { uid: string } | null });
    if (was?.facts && was.facts.uid === is?.facts?.uid)
      this.expect((is.handledAt ?? "") >= (was.handledAt ?? ""), "RC4", () => `${id}: handled ${is.handledAt} after ${was.handledAt}`);
  }

  /** Whatever comes under its name is another actor. */
  private forget(id: string): void {
    this.durable.delete(id);
    this.births.set(id, Infinity);
  }

  private announced(id: string, before: ActorRecord | undefined, after: ActorRecord, batch: Stored[]): void {
    const [was, is] = [before, after].map((record) => (record?.snapshot.context as unknown as SourceContext | undefined)?.artifact);
    if (!is || was?.storedAt === is.storedAt && was.revision === is.revision) return;
    this.expect(indexOf(is.revision) >= indexOf(was?.revision ?? ""), "RC1", () => `${id}: ${is.revision} announced after ${was?.revision}`);
    const hinted = new Set(batch.filter(({ subject: name }) => name.includes(".mbx.")).map(({ subject: name }) => actorId(parseMailbox(name).key)));
    for (const [at, record] of this.durable) {
      const consumer = objectId(parseActorId(at));
      const { facts } = record.snapshot.context as { facts?: { source?: string; madeFrom?: string[] } | null };
      const knows = (facts?.source === id || facts?.madeFrom?.includes(id) === true) && record.snapshot["value"] !== "waiting" && record.snapshot.status === "active";
      const old = this.ports.nowMs() - (this.knownSinceMs.get(at) ?? Infinity) > 60_000; // the decision may be as old
      if (knows && before && old) this.expect(hinted.has(consumer), "OW7", () => `${id} announced ${is.revision} without a word to ${consumer}`);
    }
  }

  private changed({ verb, path, before, after, by }: Change): void {
    const object = after ?? before;
    if (after?.metadata.deletionTimestamp && !before?.metadata.deletionTimestamp)
      this.suspendedAtDeletion.set(path, (after["spec"] as { suspend?: boolean } | undefined)?.suspend === true);
    if (!object || object.apiVersion !== "v1" || by.worker === "somebody") return;
    const { unit = "", epoch = 0, purpose, revision = "" } = by;
    if (by.act) return; // of a release
    this.expect(object.metadata.labels?.[labels.ownerName] !== undefined, "OW10", () => `${by.worker} touched ${path}, which is not ours`);
    this.expect(purpose !== "update" || verb === "update", "OW10", () => `an update of ${path} brought it back from the dead`);
    this.expect(purpose !== "create" || verb === "create", "OW10", () => `a creation of ${path} overwrote it`);
    const held = `${path} ${unit && partitionOf(parseActorId(unit))}`; // an epoch says nothing of another partition's
    this.expect(epoch >= (this.epochs.get(held) ?? 0), "OW11", () => `${path}: epoch ${epoch} after ${this.epochs.get(held)}`);
    if (verb === "update") {
      const sealed = this.sealed.get(held) ?? 0;
      this.expect(epoch >= sealed || (this.ownerAt(unit, epoch) === this.ownerAt(unit, sealed)), "OW11", () => `${path}: a write of epoch ${epoch} after epoch ${sealed} had compared it`);
    }
    this.epochs.set(held, Math.max(epoch, this.epochs.get(held) ?? 0));
    const id = inventoryId({ namespace: object.metadata.namespace ?? "", name: object.metadata.name, group: "", kind: object.kind });
    // What was on its way when its record was damaged cannot be judged by the record.
    const isLost = epoch <= (this.lostUnder.get(unit) ?? 0);
    if (verb === "create" && !isLost) this.expect(this.isNoted(unit, id), "OW12", () => `${path} was created before the record of ${unit} named it`);
    if (purpose === "prune") {
      const wanted = this.ports.upstream.objects(indexOf(revision), parseActorId(unit).name, "apps");
      const named = wanted?.some((each) => each.object.metadata.name === object.metadata.name);
      this.expect(wanted !== undefined && !named, "RC12", () => `${path} was pruned although ${revision} ${wanted ? "has it" : "does not build"}`);
    }
    if (purpose === "remove") {
      const flux = this.ports.kube.get(pathOfUnit(unit));
      const { prune, suspend } = (flux?.["spec"] ?? {}) as { prune?: boolean; suspend?: boolean };
      // A request that was on its way when the unit went is not judged by what is no longer there.
      const asks = !flux || flux.metadata.deletionTimestamp !== undefined && prune === true && !(suspend && this.suspendedAtDeletion.get(pathOfUnit(unit)));
      this.expect(asks, "RC14", () => `${path} was removed though ${unit} does not ask for it`);
    }
  }

  /** A renewal is no change of owner. */
  private ownerAt(unit: string, epoch: number): string | undefined {
    return this.history.get(`${partitionOf(parseActorId(unit))} ${epoch}`);
  }

  private isNoted(unit: string, id: string): boolean {
    return listOf(this.durable.get(unit)).some((entry) => entry.id === id);
  }

  /** A write is about to leave a worker. */
  sent(worker: Observed, by: By): void {
    const name = worker.process.name;
    if (!by.unit) return;
    const key = parseActorId(by.unit);
    for (const other of this.ports.workers())
      if (other !== worker && other.acts(key)) this.violate("OW3", `${name} writes for ${by.unit}, and ${other.process.name} may as well`);
    const owner = this.owner(key);
    this.expect(owner === name, "OW9", () => `${name} writes for ${by.unit}, which ${owner} owns`);
    this.expect(this.isPlace(key), "SH2", () => `${name} writes for ${by.unit}, and the log says that it is elsewhere`);
    if (by.attempt === undefined) return; // a status or a finalizer
    this.expect(this.runs.has(`${by.unit} ${by.attempt}`), "OW13", () => `${by.unit}: run ${by.attempt} acts before it is kept`);
    const runs = worker.host.record(key)?.runs ?? [];
    this.expect(runs.some(({ attempt }) => attempt === by.attempt), "OW14", () => `${by.unit}: run ${by.attempt} acts though nobody waits for it`);
    const { finalizers = [] } = this.ports.kube.get(pathOfUnit(by.unit))?.metadata ?? {};
    this.expect(finalizers.includes(finalizer), "RC13", () => `${by.unit} writes without its finalizer`);
  }

  /** Whether the log says that the object's actor is at this place, and nowhere else. */
  private isPlace(key: ActorKey): boolean {
    const { stream } = this.ports;
    const away = stream.read(subject.home(placedAt(key)))?.data;
    if (key.shard === undefined) return !away;
    return Boolean(away && stream.read(subject.mailbox(key, "moved"))?.data) && homeRecord.parse(JSON.parse(away ?? "")).shard === key.shard;
  }

  /** The record of an object's actor, and where that is. */
  placed(unit: string): { key: ActorKey; record: ActorRecord } | undefined {
    for (const [id, record] of this.durable) if (objectId(parseActorId(id)) === unit) return { key: parseActorId(id), record };
    return undefined;
  }

  performing(worker: Observed, src: string, call: EffectCall): (outcome?: unknown) => void {
    const id = `${worker.process.name} ${actorId(call.key)}`;
    const { facts } = call.context as { facts?: { suspended: boolean; finalizer: boolean } | null };
    const seenThrough = src === "act"; // what was decided on before
    this.expect(!facts?.suspended || seenThrough || src === "remove" || src === "release", "RC6", () => `${id}: ${src} though it is suspended`);
    const mine = { call, abortedMs: undefined as number | undefined };
    const others = this.working.get(id) ?? [];
    for (const other of others)
      this.expect(other.abortedMs !== undefined && this.ports.nowMs() - other.abortedMs >= graceMs, "OW16", () => `${id}: ${src} beside ${other.call.run.src}`);
    this.working.set(id, [...others, mine]);
    call.signal.addEventListener("abort", () => { mine.abortedMs = this.ports.nowMs(); });
    return (outcome) => {
      this.working.set(id, (this.working.get(id) ?? []).filter((each) => each !== mine));
      const { entries, fault } = (outcome ?? {}) as Partial<ApplyOutcome>;
      if (src === "apply" && entries && !fault && !call.signal.aborted) this.applied(worker, call, entries);
    };
  }

  /** A new owner has been through all of a unit's objects: what the owners before had sent must be of no use from now on. */
  private applied(worker: Observed, { key }: EffectCall, entries: { id: string }[]): void {
    const owner = this.owners.get(partitionOf(key));
    if (owner?.worker !== worker.process.name) return;
    for (const { id } of entries) {
      const path = `${pathOfId(id)} ${partitionOf(key)}`;
      this.sealed.set(path, Math.max(this.sealed.get(path) ?? 0, worker.cell.epochOf(key)));
    }
  }

  kept(worker: Observed, { key, before, after, nowMs }: Transition): void {
    const id = actorId(key);
    const hand = `${worker.process.name} ${id}`;
    this.promised(id, before, after);
    const state = String(after.snapshot["value"]);
    const { facts, stalledBy } = after.snapshot.context as { facts?: { invalid?: unknown } | null; stalledBy?: unknown };
    const idle = after.runs.length === 0 && after.timers.length === 0;
    const mayRest = ["waiting", "suspended", "gone"].includes(state) || (state === "stalled" && stalledBy !== undefined) || facts?.invalid !== undefined;
    this.expect(!idle || mayRest, "RT5", () => `${id} in ${state} has no run and no timer`);
    const rests = after.runs.length === 0 && after.timers.every(({ event }) => event.type === "calm"); // which begins nothing
    this.expect(state !== "suspended" || rests, "RC6", () => `${id} is suspended and goes on`);
    const moved = before.snapshot["value"] !== after.snapshot["value"] && before.runs.length === 0 && before.timers.length > 0;
    const due = before.timers.some(({ dueMs }) => dueMs <= nowMs);
    this.expect(!moved || due || this.given.has(hand), "OW15", () => `${id} left ${String(before.snapshot["value"])} before its time`);
    if ((this.given.get(hand) ?? 0) < nowMs) this.given.delete(hand); // later ones are still to be decided on
  }

  told(key: ActorKey, { n }: Notice & { n: number }): void {
    this.untold.delete(`${objectId(key)} ${n}`);
    this.saidOnce.add(`${objectId(key)} ${n}`);
  }

  private promised(id: string, before: ActorRecord | undefined, after: ActorRecord): void {
    const fresh = after.outbox.filter(({ n }) => !before?.outbox.some((known) => known["n"] === n)).map(({ n }) => `${objectId(parseActorId(id))} ${String(n)}`);
    for (const notice of fresh) if (!this.saidOnce.has(notice)) this.untold.add(notice);
  }

  /** An actor's record is lost, what it had still to tell with it, and which hints it had taken. */
  damaged(id: string): void {
    this.lostUnder.set(id, this.owners.get(partitionOf(parseActorId(id)))?.epoch ?? 0);
    this.forget(id);
    for (const notice of this.untold) if (notice.startsWith(`${id} `)) this.untold.delete(notice);
  }

  /** A worker gives up. */
  lost(worker: string, reason: string): void {
    const beat = this.ports.stream.read(subject.member(worker))?.data;
    const mayLive = beat !== undefined && beat !== "" && beat !== deathMark;
    this.expect(!mayLive, "OW5", () => `${worker} gave up though nobody held it for dead: ${reason}`);
  }

  /** It takes a partition for lost. */
  fenced(worker: Observed, partition: number, token: number | undefined): void {
    const { sequence = 0 } = this.ports.stream.read(subject.own(partition)) ?? {};
    this.expect(sequence !== token, "OW5", () => `${worker.process.name} gave up partition ${partition} though nobody else took it`);
  }

  /** The log failed somebody, or a worker just came or came back: everything may take longer. */
  disturbed(): void {
    this.disturbedMs = this.ports.nowMs();
  }

  /** Hints that lie in the log though a worker had all the time it takes. */
  notice(): void {
    this.oneActs();
    this.waits.notice(this.durable, this.disturbedMs);
    this.releases.notice(this.disturbedMs);
    const nowMs = this.ports.nowMs();
    if (nowMs - this.disturbedMs <= hintMs) return;
    for (const worker of this.ports.workers()) {
      if (!worker.joined || worker.process.state !== "running" || !worker.cell.holds()) continue;
      for (const [name, { sequence, atMs }] of this.hints) {
        const { key, hint } = parseMailbox(name);
        // What a hint did not change is not kept, and forgotten at rest: then it is enough that it came.
        const came = this.taken.get(`${worker.process.name} ${actorId(key)} ${hint}`) ?? 0;
        const seen = Math.max(came, worker.host.record(key)?.seen[hint] ?? 0);
        const { worker: owner, sinceMs = 0 } = this.owners.get(partitionOf(key)) ?? {};
        const meant = sequence > (this.births.get(actorId(key)) ?? 0) && owner === worker.process.name && nowMs - sinceMs > hintMs;
        this.expect(nowMs - atMs <= hintMs || !meant || seen >= sequence || worker.host.quarantineOf(key) !== null, "OW6", () => `${actorId(key)} has not taken ${hint} ${sequence}`);
      }
    }
  }

  /** At no time do two workers act for one partition. */
  private oneActs(): void {
    const acting = new Map<number, string>();
    for (const { process, cell } of this.ports.workers()) {
      if (process.state !== "running" || !cell.holds()) continue;
      for (const partition of cell.owned) {
        const other = acting.get(partition);
        if (other !== undefined) this.violate("OW3", `${other} and ${process.name} both act for partition ${partition}`);
        acting.set(partition, process.name);
      }
    }
  }

  private violate(rule: string, text: string): void {
    this.ports.violated(rule, text);
  }

  expect(holds: boolean, rule: string, text: () => string): void {
    if (!holds) this.ports.violated(rule, text());
  }
}

/** Everything the record of a unit knows of. */
export function listOf(record: ActorRecord | undefined): { id: string }[] {
  const { inventory = [], leftovers = [], intended = [], suspects = [] } = (record?.snapshot.context ?? {}) as unknown as Partial<KustomizationContext>;
  return [...inventory, ...leftovers, ...intended, ...suspects];
}

export function pathOfUnit(unit: string): string {
  const { kind, namespace, name } = parseActorId(unit);
  return `${fluxKinds.get(kind) ?? kind}/${namespace}/${name}`;
}
