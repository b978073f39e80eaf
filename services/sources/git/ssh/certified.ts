/**
 * Certificates of hosts under ssh2, which knows none: it is brought to ask for them, to take what a host shows for what it was
 * asked for, and to look for the key inside of one that was accepted. What is reached into is pinned by its version and by the
 * tests. Whatever is missed, the handshake fails: the host has to sign, with the key in the certificate, a hash that the
 * certificate is part of.
 */
import { createRequire } from "node:module";
import type { Client } from "ssh2";
import { certificateAlgorithms, certificateType, readCertificate } from "./host-certificate.ts";

type Exchange = { negotiated: { serverHostKey: string }; _hostKey: Buffer; finish(...args: unknown[]): unknown };
type Protocol = { _kex?: Exchange };

const { SUPPORTED_SERVER_HOST_KEY: supported } = createRequire(import.meta.url)("ssh2/lib/protocol/constants.js") as { SUPPORTED_SERVER_HOST_KEY: string[] };

/** What was agreed on, of an exchange of keys that goes by what is shown for it. */
const agreed = new WeakMap<Exchange, string>();

/** From now on certificates may be asked for. */
export function allowCertificates(): void {
  for (const algorithm of certificateAlgorithms) if (!supported.includes(algorithm)) supported.push(algorithm);
}

/** Of a client that connects: a certificate of an RSA key goes by another name than what it was asked for by. */
export function expectCertificates(client: Client): void {
  const protocol = protocolOf(client);
  let current = protocol?._kex;
  if (protocol) Object.defineProperty(protocol, "_kex", { configurable: true, get: () => current, set: (exchange?: Exchange) => { current = exchange && renamed(exchange); } });
}

function renamed(exchange: Exchange): Exchange {
  const { negotiated } = exchange;
  const type = certificateType(negotiated.serverHostKey);
  if (type === undefined) return exchange;
  agreed.set(exchange, negotiated.serverHostKey);
  negotiated.serverHostKey = type;
  return exchange;
}

/** The exchange of keys that is under way goes on with the certificate that the host has shown, and the key in it. */
export function acceptCertificate(client: Client, blob: Buffer): void {
  const key = readCertificate(blob)?.key;
  const exchange = protocolOf(client)?._kex;
  const algorithm = exchange && agreed.get(exchange);
  if (!key || !exchange || !algorithm) return;
  const { finish } = exchange;
  exchange.negotiated.serverHostKey = algorithm.replace(/-cert-v01@openssh\.com$/, "");
  exchange.finish = (...args) => {
    // It is looked at to hash what was shown, then to learn by which key the hash is signed, and is emptied in the end.
    let looks = 0;
    Object.defineProperty(exchange, "_hostKey", { configurable: true, get: () => (looks++ === 0 ? blob : key), set: () => {} });
    return finish.apply(exchange, args);
  };
}

const protocolOf = (client: Client): Protocol | undefined => (client as unknown as { _protocol?: Protocol })._protocol;
