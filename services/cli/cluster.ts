/** The few requests that the commands make of a cluster. */
import { helmChart } from "#protocol/api/helm-chart.ts";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { KubeError } from "#services/clients/kubernetes/error.ts";
import { createKubeClient } from "#services/clients/kubernetes/client.ts";
import { loadClusterConfig } from "#services/clients/kubernetes/config.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import type { ObjectRef } from "#protocol/names/awaited.ts";
import { readAwaited } from "#services/cluster/awaited.ts";
import type { ForeseeCall, Foreseen } from "#services/cluster/foresee.ts";
import type { ReleasePlace } from "#protocol/messages/release.ts";
import { createDiscovery } from "#services/cluster/discovery.ts";
import { getData, type DataObject, type DataRef } from "#services/cluster/objects.ts";
import type { ReleaseDocument } from "#services/release/document.ts";
import type { Capabilities, Lookup } from "#services/render/helm/types.ts";
import { isData } from "#services/worker/values-from.ts";
import { printable } from "#services/telemetry/waterfall/format.ts";
import { Failure } from "./failure.ts";
import type { NextRevision } from "./local/foresee-release.ts";
import type { ResourceKind } from "./resources.ts";
import type { ClusterOptions, Env } from "./shell.ts";

/** As far as the commands read it; the rest is left as it is. */
export type SourceRef = { kind?: string; name?: string; namespace?: string };

export type FluxObject = {
  metadata: { name: string; namespace: string; generation?: number; annotations?: Record<string, string> };
  spec?: { suspend?: boolean; sourceRef?: SourceRef; /** Of a release that refers to its chart. */ chartRef?: SourceRef; valuesFrom?: (SourceRef & { optional?: boolean })[]; dependsOn?: unknown };
  status?: {
    observedGeneration?: number;
    lastHandledReconcileAt?: string;
    lastAppliedRevision?: string;
    /** Of a release: the version of its chart, and the chart that stands for `spec.chart`, `namespace/name`. */
    lastAttemptedRevision?: string;
    helmChart?: string;
    artifact?: { revision?: string };
    /** Of an ImageRepository, an ImagePolicy and an ImageUpdateAutomation. */
    lastScanResult?: { revision?: string; tagCount?: number; scanTime?: string };
    latestRef?: { name?: string; tag?: string; digest?: string };
    lastAutomationRunTime?: string;
    lastPushCommit?: string;
    conditions?: { type: string; status: string; reason?: string; message?: string; observedGeneration?: number; lastTransitionTime?: string }[];
  };
};

/** What a unit is made from; undefined: it does not say. */
export function sourceRefOf({ spec, status }: FluxObject): SourceRef | undefined {
  const [namespace = "", name = ""] = (status?.helmChart ?? "").split("/");
  return spec?.sourceRef ?? spec?.chartRef ?? (name ? { kind: helmChart.kind, namespace, name } : undefined);
}

/** The sources that files of a release's values are in, as often as they are named. */
export const valuesSourcesIn = ({ spec }: FluxObject): (SourceRef & { optional?: boolean })[] => (spec?.valuesFrom ?? []).filter((reference) => !isData(reference));

export type ObjectName = { namespace: string; name: string };

export type Cluster = {
  /** Undefined when there is none. */
  get(kind: ResourceKind, name: ObjectName): Promise<FluxObject | undefined>;
  /** Every namespace without one. Undefined when the cluster does not know the kind. */
  list(kind: ResourceKind, namespace: string | undefined): Promise<FluxObject[] | undefined>;
  /** An object of any kind, without what it contains; undefined: there is none, or no such kind. */
  read(object: ObjectRef): Promise<KubeObject | undefined>;
  /** JSON merge patch. */
  patch(kind: ResourceKind, name: ObjectName, change: object): Promise<FluxObject>;
  /** A ConfigMap or Secret with its data; undefined: there is none. */
  data(ref: DataRef): Promise<DataObject | undefined>;
  /** What a chart's templates may ask of it. */
  offered(): Promise<{ capabilities: Capabilities; lookup: Lookup }>;
  /** What an apply would do; nothing is written. */
  foresee(call: Omit<ForeseeCall, "cluster">): Promise<Foreseen[]>;
  /** What making a release's next revision would do. */
  foreseeRelease(next: NextRevision): Promise<Foreseen[]>;
  /** What Helm's storage says is deployed; undefined: nothing. */
  deployed(place: ReleasePlace, signal: AbortSignal): Promise<ReleaseDocument | undefined>;
  close(): Promise<void>;
};

const pageSize = 500;

export async function openCluster({ kubeconfig, context }: ClusterOptions, env: Env): Promise<Cluster> {
  const path = kubeconfig ?? usualKubeconfig(env);
  const config = await loadClusterConfig({ ...(path && { path }), ...(context && { context }), env });
  const client = createKubeClient(config);
  const pathOf = ({ group, version, plural }: ResourceKind, namespace?: string, name?: string) =>
    `/apis/${group}/${version}${namespace ? `/namespaces/${namespace}` : ""}/${plural}${name ? `/${name}` : ""}`;

  return {
    get: (kind, { namespace, name }) =>
      orUndefined(
        async () => (await client.request<FluxObject>({ method: "GET", path: pathOf(kind, namespace, name) })).body,
      ),
    list: (kind, namespace) =>
      orUndefined(async () => {
        const items: FluxObject[] = [];
        let next: string | undefined;
        do {
          const query = { limit: pageSize, continue: next };
          const { body } = await client.request<List>({ method: "GET", path: pathOf(kind, namespace), query });
          items.push(...body.items);
          next = body.metadata?.continue || undefined;
        } while (next);
        return items;
      }),
    read: (object) => refusalAsFailure(async () => (await readAwaited({ client, discovery: createDiscovery(client) }, object)).object),
    patch: (kind, { namespace, name }, change) =>
      refusalAsFailure(async () => {
        const request = {
          method: "PATCH",
          path: pathOf(kind, namespace, name),
          contentType: "application/merge-patch+json",
        } as const;
        // The manager Flux's own command writes under, so that the two take turns without conflict.
        return (await client.request<FluxObject>({ ...request, query: { fieldManager: "flux" }, body: change })).body;
      }),
    data: (ref) => getData(client, ref),
    offered: async () => {
      const { capabilitiesOf, lookupIn } = await import("#services/worker/effects/release-cluster.ts");
      const handle = { client, discovery: createDiscovery(client) };
      return { capabilities: await refusalAsFailure(() => capabilitiesOf(handle)), lookup: lookupIn(handle) };
    },
    foresee: async (call) => (await import("#services/cluster/foresee.ts")).foresee({ ...call, cluster: { client, discovery: createDiscovery(client) } }),
    foreseeRelease: async (next) => (await import("./local/foresee-release.ts")).foreseeRelease({ client, discovery: createDiscovery(client) }, next),
    deployed: async (place, signal) => (await import("./local/foresee-release.ts")).deployedRevision({ client, discovery: createDiscovery(client) }, place, signal),
    close: () => client.close(),
  };
}

/** `~/.kube/config`, as kubectl, where nothing else says which cluster is meant. */
function usualKubeconfig(env: Env): string | undefined {
  if (env["KUBECONFIG"] || env["KUBERNETES_SERVICE_HOST"]) return undefined;
  const file = join(env["HOME"] || homedir(), ".kube", "config");
  return existsSync(file) ? file : undefined;
}

type List = { items: FluxObject[]; metadata?: { continue?: string } };

const orUndefined = <T>(ask: () => Promise<T>): Promise<T | undefined> =>
  refusalAsFailure(async () => {
    try {
      return await ask();
    } catch (error) {
      if (error instanceof KubeError && error.code === 404) return undefined;
      throw error;
    }
  });

async function refusalAsFailure<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    if (!(cause instanceof KubeError)) throw cause;
    const todo = cause.code === 401 || cause.code === 403 ? ": check the kubeconfig's user and its role" : "";
    throw new Failure(`the API server refused: ${printable(cause.message)}${todo}`, { cause });
  }
}
