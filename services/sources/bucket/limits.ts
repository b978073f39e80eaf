/** How much of a stranger's bucket is looked at before it is refused: servers and keys may be hostile. */
export type Limits = {
  /** Keys in the listing, what is left out included. */
  listed: number;
  /** Of what is kept. */
  objects: number;
  /** All that is kept together: what a renderer unpacks. */
  bytes: number;
  keyBytes: number;
  /** Lines of ignore rules. */
  patterns: number;
  ignoreFileBytes: number;
};

const mebi = 2 ** 20;

export const defaultLimits: Limits = {
  listed: 200_000,
  objects: 50_000,
  bytes: 200 * mebi,
  keyBytes: 1024, // S3's own
  patterns: 10_000,
  ignoreFileBytes: mebi,
};
