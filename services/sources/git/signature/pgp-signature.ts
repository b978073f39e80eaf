/** PGP signatures: by whom of those who are trusted a text was signed. The library is large, and loaded when it is needed. */
import type { Key } from "openpgp";

/**
 * The id of the key that signed, of the primary key as everybody calls it.
 *
 * @param keyRings armoured
 * @throws RangeError in words when the signature is not good, or by nobody who is trusted
 */
export async function verifyPgp(armoured: string, payload: Buffer, keyRings: string[]): Promise<string> {
  const { createMessage, readSignature, verify } = await import("openpgp");
  const signature = await readSignature({ armoredSignature: armoured.trim() }).catch(() => {
    throw new RangeError("the signature is not readable");
  });
  const keys = await readKeys(keyRings);
  const message = await createMessage({ binary: new Uint8Array(payload) });
  const { signatures } = await verify({ message, signature, verificationKeys: keys });
  let why = "the signature is not readable";
  for (const { keyID, verified } of signatures) {
    const key = keys.find((each) => each.getKeys(keyID).length > 0);
    if (!key) {
      why = `no trusted PGP key: it is signed by ${keyID.toHex().toUpperCase()}`;
      continue;
    }
    if (!(await holds(verified))) why = "the signature does not fit what it is on, or its key or hash may not sign";
    else if (!(await holds(key.getSigningKey(keyID, new Date())))) why = "the key that signed has expired, or was revoked";
    else return key.getKeyID().toHex().toUpperCase();
  }
  throw new RangeError(why);
}

/** A ring that cannot be read spoils the others only when there are none, as in Flux. */
async function readKeys(keyRings: string[]): Promise<Key[]> {
  const { readKeys: read } = await import("openpgp");
  const rings = await Promise.allSettled(keyRings.map(async (armoredKeys) => read({ armoredKeys })));
  const keys = rings.flatMap((ring) => (ring.status === "fulfilled" ? ring.value : []));
  if (keys.length === 0) throw new RangeError("the Secret's PGP keys are not readable");
  return keys;
}

const holds = (promise: Promise<unknown>): Promise<boolean> => promise.then(() => true, () => false);
