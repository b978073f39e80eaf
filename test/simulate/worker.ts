/** The real worker in virtual time, between a simulated log, bus, Git server and API server, and what the checks see of it. */
import { AsyncLocalStorage } from "node:async_hooks";
import type { AnyEventObject } from "xstate";
import type { KustomizationContext } from "#machines/kustomization/machine.ts";
import type { ActInput } from "#protocol/messages/release.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import type { KubeClient } from "#services/clients/kubernetes/client.ts";
import type { Bus } from "#services/store/bus.ts";
import type { Cell, Hint } from "#services/store/cell.ts";
import { createHeart } from "#services/store/heart-beat.ts";
import type { Log } from "#services/store/log.ts";
import type { Log as TextLog } from "#services/telemetry/log.ts";
import type { Metrics } from "#services/telemetry/metrics.ts";
import type { Spans } from "#services/telemetry/spans.ts";
import type { EffectCall, Host, HostPorts, Transition } from "#services/worker/host.ts";
import { createHub, type Hub } from "#services/worker/hub.ts";
import type { RequestPort, WatchPort } from "#services/worker/feed/ports.ts";
import type { Ownership } from "#services/worker/ownership.ts";
import type { WorkerOptions } from "#services/worker/worker-options.ts";
import { Decryptor } from "#services/decrypt/decryptor.ts";
import { Worker } from "#services/worker/worker.ts";
import { ClusterRequests, type KubePorts } from "./cluster.ts";
import { clusterWatch, type WatchPorts } from "./cluster-watch.ts";
import type { By, SimulatedKube } from "./kube.ts";
import type { Process } from "./time.ts";

export type SimulatedWorkerOptions = Pick<WorkerOptions, "artifacts" | "renderer" | "helm"> & {
  process: Process;
  /** The key of the shard it is there for. */
  shard?: string;
  log: Log;
  bus: Bus;
  kube: SimulatedKube;
  fate: KubePorts["fate"];
  conditions: KubePorts["conditions"];
  watchMs: WatchPorts["lateMs"];
  interrupted: KubePorts["interrupted"];
  held: KubePorts["held"];
  isCut: WatchPorts["isCut"];
  sources: NonNullable<WorkerOptions["sources"]>;
  say(text: string): void;
  onLost(reason: string): void;
  /** What the checks look at. */
  watch: {
    kept(worker: SimulatedWorker, transition: Transition): void;
    performing(worker: SimulatedWorker, src: string, call: EffectCall): (outcome?: unknown) => void;
    told(key: ActorKey, notice: Notice & { n: number }): void;
    sent(worker: SimulatedWorker, by: By): void;
    delivered(worker: SimulatedWorker, key: ActorKey, event: AnyEventObject, hint?: { kind: string; seq: number }): void;
    fenced(worker: SimulatedWorker, partition: number, token: number | undefined): void;
    quarantined(key: ActorKey, fault: unknown): void;
  };
  /** A mutant's client for releases. */
  client?(client: KubeClient, process: Process): KubeClient;
  /** A mutant's changes, before anything begins. */
  mutate?(parts: Parts): void;
};

/** What a mutant can lay its hands on. `ports` are those that the host asks. */
export type Parts = { worker: Worker; cell: Cell; host: Host; ports: HostPorts; ownership: Ownership; hub: Hub; watch: WatchPort; requests: RequestPort; process: Process };

/** The effect whose code runs. */
const performing = new AsyncLocalStorage<EffectCall>();

const nothingSaid = { capacity: 1, actors: 0, load: 0, draining: false, refuses: [] };

export class SimulatedWorker {
  readonly process: Process;
  readonly shard: string;
  readonly worker: Worker;
  readonly cell: Cell;
  readonly host: Host;
  readonly hub: Hub;
  joined = false;
  draining = false;
  leaving = false;
  private readonly options: SimulatedWorkerOptions;
  /** By the signal of its effect: what leaves is judged by the run in whose name it does. */
  private readonly calls = new WeakMap<AbortSignal, EffectCall>();

  constructor(options: SimulatedWorkerOptions) {
    this.options = options;
    const { process, log, bus, kube, fate, conditions, watch } = options;
    this.process = process;
    this.shard = options.shard ?? "";
    const { name, clock } = process;
    const requests = new ClusterRequests({ process, kube, fate, conditions, by: (unit, signal) => this.by(unit, signal), sent: (by) => watch.sent(this, by), acting: () => this.acting(), watchMs: options.watchMs, interrupted: options.interrupted, held: options.held, mutate: options.client && ((client) => options.client?.(client, process) ?? client) });
    const watches = clusterWatch({ process, kube, lateMs: options.watchMs, isCut: options.isCut });
    let ports: HostPorts | undefined;
    this.worker = new Worker({
      name, clock, ...(options.shard && { shard: options.shard }), cellLog: log, bus, hubId: "one", capacity: 1,
      startHeart: (callbacks) => createHeart(log, { worker: name, clock, about: nothingSaid, ...callbacks }),
      openHub: (wires) => createHub({ ...wires, watch: watches, requests }),
      sources: options.sources, artifacts: options.artifacts, renderer: options.renderer, cel: { compile: async () => undefined, evaluate: async () => ({ value: true }), evaluateAll: async (all) => all.map(() => ({ value: true })) }, helm: options.helm, engine: {} as WorkerOptions["engine"], digestKey: async () => new Uint8Array(32), decryption: { decryptor: new Decryptor() },
      spans: silentSpans, metrics: silentMetrics, log: silentLog(options.say),
      artifactUrl: (path) => `http://artifacts/${path}`,
      onLost: options.onLost,
      wrap: (inner) => (ports = this.watched(inner)),
    });
    this.cell = part<Cell>(this.worker, "cell");
    this.host = part<Host>(this.worker, "host");
    this.hub = part<Hub>(this.worker, "hub");
    const deliver = this.host.deliver.bind(this.host);
    this.host.deliver = (key, event, hint) => {
      watch.delivered(this, key, event, hint);
      deliver(key, event, hint);
    };
    const ownership = part<Ownership>(this.worker, "ownership");
    const tokens = new Map<number, number>();
    const [hold, fenced] = [this.cell.hold.bind(this.cell), ownership.fenced.bind(ownership)];
    this.cell.hold = (partition, own) => {
      tokens.set(partition, own.sequence);
      hold(partition, own);
    };
    ownership.fenced = (partition) => {
      watch.fenced(this, partition, tokens.get(partition));
      fenced(partition);
    };
    options.mutate?.({
      worker: this.worker, cell: this.cell, host: this.host, ports: ports as unknown as HostPorts, ownership,
      hub: this.hub, watch: watches, requests, process,
    });
  }

  async start(): Promise<void> {
    await this.worker.start();
    this.joined = true;
  }

  /** In good order: hands over, lets go, and says goodbye. */
  async stop(): Promise<void> {
    this.leaving = true;
    await this.worker.stop();
  }

  drain(on: boolean): void {
    this.draining = on;
    this.worker.drain(this.process.name, on).catch(() => undefined); // nobody answers: it is tried by hand again
  }

  /** As a webhook would. */
  send(hint: Hint): void {
    this.cell.send(hint).catch(() => undefined);
  }

  acts(key: ActorKey): boolean {
    try {
      this.cell.guard(key);
      return this.process.state === "running";
    } catch {
      return false;
    }
  }

  private acting(): By {
    const { key, run, input } = performing.getStore() ?? {};
    if (!key || !run) throw new TypeError("nobody acts");
    return { worker: this.process.name, unit: actorId(key), epoch: this.cell.epochOf(key), attempt: run.attempt, act: { src: run.src, ...(input !== null && { input: input as Partial<ActInput> }) } };
  }

  private by(unit: ActorKey, signal: AbortSignal): By {
    const { run, context } = this.calls.get(signal) ?? {};
    const { source } = (context ?? {}) as Partial<KustomizationContext>;
    return {
      worker: this.process.name, unit: actorId(unit), epoch: this.cell.epochOf(unit), revision: source?.revision ?? "",
      ...(run && { attempt: run.attempt }), ...(run?.src === "remove" && { purpose: "remove" as const }),
    };
  }

  private watched(inner: HostPorts): HostPorts {
    const { watch } = this.options;
    return {
      ...inner,
      perform: async (src, call) => {
        this.calls.set(call.signal, call);
        const ended = watch.performing(this, src, call);
        let outcome: unknown;
        try {
          return (outcome = await performing.run(call, () => inner.perform(src, call)));
        } finally {
          ended(outcome);
        }
      },
      kept: (transition) => {
        watch.kept(this, transition);
        inner.kept(transition);
      },
      tell: (key, notice) => {
        const told = () => watch.told(key, notice as unknown as Notice & { n: number }); // or failed to be told: then it is dropped
        return inner.tell(key, notice).finally(told);
      },
      quarantined: (key, fault) => {
        watch.quarantined(key, fault);
        inner.quarantined(key, fault);
      },
    };
  }
}

const part = <T>(worker: Worker, name: string): T => Reflect.get(worker, name) as T;

const silentSpans: Spans = {
  startSpan: () => ({ traceparent: noTrace, set() {}, event() {}, fail() {}, end() {} }),
  recordSpan: () => noTrace,
  droppedTotal: () => 0, flush: async () => {}, shutdown: async () => {},
};

const noTrace = `00-${"1".repeat(32)}-${"2".repeat(16)}-01`;

const silentMetrics: Metrics = {
  reconciled() {}, forget() {}, apiRequest() {}, natsCommit() {}, webhook() {}, moved() {}, observe() {},
  render: async () => "", shutdown: async () => {},
};

/** Errors alone are worth a line. */
function silentLog(say: (text: string) => void): TextLog {
  const log: TextLog = {
    trace() {}, info() {}, flush() {},
    debug: (msg, fields) => { if (!msg.startsWith("took") && !msg.startsWith("handed")) say(`${msg} ${JSON.stringify(fields ?? {})}`); },
    error: (msg, thrown) => say(`${msg}: ${thrown instanceof Error ? thrown.message : JSON.stringify(thrown)}`),
    with: () => log, forActor: () => log, forTrace: () => log,
  };
  return log;
}
