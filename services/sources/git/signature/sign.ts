/** Commits signed with the key of a Secret: PGP, or SSH (OpenSSH, PROTOCOL.sshsig). Source: image-automation-controller internal/source/signing.go */
import { Fault } from "#protocol/errors/fault.ts";

export type SigningKey = {
  type: "gpg" | "ssh";
  /** Armoured, or PEM. */
  key: string;
  passphrase: string;
};

/**
 * @param type `spec.git.commit.signingKey.type`; gpg when absent
 * @param data of the Secret
 * @param shown the Secret, for messages
 * @throws Fault SigningKeyInvalid when there is no such key
 */
export function readSigningKey(type: "gpg" | "ssh" | undefined, data: Readonly<Record<string, Uint8Array>>, shown: string): SigningKey {
  const [keyName, passphraseName] = type === "ssh" ? (["identity", "password"] as const) : (["git.asc", "passphrase"] as const);
  const { [keyName]: key, [passphraseName]: passphrase = new Uint8Array() } = data;
  if (!key || key.length === 0) throw new Fault("SigningKeyInvalid", shown, { detail: `it has no ${keyName}` });
  return { type: type ?? "gpg", key: Buffer.from(key).toString(), passphrase: Buffer.from(passphrase).toString() };
}

/**
 * The armoured signature of a commit. To take off a passphrase is meant to take long: not for a thread that others wait for.
 *
 * @param payload the commit without signature
 * @throws Fault SigningKeyInvalid
 */
export async function signCommit({ type, key, passphrase }: SigningKey, payload: string, shown: string): Promise<string> {
  try {
    // Either library is large.
    const sign = type === "ssh" ? (await import("./ssh-sign.ts")).signSsh : (await import("./pgp-sign.ts")).signPgp;
    return await sign({ key, passphrase }, payload);
  } catch (thrown) {
    if (thrown instanceof RangeError) throw new Fault("SigningKeyInvalid", shown, { detail: thrown.message });
    throw thrown;
  }
}
