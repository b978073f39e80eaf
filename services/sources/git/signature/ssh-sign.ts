/** SSH signatures (OpenSSH, PROTOCOL.sshsig): a text signed for Git, with SHA-512 as ssh-keygen does. */
import { createHash, createPrivateKey, sign, type KeyObject } from "node:crypto";
import ssh2 from "ssh2";
import { unlock } from "../ssh/private-key.ts";
import { curveOf, leastRsaBits } from "../ssh/public-key.ts";
import { field } from "../ssh/wire.ts";
import { namespace } from "./ssh-signature.ts";

/** @throws RangeError in words that quote nothing of the key */
export async function signSsh({ key: pem, passphrase }: { key: string; passphrase: string }, payload: string): Promise<string> {
  const parsed = [ssh2.utils.parseKey(unlock({ pem, passphrase }))].flat()[0];
  if (!parsed || parsed instanceof Error) throw new RangeError("the identity is no readable private key");
  const hash = "sha512";
  const digest = createHash(hash).update(payload).digest();
  const about = [field(namespace), field(""), field(hash)];
  const signature = signed(parsed.type, createPrivateKey(parsed.getPrivatePEM()), Buffer.concat([magic, ...about, field(digest)]));
  const version = Buffer.from([0, 0, 0, 1]);
  return armoured(Buffer.concat([magic, version, field(parsed.getPublicSSH()), ...about, field(signature)]));
}

const magic = Buffer.from("SSHSIG");

/** RFC 8709, RFC 5656, RFC 8332. */
function signed(type: string, key: KeyObject, data: Buffer): Buffer {
  if (type === "ssh-ed25519") return Buffer.concat([field(type), field(sign(null, data, key))]);
  if (type === "ssh-rsa") {
    if ((key.asymmetricKeyDetails?.modulusLength ?? 0) < leastRsaBits) throw new RangeError(`the identity is an RSA key of less than ${leastRsaBits} bits, which nobody would accept`);
    return Buffer.concat([field("rsa-sha2-512"), field(sign("sha512", data, key))]);
  }
  const curve = curveOf(type);
  if (!curve) throw new RangeError("the identity is neither Ed25519, RSA nor ECDSA");
  const numbers = sign(curve.hash, data, { key, dsaEncoding: "ieee-p1363" });
  const [r, s] = [numbers.subarray(0, curve.bytes), numbers.subarray(curve.bytes)].map((number) => field(mpint(number)));
  return Buffer.concat([field(type), field(Buffer.concat([r ?? magic, s ?? magic]))]);
}

/** RFC 4251, 5: without leading zeros, but for the one that keeps it positive. */
function mpint(number: Buffer): Buffer {
  const first = number.findIndex((byte) => byte !== 0);
  const bare = number.subarray(first);
  return (bare[0] ?? 0) < 0x80 ? bare : Buffer.concat([Buffer.from([0]), bare]);
}

const armoured = (signature: Buffer): string =>
  ["-----BEGIN SSH SIGNATURE-----", ...(signature.toString("base64").match(/.{1,70}/g) ?? []), "-----END SSH SIGNATURE-----", ""].join("\n");
