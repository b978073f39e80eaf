/**
 * Which kinds a cluster knows, and under which path: kept per cluster, asked for once and again only for what is not
 * found. A kind that a new CustomResourceDefinition brings is found as soon as the server serves it.
 */
import { isNotFound, KubeError } from "#services/clients/kubernetes/error.ts";
import type { KubeClient } from "#services/clients/kubernetes/client.ts";
import { apiVersionOf, groupOf, type ObjectId } from "#machines/rules/inventory.ts";
import { Fault } from "#protocol/errors/fault.ts";

export type Resource = {
  apiVersion: string;
  group: string;
  kind: string;
  /** Path of the API version: `/api/v1`, `/apis/apps/v1`. */
  prefix: string;
  plural: string;
  namespaced: boolean;
  verbs: string[];
};

export type Served = { kubeVersion: string; resources: Resource[] };

export type Discovery = {
  /** What is known of a kind without asking for it: undefined for one that a later stage brings. */
  known(apiVersion: string, kind: string): Promise<Resource | undefined>;
  /** @throws Fault KindUnknown when the cluster has no such kind now */
  find(apiVersion: string, kind: string): Promise<Resource>;
  /** The same kind in the version the server prefers; inventory entries of old may name one that is gone. */
  preferred(group: string, kind: string, version: string): Promise<Resource>;
  /** The server's version (`v1.37.2`) and everything that it serves, as of a few seconds ago at most. */
  served(): Promise<Served>;
  /** Makes the next look at these API versions ask the server, however short ago it said no. */
  forget(group: string): void;
};

/** A missing kind is not asked for again sooner, so that a broken manifest costs no request per reconcile. */
const missMs = 3_000;
const servedMs = 10_000;
const mostMissed = 1_000;
/** What may become a path to ask: `v1`, `apps/v1`. Anything else a manifest names is no kind, and no request either. */
const shapeOfVersion = /^(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?\/)?v[a-z0-9]+$/;

export function createDiscovery(client: KubeClient, nowMs: () => number = () => performance.now()): Discovery {
  const known = new Map<string, Map<string, Resource>>(); // by API version, then kind
  const missedAtMs = new Map<string, number>();
  const asking = new Map<string, Promise<void>>();
  let all: Promise<void> | undefined;
  let served: { sinceMs: number; all: Promise<Served> } | undefined;

  const keep = (resource: Resource) => {
    const version = known.get(resource.apiVersion) ?? new Map<string, Resource>();
    known.set(resource.apiVersion, version.set(resource.kind, resource));
  };
  const askAll = () => (all ??= readAll(client, keep).catch((error: unknown) => {
    all = undefined;
    throw error instanceof KubeError ? new Fault("ClusterUnreachable", "API discovery", { detail: error.message, cause: error }) : error;
  }));
  const ask = (apiVersion: string) => {
    const running = asking.get(apiVersion);
    if (running) return running;
    const run = readVersion(client, apiVersion, keep).finally(() => asking.delete(apiVersion));
    asking.set(apiVersion, run);
    return run;
  };

  const look = async (apiVersion: string, kind: string): Promise<Resource | undefined> => {
    await askAll();
    const found = known.get(apiVersion)?.get(kind);
    if (found) return found;
    const key = `${apiVersion} ${kind}`;
    if (!shapeOfVersion.test(apiVersion)) return undefined;
    if (nowMs() - (missedAtMs.get(key) ?? -Infinity) < missMs) return undefined;
    await ask(apiVersion);
    const late = known.get(apiVersion)?.get(kind);
    if (missedAtMs.size >= mostMissed) missedAtMs.clear();
    if (late) missedAtMs.delete(key);
    else missedAtMs.set(key, nowMs());
    return late;
  };

  const unknown = (apiVersion: string, kind: string) =>
    new Fault("KindUnknown", kind, { detail: `no matches for kind "${kind}" in version "${apiVersion}"` });

  return {
    async known(apiVersion, kind) {
      await askAll();
      return known.get(apiVersion)?.get(kind);
    },
    async find(apiVersion, kind) {
      const found = await look(apiVersion, kind);
      if (found) return found;
      throw unknown(apiVersion, kind);
    },
    async preferred(group, kind, version) {
      const apiVersion = apiVersionOf(group, version);
      const found = await look(apiVersion, kind);
      if (found) return found;
      for (const [other, kinds] of known) {
        const resource = kinds.get(kind);
        if (resource && groupOf(other) === group) return resource;
      }
      throw unknown(apiVersion, kind);
    },
    served() {
      if (served && nowMs() - served.sinceMs < servedMs) return served.all;
      const resources: Resource[] = [];
      const asked = Promise.all([
        client.request<{ gitVersion?: string }>({ method: "GET", path: "/version" }), readAll(client, (resource) => { resources.push(resource); keep(resource); }),
      ]).then(([{ body: { gitVersion = "" } }]) => ({ kubeVersion: gitVersion, resources }), (error: unknown) => {
        served = undefined;
        throw error instanceof KubeError ? new Fault("ClusterUnreachable", "API discovery", { detail: error.message, cause: error }) : error;
      });
      served = { sinceMs: nowMs(), all: asked };
      return asked;
    },
    forget(group) {
      for (const apiVersion of known.keys()) if (groupOf(apiVersion) === group) known.delete(apiVersion);
      for (const key of missedAtMs.keys()) if (groupOf(key.split(" ")[0] ?? "") === group) missedAtMs.delete(key);
    },
  };
}

/**
 * The path of one object, or of all of its kind when `name` is empty.
 *
 * @throws Fault ObjectInvalid for a name that would lead elsewhere
 */
export function pathOf({ prefix, plural, namespaced }: Resource, { namespace, name }: Pick<ObjectId, "namespace" | "name">): string {
  const scope = namespaced && namespace ? `/namespaces/${segment(namespace)}` : "";
  return `${prefix}${scope}/${plural}${name ? `/${segment(name)}` : ""}`;
}

/** A name from somebody's manifest as one segment of a path: the server decodes before it routes, so escaping is not enough. */
export function segment(name: string): string {
  const wrong = name === "." || name === ".." ? `may not be '${name}'` : /[/%]/.test(name) ? "may not contain '/' or '%'" : undefined;
  if (wrong) throw new Fault("ObjectInvalid", name, { detail: `invalid name "${name}": ${wrong}` });
  return encodeURIComponent(name);
}

const aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

type GroupList = {
  kind: string;
  items?: { metadata?: { name?: string }; versions?: { version: string; resources?: AggregatedResource[] }[] }[];
};
type AggregatedResource = { resource: string; scope: string; verbs?: string[]; responseKind?: { kind?: string } };

/** Two requests for everything. A server that does not aggregate (before 1.27) is asked version by version instead. */
async function readAll(client: KubeClient, keep: (resource: Resource) => void): Promise<void> {
  await Promise.all(["/api", "/apis"].map(async (path) => {
    const { body } = await client.request<GroupList>({ method: "GET", path, accept: aggregated });
    if (body.kind !== "APIGroupDiscoveryList") return;
    for (const { metadata, versions = [] } of body.items ?? [])
      for (const { version, resources = [] } of versions)
        for (const { resource, scope, verbs = [], responseKind } of resources) {
          const apiVersion = apiVersionOf(metadata?.name ?? "", version);
          const kind = responseKind?.kind;
          if (kind) keep(describe(apiVersion, kind, resource, scope === "Namespaced", verbs));
        }
  }));
}

type ResourceList = { resources?: { name: string; kind: string; namespaced: boolean; verbs?: string[] }[] };

async function readVersion(client: KubeClient, apiVersion: string, keep: (resource: Resource) => void): Promise<void> {
  try {
    const { body } = await client.request<ResourceList>({ method: "GET", path: prefixOf(apiVersion) });
    for (const { name, kind, namespaced, verbs = [] } of body.resources ?? [])
      if (!name.includes("/")) keep(describe(apiVersion, kind, name, namespaced, verbs));
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

const describe = (apiVersion: string, kind: string, plural: string, namespaced: boolean, verbs: string[]): Resource =>
  ({ apiVersion, group: groupOf(apiVersion), kind, prefix: prefixOf(apiVersion), plural, namespaced, verbs });

const prefixOf = (apiVersion: string) => (groupOf(apiVersion) ? `/apis/${apiVersion}` : `/api/${apiVersion}`);
