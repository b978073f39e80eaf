/** Who we are towards a registry: what the Secrets say, in a form a request can carry and no message repeats. */
import { createHash } from "node:crypto";
import { getCACertificates } from "node:tls";
import { Fault } from "#protocol/errors/fault.ts";
import type { Peer } from "../http/connections.ts";
import { readProxy } from "../http/proxy.ts";
import type { Login } from "./login.ts";
import type { Repository } from "./names.ts";

export type SecretData = Record<string, Uint8Array>;

type Entry = { username?: unknown; password?: unknown; auth?: unknown; identitytoken?: unknown; registrytoken?: unknown };

/**
 * The credentials for a repository, from pull secrets as Kubernetes has them; undefined when none of them is for it. The
 * longest address that fits counts, and of equal ones the first (go-containerregistry, pkg/authn/kubernetes).
 *
 * @throws Fault AuthenticationFailed for a Secret that is no pull secret
 */
export function loginFrom(secrets: SecretData[], { host, path, shown }: Repository): Login | undefined {
  let best: { address: string; login: Login } | undefined;
  for (const data of secrets)
    for (const [name, entry] of Object.entries(entriesOf(data, shown))) {
      const address = addressOf(name);
      if (!address || !isFor(address, `${host}/${path}`) || (best && best.address.length >= address.length)) continue;
      const login = loginOf(entry);
      if (login) best = { address, login };
    }
  return best?.login;
}

function entriesOf(data: SecretData, shown: string): Record<string, Entry> {
  const refused = (detail: string) => new Fault("AuthenticationFailed", shown, { detail });
  const [current, former] = [data[".dockerconfigjson"], data[".dockercfg"]];
  if (!current && !former) throw refused("the Secret holds no .dockerconfigjson");
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(current ?? former ?? []).toString());
  } catch {
    throw refused("the Secret's .dockerconfigjson is no JSON");
  }
  const entries: unknown = current ? ((value as { auths?: unknown } | null)?.auths ?? {}) : value;
  if (typeof entries !== "object" || entries === null) throw refused("the Secret's .dockerconfigjson holds no auths");
  return entries as Record<string, Entry>;
}

/** `https://index.docker.io/v1/`, `ghcr.io`, `ghcr.io/team`: host and path, without what is not part of a repository's name. */
function addressOf(name: string): string | undefined {
  const text = /^https?:\/\//.test(name) ? name : `https://${name}`;
  const [, host = "", path = ""] = /^https?:\/\/([^/?#]+)([^?#]*)/.exec(text) ?? [];
  const rest = path.replace(/^\/v[12](?=\/|$)/, "").replace(/\/+$/, "");
  if (host === "") return undefined;
  return `${host === "docker.io" ? "index.docker.io" : host}${rest}`;
}

/** Host part by part, where `*` stands for any one; then a beginning of the path. */
function isFor(address: string, target: string): boolean {
  const [host = "", ...path] = address.split("/");
  const [wanted = "", ...name] = target.split("/");
  const [parts, others] = [host.split("."), wanted.split(".")];
  return parts.length === others.length && parts.every((part, i) => fits(part, others[i] ?? "")) && path.every((part, i) => part === name[i]);
}

/** `*` any number of characters, `?` one. */
const fits = (pattern: string, text: string): boolean =>
  new RegExp(`^${pattern.replaceAll(/[^*?]+/g, (plain) => RegExp.escape(plain)).replaceAll(/\*+/g, ".*").replaceAll("?", ".")}$`).test(text);

function loginOf({ username, password, auth, identitytoken, registrytoken }: Entry): Login | undefined {
  if (typeof registrytoken === "string" && registrytoken) return { registryToken: registrytoken };
  if (typeof identitytoken === "string" && identitytoken) return { identityToken: identitytoken };
  if (typeof username === "string" && username) return { username, password: typeof password === "string" ? password : "" };
  if (typeof auth !== "string") return undefined;
  const [, user, secret = ""] = /^([^:]*):([^]*)$/.exec(Buffer.from(auth, "base64").toString()) ?? [];
  return user ? { username: user, password: secret.replace(/\0+$/, "") } : undefined;
}

type Trust = { cert?: SecretData | undefined; proxy?: SecretData | undefined; login?: Login | undefined; insecure: boolean; shown: string };

/** @throws Fault AuthenticationFailed for a Secret that lacks what it is for, ProxyInvalid */
export function peerFrom({ cert: tls, proxy, login, insecure, shown }: Trust): Peer {
  const text = (...keys: string[]) => keys.map((key) => Buffer.from(tls?.[key] ?? []).toString()).find((value) => value !== "") ?? "";
  // The names before the bar are Kubernetes' own, the others Flux's former ones (fluxcd/pkg runtime/secrets).
  const [authority, cert, key] = [text("ca.crt", "caFile"), text("tls.crt", "certFile"), text("tls.key", "keyFile")];
  const refused = (detail: string) => new Fault("AuthenticationFailed", shown, { detail });
  if (tls && !authority && !cert && !key) throw refused("the Secret of spec.certSecretRef holds neither ca.crt nor tls.crt and tls.key");
  if ((cert === "") !== (key === "")) throw refused("the Secret of spec.certSecretRef holds only one of tls.crt and tls.key");
  const peer = {
    // Beside the usual authorities, not in their place, as Flux does for this kind alone.
    ...(authority && { ca: [...getCACertificates("default"), authority] }),
    ...(cert && { cert, key }),
    ...(insecure && !tls && { trustsAnyone: true }),
    ...(proxy && { proxy: readProxy(shown, proxy) }),
  };
  return { ...peer, identity: digestOf([login, authority, cert, key, insecure && !tls, peer.proxy]) };
}

const digestOf = (parts: unknown): string => createHash("sha256").update(JSON.stringify(parts)).digest("hex");
