/** Objects that the tests of this folder apply, and how they stand in front of a real cluster. */
import { createHash } from "node:crypto";
import type { KubeObject } from "#machines/rules/inventory.ts";
import type { Owner } from "#machines/rules/prune.ts";
import { createKubeClient, type KubeClient, type RequestSeen } from "#services/clients/kubernetes/client.ts";
import { loadClusterConfig } from "#services/clients/kubernetes/config.ts";
import type { ApplyCall, Rendered } from "./apply.ts";
import { createDiscovery } from "./discovery.ts";
import type { ClusterHandle } from "./handle.ts";

export type Bed = {
  handle: ClusterHandle;
  client: KubeClient;
  /** Every request since it was last emptied. */
  seen: RequestSeen[];
  /** Ends watches. */
  stop: AbortController;
  /** An apply with nothing special about it. */
  call(owner: Owner, objects: KubeObject[], more?: Partial<ApplyCall>): ApplyCall;
  /** What somebody else does to an object: a merge patch under that manager's name. */
  edit(path: string, patch: object, manager?: string): Promise<KubeObject>;
  read(path: string): Promise<KubeObject>;
  close(): Promise<void>;
};

export async function openBed(kubeconfig: string): Promise<Bed> {
  const seen: RequestSeen[] = [];
  const client = createKubeClient(await loadClusterConfig({ path: kubeconfig }), { onRequest: (request) => seen.push(request) });
  const handle = { client, discovery: createDiscovery(client) };
  const stop = new AbortController();
  return {
    handle, client, seen, stop,
    call: (owner, objects, more = {}) => ({
      cluster: handle, owner, objects: objects.map(rendered), inventory: [], scope: "changed", guard: () => {}, signal: stop.signal, ...more,
    }),
    edit: async (path, patch, manager = "kubectl-edit") =>
      (await client.request<KubeObject>({
        method: "PATCH", path, query: { fieldManager: manager }, contentType: "application/merge-patch+json", body: patch,
      })).body,
    read: async (path) => (await client.request<KubeObject>({ method: "GET", path })).body,
    async close() {
      stop.abort();
      await client.close();
    },
  };
}

export const rendered = (object: KubeObject): Rendered =>
  ({ object, digest: createHash("sha256").update(JSON.stringify(object)).digest("hex") });

export const configMap = (namespace: string, name: string, data: Record<string, string> = { greeting: "hello" }): KubeObject =>
  ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace }, data });

export const namespaceOf = (name: string): KubeObject => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } });

export const deployment = (namespace: string, name: string, image = "registry.example/app:1", replicas = 1): KubeObject => ({
  apiVersion: "apps/v1", kind: "Deployment", metadata: { name, namespace },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: "app", image, ports: [{ containerPort: 80 }] }] } },
  },
});

/** A definition of a group of its own, so that tests do not meet. */
export const definition = (group: string, kind = "Widget"): KubeObject => {
  const singular = kind.toLowerCase();
  return {
    apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", metadata: { name: `${singular}s.${group}` },
    spec: {
      group, scope: "Namespaced", names: { kind, plural: `${singular}s`, singular, listKind: `${kind}List` },
      versions: [{
        name: "v1", served: true, storage: true, subresources: { status: {} },
        schema: {
          openAPIV3Schema: {
            type: "object",
            properties: {
              spec: { type: "object", properties: { size: { type: "integer" } } },
              status: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
            },
          },
        },
      }],
    },
  };
};

export const custom = (group: string, namespace: string, name: string, kind = "Widget"): KubeObject =>
  ({ apiVersion: `${group}/v1`, kind, metadata: { name, namespace }, spec: { size: 3 } });
