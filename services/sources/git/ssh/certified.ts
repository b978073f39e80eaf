/**
 * Certificates of hosts under ssh2, which knows none: it is brought to ask for them, and to look for the key inside of one
 * that was accepted. What is reached into is pinned by its version and by the tests. Whatever is missed, the handshake fails:
 * the host has to sign, with the key in the certificate, a hash that the certificate is part of.
 */
import { createRequire } from "node:module";
import type { Client } from "ssh2";
import { certificateTypes, readCertificate } from "./host-certificate.ts";

type Exchange = { negotiated: { serverHostKey: string }; _hostKey: Buffer; finish(...args: unknown[]): unknown };

const { SUPPORTED_SERVER_HOST_KEY: supported } = createRequire(import.meta.url)("ssh2/lib/protocol/constants.js") as { SUPPORTED_SERVER_HOST_KEY: string[] };

/** From now on certificates may be asked for. */
export function allowCertificates(): void {
  for (const type of certificateTypes) if (!supported.includes(type)) supported.push(type);
}

/** The exchange of keys that is under way goes on with the certificate that the host has shown, and the key in it. */
export function acceptCertificate(client: Client, blob: Buffer): void {
  const key = readCertificate(blob)?.key;
  const exchange = (client as unknown as { _protocol?: { _kex?: Exchange } })._protocol?._kex;
  if (!key || !exchange) return;
  const { finish } = exchange;
  exchange.negotiated.serverHostKey = exchange.negotiated.serverHostKey.replace(/-cert-v01@openssh\.com$/, "");
  exchange.finish = (...args) => {
    // It is looked at to hash what was shown, then to learn by which key the hash is signed, and is emptied in the end.
    let looks = 0;
    Object.defineProperty(exchange, "_hostKey", { configurable: true, get: () => (looks++ === 0 ? blob : key), set: () => {} });
    return finish.apply(exchange, args);
  };
}
