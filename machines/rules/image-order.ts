/**
 * Which of an image's tags is the latest, by the order that an ImagePolicy asks for (flux.md 3.2; image-reflector-controller
 * internal/policy).
 */
import { compareVersions, isWithin, parseRange, parseVersion, type Range, type Version } from "./semver.ts";

export type ImageOrder = { by: "semver"; range: Range } | { by: "alphabetical" | "numerical"; descends: boolean };

/** `spec.policy`, as it is written. */
export type ImageOrderSpec = {
  semver?: { range: string } | undefined;
  alphabetical?: { order?: string | undefined } | undefined;
  numerical?: { order?: string | undefined } | undefined;
};

/** The first that is given of semver, alphabetical, numerical. A text says what is wrong with it. */
export function readImageOrder({ semver, alphabetical, numerical }: ImageOrderSpec): ImageOrder | string {
  if (semver) {
    const range = parseRange(semver.range);
    return range ? { by: "semver", range } : "spec.policy.semver.range is no range of versions";
  }
  const given = alphabetical ?? numerical;
  if (!given) return "spec.policy names no order: one of semver, alphabetical, numerical";
  const order = (given.order || "asc").toLowerCase();
  if (order !== "asc" && order !== "desc") return "the order in spec.policy is neither asc nor desc";
  return { by: alphabetical ? "alphabetical" : "numerical", descends: order === "desc" };
}

/**
 * The latest of the keys, whatever their order. Keys that are equally high in Flux come out in the order of a scan, or of a
 * hash table; here always the same one: of versions the highest as text, of numbers the lowest.
 *
 * @param keys tags, or what was extracted of them
 */
export function latestKey(keys: readonly string[], order: ImageOrder): { key: string } | { why: string } {
  const sorted = [...keys].sort().reverse(); // tags are ASCII, so that this is the order of bytes
  const [highest] = sorted;
  if (highest === undefined) return { why: "version list argument cannot be empty" };
  if (order.by === "semver") return highestVersion(sorted, order.range);
  if (order.by === "alphabetical") return { key: order.descends ? (sorted.at(-1) ?? highest) : highest };
  return highestNumber(sorted, order.descends);
}

function highestVersion(keys: readonly string[], range: Range): { key: string } | { why: string } {
  let highest: Version | undefined;
  for (const key of keys) {
    // All three numbers are wanted (fluxcd/pkg version.ParseVersion).
    const version = key.split(".", 3).length === 3 ? parseVersion(key) : undefined;
    if (version && isWithin(version, range) && (!highest || compareVersions(version, highest) > 0)) highest = version;
  }
  return highest ? { key: highest.text } : { why: "unable to determine latest version from provided list" };
}

function highestNumber(keys: readonly string[], descends: boolean): { key: string } | { why: string } {
  let [found, highest] = ["", 0];
  for (const [index, key] of keys.entries()) {
    const number = parseGoNumber(key);
    if (number === undefined) return { why: `failed to parse invalid numeric value '${key}'` };
    if (index > 0 && (descends ? number > highest : number < highest)) continue;
    [found, highest] = [key, number];
  }
  return { key: found };
}

const digits = "[0-9](?:_?[0-9])*";
const hexDigits = "[0-9a-f](?:_?[0-9a-f])*";
const decimal = new RegExp(`^[+-]?(?:${digits}\\.?(?:${digits})?|\\.${digits})(?:e[+-]?${digits})?$`, "i");
const hexadecimal = new RegExp(`^([+-]?)0x_?(?:(${hexDigits})\\.?(${hexDigits})?|\\.(${hexDigits}))p([+-]?${digits})$`, "i");

/** As Go's `strconv.ParseFloat(text, 64)` reads it; undefined where that fails, also for what is too large. */
export function parseGoNumber(text: string): number | undefined {
  if (/^nan$/i.test(text)) return Number.NaN;
  if (/^[+-]?inf(?:inity)?$/i.test(text)) return text.startsWith("-") ? -Infinity : Infinity;
  const number = decimal.test(text) ? Number(text.replaceAll("_", "")) : readHexadecimal(text);
  return number !== undefined && Number.isFinite(number) ? number : undefined;
}

function readHexadecimal(text: string): number | undefined {
  const match = hexadecimal.exec(text);
  if (!match) return undefined;
  const [sign, whole = "", after = "", alone = "", exponent = "0"] = match.slice(1).map((part = "") => part.replaceAll("_", ""));
  const fraction = after + alone;
  const value = Number(`0x${whole}${fraction}`) * 2 ** (Number(exponent) - 4 * fraction.length);
  return sign === "-" ? -value : value;
}
