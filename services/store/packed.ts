/**
 * Records as they are stored. A large one, such as that of a unit with thousands of objects, is packed: NATS takes no more
 * than a megabyte in one message unless it is told otherwise, and every replica keeps every version.
 */
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { packedRecord } from "#protocol/records/actor.ts";
import { parseJson } from "./json.ts";

/** Below it a record stays as it is: workers of an earlier version read it, and so do people. */
const smallestChars = 64 * 1024;
/** What a damaged one may cost. */
const mostBytes = 256 * 1024 * 1024;

export function packed(text: string): string {
  if (text.length < smallestChars) return text;
  // Ids repeat themselves, uids and digests hardly shrink: more effort gains next to nothing.
  return JSON.stringify({ v: 2, packed: deflateRawSync(text, { level: 1 }).toString("base64") });
}

/** What was stored, as JSON says it; undefined for what is no JSON. */
export function unpacked(data: string): unknown {
  const value = parseJson(data);
  const found = packedRecord.safeParse(value).data;
  if (!found) return value;
  try {
    return parseJson(inflateRawSync(Buffer.from(found.packed, "base64"), { maxOutputLength: mostBytes }).toString());
  } catch {
    return undefined;
  }
}
