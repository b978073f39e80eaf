/** One simulated life: workers that die, stop and lose their connections, and everything they work on. */
import { inventoryId, type KubeObject } from "#machines/rules/inventory.ts";
import { annotations, labels } from "#protocol/api/annotations.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { actorId, parseActorId } from "#protocol/names/actor.ts";
import { subject } from "#protocol/names/subject.ts";
import { LogError, type Log } from "#services/store/log.ts";
import { Checks, listOf, pathOfUnit } from "./checks.ts";
import type { KubeFate } from "./cluster.ts";
import { SimulatedKube } from "./kube.ts";
import { memoryLog, MemoryStream, type Fate } from "./memory-log.ts";
import { seeded, type Random } from "./random.ts";
import { line, sourceId, units, type Script, type Step } from "./script.ts";
import { Process, VirtualTime } from "./time.ts";
import { Upstream, type Tree } from "./upstream.ts";
import { SimulatedWorker, type SimulatedWorkerOptions } from "./worker.ts";

export type Violation = { rule: string; text: string; at: string };

/** What a mutant leaves out or does wrongly. */
export type Mutation = {
  /** Rules that it breaks as well, and that would hide the harm. */
  ignore?: string[];
  log?(log: Log): Log;
  conditions?: Partial<SimulatedWorkerOptions["conditions"]>;
  worker?: SimulatedWorkerOptions["mutate"];
  options?(options: SimulatedWorkerOptions): SimulatedWorkerOptions;
};

const calmMs = 12 * 60_000;
const somebody = { worker: "somebody" };

export class World {
  readonly violations: Violation[] = [];
  readonly lines: string[] = [];
  readonly time = new VirtualTime();
  private readonly script: Script;
  private readonly mutation: Mutation;
  private readonly random: Random;
  private readonly stream = new MemoryStream(() => this.time.nowMs);
  private readonly underWay = new Map<string, number>();
  private readonly kube = new SimulatedKube(() => this.time.nowMs);
  private readonly upstream = new Upstream();
  private readonly checks: Checks;
  private readonly slots: (SimulatedWorker | undefined)[] = [];
  private readonly until = new Map<string, number>();
  private readonly stored = new Map<string, Uint8Array>();
  /** Units that are meant to exist when it is calm. */
  private readonly wanted = new Set(units);
  private readonly damaged = new Set<string>();
  private names = 0;
  private serial = 0;
  private calm = false;

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
    for (const unit of units) this.kube.create(kustomization(unit), "kubectl", somebody);
    this.kube.create({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "foreign", namespace: "apps" }, data: { value: "theirs" } }, "kubectl", somebody);
    for (let slot = 0; slot < this.script.slots; slot++) this.boot(slot, slot === 0 ? 0 : this.random.between(0, 3_000));
    for (const step of this.script.steps) this.time.in(step.atMs, () => { this.say(line(step)); this.perform(step); });
    const over = () => this.violations.length > 0;
    for (let ms = 0; ms < this.script.troubleMs && !over(); ms += 5_000) {
      await this.time.run(Math.min(5_000, this.script.troubleMs - ms), over);
      this.checks.notice();
    }
    if (over()) return;
    this.calmDown();
    let reasons: string[] = [];
    for (let ms = 0; ms < calmMs && !over(); ms += 5_000) {
      await this.time.run(5_000, over);
      this.checks.notice();
      reasons = this.whyNotCalm();
      if (reasons.length === 0) break;
    }
    if (over()) return;
    for (const reason of reasons) {
      const [, rule = "RC15", text = reason] = /^\[(\w+)\] (.*)$/.exec(reason) ?? [];
      this.violated(rule, `not calm after ${calmMs / 60_000} min: ${text}`);
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
        () => { this.say(`${process.name} took up its actors`); this.checks.disturbed(); },
        (thrown: unknown) => process.enter(() => this.end(slot, process, `could not begin: ${String(thrown)}`)),
      );
    });
  }

  private end(slot: number, process: Process, reason: string): void {
    if (process.state === "dead") return;
    this.say(`${process.name} ends: ${reason}`);
    this.checks.lost(process.name, reason);
    process.kill();
    this.boot(slot, 500);
  }

  private workerOptions(process: Process, slot: number): SimulatedWorkerOptions {
    const log = memoryLog(this.stream, {
      client: process.name, clock: process.clock, later: (inMs, run) => void this.time.in(inMs, run), enter: (run) => process.enter(run),
      fate: () => this.logFate(slot),
      copyMs: () => (this.isOn("lose copies") && this.random.chance(0.5) ? (this.random.chance(0.5) ? undefined : this.random.between(1_000, 8_000)) : this.random.between(1, 4)),
      lagMs: () => (this.script.replicated && !this.calm && this.random.chance(0.2) ? this.random.between(1, this.random.chance(0.2) ? 8_000 : 1_500) : 0),
      commitMs: () => (this.script.replicated ? this.random.between(1, 4) : 0),
    }, this.underWay);
    const mutated = this.mutation.log?.(log) ?? log;
    const checks = this.checks;
    return {
      process, kube: this.kube, log: this.numbered(mutated), fate: (mayBeLate) => this.kubeFate(slot, mayBeLate),
      conditions: { uid: true, resourceVersion: true, createOnly: true, guard: true, ...this.mutation.conditions },
      watchMs: () => this.random.between(2, 40),
      kinds: { gitrepository: this.gitKind(process) },
      artifacts: this.artifacts(process),
      renderer: this.upstream.renderer("apps", () => process.sleep(this.random.between(5, 400))),
      onLost: (reason) => this.end(slot, process, reason),
      watch: {
        kept: (worker, transition) => { this.note(process, transition); checks.kept(worker, transition); },
        performing: (worker, src, call) => checks.performing(worker, src, call),
        told: (key, notice) => checks.told(key, notice),
        sent: (worker, by) => checks.sent(worker, by),
        delivered: (worker, key) => checks.delivered(worker, key),
        quarantined: (key, fault) => {
          this.say(`${process.name} quarantines ${actorId(key)}: ${JSON.stringify(fault)}`);
          if (!this.damaged.has(actorId(key))) this.violated("OW17", `${actorId(key)} was quarantined: ${JSON.stringify(fault)}`);
        },
      },
      ...(this.mutation.worker && { mutate: this.mutation.worker }),
    };
  }

  private note(process: Process, { key, before, after }: Parameters<SimulatedWorkerOptions["watch"]["kept"]>[1]): void {
    const [was, is] = [before, after].map(({ snapshot }) => String(snapshot["value"]));
    const { fault } = after.snapshot.context as { fault?: { code: string } | null };
    if (was !== is) this.say(`${process.name} ${actorId(key)} ${was} -> ${is}${fault && is === "failing" ? ` (${fault.code})` : ""}`);
  }

  /** Every write is numbered in the order it was asked for, so that one that lands late is known. */
  private numbered(log: Log): Log {
    const tag = <T extends { headers?: Record<string, string> }>(message: T) => ({ ...message, headers: { ...message.headers, "sim-serial": String(this.serial) } });
    return {
      ...log,
      read: (name) => log.read(name), scan: (filter, from) => log.scan(filter, from), listen: (filter, receive) => log.listen(filter, receive),
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

  private logFate(slot: number): Fate {
    const fate = this.rawLogFate(slot);
    if (fate.arriveMs !== 0 || fate.answerMs === undefined || fate.refusal) this.checks.disturbed();
    return fate;
  }

  private rawLogFate(slot: number): Fate {
    const answerMs = this.random.between(1, 3);
    if (this.isOn("cut log all") || this.isOn(`cut log ${slot}`)) {
      if (this.random.chance(0.3)) return { arriveMs: 0, answerMs, refusal: new LogError("busy", "no responders") };
      return { arriveMs: undefined, answerMs: undefined };
    }
    if (this.isOn("land late") && this.random.chance(0.15)) return { arriveMs: this.random.between(1_000, 7_000), answerMs };
    if (this.isOn("lose acks") && this.random.chance(0.2)) return { arriveMs: 0, answerMs: undefined };
    return { arriveMs: 0, answerMs };
  }

  private kubeFate(slot: number, mayBeLate: boolean): KubeFate {
    const fate = { arriveMs: this.random.between(1, 8), answerMs: this.random.between(1, 8) };
    if (this.isOn("cut cluster all") || this.isOn(`cut cluster ${slot}`)) return { ...fate, failure: "connection refused" };
    if (this.isOn("fail requests") && this.random.chance(0.3)) return { ...fate, failure: "internal error" };
    if (this.isOn("delay requests") && this.random.chance(0.3)) {
      // A request says how long it may take, and the server keeps to that: none outlives its sender's patience.
      const arriveMs = this.random.between(100, mayBeLate ? 9_000 : 300);
      return this.random.chance(0.3) ? { arriveMs, answerMs: undefined } : { ...fate, arriveMs };
    }
    return fate;
  }

  private gitKind(process: Process): SimulatedWorkerOptions["kinds"][string] {
    const ask = async () => {
      await process.sleep(this.random.between(5, 600));
      if (this.isOn("fail upstream")) throw new Fault("UpstreamUnreachable", "https://git.example.com/shop.git");
    };
    return {
      kind: "GitRepository",
      resolve: async () => {
        const { head } = this.upstream;
        await ask();
        return this.upstream.revision(head);
      },
      fetch: async ({ revision }) => {
        await ask();
        return this.upstream.fetched(revision);
      },
    };
  }

  private artifacts(process: Process): SimulatedWorkerOptions["artifacts"] {
    const { stored } = this;
    const wait = () => process.sleep(this.random.between(1, 5));
    const retain = async (prefix: string, keep: string[]) => {
      await wait();
      for (const path of stored.keys()) if (path.startsWith(`${prefix}/`) && !keep.includes(path)) stored.delete(path);
    };
    return {
      put: async (path, bytes) => { await wait(); stored.set(path, bytes); },
      has: async (path) => { await wait(); return stored.has(path); },
      get: async (path) => {
        await wait();
        const bytes = stored.get(path);
        if (!bytes) throw new Fault("ArtifactCorrupt", path, { detail: "not found" });
        return bytes;
      },
      retain,
      remove: (prefix) => retain(prefix, []),
    };
  }

  // What happens

  private perform(step: Step): void {
    switch (step.do) {
      case "crash": return this.crash(step.slot, step.backMs);
      case "leave": {
        const worker = this.slots[step.slot];
        if (worker?.process.state === "running") void worker.stop().then(() => worker.process.enter(() => { worker.process.kill(); this.boot(step.slot, step.backMs); }));
        return;
      }
      case "stop": {
        const worker = this.slots[step.slot];
        worker?.process.stop();
        this.time.in(step.forMs, () => { worker?.process.resume(); this.checks.disturbed(); });
        return;
      }
      case "cut log": case "cut cluster": return this.turnOn(`${step.do} ${step.slot}`, step.forMs);
      case "lose acks": case "land late": case "lose copies": case "delay requests": case "fail requests": case "fail upstream":
        return this.turnOn(step.do, step.forMs);
      case "damage": {
        const key = parseActorId(step.actor);
        this.crash(step.slot, 200);
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
        for (const path of ["a", "b", "c"]) tree[path] ??= {};
        this.upstream.commit(tree);
        if (step.hinted) this.slots.find((worker) => worker?.claimed && worker.process.state === "running")?.send({ to: parseActorId(sourceId), kind: "look", body: {} });
        return;
      }
      case "request":
        return this.edit(step.unit, (object) => ({
          ...object, metadata: { ...object.metadata, annotations: { ...object.metadata.annotations, [annotations.requestedAt]: step.value } },
        }));
      case "suspend": return this.edit(step.unit, (object) => ({ ...object, spec: { ...(object["spec"] as object), suspend: step.on } }));
      case "edit": return this.edit(step.unit, (object) => ({ ...object, spec: { ...(object["spec"] as object), retryInterval: step.retry } }));
      case "delete": {
        this.wanted.delete(step.unit);
        if (this.kube.get(pathOfUnit(step.unit))) this.kube.delete(pathOfUnit(step.unit), somebody);
        if (step.backMs !== null) this.createAgain(step.unit, step.backMs);
        return;
      }
      case "touch object": case "delete object": {
        const managed = this.kube.list().filter(({ object }) => object.metadata.labels?.[labels.ownerName]);
        const { path } = managed[step.nth % (managed.length || 1)] ?? {};
        if (!path) return;
        if (step.do === "delete object") return this.kube.delete(path, somebody);
        this.kube.update(path, (object) => ({ ...object, data: { ...(object["data"] as object), value: step.value } }), "kubectl-edit", somebody);
        return;
      }
      case "plant object": {
        const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: step.name, namespace: "apps" }, data: { value: "planted" } };
        if (!this.kube.get(`ConfigMap/apps/${step.name}`)) this.kube.create(object, "kubectl", somebody);
        return;
      }
      default:
    }
  }

  private crash(slot: number, backMs: number): void {
    const worker = this.slots[slot];
    if (!worker || worker.process.state === "dead") return;
    worker.process.kill();
    this.boot(slot, backMs);
  }

  /** As `kubectl delete` followed by `kubectl apply`: the second waits for the first. */
  private createAgain(unit: string, inMs: number): void {
    this.time.in(inMs, () => {
      if (this.wanted.has(unit)) return;
      if (this.kube.get(pathOfUnit(unit))) return this.createAgain(unit, 5);
      this.wanted.add(unit);
      this.kube.create(kustomization(unit), "kubectl", somebody);
    });
  }

  private edit(unit: string, change: (object: KubeObject) => KubeObject): void {
    if (this.kube.get(pathOfUnit(unit))) this.kube.update(pathOfUnit(unit), change, "kubectl", somebody);
  }

  private calmDown(): void {
    this.say("calm");
    this.calm = true;
    for (const worker of this.slots) worker?.process.resume();
    for (const unit of [sourceId, ...units]) this.edit(unit, (object) => ({ ...object, spec: { ...(object["spec"] as object), suspend: false } }));
    const tree: Tree = { ...this.upstream.commits.at(-1) };
    for (const path of ["a", "b", "c"])
      tree[path] = Object.fromEntries(Object.entries(tree[path] === "broken" ? {} : (tree[path] ?? {})).map(([name, value]) => [name, value.replace("sick", "well")]));
    this.upstream.commit({ ...tree, a: { ...(tree["a"] as object), last: "one" } });
  }

  /** Empty when everything is as it should be. */
  private whyNotCalm(): string[] {
    const owner = this.slots.find((worker) => worker?.claimed && worker.process.state === "running" && worker.cell.holds());
    if (!owner) return ["nobody owns the cell"];
    return [
      ...units.flatMap((unit) => this.whyUnitNotCalm(unit, owner)),
      ...[...this.checks.untold].map((notice) => `[OW18] notice ${notice} was never told`),
      ...(JSON.stringify(this.kube.get("ConfigMap/apps/foreign")?.["data"]) === "{\"value\":\"theirs\"}" ? [] : ["somebody else's object was touched"]),
    ];
  }

  private whyUnitNotCalm(unit: string, owner: SimulatedWorker): string[] {
    const { name } = parseActorId(unit);
    const object = this.kube.get(pathOfUnit(unit));
    const record = owner.host.record(parseActorId(unit));
    const ours = this.kube.list().filter(({ object: each }) => each.metadata.labels?.[labels.ownerName] === name).map((each) => each.object);
    const prunes = name !== "c" && !this.letsGo(unit);
    if (!this.wanted.has(unit)) {
      const left = prunes && !object ? ours.map((each) => `${each.metadata.name} of ${unit} is left`) : [];
      return [...(object ? [`${unit} is not gone`] : []), ...(record ? [`${unit} has a record`] : []), ...left];
    }
    const head = this.upstream.revision(this.upstream.head);
    const status = (object?.["status"] ?? {}) as { lastAppliedRevision?: string; lastHandledReconcileAt?: string; observedGeneration?: number };
    const wanted = this.upstream.objects(this.upstream.head, name, "apps") ?? [];
    const listed = new Set(listOf(record).map(({ id }) => id));
    const requested = object?.metadata.annotations?.[annotations.requestedAt] ?? "";
    return [
      ...(record?.snapshot["value"] === "settled" ? [] : [`${unit} is ${String(record?.snapshot["value"])}`]),
      ...(status.lastAppliedRevision === head ? [] : [`${unit} says ${status.lastAppliedRevision}, head is ${head}`]),
      ...(status.observedGeneration === object?.metadata.generation ? [] : [`${unit} has not observed its generation`]),
      ...((status.lastHandledReconcileAt ?? "") === requested ? [] : [`${unit}: request ${requested} is not handled`]),
      ...wanted.flatMap(({ object: each }) => {
        const live = this.kube.get(`ConfigMap/apps/${each.metadata.name}`);
        return JSON.stringify(live?.["data"]) === JSON.stringify(each["data"]) ? [] : [`${each.metadata.name} is not as rendered`];
      }),
      ...ours.flatMap((each) => {
        if (wanted.some(({ object: one }) => one.metadata.name === each.metadata.name)) return [];
        return prunes ? [`${each.metadata.name} of ${unit} is not wanted`] : [];
      }),
      ...ours.filter((each) => prunes && !listed.has(idOf(each))).map((each) => `[OW12] ${each.metadata.name} is in no list of ${unit}`),
    ];
  }

  /** Whether it may have been suspended when it was deleted: then its objects stay, and nobody knows of them any more. */
  private letsGo(unit: string): boolean {
    const did = (kind: string) => this.script.steps.some((step) => step.do === kind && "unit" in step && step.unit === unit);
    return did("suspend") && did("delete");
  }
}

const idOf = ({ metadata, kind }: KubeObject) => inventoryId({ namespace: metadata.namespace ?? "", name: metadata.name, group: "", kind });

const gitRepository = (): KubeObject => ({
  apiVersion: "source.toolkit.fluxcd.io/v1", kind: "GitRepository", metadata: { name: "shop", namespace: "apps" },
  spec: { url: "https://git.example.com/shop.git", interval: "1m", timeout: "60s", ref: { branch: "main" } },
});

const kustomization = (unit: string): KubeObject => {
  const { name, namespace } = parseActorId(unit);
  return {
    apiVersion: "kustomize.toolkit.fluxcd.io/v1", kind: "Kustomization", metadata: { name, namespace },
    spec: { interval: "5m", retryInterval: "30s", timeout: "40s", path: name, prune: name !== "c", wait: name === "a", sourceRef: { kind: "GitRepository", name: "shop" } },
  };
};
