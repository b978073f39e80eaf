/** The few requests that the commands make of a cluster. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { KubeError } from "#services/clients/kubernetes/error.ts";
import { createKubeClient } from "#services/clients/kubernetes/client.ts";
import { loadClusterConfig } from "#services/clients/kubernetes/config.ts";
import { printable } from "#services/telemetry/waterfall/format.ts";
import { Failure } from "./failure.ts";
import type { ResourceKind } from "./resources.ts";
import type { ClusterOptions, Env } from "./shell.ts";

/** As far as the commands read it; the rest is left as it is. */
export type FluxObject = {
  metadata: { name: string; namespace: string; generation?: number; annotations?: Record<string, string> };
  spec?: { suspend?: boolean; sourceRef?: { kind?: string; name?: string; namespace?: string } };
  status?: {
    observedGeneration?: number;
    lastHandledReconcileAt?: string;
    lastAppliedRevision?: string;
    artifact?: { revision?: string };
    conditions?: { type: string; status: string; reason?: string; message?: string; observedGeneration?: number }[];
  };
};

export type ObjectName = { namespace: string; name: string };

export type Cluster = {
  /** Undefined when there is none. */
  get(kind: ResourceKind, name: ObjectName): Promise<FluxObject | undefined>;
  /** Every namespace without one. Undefined when the cluster does not know the kind. */
  list(kind: ResourceKind, namespace: string | undefined): Promise<FluxObject[] | undefined>;
  /** JSON merge patch. */
  patch(kind: ResourceKind, name: ObjectName, change: object): Promise<FluxObject>;
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
