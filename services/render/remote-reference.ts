/** Kustomize's way to name a base in a Git repository (kustomize api/internal/git/repospec.go), as far as it is fetched. */

/** A base in a repository. `ref` is empty for the repository's own branch. */
export type RemoteReference = {
  /** Of the repository: http or https, without user, password and query. */
  url: string;
  ref: string;
  /** Of the base's directory, from the repository's root on; the root is "". */
  path: string;
  submodules: boolean;
  timeoutMs: number;
};

const defaultTimeoutMs = 27_000; // kustomize's own
const longestTimeoutMs = 60_000;

/** @throws RangeError with why it is not fetched; it repeats nothing of the reference */
export function readRemoteReference(text: string): RemoteReference {
  const [address = "", query = ""] = cut(text.replace(/^git::/i, ""), "?");
  if (/^file:/i.test(address)) throw new RangeError("files of the worker are no repositories");
  if (/^ssh:/i.test(address) || (!/^https?:/i.test(address) && /^[a-z][a-z0-9-]*@|^github\.com:/i.test(address)))
    throw new RangeError("only http and https are fetched, not SSH");
  const asked = new URLSearchParams(query);
  const ref = asked.get("ref") || asked.get("version") || "";
  // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
  if (/[\x00-\x20\x7f~^:?*[\\]|\.\.|^[-/]|\/$/.test(ref) || ref.length > 256) throw new RangeError("its ref is not a name Git allows");
  const scheme = /^https?:\/\//i.exec(address)?.[0] ?? "https://";
  const [host = "", rest = ""] = cut(address.slice(/^https?:/i.test(address) ? scheme.length : 0), "/");
  if (host.includes("@")) throw new RangeError("a user or password in it is not used: bases are fetched without credentials");
  const { repository, path } = split(rest);
  const url = `${scheme.toLowerCase()}${host}/${repository}`;
  if (!repository || !URL.canParse(url) || !new URL(url).hostname) throw new RangeError("it names no repository");
  if (ref === "" && path === "" && /\.(ya?ml|json)$/i.test(repository)) throw new RangeError("it is a file, and only Git repositories are fetched");
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..") || path.includes("\0")) throw new RangeError("its path leads out of the repository");
  return { url: String(new URL(url)), ref, path: parts.join("/"), submodules: !isFalse(asked.get("submodules")), timeoutMs: timeoutOf(asked.get("timeout")) };
}

/** Where the repository ends: after `_git/NAME`, before `//`, after `.git`, or after two parts. */
function split(rest: string): { repository: string; path: string } {
  const azure = /^(.*?_git\/[^/]*)(.*)$/s.exec(rest);
  if (azure) return { repository: azure[1] ?? "", path: azure[2] ?? "" };
  const slashes = rest.indexOf("//");
  if (slashes >= 0) return { repository: rest.slice(0, slashes), path: rest.slice(slashes + 2) };
  const suffix = rest.indexOf(".git");
  if (suffix >= 0) return { repository: rest.slice(0, suffix + 4), path: rest.slice(suffix + 4) };
  const segments = rest.split("/");
  return segments.length < 2 ? { repository: "", path: "" } : { repository: segments.slice(0, 2).join("/"), path: segments.slice(2).join("/") };
}

function cut(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + separator.length)];
}

const isFalse = (text: string | null): boolean => /^(0|f|false)$/i.test(text ?? "");

/** Seconds as a number, or Go's durations; what is neither counts as not said, as with kustomize. */
function timeoutOf(text: string | null): number {
  const units: Record<string, number> = { "": 1000, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  const whole = /^(\d+(?:\.\d+)?(?:ms|s|m|h))+$|^\d+$/.test(text ?? "");
  const ms = whole ? [...(text ?? "").matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|$)/g)].reduce((sum, [, count, unit = ""]) => sum + Number(count) * (units[unit] ?? 0), 0) : 0;
  return ms > 0 ? Math.min(ms, longestTimeoutMs) : defaultTimeoutMs;
}
