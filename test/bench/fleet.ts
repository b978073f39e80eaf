/** A fleet to measure: one repository of many small apps, one GitRepository, a Kustomization per app. */
import { createKubeClient, type KubeClient } from "#services/clients/kubernetes/client.ts";
import { loadClusterConfig } from "#services/clients/kubernetes/config.ts";
import { watch } from "#services/clients/kubernetes/watch.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";

export const namespace = "bench";
export const appName = (index: number): string => `app-${String(index).padStart(4, "0")}`;

/** Four objects; the Deployment has no replicas, so that no controller is measured along. */
export function appFiles(index: number, image: string): Record<string, string> {
  const name = appName(index);
  const meta = `metadata: { name: ${name}, namespace: ${namespace} }`;
  return {
    [`apps/${name}/deployment.yaml`]: `apiVersion: apps/v1\nkind: Deployment\n${meta}\nspec:\n  replicas: 0\n  selector: { matchLabels: { app: ${name} } }\n`
      + `  template:\n    metadata: { labels: { app: ${name} } }\n    spec:\n      serviceAccountName: ${name}\n      containers: [{ name: web, image: "${image}" }]\n`,
    [`apps/${name}/service.yaml`]: `apiVersion: v1\nkind: Service\n${meta}\nspec: { selector: { app: ${name} }, ports: [{ name: http, port: 80 }] }\n`,
    [`apps/${name}/configmap.yaml`]: `apiVersion: v1\nkind: ConfigMap\n${meta}\ndata: { colour: blue, size: "4" }\n`,
    [`apps/${name}/account.yaml`]: `apiVersion: v1\nkind: ServiceAccount\n${meta}\n`,
  };
}

export const gitRepository = (url: string): KubeObject => ({
  apiVersion: "source.toolkit.fluxcd.io/v1", kind: "GitRepository", metadata: { name: "fleet", namespace },
  spec: { url, interval: "1m", ref: { branch: "main" } },
});

export const kustomization = (index: number): KubeObject => ({
  apiVersion: "kustomize.toolkit.fluxcd.io/v1", kind: "Kustomization", metadata: { name: appName(index), namespace },
  spec: { interval: "1m", path: `./apps/${appName(index)}`, prune: true, wait: true, sourceRef: { kind: "GitRepository", name: "fleet" } },
});

const paths: Record<string, string> = {
  GitRepository: `/apis/source.toolkit.fluxcd.io/v1/namespaces/${namespace}/gitrepositories`,
  OCIRepository: `/apis/source.toolkit.fluxcd.io/v1/namespaces/${namespace}/ocirepositories`,
  Bucket: `/apis/source.toolkit.fluxcd.io/v1/namespaces/${namespace}/buckets`,
  HelmRepository: `/apis/source.toolkit.fluxcd.io/v1/namespaces/${namespace}/helmrepositories`,
  HelmRelease: `/apis/helm.toolkit.fluxcd.io/v2/namespaces/${namespace}/helmreleases`,
  ImageRepository: `/apis/image.toolkit.fluxcd.io/v1/namespaces/${namespace}/imagerepositories`,
  ImagePolicy: `/apis/image.toolkit.fluxcd.io/v1/namespaces/${namespace}/imagepolicies`,
  ImageUpdateAutomation: `/apis/image.toolkit.fluxcd.io/v1/namespaces/${namespace}/imageupdateautomations`,
  Kustomization: `/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/${namespace}/kustomizations`,
  Deployment: `/apis/apps/v1/namespaces/${namespace}/deployments`,
};

export class Observer {
  readonly client: KubeClient;
  private readonly objects = new Map<string, KubeObject>();
  private readonly wakeups = new Set<() => void>();
  private readonly stop = new AbortController();

  private constructor(client: KubeClient) {
    this.client = client;
  }

  /** Follows Kustomizations, Deployments and other kinds by watch, so that measuring adds no requests to what is measured. */
  static async open(kubeconfig: string, also: string[] = []): Promise<Observer> {
    const observer = new Observer(createKubeClient(await loadClusterConfig({ path: kubeconfig })));
    for (const kind of ["Kustomization", "Deployment", ...also]) observer.follow(kind);
    return observer;
  }

  create(object: KubeObject): Promise<unknown> {
    return this.client.request({ method: "POST", path: paths[object.kind] ?? "", body: object });
  }

  patch(kind: string, name: string, body: object): Promise<unknown> {
    return this.client.request({ method: "PATCH", path: `${paths[kind]}/${name}`, body, contentType: "application/merge-patch+json" });
  }

  get(kind: string, name: string): KubeObject | undefined {
    return this.objects.get(`${kind}/${name}`);
  }

  /** How long until it holds, in milliseconds. Looked at after every event, never polled. */
  async until(what: string, holds: () => boolean, withinMs = 120_000): Promise<number> {
    const startMs = performance.now();
    while (!holds()) {
      const leftMs = withinMs - (performance.now() - startMs);
      if (leftMs <= 0) throw new RangeError(`not within ${withinMs / 1000} s: ${what}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, Math.min(leftMs, 1_000));
        const wakeups = this.wakeups;
        function done() {
          clearTimeout(timer);
          wakeups.delete(done);
          resolve();
        }
        wakeups.add(done);
      });
    }
    return performance.now() - startMs;
  }

  async close(): Promise<void> {
    this.stop.abort();
    await this.client.close();
  }

  private follow(kind: string): void {
    const wake = () => { for (const each of this.wakeups) each(); };
    void watch<KubeObject>(this.client, { path: paths[kind] ?? "" }, {
      upsert: (object) => { this.objects.set(`${kind}/${object.metadata.name}`, object); wake(); },
      remove: ({ name }) => { this.objects.delete(`${kind}/${name}`); wake(); },
      held: () => [...this.objects.values()].filter((object) => object.kind === kind).map(({ metadata }) => ({ namespace: metadata.namespace ?? "", name: metadata.name })),
      synced: () => undefined,
    }, this.stop.signal);
  }
}

/** Ready, and as its newest generation wants it. */
export function isReadyNow(object: KubeObject | undefined, generation = 1): boolean {
  const { conditions = [], observedGeneration = 0 } = (object?.["status"] ?? {}) as { conditions?: { type: string; status: string }[]; observedGeneration?: number };
  return observedGeneration >= generation && conditions.some(({ type, status }) => type === "Ready" && status === "True");
}

export function isReadyAt(unit: KubeObject | undefined, commit: string): boolean {
  const { conditions = [], lastAppliedRevision = "" } = (unit?.["status"] ?? {}) as { conditions?: { type: string; status: string }[]; lastAppliedRevision?: string };
  return lastAppliedRevision.endsWith(commit) && conditions.some(({ type, status }) => type === "Ready" && status === "True");
}

export const imageOf = (deployment: KubeObject | undefined): string =>
  (deployment?.["spec"] as { template?: { spec?: { containers?: { image?: string }[] } } } | undefined)?.template?.spec?.containers?.[0]?.image ?? "";
