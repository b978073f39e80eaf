/** Public keys of SSH, and what they have signed. */
import { createHash, createPublicKey, verify, type KeyObject } from "node:crypto";
import { typeOf } from "./known-hosts.ts";
import { Reader } from "./wire.ts";

/** Smaller RSA keys are refused by OpenSSH too. */
export const leastRsaBits = 2048;

/** @param key as `authorized_keys` has it @throws RangeError when the signature, or the key, cannot be read */
export function isSignedBy(key: Buffer, signature: Buffer, signed: Buffer): boolean {
  const type = typeOf(key) ?? "";
  const fields = new Reader(signature);
  const [algorithm, value] = [String(fields.next()), fields.next()];
  const { publicKey, application } = readKey(key);
  const data = application === undefined ? signed : securityKeyData(application, fields, signed);
  if (!fields.isAtEnd) return false;
  if (type.includes("ed25519")) return algorithm === type && verify(null, data, publicKey, value);
  if (type === "ssh-rsa") {
    const hash = { "rsa-sha2-256": "sha256", "rsa-sha2-512": "sha512" }[algorithm];
    const { modulusLength = 0 } = publicKey.asymmetricKeyDetails ?? {};
    return hash !== undefined && modulusLength >= leastRsaBits && verify(hash, data, publicKey, value);
  }
  const curve = curveOf(type);
  if (algorithm !== type || !curve) return false;
  const numbers = new Reader(value);
  const parts = [numbers.next(), numbers.next()].map((number) => padded(number, curve.bytes));
  return verify(curve.hash, data, { key: publicKey, dsaEncoding: "ieee-p1363" }, Buffer.concat(parts));
}

/** A key that lives in hardware signs that somebody touched it, and how often it was used (OpenSSH, PROTOCOL.u2f). */
function securityKeyData(application: Buffer, fields: Reader, signed: Buffer): Buffer {
  const flagsAndCounter = fields.take(5);
  if (((flagsAndCounter[0] ?? 0) & 1) === 0) throw new RangeError("the signature was made without anybody's touch");
  const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest();
  return Buffer.concat([sha256(application), flagsAndCounter, sha256(signed)]);
}

function readKey(blob: Buffer): { publicKey: KeyObject; application?: Buffer } {
  const fields = new Reader(blob);
  const type = String(fields.next());
  const jwk = (key: Record<string, string>) => createPublicKey({ format: "jwk", key });
  if (type === "ssh-ed25519" || type === "sk-ssh-ed25519@openssh.com") {
    const publicKey = jwk({ kty: "OKP", crv: "Ed25519", x: fields.next().toString("base64url") });
    return type.startsWith("sk-") ? { publicKey, application: fields.next() } : { publicKey };
  }
  if (type === "ssh-rsa") {
    const [e, n] = [fields.next(), fields.next()].map((number) => unsigned(number).toString("base64url"));
    return { publicKey: jwk({ kty: "RSA", e: e ?? "", n: n ?? "" }) };
  }
  const curve = curveOf(type);
  if (!curve) throw new RangeError("keys of this kind are not read");
  fields.next(); // the curve's name again
  const point = fields.next();
  if (point.length !== 1 + 2 * curve.bytes || point[0] !== 4) throw new RangeError("the key is not readable");
  const [x, y] = [point.subarray(1, 1 + curve.bytes), point.subarray(1 + curve.bytes)].map((part) => part.toString("base64url"));
  const publicKey = jwk({ kty: "EC", crv: curve.name, x: x ?? "", y: y ?? "" });
  return type.startsWith("sk-") ? { publicKey, application: fields.next() } : { publicKey };
}

const curves: Record<string, { name: string; bytes: number; hash: string }> = {
  nistp256: { name: "P-256", bytes: 32, hash: "sha256" },
  nistp384: { name: "P-384", bytes: 48, hash: "sha384" },
  nistp521: { name: "P-521", bytes: 66, hash: "sha512" },
};

export const curveOf = (type: string) => curves[/^(?:ecdsa-sha2-|sk-ecdsa-sha2-)(nistp\d+)(?:@openssh\.com)?$/.exec(type)?.[1] ?? ""];

const unsigned = (number: Buffer): Buffer => (number[0] === 0 ? number.subarray(1) : number);

function padded(number: Buffer, bytes: number): Buffer {
  const bare = unsigned(number);
  if (bare.length > bytes) throw new RangeError("the signature is not readable");
  return Buffer.concat([Buffer.alloc(bytes - bare.length), bare]);
}
