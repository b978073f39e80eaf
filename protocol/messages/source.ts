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
};

/** What `fetch` found beside the archive. */
export type Fetched = {
  artifact: Artifact;
  /** First line of the commit message, at most 50 characters. */
  subject: string;
  /** Where the change's trace goes on: derived from repository and commit, or taken from the commit's trailer. */
  traceparent: string;
};
