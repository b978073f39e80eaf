/** Git's objects and packs, written (git: Documentation/gitformat-pack): whole objects, no deltas. */
import { createHash } from "node:crypto";
import { deflateSync } from "node:zlib";

export type GitObject = { type: "commit" | "tree" | "blob"; contents: Buffer };

const packTypes = { commit: 1, tree: 2, blob: 3 } as const;

export const oidOf = ({ type, contents }: GitObject): string =>
  createHash("sha1").update(`${type} ${contents.length}\0`).update(contents).digest("hex");

export function packOf(objects: GitObject[]): Buffer {
  const head = Buffer.from("PACK\0\0\0\x02\0\0\0\0", "latin1");
  head.writeUInt32BE(objects.length, 8);
  const body = Buffer.concat([head, ...objects.flatMap(({ type, contents }) => [headerOf(packTypes[type], contents.length), deflateSync(contents)])]);
  return Buffer.concat([body, createHash("sha1").update(body).digest()]);
}

/** Type and size: four bits of the size, then seven at a time, lowest first. */
function headerOf(type: number, size: number): Buffer {
  const bytes: number[] = [];
  let rest = Math.floor(size / 16);
  let byte = (type << 4) | (size & 15);
  for (; rest > 0; rest = Math.floor(rest / 128)) {
    bytes.push(byte | 128);
    byte = rest & 127;
  }
  return Buffer.from([...bytes, byte]);
}

/** A tree with other objects in place of some of its entries' own: modes, order and everything else stay. @param entries oid by name */
export function withEntries(tree: Buffer, entries: ReadonlyMap<string, string>): Buffer {
  const changed = Buffer.from(tree);
  for (let at = 0; at < changed.length; ) {
    const end = changed.indexOf(0, at);
    if (end < 0) throw new RangeError("a tree breaks off");
    const name = changed.toString("utf8", changed.indexOf(0x20, at) + 1, end);
    const oid = entries.get(name);
    if (oid) changed.write(oid, end + 1, "hex");
    at = end + 21;
  }
  return changed;
}
