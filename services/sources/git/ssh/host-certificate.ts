/** Certificates of hosts (OpenSSH, PROTOCOL.certkeys): whose they are, what they are good for, and who says so. */
import { isGlobMatch, isRevoked, typeOf, type HostEntry } from "./known-hosts.ts";
import { isSignedBy } from "./public-key.ts";
import { field, Reader } from "./wire.ts";

/** Of the key in them: its kind, how many fields it has, and what a certificate with it is asked for by where that is not its own kind. */
const kinds: Record<string, { plain: string; fields: number; algorithms?: string[] }> = {
  "ssh-ed25519-cert-v01@openssh.com": { plain: "ssh-ed25519", fields: 1 },
  "ecdsa-sha2-nistp256-cert-v01@openssh.com": { plain: "ecdsa-sha2-nistp256", fields: 2 },
  "ecdsa-sha2-nistp384-cert-v01@openssh.com": { plain: "ecdsa-sha2-nistp384", fields: 2 },
  "ecdsa-sha2-nistp521-cert-v01@openssh.com": { plain: "ecdsa-sha2-nistp521", fields: 2 },
  // A signature of theirs is made with one of these, and never with SHA-1.
  "ssh-rsa-cert-v01@openssh.com": { plain: "ssh-rsa", fields: 2, algorithms: ["rsa-sha2-512-cert-v01@openssh.com", "rsa-sha2-256-cert-v01@openssh.com"] },
};

export const isCertificate = (blob: Buffer): boolean => (typeOf(blob) ?? "") in kinds;

/** What a host is asked for that may show one, best first. */
export const certificateAlgorithms: readonly string[] = Object.entries(kinds).flatMap(([type, { algorithms = [type] }]) => algorithms);

/** The kind that is shown for what was asked for. */
export const certificateType = (algorithm: string): string | undefined => Object.keys(kinds).find((type) => (kinds[type]?.algorithms ?? [type]).includes(algorithm));

type Certificate = {
  /** The host's key, as it would be without a certificate. */
  key: Buffer;
  isForHosts: boolean;
  principals: string[];
  fromSeconds: bigint;
  untilSeconds: bigint;
  hasCriticalOptions: boolean;
  authority: Buffer;
  signature: Buffer;
  signed: Buffer;
};

/** Undefined for anything else than a certificate. @throws RangeError for one that cannot be read */
export function readCertificate(blob: Buffer): Certificate | undefined {
  const kind = kinds[typeOf(blob) ?? ""];
  if (!kind) return undefined;
  const fields = new Reader(blob);
  fields.next(); // its kind
  fields.next(); // chance
  const key = Buffer.concat([field(kind.plain), ...Array.from({ length: kind.fields }, () => field(fields.next()))]);
  fields.take(8); // serial number
  const isForHosts = fields.number() === 2;
  fields.next(); // name of the key
  const principals = listOf(fields.next());
  const [fromSeconds, untilSeconds] = [fields.take(8).readBigUInt64BE(), fields.take(8).readBigUInt64BE()];
  const hasCriticalOptions = fields.next().length > 0;
  fields.next(); // extensions: hosts have none
  fields.next(); // reserved
  const authority = fields.next();
  const signed = blob.subarray(0, blob.length - fields.left);
  const signature = fields.next();
  if (!fields.isAtEnd) throw new RangeError("the certificate is not readable");
  return { key, isForHosts, principals, fromSeconds, untilSeconds, hasCriticalOptions, authority, signature, signed };
}

/**
 * Why the certificate does not make the host a known one; undefined when it does. As OpenSSH judges (sshkey_cert_check_host):
 * one without principals is good for every host.
 *
 * @param name as in `known_hosts`, with the port where that is not 22
 * @param host without
 */
export function certificateRefusal(entries: HostEntry[], name: string, host: string, blob: Buffer, nowMs: number): string | undefined {
  try {
    const certificate = readCertificate(blob);
    if (!certificate) return "is not readable";
    const { key, isForHosts, principals, fromSeconds, untilSeconds, hasCriticalOptions, authority, signature, signed } = certificate;
    const nowSeconds = BigInt(Math.floor(nowMs / 1000));
    if ([key, blob, authority].some((each) => isRevoked(entries, each))) return "is revoked in known_hosts, or its authority is";
    if (!entries.some(({ marker, matches, key: trusted }) => marker === "@cert-authority" && matches(name) && trusted.equals(authority)))
      return "is of no authority that known_hosts names for it";
    if (!isForHosts) return "is one for users";
    if (principals.length > 0 && !principals.some((principal) => isGlobMatch(principal.toLowerCase(), host.toLowerCase()))) return "is for other hosts";
    if (nowSeconds < fromSeconds) return "is not valid yet";
    if (nowSeconds >= untilSeconds) return "has come to its end";
    if (hasCriticalOptions) return "has options that are not known";
    return isSignedBy(authority, signature, signed) ? undefined : "is not signed by its authority";
  } catch {
    return "is not readable";
  }
}

function listOf(bytes: Buffer): string[] {
  const [fields, found] = [new Reader(bytes), [] as string[]];
  while (!fields.isAtEnd) found.push(String(fields.next()));
  return found;
}
