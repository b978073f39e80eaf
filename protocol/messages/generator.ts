/** Between an ArtifactGenerator and its effects. */
import type { Artifact } from "./source.ts";

/** An artifact that was made, and the ExternalArtifact that offers it. */
export type MadeArtifact = Artifact & { name: string; /** Labels of what a pattern captured. */ labels?: Record<string, string> };

export type Generation = {
  artifacts: MadeArtifact[];
  /** Over what each source offered. */
  sourcesDigest: string;
  /** The artifacts it was made from, and those it made, as `markOf` names them. */
  madeOf: string[];
};
