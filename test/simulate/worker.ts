/**
 * A worker in virtual time: the real cell, host, charts, effects, status writer and drift watch, put together as
 * services/worker/worker.ts does it, between a simulated log, Git server and API server.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { AnyEventObject, AnyStateMachine } from "xstate";
import { cluster as clusterMachine } from "#machines/cluster/machine.ts";
import { kustomization as kustomizationMachine, type KustomizationContext } from "#machines/kustomization/machine.ts";
import { kustomizationStatus } from "#machines/kustomization/status.ts";
import { inventoryId, objectIdOf, versionOf } from "#machines/rules/inventory.ts";
import { source as sourceMachine, type SourceContext } from "#machines/source/machine.ts";
import { sourceStatus } from "#machines/source/status.ts";
import { finalizer, labels } from "#protocol/api/annotations.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { BuildOutcome } from "#protocol/messages/kustomization.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import type { Run } from "#protocol/records/actor.ts";
import { Cell, type Hint, type Write } from "#services/store/cell.ts";
import type { Log } from "#services/store/log.ts";
import { sleep } from "#services/store/clock.ts";
import { DriftWatch } from "#services/worker/drift-watch.ts";
import type { Effect, Effects } from "#services/worker/effects/effects.ts";
import { HubObjects } from "#services/worker/effects/hub-objects.ts";
import { kustomizationEffects } from "#services/worker/effects/kustomization.ts";
import { sourceEffects, type SourcePorts } from "#services/worker/effects/source.ts";
import { factsOf, type RawObject } from "#services/worker/facts.ts";
import { eventOf } from "#services/worker/hint-event.ts";
import { Host, type EffectCall, type HostPorts, type Transition } from "#services/worker/host.ts";
import { RenderedCache } from "#services/worker/rendered-cache.ts";
import { StatusWriter } from "#services/worker/status-writer.ts";
import type { Renderer } from "#services/render/render.ts";
import { ClusterClient, type KubePorts } from "./cluster.ts";
import { Refusal, type By, type SimulatedKube } from "./kube.ts";
import type { Process } from "./time.ts";

export type SimulatedWorkerOptions = {
  process: Process;
  log: Log;
  kube: SimulatedKube;
  fate: KubePorts["fate"];
  conditions: KubePorts["conditions"];
  watchMs(): number;
  kinds: SourcePorts["kinds"];
  artifacts: SourcePorts["artifacts"] & { get(path: string): Promise<Uint8Array> };
  renderer: Pick<Renderer, "render">;
  onLost(reason: string): void;
  /** What the checks look at. */
  watch: {
    kept(worker: SimulatedWorker, transition: Transition): void;
    performing(worker: SimulatedWorker, src: string, call: EffectCall): () => void;
    told(key: ActorKey, notice: Notice & { n: number }): void;
    sent(worker: SimulatedWorker, by: By): void;
    delivered(worker: SimulatedWorker, key: ActorKey): void;
    quarantined(key: ActorKey, fault: unknown): void;
  };
  /** A mutant's changes, before anything begins. */
  mutate?(worker: { cell: Cell; host: Host; ports: HostPorts }): void;
};

const hubKey: ActorKey = { kind: "cluster", namespace: "flotilla", name: "hub" };
const hubKinds = new Map([["gitrepository", "GitRepository"], ["kustomization", "Kustomization"]]);

export class SimulatedWorker {
  readonly process: Process;
  readonly cell: Cell;
  readonly host: Host;
  claimed = false;
  private readonly options: SimulatedWorkerOptions;
  private readonly cluster: ClusterClient;
  private readonly statuses: StatusWriter;
  private readonly drift: DriftWatch;
  private readonly effects: Record<string, Effects>;
  private readonly began = Promise.withResolvers<void>();
  private readonly rendered = new RenderedCache();
  private connected: Promise<void> | undefined;
  /** The run in whose name an effect works: what leaves is judged by it. */
  private readonly running = new AsyncLocalStorage<Run>();

  constructor(options: SimulatedWorkerOptions) {
    this.options = options;
    const { process, log, kube, fate, conditions, watch } = options;
    this.process = process;
    this.cell = new Cell(log, { worker: process.name, clock: process.clock, onLost: (reason) => { this.halt(); options.onLost(reason); } });
    this.cluster = new ClusterClient({
      process, kube, fate, conditions, guard: () => this.cell.guard(), by: (unit) => this.by(unit), sent: (by) => watch.sent(this, by),
    });
    const hub = new HubObjects({
      cached: (key) => this.cached(key),
      reread: (key) => this.reread(key),
      patchFinalizers: (key, live, finalizers) => this.patchFinalizers(key, live, finalizers),
      secret: () => Promise.reject(new Fault("SecretMissing", "-")),
      kindOf: kindName,
    });
    const ports: HostPorts = {
      clock: process.clock,
      machineOf,
      commit: (write: Write) => this.cell.commit(write),
      perform: (src, call) => this.perform(src, call),
      route: (from, emitted) => this.route(from, emitted),
      tell: (key, notice) => this.tell(key, notice as Notice & { n: number }),
      ended: () => {},
      kept: (transition) => this.kept(transition),
      quarantined: (key, fault) => { watch.quarantined(key, fault); this.statuses.touch(key, false); },
    };
    this.host = new Host(ports);
    options.mutate?.({ cell: this.cell, host: this.host, ports });
    this.statuses = new StatusWriter({
      clock: process.clock,
      wanted: (key) => this.wantedStatus(key),
      live: (key) => this.cached(key),
      reread: (key) => this.reread(key),
      patch: (key, live, status) => this.patchStatus(key, live, status),
      artifactUrl: (path) => `http://artifacts/${path}`,
      failed: () => {},
    });
    this.drift = new DriftWatch({
      recordOf: (key) => this.host.record(key),
      drifted: (entries) => this.cluster.drifted(entries).map(({ id }) => id),
      report: (key) => { watch.delivered(this, key); this.host.deliver(key, { type: "drift" }); },
    });
    const kustomizations = kustomizationEffects({
      hub, artifacts: options.artifacts, renderer: options.renderer, rendered: this.rendered, cluster: this.cluster, kindOf: kindName,
      held: (key) => {
        const { artifact, traceparent = "" } = this.contextOf<SourceContext>(key);
        return artifact ? { artifact, traceparent } : undefined;
      },
    });
    this.effects = {
      source: sourceEffects({
        kinds: options.kinds, hub, artifacts: options.artifacts, clock: process.clock,
        spans: { recordSpan: () => `00-${"1".repeat(32)}-${"2".repeat(16)}-01` },
      }),
      kustomization: {
        ...kustomizations,
        build: async (call) => this.withObjects(call, (await kustomizations["build"]?.(call)) as BuildOutcome),
        // Asked of the server, not of the cache: it may be gone, or another object may go by its name.
        remove: async (call) => ((await this.isStillOurs(call)) ? kustomizations["remove"]?.(call) : null),
      },
      cluster: { connect: () => this.connect(), watch: async ({ signal }) => { await this.connect(); return forever(signal); } },
    };
  }

  async start(): Promise<void> {
    await this.cell.claim();
    this.claimed = true;
    const damaged: { key: ActorKey; damage: string }[] = [];
    for await (const loaded of this.cell.load())
      if ("record" in loaded) this.host.adopt(loaded.key, loaded.record);
      else damaged.push(loaded);
    this.host.adopt(hubKey);
    for (const { key, damage } of damaged) this.host.quarantine(key, new Fault("RecordUnreadable", actorId(key), { detail: damage }).toJSON());
    await this.cell.receive(({ key, kind, body, seq }) => {
      const event = eventOf(key, kind, body);
      this.options.watch.delivered(this, key);
      if (event) this.host.deliver(key, event, { kind, seq });
    });
    while (!this.cluster.synced) await sleep(this.process.clock, 20);
    this.began.resolve();
    const actors = [...this.host.all()].filter(({ key }) => hubKinds.has(key.kind));
    for (const { key } of actors) {
      if (!this.cached(key)) this.sighted(key, undefined);
      this.statuses.touch(key, false);
      this.drift.compareAll(key);
    }
  }

  /** In good order: what is decided is written, and a successor need not wait. */
  async stop(): Promise<void> {
    this.halt();
    await this.cell.close();
  }

  halt(): void {
    this.host.stop();
    this.statuses.stop();
  }

  send(hint: Hint): void {
    this.cell.send(hint).catch(() => undefined);
  }

  private contextOf<T>(key: ActorKey): Partial<T> {
    return (this.host.record(key)?.snapshot.context ?? {}) as Partial<T>;
  }

  private by(unit: ActorKey): By {
    const run = this.running.getStore();
    const { source } = this.contextOf<KustomizationContext>(unit);
    return {
      worker: this.process.name, unit: actorId(unit), epoch: this.cell.epochOf(unit), revision: source?.revision ?? "",
      ...(run && { attempt: run.attempt }), ...(run?.src === "remove" && { purpose: "remove" as const }),
    };
  }

  private async perform(src: string, call: EffectCall): Promise<unknown> {
    const machine = machineOf(call.key.kind)?.id ?? "";
    const effect = this.effects[machine]?.[src];
    if (!effect) throw new Fault("Unexpected", actorId(call.key), { detail: `no effect ${src}` });
    if (machine !== "cluster") await this.began.promise;
    call.signal.throwIfAborted();
    const ended = this.options.watch.performing(this, src, call);
    try {
      return await this.running.run(call.run, () => this.withLease(effect, call));
    } finally {
      ended();
    }
  }

  private async withLease(effect: Effect, call: EffectCall): Promise<unknown> {
    for (;;)
      try {
        return await effect(call);
      } catch (thrown) {
        if (!(thrown instanceof Fault) || thrown.code !== "LeaseLost" || call.signal.aborted) throw thrown;
        await sleep(this.process.clock, 200);
        if (call.signal.aborted) throw thrown;
      }
  }

  private withObjects(call: EffectCall, outcome: BuildOutcome): BuildOutcome {
    const rendered = this.rendered.get(`${call.key.namespace}/${call.key.name}`, outcome.renderKey);
    if (!rendered) return outcome;
    return { ...outcome, objects: rendered.objects.map(({ object }) => ({ id: inventoryId(objectIdOf(object)), v: versionOf(object.apiVersion) })) };
  }

  private async isStillOurs({ key, context }: EffectCall): Promise<boolean> {
    const live = await this.reread(key);
    const { facts } = context as { facts?: { uid: string } | null };
    return live !== undefined && live.metadata.uid === facts?.uid && (live.metadata.finalizers ?? []).includes(finalizer);
  }

  private async connect(): Promise<null> {
    this.connected ??= this.follow().catch((thrown: unknown) => {
      this.connected = undefined;
      throw thrown;
    });
    await this.connected;
    return null;
  }

  private async follow(): Promise<void> {
    this.cluster.onSeen((object, path, gone) => this.seen(object, path, gone));
    await this.cluster.connect(this.options.watchMs);
  }

  private seen(object: RawObject & { kind?: string }, path: string, gone: boolean): void {
    const key = keyOf(path);
    if (key) return this.sighted(key, gone ? undefined : object);
    const { [labels.ownerName]: name, [labels.ownerNamespace]: namespace } = (object.metadata as { labels?: Record<string, string> }).labels ?? {};
    if (name && namespace) this.drift.changed({ kind: "kustomization", namespace, name }, inventoryId({ namespace: object.metadata.namespace ?? "", name: object.metadata.name, group: "", kind: "ConfigMap" }));
  }

  private sighted(key: ActorKey, object: RawObject | undefined): void {
    const record = this.host.record(key);
    if (!object && !record) return;
    const facts = object ? factsOf(key.kind, object) : null;
    const { facts: known } = this.contextOf<{ facts: object | null }>(key);
    if (known && facts && sortedFacts(known) === sortedFacts({ ...facts, handledAt: "" })) return;
    this.send({ to: key, kind: "object", body: { facts } });
  }

  private route(from: ActorKey, emitted: AnyEventObject): Hint[] {
    if (emitted.type !== "artifactStored") return [];
    const { artifact } = emitted as unknown as { artifact: { revision: string; digest: string } };
    const body = { revision: artifact.revision, digest: artifact.digest };
    return [...this.host.all()]
      .filter(({ record }) => (record.snapshot.context as { facts?: { source?: string } | null }).facts?.source === actorId(from))
      .map(({ key }) => ({ to: key, kind: "artifact", body }));
  }

  private kept(transition: Transition): void {
    const { key, before, after } = transition;
    this.options.watch.kept(this, transition);
    if (!hubKinds.has(key.kind)) return;
    this.statuses.touch(key, after.busySinceMs !== undefined);
    if (key.kind === "kustomization") this.drift.moved(key, before, after);
  }

  private async tell(key: ActorKey, notice: Notice & { n: number }): Promise<void> {
    await this.began.promise;
    const told = () => this.options.watch.told(key, notice); // or failed to be told: then it is dropped
    await this.cluster.read(() => undefined).then(told, told);
  }

  private wantedStatus(key: ActorKey) {
    const record = this.host.record(key);
    if (!record || this.host.quarantineOf(key)) return undefined;
    const state = String(record.snapshot["value"]);
    const context: unknown = record.snapshot.context;
    const status = key.kind === "kustomization" ? kustomizationStatus(state, context as KustomizationContext) : sourceStatus(state, context as SourceContext);
    const { facts } = this.contextOf<KustomizationContext>(key);
    if (facts?.uid !== this.cached(key)?.metadata.uid) return undefined; // of an object that is no more
    return status && { status, generation: facts?.generation ?? 0, busy: record.busySinceMs !== undefined };
  }

  private cached(key: ActorKey): RawObject | undefined {
    return this.cluster.seen.get(fluxPath(key));
  }

  private async reread(key: ActorKey): Promise<RawObject | undefined> {
    const object = await this.cluster.read(() => this.options.kube.get(fluxPath(key)));
    if (object) this.cluster.take(object);
    return object;
  }

  private async patchFinalizers(key: ActorKey, live: RawObject, finalizers: string[]): Promise<void> {
    await this.patch(key, live, (object) => ({ ...object, metadata: { ...object.metadata, finalizers } }));
  }

  private async patchStatus(key: ActorKey, live: RawObject, status: Record<string, unknown>): Promise<boolean> {
    try {
      await this.patch(key, live, (object) => ({ ...object, status: { ...(object["status"] as object | undefined), ...status } }));
      return true;
    } catch (thrown) {
      if (thrown instanceof Fault && thrown.code === "ObjectGone") return true;
      if (thrown instanceof Fault && thrown.code === "ApplyConflict") return false;
      throw thrown;
    }
  }

  private async patch(key: ActorKey, { metadata }: RawObject, change: Parameters<SimulatedKube["update"]>[1]): Promise<void> {
    const by: By = { worker: this.process.name };
    const condition = { uid: metadata.uid ?? "", resourceVersion: metadata.resourceVersion ?? "" };
    try {
      const object = await this.cluster.write(by, () => this.options.kube.update(fluxPath(key), change, "flotilla", by, condition));
      if (this.options.kube.get(fluxPath(key))) this.cluster.take(object);
    } catch (thrown) {
      if (!(thrown instanceof Refusal)) throw thrown;
      throw new Fault(thrown.code === 404 ? "ObjectGone" : "ApplyConflict", fluxPath(key), { detail: thrown.message });
    }
  }
}

function machineOf(kind: string): AnyStateMachine | undefined {
  return { kustomization: kustomizationMachine, gitrepository: sourceMachine, cluster: clusterMachine }[kind];
}

const kindName = (kind: string): string => hubKinds.get(kind) ?? kind;

const fluxPath = ({ kind, namespace, name }: ActorKey): string => `${kindName(kind)}/${namespace}/${name}`;

function keyOf(path: string): ActorKey | undefined {
  const [kind = "", namespace = "", name = ""] = path.split("/");
  return hubKinds.has(kind.toLowerCase()) ? { kind: kind.toLowerCase(), namespace, name } : undefined;
}

const sortedFacts = (facts: object): string =>
  JSON.stringify(Object.entries(facts).filter(([, value]) => value !== undefined).sort(([a], [b]) => (a < b ? -1 : 1)));

const forever = (signal: AbortSignal): Promise<null> =>
  new Promise((resolve) => { signal.addEventListener("abort", () => resolve(null), { once: true }); });
