/** Who we are towards a Git server: what the Secret says, in a form a request can carry and no message repeats. */
import { createHash } from "node:crypto";
import { Fault } from "#protocol/errors/fault.ts";
import type { Address } from "./address.ts";
import type { Identity } from "./ssh/identity.ts";

export type Credentials = {
  /** The whole value of the Authorization header. */
  authorization?: string;
  /** PEM: a private authority, and the client's own certificate. */
  ca?: string;
  cert?: string;
  key?: string;
  /** For ssh:// alone. */
  ssh?: SshCredentials;
  /** Same credentials, same identity: connections are shared within one and never across. A digest, not a secret. */
  identity: string;
  /** Text with every credential in it taken out, or withheld altogether. */
  redact(text: string): string;
};

export type SshCredentials = { username: string; identity: Identity; knownHosts: string };

/** The user of nearly all Git servers. */
const defaultUser = "git";

/**
 * Keys and their order of precedence are Flux's (fluxcd/pkg git/options.go, git/gogit/transport.go).
 *
 * @throws Fault AuthenticationFailed when the Secret contradicts itself
 */
export function readCredentials({ shown, ...address }: Address, data: Record<string, Uint8Array> = {}): Credentials {
  const text = (key: string) => Buffer.from(data[key] ?? []).toString();
  if (address.base.protocol === "ssh:") return readSsh({ shown, ...address }, text);
  const bearer = text("bearerToken");
  const username = ("bearerToken" in data ? "" : text("username")) || address.username;
  const password = ("bearerToken" in data ? "" : text("password")) || address.password;
  if (password && !username)
    throw new Fault("AuthenticationFailed", shown, { detail: "the Secret has a password and no username" });
  if (!/^[\x21-\x7e]*$/.test(bearer))
    throw new Fault("AuthenticationFailed", shown, {
      detail: "bearerToken holds a space, a line end or a character outside ASCII",
    });

  const basic = username && Buffer.from(`${username}:${password}`).toString("base64");
  const authorization = basic ? `Basic ${basic}` : bearer && `Bearer ${bearer}`;
  const [ca, cert, key] = [text("ca.crt") || text("caFile"), text("tls.crt"), text("tls.key")];
  const secrets = [password, bearer, basic, key].filter((secret) => secret !== "");
  return {
    ...(authorization && { authorization }),
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
    identity: digestOf([authorization, ca, cert, key]),
    redact: redacting(secrets),
  };
}

/** The password opens the key; the user is the URL's alone (fluxcd/pkg git/options.go). */
function readSsh({ shown, username }: Address, text: (key: string) => string): Credentials {
  const [pem, passphrase, knownHosts] = [text("identity"), text("password"), text("known_hosts")];
  for (const [name, value] of [["identity", pem], ["known_hosts", knownHosts]] as const)
    if (value.trim() === "") throw new Fault("AuthenticationFailed", shown, { detail: `ssh:// needs a Secret, and ${name} in it` });
  const ssh = { username: username || defaultUser, identity: { pem, passphrase }, knownHosts };
  return { ssh, identity: digestOf([ssh]), redact: redacting([passphrase].filter((secret) => secret !== "")) };
}

const digestOf = (parts: unknown): string => createHash("sha256").update(JSON.stringify(parts)).digest("hex");

const redacting = (secrets: string[]) => (text: string) =>
  secrets.some((secret) => repeats(text, secret)) ? "(withheld: it repeats a credential)" : text;

// A server that is hostile, or reflects our headers, can put a credential into its answer.
const repeats = (text: string, secret: string) =>
  [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)].some((form) => text.includes(form));
