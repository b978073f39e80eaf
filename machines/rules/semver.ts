/**
 * Semantic versions and ranges of them, as the Go library reads them that Flux uses (Masterminds/semver 3.5). npm's
 * `semver` disagrees with it on a quarter of all pairs: on commas, `!=`, `=>`, on what is left out, and on pre-releases,
 * which a range here admits as a whole as soon as one of its bounds has one.
 */

export type Version = { numbers: readonly [bigint, bigint, bigint]; pre: string; text: string };

type Bound = { operator: Operator; version: Version; /** The first number that is left out or is `x`; 3 for none. */ open: number };
type Operator = keyof typeof operators;

/** Any of the alternatives; each: all of its bounds. */
export type Range = readonly { bounds: readonly Bound[]; withPre: boolean }[];

const identifiers = "[0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*";
const versionPattern = new RegExp(`^v?(\\d+)(?:\\.(\\d+))?(?:\\.(\\d+))?(?:-(${identifiers}))?(?:\\+${identifiers})?$`);
const space = "[\\t\\n\\f\\r ]"; // what Go's \s is
const partial = `v?([0-9|xX*]+)(?:\\.([0-9|xX*]+))?(?:\\.([0-9|xX*]+))?(?:-(${identifiers}))?(?:\\+${identifiers})?`;
const onePattern = new RegExp(`${space}*(!=|>=|=>|<=|=<|~>|[=><~^])?${space}*${partial}`, "y");
const ungrouped = partial.replaceAll(/\((?!\?)/g, "(?:");
const hyphenPattern = new RegExp(`${space}*(${ungrouped})${space}+-${space}+(${ungrouped})${space}*`, "g");

const largest = 2n ** 64n - 1n;
const longestRange = 1_000; // characters

/** Loose: a leading `v`, numbers left out, leading zeros. Undefined when it is no version all the same. */
export function parseVersion(text: string): Version | undefined {
  const match = versionPattern.exec(text);
  if (!match) return undefined;
  const [, major = "0", minor = "0", patch = "0", pre = ""] = match;
  const numbers = [BigInt(major), BigInt(minor), BigInt(patch)] as const;
  if (numbers.some((number) => number > largest) || pre.split(".").some((part) => /^0\d+$/.test(part))) return undefined;
  return { numbers, pre, text };
}

/** Below, above or at 0. What follows a `+` does not count. */
export function compareVersions(a: Version, b: Version): number {
  for (const [i, number] of a.numbers.entries()) {
    const other = b.numbers[i] ?? 0n;
    if (number !== other) return number < other ? -1 : 1;
  }
  if (a.pre === "" || b.pre === "") return a.pre === b.pre ? 0 : a.pre === "" ? 1 : -1;
  return comparePre(a.pre, b.pre);
}

/** Undefined when it is no range. */
export function parseRange(text: string): Range | undefined {
  if (text.length > longestRange) return undefined;
  const alternatives = withoutHyphens(text).split("||").map(parseBounds);
  const range: { bounds: Bound[]; withPre: boolean }[] = [];
  for (const bounds of alternatives) {
    if (!bounds) return undefined;
    range.push({ bounds, withPre: bounds.some(({ version }) => version.pre !== "") });
  }
  return range;
}

export const isWithin = (version: Version, range: Range): boolean =>
  range.some(({ bounds, withPre }) => (withPre || version.pre === "") && bounds.every((bound) => operators[bound.operator](version, bound)));

/** `1.2 - 1.4` means `>= 1.2, <= 1.4`. */
const withoutHyphens = (text: string): string => text.replace(hyphenPattern, (_, from: string, to: string) => `>= ${from}, <= ${to} `);

/** Bounds one after another, with spaces or a comma between them. */
function parseBounds(text: string): Bound[] | undefined {
  const bounds: Bound[] = [];
  for (let at = 0; ; ) {
    onePattern.lastIndex = at;
    const [whole = "", operator = "=", ...parts] = onePattern.exec(text) ?? [];
    const bound = whole && boundOf(operator as Operator, parts);
    if (!bound) return undefined;
    bounds.push(bound);
    const [gap = "", comma] = /^[\t\n\f\r ]*(,?)/.exec(text.slice(at + whole.length)) ?? [];
    at += whole.length + gap.length;
    if (at === text.length && !comma) return bounds;
    if (gap === "") return undefined;
  }
}

function boundOf(operator: Operator, [major = "", minor = "", patch = "", pre = ""]: string[]): Bound | undefined {
  const given = [major, minor, patch];
  const open = given.findIndex((part) => /^[xX*]?$/.test(part));
  const numbers = open < 0 ? given : given.map((part, i) => (i < open ? part : "0"));
  const version = parseVersion(`${numbers.join(".")}${pre && `-${pre}`}`);
  return version && { operator, version, open: open < 0 ? 3 : open };
}

type Test = (version: Version, bound: Bound) => boolean;

const tilde: Test = (version, { version: from, open }) => {
  if (compareVersions(version, from) < 0) return false;
  if (from.numbers.every((each) => each === 0n) && open !== 1 && open !== 2) return true; // ~0.0.0 admits all, as ~* does
  return sameNumber(version, from, 0) && (open === 1 || sameNumber(version, from, 1));
};

const equal: Test = (version, bound) => (bound.open < 3 ? tilde(version, bound) : compareVersions(version, bound.version) === 0);

const notEqual: Test = (version, { version: from, open }) => {
  if (open === 3) return compareVersions(version, from) !== 0;
  if (!sameNumber(version, from, 0)) return true;
  if (open === 1) return false;
  if (!sameNumber(version, from, 1)) return true;
  if (open === 2) return (version.pre !== "" || from.pre !== "") && comparePre(version.pre, from.pre) !== 0;
  return compareVersions(version, from) !== 0; // `!=*` excludes 0.0.0 alone
};

const greater: Test = (version, { version: from, open }) => {
  if (open === 3 || open === 0) return compareVersions(version, from) > 0;
  const [major, minor] = [0, 1].map((i) => compareNumbers(version, from, i)) as [number, number];
  return major !== 0 ? major > 0 : open === 2 && minor > 0; // 11.1 is not above 11, nor is 11.1.1 above 11.1
};

const atMost: Test = (version, { version: from, open }) => {
  if (open === 3) return compareVersions(version, from) <= 0;
  const major = compareNumbers(version, from, 0);
  return major < 0 || (major === 0 && (open === 1 || compareNumbers(version, from, 1) <= 0));
};

const caret: Test = (version, { version: from, open }) => {
  if (compareVersions(version, from) < 0) return false;
  const [major, minor, patch] = from.numbers;
  if (!sameNumber(version, from, 0)) return false;
  if (major > 0n || open === 1) return true;
  if (!sameNumber(version, from, 1)) return false;
  return minor > 0n || open === 2 || version.numbers[2] === patch;
};

const less: Test = (version, { version: from }) => compareVersions(version, from) < 0;
const atLeast: Test = (version, { version: from }) => compareVersions(version, from) >= 0;

const operators = {
  "=": equal, "!=": notEqual, ">": greater, "<": less, ">=": atLeast, "=>": atLeast, "<=": atMost, "=<": atMost,
  "~": tilde, "~>": tilde, "^": caret,
};

function compareNumbers(a: Version, b: Version, place: number): number {
  const [one = 0n, other = 0n] = [a.numbers[place], b.numbers[place]];
  return one === other ? 0 : one < other ? -1 : 1;
}

const sameNumber = (a: Version, b: Version, place: number): boolean => compareNumbers(a, b, place) === 0;

/** Part by part: numbers below words, the shorter one below the longer. */
function comparePre(a: string, b: string): number {
  const [ones, others] = [a.split("."), b.split(".")];
  for (let i = 0; i < Math.max(ones.length, others.length); i++) {
    const order = comparePart(ones[i] ?? "", others[i] ?? "");
    if (order !== 0) return order;
  }
  return 0;
}

function comparePart(a: string, b: string): number {
  if (a === b) return 0;
  if (a === "" || b === "") return a === "" ? -1 : 1;
  const [one, other] = [asNumber(a), asNumber(b)];
  if (one === undefined || other === undefined) return one === other ? (a > b ? 1 : -1) : one === undefined ? 1 : -1;
  return one > other ? 1 : -1;
}

function asNumber(text: string): bigint | undefined {
  if (!/^\d+$/.test(text)) return undefined;
  const value = BigInt(text);
  return value > largest ? undefined : value;
}
