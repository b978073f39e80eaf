/** Releases that the tests of this folder make, and the helm command beside them. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { KubeObject } from "#machines/rules/inventory.ts";
import type { ReleasePlace } from "#protocol/messages/release.ts";
import { createKubeClient, type KubeClient, type RequestSeen } from "#services/clients/kubernetes/client.ts";
import { loadClusterConfig } from "#services/clients/kubernetes/config.ts";
import { createDiscovery } from "#services/cluster/discovery.ts";
import type { ClusterHandle } from "#services/cluster/handle.ts";
import type { MakeOptions, ReleaseCall } from "./call.ts";
import type { Hook } from "./document.ts";
import type { Composition } from "./make.ts";

export type Bed = {
  handle: ClusterHandle;
  client: KubeClient;
  seen: RequestSeen[];
  /** An action on a release in this namespace; another intent for each. */
  call(place: ReleasePlace, more?: Partial<ReleaseCall>): ReleaseCall;
  read(path: string): Promise<KubeObject | undefined>;
  edit(path: string, patch: object, manager?: string): Promise<KubeObject>;
  remove(path: string): Promise<void>;
  /** Runs helm. @throws Error with what it said */
  helm(args: string[]): Promise<string>;
  close(): Promise<void>;
};

/** @param program the helm command, where it is needed */
export async function openBed(kubeconfig: string, program = "helm"): Promise<Bed> {
  const seen: RequestSeen[] = [];
  const client = createKubeClient(await loadClusterConfig({ path: kubeconfig }), { onRequest: (request) => seen.push(request) });
  const handle = { client, discovery: createDiscovery(client) };
  const stop = new AbortController();
  const home = mkdtempSync(join(tmpdir(), "flotilla-helm-"));
  const env = { ...process.env, KUBECONFIG: kubeconfig, HELM_CACHE_HOME: home, HELM_CONFIG_HOME: home, HELM_DATA_HOME: home };
  return {
    handle, client, seen,
    call: (place, more = {}) => ({
      cluster: handle, place, origin: { name: "shop", namespace: "flux-system" }, intent: randomBytes(6).toString("hex"), guard: () => {}, signal: stop.signal, ...more,
    }),
    async read(path) {
      try {
        return (await client.request<KubeObject>({ method: "GET", path })).body;
      } catch (error) {
        if ((error as { code?: unknown }).code === 404) return undefined;
        throw error;
      }
    },
    edit: async (path, patch, manager = "kubectl-edit") =>
      (await client.request<KubeObject>({ method: "PATCH", path, query: { fieldManager: manager }, contentType: "application/merge-patch+json", body: patch })).body,
    remove: async (path) => void (await client.request({ method: "DELETE", path })),
    helm: async (args) => (await promisify(execFile)(program, args, { env, timeout: 120_000, maxBuffer: 64 << 20 })).stdout,
    async close() {
      stop.abort();
      await client.close();
    },
  };
}

export const placeIn = (namespace: string, name: string): ReleasePlace => ({ name, namespace, storageNamespace: namespace });

export const usual: MakeOptions = {
  timeoutMs: 60_000, hooks: true, wait: "poller", jobs: true, serverSide: "auto", force: false, cleanupOnFail: false, takeOwnership: true, replace: false, maxHistory: 5,
};

/** Manifests as Helm renders them: without a namespace, each with where it comes from. */
export const document = (object: object, source = "shop/templates/all.yaml"): string => `---\n# Source: ${source}\n${JSON.stringify(object)}\n`;

export const configMap = (name: string, data: Record<string, string> = { greeting: "hello" }, annotations?: Record<string, string>) =>
  ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name, ...(annotations && { annotations }) }, data });

export const deployment = (name: string, image = "registry.example/app:1") => ({
  apiVersion: "apps/v1", kind: "Deployment", metadata: { name },
  spec: { replicas: 1, selector: { matchLabels: { app: name } }, template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: "app", image }] } } },
});

export const job = (name: string, image = "registry.example/job:1", annotations: Record<string, string> = {}) => ({
  apiVersion: "batch/v1", kind: "Job", metadata: { name, annotations },
  spec: { backoffLimit: 0, template: { spec: { restartPolicy: "Never", containers: [{ name: "job", image }] } } },
});

export const hook = (object: { kind: string; metadata: { name: string }; [field: string]: unknown }, events: string[], more: Partial<Hook> = {}): Hook => ({
  name: object.metadata.name, kind: object.kind, path: `shop/templates/${object.metadata.name}.yaml`, manifest: JSON.stringify(object), events, last_run: { phase: "" }, ...more,
});

export const composition = (objects: object[], more: Partial<Composition> & { version?: string } = {}): Composition => {
  const { version = "1.0.0", ...rest } = more;
  return {
    chart: { metadata: { name: "shop", version, apiVersion: "v2", appVersion: "2.0" }, lock: null, templates: [], values: {}, schema: null, files: null },
    config: { replicas: 1 }, manifest: objects.map((object) => document(object)).join(""), hooks: [], notes: "thank you", ...rest,
  };
};

/** A chart in a folder, for the helm command. */
export function chartFolder(templates: Record<string, string>, version = "1.0.0"): string {
  const folder = join(mkdtempSync(join(tmpdir(), "flotilla-chart-")), "shop");
  const put = (path: string, text: string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  put("Chart.yaml", `apiVersion: v2\nname: shop\nversion: ${version}\n`);
  put("values.yaml", "greeting: hello\n");
  for (const [name, text] of Object.entries(templates)) put(`templates/${name}`, text);
  return folder;
}
