/** What an entry of the Secret says, as YAML or JSON: names and texts. */
import { Buffer } from "node:buffer";
import { load } from "js-yaml";
import { KeyError } from "./key-kind.ts";

export type Credentials = (name: string) => string;

/** @throws KeyError when there is no such entry, or it cannot be read */
export function credentialsIn(secret: Readonly<Record<string, Uint8Array>>, entry: string, whose: string): Credentials {
  const content = secret[entry];
  if (!content) throw new KeyError(`the Secret holds no credentials of ${whose} (the key ${entry})`);
  const values = read(content);
  if (typeof values !== "object" || values === null || Array.isArray(values)) throw new KeyError(`${entry} of the Secret cannot be read`);
  return (name) => {
    const value = (values as Record<string, unknown>)[name];
    return typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
  };
}

/** az on Windows writes UTF-16. */
function read(content: Uint8Array): unknown {
  const bytes = Buffer.from(content);
  const encoding = bytes[0] === 0xff && bytes[1] === 0xfe ? "utf-16le" : bytes[0] === 0xfe && bytes[1] === 0xff ? "utf-16be" : "utf-8";
  try {
    return load(new TextDecoder(encoding).decode(bytes));
  } catch {
    return undefined;
  }
}
