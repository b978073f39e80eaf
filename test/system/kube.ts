/** The API server as a test asks it: over kept-alive connections, because a kubectl per question would be most of the work. */
import { readFileSync } from "node:fs";
import { Agent, request } from "undici";

export type Metadata = {
  name: string;
  namespace?: string;
  uid?: string;
  generation?: number;
  resourceVersion?: string;
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  managedFields?: { manager: string; operation: string; subresource?: string }[];
};

export type KubeObject = {
  apiVersion: string;
  kind: string;
  metadata: Metadata;
  spec?: Record<string, unknown>;
  status?: Status;
  data?: Record<string, string>;
  [field: string]: unknown;
};

export type Condition = { type: string; status: string; reason: string; message: string; observedGeneration?: number };

/** What the two kinds of ours say of themselves. */
export type Status = {
  observedGeneration?: number;
  lastHandledReconcileAt?: string;
  lastAppliedRevision?: string;
  lastAttemptedRevision?: string;
  conditions?: Condition[];
  inventory?: { entries: { id: string; v: string }[] };
  history?: { digest: string; lastReconciledStatus: string; totalReconciliations: number; metadata?: Record<string, string> }[];
  artifact?: { revision: string; digest: string; url: string; path: string; size: number; lastUpdateTime: string };
};

export class Refused extends Error {
  readonly status: number;
  constructor(method: string, path: string, status: number, body: string) {
    super(`${method} ${path}: ${status} ${body}`);
    this.status = status;
  }
}

export type Kube = {
  /** @throws Refused */
  get<T = KubeObject>(path: string): Promise<T>;
  /** Undefined when there is none. */
  find<T = KubeObject>(path: string): Promise<T | undefined>;
  create(object: KubeObject): Promise<KubeObject>;
  /** A merge patch, under a field manager's name. */
  merge(path: string, patch: object, manager?: string): Promise<KubeObject>;
  /** Server-side apply, with force, as a controller does it. */
  apply(path: string, object: KubeObject, manager: string): Promise<KubeObject>;
  remove(path: string): Promise<void>;
  /** Lines of a watch, until the signal aborts or the connection ends. */
  watch(path: string, signal: AbortSignal): AsyncIterable<{ type: string; object: KubeObject }>;
  close(): Promise<void>;
};

type Kubeconfig = {
  clusters: { cluster: { server: string; "certificate-authority-data": string } }[];
  users: { user: { token: string } }[];
};

export function openKube(kubeconfig: string): Kube {
  const { server, ca, token } = readKubeconfig(kubeconfig);
  const agent = new Agent({ connect: { ca }, connections: 32, bodyTimeout: 0, headersTimeout: 30_000 });
  const headers = { authorization: `Bearer ${token}`, "user-agent": "system-test" };

  async function call<T>(method: string, path: string, body?: object, contentType = "application/json"): Promise<T> {
    const answer = await request(`${server}${path}`, {
      dispatcher: agent,
      method: method as "GET",
      headers: { ...headers, ...(body && { "content-type": contentType }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await answer.body.text();
    if (answer.statusCode >= 400) throw new Refused(method, path, answer.statusCode, text);
    return JSON.parse(text) as T;
  }

  return {
    get: (path) => call("GET", path),
    find: <T>(path: string) => call<T>("GET", path).catch(unlessMissing),
    create: (object) => call("POST", pathOf(object.kind, object.metadata.namespace), object),
    merge: (path, patch, manager = "kubectl-edit") =>
      call("PATCH", `${path}?fieldManager=${manager}`, patch, "application/merge-patch+json"),
    apply: (path, object, manager) => call("PATCH", `${path}?fieldManager=${manager}&force=true`, object, "application/apply-patch+yaml"),
    remove: (path) => call("DELETE", path).then(() => undefined, unlessMissing),
    async *watch(path, signal) {
      const answer = await request(`${server}${path}`, { dispatcher: agent, headers, signal });
      if (answer.statusCode !== 200) throw new Refused("GET", path, answer.statusCode, await answer.body.text());
      let rest = "";
      for await (const chunk of answer.body.setEncoding("utf8")) {
        const lines = `${rest}${String(chunk)}`.split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) if (line !== "") yield JSON.parse(line) as { type: string; object: KubeObject };
      }
    },
    close: () => agent.destroy(),
  };
}

function unlessMissing(thrown: unknown): undefined {
  if (thrown instanceof Refused && thrown.status === 404) return undefined;
  throw thrown;
}

/** Of a file the local control plane wrote: JSON, one cluster, one user with a token. */
export function readKubeconfig(file: string): { server: string; ca: string; token: string } {
  const { clusters, users } = JSON.parse(readFileSync(file, "utf8")) as Kubeconfig;
  const [cluster, user] = [clusters[0]?.cluster, users[0]?.user];
  if (!cluster || !user) throw new Error(`${file}: no cluster or no user`);
  return { server: cluster.server, ca: Buffer.from(cluster["certificate-authority-data"], "base64").toString(), token: user.token };
}

/** Kinds that tests speak of: apiVersion, plural, and whether they live in namespaces. */
const kinds: Record<string, [apiVersion: string, plural: string, scope?: "cluster"]> = {
  ConfigMap: ["v1", "configmaps"],
  Event: ["v1", "events"],
  Namespace: ["v1", "namespaces", "cluster"],
  HelmRelease: ["helm.toolkit.fluxcd.io/v2", "helmreleases"],
  Secret: ["v1", "secrets"],
  Service: ["v1", "services"],
  ServiceAccount: ["v1", "serviceaccounts"],
  Deployment: ["apps/v1", "deployments"],
  NetworkPolicy: ["networking.k8s.io/v1", "networkpolicies"],
  ClusterRole: ["rbac.authorization.k8s.io/v1", "clusterroles", "cluster"],
  Role: ["rbac.authorization.k8s.io/v1", "roles"],
  RoleBinding: ["rbac.authorization.k8s.io/v1", "rolebindings"],
  ClusterRoleBinding: ["rbac.authorization.k8s.io/v1", "clusterrolebindings", "cluster"],
  CustomResourceDefinition: ["apiextensions.k8s.io/v1", "customresourcedefinitions", "cluster"],
  GitRepository: ["source.toolkit.fluxcd.io/v1", "gitrepositories"],
  ArtifactGenerator: ["source.extensions.fluxcd.io/v1beta1", "artifactgenerators"],
  Bucket: ["source.toolkit.fluxcd.io/v1", "buckets"],
  ExternalArtifact: ["source.toolkit.fluxcd.io/v1", "externalartifacts"],
  OCIRepository: ["source.toolkit.fluxcd.io/v1", "ocirepositories"],
  HelmRepository: ["source.toolkit.fluxcd.io/v1", "helmrepositories"],
  HelmChart: ["source.toolkit.fluxcd.io/v1", "helmcharts"],
  ImageRepository: ["image.toolkit.fluxcd.io/v1", "imagerepositories"],
  ImagePolicy: ["image.toolkit.fluxcd.io/v1", "imagepolicies"],
  ImageUpdateAutomation: ["image.toolkit.fluxcd.io/v1", "imageupdateautomations"],
  Kustomization: ["kustomize.toolkit.fluxcd.io/v1", "kustomizations"],
  Widget: ["system.example.com/v1", "widgets"],
};

/** Of one object, or of a whole collection; of every namespace when none is given. */
export function pathOf(kind: string, namespace?: string, name?: string): string {
  const [apiVersion, plural, scope] = kinds[kind] ?? [];
  if (!apiVersion) throw new RangeError(`tests do not speak of ${kind} yet`);
  const base = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const within = namespace === undefined || scope ? "" : `/namespaces/${namespace}`;
  return `${base}${within}/${plural}${name === undefined ? "" : `/${name}`}`;
}

export const apiVersionOf = (kind: string): string => kinds[kind]?.[0] ?? "";
