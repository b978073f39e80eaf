/** The whole of it, real: a control plane, a Git server, and `flotilla up` under an account of its own, so that its requests can be told from all others. */
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { eventually } from "../../deploy/local/eventually.ts";
import { startGitServer, type GitServer } from "../../deploy/local/git-server.ts";
import { scratchFolder } from "../kit/cluster.ts";
import { openAudit, type Audit } from "./audit.ts";
import { startFlotilla, type Flotilla } from "./flotilla.ts";
import { openKube, pathOf, readKubeconfig, type Kube, type KubeObject } from "./kube.ts";
import { object } from "./objects.ts";
import { Tenant } from "./tenant.ts";
import { watchCollection, watchedKinds, type Watched } from "./watched.ts";

export type System = {
  kube: Kube;
  /** Repositories anybody may read, and those that ask for `gitUser`. */
  git: GitServer;
  privateGit: GitServer;
  /** The account `up` runs under, and its kubeconfig. */
  user: string;
  kubeconfig: string;
  /** The running `up`. A test that restarts it puts the new one here. */
  flotilla: Flotilla;
  /** Sources, Kustomizations and Events, by kind. */
  watched: Record<(typeof watchedKinds)[number], Watched>;
  /** What the running `up` asks of the API server from now on. */
  audit(): Promise<Audit>;
  /** Allows `up` more. */
  grant(rules: object[]): Promise<void>;
  tenant(): Promise<Tenant>;
  close(): Promise<void>;
};

export const gitUser = { username: "fleet", password: "s3cret-p@ss" };

/** Groups `up` may do anything in. `networking.k8s.io` is not among them: an object of that group is forbidden. */
const groups = [
  "", "apps", "apiextensions.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "coordination.k8s.io", "events.k8s.io",
  "helm.toolkit.fluxcd.io", "image.toolkit.fluxcd.io", "kustomize.toolkit.fluxcd.io", "rbac.authorization.k8s.io", "source.extensions.fluxcd.io", "source.toolkit.fluxcd.io", "system.example.com",
];

export type SystemOptions = { kubeconfig: string; auditLog: string; args?: string[]; nodeArgs?: string[] };

export async function startSystem(options: SystemOptions): Promise<System> {
  const stops: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const stop of stops.splice(0).toReversed()) await stop().catch(() => undefined); // what it talks to may be gone
  };
  try {
    return await start(options, close, (stop) => stops.push(stop));
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

async function start({ kubeconfig, auditLog, ...more }: SystemOptions, close: System["close"], atEnd: (stop: () => Promise<unknown>) => void): Promise<System> {
  const dir = scratchFolder();
  const kube = openKube(kubeconfig);
  atEnd(() => kube.close());
  const account = await makeAccount(kube, kubeconfig, join(dir, "flotilla.kubeconfig"));
  atEnd(() => account.remove());
  const git = await startGitServer({ dir: join(dir, "git") });
  atEnd(() => git.stop());
  const privateGit = await startGitServer({ dir: join(dir, "private-git"), auth: gitUser });
  atEnd(() => privateGit.stop());
  const flotilla = await startFlotilla({ kubeconfig: account.kubeconfig, data: join(dir, "data"), ...more });
  atEnd(() => system.flotilla.stop());
  const over = new AbortController();
  atEnd(async () => over.abort());
  const watch = (kind: string) => watchCollection(kube, pathOf(kind), over.signal); // `up` has installed the definitions
  const watched = Object.fromEntries(await Promise.all(watchedKinds.map(async (kind) => [kind, await watch(kind)]))) as System["watched"];

  const tenants: Tenant[] = [];
  atEnd(() => Promise.all(tenants.map((tenant) => tenant.release())));
  const system: System = {
    kube, git, privateGit, flotilla, close,
    user: account.user,
    kubeconfig: account.kubeconfig,
    grant: account.grant,
    watched,
    async audit() {
      const all = await openAudit(auditLog, kube);
      return { requests: async () => (await all.requests()).filter(({ user }) => user === account.user) };
    },
    async tenant() {
      const tenant = await Tenant.open(system);
      tenants.push(tenant);
      return tenant;
    },
  };
  return system;
}

/** A service account with a token, its role, and a kubeconfig that uses it. */
async function makeAccount(kube: Kube, kubeconfig: string, file: string) {
  const name = `flotilla-${randomBytes(4).toString("hex")}`;
  const made: KubeObject[] = [];
  const create = async (...objects: KubeObject[]) => {
    for (const each of objects) {
      await kube.create(each);
      made.push(each);
    }
  };
  async function grant(rules: object[]): Promise<void> {
    const role = `${name}-${made.length}`;
    const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: role };
    const subjects = [{ kind: "ServiceAccount", name, namespace: "default" }];
    await create(object("ClusterRole", role, { rules }), object("ClusterRoleBinding", role, { roleRef, subjects }));
  }

  await create(object("ServiceAccount", name, { metadata: { namespace: "default" } }));
  await grant([{ apiGroups: groups, resources: ["*"], verbs: ["*"] }, { nonResourceURLs: ["*"], verbs: ["get"] }]);
  const token = await tokenOf(kube, name);
  const { server, ca } = readKubeconfig(kubeconfig);
  const written = {
    apiVersion: "v1", kind: "Config", "current-context": "test",
    clusters: [{ name: "test", cluster: { server, "certificate-authority-data": Buffer.from(ca).toString("base64") } }],
    users: [{ name, user: { token } }],
    contexts: [{ name: "test", context: { cluster: "test", user: name } }],
  };
  await writeFile(file, JSON.stringify(written), { mode: 0o600 });
  return {
    user: `system:serviceaccount:default:${name}`,
    kubeconfig: file,
    grant,
    remove: () => Promise.all(made.map(({ kind, metadata }) => kube.remove(pathOf(kind, metadata.namespace, metadata.name)))),
  };
}

/** Of the kind that never expires: the controller fills in a Secret that asks for one. */
async function tokenOf(kube: Kube, account: string): Promise<string> {
  const annotations = { "kubernetes.io/service-account.name": account };
  const asked = object("Secret", account, { type: "kubernetes.io/service-account-token", metadata: { namespace: "default", annotations } });
  await kube.create(asked);
  const filled = await eventually("the account's token", async () => (await kube.get(pathOf("Secret", "default", account))).data?.["token"]);
  return Buffer.from(filled, "base64").toString();
}
