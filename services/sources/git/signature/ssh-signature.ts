/** SSH signatures (OpenSSH, PROTOCOL.sshsig): by whom of those who are trusted a text was signed. */
import { createHash } from "node:crypto";
import { isSignedBy } from "../ssh/public-key.ts";
import { typeOf } from "../ssh/known-hosts.ts";
import { field, Reader } from "../ssh/wire.ts";

export const namespace = "git";
const hashes = new Set(["sha256", "sha512"]);

/**
 * Keys in the form of `authorized_keys`.
 *
 * @throws RangeError with the number of the line that cannot be read
 */
export function readTrustedKeys(text: string): Buffer[] {
  return text.split(/\r?\n/).flatMap((raw, index) => {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) return [];
    for (const [, type = "", base64 = ""] of line.matchAll(/(?<=^|[ \t])((?:ssh|ecdsa|sk)-[A-Za-z0-9@.-]{1,60})[ \t]+([A-Za-z0-9+/]{16,16000}={0,2})(?=[ \t]|$)/g)) {
      const key = Buffer.from(base64, "base64");
      if (typeOf(key) === type) return [key];
    }
    throw new RangeError(`line ${index + 1} holds no public SSH key`);
  });
}

/** `SHA256:…`, as ssh-keygen shows a key. */
export const fingerprintOf = (key: Buffer): string => `SHA256:${createHash("sha256").update(key).digest("base64").replace(/=+$/, "")}`;

/**
 * The fingerprint of the key that signed.
 *
 * @throws RangeError in words when the signature is not good, or by nobody who is trusted
 */
export function verifySsh(armoured: string, payload: Buffer, trusted: Buffer[]): string {
  const { key, space, reserved, hash, signature } = readSignature(armoured);
  if (space !== namespace) throw new RangeError("the signature was made for another purpose than Git");
  if (!hashes.has(hash)) throw new RangeError("the signature uses a hash that is not accepted");
  if (!trusted.some((each) => each.equals(key))) throw new RangeError(`no trusted SSH key: it is signed by ${fingerprintOf(key)}`);
  const digest = createHash(hash).update(payload).digest();
  const signed = Buffer.concat([Buffer.from("SSHSIG"), field(space), field(reserved), field(hash), field(digest)]);
  if (!isSignedBy(key, signature, signed)) throw new RangeError("the signature does not fit what it is on");
  return fingerprintOf(key);
}

function readSignature(armoured: string) {
  const [, base64 = ""] = /^-----BEGIN SSH SIGNATURE-----([A-Za-z0-9+/=\s]+)-----END SSH SIGNATURE-----$/.exec(armoured.trim()) ?? [];
  const bytes = Buffer.from(base64, "base64");
  if (bytes.toString("latin1", 0, 6) !== "SSHSIG") throw new RangeError("the signature is not readable");
  const fields = new Reader(bytes.subarray(6));
  if (fields.number() !== 1) throw new RangeError("the signature is of another version");
  const [key, space, reserved, hash, signature] = [fields.next(), String(fields.next()), fields.next(), String(fields.next()), fields.next()];
  if (!fields.isAtEnd) throw new RangeError("the signature is not readable");
  return { key, space, reserved, hash, signature };
}
