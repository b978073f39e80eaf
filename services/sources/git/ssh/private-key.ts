/** The private key of a Secret, in a form the SSH library reads. */
import { createPrivateKey, type KeyObject } from "node:crypto";
import ssh2 from "ssh2";
import { kdfOf, longestKey, type Identity } from "./identity.ts";
import { field } from "./wire.ts";

/** ssh-keygen takes 16 or 24 rounds unless told otherwise; each costs some milliseconds. */
const mostRounds = 1_000;

/**
 * The key without its passphrase: OpenSSH's own format, PKCS#1, SEC 1 or PKCS#8, as in Flux (golang.org/x/crypto/ssh).
 *
 * @throws RangeError in words that quote nothing of the key
 */
export function unlock({ pem, passphrase }: Identity): string {
  const text = pem.trim();
  if (text.length > longestKey) throw new RangeError("the identity is too long for a private key");
  if (text.startsWith("-----BEGIN ENCRYPTED PRIVATE KEY-----"))
    throw new RangeError("an identity in encrypted PKCS#8 is not readable: convert it with ssh-keygen -p");
  if (text.startsWith("-----BEGIN PRIVATE KEY-----")) return plain(readPkcs8(text));
  const locked = kdfOf(text) !== undefined || text.includes("\nDEK-Info:");
  if (locked && passphrase === "") throw new RangeError("the identity is encrypted, and the Secret has no password for it");
  if ((kdfOf(text)?.rounds ?? 0) > mostRounds) throw new RangeError(`the identity's passphrase takes more than ${mostRounds} rounds`);
  const key = ssh2.utils.parseKey(text, locked ? passphrase : undefined);
  if (key instanceof Error) throw new RangeError(`the identity is no readable private key${locked ? ", or its password is another" : ""}`);
  const [first] = Array.isArray(key) ? key : [key];
  if (!first?.isPrivateKey()) throw new RangeError("the identity is not a private key");
  return locked ? plain(createPrivateKey(first.getPrivatePEM())) : text;
}

function readPkcs8(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new RangeError("the identity is no readable private key");
  }
}

function plain(key: KeyObject): string {
  if (key.asymmetricKeyType === "rsa") return String(key.export({ type: "pkcs1", format: "pem" }));
  if (key.asymmetricKeyType === "ec") return String(key.export({ type: "sec1", format: "pem" }));
  if (key.asymmetricKeyType === "ed25519") return openssh(key);
  throw new RangeError("the identity is neither Ed25519, RSA nor ECDSA");
}

/** Ed25519 has no older format that the library reads (OpenSSH, PROTOCOL.key). */
function openssh(key: KeyObject): string {
  const { x = "", d = "" } = key.export({ format: "jwk" });
  const [publicPart, privatePart] = [Buffer.from(x, "base64url"), Buffer.from(d, "base64url")];
  const type = "ssh-ed25519";
  const check = Buffer.alloc(8); // two equal numbers: shows that a passphrase was right
  const secret = [check, field(type), field(publicPart), field(Buffer.concat([privatePart, publicPart])), field("")];
  const length = secret.reduce((sum, part) => sum + part.length, 0);
  const padding = Buffer.from(Array.from({ length: (8 - (length % 8)) % 8 }, (_, i) => i + 1));
  const one = Buffer.from([0, 0, 0, 1]);
  const parts = [Buffer.from("openssh-key-v1\0"), field("none"), field("none"), field(""), one, field(Buffer.concat([field(type), field(publicPart)])), field(Buffer.concat([...secret, padding]))];
  const text = Buffer.concat(parts).toString("base64").match(/.{1,70}/g) ?? [];
  return ["-----BEGIN OPENSSH PRIVATE KEY-----", ...text, "-----END OPENSSH PRIVATE KEY-----", ""].join("\n");
}
