/**
 * What a `known_hosts` says of a host (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"), read as strictly as Flux reads it
 * (fluxcd/pkg ssh/knownhosts): a line that cannot be read spoils the whole, and a line without a port is about port 22.
 */
import { createHmac } from "node:crypto";

export type HostEntry = { matches(name: string): boolean; marker: "" | "@cert-authority" | "@revoked"; type: string; key: Buffer };

export type HostVerdict = "known" | "changed" | "unknown" | "revoked";

/** @throws RangeError with the number of the line that cannot be read */
export function parseKnownHosts(text: string): HostEntry[] {
  return text.split(/\r?\n/).flatMap((raw, index) => {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) return [];
    const entry = parseLine(line);
    if (!entry) throw new RangeError(`line ${index + 1} of known_hosts is not readable`);
    return [entry];
  });
}

/** The name under which a host is looked up. */
export const hostName = (host: string, port: number): string => (port === 22 ? host : `[${host}]:${port}`).toLowerCase();

/** Keys that are trusted for the host itself; an authority's key vouches for certificates, which are another thing. */
export const keysOf = (entries: HostEntry[], name: string): HostEntry[] =>
  entries.filter(({ marker, matches }) => marker === "" && matches(name));

export const hasAuthority = (entries: HostEntry[], name: string): boolean =>
  entries.some(({ marker, matches }) => marker === "@cert-authority" && matches(name));

/** A revoked key is revoked for every host. */
export const isRevoked = (entries: HostEntry[], key: Buffer): boolean => entries.some((entry) => entry.marker === "@revoked" && entry.key.equals(key));

export function judge(entries: HostEntry[], name: string, key: Buffer): HostVerdict {
  if (isRevoked(entries, key)) return "revoked";
  const trusted = keysOf(entries, name);
  if (trusted.some((entry) => entry.key.equals(key))) return "known";
  return trusted.length > 0 ? "changed" : "unknown";
}

function parseLine(line: string): HostEntry | undefined {
  const words = line.split(/[ \t]+/);
  const marker = words[0]?.startsWith("@") ? words.shift() : "";
  const [names = "", type = "", text = ""] = words;
  if (marker !== "" && marker !== "@cert-authority" && marker !== "@revoked") return undefined;
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  const key = Buffer.from(text, "base64");
  const matches = names.startsWith("|") ? hashed(names) : patterns(names);
  if (!matches || typeOf(key) !== type) return undefined;
  return { matches, marker, type, key };
}

/** The first field of a key says of what kind it is. */
export function typeOf(key: Buffer): string | undefined {
  if (key.length < 4) return undefined;
  const length = key.readUInt32BE(0);
  return length > 0 && length <= 64 && key.length > 4 + length ? key.toString("latin1", 4, 4 + length) : undefined;
}

/** `|1|salt|hash`: a name whose hash it is. */
function hashed(field: string): HostEntry["matches"] | undefined {
  const [, version, salt = "", hash = "", ...more] = field.split("|");
  const [key, wanted] = [Buffer.from(salt, "base64"), Buffer.from(hash, "base64")];
  if (version !== "1" || wanted.length !== 20 || key.length === 0 || more.length > 0) return undefined;
  return (name) => createHmac("sha1", key).update(name).digest().equals(wanted);
}

/** Names with `*` and `?`, some of them denied by `!`. */
function patterns(field: string): HostEntry["matches"] | undefined {
  const parts = field.toLowerCase().split(",").map((part) => ({ denies: part.startsWith("!"), glob: withoutDefaultPort(part.replace(/^!/, "")) }));
  if (parts.some(({ glob }) => glob === "")) return undefined;
  return (name) => {
    const matching = parts.filter(({ glob }) => isGlobMatch(glob, name));
    return matching.length > 0 && matching.every(({ denies }) => !denies);
  };
}

const withoutDefaultPort = (pattern: string): string => pattern.replace(/^\[([^\]]*)\]:22$/, "$1");

/** In time that grows with the product of both, however many stars there are. */
export function isGlobMatch(glob: string, text: string): boolean {
  let [at, star, mark] = [0, -1, 0];
  for (let i = 0; i < text.length; ) {
    if (at < glob.length && (glob[at] === "?" || glob[at] === text[i]) && glob[at] !== "*") [at, i] = [at + 1, i + 1];
    else if (glob[at] === "*") [star, mark, at] = [at, i, at + 1];
    else if (star >= 0) [at, i, mark] = [star + 1, mark + 1, mark + 1];
    else return false;
  }
  return /^\**$/.test(glob.slice(at));
}
