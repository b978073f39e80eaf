/** What is kept of the tags a registry lists, and what is said of them (flux.md 3.1). */
import { RE2JS } from "re2js";
import { Fault } from "#protocol/errors/fault.ts";
import { isTag } from "#services/clients/registry/names.ts";

export type ScanSummary = {
  /** Another one whenever the tags are others: Adler-32 of their JSON text, in decimal, as Flux's. */
  revision: string;
  tagCount: number;
  latestTags: string[];
};

const mostLatestTags = 10;
const longestPattern = 1_000; // characters
/** Of the program that a pattern becomes: each costs some 20 ns for each character of a tag. Usual ones have below 100. */
const mostSteps = 1_000;

/**
 * Those that no pattern of `spec.exclusionList` matches, each once, from the last to the first as text. What is no name of a
 * tag is left out: nothing could be pulled by it.
 *
 * @throws Fault ImageTagsUnread for what is no regular expression
 */
export function keptTags(tags: readonly string[], exclusionList: readonly string[], shown: string): string[] {
  const patterns = exclusionList.map((pattern, i) => compilePattern(pattern) ?? refused(shown, `spec.exclusionList[${i}] is no regular expression`));
  const kept = [...new Set(tags)].filter((tag) => isTag(tag) && !patterns.some((pattern) => pattern.matcher(tag).find()));
  return kept.sort().reverse();
}

/** @param tags as `keptTags` gives them */
export const summaryOf = (tags: readonly string[]): ScanSummary => ({
  revision: String(adler32(Buffer.from(JSON.stringify(tags)))),
  tagCount: tags.length,
  latestTags: tags.slice(0, mostLatestTags),
});

/**
 * As Go reads regular expressions, and in time that is linear in the text: whoever writes one may be hostile. Undefined when
 * it is none, or so large that ten thousand tags would take minutes. What is left may still take seconds: whoever calls this
 * with many tags does so in a thread of its own.
 */
export function compilePattern(text: string): RE2JS | undefined {
  if (text.length > longestPattern) return undefined;
  try {
    const pattern = RE2JS.compile(text);
    return pattern.programSize() <= mostSteps ? pattern : undefined;
  } catch {
    return undefined;
  }
}

function refused(shown: string, detail: string): never {
  throw new Fault("ImageTagsUnread", shown, { detail });
}

/** RFC 1950, section 8. */
function adler32(bytes: Uint8Array): number {
  let [low, high] = [1, 0];
  for (const byte of bytes) {
    low = (low + byte) % 65_521;
    high = (high + low) % 65_521;
  }
  return high * 65_536 + low;
}
