/** One encrypted value: `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`, bound to its place in the document. */
import { Buffer } from "node:buffer";
import { createDecipheriv } from "node:crypto";
import { FormatError, type Comment, type Scalar } from "./tree.ts";

/** What went wrong with a value, in words that quote neither the plain nor the encrypted one. */
export class CipherError extends Error {}

const pattern = /^ENC\[AES256_GCM,data:(.+),iv:(.+),tag:(.+),type:(.+)\]/;
const base64 = /^[A-Za-z0-9+/\r\n]*={0,2}[\r\n]*$/;
const tagBytes = 16;

/**
 * @param place the keys on the way to the value, each followed by ":"; SOPS authenticates it with the value
 * @throws CipherError
 */
export function openValue(sealed: string, dataKey: Buffer, place: string): Scalar | Comment {
  if (sealed === "") return { kind: "str", bytes: Buffer.alloc(0) };
  const [, data, iv, tag, type] = pattern.exec(sealed) ?? [];
  if (!data || !iv || !tag || !type) throw new CipherError("is not encrypted, though it should be");
  const plain = decrypt({ data: bytes(data), iv: bytes(iv), tag: bytes(tag) }, dataKey, place);
  return typed(plain, type);
}

/** @throws CipherError */
function decrypt({ data, iv, tag }: { data: Buffer; iv: Buffer; tag: Buffer }, dataKey: Buffer, place: string): Buffer {
  if (tag.length !== tagBytes || iv.length === 0) throw new CipherError("is not complete");
  const decipher = createDecipheriv("aes-256-gcm", dataKey, iv, { authTagLength: tagBytes });
  decipher.setAAD(Buffer.from(place)).setAuthTag(tag);
  const plain = decipher.update(data);
  try {
    decipher.final();
    return plain;
  } catch {
    plain.fill(0);
    throw new CipherError("was changed or moved since it was encrypted");
  }
}

function bytes(text: string): Buffer {
  if (!base64.test(text)) throw new CipherError("is not complete");
  return Buffer.from(text, "base64");
}

function typed(plain: Buffer, type: string): Scalar | Comment {
  if (type === "str" || type === "bytes") return { kind: "str", bytes: plain };
  const text = plain.toString();
  plain.fill(0);
  switch (type) {
    case "comment": return { kind: "comment", text, inline: false };
    case "int":
      if (/^[-+]?\d+$/.test(text)) return { kind: "int", digits: BigInt(text).toString() };
      break;
    case "float":
      if (/^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/.test(text)) return { kind: "float", value: Number(text) };
      if (special[text.toLowerCase()] !== undefined) return { kind: "float", value: special[text.toLowerCase()] as number };
      break;
    case "bool":
      if (/^(1|t|T|TRUE|true|True)$/.test(text)) return { kind: "bool", value: true };
      if (/^(0|f|F|FALSE|false|False)$/.test(text)) return { kind: "bool", value: false };
      break;
    case "time": return { kind: "time", text };
  }
  throw new FormatError("holds a value of a type that sops does not write");
}

const special: Record<string, number | undefined> = { nan: NaN, "+inf": Infinity, inf: Infinity, "-inf": -Infinity };
