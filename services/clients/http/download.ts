/** One file from a web server: kept connections, a bounded answer, credentials that stay with the host they are for. */
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { request, type Dispatcher } from "undici";
import { Fault } from "#protocol/errors/fault.ts";
import { readBounded } from "./bounded.ts";
import { dispatcherFor, type Peer } from "./connections.ts";
import { explain, isStaleConnection, throwIfAborted } from "./failure.ts";

export type Download = {
  url: URL;
  /** What it is about, for messages: without user, password, query and fragment. */
  shown: string;
  peer: Peer;
  /** The whole value of the Authorization header. */
  authorization?: string | undefined;
  /** The origin that the credentials are for, our certificate included; no other sees them. */
  home: string;
  /** What is already at hand is not sent again. */
  known?: { etag?: string | undefined; lastModified?: string | undefined } | undefined;
  /** The server may compress its answer on the way. */
  compressed?: boolean | undefined;
  /** Of the file, compressed on the way or not. */
  maxBytes: number;
  signal: AbortSignal;
};

/** `bytes` are absent when what is known is still the newest. */
export type Downloaded = { bytes?: Buffer; etag?: string; lastModified?: string };

const maxRedirects = 5;
const redirectStatus = new Set([301, 302, 303, 307, 308]);
/** Longer than this a server that has enough of us is not waited for within a call. */
const longestPauseMs = 5_000;

/**
 * Follows redirects, never from https to http.
 *
 * @throws Fault AuthenticationFailed, ReferenceMissing (404), UpstreamUnreachable, SourceTooLarge, TimedOut; the signal's reason
 */
export async function download(wanted: Download): Promise<Downloaded> {
  const { shown, signal, maxBytes } = wanted;
  const response = await patient(wanted);
  const { statusCode, headers } = response;
  const [etag, lastModified] = [wordOf(headers["etag"]), wordOf(headers["last-modified"])];
  const marks = { ...(etag && { etag }), ...(lastModified && { lastModified }) };
  if (statusCode === 304 && wanted.known) {
    await drop(response);
    return marks;
  }
  if (statusCode !== 200) {
    await drop(response);
    throw refusal(wanted, statusCode);
  }
  const bytes = await readBounded(response.body, { shown, maxBytes, signal });
  const isCompressed = wanted.compressed && /^(?:x-)?gzip$/i.test(wordOf(headers["content-encoding"]) ?? "");
  return { bytes: isCompressed ? await inflated(bytes, wanted) : bytes, ...marks };
}

const inflate = promisify(gunzip);

async function inflated(bytes: Buffer, { shown, maxBytes }: Download): Promise<Buffer> {
  try {
    return await inflate(bytes, { maxOutputLength: maxBytes });
  } catch (cause) {
    if ((cause as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE") throw new Fault("SourceTooLarge", shown, { detail: `the server's answer is longer than ${maxBytes} bytes`, cause });
    throw new Fault("UpstreamUnreachable", shown, { detail: "the answer is not compressed as it says", cause });
  }
}

async function patient(wanted: Download): Promise<Dispatcher.ResponseData> {
  for (let paused = false; ; paused = true) {
    const response = await follow(wanted);
    if (response.statusCode !== 429 && response.statusCode !== 503) return response;
    const seconds = Number(wordOf(response.headers["retry-after"]) ?? NaN);
    const wantedMs = Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
    if (paused || wantedMs === undefined || wantedMs > longestPauseMs) return response;
    await drop(response);
    await pause(wantedMs, wanted);
  }
}

async function follow(wanted: Download): Promise<Dispatcher.ResponseData> {
  let { url } = wanted;
  for (let redirects = 0; ; redirects++) {
    const response = await ask(wanted, url);
    const { location } = response.headers;
    if (!redirectStatus.has(response.statusCode) || typeof location !== "string" || !URL.canParse(location, String(url))) return response;
    await drop(response);
    const to = new URL(location, url);
    const refused = (detail: string) => new Fault("UpstreamUnreachable", wanted.shown, { detail });
    if (redirects === maxRedirects) throw refused(`more than ${maxRedirects} redirects`);
    if (to.protocol !== "https:" && !(to.protocol === "http:" && url.protocol === "http:")) throw refused(`the server redirects to ${to.protocol}//, which is not followed`);
    to.username = to.password = "";
    url = to;
  }
}

async function ask({ shown, peer, authorization, home, known, compressed, signal }: Download, url: URL): Promise<Dispatcher.ResponseData> {
  const isHome = url.origin === home;
  const headers = {
    accept: "*/*", "user-agent": "flotilla",
    ...(isHome && authorization && { authorization }),
    ...(compressed && { "accept-encoding": "gzip" }),
    ...(known?.etag && { "if-none-match": known.etag }),
    ...(known?.lastModified && { "if-modified-since": known.lastModified }),
  };
  const once = () => request(url, { method: "GET", headers, dispatcher: dispatcherFor(peer, isHome), signal });
  try {
    // A kept connection may be closed by the server just as it is used again.
    return await once().catch((error: unknown) => {
      if (isStaleConnection(error) && !signal.aborted) return once();
      throw error;
    });
  } catch (error) {
    throwIfAborted(signal, shown);
    throw explain(error, shown);
  }
}

function refusal({ shown, authorization }: Download, statusCode: number): Fault {
  if (statusCode === 401 || statusCode === 403)
    return new Fault("AuthenticationFailed", shown, { detail: `HTTP ${statusCode}: credentials ${authorization ? "were not accepted" : "are required"}` });
  if (statusCode === 404) return new Fault("ReferenceMissing", shown, { detail: "HTTP 404: it is not there, or the credentials may not see it" });
  return new Fault("UpstreamUnreachable", shown, { detail: statusCode === 407 ? "HTTP 407: the proxy wants other credentials" : `HTTP ${statusCode}` });
}

async function pause(ms: number, { signal, shown }: Download): Promise<void> {
  throwIfAborted(signal, shown);
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const stop = () => resolve();
  signal.addEventListener("abort", stop, { once: true });
  await promise;
  signal.removeEventListener("abort", stop);
  clearTimeout(timer);
  throwIfAborted(signal, shown);
}

const wordOf = (header: string | string[] | undefined): string | undefined => [header].flat()[0];

const drop = (response: Dispatcher.ResponseData) => response.body.dump({ limit: 64 * 1024 }).catch(() => undefined); // else the connection is closed
