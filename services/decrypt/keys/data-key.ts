/** A document's data key: from any holder of its one group, or shared out among groups of which enough must open. */
import { Buffer } from "node:buffer";

import type { KeyEntry, Metadata } from "../metadata.ts";
import { combineShares } from "../shamir.ts";
import { KeyError, type KeyContext } from "./key-kind.ts";
import { keyKinds } from "./kinds.ts";

const dataKeyBytes = 32;

/** @throws KeyError that names every holder and why it did not open */
export async function dataKeyOf({ groups, threshold }: Pick<Metadata, "groups" | "threshold">, context: KeyContext): Promise<Buffer> {
  const results = [];
  for (const group of groups) results.push(await openGroup(group, context));
  const parts = results.flatMap(({ part }) => (part ? [part] : []));
  const reasons = results.flatMap(({ failed }) => failed);
  try {
    const dataKey = groups.length === 1 ? copyOf(parts[0]) : combine(parts, threshold);
    if (!dataKey) throw new KeyError(`cannot be decrypted: ${missing(groups.length, parts.length, threshold, reasons)}`);
    if (dataKey.length !== dataKeyBytes) throw new KeyError(`has a data key of ${dataKey.length} bytes instead of ${dataKeyBytes}`);
    return dataKey;
  } finally {
    for (const part of parts) part.fill(0);
  }
}

const copyOf = (part: Buffer | undefined): Buffer | undefined => part && Buffer.from(part);

function combine(shares: Buffer[], threshold: number): Buffer | undefined {
  if (shares.length < Math.max(threshold, 2)) return undefined;
  try {
    return combineShares(shares);
  } catch {
    throw new KeyError("has key groups whose shares of the data key do not belong together");
  }
}

const mostNamed = 5;
/** It comes from the file, where it may be anything. */
const longestName = 200;

function missing(groups: number, opened: number, threshold: number, reasons: string[]): string {
  const needed = groups > 1 ? `${Math.max(threshold, 2)} of ${groups} key groups are needed and ${opened} opened: ` : "";
  const named = reasons.slice(0, mostNamed).join("; ");
  return needed + (reasons.length > mostNamed ? `${named}; and ${reasons.length - mostNamed} more` : named || "it names no key");
}

/** The first of its holders that opens. */
async function openGroup(group: KeyEntry[], context: KeyContext): Promise<{ part?: Buffer; failed: string[] }> {
  const failed: string[] = [];
  for (const entry of group) {
    const kind = await keyKinds[entry.field]?.();
    if (!kind) {
      failed.push(`${entry.field}: keys of this kind are not supported`);
      continue;
    }
    try {
      return { part: await kind.unwrap(entry, context), failed: [] };
    } catch (thrown) {
      context.signal.throwIfAborted();
      if (!(thrown instanceof KeyError)) throw thrown;
      failed.push(`${kind.name(entry).slice(0, longestName)}: ${thrown.message}`);
    }
  }
  return { failed };
}
