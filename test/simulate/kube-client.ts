/**
 * The simulated API server behind the client that releases are made with: its paths, selectors, preconditions and watches,
 * as far as storage, apply, prune and waits use them. A request takes its time, fails, or arrives when nobody waits any more.
 */
import { labels } from "#protocol/api/annotations.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { KubeAnswer, KubeClient, KubeRequest } from "#services/clients/kubernetes/client.ts";
import { KubeError } from "#services/clients/kubernetes/error.ts";
import type { Discovery, Resource } from "#services/cluster/discovery.ts";
import type { ClusterHandle } from "#services/cluster/handle.ts";
import { Refusal, type By, type Change, type SimulatedKube } from "./kube.ts";
import type { Process } from "./time.ts";

export type ClientPorts = {
  process: Process;
  kube: SimulatedKube;
  /** Carries a request there and its answer back. @throws Fault ClusterUnreachable */
  request<T>(run: () => T): Promise<T>;
  /** A write is about to leave. */
  sent(by: By): void;
  /** In whose name, and in which run, the code acts that is running now. */
  by(): By;
  watchMs(): number;
  /** What happens to the sender of a write in the tick in which it leaves; undefined: nothing. */
  interrupted(by: By): Interrupted | undefined;
  /** Before its sender asks for the lease: over when that goes on. */
  held(by: By): Promise<void> | undefined;
  /** What a mutant does wrongly, and what it leaves out. */
  mutate?: ((client: KubeClient) => KubeClient) | undefined;
  conditions: { uid: boolean; resourceVersion: boolean; createOnly: boolean; guard: boolean };
};

/** The sender is dead, and the write arrives so much later; or the sender is stopped, and sends it when it goes on. */
export type Interrupted = { dead: true; arriveMs: number } | { stopped: true };

const known: Resource[] = [
  { apiVersion: "v1", group: "", kind: "Secret", prefix: "/api/v1", plural: "secrets", namespaced: true, verbs: ["watch"] },
  { apiVersion: "v1", group: "", kind: "ConfigMap", prefix: "/api/v1", plural: "configmaps", namespaced: true, verbs: ["watch"] },
  { apiVersion: "batch/v1", group: "batch", kind: "Job", prefix: "/apis/batch/v1", plural: "jobs", namespaced: true, verbs: ["watch"] },
];

const mostAttempts = 3;

export const simulatedHandle = (ports: ClientPorts): ClusterHandle => ({ client: ports.mutate?.(simulatedClient(ports)) ?? simulatedClient(ports), discovery });

const discovery: Discovery = {
  known: async (apiVersion, kind) => known.find((each) => each.apiVersion === apiVersion && each.kind === kind),
  async find(apiVersion, kind) {
    const found = await this.known(apiVersion, kind);
    if (!found) throw new Fault("KindUnknown", kind);
    return found;
  },
  async preferred(group, kind) {
    const found = known.find((each) => each.group === group && each.kind === kind);
    if (!found) throw new Fault("KindUnknown", kind);
    return found;
  },
  served: async () => ({ kubeVersion: "v1.37.2", resources: known }),
  forget() {},
};

function simulatedClient(ports: ClientPorts): KubeClient {
  const { process, kube } = ports;

  async function request<T>(asked: KubeRequest): Promise<KubeAnswer<T>> {
    const by = ports.by();
    for (let attempt = 1; ; attempt++) {
      const held = asked.guard && ports.held(by);
      if (held) await held;
      asked.signal?.throwIfAborted();
      if (asked.guard) {
        if (ports.conditions.guard) asked.guard(); // in the tick in which it leaves
        ports.sent(by);
        const interrupted = ports.interrupted(by);
        if (interrupted && "dead" in interrupted) {
          process.time.in(interrupted.arriveMs, () => { try { serve(asked, by); } catch { /* nobody hears of it */ } });
          return new Promise(() => {});
        }
        if (interrupted) await process.sleep(0);
      }
      try {
        const { code, body } = await ports.request(() => serve(asked, by));
        return { code, body: structuredClone(body) as T, serverMs: process.clock.nowMs() };
      } catch (thrown) {
        if (thrown instanceof Refusal) throw new KubeError(thrown.code, { message: thrown.message, reason: thrown.code === 404 ? "NotFound" : "Conflict" });
        if ((asked.method !== "GET" && !asked.repeatable) || attempt === mostAttempts) throw thrown;
        await process.sleep(100 * attempt);
      }
    }
  }

  function serve({ method, path, query = {}, body, contentType }: KubeRequest, by: By): { code: number; body: unknown } {
    if (path === "/version") return { code: 200, body: { gitVersion: "v1.37.2" } };
    const { resource, namespace, name } = placeOf(path);
    const at = `${resource.kind}/${namespace}/${name}`;
    const { uid, resourceVersion } = conditionsOf(method === "DELETE" ? (body as { preconditions?: object }).preconditions : (body as KubeObject | undefined)?.metadata);
    const condition = { ...(ports.conditions.uid && uid && { uid }), ...(ports.conditions.resourceVersion && resourceVersion && { resourceVersion }) };
    switch (method) {
      case "GET": {
        if (name === "") return { code: 200, body: { metadata: {}, items: kube.list().filter(({ path: each, object }) => each.startsWith(at) && selects(query, object)).map(({ object }) => object) } };
        const live = kube.get(at);
        if (!live) throw new Refusal(404, `${at} not found`);
        return { code: 200, body: live };
      }
      case "POST":
        return { code: 201, body: kube.create(body as KubeObject, String(query["fieldManager"]), { ...by, purpose: "create" }) };
      case "PUT":
        return { code: 200, body: kube.update(at, (live) => replaced(live, body as KubeObject), String(query["fieldManager"]), { ...by, purpose: "update" }, condition) };
      case "PATCH": {
        if (contentType !== "application/apply-patch+yaml") throw new TypeError(`nobody simulates ${String(contentType)}`);
        const creates = resourceVersion === "1";
        const object = conditional(body as KubeObject, creates && ports.conditions.createOnly ? { resourceVersion } : creates ? {} : condition);
        const { code, object: live } = kube.apply({ object, manager: String(query["fieldManager"]), dryRun: query["dryRun"] === "All" }, { ...by, purpose: creates ? "create" : "update" });
        return { code, body: live };
      }
      case "DELETE":
        kube.delete(at, { ...by, purpose: "prune" }, condition);
        return { code: 200, body: {} };
    }
  }

  const client: KubeClient = {
    request,
    async stream({ path, query = {}, signal }) {
      const { resource, namespace } = placeOf(path);
      const isWanted = (each: string, object: KubeObject | undefined) => each.startsWith(`${resource.kind}/${namespace}/`) && (!object || selects(query, object));
      const [queue, waiting] = [[] as string[], { wake: () => {} }];
      const say = (type: string, object: object) => void process.time.in(ports.watchMs(), () => process.enter(() => { queue.push(`${JSON.stringify({ type, object })}\n`); waiting.wake(); }));
      const unwatch = kube.watch(({ verb, path: each, before, after }: Change) => {
        if (process.state === "dead") return unwatch();
        if (isWanted(each, after ?? before)) say(verb === "delete" ? "DELETED" : verb === "create" ? "ADDED" : "MODIFIED", after ?? (before as KubeObject));
      });
      const now = await ports.request(() => kube.list().filter(({ path: each, object }) => isWanted(each, object)));
      for (const { object } of now) say("ADDED", object);
      say("BOOKMARK", { metadata: { name: "", annotations: { "k8s.io/initial-events-end": "true" } } });
      const isOver = () => signal?.aborted === true;
      signal?.addEventListener("abort", () => { unwatch(); waiting.wake(); }, { once: true });
      return (async function* () {
        while (!isOver()) {
          const next = queue.shift();
          if (next !== undefined) yield Buffer.from(next);
          else await new Promise<void>((resolve) => { waiting.wake = resolve; });
        }
      })();
    },
    as: () => client,
    close: async () => {},
  };
  return client;
}

function placeOf(path: string): { resource: Resource; namespace: string; name: string } {
  for (const resource of known) {
    const [, namespace, name] = new RegExp(`^${resource.prefix}/namespaces/([^/]+)/${resource.plural}(?:/([^/]+))?$`).exec(path) ?? [];
    if (namespace !== undefined) return { resource, namespace, name: name ?? "" };
  }
  throw new Refusal(404, `${path} is not served`);
}

/** By equality of labels, and by name: all that is asked for. */
function selects({ labelSelector, fieldSelector }: NonNullable<KubeRequest["query"]>, { metadata, ...object }: KubeObject): boolean {
  const pairs = (selector: unknown) => String(selector ?? "").split(",").filter(Boolean).map((each) => each.split("=") as [string, string]);
  return pairs(labelSelector).every(([key, value]) => metadata.labels?.[key] === value) &&
    pairs(fieldSelector).every(([key, value]) => (key === "metadata.name" ? metadata.name : object[key]) === value);
}

const conditionsOf = (given: object | undefined) => (given ?? {}) as { uid?: string; resourceVersion?: string };

function conditional({ metadata: { uid: _, resourceVersion: __, ...metadata }, ...object }: KubeObject, condition: object): KubeObject {
  return { ...object, metadata: { ...metadata, ...condition } } as KubeObject;
}

/** What the server keeps for itself stays. */
function replaced({ metadata: { generation, creationTimestamp, managedFields } }: KubeObject, next: KubeObject): KubeObject {
  return { ...next, metadata: { ...next.metadata, ...(generation !== undefined && { generation }), ...(creationTimestamp && { creationTimestamp }), ...(managedFields && { managedFields }) } };
}

/** Whether a release says that it is its own, and of which object. */
export const releaseOf = ({ metadata }: Pick<KubeObject, "metadata">): string | undefined => {
  const { [labels.originName]: name, [labels.originNamespace]: namespace } = metadata.labels ?? {};
  return name && namespace ? `helmrelease/${namespace}/${name}` : undefined;
};
