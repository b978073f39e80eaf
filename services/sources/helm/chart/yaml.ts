/** YAML as Helm reads it and writes it (sigs.k8s.io/yaml on go.yaml.in/yaml/v2): the words of YAML 1.1, numbers as JSON has them. */
import { defineScalarTag, FAILSAFE_SCHEMA, loadAll, mapTag, mergeTag, NOT_RESOLVED } from "js-yaml";

const words = new Map<string, unknown>([
  ...["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"].map((word) => [word, true] as const),
  ...["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"].map((word) => [word, false] as const),
  ...["", "~", "null", "Null", "NULL"].map((word) => [word, null] as const),
]);

const plain = defineScalarTag<unknown>("tag:yaml.org,2002:go", {
  implicit: true,
  implicitFirstChars: null,
  identify: () => false, // it is only read with
  resolve: (text) => (infinite.test(text) ? refuse() : words.has(text) ? words.get(text) : (numberOf(text) ?? NOT_RESOLVED)),
});

/** What JSON has no word for. */
const infinite = /^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/;
const refuse = (): never => {
  throw new RangeError("a number is infinite, or none");
};

const keyed = { ...mapTag, addPair: (map: Values, key: unknown, value: unknown) => (key === null ? "a key is null" : mapTag.addPair(map, key, value)) };

const wordSchema = FAILSAFE_SCHEMA.withTags(mergeTag);
const goSchema = FAILSAFE_SCHEMA.withTags(mergeTag, plain, keyed);

/** With digits grouped by `_`, in base 2, 8 (also as 017), 10 or 16. */
function numberOf(text: string): number | undefined {
  if (!/^[-+.\d]/.test(text)) return undefined;
  const [, sign = "", digits = ""] = /^([-+]?)(.*)$/.exec(text.replaceAll("_", "")) ?? [];
  const whole = /^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits;
  if (/^(?:0|[1-9]\d*|0[xX][\da-fA-F]+|0[bB][01]+|0[oO][0-7]+)$/.test(whole)) return (sign === "-" ? -1 : 1) * Number(whole);
  const number = /^(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?$/.test(digits) ? Number(digits) : NaN;
  return Number.isFinite(number) ? (sign === "-" ? -1 : 1) * number : undefined;
}

export type Values = Record<string, unknown>;

/**
 * Files of values: each document a map or nothing. A key that stands there twice counts as it stands last.
 *
 * @throws RangeError whose message quotes nothing
 */
export function readValues(text: string): Values[] {
  return read(() => loadAll(text, { schema: goSchema, json: true, maxAliases: 10_000 })).map((value) => {
    if (value === null || value === undefined) return {};
    if (!isMap(value)) throw new RangeError("it is no map");
    return value;
  });
}

/** The first document, as words: a version is never taken for a number. @throws RangeError as above */
export function readWords(text: string): unknown {
  return read(() => loadAll(text, { schema: wordSchema, json: true, maxAliases: 100 }))[0];
}

function read(parse: () => unknown[]): unknown[] {
  try {
    return parse();
  } catch (error) {
    const { line } = (error as { mark?: { line?: number } }).mark ?? {};
    throw new RangeError(`it is no YAML${line === undefined ? "" : `: line ${line + 1}`}`, { cause: error });
  }
}

export const isMap = (value: unknown): value is Values => typeof value === "object" && value !== null && !Array.isArray(value);

/** Maps are merged, key by key; anything else of the later one takes the place of the earlier, null too (fluxcd/pkg transform.MergeMaps). */
export function mergeValues(earlier: Values, later: Values): Values {
  const merged = new Map(Object.entries(earlier));
  for (const [key, value] of Object.entries(later)) {
    const before = merged.get(key);
    merged.set(key, isMap(before) && isMap(value) ? mergeValues(before, value) : value);
  }
  return Object.fromEntries(merged);
}

/**
 * The same values always as the same text: keys in order, two spaces, whatever could be taken for something else in quotes.
 *
 * @throws RangeError when it is longer than `mostCharacters`: aliases may unfold without end
 */
export function writeValues(values: Values, mostCharacters: number): string {
  const lines: string[] = [];
  let left = mostCharacters;
  const put = (line: string) => {
    left -= line.length + 1;
    if (left < 0) throw new RangeError("the merged values are too long");
    lines.push(line);
  };
  const entries = (map: Values) => Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1));
  /** @param head what stands before the value on its line */
  const write = (head: string, value: unknown, indent: string): void => {
    if (Array.isArray(value) && value.length > 0) {
      put(head);
      for (const each of value) writeItem(each, indent);
    } else if (isMap(value) && Object.keys(value).length > 0) {
      put(head);
      for (const [key, inner] of entries(value)) write(`${indent}${word(key)}:`, inner, `${indent}  `);
    } else put(`${head} ${Array.isArray(value) ? "[]" : isMap(value) ? "{}" : scalar(value)}`);
  };
  const writeItem = (value: unknown, indent: string): void => {
    if ((Array.isArray(value) && value.length > 0) || (isMap(value) && Object.keys(value).length > 0)) return write(`${indent}-`, value, `${indent}  `);
    put(`${indent}- ${Array.isArray(value) ? "[]" : isMap(value) ? "{}" : scalar(value)}`);
  };
  for (const [key, value] of entries(values)) write(`${word(key)}:`, value, "  ");
  return lines.length > 0 ? `${lines.join("\n")}\n` : "";
}

const scalar = (value: unknown): string => (typeof value === "string" ? word(value) : value === undefined ? "null" : JSON.stringify(value));

// What nobody reads as anything but text, in any version of YAML.
const word = (text: string): string => (/^[A-Za-z_/][A-Za-z0-9_./@+-]*$/.test(text) && !words.has(text) ? text : JSON.stringify(text));
