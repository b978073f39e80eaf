/** What a GitRepository follows, and how its revisions are written (flux.md 2.0, "Revision strings"). */
import { parseRange, type Range } from "#machines/rules/semver.ts";
import { Fault } from "#protocol/errors/fault.ts";

/** The part of a GitRepository's spec these effects act on. */
export type GitSpec = {
  url: string;
  ref?: Partial<Record<"branch" | "tag" | "semver" | "name" | "commit", string | undefined>> | undefined;
  provider?: string | undefined;
  serviceAccountName?: string | undefined;
  secretRef?: { name: string } | undefined;
  proxySecretRef?: { name: string } | undefined;
  verify?: { mode: "head" | "HEAD" | "Tag" | "TagAndHEAD"; secretRef: { name: string } } | undefined;
  sparseCheckout?: string[] | undefined;
  recurseSubmodules?: boolean | undefined;
  ignore?: string | undefined;
  include?: { repository: { name: string }; fromPath?: string | undefined; toPath?: string | undefined }[] | undefined;
};

/** A reference by its full name, and what a revision calls it. */
type Named = { kind: "ref"; ref: string; label: string; /** The name said `^{}`: what an annotated tag points at. */ peels?: true };

export type Reference =
  | { kind: "commit"; commit: string; branch?: string | undefined }
  | { kind: "semver"; range: Range; text: string }
  | Named;

const defaultBranch = "master";

/**
 * The first of commit, name, semver, tag, branch counts: so Flux's documentation says (flux.md 1.1).
 *
 * @throws Fault ReferenceMissing for what no repository can hold, SemverInvalid for what is no range
 */
export function readReference({ ref = {} }: GitSpec, shownUrl: string): Reference {
  const refused = (field: string, detail: string) => new Fault("ReferenceMissing", shownUrl, { detail: `spec.ref.${field} ${detail}` });
  const branch = ref.branch || undefined;
  if (branch && !isRefName(branch)) throw refused("branch", "is not a name Git allows");
  if (ref.commit) {
    const commit = ref.commit.toLowerCase();
    if (!isObjectId(commit)) throw refused("commit", "is not a full SHA-1");
    return { kind: "commit", branch, commit };
  }
  if (ref.name) {
    const name = ref.name.replace(/\^\{\}$/, "");
    const peels = name !== ref.name && name.startsWith("refs/tags/");
    if (!isRefName(name) || (name !== ref.name && !peels)) throw refused("name", "is not a name Git allows");
    return { kind: "ref", ref: name, label: ref.name, ...(peels && { peels }) };
  }
  if (ref.semver) {
    const range = parseRange(ref.semver);
    if (!range) throw new Fault("SemverInvalid", shownUrl);
    return { kind: "semver", range, text: ref.semver };
  }
  if (ref.tag) {
    if (!isRefName(ref.tag)) throw refused("tag", "is not a name Git allows");
    return tagNamed(ref.tag);
  }
  return { kind: "ref", ref: `refs/heads/${branch ?? defaultBranch}`, label: branch ?? defaultBranch };
}

/** What the server is asked for; `label` is what the revision calls it. */
export function refOf(reference: Reference, label?: string): string {
  if (reference.kind === "ref") return reference.ref;
  if (reference.kind === "semver") return tagNamed(label ?? "").ref;
  return reference.branch ? `refs/heads/${reference.branch}` : "HEAD";
}

const tagNamed = (tag: string): Named => ({ kind: "ref", ref: `${tags}${tag}`, label: tag });
export const tags = "refs/tags/";

/** `main@sha1:<40 hex>`, or `sha1:<40 hex>` for a commit named without its branch. */
export const formatRevision = (commit: string, label?: string) => `${label ? `${label}@` : ""}sha1:${commit}`;

/** @throws RangeError when it is not a revision of a Git repository: whoever asks has a bug */
export function parseRevision(revision: string): { label?: string; commit: string } {
  const at = revision.lastIndexOf("sha1:");
  const [label, commit] = [revision.slice(0, at), revision.slice(at + "sha1:".length)];
  if (at >= 0 && isObjectId(commit)) {
    if (at === 0) return { commit };
    if (at > 1 && label.endsWith("@")) return { label: label.slice(0, -1), commit };
  }
  throw new RangeError(`not a Git revision: ${revision}`);
}

export const isObjectId = (text: string) => /^[0-9a-f]{40}$/.test(text);

// git check-ref-format: what a reference may be called. It also keeps line ends out of what is sent to the server.
export const isRefName = (name: string) =>
  name.length <= 1024 &&
  // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
  !/[\x00-\x20\x7f~^:?*[\\]|\.\.|@\{|\/\/|^\/|\/$|\.$|(^|\/)\.|\.lock(\/|$)/.test(name) &&
  name !== "@";
