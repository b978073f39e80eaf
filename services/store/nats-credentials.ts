/**
 * Who we are to a NATS, and whose word we take for who it is: files that are named, never their contents. They are read
 * again at every connection, so that what was renewed in place counts from the next one on.
 */
import { readFileSync } from "node:fs";
import { checkServerIdentity, createSecureContext, type PeerCertificate, type SecureContextOptions } from "node:tls";
import { jwtAuthenticator, nkeyAuthenticator, type Authenticator, type TlsOptions } from "nats";
import { Fault } from "#protocol/errors/fault.ts";

/** Paths. */
export type NatsFiles = {
  /** A user's JWT with its seed, as `nsc` and `nats` write them. */
  creds?: string;
  /** A user's NKey: its seed. */
  nkey?: string;
  /** Whoever may sign the servers' certificates, instead of those whom Node trusts. */
  ca?: string;
  /** Our own certificate, and its key. */
  cert?: string;
  key?: string;
};

/** @throws Fault NatsFileUnusable, without a word of what is in it */
export function authenticatorOf({ creds, nkey }: NatsFiles): Authenticator | undefined {
  if (creds) return reread(creds, fromCreds);
  return nkey ? reread(nkey, fromSeed) : undefined;
}

/**
 * Undefined where nobody asked for TLS: it is used when the server offers it.
 *
 * @throws Fault NatsFileUnusable
 */
export function tlsOf(urls: string[], { ca, cert, key }: NatsFiles): TlsOptions | undefined {
  if (!ca && !cert && !urls.some((url) => /^tls:/i.test(url))) return undefined;
  if (ca) check(ca, { ca: read(ca) }, "it holds no certificate in PEM");
  if (cert) check(cert, { cert: read(cert) }, "it holds no certificate in PEM");
  if (key) check(key, { key: read(key) }, "it holds no private key in PEM, or one that asks for a password");
  if (cert && key) check(key, { cert: read(cert), key: read(key) }, `it is not the key of ${cert}`);
  const checkServer = { checkServerIdentity: (host: string, certificate: PeerCertificate) => identity(urls.map(hostOf), host, certificate) };
  return { ...(ca && { caFile: ca }), ...(cert && { certFile: cert }), ...(key && { keyFile: key }), ...checkServer };
}

const jwtLine = /^\s*([\w-]+\.[\w-]+\.[\w-]+)\s*$/m;
const seedLine = /^\s*(SU[A-Z2-7]{56})\s*$/m;
const encoder = new TextEncoder();

function fromCreds(text: string): Authenticator {
  const jwt = jwtLine.exec(text)?.[1];
  if (!jwt) throw new RangeError("it holds no JWT");
  return jwtAuthenticator(jwt, seedIn(text));
}

const fromSeed = (text: string): Authenticator => nkeyAuthenticator(seedIn(text));

function seedIn(text: string): Uint8Array {
  const seed = seedLine.exec(text)?.[1];
  if (!seed) throw new RangeError("it holds no seed of a user's NKey (SU...)");
  return encoder.encode(seed);
}

/** A file that cannot be used now may be half written. To fail in the middle of a connection would end it for good. */
function reread(file: string, make: (text: string) => Authenticator): Authenticator {
  let last = usable(file, make);
  return (nonce) => {
    try {
      last = usable(file, make);
    } catch {
      // what was right before may still be
    }
    return last(nonce);
  };
}

function usable(file: string, make: (text: string) => Authenticator): Authenticator {
  const text = read(file);
  try {
    const authenticator = make(text);
    authenticator("a nonce"); // the seed has a check sum
    return authenticator;
  } catch (cause) {
    throw unusable(file, cause instanceof RangeError ? cause.message : "its seed is damaged");
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw unusable(file, `it cannot be read: ${(cause as NodeJS.ErrnoException).code ?? "unknown error"}`);
  }
}

function check(file: string, options: SecureContextOptions, otherwise: string): void {
  try {
    createSecureContext(options);
  } catch {
    throw unusable(file, otherwise); // OpenSSL's own words help nobody
  }
}

const unusable = (file: string, detail: string): Fault => new Fault("NatsFileUnusable", file, { detail });

/**
 * For a server that is dialled by its IP address the client asks for a certificate of "localhost": anyone's would do, and
 * the right one would not. A certificate counts when it is for a server that the operator named.
 */
function identity(named: string[], host: string, certificate: PeerCertificate): Error | undefined {
  const hosts = host === "localhost" ? named : [host, ...named];
  const errors = hosts.map((each) => checkServerIdentity(each, certificate));
  return errors.includes(undefined) ? undefined : errors[0];
}

/** `host`, `host:port`, `[::1]:port`, each perhaps with a scheme. */
const hostOf = (url: string): string => /^(?:[a-z]+:\/\/)?(?:\[([^\]]*)\]|([^:/]*))/i.exec(url)?.slice(1).find((host) => host) ?? "";
