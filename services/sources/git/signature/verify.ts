/** `spec.verify`: the commit, the tag, or both have to be signed by somebody whose key is in the Secret (flux.md 2.1, 8). */
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { verifyPgp } from "./pgp-signature.ts";
import { kindOf, nameInTag, splitCommit, splitTag, type SignedObject } from "./signed-object.ts";
import { readTrustedKeys, verifySsh } from "./ssh-signature.ts";

export type Verification = {
  commit: boolean;
  tag: boolean;
  /** Data of the Secret: SSH keys under `*.sshpub`, PGP keys under anything else. */
  keys: Record<string, Uint8Array>;
};

type Signed = {
  commit: { oid: string; contents: Buffer };
  /** The annotated tag, when the commit was found by one. */
  tag?: { oid: string; contents: Buffer };
  /** What the tag is called in the repository; empty when no tag was followed. */
  tagName: string;
};

/** What was verified and by whose key, in Flux's words. @throws Fault, each with the reason Flux gives */
export async function verifySigned({ commit, tag, tagName }: Signed, { keys, ...wanted }: Verification, shown: string): Promise<string> {
  const said: string[] = [];
  const check = async (code: FaultCode, what: string, split: () => SignedObject) => {
    const key = await signerOf(split, keys).catch((error: unknown) => {
      if (!(error instanceof RangeError)) throw error;
      throw new Fault(code, shown, { detail: `${what}: ${error.message}` });
    });
    said.push(`\n\t- ${what} with key '${key}'`);
  };
  if (wanted.tag) {
    if (tagName === "") throw new Fault("VerificationModeInvalid", shown);
    if (!tag || splitTag(tag.contents).signature === "") throw new Fault("TagUnsigned", shown, { detail: `tag '${tagName}' is not signed` });
    const name = nameInTag(tag.contents);
    await check("TagSignatureInvalid", `tag '${name}@${tag.oid}'`, () => splitTag(tag.contents));
    // Or a signed tag could be passed off as another one, an old release as the newest.
    if (name !== tagName) throw new Fault("TagSignatureInvalid", shown, { detail: `tag '${tagName}' was signed under the name '${name}'` });
  }
  if (wanted.commit) await check("CommitSignatureInvalid", `commit '${commit.oid}'`, () => splitCommit(commit.contents));
  return `verified signature of${said.join("")}`;
}

async function signerOf(split: () => SignedObject, keys: Verification["keys"]): Promise<string> {
  const { payload, signature } = split();
  const texts = Object.entries(keys).map(([name, value]) => ({ isSsh: name.endsWith(".sshpub"), text: Buffer.from(value).toString() }));
  const [ssh, pgp] = [true, false].map((which) => texts.filter(({ isSsh }) => isSsh === which).map(({ text }) => text)) as [string[], string[]];
  const kind = kindOf(signature);
  if (kind === "openpgp") {
    if (pgp.length === 0) throw new RangeError("it has a PGP signature, and the Secret no PGP keys (under *.asc)");
    return verifyPgp(signature, payload, pgp);
  }
  if (kind === "ssh") {
    if (ssh.length === 0) throw new RangeError("it has an SSH signature, and the Secret no SSH keys (under *.sshpub)");
    return verifySsh(signature, payload, trustedOf(ssh));
  }
  throw new RangeError(kind === "empty" ? "it is not signed" : `signatures of type ${kind} are not verified`);
}

/** A file that cannot be read spoils the others only when there are none, as in Flux. */
function trustedOf(files: string[]): Buffer[] {
  let unreadable: unknown;
  const keys = files.flatMap((text) => {
    try {
      return readTrustedKeys(text);
    } catch (error) {
      unreadable = error;
      return [];
    }
  });
  if (keys.length === 0 && unreadable) throw unreadable;
  return keys;
}
