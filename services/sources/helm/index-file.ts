/** A repository's index.yaml: read, sorted and written as JSON, as Helm and Flux do (helm pkg/repo, source-controller internal/helm/repository). */
import { compareVersions, isWithin, parseRange, parseVersion, type Version } from "#machines/rules/semver.ts";
import { isMap, readWords } from "./chart/yaml.ts";

/** One version of a chart, as far as it is needed to find and fetch it. */
export type ChartVersion = { name: string; version: string; urls: string[]; created: string; digest: string };

type Entry = Record<string, unknown>;

/**
 * The index as it is published: entries that are none are left out, the others sorted, the highest version first.
 *
 * @throws RangeError for what is no index
 */
export function indexAsJson(text: string): string {
  const index = readIndexText(text);
  if (!isMap(index)) throw new RangeError("it is no map");
  if (typeof index["apiVersion"] !== "string" || index["apiVersion"] === "") throw new RangeError("it has no apiVersion");
  const entries = isMap(index["entries"]) ? index["entries"] : {};
  const sorted = Object.fromEntries(
    Object.entries(entries).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, versions]) => [name, validVersions(versions)]),
  );
  return JSON.stringify({ ...index, entries: sorted });
}

/** JSON is tried first: it is a hundred times as fast. @throws RangeError */
function readIndexText(text: string): unknown {
  if (text.trimStart().startsWith("{"))
    try {
      return JSON.parse(text);
    } catch {
      // YAML may begin like this too
    }
  return readWords(text);
}

function validVersions(list: unknown): Entry[] {
  const found = (Array.isArray(list) ? list : []).filter(isMap).flatMap((each) => {
    const version = parseVersion(textOf(each["version"]));
    const [name, type] = [textOf(each["name"]), textOf(each["type"])];
    const isGood = version && name !== "" && !/[/\\]/.test(name) && ["", "application", "library"].includes(type);
    return isGood ? [{ entry: { apiVersion: "v1", ...each, ...(typeof each["deprecated"] === "string" && { deprecated: each["deprecated"] === "true" }) }, version }] : [];
  });
  return found.sort((a, b) => compareVersions(b.version, a.version)).map(({ entry }) => entry);
}

/** Of an index as it is published. @throws RangeError when the index has no such chart */
export function versionsOf(index: unknown, name: string): ChartVersion[] {
  const entries = isMap(index) && isMap(index["entries"]) ? index["entries"] : {};
  const list: unknown = Object.hasOwn(entries, name) ? entries[name] : undefined;
  if (!Array.isArray(list) || list.length === 0) throw new RangeError(`the repository has no chart ${JSON.stringify(name.slice(0, 200))}`);
  return list.filter(isMap).map((each) => ({
    name: textOf(each["name"]), version: textOf(each["version"]), created: textOf(each["created"]), digest: textOf(each["digest"]),
    urls: Array.isArray(each["urls"]) ? each["urls"].filter((url) => typeof url === "string") : [],
  }));
}

/**
 * The version that is meant: the very one that is written, else the highest within the range. Of equally high ones (they
 * differ after a `+`) the last that was made, where that is said. A version needs all three of its numbers.
 *
 * @throws RangeError when none is
 */
export function chooseVersion<Found extends { version: string; created?: string }>(found: Found[], wanted: string): Found {
  const exact = wanted === "" ? undefined : found.find(({ version }) => version === wanted);
  if (exact) return exact;
  const range = parseRange(wanted === "" ? "*" : wanted);
  if (!range) throw new RangeError(`${JSON.stringify(wanted.slice(0, 200))} is no version and no range of versions`);
  let best: { found: Found; version: Version } | undefined;
  for (const each of found) {
    const version = each.version.split(".").length >= 3 ? parseVersion(each.version) : undefined;
    if (!version || !isWithin(version, range)) continue;
    const order = best ? compareVersions(version, best.version) : 1;
    if (order > 0 || (order === 0 && best && timeOf(each) > timeOf(best.found))) best = { found: each, version };
  }
  if (!best) throw new RangeError(`no version is within ${JSON.stringify(wanted.slice(0, 200))}`);
  return best.found;
}

const timeOf = ({ created = "" }: { created?: string }): number => Date.parse(created) || 0;

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
