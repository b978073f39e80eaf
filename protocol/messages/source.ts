/** Between a source, its effects and its consumers. */

export type Artifact = {
  /** `main@sha1:<40 hex>`, as in Flux. */
  revision: string;
  /** `sha256:<hex>` of the archive's bytes. */
  digest: string;
  sizeBytes: number;
  /** `<kind>/<namespace>/<name>/<file>`: its place in the artifact store and under the gateway's URL. */
  path: string;
  /** RFC 3339, whole seconds. */
  storedAt: string;
  /** What the source says of it beside its revision, such as what an OCI image was made from. */
  metadata?: Record<string, string>;
};

export const originKey = "org.opencontainers.image.revision";

export type ArtifactPlace = Pick<Artifact, "digest" | "path">;

export const placeOf = ({ digest, path }: Artifact): ArtifactPlace => ({ digest, path });

/** What the consumers of a source are told. `before`: the artifact in whose place it came. */
export type ArtifactNews = Pick<Artifact, "revision" | "digest"> & Partial<ArtifactPlace> & { before?: ArtifactPlace };

/** What an artifact was made of, where its source says so: the revision in Git of an OCI artifact (fluxcd/pkg oci). */
export const originOf = ({ metadata }: Pick<Artifact, "metadata">): string => metadata?.[originKey] ?? "";

/** What `resolve` found. */
export type Resolved = {
  revision: string;
  /** The artifact we hold is still in the store. */
  stored: boolean;
  /** What the status says of it from now on, whether or not there is anything to fetch: as in `Fetched`. */
  observed?: Record<string, unknown>;
  /** Of a source that is made from others: the artifacts it was looked up in, as `markOf` names them. */
  madeOf?: string[];
  /** The artifacts of others that are a part of the artifact: with other ones it is fetched, though its revision is the same. */
  included?: Artifact[];
};

/** An artifact as whoever waits for its source is told of it. */
export const markOf = ({ revision, digest }: { revision: string; digest: string }): string => `${revision} ${digest}`;

/** What `fetch` found beside the archive. */
export type Fetched = {
  artifact: Artifact;
  /** First line of the commit message, at most 50 characters. */
  subject: string;
  /** The event's sentence, where the kind has one of its own. */
  told?: string;
  /** What of the spec the artifact was made with, by the fields of the status that say so; null for what is not in it. */
  observed?: Record<string, unknown>;
  /** Where the change's trace goes on: derived from repository and commit, or taken from the commit's trailer. */
  traceparent: string;
  /** What was verified, and by whose key; absent when nothing had to be. */
  verified?: string;
  /** What Ready and ArtifactInStorage say of the artifact, and the reason of its event, where the kind has its own. */
  summary?: { reason: string; message: string };
  /** What else is told of how it was made. */
  making?: { reason: string; message: string };
  /** As in `Resolved`. */
  madeOf?: string[];
  /** Those that went into it; absent for kinds that include none. */
  included?: Artifact[];
};
