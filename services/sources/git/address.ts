/** The address of a repository: what is asked, and what may be shown of it. */
import { Fault } from "#protocol/errors/fault.ts";
import { decode } from "#services/clients/http/proxy.ts";

export type Address = {
  /** Without user, password, query and fragment, and without a slash at the end: `/info/refs` follows. */
  base: URL;
  /** The same, as text for messages. */
  shown: string;
  /** What the URL itself said about credentials, if anything: the fallback of the Secret (flux.md 2.1, 3). */
  username: string;
  password: string;
};

const schemes = new Set(["http:", "https:", "ssh:"]);

/** @throws Fault UnsupportedReference for anything but http, https and ssh */
export function parseAddress(text: string): Address {
  if (!URL.canParse(text)) throw new Fault("UnsupportedReference", showUrl(text), { detail: "spec.url is not a URL" });
  const url = new URL(text);
  if (!schemes.has(url.protocol))
    throw new Fault("UnsupportedReference", showUrl(text), { detail: `${url.protocol}// is not supported` });
  if (!/^[^%\s]+$/.test(url.hostname)) throw new Fault("UnsupportedReference", showUrl(text), { detail: "spec.url names no host" });
  const { username, password } = url;
  const base = bare(url);
  return { base, shown: String(base), username: decode(username), password: decode(password) };
}

/** A URL as it may be shown: user, password, query and fragment can hold secrets. */
export function showUrl(text: string | URL): string {
  if (URL.canParse(String(text))) return String(bare(new URL(text)));
  const [scheme = ""] = /^[a-z][a-z0-9+.-]{0,20}:/i.exec(String(text)) ?? [];
  return `${scheme}...`;
}

function bare(url: URL): URL {
  const base = new URL(url);
  base.username = base.password = base.search = base.hash = "";
  base.pathname = base.pathname.replace(/\/+$/, "");
  return base;
}
