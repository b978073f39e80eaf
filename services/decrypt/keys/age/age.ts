/** age: X25519 keys and the post-quantum hybrid (ML-KEM-768 with X25519) of age 1.3. */
import { Buffer } from "node:buffer";
import type { KeyEntry } from "../../metadata.ts";
import { KeyError, textOf, type KeyKind } from "../key-kind.ts";

export const age: KeyKind = {
  field: "age",
  name: (entry) => `age ${shortened(textOf(entry, "recipient"))}`,

  async unwrap(entry: KeyEntry, { secret }) {
    const identities = identitiesIn(secret);
    if (identities.length === 0) throw new KeyError("the Secret holds no age key (a key of the Secret that ends in .agekey)");
    const { armor, Decrypter } = await import("age-encryption");
    const decrypter = new Decrypter();
    for (const { name, identity } of identities)
      try {
        decrypter.addIdentity(identity);
      } catch {
        throw new KeyError(`${name} of the Secret is not a usable age key`);
      }
    const file = attempt(() => armor.decode(textOf(entry, "enc")), "what is encrypted for it is damaged");
    try {
      return Buffer.from((await decrypter.decrypt(file)).buffer);
    } catch {
      throw new KeyError("no age key of the Secret opens it");
    }
  },
};

/** One a line, beside comments. */
const identitiesIn = (secret: Readonly<Record<string, Uint8Array>>): { name: string; identity: string }[] =>
  Object.entries(secret).filter(([name]) => name.endsWith(".agekey")).flatMap(([name, content]) =>
    Buffer.from(content).toString().split("\n").map((line) => line.trim()).filter((line) => line !== "" && !line.startsWith("#"))
      .map((identity) => ({ name, identity })));

/** A post-quantum recipient has 2,000 characters. */
const shortened = (recipient: string): string => (recipient.length > 80 ? `${recipient.slice(0, 24)}…` : recipient);

function attempt<T>(work: () => T, otherwise: string): T {
  try {
    return work();
  } catch {
    throw new KeyError(otherwise);
  }
}
