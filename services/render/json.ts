/**
 * JSON that keeps every digit. Kubernetes integers have 64 bits, JavaScript's numbers 53: an integer beyond that is
 * held as `JSON.rawJSON`, which `JSON.stringify` writes as it was read.
 */

/** @throws SyntaxError as JSON.parse does */
export function parseJson(text: string): unknown {
  return longInteger.test(text) ? exact.parse(text, keepDigits) : JSON.parse(text);
}

/** The same text for the same value, whatever the order of its keys: what digests are taken of. */
export function canonicalJson(value: unknown): string {
  if (typeof value !== "object" || value === null || exact.isRawJSON(value)) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item ?? null)).join(",")}]`;
  const entries = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(",")}}`;
}

const longInteger = /\d{16}/; // 2^53 has 16 digits

const keepDigits = (_key: string, value: unknown, { source }: { source?: string }): unknown =>
  typeof value === "number" && !Number.isSafeInteger(value) && source && /^-?\d+$/.test(source)
    ? exact.rawJSON(source)
    : value;

// Part of the language since V8 11.4, not yet of its type library.
const exact = JSON as typeof JSON & {
  rawJSON(text: string): object;
  isRawJSON(value: unknown): boolean;
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
};
