/** One worker's watches on the simulated API server: what they tell comes late, in order, and all anew when they broke. */
import { inventoryId, objectIdOf, type KubeObject } from "#machines/rules/inventory.ts";
import { fieldManagers, labels } from "#protocol/api/annotations.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import { reduce, type Managed } from "#services/cluster/managed-record.ts";
import type { RawObject } from "#services/worker/facts.ts";
import { kindKey, type KindRef, type Watch, type WatchListener, type WatchPort } from "#services/worker/feed/ports.ts";
import type { Change, SimulatedKube } from "./kube.ts";
import type { Process } from "./time.ts";

export type WatchPorts = {
  process: Process;
  kube: SimulatedKube;
  /** How long an event takes; they keep their order. */
  lateMs(): number;
  isCut(): boolean;
};

/** The Flux kinds that are in use here. */
export const fluxKinds = new Map([["gitrepository", "GitRepository"], ["helmchart", "HelmChart"], ["helmrelease", "HelmRelease"], ["kustomization", "Kustomization"]]);

export const fluxPath = ({ kind, namespace, name }: ActorKey): string => `${fluxKinds.get(kind) ?? kind}/${namespace}/${name}`;

/** Undefined for the path of what is no Flux object. */
export function fluxKey(path: string): ActorKey | undefined {
  const [kind = "", namespace = "", name = ""] = path.split("/");
  return fluxKinds.get(kind.toLowerCase()) === kind ? { kind: kind.toLowerCase(), namespace, name } : undefined;
}

export function stripped({ metadata: { managedFields: _, ...metadata }, ...object }: KubeObject): RawObject {
  return { ...object, metadata } as RawObject;
}

const managedKind = "/ConfigMap";
const reconnectMs = 1_000;
/** As long as a workload takes to come up. */
const healthyMs = 3_000;

export const clusterWatch = (ports: WatchPorts): WatchPort => ({
  prepare: async (guard, signal) => {
    guard();
    await ports.process.sleep(5);
    signal.throwIfAborted();
  },
  start: (listener, signal) => new SimulatedWatch(ports, listener, signal),
});

class SimulatedWatch implements Watch {
  private readonly ports: WatchPorts;
  private readonly listener: WatchListener;
  private readonly signal: AbortSignal;
  private readonly flux = new Set<string>();
  private readonly managed = new Map<string, Managed>();
  private follows = false;
  private broken = true;
  private dueMs = 0;
  private readonly unwatch: () => void;

  constructor(ports: WatchPorts, listener: WatchListener, signal: AbortSignal) {
    this.ports = ports;
    this.listener = listener;
    this.signal = signal;
    this.unwatch = ports.kube.watch((change) => this.changed(change));
    signal.addEventListener("abort", this.unwatch, { once: true });
    this.connect();
  }

  follow(kind: KindRef): void {
    if (kindKey(kind) !== managedKind) return this.later(() => this.listener.kind(kindKey(kind), "absent"));
    if (this.follows) return;
    this.follows = true;
    if (!this.broken) this.listManaged();
  }

  private connect(): void {
    const { kube, process, isCut } = this.ports;
    if (this.signal.aborted || process.state === "dead") return this.unwatch();
    if (isCut()) return void process.clock.at(process.clock.nowMs() + reconnectMs, () => this.connect());
    this.broken = false;
    const now = kube.list().filter(({ path }) => fluxKey(path));
    this.later(() => {
      const there = new Set(now.map(({ path }) => path));
      for (const { path, object } of now) this.see(path, object);
      for (const path of this.flux) if (!there.has(path)) this.see(path, undefined);
      this.listener.fluxSynced();
    });
    if (this.follows) this.listManaged();
  }

  private listManaged(): void {
    const now = this.ports.kube.list().filter(({ object }) => isManaged(object));
    this.later(() => {
      const there = new Set(now.map(({ path }) => path));
      for (const { path, object } of now) this.see(path, object);
      for (const path of this.managed.keys()) if (!there.has(path)) this.see(path, undefined);
      this.listener.kind(managedKind, "synced");
    });
  }

  private changed({ path, after }: Change): void {
    const { process, isCut } = this.ports;
    if (this.signal.aborted || process.state === "dead") return this.unwatch();
    if (this.broken) return;
    if (isCut()) {
      this.broken = true;
      this.listener.lost("everything", "connection refused");
      return void process.clock.at(process.clock.nowMs() + reconnectMs, () => this.connect());
    }
    this.later(() => this.see(path, after));
  }

  private see(path: string, object: KubeObject | undefined): void {
    const key = fluxKey(path);
    if (key) {
      if (object) this.flux.add(path);
      else if (!this.flux.delete(path)) return;
      return this.listener.flux(key, object && stripped(object));
    }
    const known = this.managed.get(path);
    if (!this.follows || (!isManaged(object) && !known)) return;
    if (!object || !isManaged(object)) {
      this.managed.delete(path);
      return this.listener.managed(idOfPath(path), undefined);
    }
    const { clock } = this.ports.process;
    const record = reduce(object, { apiVersion: "v1", kind: "ConfigMap" } as Parameters<typeof reduce>[1], false, clock.nowMs(), known);
    const isOld = clock.nowMs() - changedMs(object) >= healthyMs;
    const isSick = String((object["data"] as { value?: unknown } | undefined)?.value).startsWith("sick");
    const seen: Managed = isOld && !isSick ? record : { ...record, status: "InProgress", message: "it comes up" };
    if (known?.resourceVersion === seen.resourceVersion && known.status === seen.status) return;
    this.managed.set(path, seen);
    this.listener.managed(inventoryId(objectIdOf(object)), seen);
    if (!isOld)
      clock.at(changedMs(object) + healthyMs, () => {
        if (!this.signal.aborted && this.managed.get(path) === seen) this.see(path, object);
      });
  }

  private later(run: () => void): void {
    const { process, lateMs } = this.ports;
    const { time } = process;
    this.dueMs = Math.max(this.dueMs, time.nowMs + lateMs());
    time.in(this.dueMs - time.nowMs, () => process.enter(() => { if (!this.signal.aborted) run(); }));
  }
}

const isManaged = (object: KubeObject | undefined): boolean =>
  object?.kind === "ConfigMap" && (object.metadata.labels?.[labels.ownerName] !== undefined || object.metadata.labels?.[labels.originName] !== undefined);

function idOfPath(path: string): string {
  const [kind = "", namespace = "", name = ""] = path.split("/");
  return inventoryId({ kind, namespace, name, group: "" });
}

/** A fence changes nothing about how it is. */
const changedMs = ({ metadata: { managedFields = [] } }: KubeObject): number =>
  Math.max(0, ...managedFields.filter(({ manager }) => manager !== fieldManagers.fence).map(({ time }) => Date.parse(time ?? "") || 0));
