/** One worker's way to the simulated API server: requests that take their time, a watch that comes late, and its caches. */
import { planApply, type Wanted } from "#machines/rules/apply-plan.ts";
import { isDrifted, ownershipOf } from "#machines/rules/drift.ts";
import { inventoryId, objectIdOf, versionOf, parseInventoryId, type KubeObject } from "#machines/rules/inventory.ts";
import { ownerLabels, pruneVerdict } from "#machines/rules/prune.ts";
import { fieldManagers, labels } from "#protocol/api/annotations.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { Change as Told, InventoryEntry } from "#protocol/messages/kustomization.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import { actorId } from "#protocol/names/actor.ts";
import type { ApplyCall, ClusterPort } from "#services/worker/cluster-port.ts";
import { Refusal, pathOf, type By, type SimulatedKube } from "./kube.ts";
import type { Process } from "./time.ts";

/** What becomes of a request to the API server. */
export type KubeFate = { arriveMs: number; answerMs: number | undefined; failure?: string };

export type KubePorts = {
  process: Process;
  kube: SimulatedKube;
  guard(): void;
  /** @param mayBeLate the request may still be on its way when its sender is dead */
  fate(mayBeLate: boolean): KubeFate;
  /** Seen by the checks when a write leaves. */
  sent(by: By): void;
  /** Under which epoch the unit is owned, which run asks, and what it works on. */
  by(unit: ActorKey): By;
  /** Conditions that a mutant leaves out. */
  conditions: { uid: boolean; resourceVersion: boolean; createOnly: boolean; guard: boolean };
};

const answerTimeoutMs = 10_000;
const mostReplans = 3;
// No object has it: whoever sends it wants to create, and is refused when the object is there (ownership.md 7.8).
const createOnly = "1";

export class ClusterClient implements ClusterPort {
  readonly seen = new Map<string, KubeObject>();
  synced = false;
  private readonly ports: KubePorts;
  private deliverAtMs = 0;
  private readonly listeners = new Set<(object: KubeObject, path: string, gone: boolean) => void>();

  constructor(ports: KubePorts) {
    this.ports = ports;
  }

  /** Lists everything, then follows every change. @param copyMs how long an event takes; they keep their order */
  async connect(copyMs: () => number): Promise<void> {
    const { process, kube } = this.ports;
    const { time } = process;
    kube.watch(({ path, before, after }) => {
      this.deliverAtMs = Math.max(this.deliverAtMs, time.nowMs + copyMs());
      const object = after ?? before;
      if (object) time.in(this.deliverAtMs - time.nowMs, () => process.enter(() => this.see(path, object, after === undefined)));
    });
    const found = await this.request(false, () => kube.list());
    for (const { path, object } of found) this.see(path, object, false);
    this.synced = true;
  }

  onSeen(listener: (object: KubeObject, path: string, gone: boolean) => void): void {
    this.listeners.add(listener);
  }

  /** @throws Fault LeaseLost, ClusterUnreachable; Refusal */
  write<T>(by: By, run: () => T, mayBeLate = true): Promise<T> {
    if (this.ports.conditions.guard) this.ports.guard(); // in the tick in which it leaves
    this.ports.sent(by);
    return this.request(mayBeLate, run);
  }

  read<T>(run: () => T): Promise<T> {
    return this.request(false, run);
  }

  /** What a write of ours returned is newer than what the watch has told so far. */
  take(object: KubeObject): void {
    this.see(pathOf(object), object, false);
  }

  async apply({ key, objects, owner, inventory, scope, drifted, signal }: ApplyCall) {
    const items = objects.map(({ object, digest }): Item => {
      const { resourceVersion: _, ...metadata } = object.metadata;
      const payload = { ...object, metadata: { ...metadata, labels: ownerLabels(owner) } } as KubeObject;
      return { id: idOf(payload), v: versionOf(payload.apiVersion), digest, metadata: payload.metadata, payload };
    });
    const plan = planApply(items, inventory, scope, new Set(drifted.keys()));
    const entries: InventoryEntry[] = [];
    const changes: Told[] = [];
    try {
      for (const { payload } of plan.touch) await this.dryRun(payload, signal);
      for (const item of plan.touch) {
        const { live, code } = await this.put(key, item, signal);
        entries.push({ id: item.id, v: item.v, uid: live.metadata.uid ?? "", digest: item.digest, owned: ownershipOf(live.metadata) });
        changes.push({ id: item.id, action: code === 201 ? "created" : "configured" });
      }
      return { entries: [...entries, ...plan.keep], changes };
    } catch (thrown) {
      return { entries, changes, fault: asFault(thrown, actorId(key)).toJSON() };
    }
  }

  async prune({ key, entries, owner, signal }: Parameters<ClusterPort["prune"]>[0]) {
    const outcome = { deleted: [] as string[], left: [] as InventoryEntry[] };
    let fault: Fault | undefined;
    for (const entry of entries)
      try {
        await this.remove(key, entry.id, owner, signal);
        outcome.deleted.push(entry.id);
      } catch (thrown) {
        outcome.left.push(entry);
        fault ??= thrown instanceof Fault && thrown.code === "LeaseLost" ? thrown : new Fault("PruneFailed", entry.id, { cause: thrown });
      }
    return { ...outcome, ...(fault && { fault: fault.toJSON() }) };
  }

  drifted(entries: InventoryEntry[]) {
    if (!this.synced) return [];
    return entries.flatMap((entry) => {
      const live = this.seen.get(pathOfId(entry.id));
      const ours = live?.metadata.labels?.[labels.ownerName] === undefined ? undefined : live;
      const seen = ours && { uid: ours.metadata.uid ?? "", owned: ownershipOf(ours.metadata) };
      return isDrifted(entry, seen) ? [{ id: entry.id, by: "somebody" }] : [];
    });
  }

  /** Everything is watched from the start. */
  follow(): void {}

  async waitHealthy(ids: string[], { signal, timeoutMs }: { signal: AbortSignal; timeoutMs: number }): Promise<void> {
    const { process } = this.ports;
    const endMs = process.clock.monoMs() + timeoutMs;
    for (;;) {
      await process.sleep(500);
      signal.throwIfAborted();
      const sick = ids.filter((id) => !isHealthy(this.seen.get(pathOfId(id)), process.clock.nowMs()));
      if (sick.length === 0) return;
      if (process.clock.monoMs() >= endMs) throw new Fault("HealthCheckFailed", sick[0] ?? "");
    }
  }

  private see(path: string, object: KubeObject, gone: boolean): void {
    const before = this.seen.get(path);
    const older = before && Number(object.metadata.resourceVersion) < Number(before.metadata.resourceVersion);
    const same = before && !gone && object.metadata.resourceVersion === before.metadata.resourceVersion;
    if (older || same) return;
    if (gone) this.seen.delete(path);
    else this.seen.set(path, object);
    for (const listener of this.listeners) listener(object, path, gone);
  }

  private async dryRun(payload: KubeObject, signal: AbortSignal) {
    signal.throwIfAborted();
    return this.read(() => this.ports.kube.apply({ object: payload, manager: fieldManagers.kustomization, dryRun: true }, { worker: "dry-run" }));
  }

  private async put(unit: ActorKey, item: Item, signal: AbortSignal): Promise<{ live: KubeObject; code: number }> {
    const { conditions, kube } = this.ports;
    for (let tries = 1; ; tries++) {
      const { code, object: looked } = await this.dryRun(item.payload, signal);
      signal.throwIfAborted();
      const create = code === 201;
      const condition = create
        ? { ...(conditions.createOnly && { resourceVersion: createOnly }) }
        : {
            ...(conditions.uid && { uid: looked.metadata.uid }),
            ...(conditions.resourceVersion && { resourceVersion: looked.metadata.resourceVersion }),
          };
      const object = { ...item.payload, metadata: { ...item.payload.metadata, ...condition } } as KubeObject;
      const by: By = { ...this.ports.by(unit), purpose: create ? "create" : "update" };
      try {
        const done = await this.write(by, () => kube.apply({ object, manager: fieldManagers.kustomization }, by), !create);
        this.take(done.object);
        return { live: done.object, code: done.code };
      } catch (thrown) {
        if (!(thrown instanceof Refusal) || thrown.code !== 409 || tries === mostReplans) throw thrown;
      }
    }
  }

  private async remove(unit: ActorKey, id: string, owner: { name: string; namespace: string }, signal: AbortSignal): Promise<void> {
    const { kube } = this.ports;
    const path = pathOfId(id);
    for (let tries = 1; ; tries++) {
      signal.throwIfAborted();
      const live = await this.read(() => kube.get(path));
      signal.throwIfAborted();
      if (!live || live.metadata.deletionTimestamp || pruneVerdict(live.metadata, owner) === "keep") return;
      const { uid = "", resourceVersion = "" } = live.metadata;
      const by: By = { purpose: "prune", ...this.ports.by(unit) };
      try {
        return await this.write(by, () => kube.delete(path, by, { uid, resourceVersion }));
      } catch (thrown) {
        if (thrown instanceof Refusal && thrown.code === 404) return;
        if (!(thrown instanceof Refusal) || thrown.code !== 409 || tries === mostReplans) throw thrown;
      }
    }
  }

  /** The server acts when the request arrives, whether or not anybody waits for the answer. */
  private request<T>(mayBeLate: boolean, run: () => T): Promise<T> {
    const { process } = this.ports;
    const { arriveMs, answerMs, failure } = this.ports.fate(mayBeLate);
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

type Item = Wanted & { payload: KubeObject };

const idOf = (object: KubeObject): string => inventoryId(objectIdOf(object));

export function pathOfId(id: string): string {
  const { kind, namespace, name } = parseInventoryId(id);
  return `${kind}/${namespace}/${name}`;
}


/** A few seconds old, as a workload takes to come up, and not of the kind that never does. */
function isHealthy(object: KubeObject | undefined, nowMs: number): boolean {
  const data = object?.["data"] as { value?: string } | undefined;
  const sinceMs = Date.parse(object?.metadata.managedFields?.[0]?.time ?? "");
  return data !== undefined && !data.value?.startsWith("sick") && nowMs - sinceMs > 3_000;
}

function asFault(thrown: unknown, subject: string): Fault {
  if (thrown instanceof Refusal) return new Fault(thrown.code === 409 ? "ApplyConflict" : "ApplyFailed", subject, { detail: thrown.message });
  return Fault.from(thrown, subject);
}
