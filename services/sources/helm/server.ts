/** A Helm repository on a web server: where it is, and who we are there. */
import { Fault } from "#protocol/errors/fault.ts";
import { download, type Downloaded } from "#services/clients/http/download.ts";
import type { Peer } from "#services/clients/http/connections.ts";
import { peerFrom, type SecretData } from "#services/clients/registry/credentials.ts";

/** The part of a HelmRepository's spec that says how it is reached. */
export type RepositorySpec = {
  url: string;
  type?: "default" | "oci" | undefined;
  timeout?: string | undefined;
  secretRef?: { name: string } | undefined;
  certSecretRef?: { name: string } | undefined;
  passCredentials?: boolean | undefined;
  provider?: "generic" | "aws" | "azure" | "gcp" | undefined;
  insecure?: boolean | undefined;
};

export type Secrets = (name: string) => Promise<SecretData>;

export type Server = {
  /** Ends in a slash. */
  base: URL;
  /** Without user, password, query and fragment. */
  shown: string;
  peer: Peer;
  authorization?: string;
  /** Credentials go along to charts on other hosts, where the index says so. */
  passCredentials: boolean;
};

/** Flux's names for what a Secret of TLS holds, the former ones included. */
const tlsKeys = ["ca.crt", "tls.crt", "tls.key", "caFile", "certFile", "keyFile"];

/** @throws Fault ChartRepositoryInvalid, AuthenticationFailed, SecretMissing */
export async function serverOf(spec: RepositorySpec, secret: Secrets): Promise<Server> {
  const base = baseOf(spec.url);
  const shown = `${base.protocol}//${base.host}${base.pathname}`.slice(0, -1);
  const data = spec.secretRef && (await secret(spec.secretRef.name));
  const text = (key: string) => Buffer.from(data?.[key] ?? []).toString();
  const [username, password] = [text("username"), text("password")];
  if ((username === "") !== (password === ""))
    throw new Fault("AuthenticationFailed", shown, { detail: "the Secret of spec.secretRef holds only one of username and password" });
  const login = username ? { username, password } : undefined;
  const former = data && tlsKeys.some((key) => key in data) ? data : undefined;
  const cert = spec.certSecretRef ? await secret(spec.certSecretRef.name) : former;
  const peer = peerFrom({ cert, login, insecure: false, shown });
  const authorization = login && `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
  return { base, shown, peer, ...(authorization && { authorization }), passCredentials: spec.passCredentials === true };
}

/** @throws Fault ChartRepositoryInvalid */
function baseOf(url: string): URL {
  const refused = (detail: string) => new Fault("ChartRepositoryInvalid", "spec.url", { detail });
  if (!URL.canParse(url)) throw refused("it is no URL");
  const base = new URL(url);
  if (base.protocol !== "https:" && base.protocol !== "http:") throw refused("oci:// goes with spec.type oci alone");
  base.username = base.password = base.hash = "";
  base.pathname = `${base.pathname.replace(/\/+$/, "")}/`;
  return base;
}

/** The same repository always as the same text, however it is written. Undefined for what is no address of one. */
export function normalUrl(url: string): string | undefined {
  if (!URL.canParse(url)) return undefined;
  const { protocol, host, pathname } = new URL(url);
  return protocol === "https:" || protocol === "http:" || protocol === "oci:" ? `${protocol}//${host}${pathname.replace(/\/+$/, "")}` : undefined;
}

type Wanted = { maxBytes: number; signal: AbortSignal; known?: Downloaded | undefined; compressed?: boolean };

export function fetchIndex(server: Server, wanted: Wanted): Promise<Downloaded> {
  return get(server, under(server.base, "index.yaml"), { ...wanted, compressed: true });
}

/** @param url as the index has it: relative to the repository, or anywhere */
export async function fetchChart(server: Server, url: string, wanted: Wanted): Promise<Buffer> {
  if (!URL.canParse(url, server.base.href)) throw new Fault("ChartPullFailed", server.shown, { detail: "the index has a URL of the chart that is none" });
  const absolute = URL.canParse(url) ? new URL(url) : under(server.base, url);
  if (absolute.protocol !== "https:" && absolute.protocol !== "http:")
    throw new Fault("ChartPullFailed", server.shown, { detail: `the index says the chart to be at ${absolute.protocol}//, which is not asked` });
  const { bytes } = await get(server, absolute, wanted);
  return bytes ?? Buffer.alloc(0);
}

/** What is asked for in the repository's address (a query) is asked for in each of its files. */
function under(base: URL, path: string): URL {
  const url = new URL(path, base);
  if (url.origin === base.origin && url.search === "") url.search = base.search;
  return url;
}

function get({ base, shown, peer, authorization, passCredentials }: Server, url: URL, { maxBytes, signal, known, compressed }: Wanted): Promise<Downloaded> {
  url.username = url.password = "";
  const home = passCredentials ? url.origin : base.origin;
  return download({ url, shown: url.origin === base.origin ? shown : `${shown} at ${url.host}`, peer, authorization, home, known, compressed, maxBytes, signal });
}
