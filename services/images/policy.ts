/** Which tag an ImagePolicy elects among those of its repository (flux.md 3.2). */
import type { RE2JS } from "re2js";
import { latestKey, readImageOrder, type ImageOrderSpec } from "#machines/rules/image-order.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { compilePattern } from "./tags.ts";

/** The part of an ImagePolicy's spec that elects. */
export type ElectionSpec = {
  policy: ImageOrderSpec;
  filterTags?: { pattern?: string | undefined; extract?: string | undefined } | undefined;
};

const longestExtract = 1_000; // characters, of the template and of what comes of it

/**
 * @param tags as a scan has kept them
 * @throws Fault ImagePolicyInvalid for a spec that elects nothing whatever the tags are; ImageTagsUnfit for tags that it
 *   cannot elect one of
 */
export function electTag(tags: readonly string[], { policy, filterTags }: ElectionSpec, shown: string): string {
  const order = readImageOrder(policy);
  if (typeof order === "string") throw new Fault("ImagePolicyInvalid", shown, { detail: order });
  const candidates = filterTags ? filtered(tags, filterTags, shown) : new Map(tags.map((tag) => [tag, tag]));
  const found = latestKey([...candidates.keys()], order);
  if ("why" in found) throw new Fault("ImageTagsUnfit", shown, { detail: found.why });
  return candidates.get(found.key) ?? found.key;
}

/** By what is extracted of it, each tag that the pattern matches. Of several with the same key, the lowest as text. */
function filtered(tags: readonly string[], { pattern = "", extract = "" }: { pattern?: string | undefined; extract?: string | undefined }, shown: string): Map<string, string> {
  const expression = compilePattern(pattern);
  if (!expression) throw new Fault("ImagePolicyInvalid", shown, { detail: "spec.filterTags.pattern is no regular expression" });
  if (extract.length > longestExtract) throw new Fault("ImagePolicyInvalid", shown, { detail: `spec.filterTags.extract is longer than ${longestExtract} characters` });
  const expand = extract === "" ? undefined : templateOf(extract, expression);
  const found = new Map<string, string>();
  for (const tag of [...tags].sort().reverse()) {
    const match = expression.matcher(tag);
    if (!match.find()) continue;
    const key = expand ? expand((index) => match.group(index) ?? "") : tag;
    if (key.length > longestExtract) throw new Fault("ImagePolicyInvalid", shown, { detail: `spec.filterTags.extract gives more than ${longestExtract} characters` });
    found.set(key, tag);
  }
  return found;
}

type Expand = (group: (index: number) => string) => string;

/** As Go's `Regexp.ExpandString`: `$name`, `${name}`, `$1`, `$$`; a group that is not there is empty; any other `$` stays. */
function templateOf(template: string, expression: RE2JS): Expand {
  const names = expression.namedGroups() as Record<string, number>;
  const parts: (string | number)[] = [];
  let at = 0;
  for (const { 0: all, 1: braced, 2: bare, index } of template.matchAll(/\$(?:\{([\p{L}\p{Nd}_]+)\}|([\p{L}\p{Nd}_]+)|\$)/gu)) {
    parts.push(template.slice(at, index), all === "$$" ? "$" : (groupOf(braced ?? bare ?? "", names, expression) ?? ""));
    at = index + all.length;
  }
  parts.push(template.slice(at));
  return (group) => parts.map((part) => (typeof part === "number" ? group(part) : part)).join("");
}

/** A number without leading zeros is an index, as in Go; everything else is a name. */
function groupOf(name: string, names: Record<string, number>, expression: RE2JS): number | undefined {
  if (/^(?:0|[1-9][0-9]*)$/.test(name)) return Number(name) <= expression.groupCount() ? Number(name) : undefined;
  return Object.hasOwn(names, name) ? names[name] : undefined;
}
