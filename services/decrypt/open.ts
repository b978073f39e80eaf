/** Opens one encrypted document: finds its data key, decrypts what is encrypted, verifies the MAC over all of it. */
import { Buffer } from "node:buffer";
import { createHash, timingSafeEqual, type Hash } from "node:crypto";
import { CipherError, openValue } from "./cipher.ts";
import { readDocument, type Format } from "./formats/format.ts";
import { takeMetadata, type Metadata } from "./metadata.ts";
import { plainFloat } from "./numbers.ts";
import type { Branch, Comment, Document, Scalar, Value } from "./tree.ts";

export type OpenOptions = {
  /** @throws what says why none of the document's keys opens it */
  dataKeyOf(metadata: Metadata): Promise<Buffer>;
  ignoreMac: boolean;
  /** No other encrypted value is taken: those of a document whose MAC was verified. */
  known?: ReadonlySet<string>;
};

export type Opened = {
  document: Document;
  dataKey: Buffer;
  /** Every decrypted text, so that it can be recognised elsewhere, and cleared. */
  plain: Buffer[];
};

/** The document was changed by something else than sops. */
export class MacError extends Error {}

/** @throws FormatError, CipherError with the place of the value, MacError; and what `dataKeyOf` throws */
export async function openDocument(content: Uint8Array, format: Format, { dataKeyOf, ignoreMac, known }: OpenOptions): Promise<Opened> {
  const document = readDocument(content, format);
  const metadata = takeMetadata(document, format);
  const dataKey = await dataKeyOf(metadata);
  const walk = new Walk(metadata, dataKey, known);
  try {
    for (const branch of document) walk.branch(branch, [], []);
    if (!ignoreMac) walk.verify();
  } catch (thrown) {
    for (const bytes of walk.plain) bytes.fill(0);
    dataKey.fill(0);
    if (thrown instanceof Error) thrown.message += laterVersion(metadata.version);
    throw thrown;
  }
  return { document, dataKey, plain: walk.plain };
}

/** Every version so far has kept the format, and sops itself does not look at the number: it only explains a failure. */
function laterVersion(version: string): string {
  const major = Number(/^(\d{1,4})\./.exec(version)?.[1] ?? 3);
  return major > 3 ? `; it was written by sops ${major}, which this release does not know` : "";
}

/** Some known bytes, so that a MAC over the encrypted values alone is never one over all (sops.go). */
const encryptedOnly = Buffer.from("8a3fd2ad54ce66527b1034f3d147be0b0b975b3bf44f72c6fdadec8176f27d69", "hex");

class Walk {
  readonly plain: Buffer[] = [];
  private readonly metadata: Metadata;
  private readonly dataKey: Buffer;
  private readonly hash: Hash;
  private readonly known: ReadonlySet<string> | undefined;

  constructor(metadata: Metadata, dataKey: Buffer, known?: ReadonlySet<string>) {
    this.known = known;
    this.metadata = metadata;
    this.dataKey = dataKey;
    this.hash = createHash("sha512");
    if (metadata.macOnlyEncrypted) this.hash.update(encryptedOnly);
  }

  /** Decrypts in place. `comments`: those that stand above, for each level. */
  branch(branch: Branch, keys: string[], comments: string[][]): void {
    let above: string[] = [];
    for (const [at, item] of branch.items.entries()) {
      if (item.kind === "comment") {
        above.push(item.text);
        branch.items[at] = this.comment(item, keys, [...comments, above]);
        continue;
      }
      item.value = this.value(item.value, [...keys, item.key], [...comments, above]);
      above = [];
    }
  }

  /** @throws MacError */
  verify(): void {
    const { mac, lastModified } = this.metadata;
    if (mac === "") throw new MacError("has no MAC");
    let expected: Scalar | Comment;
    try {
      expected = openValue(mac, this.dataKey, lastModified);
    } catch {
      throw new MacError("has a MAC that is not its own");
    }
    const found = Buffer.from(this.hash.digest("hex").toUpperCase());
    if (expected.kind !== "str" || expected.bytes.length !== found.length || !timingSafeEqual(expected.bytes, found))
      throw new MacError("does not match its MAC: something in it was changed, moved or removed since sops wrote it");
  }

  private value(value: Value, keys: string[], comments: string[][]): Value {
    switch (value.kind) {
      case "branch":
        this.branch(value, keys, comments);
        return value;
      case "list": {
        let above: string[] = [];
        for (const [at, item] of value.items.entries()) {
          if (item.kind === "comment") above.push(item.text);
          value.items[at] = this.value(item, keys, [...comments, above]);
          if (item.kind !== "comment") above = [];
        }
        return value;
      }
      case "comment": return this.comment(value, keys, comments);
      case "null": return value;
      default: return this.scalar(value, keys, comments);
    }
  }

  private scalar(scalar: Scalar, keys: string[], comments: string[][]): Value {
    const { isEncrypted, macOnlyEncrypted } = this.metadata;
    if (!isEncrypted(keys, comments, false)) {
      if (!macOnlyEncrypted) this.hash.update(hashed(scalar));
      return scalar;
    }
    if (scalar.kind !== "str") throw new CipherError(`${keys.join(".")} is not encrypted, though it should be`);
    const sealed = scalar.bytes.toString();
    if (sealed !== "" && this.known && !this.known.has(sealed)) throw new MacError(`has a value that was not in the file with its MAC: ${keys.join(".")}`);
    try {
      const opened = openValue(sealed, this.dataKey, place(keys));
      if (opened.kind === "comment") return opened; // an encrypted comment among the items of a list
      if (opened.kind === "str") this.plain.push(opened.bytes);
      this.hash.update(hashed(opened));
      return opened;
    } catch (thrown) {
      throw thrown instanceof CipherError ? new CipherError(`${keys.join(".")} ${thrown.message}`) : thrown;
    }
  }

  /** One that does not open was never encrypted. No comment is part of the MAC. */
  private comment(comment: Comment, keys: string[], comments: string[][]): Comment {
    if (!this.metadata.isEncrypted(keys, comments, true)) return comment;
    try {
      const opened = openValue(comment.text, this.dataKey, place(keys));
      if (opened.kind === "str" && opened.bytes.length > 0) this.hash.update(opened.bytes);
      // As with SOPS, it then stands above its value, also where it stood beside it.
      return { kind: "comment", inline: opened.kind !== "comment" && comment.inline, text: opened.kind === "comment" ? opened.text : opened.kind === "str" ? opened.bytes.toString() : comment.text };
    } catch {
      return comment;
    }
  }
}

const place = (keys: string[]) => `${keys.join(":")}:`;

/** What of a value is hashed (sops.go, ToBytes). */
function hashed(scalar: Scalar): Buffer | string {
  switch (scalar.kind) {
    case "str": return scalar.bytes;
    case "int": return scalar.digits;
    case "float": return plainFloat(scalar.value);
    case "bool": return scalar.value ? "True" : "False";
    case "time": return scalar.text;
    case "null": return "";
  }
}
