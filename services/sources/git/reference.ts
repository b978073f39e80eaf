/** What a GitRepository follows, and how its revisions are written (flux.md 2.0, "Revision strings"). */
import { Fault } from "#protocol/errors/fault.ts";

/** The part of a GitRepository's spec these effects act on. */
export type GitSpec = {
  url: string;
  ref?: Partial<Record<"branch" | "tag" | "semver" | "name" | "commit", string | undefined>> | undefined;
  secretRef?: { name: string } | undefined;
  ignore?: string | undefined;
};

export type Reference = { branch: string; commit?: undefined } | { branch?: string | undefined; commit: string };

const defaultBranch = "master";

/**
 * The first of commit, name, tag, semver, branch counts, as in Flux (flux.md 1.1).
 *
 * @throws Fault UnsupportedReference for name, tag and semver, ReferenceMissing for what no repository can hold
 */
export function readReference({ ref = {} }: GitSpec, shownUrl: string): Reference {
  const branch = ref.branch || undefined;
  if (branch && !isBranchName(branch))
    throw new Fault("ReferenceMissing", shownUrl, { detail: "spec.ref.branch is not a name Git allows" });
  if (ref.commit) {
    const commit = ref.commit.toLowerCase();
    if (!isObjectId(commit))
      throw new Fault("ReferenceMissing", shownUrl, { detail: "spec.ref.commit is not a full SHA-1" });
    return { branch, commit };
  }
  for (const kind of ["name", "semver", "tag"] as const)
    if (ref[kind])
      throw new Fault("UnsupportedReference", shownUrl, { detail: `spec.ref.${kind} is not supported yet` });
  return { branch: branch ?? defaultBranch };
}

/** `main@sha1:<40 hex>`, or `sha1:<40 hex>` for a commit named without its branch. */
export const formatRevision = (commit: string, branch?: string) => `${branch ? `${branch}@` : ""}sha1:${commit}`;

/** @throws RangeError when it is not a revision of a Git repository: whoever asks has a bug */
export function parseRevision(revision: string): { branch?: string; commit: string } {
  const at = revision.lastIndexOf("sha1:");
  const [branch, commit] = [revision.slice(0, at), revision.slice(at + "sha1:".length)];
  if (at >= 0 && isObjectId(commit)) {
    if (at === 0) return { commit };
    if (at > 1 && branch.endsWith("@")) return { branch: branch.slice(0, -1), commit };
  }
  throw new RangeError(`not a Git revision: ${revision}`);
}

export const isObjectId = (text: string) => /^[0-9a-f]{40}$/.test(text);

// git check-ref-format: what a reference may be called. It also keeps line ends out of what is sent to the server.
const isBranchName = (name: string) =>
  name.length <= 1024 &&
  // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
  !/[\x00-\x20\x7f~^:?*[\\]|\.\.|@\{|\/\/|^\/|\/$|\.$|(^|\/)\.|\.lock(\/|$)/.test(name) &&
  name !== "@";
