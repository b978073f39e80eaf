/** PGP: private keys without a passphrase, as `gpg --export-secret-keys --armor` writes them. */
import { Buffer } from "node:buffer";
import type { PrivateKey } from "openpgp";
import { KeyError, textOf, type KeyKind } from "../key-kind.ts";

export const pgp: KeyKind = {
  field: "pgp",
  name: (entry) => `PGP ${textOf(entry, "fp")}`,

  async unwrap(entry, { secret }) {
    const files = Object.entries(secret).filter(([name]) => name.endsWith(".asc"));
    if (files.length === 0) throw new KeyError("the Secret holds no PGP key (a key of the Secret that ends in .asc)");
    const { decrypt, readMessage, readPrivateKeys } = await import("openpgp");
    const decryptionKeys: PrivateKey[] = [];
    for (const [name, content] of files)
      for (const block of blocksOf(Buffer.from(content)))
        try {
          decryptionKeys.push(...(await (typeof block === "string" ? readPrivateKeys({ armoredKeys: block }) : readPrivateKeys({ binaryKeys: block }))));
        } catch {
          throw new KeyError(`${name} of the Secret is not a PGP private key`);
        }
    if (decryptionKeys.every((key) => !key.isDecrypted())) throw new KeyError("the PGP keys of the Secret are protected by a passphrase; export them without one");
    const message = await readMessage({ armoredMessage: textOf(entry, "enc") }).catch(() => {
      throw new KeyError("what is encrypted for it is damaged");
    });
    const usable = decryptionKeys.filter((key) => key.isDecrypted());
    const { data } = await decrypt({ message, decryptionKeys: usable, format: "binary" }).catch(() => {
      throw new KeyError("no PGP key of the Secret opens it");
    });
    return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  },
};

/** A file may hold several armoured blocks one after the other. */
function blocksOf(content: Buffer): (string | Uint8Array)[] {
  if (!content.includes("-----BEGIN PGP")) return [content];
  return content.toString().match(/-----BEGIN PGP [^]*?-----END PGP [A-Z ]*-----/g) ?? [];
}
