/** Where a repository's submodules are, as its `.gitmodules` says, and who we are there. */
import { Fault } from "#protocol/errors/fault.ts";
import { parseAddress } from "./address.ts";
import type { Access } from "./transport.ts";

/** URL by path. What has no path or no URL is passed over: its directory stays empty, as in a checkout. */
export function parseModules(text: string): Map<string, string> {
  const modules = new Map<string, string>();
  let [path, url] = ["", ""];
  const end = () => {
    if (path && url) modules.set(path, url);
    [path, url] = ["", ""];
  };
  for (const raw of text.split(/\r?\n/)) {
    const line = raw.trim();
    if (line.startsWith("[")) end();
    const [, name = "", value = ""] = /^([A-Za-z]+)[ \t]*=[ \t]*(.*)$/.exec(line) ?? [];
    const bare = /^"(.*)"$/.exec(value)?.[1]?.replaceAll(/\\(["\\])/g, "$1") ?? value.replace(/[ \t]+[#;].*$/, "");
    if (name.toLowerCase() === "path") path = bare.replace(/\/+$/, "");
    if (name.toLowerCase() === "url") url = bare;
  }
  end();
  return modules;
}

/**
 * How a submodule is reached from the repository that has it. The credentials go along to the same server only: whoever
 * writes `.gitmodules` could otherwise have them sent to a server of their own.
 *
 * @throws Fault UnsupportedReference
 */
export function accessOf(url: string, parent: Access): Access {
  const { base: from } = parseAddress(parent.url);
  const target = absolute(url, from);
  const { base: to } = parseAddress(target);
  const isSame = to.protocol === from.protocol && to.host.toLowerCase() === from.host.toLowerCase();
  const { proxySecret, secret, reach } = parent;
  return { url: target, ...(proxySecret && { proxySecret }), ...(isSame && secret && { secret }), ...(reach && { reach }) };
}

/** `../other.git` is relative to the repository itself; `git@host:path` is SSH. */
function absolute(url: string, base: URL): string {
  if (url.startsWith("./") || url.startsWith("../")) return String(new URL(url, `${String(base)}/`));
  const [, user = "", host, path] = /^([^@/:]+@)?([^/:@]+):(?!\/\/)(.+)$/.exec(url) ?? [];
  if (host && path) return `ssh://${user}${host}/${path.replace(/^\/+/, "")}`;
  if (URL.canParse(url)) return url;
  throw new Fault("UnsupportedReference", String(base), { detail: "a submodule's address is not a URL" });
}
