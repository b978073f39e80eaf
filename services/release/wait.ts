/** Waits until objects of a release are as they should be: by watches of those objects alone, for as long as the wait lasts. */
import { setTimeout as sleep } from "node:timers/promises";
import { helm, labels } from "#protocol/api/annotations.ts";
import { unknown, type Health } from "#machines/rules/health-reading.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { isForbidden, isNotFound } from "#services/clients/kubernetes/error.ts";
import { watch } from "#services/clients/kubernetes/watch.ts";
import { pathOf, type Resource } from "#services/cluster/discovery.ts";
import type { ClusterHandle } from "#services/cluster/handle.ts";
import { awaitHealth, type HealthListener } from "#services/cluster/health-wait.ts";
import { lastEvents } from "./events.ts";
import type { ManifestObject } from "./manifest.ts";

/** Tells the health of an object from all of it. */
export type Judge = (object: KubeObject) => Health | Promise<Health>;

export type Wait = {
  timeoutMs: number;
  /** By inventory id. */
  judgeOf: (item: ManifestObject) => Judge;
  signal: AbortSignal;
};

/** Where the server lets nobody watch. */
const pollMs = 2_000;

/** @throws Fault HealthCheckFailed naming what is not as it should be, with the last events of the first; the signal's reason */
export async function waitUntilHealthy(cluster: ClusterHandle, items: ManifestObject[], { timeoutMs, judgeOf, signal }: Wait): Promise<void> {
  if (items.length === 0) return;
  const over = new AbortController();
  const sight = new Sight(new Map(items.map((item) => [item.id, judgeOf(item)])));
  try {
    const followed = await Promise.all(groupsOf(items).map(async (group) => ({ group, resource: await cluster.discovery.find(group[0].object.apiVersion, group[0].object.kind) })));
    for (const { group, resource } of followed) void follow(cluster, group, resource, sight, AbortSignal.any([signal, over.signal]));
    const mayBeGone = new Set(items.filter(({ object }) => removesItself(object)).map(({ id }) => id));
    await awaitHealth(items.map(({ id }) => id), (id) => sight.get(id), (listener) => sight.subscribe(listener), after, { timeoutMs, signal, mayBeGone });
  } catch (thrown) {
    throw await withEvents(cluster, items, sight, thrown, signal);
  } finally {
    over.abort();
  }
}

type Group = [ManifestObject, ...ManifestObject[]];

/** Of one kind in one namespace. */
function groupsOf(items: ManifestObject[]): Group[] {
  const groups = new Map<string, Group>();
  for (const item of items) {
    const { apiVersion, kind, metadata: { namespace = "" } } = item.object;
    const group = groups.get(`${apiVersion} ${kind} ${namespace}`);
    if (group) group.push(item);
    else groups.set(`${apiVersion} ${kind} ${namespace}`, [item]);
  }
  return [...groups.values()];
}

async function follow(cluster: ClusterHandle, group: Group, resource: Resource, sight: Sight, signal: AbortSignal): Promise<void> {
  const { client } = cluster;
  const [{ object: { metadata: { namespace = "", name } } }, ...others] = group;
  const idOf = new Map(group.map(({ id, object }) => [object.metadata.name, id]));
  const seen = new Set<string>();
  const own = new AbortController();
  let refused = false;
  const target = {
    path: pathOf(resource, { namespace, name: "" }),
    ...(others.length === 0 ? { fieldSelector: `metadata.name=${name}` } : { labelSelector: `${labels.managedBy}=${helm.manager}` }),
  };
  await watch<KubeObject>(client, target, {
    upsert(object) {
      const id = idOf.get(object.metadata.name);
      if (id === undefined) return;
      seen.add(object.metadata.name);
      sight.show(id, { ...object, apiVersion: resource.apiVersion, kind: resource.kind });
    },
    remove({ name: gone }) {
      seen.delete(gone);
      const id = idOf.get(gone);
      if (id !== undefined) sight.miss(id);
    },
    held: () => [...seen].map((each) => ({ namespace: resource.namespaced ? namespace : "", name: each })),
    synced: () => group.forEach(({ id, object }) => { if (!seen.has(object.metadata.name)) sight.miss(id); }),
    lost({ cause }) {
      refused = isForbidden(cause);
      if (refused) own.abort();
    },
  }, AbortSignal.any([signal, own.signal]));
  if (refused) await Promise.all(group.map((item) => poll(cluster, item, resource, sight, signal)));
}

async function poll({ client }: ClusterHandle, { id, object }: ManifestObject, resource: Resource, sight: Sight, signal: AbortSignal): Promise<void> {
  const { namespace = "", name } = object.metadata;
  while (!signal.aborted) {
    try {
      sight.show(id, (await client.request<KubeObject>({ method: "GET", path: pathOf(resource, { namespace, name }), signal })).body);
    } catch (thrown) {
      if (isNotFound(thrown)) sight.miss(id);
      else sight.fail(id, thrown);
    }
    await sleep(pollMs, undefined, { signal }).catch(() => undefined);
  }
}

/** How the awaited objects were seen last. */
class Sight {
  private readonly judges: ReadonlyMap<string, Judge>;
  private readonly healths = new Map<string, Health>();
  /** Counts sightings: the answer to an older one that comes late says nothing any more. */
  private readonly turns = new Map<string, number>();
  private listener: HealthListener | undefined;

  constructor(judges: ReadonlyMap<string, Judge>) {
    this.judges = judges;
  }

  get(id: string): Health | undefined {
    return this.healths.get(id);
  }

  subscribe(listener: HealthListener): () => void {
    this.listener = listener;
    return () => (this.listener = undefined);
  }

  show(id: string, object: KubeObject): void {
    const turn = this.begin(id);
    const judged = this.judges.get(id)?.(object);
    if (judged instanceof Promise) judged.then((health) => this.set(id, health, turn), (thrown: unknown) => this.set(id, unknown(messageOf(thrown)), turn));
    else if (judged) this.set(id, judged, turn);
  }

  miss(id: string): void {
    this.set(id, { status: "NotFound", message: "Resource not found" }, this.begin(id));
  }

  fail(id: string, thrown: unknown): void {
    this.set(id, unknown(messageOf(thrown)), this.begin(id));
  }

  private begin(id: string): number {
    const turn = (this.turns.get(id) ?? 0) + 1;
    this.turns.set(id, turn);
    return turn;
  }

  private set(id: string, health: Health, turn: number): void {
    if (turn !== this.turns.get(id)) return;
    this.healths.set(id, health);
    this.listener?.change({ id });
  }
}

async function withEvents(cluster: ClusterHandle, items: ManifestObject[], sight: Sight, thrown: unknown, signal: AbortSignal): Promise<unknown> {
  if (!(thrown instanceof Fault) || thrown.code !== "HealthCheckFailed" || signal.aborted) return thrown;
  const bad = items.filter(({ id }) => sight.get(id)?.status !== "Current");
  const culprit = bad.find(({ id }) => sight.get(id)?.status === "Failed") ?? bad[0];
  const events = culprit ? await lastEvents(cluster, culprit.object, signal) : [];
  return events.length === 0 ? thrown : new Fault(thrown.code, thrown.subject, { detail: `${thrown.detail ?? ""}; last events: ${events.join("; ")}`, cause: thrown });
}

const removesItself = ({ kind, spec }: KubeObject): boolean => kind === "Job" && (spec as { ttlSecondsAfterFinished?: unknown } | undefined)?.ttlSecondsAfterFinished !== undefined;

function after(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, Math.min(ms, 2 ** 31 - 1));
  return () => clearTimeout(timer);
}

const messageOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));
