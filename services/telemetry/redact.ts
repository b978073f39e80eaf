/** Keeps secrets out of what is written for people: logs, span attributes, error messages. */

const hidden = "[redacted]";
const secretKey = new RegExp(
  "^(.*(password|passwd|passphrase|secret|token|credential|private_?key|api_?key)s?|(proxy-)?authorization|(set-)?cookie" +
    "|identity|bearer|stringdata|kubeconfig)$",
  "i",
);
// Names that end like a secret but hold only the name of one, or a count.
const harmlessKey = /^(secret_?(ref|name)|.*(has|num|max|min)_?(secret|token)s?)$/i;

const deepest = 6;
const longestText = 16 << 10; // of one field of a log line: build errors can be whole files

/** A copy fit for a log line: values under secret names are hidden, credentials in strings too, depth is bounded. */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === "string") return scrub(value.length > longestText ? `${value.slice(0, longestText)}…` : value);
  if (value instanceof Error) return scrub(value.message);
  if (typeof value !== "object" || value === null) return typeof value === "bigint" ? String(value) : value;
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`; // raw bytes may be anything
  if (depth >= deepest) return "[…]";
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1));
  if ("kind" in value && value.kind === "Secret") return { kind: "Secret", metadata: redact(nameOf(value), depth + 1) };
  if ("toJSON" in value && typeof value.toJSON === "function") return redact(value.toJSON(), depth + 1);
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      secretKey.test(key) && !harmlessKey.test(key) && item !== undefined ? hidden : redact(item, depth + 1),
    ]),
  );
}

// A Secret is shown by its name alone: even its annotations may hold its content (kubectl's last-applied one does).
function nameOf(object: object): { name?: unknown; namespace?: unknown } {
  const { name, namespace } = (("metadata" in object && object.metadata) || {}) as {
    name?: unknown;
    namespace?: unknown;
  };
  return { name, namespace };
}

/** Hides credentials in prose: `https://user:pass@host`, `Bearer …`, `Basic …`, `token=…`, PEM and age private keys. */
export function scrub(text: string): string {
  if (!suspicious.test(text)) return text;
  return text
    .replace(/\b([a-z][a-z0-9+.-]{0,20}:\/\/)[^/?#\s"'<>]*@/gi, "$1")
    .replace(/\b(bearer|basic)\s+[\w.~+/=-]{6,}/gi, `$1 ${hidden}`)
    .replace(/\b(\w*(?:token|password|passwd|secret|api_?key|private_?key)=)[^\s"'&,;}]+/gi, `$1${hidden}`)
    .replace(/("\w*(?:token|password|passwd|secret|api_?key|private_?key)"\s*:\s*")[^"]+/gi, `$1${hidden}`)
    .replace(/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g, hidden)
    .replace(/AGE-SECRET-KEY-[A-Z0-9-]+/gi, hidden);
}

// One cheap look first: nearly no string has anything to hide.
const suspicious = /@|bearer|basic|token|password|secret|key/i;

const longestBytes = 1024;

/** At most 1 KiB of UTF-8 (landscape.md 7.5), cut between characters and marked; without secrets. */
export const short = (text: string): string =>
  cut(scrub(text.length > longestText ? text.slice(0, longestText) : text));

export function cut(text: string): string {
  if (text.length * 3 <= longestBytes || Buffer.byteLength(text) <= longestBytes) return text;
  const bytes = Buffer.from(text).subarray(0, longestBytes - 3);
  let end = bytes.length;
  while (end > 0 && (Buffer.from(text)[end]! & 0xc0) === 0x80) end--; // never inside a character
  return `${bytes.toString("utf8", 0, end)}…`;
}
