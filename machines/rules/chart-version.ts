/** A chart that is an OCI artifact: its digest counts, because tags move (flux.md 2.7, 7). */
import { compareVersions, parseVersion } from "./semver.ts";

/** `ociDigest`: what is remembered of the artifact beside the version. `wrong`: why the two do not belong together. */
export type Tracked = { version: string; ociDigest: string } | { wrong: string };

const shownDigits = 12;

/**
 * The version with the first digits of the digest behind `+`, in place of what stood there (helm-controller
 * `mutateChartWithSourceRevision`). A tag that is a version must be the chart's.
 *
 * @param version of Chart.yaml
 * @param revision of the artifact: `1.2.3@sha256:…`, `latest@sha256:…` or `sha256:…`
 */
export function trackedVersion(version: string, revision: string): Tracked {
  const own = parseVersion(version);
  if (!own) return { wrong: `invalid chart version ${version}` };
  const [tag = "", digest, ...more] = revision.split("@");
  const tagged = parseVersion(tag.replaceAll("_", "+"));
  if (tagged && (digest === undefined || more.length > 0 || compareVersions(tagged, own) !== 0))
    return { wrong: `artifact revision ${tag} does not match chart version ${version}` };
  const ociDigest = tagged ? (digest ?? "") : revision;
  const [, hex = "", ...rest] = ociDigest.split(":");
  if (hex.length < shownDigits || rest.length > 0) return { wrong: `invalid artifact revision ${ociDigest}` };
  const numbers = own.numbers.join(".");
  return { version: `${numbers}${own.pre && `-${own.pre}`}+${hex.slice(0, shownDigits)}`, ociDigest };
}
