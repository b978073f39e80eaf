/** How much of a stranger's artifact is looked at before it is refused: registries and archives may be hostile. */
export type Limits = {
  /** The layer as it is sent. */
  layerBytes: number;
  /** The archive in it when inflated, headers and what is left out included. */
  unpackedBytes: number;
  entries: number;
  /** Of what is kept: this and the next are what a renderer unpacks. */
  archivedBytes: number;
  pathBytes: number;
  /** Lines of ignore rules. */
  patterns: number;
  /** All annotations of the manifest: they go into the object's status. */
  annotationBytes: number;
};

const mebi = 2 ** 20;

export const defaultLimits: Limits = {
  layerBytes: 128 * mebi,
  unpackedBytes: 512 * mebi,
  entries: 50_000,
  archivedBytes: 200 * mebi,
  pathBytes: 1024,
  patterns: 10_000,
  annotationBytes: 128 * 1024,
};
