/** What an actor tells the people who watch its object: becomes a Kubernetes event. */
export type Notice = {
  type: "notice";
  severity: "Normal" | "Warning";
  reason: string;
  message: string;
  revision?: string;
  digest?: string;
  /** What the revision was made of. */
  originRevision?: string;
  /** Tells two events of one revision apart: of a release, the digest of its values. */
  token?: string;
  /** Of a release: the version of what its chart installs. */
  appVersion?: string;
  /** Of a release: the digest of the OCI artifact its chart came in. */
  ociDigest?: string;
  /** `update`: whoever reports to the Git host may say so at this commit. */
  commitStatus?: "update";
};
