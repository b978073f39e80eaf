/**
 * A real Kubernetes control plane on loopback: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, and kwok in
 * place of kubelets, so that pods reach Running. Everything in it is thrown away; nothing is tuned but what costs time.
 */
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { eventually, type Patience } from "./eventually.ts";
import { freePorts } from "./free-ports.ts";
import { kubernetesApi, type KubernetesApi } from "./kubernetes-api.ts";
import { startChild, whileAlive, type Child } from "./processes.ts";
import { kwokConfig, simulatedNode } from "./simulated-nodes.ts";
import { tools } from "./tools.ts";

export type ControlPlaneOptions = {
  /** A folder for keys, logs and data. Given again after `stop`, what was stored is still there. */
  dir: string;
  /** How many simulated nodes. */
  nodes?: number;
  /** Whether every request is written to a log: who asked for what; of ConfigMaps also what was written. */
  audit?: boolean;
  onProgress?: (line: string) => void;
};

export type ControlPlane = {
  /** The path of a file for kubectl's --kubeconfig; its user may do everything. */
  kubeconfig: string;
  url: string;
  caFile: string;
  token: string;
  /** JSON lines of audit.k8s.io/v1 events, when asked for. */
  auditLog?: string;
  /** Process ids by program. */
  pids: Record<string, number>;
  stop(): Promise<void>;
};

const programs = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"] as const;
const attempts = 3;
const startMs = 120_000;

export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start(options);
    } catch (error) {
      // between choosing a port and its use another program can take it
      const taken = error instanceof Error && error.message.includes("address already in use");
      if (!taken || attempt === attempts) throw error;
    }
  }
}

async function start({ dir, nodes = 2, audit = false, onProgress = () => {} }: ControlPlaneOptions): Promise<ControlPlane> {
  const path = await tools(programs, onProgress);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await chmod(dir, 0o700);
  const port = await freePorts("etcd", "etcdPeer", "api");
  const url = `https://127.0.0.1:${port.api}`;
  const file = (name: string) => join(dir, name);
  const tokens = await writeKeys(file);
  const children: Child[] = [];
  const run = (name: keyof typeof path, ...args: string[]) => {
    const child = startChild({ name, command: path[name], args, logFile: file(`${name}.log`), cwd: dir });
    children.push(child);
    return child;
  };
  try {
    const etcdUrl = `http://127.0.0.1:${port.etcd}`;
    run("etcd", ...etcdFlags(file("etcd"), etcdUrl, `http://127.0.0.1:${port.etcdPeer}`));
    run("kube-apiserver", ...apiserverFlags(file, etcdUrl, port.api), ...(audit ? auditFlags(file) : []));

    // The server makes its own certificate as it starts: the file holds the certificate and the authority that signed it.
    const caFile = file("pki/apiserver.crt");
    const ca = await whileAlive(children, (signal) =>
      eventually("the API server's certificate", () => readCertificate(caFile), { withinMs: startMs, signal }),
    );
    for (const user of users) await writeFile(file(`${user}.kubeconfig`), kubeconfig(url, ca, user, tokens[user]), { mode: 0o600 });

    // These would wait for ten seconds and give up, which a busy machine takes.
    const api = kubernetesApi({ url, ca, token: tokens.admin });
    const answers = async () => (await api.call("GET", "/readyz")).status === 200;
    await whileAlive(children, (signal) => eventually("the API server's /readyz", answers, { withinMs: startMs, signal }));
    run("kube-controller-manager", ...controllerManagerFlags(file, caFile));
    run("kube-scheduler", "--kubeconfig", file("scheduler.kubeconfig"), "--leader-elect=false", "--secure-port=0");
    await writeFile(file("kwok.yaml"), kwokConfig());
    run("kwok", "--kubeconfig", file("kwok.kubeconfig"), "--config", file("kwok.yaml"));

    await whileAlive(children, (signal) => becomeReady(api, nodes, { withinMs: startMs, signal }));
    api.close();
  } catch (error) {
    await stopAll(children);
    throw error;
  }

  return {
    kubeconfig: file("admin.kubeconfig"),
    url,
    caFile: file("pki/apiserver.crt"),
    token: tokens.admin,
    ...(audit ? { auditLog: file("audit.log") } : {}),
    pids: Object.fromEntries(children.map(({ name, pid }) => [name, pid])),
    stop: () => stopAll(children),
  };
}

/** Nodes Ready and a service account to run pods with: both show that the controllers and kwok are at work. */
async function becomeReady(api: KubernetesApi, nodes: number, patience: Patience): Promise<void> {
  const names = Array.from({ length: nodes }, (_, i) => `node-${i + 1}`);
  const created = await Promise.all(names.map((name) => api.call("POST", "/api/v1/nodes", simulatedNode(name))));
  const refused = created.find(({ status }) => status !== 201 && status !== 409);
  if (refused) throw new Error(`a simulated node was refused: ${refused.body}`);
  await Promise.all([
    ...names.map((name) => eventually(`${name} Ready`, () => isReady(api, `/api/v1/nodes/${name}`), patience)),
    eventually("the default service account", async () => (await api.call("GET", defaultAccount)).status === 200, patience),
  ]);
}

const defaultAccount = "/api/v1/namespaces/default/serviceaccounts/default";

async function isReady(api: KubernetesApi, path: string): Promise<boolean> {
  const { body } = await api.call("GET", path);
  const conditions: { type: string; status: string }[] = JSON.parse(body).status?.conditions ?? [];
  return conditions.some(({ type, status }) => type === "Ready" && status === "True");
}

/** First who writes, then what they write to: an API server without its etcd waits for it. */
async function stopAll(children: Child[]): Promise<void> {
  await Promise.all(children.filter(({ name }) => name !== "etcd").map((child) => child.stop(2_000)));
  await Promise.all(children.map((child) => child.stop(2_000)));
}

type InDir = (name: string) => string;

/** Each program has its own name, so that an audit log tells them apart; all may do everything. */
const users = ["admin", "controller-manager", "scheduler", "kwok"] as const;
type Tokens = Record<(typeof users)[number], string>;

async function writeKeys(file: InDir): Promise<Tokens> {
  await writeFile(file("audit-policy.json"), JSON.stringify(auditPolicy));
  if (!existsSync(file("service-accounts.key"))) {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    await writeFile(file("service-accounts.key"), privateKey.export({ type: "sec1", format: "pem" }), { mode: 0o600 });
    await writeFile(file("service-accounts.pub"), publicKey.export({ type: "spki", format: "pem" }));
  }
  const tokens = Object.fromEntries(users.map((user) => [user, randomBytes(24).toString("base64url")])) as Tokens;
  const rows = users.map((user) => `${tokens[user]},flotilla-local:${user},${user},system:masters\n`);
  await writeFile(file("tokens.csv"), rows.join(""), { mode: 0o600 });
  return tokens;
}

/** The file appears empty first. */
async function readCertificate(caFile: string): Promise<string | undefined> {
  const pem = await readFile(caFile, "utf8");
  return pem.trimEnd().endsWith("-----END CERTIFICATE-----") ? pem : undefined;
}

const kubeconfig = (url: string, ca: string, user: string, token: string): string =>
  `${JSON.stringify(
    {
      apiVersion: "v1",
      kind: "Config",
      clusters: [
        { name: "local", cluster: { server: url, "certificate-authority-data": Buffer.from(ca).toString("base64") } },
      ],
      users: [{ name: user, user: { token } }],
      contexts: [{ name: "local", context: { cluster: "local", user, namespace: "default" } }],
      "current-context": "local",
    },
    undefined,
    2,
  )}\n`;

const etcdFlags = (dataDir: string, clients: string, peers: string): string[] => [
  "--name=local",
  `--data-dir=${dataDir}`,
  `--listen-client-urls=${clients}`,
  `--advertise-client-urls=${clients}`,
  `--listen-peer-urls=${peers}`,
  `--initial-advertise-peer-urls=${peers}`,
  `--initial-cluster=local=${peers}`,
  "--unsafe-no-fsync", // a power cut may cost the data of a test; a test should not cost a fsync per write
  "--log-level=warn",
];

const apiserverFlags = (file: InDir, etcdUrl: string, port: number): string[] => [
  `--etcd-servers=${etcdUrl}`,
  "--bind-address=127.0.0.1",
  "--advertise-address=127.0.0.1",
  "--endpoint-reconciler-type=none", // the kubernetes Service may not point to a loopback address
  `--secure-port=${port}`,
  `--cert-dir=${file("pki")}`,
  `--token-auth-file=${file("tokens.csv")}`,
  "--authorization-mode=Node,RBAC",
  "--service-cluster-ip-range=10.96.0.0/16",
  "--service-account-issuer=https://kubernetes.default.svc",
  `--service-account-key-file=${file("service-accounts.pub")}`,
  `--service-account-signing-key-file=${file("service-accounts.key")}`,
  "--allow-privileged=true",
  "--profiling=false",
];

const auditPolicy = {
  apiVersion: "audit.k8s.io/v1",
  kind: "Policy",
  omitStages: ["RequestReceived"], // one line per request; a watch has two: when it starts and when it ends
  omitManagedFields: true,
  rules: [
    // What was stored, and as which version: tests judge the writes of several workers by it.
    { level: "RequestResponse", resources: [{ group: "", resources: ["configmaps"] }], verbs: ["create", "update", "patch"] },
    { level: "Metadata" },
  ],
};

const auditFlags = (file: InDir): string[] => [
  `--audit-policy-file=${file("audit-policy.json")}`,
  `--audit-log-path=${file("audit.log")}`,
  "--audit-log-maxsize=0", // never rotated: who counts requests reads one file
  "--audit-log-mode=batch",
  "--audit-log-batch-max-size=100",
  "--audit-log-batch-max-wait=200ms",
];

const controllerManagerFlags = (file: InDir, caFile: string): string[] => [
  "--kubeconfig",
  file("controller-manager.kubeconfig"),
  "--leader-elect=false",
  "--secure-port=0",
  `--service-account-private-key-file=${file("service-accounts.key")}`,
  `--root-ca-file=${caFile}`,
  "--kube-api-qps=200", // the default of 20 slows runs of many objects by half
  "--kube-api-burst=400",
  "--profiling=false",
];
