/** The address of a repository: what is asked, and what may be shown of it. */
import { Fault } from "#protocol/errors/fault.ts";

export type Address = {
  /** Without user, password, query and fragment, and without a slash at the end: `/info/refs` follows. */
  base: URL;
  /** The same, as text for messages. */
  shown: string;
  /** What the URL itself said about credentials, if anything: the fallback of the Secret (flux.md 2.1, 3). */
  username: string;
  password: string;
};

/** @throws Fault UnsupportedReference for anything but http and https */
export function parseAddress(text: string): Address {
  if (!URL.canParse(text)) throw new Fault("UnsupportedReference", showUrl(text), { detail: "spec.url is not a URL" });
  const url = new URL(text);
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw new Fault("UnsupportedReference", showUrl(text), { detail: `${url.protocol}// is not supported yet` });
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

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a stray percent sign is part of the password
  }
}
