/** One simulated life: workers that die, stop and lose their connections, and everything they work on. */
import type { KubeObject } from "#machines/rules/inventory.ts";
import { annotations, labels } from "#protocol/api/annotations.ts";
import { actorId, parseActorId } from "#protocol/names/actor.ts";
import { subject } from "#protocol/names/subject.ts";
import type { Bus } from "#services/store/bus.ts";
import { LogError, type Log } from "#services/store/log.ts";
import { whyNotCalm, type Peace } from "./calm.ts";
import { Checks, pathOfUnit } from "./checks.ts";
import type { KubeFate } from "./cluster.ts";
import { smallHelm } from "./helm.ts";
import { SimulatedKube, type By } from "./kube.ts";
import { releaseOf, type Interrupted } from "./kube-client.ts";
import { dependency, gate, gitRepository, kustomization, madeSource, repository } from "./objects.ts";
import { memoryBus, MemoryExchange } from "./memory-bus.ts";
import { memoryLog, MemoryStream, type Fate } from "./memory-log.ts";
import { seeded, type Random } from "./random.ts";
import { chartIn, helmRelease, leavePending, releaseId, runJobs } from "./release-objects.ts";
import { line, sourceId, units, type Script, type Step } from "./script.ts";
import { Process, VirtualTime } from "./time.ts";
import { artifactStore, gitSource, madeFromGit, Upstream, type Tree } from "./upstream.ts";
import { SimulatedWorker, type SimulatedWorkerOptions } from "./worker.ts";

export type Violation = { rule: string; text: string; at: string };

/** What a mutant leaves out or does wrongly. */
export type Mutation = {
  /** Rules that it breaks as well, and that would hide the harm. */
  ignore?: string[];
  log?(log: Log): Log;
  bus?(bus: Bus): Bus;
  conditions?: Partial<SimulatedWorkerOptions["conditions"]>;
  worker?: SimulatedWorkerOptions["mutate"];
  client?: SimulatedWorkerOptions["client"];
  options?(options: SimulatedWorkerOptions): SimulatedWorkerOptions;
};

const calmMs = 12 * 60_000;
/** A release that failed often before may wait for the longest back-off. */
const releaseCalmMs = 20 * 60_000;
const lookMs = 250;
/** What a dead owner had sent arrives within 60 s, and is looked for then. */
const longestLateMs = 75_000;
const somebody = { worker: "somebody" };
const paths = ["a", "b", "c", "chart"];

export class World {
  readonly violations: Violation[] = [];
  readonly lines: string[] = [];
  readonly time = new VirtualTime();
  private readonly script: Script;
  private readonly mutation: Mutation;
  private readonly random: Random;
  private readonly stream = new MemoryStream(() => this.time.nowMs);
  private readonly underWay = new Map<string, number>();
  private readonly exchange = new MemoryExchange();
  /** What a process hears of the log, until it dies. */
  private readonly ears = new Map<string, (() => void)[]>();
  private readonly kube = new SimulatedKube(() => this.time.nowMs);
  private readonly upstream = new Upstream();
  readonly checks: Checks;
  private readonly slots: (SimulatedWorker | undefined)[] = [];
  private readonly until = new Map<string, number>();
  private readonly stored = new Map<string, Uint8Array>();
  /** Units that are meant to exist when it is calm. */
  private readonly wanted = new Set(units);
  private readonly damaged = new Set<string>();
  private names = 0;
  private serial = 0;
  /** Of the release, since the interruption may come. */
  writes = 0;
  /** Those that made a hook. */
  readonly hookWrites: number[] = [];
  private wasHeld = false;
  private lateMs = 0;
  private calm = false;
  private ended = false;

  constructor(script: Script, mutation: Mutation = {}) {
    this.script = script;
    this.mutation = mutation;
    this.random = seeded(script.seed ^ 0x5eed);
    this.checks = new Checks({
      stream: this.stream, kube: this.kube, upstream: this.upstream, nowMs: () => this.time.nowMs,
      workers: () => this.slots.filter((slot) => slot !== undefined),
      violated: (rule, text) => this.violated(rule, text),
    });
  }

  async run(): Promise<void> {
    this.kube.create(gitRepository(), "kubectl", somebody);
    if (this.script.made) this.kube.create(madeSource(), "kubectl", somebody);
    if (this.script.release) this.wanted.add(releaseId);
    this.kube.watch(({ verb, after, by }) => { if (by.act && verb === "create" && after?.metadata.annotations?.[annotations.hook]) this.hookWrites.push(this.writes); });
    if (this.script.release) runJobs(this.kube, this.time, () => this.random.between(...((!this.calm && this.script.jobsMs) || ([500, 3_000] as const))), () => this.calm);
    if (this.script.bare) for (const unit of units) this.wanted.delete(unit);
    for (const unit of this.wanted) this.kube.create(this.written(unit), "kubectl", somebody);
    this.kube.create({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "foreign", namespace: "apps" }, data: { value: "theirs" } }, "kubectl", somebody);
    for (let slot = 0; slot < this.script.slots; slot++) this.boot(slot, slot === 0 ? 0 : this.random.between(0, 3_000));
    for (const step of this.script.steps) this.time.in(step.atMs, () => { this.say(line(step)); this.perform(step); });
    const over = () => this.violations.length > 0;
    for (let ms = 0; ms < this.script.troubleMs && !over(); ms += lookMs) {
      await this.time.run(Math.min(lookMs, this.script.troubleMs - ms), over);
      this.checks.notice();
    }
    if (over()) return;
    this.calmDown();
    let reasons: string[] = [];
    const mostMs = this.script.release ? releaseCalmMs : calmMs;
    for (let ms = 0; ms < mostMs && !over(); ms += lookMs) {
      await this.time.run(lookMs, over);
      this.checks.notice();
      if (ms % 2_000 !== 0) continue;
      reasons = this.ended && this.time.nowMs > this.lateMs ? whyNotCalm(this.peace()) : ["the last commit is still to come"];
      if (reasons.length === 0) break;
    }
    if (over()) return;
    for (const reason of reasons.slice(0, 5)) {
      const [, rule = "RC15", text = reason] = /^\[(\w+)\] (.*)$/.exec(reason) ?? [];
      this.violated(rule, `not calm after ${mostMs / 60_000} min: ${text}`);
    }
  }

  private violated(rule: string, text: string): void {
    if (this.mutation.ignore?.includes(rule)) return;
    this.violations.push({ rule, text, at: this.time.clockText });
    this.say(`VIOLATED ${rule} ${text}`);
  }

  private say(text: string): void {
    this.lines.push(`${this.time.clockText} ${text}`);
  }

  // Workers

  private boot(slot: number, inMs: number): void {
    this.time.in(inMs, () => {
      if (this.slots[slot] && this.slots[slot].process.state !== "dead") return;
      const process = new Process(this.time, `w${++this.names}`);
      const options = this.workerOptions(process, slot);
      const worker = new SimulatedWorker(this.mutation.options?.(options) ?? options);
      this.slots[slot] = worker;
      this.say(`${process.name} begins in slot ${slot}`);
      worker.start().then(
        () => process.enter(() => { this.say(`${process.name} is ready`); this.checks.disturbed(); }),
        (thrown: unknown) => process.enter(() => { if (!worker.leaving) this.end(slot, process, `could not begin: ${String(thrown)}`); }),
      );
    });
  }

  private end(slot: number, process: Process, reason: string): void {
    if (process.state === "dead") return;
    this.say(`${process.name} ends: ${reason}`);
    this.checks.lost(process.name, reason);
    this.kill(process);
    this.boot(slot, 500);
  }

  private kill(process: Process): void {
    process.kill();
    this.exchange.drop(process.name);
    for (const stop of this.ears.get(process.name) ?? []) stop();
    this.ears.delete(process.name);
    this.checks.disturbed();
  }

  private workerOptions(process: Process, slot: number): SimulatedWorkerOptions {
    const log = memoryLog(this.stream, {
      client: process.name, clock: process.clock, later: (inMs, run) => void this.time.in(inMs, run), enter: (run) => process.enter(run),
      fate: () => this.logFate(slot),
      copyMs: () => {
        if (this.isCutOff(slot) && this.random.chance(0.7)) return undefined;
        if (!this.isOn("lose copies") || this.random.chance(0.5)) return this.random.between(1, 4);
        return this.random.chance(0.5) ? undefined : this.random.between(1_000, 8_000);
      },
      lagMs: () => (this.script.replicated && !this.calm && this.random.chance(0.2) ? this.random.between(1, this.random.chance(0.2) ? 8_000 : 1_500) : 0),
      commitMs: () => (this.script.replicated ? this.random.between(1, 4) : 0),
    }, this.underWay);
    const bus = memoryBus(this.exchange, {
      client: process.name, clock: process.clock, later: (inMs, run) => void this.time.in(inMs, run), enter: (run) => process.enter(run),
      deliverMs: () => (this.isCutOff(slot) || (this.isOn("lose words") && this.random.chance(0.5)) ? undefined : this.random.between(1, 3)),
    });
    const mutated = this.mutation.log?.(log) ?? log;
    const checks = this.checks;
    const delay = (fromMs: number, toMs: number) => process.sleep(this.random.between(fromMs, toMs));
    const shard = this.script.shards?.[slot];
    return {
      process, ...(shard && { shard }), kube: this.kube, log: this.numbered(mutated, process), bus: this.mutation.bus?.(bus) ?? bus, fate: () => this.kubeFate(slot),
      conditions: { uid: true, resourceVersion: true, createOnly: true, guard: true, touch: true, ...this.mutation.conditions },
      watchMs: () => this.random.between(2, 40), interrupted: (by) => this.interrupted(process, slot, by), held: (by) => this.held(process, by),
      isCut: () => this.isOn("cut cluster all") || this.isOn(`cut cluster ${slot}`),
      sources: { gitrepository: gitSource(this.upstream, delay, () => this.isOn("fail upstream")), helmchart: madeFromGit(delay) },
      say: (text) => this.say(`${process.name} ${text}`),
      artifacts: artifactStore(this.stored, delay), helm: smallHelm((archive) => chartIn(this.upstream, archive)),
      renderer: this.upstream.renderer("apps", () => delay(5, 400)),
      onLost: (reason) => this.end(slot, process, reason),
      watch: {
        kept: (worker, transition) => { this.note(process, transition); checks.kept(worker, transition); },
        performing: (worker, src, call) => checks.performing(worker, src, call),
        told: (key, notice) => checks.told(key, notice),
        sent: (worker, by) => checks.sent(worker, by),
        delivered: (worker, key, event, hint) => checks.delivered(worker, key, event, hint),
        fenced: (worker, partition, token) => checks.fenced(worker, partition, token),
        quarantined: (key, fault) => {
          this.say(`${process.name} quarantines ${actorId(key)}: ${JSON.stringify(fault)}`);
          if (!this.damaged.has(actorId(key))) this.violated("OW17", `${actorId(key)} was quarantined: ${JSON.stringify(fault)}`);
        },
      },
      ...(this.mutation.worker && { mutate: this.mutation.worker }), ...(this.mutation.client && { client: this.mutation.client }),
    };
  }

  private note(process: Process, { key, before, after }: Parameters<SimulatedWorkerOptions["watch"]["kept"]>[1]): void {
    const [was, is] = [before, after].map(({ snapshot }) => String(snapshot["value"]));
    const { fault } = after.snapshot.context as { fault?: { code: string } | null };
    if (was !== is) this.say(`${process.name} ${actorId(key)} ${was} -> ${is}${fault && is === "failing" ? ` (${fault.code})` : ""}`);
  }

  /** Every write is numbered in the order it was asked for, so that one that lands late is known. */
  private numbered(log: Log, process: Process): Log {
    const tag = <T extends { headers?: Record<string, string> }>(message: T) => ({ ...message, headers: { ...message.headers, "sim-serial": String(this.serial) } });
    return {
      ...log,
      read: (name) => log.read(name), scan: (filter, from) => log.scan(filter, from),
      listen: (filter, receive) => {
        const stop = log.listen(filter, receive);
        this.ears.set(process.name, [...(this.ears.get(process.name) ?? []), stop]);
        return stop;
      },
      publish: (message) => { this.serial++; return log.publish(tag(message)); },
      publishAll: (messages) => { this.serial++; return log.publishAll(messages.map(tag)); },
    };
  }

  // What goes wrong

  private isOn(name: string): boolean {
    return !this.calm && (this.until.get(name) ?? 0) > this.time.nowMs;
  }

  private turnOn(name: string, forMs: number): void {
    this.until.set(name, Math.max(this.until.get(name) ?? 0, this.time.nowMs + forMs));
  }

  private isCutOff(slot: number): boolean {
    return this.isOn("cut log all") || this.isOn(`cut log ${slot}`);
  }

  private logFate(slot: number): Fate {
    const fate = this.rawLogFate(slot);
    if (fate.arriveMs !== 0 || fate.answerMs === undefined || fate.refusal) this.checks.disturbed();
    return fate;
  }

  private rawLogFate(slot: number): Fate {
    const answerMs = this.random.between(1, 3);
    if (this.isCutOff(slot)) {
      if (this.random.chance(0.3)) return { arriveMs: 0, answerMs, refusal: new LogError("busy", "no responders") };
      return { arriveMs: undefined, answerMs: undefined };
    }
    if (this.isOn("land late") && this.random.chance(0.15)) return { arriveMs: this.random.between(1_000, 7_000), answerMs };
    if (this.isOn("lose acks") && this.random.chance(0.2)) return { arriveMs: 0, answerMs: undefined };
    return { arriveMs: 0, answerMs };
  }

  private kubeFate(slot: number): KubeFate {
    const fate = { arriveMs: this.random.between(1, 8), answerMs: this.random.between(1, 8) };
    if (this.isOn("cut cluster all") || this.isOn(`cut cluster ${slot}`)) return { ...fate, failure: "connection refused" };
    if (this.isOn("fail requests") && this.random.chance(0.3)) return { ...fate, failure: "internal error" };
    if (this.isOn("delay requests") && this.random.chance(0.3)) {
      // A request says how long it may take, and the server keeps to that: none outlives its sender's patience.
      const arriveMs = this.random.between(100, 9_000);
      return this.random.chance(0.3) ? { arriveMs, answerMs: undefined } : { ...fate, arriveMs };
    }
    return fate;
  }

  /** Of the write that is about to ask for the lease. */
  private held(process: Process, { act }: By): Promise<void> | undefined {
    const { fromMs = 0, write = 0, how } = this.script.interruption ?? {};
    if (!act || how !== "stops before" || this.wasHeld || this.calm || this.time.sinceBeginMs() < fromMs || this.writes + 1 !== write) return undefined;
    this.wasHeld = true;
    this.say(`${process.name} ${how} write ${write}: ${JSON.stringify(act)}`);
    this.stopFor(process, 6_000);
    return process.sleep(0);
  }

  private stopFor(process: Process | undefined, forMs: number): void {
    process?.stop();
    this.time.in(forMs, () => { process?.resume(); this.checks.disturbed(); });
  }

  private interrupted(process: Process, slot: number, { act }: By): Interrupted | undefined {
    const { fromMs = 0, write = 0, how } = this.script.interruption ?? {};
    if (!act || this.calm || this.time.sinceBeginMs() < fromMs || ++this.writes !== write) return undefined;
    if (how !== "stops before") this.say(`${process.name} ${how} at write ${write}: ${JSON.stringify(act)}`);
    switch (how) {
      case "dies after": case "late": {
        this.crash(slot, 500);
        if (how === "dies after") return { dead: true, arriveMs: 3 };
        this.lateMs = this.time.nowMs + longestLateMs; // nothing is calm before that
        return { dead: true, arriveMs: this.random.between(4_000, 50_000) };
      }
      case "stops": {
        this.stopFor(process, 6_000);
        return { stopped: true };
      }
      case "hands over": {
        this.slots[slot]?.drain(true);
        this.time.in(15_000, () => { if (this.slots[slot]?.process === process) this.slots[slot]?.drain(false); });
      }
    }
    return undefined;
  }

  // What happens

  private perform(step: Step): void {
    switch (step.do) {
      case "crash": return this.crash(step.slot, step.backMs);
      case "leave": return this.leave(step.slot, step.backMs);
      case "join": return this.boot(step.slot, 0);
      case "drain": return this.slots[step.slot]?.process.state === "running" ? this.slots[step.slot]?.drain(step.on) : undefined;
      case "stop": return this.stopFor(this.slots[step.slot]?.process, step.forMs);
      case "cut log": case "cut cluster": return this.turnOn(`${step.do} ${step.slot}`, step.forMs);
      case "lose acks": case "land late": case "lose copies": case "lose words": case "delay requests": case "fail requests": case "fail upstream":
        return this.turnOn(step.do, step.forMs);
      case "damage": {
        const key = parseActorId(step.actor);
        const slot = this.slots.findIndex((worker) => worker?.process.name === this.checks.owner(key));
        this.crash(slot < 0 ? step.slot : slot, 200); // whoever has it in memory would go on from there
        if (!this.stream.read(subject.snapshot(key))?.data) return;
        this.damaged.add(step.actor);
        this.checks.damaged(step.actor);
        this.stream.store([{ subject: subject.snapshot(key), data: "{\"v\":1,\"snap" }]);
        return;
      }
      case "commit": {
        const tree: Tree = { ...this.upstream.commits.at(-1) };
        for (const [path, objects] of Object.entries(step.set)) {
          const before = tree[path] === "broken" ? {} : tree[path];
          tree[path] = Object.fromEntries(Object.entries({ ...before, ...objects }).filter((entry): entry is [string, string] => entry[1] !== null));
        }
        if (step.broken) tree[step.broken] = "broken";
        for (const path of paths) tree[path] ??= {};
        this.upstream.commit(tree);
        if (step.hinted) this.push();
        return;
      }
      case "change release": return this.edit(releaseId, (object) => ({ ...object, spec: { ...(object["spec"] as object), ...step.spec } }));
      case "ask release": return this.edit(releaseId, (object) => ({
        ...object, metadata: { ...object.metadata, annotations: {
          ...object.metadata.annotations, [annotations.requestedAt]: step.value, [annotations[step.for === "force" ? "forceAt" : "resetAt"]]: step.value,
        } },
      }));
      case "request":
        return this.edit(step.unit, (object) => ({
          ...object, metadata: { ...object.metadata, annotations: { ...object.metadata.annotations, [annotations.requestedAt]: step.value } },
        }));
      case "suspend": return this.edit(step.unit, (object) => ({ ...object, spec: { ...(object["spec"] as object), suspend: step.on } }));
      case "depend": return this.depend(step.unit, step.on);
      case "gate": return this.turnGate(step.open);
      case "leave pending": return leavePending(this.kube);
      case "label": return this.edit(step.unit, (object) => {
        const { [labels.shardKey]: _, ...others } = object.metadata.labels ?? {};
        return { ...object, metadata: { ...object.metadata, labels: { ...others, ...(step.key !== null && { [labels.shardKey]: step.key }) } } };
      });
      case "edit": return this.edit(step.unit, (object) => ({ ...object, spec: { ...(object["spec"] as object), retryInterval: step.retry } }));
      case "delete": {
        this.wanted.delete(step.unit);
        if (this.kube.get(pathOfUnit(step.unit))) this.kube.delete(pathOfUnit(step.unit), somebody);
        if (step.backMs !== null) this.createAgain(step.unit, step.backMs);
        return;
      }
      case "touch object": return this.touch(({ metadata }) => metadata.labels?.[labels.ownerName] !== undefined, step.nth, step.value);
      case "delete object": return this.touch(({ metadata }) => metadata.labels?.[labels.ownerName] !== undefined, step.nth, null);
      case "touch release": return this.touch((object) => object.kind === "ConfigMap" && releaseOf(object) !== undefined, step.nth, step.value);
      case "plant object": {
        const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: step.name, namespace: "apps" }, data: { value: "planted" } };
        if (!this.kube.get(`ConfigMap/apps/${step.name}`)) this.kube.create(object, "kubectl", somebody);
        return;
      }
      default:
    }
  }

  /** As somebody who edits one of them, or deletes it. */
  private touch(isMeant: (object: KubeObject) => boolean, nth: number, value: string | null): void {
    const meant = this.kube.list().filter(({ object }) => isMeant(object));
    const { path } = meant[nth % (meant.length || 1)] ?? {};
    if (!path) return;
    if (value === null) return this.kube.delete(path, somebody);
    this.kube.update(path, (object) => ({ ...object, data: { ...(object["data"] as object), value } }), "kubectl-edit", somebody);
  }

  private crash(slot: number, backMs: number): void {
    const worker = this.slots[slot];
    if (!worker || worker.process.state === "dead") return;
    this.kill(worker.process);
    this.boot(slot, backMs);
  }

  private leave(slot: number, backMs: number): void {
    const worker = this.slots[slot];
    if (worker?.process.state !== "running" || worker.leaving) return;
    const gone = () => {
      if (worker.process.state === "dead") return;
      this.kill(worker.process);
      this.boot(slot, backMs);
    };
    worker.stop().then(() => worker.process.enter(gone), () => worker.process.enter(gone));
  }

  private living(): SimulatedWorker[] {
    return this.slots.filter((worker) => worker !== undefined && worker.joined && !worker.leaving && worker.process.state === "running") as SimulatedWorker[];
  }

  /** As `kubectl delete` followed by `kubectl apply`: the second waits for the first. */
  private createAgain(unit: string, inMs: number): void {
    this.time.in(inMs, () => {
      if (this.wanted.has(unit)) return;
      if (this.kube.get(pathOfUnit(unit))) return this.createAgain(unit, 5);
      this.wanted.add(unit);
      this.kube.create(this.written(unit), "kubectl", somebody);
    });
  }

  private written = (unit: string): KubeObject => (unit === releaseId ? helmRelease() : kustomization(unit, this.script.dependsOn?.[unit]));

  private depend(unit: string, on: string[]): void {
    this.edit(unit, (object) => ({ ...object, spec: { ...(object["spec"] as object), dependsOn: on.map(dependency) } }));
  }

  /** Opened when everything is calm at the latest. */
  private turnGate(open: boolean): void {
    const path = `ConfigMap/apps/${gate}`;
    if (!open && this.kube.get(path)) this.kube.delete(path, somebody);
    else if (open && !this.kube.get(path)) this.kube.create({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: gate, namespace: "apps" }, data: {} }, "kubectl", somebody);
  }

  private edit(unit: string, change: (object: KubeObject) => KubeObject): void {
    if (this.kube.get(pathOfUnit(unit))) this.kube.update(pathOfUnit(unit), change, "kubectl", somebody);
  }

  private peace(): Peace {
    return { kube: this.kube, upstream: this.upstream, checks: this.checks, script: this.script, wanted: this.wanted, workers: this.slots.filter((slot) => slot !== undefined) };
  }

  private calmDown(): void {
    this.say("calm");
    this.calm = true;
    for (const worker of this.slots) {
      worker?.process.resume();
      if (worker?.process.state === "running" && !worker.leaving) worker.drain(false);
    }
    for (const unit of [sourceId, ...units, releaseId]) this.edit(unit, (object) => ({ ...object, spec: { ...(object["spec"] as object), suspend: false } }));
    if (this.script.drifts) this.perform({ atMs: 0, do: "change release", spec: { driftDetection: { mode: "enabled" } } });
    if (this.script.dependsOn) this.turnGate(true);
    // One that is never to be there again would block the others for ever.
    for (const [unit, on] of Object.entries(this.script.dependsOn ?? {})) this.depend(unit, on.filter((each) => each === gate || this.wanted.has(each)));
    const tree: Tree = { ...this.upstream.commits.at(-1) };
    for (const path of paths)
      tree[path] = Object.fromEntries(Object.entries(tree[path] === "broken" ? {} : (tree[path] ?? {})).map(([name, value]) => [name, value.replace("sick", "well")]));
    // Whether anybody tells of it or not.
    this.time.in(this.random.between(0, 4_000), () => {
      const last = { last: "one" };
      this.upstream.commit({ ...tree, a: { ...(tree["a"] as object), ...last }, ...(this.script.renewed && { chart: { ...(tree["chart"] as object), ...last } }) });
      this.ended = true;
      if (this.script.interruption || this.random.chance(0.5)) this.push();
    });
  }

  /** As a webhook: to whichever worker is there. */
  private push(): void {
    const living = this.living();
    if (living.length > 0) this.random.pick(living).worker.pushed([repository]).catch(() => undefined); // the source looks by itself, later
  }
}
