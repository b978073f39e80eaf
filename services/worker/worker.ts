/**
 * One worker: hosts the actors of the partitions it owns and gives them hands. Here alone a name meets its implementation:
 * charts from machines/, effects from services/, records in the cell.
 */
import type { Own } from "#machines/rules/coordination.ts";
import { Fault, sentence, type FaultData } from "#protocol/errors/fault.ts";
import type { ActorView, WorkerView } from "#protocol/messages/fleet.ts";
import { actorId, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import { sources } from "#services/sources/index.ts";
import { handleOf } from "#services/store/artifacts.ts";
import { Cell } from "#services/store/cell.ts";
import { sleep } from "#services/store/clock.ts";
import { addressees } from "#services/store/mail.ts";
import { Awaiting } from "./awaiting.ts";
import { Comparison } from "./comparison.ts";
import { Costs } from "./costs.ts";
import { DriftWatch } from "./drift-watch.ts";
import { effectsOf } from "./effects/all.ts";
import type { Effects } from "./effects/effects.ts";
import { HubObjects } from "./effects/hub-objects.ts";
import type { SourcePorts } from "./effects/source.ts";
import { Fences } from "./fences.ts";
import { Fleet } from "./fleet.ts";
import { Host, type EffectCall, type HostPorts, type Transition } from "./host.ts";
import type { Hub } from "./hub.ts";
import { Inbox } from "./inbox.ts";
import { hubKey, hubPartition, isHub, isUnit, machineOf } from "./kinds.ts";
import { Ownership, type Takeover } from "./ownership.ts";
import { Places } from "./places.ts";
import { isForMany, spread } from "./spread.ts";
import { Sweep } from "./sweep.ts";
import { reachAgain } from "./reach-again.ts";
import { RenderedCache } from "./rendered-cache.ts";
import { countsOf, viewsOf } from "./shown.ts";
import { tenantOf } from "./tenant.ts";
import { Telling } from "./telling.ts";
import { Traces } from "./traces.ts";
import { Turns } from "./turns.ts";
import type { WorkerOptions } from "./worker-options.ts";
import { every, until } from "./timing.ts";

/** What writes to a cluster: a hand-over waits for its end, rather than do it twice. */
const writing = new Set(["apply", "prune", "remove", "act", "correct", "sweep", "push"]);

/** A hand-over waits this long for writes to end by themselves. */
const writesMs = 3_000;
const [lookMs, reportMs, tellMs] = [200, 10_000, 2_000];
/** On the way out. */
const drainMs = 20_000;

export class Worker {
  private readonly options: WorkerOptions;
  private readonly cell: Cell;
  private readonly host: Host;
  private readonly hub: Hub;
  private readonly ownership: Ownership;
  private readonly fleetOf: Fleet;
  private readonly telling: Telling;
  private readonly traces: Traces;
  private readonly drift: DriftWatch;
  private readonly effects: Record<string, Effects>;
  private readonly turns: Turns;
  private readonly awaiting: Awaiting;
  private readonly places: Places;
  private readonly sweep: Sweep;
  private readonly inbox: Inbox;
  private readonly comparison: Comparison;
  private readonly costs: Costs;
  private readonly rendered = new RenderedCache();
  private readonly stopping = new AbortController();
  private readonly kinds: SourcePorts["kinds"];
  private readonly refused = new Set<number>();
  private readonly fences: Fences;
  private readonly cancels: (() => void)[] = [];
  private changing = false;
  private draining = false;
  private readySince = false;

  constructor(options: WorkerOptions) {
    this.options = options;
    this.kinds = options.sources ?? sources;
    const { clock, log, metrics, spans, name, bus } = options;
    this.costs = new Costs(clock.monoMs());
    this.turns = new Turns({
      clock, costs: this.costs, isShown: (partition) => this.comparison.isShown(partition), tenantOf: (key) => tenantOf(key, options.tenantLabel, () => this.hub.cached(key)),
      fenced: (partition) => this.fences.raised(partition),
    });
    this.cell = new Cell(options.cellLog, {
      worker: name, clock, hubId: options.hubId, about: this.about(), startHeart: (callbacks) => options.startHeart(callbacks),
      onOwn: (partition, own) => this.ownership.own(partition, own),
      onWant: (partition, want) => this.ownership.want(partition, want),
      onShards: () => this.resharded(),
      onFenced: (partition) => this.ownership.fenced(partition),
      onHint: (hint) => this.inbox.received(hint),
      onAwaited: (awaited, waiter, missed) => this.awaiting.awaited(awaited, waiter, missed),
      onLost: (reason) => { this.halt(); options.onLost(reason); },
      onCommit: (ms) => metrics.natsCommit(ms / 1000, "stored"),
      onUnreadable: (subject, detail) => log.error("unreadable message set aside", detail, { subject }),
    });
    this.awaiting = new Awaiting({
      clock, cell: this.cell, recordOf: (key) => this.host.record(this.places.hosted(key)), isAway: (key) => this.places.isAway(key), exists: async (key) => (await this.hub.reread(key)) !== undefined,
      follow: (object, changed, signal) => this.hub.followObject(object, changed, signal),
    });
    this.traces = new Traces(spans);
    this.hub = options.openHub({
      clock, worker: name, bus, guard: (key) => this.guard(key), signal: this.stopping.signal,
      onObject: (key, object) => this.inbox.sighted(key, object),
      onStatus: (key) => this.awaiting.objectChanged(key),
      onShown: (partition) => {
        this.comparison.show(partition);
        this.places.shown(partition);
      },
      shards: () => this.cell.roster.shards,
      onWritten: (...written) => this.traces.objectWritten(...written),
      log,
    });
    this.fences = new Fences({
      clock, owns: (partition) => this.cell.owns(partition),
      raise: (fence) => this.hub.raiseEpoch(fence, () => this.cell.guardPartition(fence.partition)),
      failed: (partition, thrown) => log.error("the admission policy was not told; nothing is written for the partition until it is", thrown, { partition }),
    });
    const ports: HostPorts = {
      clock,
      machineOf: (kind) => machineOf(kind, this.kinds),
      load: (key) => this.cell.read(key),
      commit: (write) => this.cell.commit(this.awaiting.withAwaited(write)),
      perform: (src, call) => this.perform(src, call),
      route: (from, emitted) => this.awaiting.route(from, emitted),
      tell: (key, word) => (isForMany(word) ? spread(key, word, { clock, hub: this.hub, cell: this.cell }) : this.telling.tell(key, word)),
      ended: (key, run, _context, outcome) => {
        this.traces.ended(key, run, outcome);
        // Everything else waits for it, so somebody must be told.
        if (isHub(key) && outcome.fault) log.error("the hub's API server is away; it is tried again", sentence(outcome.fault));
      },
      kept: (transition) => this.kept(transition),
      quarantined: (key, fault) => this.telling.quarantined(key, fault),
    };
    this.host = new Host(options.wrap?.(ports) ?? ports);
    this.places = new Places({
      clock, cell: this.cell, transfers: this.cell.transfers, host: this.host, writing, shards: () => this.cell.roster.shards,
      object: (key) => this.hub.cached(key),
      isShown: (partition) => this.comparison.isShown(partition),
      exists: async (key) => (await this.hub.reread(key)) !== undefined,
      inOrder: (waiters, news) => this.sweep.inOrder(waiters, news),
      tell: (key, object) => this.inbox.tell(key, object),
      debug: (text, details) => log.debug(text, details),
    });
    this.sweep = new Sweep({
      clock, object: (key) => this.hub.cached(key), deliver: (hint) => this.inbox.hint(hint),
      changedDirectories: (before, after) => options.renderer.changedDirectories(handleOf(options.artifacts, before), handleOf(options.artifacts, after)),
    });
    this.inbox = new Inbox({
      cell: this.cell, host: this.host, hub: this.hub, places: this.places, sweep: this.sweep, turns: this.turns, awaiting: this.awaiting, log, features: options.features,
    });
    this.ownership = new Ownership({
      worker: name, clock, bus, cell: this.cell,
      take: (takeover) => this.take(takeover),
      freeze: async (partition, signal) => {
        await this.host.quiet(partition, writing, writesMs);
        if (signal.aborted) return; // thawed already: frozen now it would stay so
        log.debug("stops a partition's actors", { partition });
        await this.host.freeze(partition);
      },
      thaw: (partition) => this.host.thaw(partition),
      drop: (partition, next, lost) => this.drop(partition, next, lost),
      changed: () => this.ownershipChanged(),
      refused: (partition, fault) => this.refuse(partition, fault),
      debug: (text, details) => log.debug(text, details),
    });
    this.fleetOf = new Fleet({
      worker: name, clock, bus, roster: this.cell.roster, actors: () => viewsOf(name, this.host), drain: (on) => this.setDraining(on),
    });
    this.telling = new Telling({
      clock, hub: this.hub, log, metrics, traces: this.traces,
      owns: (partition) => this.cell.owns(partition),
      recordOf: (key) => this.host.record(key) ?? this.host.recordOf(key),
      quarantineOf: (key) => this.host.quarantineOf(key),
      whenShown: (partition) => this.turns.whenShown(partition),
      artifactUrl: (path) => options.artifactUrl(path),
    });
    this.drift = new DriftWatch({
      recordOf: (key) => this.host.record(key) ?? this.host.recordOf(key),
      drifted: (key, entries) => this.hub.cluster.drifted(key, entries).map(({ id }) => id),
      clock, storageOf: (key, place) => this.hub.storageOf(key, place),
      report: (key) => this.inbox.deliver(key, { type: "drift" }, "drift"), look: (key) => this.inbox.deliver(key, { type: "look" }, "drift"),
    });
    this.comparison = new Comparison({
      clock, owns: (partition) => this.cell.owns(partition),
      units: () => this.units(),
      recordOf: async (key) => this.host.record(key) ?? this.cell.read(key),
      hasObject: (key) => isHub(key) || this.hub.cached(key) !== undefined,
      gone: (key) => this.inbox.sighted(key, undefined),
      status: (key, record) => this.telling.compare(key, record),
      drift: (key, record) => this.drift.compareAll(key, record),
      ensureWatched: (key, entries) => this.hub.ensureWatched(key, entries),
      isElsewhere: (key) => this.hub.isElsewhere(key),
      reachAgain: (partition, records) => void reachAgain(partition, records, { hub: this.hub, tenancy: options.tenancy ?? {}, owns: (each) => this.cell.owns(each), log }),
      failed: (thrown) => log.error("kinds could not be watched", thrown),
    });
    this.effects = effectsOf({
      options, kinds: this.kinds, hub: this.hub, hubObjects: new HubObjects(this.hub), cell: this.cell, host: this.host, places: this.places,
      awaiting: this.awaiting, rendered: this.rendered, guard: (key) => this.guard(key),
    });
    metrics.observe({
      actors: () => countsOf(this.host.all()), spansDropped: () => spans.droppedTotal(), renders: () => this.rendered.builtTotal,
      ...this.fleetOf.readings(this.cell, this.costs),
    });
  }

  /** Joins the cell. Resolves when every partition has an owner, and what is ours is taken up and shown. */
  async start(): Promise<void> {
    const { clock } = this.options;
    await this.cell.join();
    this.hub.subscribe({
      changed: (unit, id) => {
        const key = this.places.hosted(unit);
        if (!this.comparison.isComing(partitionOf(key))) this.drift.changed(key, id);
      },
      known: (unit) => this.comparison.known(unit), storage: (unit) => this.drift.storageChanged(this.places.hosted(unit)),
      relisted: (partition) => this.comparison.relisted(partition),
    });
    this.ownership.look();
    this.cancels.push(
      every(clock, lookMs, () => this.ownership.look()),
      every(clock, tellMs, () => { this.cell.say(this.about()); this.awaiting.tidy(); }),
      every(clock, reportMs, () => {
        const costs = this.costs.turn(clock.monoMs());
        if (this.cell.owned.length > 0) void this.cell.report(costs).catch(() => undefined); // only makes the placement better
      }),
    );
    await until(clock, () => this.ownership.isSettled() && this.hub.isConnected(), () => this.stopping.signal.aborted);
    this.readySince = true;
  }

  reasonsNotReady(): string[] {
    const isJoined = this.readySince || this.ownership.isSettled();
    return [
      ...(isJoined ? [] : ["joining the cell: partitions are being placed, or NATS is away"]),
      ...(this.hub.isConnected() ? [] : (this.hub.refusals()[0] ? this.hub.refusals() : ["the hub's API server has not answered yet"])),
      ...(this.cell.holds() ? [] : ["coordination lost: NATS does not answer, nothing is written"]),
    ];
  }

  /** A push somewhere: wakes exactly the sources that match, whoever hosts them. Returns how many there are. */
  async pushed(urls: string[]): Promise<number> {
    const keys = await this.hub.matching(urls);
    await Promise.all(keys.map((to) => this.cell.send({ to, kind: "look", body: {} })));
    return keys.length;
  }

  lost = (path: string): Promise<boolean> => this.awaiting.lost(path);
  newestAt = (path: string): Promise<string | undefined> => this.awaiting.newestAt(path);
  views = (): Promise<ActorView[]> => this.fleetOf.actors();
  fleet = async (): Promise<WorkerView[]> => this.fleetOf.workers();
  drain = (name: string, on: boolean): Promise<void> => this.fleetOf.drain(name, on);

  /** Hands everything over where there is somebody to take it, and lets go of the rest. Another worker goes on from the records. */
  async stop(): Promise<void> {
    const { clock } = this.options;
    if (this.readySince && this.cell.owned.length > 0 && this.hasSuccessor()) {
      this.setDraining(true);
      const endMs = clock.monoMs() + drainMs;
      await until(clock, () => this.cell.owned.length === 0, () => clock.monoMs() > endMs || !this.cell.holds() || !this.hasSuccessor());
    }
    const owned = this.cell.owned;
    this.telling.stop();
    await Promise.race([Promise.all(owned.map((partition) => this.host.freeze(partition))), sleep(clock, writesMs)]);
    this.halt();
    await this.cell.close();
  }

  private hasSuccessor(): boolean {
    return this.fleetOf.workers().some(({ name, state }) => name !== this.options.name && state === "ready");
  }

  private setDraining(on: boolean): void {
    this.draining = on;
    this.cell.say(this.about());
  }

  private about() {
    return {
      capacity: this.options.capacity, actors: this.readySince ? this.host.size : 0, load: this.costs.total(), draining: this.draining,
      refuses: [...this.refused], shard: this.options.shard ?? "",
    };
  }

  private halt(): void {
    this.stopping.abort();
    for (const each of [this.comparison, this.drift]) each.stop();
    for (const cancel of this.cancels) cancel();
    for (const each of [this.ownership, this.places, this.sweep]) each.stop();
    this.fleetOf.close();
    this.host.stop();
    this.telling.stop();
  }

  // Partitions come and go

  private take({ partition, own, from, contents, recovered }: Takeover): void {
    this.places.took(partition, contents);
    const addressed = addressees(contents);
    for (const { key, record } of contents.records)
      try {
        this.host.adopt(key, record, { recovered, awake: addressed.has(actorId(key)) });
      } catch (thrown) {
        this.host.quarantine(key, Fault.from(thrown, actorId(key)).toJSON()); // one odd record must not cost the partition
      }
    if (partition === hubPartition) this.host.adopt(hubKey);
    for (const { key, damage } of contents.damaged)
      this.host.quarantine(key, new Fault("RecordUnreadable", actorId(key), { detail: damage }).toJSON());
    this.options.metrics.moved({ direction: "taken", cause: own.cause === "renewal" ? "claim" : own.cause });
    this.comparison.took(partition, contents.records);
    if (recovered && this.options.stampEpochs) this.fences.raise(partition, own.epoch);
    if (recovered)
      for (const { key, record } of contents.records)
        if (record.runs.some(({ src }) => writing.has(src))) this.host.deliver(key, { type: "recovered" });
    this.cell.openMail(partition, contents);
    this.awaiting.took(partition);
    this.traces.tookOver(contents.records, { fromEpoch: own.epoch - 1, toEpoch: own.epoch, worker: from, cause: own.cause, atMs: this.options.clock.nowMs() });
  }

  private drop(partition: number, next: Own | undefined, lost: boolean): void {
    const atMs = this.options.clock.nowMs();
    for (const { key, record } of this.host.residents(partition)) {
      if (next && !lost) this.traces.handedOver(key, record, { fromEpoch: next.epoch - 1, toEpoch: next.epoch, worker: next.worker, cause: next.cause, atMs });
      this.telling.forget(key);
      this.drift.forget(key);
      this.rendered.drop(`${key.namespace}/${key.name}`);
      this.turns.rests(key);
    }
    this.options.metrics.moved({ direction: "given", cause: lost ? "crash" : "handover" });
    this.host.release(partition);
    this.places.drop(partition);
    this.sweep.drop(partition);
    this.cell.drop(partition);
    this.costs.drop(partition);
    this.comparison.drop(partition);
    this.fences.drop(partition);
  }

  /** What we own, or who watches for all. Many change in one tick. */
  private ownershipChanged(): void {
    if (this.changing) return;
    this.changing = true;
    queueMicrotask(() => {
      this.changing = false;
      this.hub.follow(new Set(this.cell.owned));
      this.hub.watchedBy(this.cell.roster.own(hubPartition)?.worker || undefined);
    });
  }

  /** A record there that only a later version reads: whoever has that version shall have it. */
  private refuse(partition: number, fault: FaultData): void {
    if (!this.refused.has(partition)) this.options.log.error("left to workers of a later version", sentence(fault), { partition });
    this.refused.add(partition);
    this.cell.say(this.about());
  }

  /** Keys have a shard that had none. */
  private resharded(): void {
    this.hub.reshard();
    this.places.reconsider(this.hub.labelled());
  }

  // What actors do

  /** @throws Fault LeaseLost */
  private guard(key: ActorKey): void {
    if (!this.places.mayAct(key)) throw new Fault("LeaseLost", actorId(key), { detail: "it is on its way to another place" });
    this.cell.guard(key);
  }

  private async perform(src: string, call: EffectCall): Promise<unknown> {
    const machine = machineOf(call.key.kind, this.kinds)?.id ?? "";
    const effect = this.effects[machine]?.[src];
    if (!effect) throw new Fault("Unexpected", actorId(call.key), { detail: `no effect ${src}` });
    if (machine === "cluster") return effect(call);
    return this.turns.run(src, call, () => effect(call));
  }

  private kept(transition: Transition): void {
    const { key, before, after } = transition;
    if (after.busySinceMs === undefined) for (const each of [this.turns, this.sweep]) each.rests(key);
    this.telling.kept(transition);
    this.awaiting.kept(transition);
    if (isUnit(key)) this.drift.moved(key, before, after);
    if (after.snapshot.status !== "done") return;
    // Created anew under the same name while the old one was being cleaned up.
    const object = this.hub.cached(key);
    if (object && !object.metadata.deletionTimestamp) setImmediate(() => this.inbox.sighted(key, object));
  }

  private *units(): Iterable<ActorKey> {
    for (const { key } of this.host.all()) if (isUnit(key)) yield key;
  }
}
