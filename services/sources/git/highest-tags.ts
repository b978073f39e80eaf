/** The tag that a range of versions means: the highest; of several that are equally high, the one made last. */
import { compareVersions, isWithin, parseVersion, type Range, type Version } from "#machines/rules/semver.ts";
import type { ServerRef } from "./list-refs.ts";
import { tags } from "./reference.ts";

/** Tags that only differ in what follows a `+`: whoever makes more of them than this has another purpose. */
const mostEqual = 32;

/**
 * All tags of the highest version within the range, by name. A version needs all three of its numbers, as in Flux
 * (fluxcd/pkg version.ParseVersion): `2024` or `v1` may be anything.
 *
 * @throws RangeError when they are more than can be compared
 */
export function highestTags(refs: ServerRef[], range: Range): ServerRef[] {
  let highest: Version | undefined;
  let found: ServerRef[] = [];
  for (const ref of refs) {
    const version = versionOf(ref);
    if (!version || !isWithin(version, range)) continue;
    const order = highest ? compareVersions(version, highest) : 1;
    if (order > 0) [highest, found] = [version, []];
    if (order >= 0) found.push(ref);
  }
  if (found.length > mostEqual) throw new RangeError(`${found.length} tags are of the same version`);
  return found.sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
}

/** Of equally high ones the newest; where even their times are equal, the last by name: always the same one. */
export function newestOf(equal: ServerRef[], committedAtMs: (commit: string) => number): ServerRef | undefined {
  return equal.toSorted((a, b) => committedAtMs(commitOf(a)) - committedAtMs(commitOf(b))).at(-1);
}

export const commitOf = ({ oid, peeled }: ServerRef): string => peeled ?? oid;

function versionOf({ name }: ServerRef): Version | undefined {
  const text = name.slice(tags.length);
  return text.length <= 256 && text.split(".").length >= 3 ? parseVersion(text) : undefined;
}
