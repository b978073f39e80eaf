/** How much of a stranger's repository is looked at before it is refused: servers and repositories may be hostile. */
export type Limits = {
  /** What the server may send for one pack, and all of its objects when inflated. */
  packBytes: number;
  unpackedBytes: number;
  /** One object: a file, a directory, a delta. */
  objectBytes: number;
  objects: number;
  /** Files and directories of the commit, including those left out of the archive, and their contents inside it. */
  files: number;
  archivedBytes: number;
  pathBytes: number;
  /** Lines of ignore rules. */
  patterns: number;
};

/** Thrown by whatever finds more than is allowed. */
export class LimitExceeded extends Error {}

const mebi = 2 ** 20;

export const defaultLimits: Limits = {
  packBytes: 128 * mebi,
  unpackedBytes: 1024 * mebi,
  objectBytes: 100 * mebi, // GitHub's own limit for a file
  objects: 500_000,
  files: 50_000, // this and the next two: what a renderer unpacks
  archivedBytes: 200 * mebi,
  pathBytes: 1024,
  patterns: 10_000,
};
