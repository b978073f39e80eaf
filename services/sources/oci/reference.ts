/** What an OCIRepository follows, and how its revisions are written (flux.md 2.0, "Revision strings"). */
import { RE2JS } from "re2js";
import { compareVersions, isWithin, parseRange, parseVersion, type Range, type Version } from "#machines/rules/semver.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { RegistrySpec } from "#services/clients/registry/access.ts";
import { isDigest, isTag, parseRepository, type Repository } from "#services/clients/registry/names.ts";
import type { Verification } from "#services/clients/registry/verify/verify.ts";

/** The part of an OCIRepository's spec these effects act on. */
export type OciSpec = RegistrySpec & {
  url: string;
  ref?: Partial<Record<"digest" | "semver" | "semverFilter" | "tag", string | undefined>> | undefined;
  layerSelector?: { mediaType?: string | undefined; operation?: "extract" | "copy" | undefined } | undefined;
  verify?: Verification | undefined;
  ignore?: string | undefined;
};

export type Reference =
  | { kind: "digest"; digest: string }
  | { kind: "semver"; range: Range; text: string; filter?: RE2JS }
  | { kind: "tag"; tag: string };

const defaultTag = "latest";
const prefix = "oci://";
const longestFilter = 1_000;

/** @throws Fault AddressInvalid */
export function readAddress({ url }: OciSpec): Repository {
  try {
    if (!url.startsWith(prefix)) throw new RangeError("it does not begin with oci://");
    return parseRepository(url.slice(prefix.length));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new Fault("AddressInvalid", "spec.url", { detail: error.message });
  }
}

/**
 * The first of digest, semver, tag counts; tag `latest` when there is none.
 *
 * @throws Fault ReferenceMissing for what no registry can hold, SemverInvalid for what is no range or no filter
 */
export function readReference({ ref = {} }: OciSpec, shown: string): Reference {
  if (ref.digest) {
    if (!isDigest(ref.digest)) throw new Fault("ReferenceMissing", shown, { detail: "spec.ref.digest is no digest such as sha256: and 64 hexadecimal digits" });
    return { kind: "digest", digest: ref.digest };
  }
  if (ref.semver) {
    const range = parseRange(ref.semver);
    if (!range) throw new Fault("SemverInvalid", shown);
    return { kind: "semver", range, text: ref.semver, ...(ref.semverFilter && { filter: filterOf(ref.semverFilter, shown) }) };
  }
  const tag = ref.tag || defaultTag;
  if (!isTag(tag)) throw new Fault("ReferenceMissing", shown, { detail: "spec.ref.tag is no name that registries allow" });
  return { kind: "tag", tag };
}

/** As Go reads regular expressions, and in linear time: whoever writes one may be hostile. */
function filterOf(text: string, shown: string): RE2JS {
  try {
    if (text.length <= longestFilter) return RE2JS.compile(text);
  } catch {
    // told below
  }
  throw new Fault("SemverInvalid", shown, { detail: "spec.ref.semverFilter is no regular expression" });
}

/** A tag may not hold the `+` that a version may, so charts are pushed with `_` in its place (Helm, registry). */
const chartLayer = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

/**
 * The tag of the highest version within the range. Of several that are equally high (they differ after a `+`), the last by
 * name: always the same one. A version needs all three of its numbers, as in Flux (fluxcd/pkg version.ParseVersion).
 */
export function highestTag(tags: string[], { range, filter }: { range: Range; filter?: RE2JS }, layerType = ""): string | undefined {
  let highest: { tag: string; version: Version } | undefined;
  for (const tag of tags) {
    if (!isTag(tag) || (filter && !filter.matcher(tag).find())) continue;
    const text = layerType === chartLayer ? tag.replaceAll("_", "+") : tag;
    const version = text.split(".").length >= 3 ? parseVersion(text) : undefined;
    if (!version || !isWithin(version, range)) continue;
    const order = highest ? compareVersions(version, highest.version) : 1;
    if (order > 0 || (order === 0 && highest && tag > highest.tag)) highest = { tag, version };
  }
  return highest?.tag;
}

/** `latest@sha256:<hex>`, or `sha256:<hex>` for a digest named in the spec. */
export const formatRevision = (digest: string, tag?: string): string => (tag ? `${tag}@${digest}` : digest);

/** @throws RangeError when it is not a revision of an OCI artifact: whoever asks has a bug */
export function parseRevision(revision: string): { tag?: string; digest: string } {
  const at = revision.lastIndexOf("@");
  const [tag, digest] = [revision.slice(0, Math.max(at, 0)), revision.slice(at + 1)];
  if (!isDigest(digest)) throw new RangeError(`not a revision of an OCI artifact: ${revision}`);
  return tag ? { tag, digest } : { digest };
}
