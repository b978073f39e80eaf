/** HTTP to a Git server: kept connections, bounded answers, credentials that stay with the host they are meant for. */
import { request, type Dispatcher } from "undici";
import { Fault } from "#protocol/errors/fault.ts";
import { parseAddress, showUrl, type Address } from "./address.ts";
import { dispatcherFor } from "./connections.ts";
import { readCredentials, type Credentials } from "./credentials.ts";
import { explain, isStaleConnection, throwIfAborted } from "./failure.ts";

export type Remote = { address: Address; credentials: Credentials };

/** @throws Fault UnsupportedReference, AuthenticationFailed */
export function remoteFrom(url: string, secret?: Record<string, Uint8Array>): Remote {
  const address = parseAddress(url);
  return { address, credentials: readCredentials(address, secret) };
}

export type Question = {
  method: "GET" | "POST";
  url: URL;
  headers?: Record<string, string>;
  body?: string;
  signal: AbortSignal;
  /** Longest answer that is read. */
  maxBytes: number;
};

/** `url` is where the answer came from, after redirects. */
export type Answer = { url: URL; contentType: string; body: AsyncIterable<Uint8Array> };

const maxRedirects = 5;
const redirectStatus = new Set([301, 302, 303, 307, 308]);

/** Who sends less than this in that time only holds a place that others wait for (as git's http.lowSpeedLimit). */
const slowMs = 60_000;
const slowBytes = 60_000;

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
    const response = await send(remote, { ...question, url });
    const { location } = response.headers;
    const redirected =
      redirectStatus.has(response.statusCode) && typeof location === "string" && URL.canParse(location, String(url));
    if (!redirected) {
      if (response.statusCode !== 200) await refuse(remote, response);
      return {
        url,
        contentType: String(response.headers["content-type"] ?? ""),
        body: bounded(remote, question, response.body),
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

async function send({ address, credentials }: Remote, { method, url, headers, body, signal }: Question) {
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
    dispatcher: dispatcherFor(credentials, home),
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

async function* bounded(
  { address: { shown } }: Remote,
  { signal, maxBytes }: Question,
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let size = 0;
  let window = { startMs: performance.now(), size };
  try {
    for await (const chunk of body) {
      size += chunk.length;
      if (performance.now() - window.startMs > slowMs) {
        if (size - window.size < slowBytes)
          throw new Fault("UpstreamUnreachable", shown, {
            detail: "the server answers too slowly: less than a kilobyte a second",
          });
        window = { startMs: performance.now(), size };
      }
      if (size > maxBytes)
        throw new Fault("SourceTooLarge", shown, { detail: `the server's answer is longer than ${maxBytes} bytes` });
      yield chunk;
    }
  } catch (error) {
    throwIfAborted(signal, shown);
    throw explain(error, shown);
  }
}

async function refuse({ address, credentials }: Remote, { statusCode, body }: Dispatcher.ResponseData): Promise<never> {
  await body.dump({ limit: 64 * 1024 }).catch(() => undefined); // as above
  // Azure DevOps answers 203 and its sign-in page.
  if (statusCode === 401 || statusCode === 403 || statusCode === 203)
    throw new Fault("AuthenticationFailed", address.shown, {
      detail: `HTTP ${statusCode}: credentials ${credentials.authorization ? "were not accepted" : "are required"}`,
    });
  const detail =
    statusCode === 404 ? "HTTP 404: no repository here, or the credentials may not see it" : `HTTP ${statusCode}`;
  throw new Fault("UpstreamUnreachable", address.shown, { detail });
}
