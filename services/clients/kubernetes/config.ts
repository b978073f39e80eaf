/**
 * Where a cluster is and how to prove who we are: from a kubeconfig or from a pod's service account. Plain credentials
 * are read here; `@kubernetes/client-node` (450 ms, 128 MB to import) is loaded only where a plugin has to be run.
 */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { load } from "js-yaml";
import { Fault } from "#protocol/errors/fault.ts";
import { pluginToken } from "./plugin-token.ts";

export type ClusterConfig = {
  /** `https://host:port`, with the path of a proxy in front when there is one; no trailing slash. */
  server: string;
  /** PEM. Without it the system's authorities count. */
  ca?: string;
  /** PEM of a client certificate and its key. */
  cert?: string;
  key?: string;
  /** The name the server's certificate is checked against, when it is not the host's. */
  serverName?: string;
  /** The server's certificate is not checked at all: only where the kubeconfig says so. */
  insecure?: boolean;
  /** Value of the `authorization` header, asked for before each request; undefined with a certificate. */
  authorization?: () => string | undefined | Promise<string | undefined>;
  /** Namespace of the context or of the pod. */
  namespace?: string;
};

const podFolder = "/var/run/secrets/kubernetes.io/serviceaccount";
/** A mounted token is renewed when a fifth of its life is left (an hour by default), so that a minute is early enough. */
const tokenFreshMs = 60_000;

/**
 * `path` when given, else the files of `KUBECONFIG`, else the pod's service account.
 *
 * @throws Fault ClusterUnreachable when none of them says where the cluster is
 */
export async function loadClusterConfig(
  { path, context, env = process.env }: { path?: string; context?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<ClusterConfig> {
  const files = path ? [path] : (env["KUBECONFIG"] ?? "").split(delimiter).filter(Boolean);
  if (files.length > 0) return readKubeconfig(files, context);
  if (env["KUBERNETES_SERVICE_HOST"]) return readPod(env);
  throw new Fault("ClusterUnreachable", "kubeconfig", { detail: "name a kubeconfig, set KUBECONFIG, or run in a pod" });
}

async function readPod(env: NodeJS.ProcessEnv, folder = podFolder): Promise<ClusterConfig> {
  const host = env["KUBERNETES_SERVICE_HOST"] ?? "";
  const port = env["KUBERNETES_SERVICE_PORT"] ?? "443";
  const file = (name: string) => readFile(join(folder, name), "utf8").catch((cause: unknown) => {
    throw new Fault("ClusterUnreachable", join(folder, name), { detail: "the service account is not mounted", cause });
  });
  return {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    ca: await file("ca.crt"),
    authorization: fileToken(join(folder, "token")),
    namespace: (await file("namespace")).trim(),
  };
}

type Named = { name?: string; [field: string]: unknown };
type Kubeconfig = { "current-context"?: string; clusters?: Named[]; users?: Named[]; contexts?: Named[] };
type Entry = { value: Record<string, unknown>; file: string };

async function readKubeconfig(files: string[], context: string | undefined): Promise<ClusterConfig> {
  const read = await Promise.all(files.map(readFileOf));
  const name = context ?? read.map(({ config }) => config["current-context"]).find(Boolean) ?? "";
  // As kubectl merges several files: the first to name a thing defines it.
  const find = (list: "clusters" | "users" | "contexts", field: string, wanted: unknown): Entry => {
    for (const { config, file } of read) {
      const found = config[list]?.find((entry) => entry.name === wanted);
      if (found) return { value: asRecord(found[field]), file };
    }
    throw new Fault("ClusterUnreachable", files.join(delimiter), { detail: `no ${field} named "${String(wanted)}"` });
  };
  const chosen = find("contexts", "context", name).value;
  const cluster = find("clusters", "cluster", chosen["cluster"]);
  const user = chosen["user"] ? find("users", "user", chosen["user"]) : { value: {}, file: cluster.file };
  return {
    server: text(cluster.value["server"])?.replace(/\/+$/, "") ?? "https://localhost:8080",
    ...defined({
      ca: await material(cluster, "certificate-authority"),
      cert: await material(user, "client-certificate"),
      key: await material(user, "client-key"),
      serverName: text(cluster.value["tls-server-name"]),
      insecure: cluster.value["insecure-skip-tls-verify"] === true || undefined,
      namespace: text(chosen["namespace"]),
      authorization: authorizationOf(user),
    }),
  };
}

async function readFileOf(path: string): Promise<{ file: string; config: Kubeconfig }> {
  const file = resolve(path.startsWith("~/") ? join(homedir(), path.slice(2)) : path);
  try {
    return { file, config: asRecord(load(await readFile(file, "utf8"))) as Kubeconfig };
  } catch (cause) {
    // The parser's message may quote the file, and with it a credential.
    const missing = (cause as NodeJS.ErrnoException).code;
    throw new Fault("ClusterUnreachable", file, { detail: missing ? `cannot be read (${missing})` : "is not YAML" });
  }
}

function authorizationOf(user: Entry): ClusterConfig["authorization"] {
  const { value, file } = user;
  const token = text(value["token"]);
  const tokenFile = text(value["tokenFile"]);
  if (tokenFile) return fileToken(resolve(dirname(file), tokenFile));
  if (token) return () => `Bearer ${token}`;
  const username = text(value["username"]);
  if (username) {
    const basic = Buffer.from(`${username}:${text(value["password"]) ?? ""}`).toString("base64");
    return () => `Basic ${basic}`;
  }
  return value["exec"] || value["auth-provider"] ? pluginToken(value, file) : undefined;
}

/** Reads the token anew before the old one can have expired. */
function fileToken(path: string): () => Promise<string> | string {
  let header = "";
  let readAtMs = -Infinity;
  const refresh = async () => {
    const token = await readFile(path, "utf8").catch((cause: unknown) => {
      throw new Fault("ClusterUnreachable", path, { detail: "the token cannot be read", cause });
    });
    header = `Bearer ${token.trim()}`;
    readAtMs = performance.now();
    return header;
  };
  return () => (performance.now() - readAtMs < tokenFreshMs ? header : refresh());
}

/** `<field>-data` as base64, or the file `<field>` names, relative to the kubeconfig. */
async function material({ value, file }: Entry, field: string): Promise<string | undefined> {
  const inline = text(value[`${field}-data`]);
  if (inline) return Buffer.from(inline, "base64").toString("utf8");
  const path = text(value[field]);
  if (!path) return undefined;
  return readFile(resolve(dirname(file), path), "utf8").catch((cause: unknown) => {
    throw new Fault("ClusterUnreachable", path, { detail: `${field} cannot be read`, cause });
  });
}

const asRecord = (value: unknown) => (typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {});
const text = (value: unknown) => (typeof value === "string" && value !== "" ? value : undefined);

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };
const defined = <T extends object>(fields: T) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<T>;
