/** Between the objects of image automation and their effects. */
import type { Artifact } from "./source.ts";

/** A scan that ended well. The tags themselves lie in the artifact store: there may be tens of thousands. */
export type Scan = {
  /** Name of the image with everything that it implies. */
  image: string;
  exclusionList: string[];
  /** Adler-32 of the tags, in decimal. */
  revision: string;
  tagCount: number;
  latestTags: string[];
  /** RFC 3339, whole seconds. */
  scannedAt: string;
  /** The kept tags, compressed: another digest whenever they are others, or those of an image by another name. */
  artifact: Artifact;
  /** The registry's name for this state of the whole list, where one page holds it and the registry gives it a name. */
  etag?: string | undefined;
};

export type ImageReference = { name: string; tag: string; digest?: string | undefined };

export type Election = {
  latest: ImageReference;
  /** The one that was the latest before. */
  previous?: ImageReference;
  /** The tags it was elected among, as `markOf` names them. */
  madeOf: string[];
};

/** Exactly one of the two, by the kind; `traceparent`: where the trace of what was found goes on. */
export type Looked = ({ scan: Scan } | { election: Election }) & { traceparent: string };
