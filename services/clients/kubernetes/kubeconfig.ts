/**
 * A kubeconfig that somebody else wrote, such as a tenant: only what stands in it counts. It never leads to a file of
 * this machine, and runs no program and skips no check of a certificate unless the operator allows it.
 */
import { X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { load } from "js-yaml";
import { Fault } from "#protocol/errors/fault.ts";
import type { ClusterConfig } from "./config.ts";
import { pluginToken } from "./plugin-token.ts";

export type Allowed = {
  /** Credential plugins (`user.exec`) may be run: any program, with this process's rights. */
  exec?: boolean;
  /** `insecure-skip-tls-verify`, and servers without TLS. */
  insecureTls?: boolean;
};

type Fields = Record<string, unknown>;

/**
 * @param subject names where it stands, for messages
 * @throws Fault KubeConfigInvalid, which quotes no value
 */
export function parseKubeconfig(text: string, subject: string, { exec = false, insecureTls = false }: Allowed = {}): ClusterConfig {
  const refuse = (detail: string): never => {
    throw new Fault("KubeConfigInvalid", subject, { detail });
  };
  const file = readYaml(text) ?? refuse("is not YAML");
  const named = (list: string, field: string, name: unknown): Fields => {
    const entries = Array.isArray(file[list]) ? (file[list] as unknown[]).map(fields) : [];
    const found = entries.find((entry) => typeof name === "string" && name !== "" && entry["name"] === name);
    return found ? fields(found[field]) : refuse(`${field === "context" ? "current-context" : `the context's ${field}`} is missing, or nothing in ${list} has its name`);
  };
  const context = named("contexts", "context", file["current-context"]);
  const cluster = named("clusters", "cluster", context["cluster"]);
  const user = words(context["user"]) ? named("users", "user", context["user"]) : {};

  for (const [where, given, field, inline] of [
    ["cluster", cluster, "certificate-authority", "certificate-authority-data"],
    ["user", user, "client-certificate", "client-certificate-data"],
    ["user", user, "client-key", "client-key-data"],
    ["user", user, "tokenFile", "token"],
  ] as const)
    if (words(given[field]) && !words(given[inline])) refuse(`${where}.${field} names a file: give ${where}.${inline} instead`);
  if (words(cluster["proxy-url"])) refuse("cluster.proxy-url is not supported");
  if (["as", "as-uid", "as-groups", "as-user-extra"].some((field) => user[field] !== undefined)) refuse("user.as is not supported: use spec.serviceAccountName");

  const server = serverOf(cluster["server"], insecureTls) ?? refuse(insecureTls ? "cluster.server is not a URL" : "cluster.server is not an https URL");
  const insecure = cluster["insecure-skip-tls-verify"] === true;
  if (insecure && !insecureTls) refuse("cluster.insecure-skip-tls-verify is not allowed; the operator may allow it by --insecure-kubeconfig-tls");
  const pem = (given: Fields, field: string) => {
    const data = words(given[field]);
    return data === undefined ? undefined : Buffer.from(data, "base64").toString("utf8");
  };
  const certificates = {
    ca: pem(cluster, "certificate-authority-data"), cert: pem(user, "client-certificate-data"), key: pem(user, "client-key-data"),
  };
  if (!isUsable(certificates)) refuse("a certificate or key in it cannot be read: they are PEM in base64, and the key belongs to the certificate");
  const authorization = authorizationOf(user, subject, exec, refuse);
  if (certificates.cert === undefined && authorization === undefined) refuse("user has no credentials");
  const serverName = words(cluster["tls-server-name"]);
  return {
    server,
    ...(certificates.ca !== undefined && { ca: certificates.ca }),
    ...(certificates.cert !== undefined && { cert: certificates.cert }),
    ...(certificates.key !== undefined && { key: certificates.key }),
    ...(serverName !== undefined && { serverName }),
    ...(insecure && { insecure }),
    ...(authorization && { authorization }),
  };
}

/** Of a server that speaks TLS; of any where `plain` is allowed. Undefined for anything else. */
export function serverOf(value: unknown, plain = false): string | undefined {
  const text = words(value);
  if (text === undefined || !URL.canParse(text)) return undefined;
  const { protocol, origin, pathname, hostname } = new URL(text);
  if (hostname === "" || (protocol !== "https:" && !(plain && protocol === "http:"))) return undefined;
  return origin + pathname.replace(/\/+$/, "");
}

/** Whether TLS can be spoken with them: found out here, and not in the middle of connecting. */
export function isUsable({ ca, cert, key }: { ca?: string | undefined; cert?: string | undefined; key?: string | undefined }): boolean {
  if ((cert === undefined) !== (key === undefined)) return false;
  try {
    createSecureContext({ ...(ca !== undefined && { ca }), ...(cert !== undefined && { cert }), ...(key !== undefined && { key }) });
    return ca === undefined || new X509Certificate(ca).subject !== undefined; // TLS passes over an authority that it cannot read
  } catch {
    return false; // its message may quote what it could not read
  }
}

function authorizationOf(user: Fields, subject: string, exec: boolean, refuse: (detail: string) => never): ClusterConfig["authorization"] {
  const token = words(user["token"])?.trim();
  if (token) return /^[\x21-\x7e]+$/.test(token) ? () => `Bearer ${token}` : refuse("user.token is no token");
  const username = words(user["username"]);
  if (username !== undefined) {
    const basic = Buffer.from(`${username}:${words(user["password"]) ?? ""}`).toString("base64");
    return () => `Basic ${basic}`;
  }
  if (words(user["client-certificate-data"]) !== undefined) return undefined;
  // A provider of old could name files and call anybody.
  if (user["auth-provider"] !== undefined) refuse("user.auth-provider is not supported");
  if (user["exec"] === undefined) return undefined;
  if (!exec) refuse("user.exec is not allowed; the operator may allow it by --insecure-kubeconfig-exec");
  return pluginToken({ exec: user["exec"] }, subject);
}

function readYaml(text: string): Fields | undefined {
  try {
    return fields(load(text));
  } catch {
    return undefined; // its message may quote the file, and with it a credential
  }
}

const fields = (value: unknown): Fields => (typeof value === "object" && value !== null ? (value as Fields) : {});
const words = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined);
