/** One worker's requests to the simulated API server: they take their time, fail, and arrive when nobody waits any more. */
import type { Health } from "#machines/rules/health-reading.ts";
import { planApply, type Wanted } from "#machines/rules/apply-plan.ts";
import { appliedAtS, ownershipOf } from "#machines/rules/drift.ts";
import { inventoryId, objectIdOf, parseInventoryId, versionOf, type KubeObject } from "#machines/rules/inventory.ts";
import { ownerLabels, pruneVerdict } from "#machines/rules/prune.ts";
import { annotations, fieldManagers } from "#protocol/api/annotations.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ApplyOutcome, Change as Told, CompareOutcome, InventoryEntry, PruneOutcome } from "#protocol/messages/kustomization.ts";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import type { ObjectRef } from "#protocol/names/awaited.ts";
import type { Known } from "#services/cluster/apply-object.ts";
import type { AppliedTable } from "#services/cluster/apply.ts";
import type { ApplyCall, PruneCall } from "#services/worker/cluster-port.ts";
import type { RawObject } from "#services/worker/facts.ts";
import type { Precondition, RequestPort, WriteGuard } from "#services/worker/feed/ports.ts";
import { fluxPath, stripped } from "./cluster-watch.ts";
import type { ClusterHandle } from "#services/cluster/handle.ts";
import { simulatedHandle, type ClientPorts } from "./kube-client.ts";
import { Refusal, type By, type SimulatedKube } from "./kube.ts";
import type { Process } from "./time.ts";

/** What becomes of a request to the API server. */
export type KubeFate = { arriveMs: number; answerMs: number | undefined; failure?: string };

/** What a mutant leaves out. */
export type Conditions = { uid: boolean; resourceVersion: boolean; createOnly: boolean; guard: boolean; touch: boolean };

export type KubePorts = {
  process: Process;
  kube: SimulatedKube;
  fate(): KubeFate;
  /** Seen by the checks when a write leaves. */
  sent(by: By): void;
  /** Under which epoch the unit is owned, which run asks, and what it works on. */
  by(unit: ActorKey, signal: AbortSignal): By;
  /** The same of whatever code is running. */
  acting(): By;
  watchMs(): number;
  interrupted: ClientPorts["interrupted"];
  held: ClientPorts["held"];
  mutate?: ClientPorts["mutate"];
  conditions: Conditions;
};

const answerTimeoutMs = 10_000;
const mostReplans = 3;
// No object has it: whoever sends it wants to create, and is refused when the object is there (ownership.md 7.8).
const createOnly = "1";
const configMaps = { apiVersion: "v1", group: "", version: "v1", kind: "ConfigMap", plural: "configmaps", namespaced: true, verbs: ["watch"] };

type Item = Wanted & { payload: KubeObject };
type Writing = { unit: ActorKey; guard: () => void; signal: AbortSignal };

export class ClusterRequests implements RequestPort {
  private readonly ports: KubePorts;

  constructor(ports: KubePorts) {
    this.ports = ports;
  }

  async get(key: ActorKey): Promise<RawObject | undefined> {
    const object = await this.read(() => this.ports.kube.get(fluxPath(key)));
    return object && stripped(object);
  }

  patchStatus(key: ActorKey, status: Record<string, unknown>, condition: Precondition, guard: WriteGuard): Promise<RawObject> {
    return this.patch(key, condition, guard, (object) => ({ ...object, status: merged(object["status"], status) }));
  }

  patchMetadata(key: ActorKey, metadata: { finalizers: string[] }, condition: Precondition, guard: WriteGuard): Promise<RawObject> {
    return this.patch(key, condition, guard, (object) => ({ ...object, metadata: { ...object.metadata, ...metadata } }));
  }

  event(): Promise<void> {
    return this.read(() => undefined);
  }

  data(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  secret(_namespace: string, name: string): Promise<Record<string, Uint8Array>> {
    return Promise.reject(new Fault("SecretMissing", name));
  }

  list(): Promise<RawObject[]> {
    return Promise.resolve([]);
  }

  applyOwned(): Promise<RawObject> {
    return Promise.reject(new Fault("Unexpected", "simulated"));
  }

  removeOwned(): Promise<void> {
    return Promise.resolve();
  }

  pullSecretNames(_namespace: string, account: string): Promise<string[]> {
    return Promise.reject(new Fault("AccountMissing", account));
  }

  async idsOf(objects: ApplyCall["objects"]) {
    return objects.map(({ object }) => ({ id: idOf(object), v: versionOf(object.apiVersion) }));
  }

  healthOf(): Promise<Health> {
    return Promise.resolve({ status: "Unknown", message: "" });
  }

  handleOf(): ClusterHandle {
    const { process, kube, conditions, sent, acting, watchMs, interrupted, held, mutate } = this.ports;
    return simulatedHandle({ process, kube, conditions, sent, by: acting, watchMs, interrupted, held, mutate, request: (run) => this.request(run) });
  }

  hasAccount(): Promise<boolean> {
    return Promise.resolve(true);
  }

  async readObject({ kind, namespace, name }: ObjectRef): Promise<{ resource: string; object?: KubeObject }> {
    const object = await this.read(() => this.ports.kube.get(`${kind}/${namespace}/${name}`));
    return { resource: `${kind.toLowerCase()}s`, ...(object && { object }) };
  }

  /** What changes while nobody can be reached is found afterwards. */
  followObject({ kind, namespace, name }: ObjectRef, changed: () => void, signal: AbortSignal): void {
    const { kube, process } = this.ports;
    const path = `${kind}/${namespace}/${name}`;
    let told: string | undefined = "nothing yet";
    const look = (): void => {
      if (signal.aborted || process.state === "dead") return;
      this.read(() => kube.get(path)?.metadata.resourceVersion).then((version) => {
        if (signal.aborted || version === told) return;
        told = version;
        changed();
      }, () => void process.clock.at(process.clock.nowMs() + 1_000, look));
    };
    const unwatch = kube.watch((change) => { if (change.path === path) look(); });
    signal.addEventListener("abort", unwatch, { once: true });
    look();
  }

  /** No admission policy is in use. */
  async raiseEpoch(): Promise<void> {}

  async apply(call: ApplyCall, { guard, table }: WriteGuard & { table: AppliedTable }): Promise<ApplyOutcome> {
    const { key, objects, owner, inventory, scope, drifted, signal } = call;
    const writing = { unit: key, guard, signal };
    const items = objects.map(({ object, digest }): Item => {
      const { resourceVersion: _, ...metadata } = object.metadata;
      const payload = { ...object, metadata: { ...metadata, labels: ownerLabels(owner) } } as KubeObject;
      return { id: idOf(payload), v: versionOf(payload.apiVersion), digest, metadata: payload.metadata, payload };
    });
    const touch = this.ports.conditions.touch ? call.touch : undefined;
    const plan = planApply(items, inventory, touch ? "all" : scope, new Set(drifted.keys()));
    const entries: InventoryEntry[] = [];
    const changes: Told[] = [];
    const unsure: string[] = [];
    table.follow(configMaps as unknown as Parameters<AppliedTable["follow"]>[0]);
    try {
      for (const { payload } of plan.touch) await this.dryRun(payload, signal);
      for (const item of plan.touch) {
        table.begin(item.id);
        unsure.push(item.id);
        let left: Known | undefined;
        try {
          const { live, code, changed } = await this.put(writing, item, touch?.epoch);
          const { uid = "", resourceVersion = "", managedFields } = live.metadata;
          left = { uid, resourceVersion, owned: ownershipOf(live.metadata), appliedAtS: appliedAtS(managedFields) };
          unsure.pop();
          entries.push({ id: item.id, v: item.v, uid, digest: item.digest, owned: left.owned });
          changes.push({ id: item.id, action: code === 201 ? "created" : changed ? "configured" : "unchanged" });
        } finally {
          table.end(item.id, left);
        }
      }
      return { entries: [...entries, ...plan.keep], changes };
    } catch (thrown) {
      return { entries, changes, unsure, fault: asFault(thrown, actorId(key)).toJSON() };
    }
  }

  /** No unit of the simulation asks for it. */
  compare(): Promise<CompareOutcome> {
    return Promise.resolve({ differences: [] });
  }

  async prune({ key, entries, keep, owner, signal }: PruneCall, { guard }: WriteGuard): Promise<PruneOutcome> {
    const outcome = { deleted: [] as string[], left: [] as InventoryEntry[] };
    let fault: Fault | undefined;
    for (const entry of entries)
      try {
        if (!keep?.has(entry.id) && (await this.remove({ unit: key, guard, signal }, entry.id, owner))) outcome.deleted.push(entry.id);
      } catch (thrown) {
        outcome.left.push(entry);
        fault ??= thrown instanceof Fault && thrown.code === "LeaseLost" ? thrown : new Fault("PruneFailed", entry.id, { cause: thrown });
      }
    return { ...outcome, ...(fault && { fault: fault.toJSON() }) };
  }

  private async patch(key: ActorKey, condition: Precondition, { guard }: WriteGuard, change: Parameters<SimulatedKube["update"]>[1]): Promise<RawObject> {
    const { kube, process } = this.ports;
    const by: By = { worker: process.name, unit: actorId(key) };
    try {
      return stripped(await this.write(by, guard, () => kube.update(fluxPath(key), change, "flotilla", by, condition)));
    } catch (thrown) {
      if (!(thrown instanceof Refusal)) throw thrown;
      throw new Fault(thrown.code === 404 ? "ObjectGone" : "ApplyConflict", fluxPath(key), { detail: thrown.message });
    }
  }

  private async dryRun(payload: KubeObject, signal: AbortSignal) {
    signal.throwIfAborted();
    return this.read(() => this.ports.kube.apply({ object: payload, manager: fieldManagers.kustomization, dryRun: true }, { worker: "dry-run" }));
  }

  /** As apply-object.ts: what is as wanted is written with a dry-run's version all the same, or touched under the epoch. */
  private async put(writing: Writing, item: Item, epoch: string | undefined): Promise<{ live: KubeObject; code: number; changed: boolean }> {
    const { conditions, kube } = this.ports;
    const { unit, guard, signal } = writing;
    for (let tries = 1; ; tries++) {
      const { code, object: looked, changed } = await this.dryRun(item.payload, signal);
      signal.throwIfAborted();
      const create = code === 201;
      const fence = epoch !== undefined && !create && !changed;
      const condition = create
        ? { ...(conditions.createOnly && { resourceVersion: createOnly }) }
        : {
            ...(conditions.uid && { uid: looked.metadata.uid }),
            ...(conditions.resourceVersion && { resourceVersion: looked.metadata.resourceVersion }),
          };
      if (fence && looked.metadata.annotations?.[annotations.fence] === epoch) return { live: looked, code, changed };
      const { name, namespace } = item.payload.metadata;
      const { apiVersion, kind } = item.payload;
      const object = fence
        ? { apiVersion, kind, metadata: { name, namespace, ...condition, annotations: { [annotations.fence]: epoch } } }
        : { ...item.payload, metadata: { ...item.payload.metadata, ...condition } };
      const by: By = { ...this.ports.by(unit, signal), purpose: create ? "create" : "update" };
      const manager = fence ? fieldManagers.fence : fieldManagers.kustomization;
      try {
        const done = await this.write(by, guard, () => kube.apply({ object: object as KubeObject, manager }, by));
        return { live: done.object, code: done.code, changed };
      } catch (thrown) {
        if (!(thrown instanceof Refusal) || thrown.code !== 409 || tries === mostReplans) throw thrown;
      }
    }
  }

  /** Whether it is gone, and not let be. */
  private async remove({ unit, guard, signal }: Writing, id: string, owner: { name: string; namespace: string }): Promise<boolean> {
    const { kube, conditions } = this.ports;
    const path = pathOfId(id);
    for (let tries = 1; ; tries++) {
      signal.throwIfAborted();
      const live = await this.read(() => kube.get(path));
      signal.throwIfAborted();
      if (!live || live.metadata.deletionTimestamp) return true;
      if (pruneVerdict(live.metadata, owner) === "keep") return false;
      const { uid = "", resourceVersion = "" } = live.metadata;
      const by: By = { purpose: "prune", ...this.ports.by(unit, signal) };
      try {
        await this.write(by, guard, () => kube.delete(path, by, { ...(conditions.uid && { uid }), ...(conditions.resourceVersion && { resourceVersion }) }));
        return true;
      } catch (thrown) {
        if (thrown instanceof Refusal && thrown.code === 404) return true;
        if (!(thrown instanceof Refusal) || thrown.code !== 409 || tries === mostReplans) throw thrown;
      }
    }
  }

  private read<T>(run: () => T): Promise<T> {
    return this.request(run);
  }

  /** @throws Fault LeaseLost, ClusterUnreachable; Refusal */
  private write<T>(by: By, guard: () => void, run: () => T): Promise<T> {
    if (this.ports.conditions.guard) guard(); // in the tick in which it leaves
    this.ports.sent(by);
    return this.request(run);
  }

  /** The server acts when the request arrives, whether or not anybody waits for the answer. */
  private request<T>(run: () => T): Promise<T> {
    const { process } = this.ports;
    const { arriveMs, answerMs, failure } = this.ports.fate();
    return new Promise((resolve, reject) => {
      const late = process.clock.at(process.clock.nowMs() + answerTimeoutMs, () => reject(new Fault("ClusterUnreachable", "api", { detail: "no answer" })));
      const answer = (settle: () => void) => {
        if (answerMs !== undefined) process.time.in(answerMs, () => process.enter(() => { late(); settle(); }));
      };
      process.time.in(arriveMs, () => {
        if (failure) return answer(() => reject(new Fault("ClusterUnreachable", "api", { detail: failure })));
        try {
          const value = run();
          answer(() => resolve(value));
        } catch (thrown) {
          answer(() => reject(thrown));
        }
      });
    });
  }
}

const idOf = (object: KubeObject): string => inventoryId(objectIdOf(object));

export function pathOfId(id: string): string {
  const { kind, namespace, name } = parseInventoryId(id);
  return `${kind}/${namespace}/${name}`;
}

/** A merge patch: null takes a field away. */
function merged(before: unknown, patch: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries({ ...(before as object | undefined), ...patch }).filter(([, value]) => value !== null));
}

function asFault(thrown: unknown, subject: string): Fault {
  if (thrown instanceof Refusal) return new Fault(thrown.code === 409 ? "ApplyConflict" : "ApplyFailed", subject, { detail: thrown.message });
  return Fault.from(thrown, subject);
}
