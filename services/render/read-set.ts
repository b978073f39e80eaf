/** What a build looked at, and a key over it: while the key stays, so does the result, and the build can be skipped. */
import { createHash } from "node:crypto";
import type { Tree } from "./tree.ts";

export type ReadSet = {
  /** Paths looked at: their content counts, or that they are absent or a directory. Relative to the artifact's root. */
  files: string[];
  /** Directories listed: the names in them count. */
  dirs: string[];
  /** Remote bases, as they are written, and the commits they were at. Absent where there are none. */
  bases?: { reference: string; commit: string }[];
};

/** sha256 in hex over what the tree holds at the places of the read set. The order of the places does not matter. */
export function readSetKey(tree: Tree, { files, dirs }: ReadSet): string {
  const hash = createHash("sha256");
  for (const path of [...files].sort()) hash.update(`${JSON.stringify([path, state(tree, path)])}\n`);
  for (const path of [...dirs].sort()) hash.update(`${JSON.stringify([path, tree.list(path)])}\n`);
  return hash.digest("hex");
}

const state = (tree: Tree, path: string) => tree.hash(path) ?? (tree.isDirectory(path) ? "directory" : "absent");
