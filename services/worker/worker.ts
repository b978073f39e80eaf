/**
 * One worker: hosts the actors of the hub's objects and gives them hands. Here alone a name meets its implementation:
 * charts from machines/, effects from services/, records in the cell.
 */
import type { AnyEventObject, AnyStateMachine } from "xstate";
import { cluster as clusterMachine } from "#machines/cluster/machine.ts";
import { kustomization as kustomizationMachine, type KustomizationContext } from "#machines/kustomization/machine.ts";
import { kustomizationStatus } from "#machines/kustomization/status.ts";
import { stalledBy, type WantedStatus } from "#machines/rules/status.ts";
import { source as sourceMachine, type SourceContext } from "#machines/source/machine.ts";
import { sourceStatus } from "#machines/source/status.ts";
import { kindOf } from "#protocol/api/registry.ts";
import { Fault, faults, sentence, type FaultData } from "#protocol/errors/fault.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import { canonicalUrl } from "#protocol/trace/context.ts";
import type { Renderer } from "#services/render/render.ts";
import { sources } from "#services/sources/index.ts";
import type { ArtifactStore } from "#services/store/artifacts.ts";
import { Cell, type Delivered, type Hint } from "#services/store/cell.ts";
import { sleep, type Clock } from "#services/store/clock.ts";
import type { Log as CellLog } from "#services/store/log.ts";
import type { Log } from "#services/telemetry/log.ts";
import type { Metrics } from "#services/telemetry/metrics.ts";
import type { Spans } from "#services/telemetry/spans.ts";
import { DriftWatch, inventoryOf } from "./drift-watch.ts";
import type { Effects } from "./effects/effects.ts";
import { HubObjects } from "./effects/hub-objects.ts";
import { kustomizationEffects } from "./effects/kustomization.ts";
import { sourceEffects } from "./effects/source.ts";
import { factsOf, type RawObject } from "./facts.ts";
import { eventOf } from "./hint-event.ts";
import { Host, type EffectCall, type Transition } from "./host.ts";
import { openHub, type Hub } from "./hub.ts";
import { RenderedCache } from "./rendered-cache.ts";
import { StatusWriter } from "./status-writer.ts";
import { Traces } from "./traces.ts";
import type { KubeClient } from "#services/clients/kubernetes/client.ts";

export type WorkerOptions = {
  name: string;
  clock: Clock;
  cellLog: CellLog;
  client: KubeClient;
  artifacts: ArtifactStore;
  renderer: Renderer;
  spans: Spans;
  metrics: Metrics;
  log: Log;
  /** Where artifacts can be downloaded by their path. */
  artifactUrl(path: string): string;
  /** This worker may not act any more: another one took over, or it was declared dead. */
  onLost(reason: string): void;
};

export type ActorView = { id: string; state: string; revision?: string; since?: string; traceId?: string };

const hubKey: ActorKey = { kind: "cluster", namespace: "flotilla", name: "hub" };

export class Worker {
  private readonly options: WorkerOptions;
  private readonly cell: Cell;
  private readonly host: Host;
  private readonly hub: Hub;
  private readonly hubObjects: HubObjects;
  private readonly statuses: StatusWriter;
  private readonly traces: Traces;
  private readonly drift: DriftWatch;
  private readonly effects: Record<string, Effects>;
  private readonly rendered = new RenderedCache();
  private readonly stopping = new AbortController();
  private readonly began = Promise.withResolvers<void>();
  private claimed = false;

  constructor(options: WorkerOptions) {
    this.options = options;
    const { clock, log, metrics, spans, name } = options;
    this.cell = new Cell(options.cellLog, {
      worker: name, clock,
      onLost: (reason) => { this.halt(); options.onLost(reason); },
      onCommit: (ms) => metrics.natsCommit(ms / 1000, "stored"),
      onUnreadable: (subject, detail) => log.error("unreadable message set aside", detail, { subject }),
      onWaiting: (worker) => log.info("another worker holds the cell; standing by", { worker }),
    });
    this.traces = new Traces(spans);
    this.hub = openHub({
      client: options.client, clock, worker: name, guard: () => this.cell.guard(), signal: this.stopping.signal,
      onObject: (key, object) => this.sighted(key, object),
      onWritten: (key, id, action, startMs, endMs) => this.traces.objectWritten(key, id, action, startMs, endMs),
      log,
    });
    this.hubObjects = new HubObjects(this.hub);
    this.host = new Host({
      clock,
      machineOf,
      commit: (write) => this.cell.commit(write),
      perform: (src, call) => this.perform(src, call),
      route: (from, emitted) => this.route(from, emitted),
      tell: (key, notice) => this.tell(key, notice),
      ended: (key, run, _context, outcome) => {
        this.traces.ended(key, run, outcome);
        // Everything else waits for it, so somebody must be told.
        if (key.kind === hubKey.kind && outcome.fault) log.error("the hub's API server is away; it is tried again", sentence(outcome.fault));
      },
      kept: (transition) => this.kept(transition),
      quarantined: (key, fault) => this.quarantined(key, fault),
    });
    this.statuses = new StatusWriter({
      clock,
      wanted: (key) => this.wantedStatus(key),
      live: (key) => this.hub.cached(key),
      reread: (key) => this.hub.reread(key),
      patch: (key, live, status) => this.hub.patchStatus(key, live, status),
      artifactUrl: (path) => options.artifactUrl(path),
      failed: (key, thrown) => log.forActor(key, kindName(key.kind)).error("status could not be written", thrown),
    });
    this.drift = new DriftWatch({
      recordOf: (key) => this.host.record(key),
      drifted: (entries) => this.hub.cluster.drifted(entries).map(({ id }) => id),
      report: (key) => this.host.deliver(key, { type: "drift" }),
    });
    const held = (key: ActorKey) => {
      const { artifact, traceparent } = (this.host.record(key)?.snapshot.context ?? {}) as unknown as Partial<SourceContext>;
      return artifact ? { artifact, traceparent: traceparent ?? "" } : undefined;
    };
    this.effects = {
      source: sourceEffects({ kinds: sources, hub: this.hubObjects, artifacts: options.artifacts, spans, clock }),
      kustomization: kustomizationEffects({
        hub: this.hubObjects, held, artifacts: options.artifacts, renderer: options.renderer, rendered: this.rendered,
        cluster: this.hub.cluster, kindOf: kindName,
      }),
      cluster: { connect: () => this.hub.connect(), watch: ({ signal }) => this.hub.watch(signal) },
    };
    metrics.observe({ actors: () => this.counts(), spansDropped: () => spans.droppedTotal(), renders: () => this.rendered.builtTotal });
  }

  /** Claims the cell and takes up every actor. Resolves when the hub's objects are known and hints are taken. */
  async start(): Promise<void> {
    await this.cell.claim();
    this.claimed = true;
    const damaged: { key: ActorKey; damage: string }[] = [];
    for await (const loaded of this.cell.load())
      if ("record" in loaded) this.host.adopt(loaded.key, loaded.record);
      else damaged.push(loaded);
    this.host.adopt(hubKey);
    for (const { key, damage } of damaged)
      this.host.quarantine(key, new Fault("RecordUnreadable", actorId(key), { detail: damage }).toJSON());
    await this.cell.receive((hint) => this.received(hint));
    await this.hub.connected;
    this.began.resolve();
    this.forgetDeleted();
    for (const { key } of this.host.all()) if (key.kind !== hubKey.kind) this.statuses.touch(key, false);
    this.hub.subscribe({
      changed: (owner, id) => this.drift.changed({ kind: "kustomization", ...owner }, id),
      relisted: () => this.compareAll(),
    });
    // What drifted while nobody watched is put back at once.
    const inventories = [...this.host.all()].flatMap(({ record }) => inventoryOf(record));
    this.hub.ensureWatched(inventories).then(() => this.compareAll(), (thrown: unknown) => this.options.log.error("kinds could not be watched", thrown));
  }

  reasonsNotReady(): string[] {
    if (!this.claimed) return ["waiting for the cell: another worker holds it, or NATS is away"];
    const reasons = this.hub.isConnected() ? [] : ["the hub's API server has not answered yet"];
    return this.cell.holds() ? reasons : [...reasons, "coordination lost: NATS does not answer, nothing is written"];
  }

  /** A push somewhere: wakes exactly the sources that match. Returns how many there are. */
  async pushed(urls: string[]): Promise<number> {
    const wanted = new Set(urls.map(canonicalUrl));
    const keys = this.hub.list().filter(({ key, object }) => {
      const url = (object["spec"] as { url?: unknown } | undefined)?.url;
      return Object.hasOwn(sources, key.kind) && typeof url === "string" && wanted.has(canonicalUrl(url));
    }).map(({ key }) => key);
    await Promise.all(keys.map((to) => this.cell.send({ to, kind: "look", body: {} })));
    return keys.length;
  }

  views(): ActorView[] {
    return [...this.host.all()].map(({ key, record }) => {
      const { artifact, applied, traceparent } = record.snapshot.context as { artifact?: { revision: string } | null; applied?: string; traceparent?: string };
      const revision = artifact?.revision ?? applied;
      const traceId = traceparent?.split("-")[1];
      return {
        id: actorId(key), state: stateName(record), ...(revision && { revision }), ...(traceId && { traceId }),
        ...(record.busySinceMs !== undefined && { since: new Date(record.busySinceMs).toISOString() }),
      };
    });
  }

  /** Stops acting and lets go of the cell. Everything goes on from the records when a worker starts again. */
  async stop(): Promise<void> {
    this.halt();
    await this.cell.close();
  }

  private halt(): void {
    this.host.stop();
    this.statuses.stop();
    this.stopping.abort();
  }

  private async perform(src: string, call: EffectCall): Promise<unknown> {
    const machine = machineOf(call.key.kind)?.id ?? "";
    const effect = this.effects[machine]?.[src];
    if (!effect) throw new Fault("Unexpected", actorId(call.key), { detail: `no effect ${src}` });
    if (machine !== "cluster") await this.began.promise; // until then objects are merely not known yet
    call.signal.throwIfAborted();
    for (;;)
      try {
        return await effect(call);
      } catch (thrown) {
        // Not the actor's failure: it waits until this worker may write again, or is told to stop.
        if (!(thrown instanceof Fault) || thrown.code !== "LeaseLost" || call.signal.aborted) throw thrown;
        await sleep(this.options.clock, leaseRetryMs);
        if (call.signal.aborted) throw thrown;
      }
  }

  private route(from: ActorKey, emitted: AnyEventObject): Hint[] {
    if (emitted.type !== "artifactStored") return [];
    const { artifact } = emitted as unknown as { artifact: { revision: string; digest: string } };
    const body = { revision: artifact.revision, digest: artifact.digest };
    const id = actorId(from);
    return [...this.host.all()]
      .filter(({ record }) => (record.snapshot.context as { facts?: { source?: string } | null }).facts?.source === id)
      .map(({ key }) => ({ to: key, kind: "artifact", body }));
  }

  private received({ key, kind, body, seq }: Delivered): void {
    const event = eventOf(key, kind, body);
    if (event) this.host.deliver(key, event, { kind, seq });
    else this.options.log.error("malformed hint set aside", kind, { actor: actorId(key) });
  }

  /** The hub's watch saw an object of ours, or saw it go. */
  private sighted(key: ActorKey, object: RawObject | undefined): void {
    const record = this.host.record(key);
    if (!object && !record) return;
    const facts = object ? factsOf(key.kind, object) : null;
    const known = (record?.snapshot.context as { facts?: object | null } | undefined)?.facts;
    if (known && facts && JSON.stringify(sortedFacts(known)) === JSON.stringify(sortedFacts({ ...facts, handledAt: "" }))) return;
    this.cell.send({ to: key, kind: "object", body: { facts } }).catch((thrown: unknown) => {
      this.options.log.forActor(key, kindName(key.kind)).error("a sighting could not be sent", thrown);
    });
  }

  private kept({ key, before, after, emits, nowMs }: Transition): void {
    const busy = after.busySinceMs !== undefined;
    if (key.kind !== hubKey.kind) this.statuses.touch(key, busy || waits(after));
    if (before.busySinceMs !== undefined && !busy) {
      const named = { kind: kindName(key.kind), name: key.name, namespace: key.namespace };
      if (key.kind !== hubKey.kind) this.options.metrics.reconciled(named, (nowMs - before.busySinceMs) / 1000);
      if (key.kind === "kustomization") this.traces.rested(key, before, after, nowMs);
    }
    if (key.kind === "kustomization") this.drift.moved(key, before, after);
    for (const emitted of emits) if (emitted.type === "notice") this.said(key, emitted as unknown as Notice, after);
    if (after.snapshot.status === "done") this.ended(key);
  }

  private ended(key: ActorKey): void {
    this.traces.forget(key);
    this.options.metrics.forget({ kind: kindName(key.kind), name: key.name, namespace: key.namespace });
    // Created anew under the same name while the old one was being cleaned up.
    const object = this.hub.cached(key);
    if (object && !object.metadata.deletionTimestamp) setImmediate(() => this.sighted(key, object));
  }

  private said(key: ActorKey, { severity, message, reason, revision }: Notice, record: ActorRecord): void {
    const { traceparent } = record.snapshot.context as { traceparent?: string };
    const log = this.options.log.forActor(key, kindName(key.kind)).forTrace(traceparent);
    if (severity === "Warning") log.error(message, reason, { reason, ...(revision && { revision }) });
    else log.info(message, { reason, ...(revision && { revision }) });
  }

  private async tell(key: ActorKey, notice: Notice): Promise<void> {
    await this.began.promise;
    const object = this.hub.cached(key);
    if (object) await this.hub.postEvent(key, object, notice);
  }

  private quarantined(key: ActorKey, fault: FaultData): void {
    this.options.log.forActor(key, kindName(key.kind)).error("set aside until its object is seen again", sentence(fault));
    this.statuses.touch(key, false);
    void this.tell(key, { type: "notice", severity: "Warning", reason: "Quarantined", message: sentence(fault) }).catch(() => undefined);
  }

  private wantedStatus(key: ActorKey): { status: WantedStatus; generation: number; busy: boolean } | undefined {
    const record = this.host.record(key);
    if (!record) return undefined;
    const { facts } = record.snapshot.context as { facts?: { generation: number; uid: string } | null };
    const live = this.hub.cached(key);
    if (facts && live && live.metadata.uid !== facts.uid) return undefined; // another object of the same name: its own record will say
    const generation = facts?.generation ?? this.hub.cached(key)?.metadata.generation ?? 0;
    const busy = record.busySinceMs !== undefined;
    const quarantine = this.host.quarantineOf(key);
    if (quarantine) {
      const failure = { status: "False", reason: "Quarantined", message: sentence(quarantine) } as const;
      return { status: { handledAt: "", conditions: [{ ...failure, type: "Ready" }, { ...stalledBy(quarantine), reason: "Quarantined" }] }, generation, busy };
    }
    const state = stateName(record);
    const context: unknown = record.snapshot.context;
    const status = key.kind === "kustomization" ? kustomizationStatus(state, context as KustomizationContext) : sourceStatus(state, context as SourceContext);
    return status && { status, generation, busy };
  }

  private compareAll(): void {
    for (const { key } of this.host.all()) this.drift.compareAll(key);
  }

  /** Objects that went while no worker ran. */
  private forgetDeleted(): void {
    for (const { key } of this.host.all())
      if (key.kind !== hubKey.kind && !this.hub.cached(key)) this.sighted(key, undefined);
  }

  private counts(): { kind: string; state: string; count: number }[] {
    const counts = new Map<string, number>();
    for (const { key, record } of this.host.all()) {
      const name = `${key.kind} ${stateName(record)}`;
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    return [...counts].map(([name, count]) => {
      const [kind = "", state = ""] = name.split(" ");
      return { kind, state, count };
    });
  }
}

const leaseRetryMs = 200;

function machineOf(kind: string): AnyStateMachine | undefined {
  if (kind === "kustomization") return kustomizationMachine;
  if (kind === hubKey.kind) return clusterMachine;
  return Object.hasOwn(sources, kind) ? sourceMachine : undefined;
}

/** As Kubernetes spells it. */
const kindName = (actorKind: string): string => kindOf(actorKind)?.kind ?? actorKind;

/** A unit created together with its source waits for the first artifact: for a moment, mostly. */
function waits({ snapshot }: ActorRecord): boolean {
  const { fault } = snapshot.context as { fault?: FaultData | null };
  return Boolean(fault) && faults[(fault as FaultData).code].remedy === "wait";
}

const stateName = ({ snapshot }: ActorRecord): string => (typeof snapshot["value"] === "string" ? snapshot["value"] : "unknown");

const sortedFacts = (facts: object): [string, unknown][] =>
  Object.entries(facts).filter(([, value]) => value !== undefined).sort(([a], [b]) => (a < b ? -1 : 1));

