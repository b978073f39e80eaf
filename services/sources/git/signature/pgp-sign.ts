/** PGP signatures: a text signed by the one key of a Secret. The library is large, and loaded when it is needed. */
import type { PrivateKey } from "openpgp";

/** Argon2, by which a passphrase becomes a key, may ask for terabytes: 2 ** 18 KiB is what is given. */
const config = { maxArgon2MemoryExponent: 18 };

/** @throws RangeError in words that quote nothing of the key */
export async function signPgp({ key: armoredKeys, passphrase }: { key: string; passphrase: string }, payload: string): Promise<string> {
  const { createMessage, sign } = await import("openpgp");
  const key = await unlocked(await onlyKey(armoredKeys), passphrase);
  const message = await createMessage({ binary: Buffer.from(payload) });
  const now = new Date();
  await key.getSigningKey(undefined, now).catch(async () => {
    throw new RangeError(await whyNot(key, now));
  });
  const signature = await sign({ message, signingKeys: key, detached: true, date: now, config }).catch(() => {
    throw new RangeError("the PGP key is of a kind that is too weak to sign with");
  });
  return String(signature).replaceAll("\r\n", "\n");
}

async function onlyKey(armoredKeys: string): Promise<PrivateKey> {
  const { readPrivateKeys } = await import("openpgp");
  const keys = await readPrivateKeys({ armoredKeys, config }).catch(() => {
    throw new RangeError("git.asc is no armoured PGP private key");
  });
  const [key] = keys;
  if (!key) throw new RangeError("git.asc holds no PGP private key");
  if (keys.length > 1) throw new RangeError("git.asc holds several keys, and it cannot be told which one signs");
  return key;
}

async function unlocked(key: PrivateKey, passphrase: string): Promise<PrivateKey> {
  if (key.isDecrypted()) return key;
  if (passphrase === "") throw new RangeError("the PGP key is encrypted, and the Secret has no passphrase for it");
  const { decryptKey } = await import("openpgp");
  return decryptKey({ privateKey: key, passphrase, config }).catch(() => {
    throw new RangeError("the PGP key's passphrase is another");
  });
}

async function whyNot(key: PrivateKey, now: Date): Promise<string> {
  if (await key.isRevoked()) return "the PGP key was revoked";
  const expires = await key.getExpirationTime();
  if (expires !== null && new Date(expires) <= now) return "the PGP key has expired";
  return "the PGP key may not sign: it has no valid part that is meant to";
}
