/** Certificates of SSH hosts (OpenSSH, PROTOCOL.certkeys), also such as ssh-keygen would not make. */
import { generateKeyPairSync, randomBytes, sign, type KeyObject } from "node:crypto";
import { field } from "#services/sources/git/ssh/wire.ts";

/** Who vouches for hosts: the key, and its public half as `known_hosts` has it. */
export type SshAuthority = { key: KeyObject; type: string; blob: Buffer; line: string };

export function sshAuthority(kind: "ed25519" | "ecdsa" | "rsa" = "ed25519"): SshAuthority {
  const { privateKey: key, publicKey } =
    kind === "ed25519" ? generateKeyPairSync("ed25519") : kind === "rsa" ? generateKeyPairSync("rsa", { modulusLength: 2048 }) : generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { x = "", y = "", n = "", e = "" } = publicKey.export({ format: "jwk" }) as Record<string, string>;
  const bytes = (text: string) => Buffer.from(text, "base64url");
  const [type, ...fields] =
    kind === "ed25519" ? ["ssh-ed25519", bytes(x)] as const
    : kind === "rsa" ? ["ssh-rsa", bytes(e), Buffer.concat([Buffer.of(0), bytes(n)])] as const
    : ["ecdsa-sha2-nistp256", Buffer.from("nistp256"), Buffer.concat([Buffer.of(4), bytes(x), bytes(y)])] as const;
  const blob = Buffer.concat([field(type), ...fields.map(field)]);
  return { key, type, blob, line: `${type} ${blob.toString("base64")}` };
}

export type CertificateOptions = { principals?: string[]; from?: number; until?: bigint; isForUsers?: boolean; options?: string; signer?: SshAuthority };

/** @param host its public key, `type base64` @returns the certificate in the same form */
export function hostCertificate(host: string, authority: SshAuthority, { principals = ["127.0.0.1"], from = 0, until = 2n ** 64n - 1n, isForUsers = false, options = "", signer = authority }: CertificateOptions = {}): string {
  const [plain = "", base64 = ""] = host.split(" ");
  const type = `${plain}-cert-v01@openssh.com`;
  const key = Buffer.from(base64, "base64").subarray(4 + plain.length);
  const uint64 = (value: bigint) => { const bytes = Buffer.alloc(8); bytes.writeBigUInt64BE(value); return bytes; };
  const kind = Buffer.from([0, 0, 0, isForUsers ? 1 : 2]);
  const signed = Buffer.concat([
    field(type), field(randomBytes(32)), key, uint64(7n), kind, field("host"), field(Buffer.concat(principals.map(field))), uint64(BigInt(from)), uint64(until),
    field(options === "" ? "" : Buffer.concat([field(options), field("")])), field(""), field(""), field(authority.blob),
  ]);
  return `${type} ${Buffer.concat([signed, field(signatureOf(signed, signer))]).toString("base64")}`;
}

function signatureOf(signed: Buffer, { key, type }: SshAuthority): Buffer {
  if (type === "ssh-ed25519") return Buffer.concat([field(type), field(sign(null, signed, key))]);
  if (type === "ssh-rsa") return Buffer.concat([field("rsa-sha2-512"), field(sign("sha512", signed, key))]);
  const both = sign("sha256", signed, { key, dsaEncoding: "ieee-p1363" });
  const number = (bytes: Buffer) => field(Buffer.concat([Buffer.of(0), bytes]));
  return Buffer.concat([field(type), field(Buffer.concat([number(both.subarray(0, 32)), number(both.subarray(32))]))]);
}
