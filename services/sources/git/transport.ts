/** HTTP to a Git server: kept connections, bounded answers, credentials that stay with the host they are meant for. */
import { request, type Dispatcher } from "undici";
import { Fault } from "#protocol/errors/fault.ts";
import { parseAddress, showUrl, type Address } from "./address.ts";
import { bounded } from "#services/clients/http/bounded.ts";
import { dispatcherFor } from "#services/clients/http/connections.ts";
import { readCredentials, type Credentials } from "./credentials.ts";
import { readProxy, type Proxy } from "#services/clients/http/proxy.ts";
import { explain, isStaleConnection, throwIfAborted } from "#services/clients/http/failure.ts";

export type Remote = { address: Address; credentials: Credentials; proxy?: Proxy; reach?: Reach };

/** Where a stranger's address may lead: to these hosts; to any public one, by https, when there are none. */
export type Reach = { hosts: string[] };

type SecretData = Record<string, Uint8Array>;

/** Where to go and who we are there, as the spec and its Secrets say; plain data, so that a thread can be given it. */
export type Access = { url: string; secret?: SecretData | undefined; proxySecret?: SecretData | undefined; reach?: Reach };

/** @throws Fault UnsupportedReference, AuthenticationFailed, ProxyInvalid */
export function remoteFrom({ url, secret, proxySecret, reach }: Access): Remote {
  const address = parseAddress(url);
  if (reach && (address.username || address.password))
    throw new Fault("UnsupportedReference", address.shown, { detail: "a user or password in the address is not used here" });
  if (reach) checkReach(reach, address.base, address.shown);
  const credentials = readCredentials(address, secret);
  return { address, credentials, ...(proxySecret && { proxy: readProxy(address.shown, proxySecret) }), ...(reach && { reach }) };
}

/** @throws Fault UpstreamUnreachable */
function checkReach({ hosts }: Reach, url: URL, shown: string): void {
  if (hosts.includes(url.hostname) || hosts.includes(url.host)) {
    if (url.protocol === "https:" || url.protocol === "http:") return;
  } else if (hosts.length > 0) {
    throw new Fault("UpstreamUnreachable", shown, { detail: `${url.host} is not among the hosts of --remote-base-hosts` });
  } else if (url.protocol === "https:") return;
  throw new Fault("UpstreamUnreachable", shown, { detail: `only https is used, and http with hosts of --remote-base-hosts: not ${url.protocol}//${url.host}` });
}

export type Question = {
  method: "GET" | "POST";
  url: URL;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  signal: AbortSignal;
  /** Longest answer that is read. */
  maxBytes: number;
};

/** `url` is where the answer came from, after redirects. */
export type Answer = { url: URL; contentType: string; body: AsyncIterable<Uint8Array> };

const maxRedirects = 5;
const redirectStatus = new Set([301, 302, 303, 307, 308]);

// Servers tell Git from browsers by it (GitHub: for URLs that do not end in .git).
const userAgent = "git/2.45.0 (flotilla)";

/**
 * Asks once, and follows redirects of a GET only, as Git itself does: what a POST asks was agreed with one server.
 *
 * @throws Fault AuthenticationFailed, UpstreamUnreachable or TimedOut; the signal's reason when it ended the call
 */
export async function ask(remote: Remote, question: Question): Promise<Answer> {
  let { url } = question;
  for (let redirects = 0; ; redirects++) {
    if (remote.reach) checkReach(remote.reach, url, remote.address.shown);
    const response = await send(remote, { ...question, url });
    const { location } = response.headers;
    const redirected =
      redirectStatus.has(response.statusCode) && typeof location === "string" && URL.canParse(location, String(url));
    if (!redirected) {
      if (response.statusCode !== 200) await refuse(remote, response);
      return {
        url,
        contentType: String(response.headers["content-type"] ?? ""),
        body: bounded(response.body, { shown: remote.address.shown, ...question }),
      };
    }
    await response.body.dump({ limit: 64 * 1024 }).catch(() => undefined); // the connection is closed instead of reused
    url = follow(remote, question.method, url, new URL(location, url), redirects);
  }
}

function follow(
  { address: { shown }, credentials }: Remote,
  method: string,
  from: URL,
  to: URL,
  redirects: number,
): URL {
  const refused = (detail: string) => new Fault("UpstreamUnreachable", shown, { detail });
  if (method === "POST") throw refused("the server redirected a request for data");
  if (redirects === maxRedirects) throw refused(`more than ${maxRedirects} redirects`);
  if (to.protocol !== "https:" && !(to.protocol === "http:" && from.protocol === "http:"))
    throw refused(`the server redirects to ${credentials.redact(showUrl(to)).slice(0, 200)}, which is not followed`);
  const url = new URL(to);
  url.username = url.password = "";
  return url;
}

async function send(remote: Remote, { method, url, headers, body, signal }: Question) {
  const { address, credentials, proxy, reach } = remote;
  const home = isHome(address.base, url);
  const options = {
    method,
    headers: {
      "user-agent": userAgent,
      accept: "*/*",
      ...headers,
      ...(home && credentials.authorization && { authorization: credentials.authorization }),
    },
    ...(body !== undefined && { body }),
    dispatcher: dispatcherFor({ ...credentials, ...(proxy && { proxy }), publicOnly: reach?.hosts.length === 0 }, home),
    signal,
  };
  const once = () => request(url, options);
  try {
    // A kept connection may be closed by the server just as it is used again. Both questions may be asked twice.
    return await once().catch((error: unknown) => {
      if (isStaleConnection(error) && !signal.aborted) return once();
      throw error;
    });
  } catch (error) {
    throwIfAborted(signal, address.shown);
    throw explain(error, address.shown);
  }
}

/** Credentials go where the user sent them and, after a redirect, to the same host only; from http to its https too. */
function isHome(base: URL, url: URL): boolean {
  if (base.origin === url.origin) return true;
  return (
    base.hostname === url.hostname && base.protocol === "http:" && url.protocol === "https:" && !base.port && !url.port
  );
}

async function refuse({ address, credentials }: Remote, { statusCode, body }: Dispatcher.ResponseData): Promise<never> {
  await body.dump({ limit: 64 * 1024 }).catch(() => undefined); // as above
  // Azure DevOps answers 203 and its sign-in page.
  if (statusCode === 407) throw new Fault("UpstreamUnreachable", address.shown, { detail: "the proxy wants other credentials: HTTP 407" });
  if (statusCode === 401 || statusCode === 403 || statusCode === 203)
    throw new Fault("AuthenticationFailed", address.shown, {
      detail: `HTTP ${statusCode}: credentials ${credentials.authorization ? "were not accepted" : "are required"}`,
    });
  const detail =
    statusCode === 404 ? "HTTP 404: no repository here, or the credentials may not see it" : `HTTP ${statusCode}`;
  throw new Fault("UpstreamUnreachable", address.shown, { detail });
}
