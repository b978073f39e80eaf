/** The certificate of an application in Azure's directory, and its key: PEM, or PKCS #12. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { Fault } from "#protocol/errors/fault.ts";
import type { SecretData } from "#services/clients/registry/credentials.ts";
import { Threads } from "#services/threads/threads.ts";
import type { Jobs, Opened } from "./pkcs12-thread.ts";
import { textOf } from "./secret-text.ts";

/** The certificate's own comes first, then those that vouch for it. */
export type ClientCertificate = { chain: X509Certificate[]; key: string };

const threads = new Threads<Jobs>({ file: new URL("./pkcs12-thread.ts", import.meta.url), name: "pkcs12", heapMegabytes: 128, subjectOf: ({ shown }) => shown, most: 4 });

/** Common ones take a tenth of a second. */
const longestMs = 30_000;

const certificates = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const privateKey = /-----BEGIN (?:RSA )?PRIVATE KEY-----[^-]+-----END (?:RSA )?PRIVATE KEY-----/;

/** @throws Fault AuthenticationFailed; the signal's reason */
export async function readClientCertificate(secret: SecretData, shown: string, signal: AbortSignal): Promise<ClientCertificate> {
  const refused = (detail: string) => new Fault("AuthenticationFailed", shown, { detail });
  const text = textOf(secret, "clientCertificate");
  const { certificates: found, key } = text.includes("-----BEGIN ") ? inPem(text) : await opened(secret, shown, signal);
  if (found.length === 0 || !key) throw refused("clientCertificate of the Secret holds no certificate with an RSA key");
  try {
    const [all, own] = [found.map((pem) => new X509Certificate(pem)), createPrivateKey(key)];
    const isOwn = (each: X509Certificate) => each.checkPrivateKey(own);
    const chain = [...all.filter(isOwn), ...all.filter((each) => !isOwn(each))];
    if (own.asymmetricKeyType === "rsa" && chain[0] && isOwn(chain[0])) return { chain, key };
  } catch {
    throw refused("clientCertificate of the Secret cannot be read");
  }
  throw refused("clientCertificate of the Secret has no RSA key that one of its certificates is for");
}

async function opened(secret: SecretData, shown: string, signal: AbortSignal): Promise<Opened> {
  const limit = AbortSignal.timeout(longestMs);
  const job = { bytes: Uint8Array.from(secret["clientCertificate"] ?? []), password: textOf(secret, "clientCertificatePassword"), shown };
  return threads.run("open", job, AbortSignal.any([signal, limit])).catch((error: unknown) => {
    signal.throwIfAborted();
    throw limit.aborted ? new Fault("AuthenticationFailed", shown, { detail: `clientCertificate of the Secret is not open after ${longestMs / 1000} s` }) : error;
  });
}

const inPem = (text: string): Opened => ({ certificates: text.match(certificates) ?? [], key: privateKey.exec(text)?.[0] ?? "" });
