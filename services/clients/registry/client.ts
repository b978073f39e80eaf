/**
 * The distribution API of an OCI registry, as far as one reads from it: tags, manifests, blobs and referrers. What is
 * fetched by its digest is verified; answers are bounded; credentials stay with the host they are for.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { LRUCache } from "lru-cache";
import { request, type Dispatcher } from "undici";
import { Fault } from "#protocol/errors/fault.ts";
import { bounded, readBounded } from "../http/bounded.ts";
import { dispatcherFor, type Peer } from "../http/connections.ts";
import { codesOf, explain, isStaleConnection, throwIfAborted } from "../http/failure.ts";
import { authorizationOf, authorize, forgetAuthorization, type Entrance, type Login } from "./login.ts";
import { mediaTypes, readManifest, type Descriptor, type Index, type Manifest } from "./manifest.ts";
import { apiHost, isDigest, isLoopback, type Repository } from "./names.ts";

export type RegistryOptions = {
  repository: Repository;
  peer: Peer;
  login?: Login | undefined;
  /** Plain HTTP will do where HTTPS is not spoken. */
  insecure?: boolean;
};

export type TagList = { tags: string[]; etag?: string };
export type Unchanged = { tags: undefined };

export type Fetched<Content> = Content & { digest: string; mediaType: string; bytes: Buffer };

type Question = { method: "GET" | "HEAD"; url: URL; accept: string; known?: string | undefined; signal: AbortSignal };
type Response = Dispatcher.ResponseData;

const maxManifestBytes = 4 * 2 ** 20; // what the specification asks registries to take at least
const maxTagBytes = 16 * 2 ** 20;
const maxTags = 100_000;
const maxTagPages = 2_500; // some registries give fifty at a time
const longestEtag = 200; // characters
const pageSize = 1_000;
const maxRedirects = 5;
/** Longer than this a registry that has enough of us is not waited for within a call. */
const longestPauseMs = 5_000;
/** Nor does it keep us away longer. */
const longestQuietMs = 15 * 60_000;

const accepted = Object.values(mediaTypes).join(", ");
const redirectStatus = new Set([301, 302, 303, 307, 308]);

/** Which scheme a host that need not speak HTTPS was found to speak, by who asked. */
const schemes = new LRUCache<string, "http:" | "https:">({ max: 1_000, ttl: 10 * 60_000 });
/** Until when a registry wants to be left alone, by who asked. */
const quiet = new LRUCache<string, number>({ max: 1_000 });

export class RegistryClient {
  readonly shown: string;
  private readonly options: RegistryOptions;

  constructor(options: RegistryOptions) {
    this.options = options;
    this.shown = options.repository.shown;
  }

  /**
   * What a tag or digest means now, by the cheapest question.
   *
   * @throws Fault ReferenceMissing, AuthenticationFailed, UpstreamUnreachable, TimedOut
   */
  async digestOf(reference: string, signal: AbortSignal): Promise<string> {
    const response = await this.send({ method: "HEAD", path: `manifests/${reference}`, accept: accepted }, signal);
    await response.body.dump().catch(() => undefined);
    const said = response.headers["docker-content-digest"];
    if (response.statusCode === 200 && typeof said === "string" && isDigest(said)) return said;
    // Not every registry answers a HEAD, or says the digest in it.
    if (response.statusCode === 401 || response.statusCode === 403) throw this.refused(response.statusCode);
    return (await this.manifest(reference, signal)).digest;
  }

  /** A manifest as others refer to it. @throws Fault as above */
  async describe(digest: string, signal: AbortSignal): Promise<Pick<Descriptor, "mediaType" | "digest" | "size">> {
    const { mediaType, bytes } = await this.manifest(digest, signal);
    return { mediaType, digest, size: bytes.length };
  }

  /** By tag or digest; verified against the digest when it is one. @throws Fault as above, and DigestMismatch */
  async manifest(reference: string, signal: AbortSignal): Promise<Fetched<{ manifest: Manifest } | { index: Index }>> {
    const response = await this.get(`manifests/${reference}`, accepted, signal, "the registry has no such manifest");
    const bytes = await this.read(response, maxManifestBytes, signal);
    const algorithm = isDigest(reference) ? reference.slice(0, reference.indexOf(":")) : "sha256";
    const digest = `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
    if (isDigest(reference)) this.compare(digest, reference, "manifest");
    const mediaType = String(response.headers["content-type"] ?? "").split(";", 1)[0]!.trim();
    try {
      return { ...readManifest(bytes, mediaType), digest, mediaType, bytes };
    } catch (error) {
      if (error instanceof RangeError) throw new Fault("LayerInvalid", this.shown, { detail: error.message });
      throw error;
    }
  }

  /** The image that a digest means; of an index, the one for Linux on amd64, which docker's clients take too. */
  async image(digest: string, signal: AbortSignal, depth = 0): Promise<Fetched<{ manifest: Manifest }>> {
    const found = await this.manifest(digest, signal);
    if ("manifest" in found) return found;
    const child = found.index.manifests.find(({ platform }) => !platform || (platform.os === "linux" && platform.architecture === "amd64"));
    if (!child || depth === 2) throw new Fault("LayerInvalid", this.shown, { detail: "the index has no image for linux/amd64" });
    return this.image(child.digest, signal, depth + 1);
  }

  /** All tags, in the registry's order. @throws Fault SourceTooLarge when they are too many, and as above */
  async tags(signal: AbortSignal): Promise<string[]> {
    return (await this.tagList(signal)).tags;
  }

  /**
   * All tags, in the registry's order, and the registry's name for the list where one answer held all of it.
   *
   * @param known that name, of a list that is at hand: `tags` is undefined when it is the same still
   * @throws Fault SourceTooLarge when they are too many or come without end, and as above
   */
  async tagList(signal: AbortSignal): Promise<TagList>;
  async tagList(signal: AbortSignal, known: string | undefined): Promise<TagList | Unchanged>;
  async tagList(signal: AbortSignal, known?: string): Promise<TagList | Unchanged> {
    const tags: string[] = [];
    const seen = new Set<string>();
    const endless = (detail: string) => new Fault("SourceTooLarge", this.shown, { detail });
    let [bytesLeft, next, etag] = [maxTagBytes, `tags/list?n=${pageSize}` as string | URL | undefined, undefined as string | undefined];
    while (next !== undefined) {
      const response: Response = await this.get(next, "application/json", signal, "the registry has no such repository", seen.size === 0 ? known : undefined);
      if (response.statusCode === 304) return (await drop(response), { tags: undefined });
      const page = await this.read(response, bytesLeft, signal);
      bytesLeft -= page.length;
      const found = tagsOf(page);
      if (!found) throw new Fault("UpstreamUnreachable", this.shown, { detail: "the list of tags cannot be read" });
      tags.push(...found);
      if (tags.length > maxTags) throw endless(`more than ${maxTags} tags`);
      if (found.length === 0 && next instanceof URL) break;
      seen.add(String(next));
      next = this.nextPage(response, next);
      if (!next && seen.size === 1) etag = etagOf(response, found.length);
      if (next && seen.has(String(next))) throw endless("the list of tags goes round in circles: a page names an earlier one as the next");
      if (seen.size === maxTagPages && next) throw endless(`the list of tags has more than ${maxTagPages} pages`);
    }
    return { tags, ...(etag && { etag }) };
  }

  /** The whole blob, verified. @throws Fault SourceTooLarge, DigestMismatch, and as above */
  async blob({ digest, size }: Descriptor, maxBytes: number, signal: AbortSignal): Promise<Buffer<ArrayBuffer>> {
    if (size > maxBytes) throw new Fault("SourceTooLarge", this.shown, { detail: `the layer has ${size} bytes, more than ${maxBytes}` });
    const response = await this.get(`blobs/${digest}`, "*/*", signal, `the registry has no blob ${digest}`);
    const algorithm = digest.slice(0, digest.indexOf(":"));
    const hash = createHash(algorithm);
    const bytes = Buffer.from(new ArrayBuffer(size));
    let at = 0;
    for await (const chunk of bounded(response.body, { shown: this.shown, maxBytes: size, signal })) {
      hash.update(chunk);
      bytes.set(chunk, at);
      at += chunk.length;
    }
    if (at !== size) throw new Fault("DigestMismatch", this.shown, { detail: `blob ${digest} has ${at} bytes instead of ${size}` });
    this.compare(`${algorithm}:${hash.digest("hex")}`, digest, "blob");
    return bytes;
  }

  /** Manifests that say they are about this one. Registries without the API keep a list under a tag (distribution, referrers). */
  async referrers(digest: string, signal: AbortSignal): Promise<Descriptor[]> {
    const response = await this.send({ method: "GET", path: `referrers/${digest}`, accept: mediaTypes.index }, signal);
    if (response.statusCode === 200) return this.listed(await this.read(response, maxManifestBytes, signal));
    await drop(response);
    if (response.statusCode === 401 || response.statusCode === 403) throw this.refused(response.statusCode);
    return (await this.find(digest.replace(":", "-"), signal).then((found) => found && "index" in found && found.index.manifests)) || [];
  }

  /** As `manifest`; undefined when there is none. */
  async find(reference: string, signal: AbortSignal): Promise<Fetched<{ manifest: Manifest } | { index: Index }> | undefined> {
    return this.manifest(reference, signal).catch((error: unknown) => {
      if (error instanceof Fault && error.code === "ReferenceMissing") return undefined;
      throw error;
    });
  }

  private listed(bytes: Buffer): Descriptor[] {
    try {
      const read = readManifest(bytes, mediaTypes.index);
      return "index" in read ? read.index.manifests : [];
    } catch (error) {
      throw new Fault("UpstreamUnreachable", this.shown, { detail: "the list of referrers cannot be read", cause: error });
    }
  }

  private compare(found: string, wanted: string, what: string): void {
    const [one, other] = [Buffer.from(found), Buffer.from(wanted)];
    if (one.length !== other.length || !timingSafeEqual(one, other))
      throw new Fault("DigestMismatch", this.shown, { detail: `the registry answers with another ${what} than ${wanted}` });
  }

  private read(response: Response, maxBytes: number, signal: AbortSignal): Promise<Buffer> {
    return readBounded(response.body, { shown: this.shown, maxBytes, signal });
  }

  /** Of the same registry only. */
  private nextPage({ headers }: Response, current: string | URL): URL | undefined {
    const [, target = ""] = /<([^>]*)>\s*;[^,]*\brel="?next"?/.exec([headers["link"]].flat().join(", ")) ?? [];
    const base = current instanceof URL ? current : this.address(current);
    if (target === "" || !URL.canParse(target, String(base))) return undefined;
    const next = new URL(target, base);
    return next.origin === base.origin ? next : undefined;
  }

  /** @param known name of an answer that is at hand: it is not sent again */
  private async get(path: string | URL, accept: string, signal: AbortSignal, missing: string, known?: string): Promise<Response> {
    const response = await this.send({ method: "GET", path, accept, known }, signal);
    const { statusCode } = response;
    if (statusCode === 200 || (statusCode === 304 && known)) return response;
    await drop(response);
    if (statusCode === 401 || statusCode === 403) throw this.refused(statusCode);
    if (statusCode === 404) throw new Fault("ReferenceMissing", this.shown, { detail: `HTTP 404: ${missing}, or the credentials may not see it` });
    const detail = statusCode === 407 ? "HTTP 407: the proxy wants other credentials" : `HTTP ${statusCode}`;
    throw new Fault("UpstreamUnreachable", this.shown, { detail });
  }

  private refused(statusCode: number): Fault {
    const credentials = this.options.login ? "were not accepted" : "are required";
    return new Fault("AuthenticationFailed", this.shown, { detail: `HTTP ${statusCode}: credentials ${credentials}` });
  }

  private get identity(): string {
    const { peer, repository } = this.options;
    return `${peer.identity} ${repository.host}`;
  }

  private get scheme(): "http:" | "https:" {
    return schemes.get(this.identity) ?? "https:";
  }

  private address(path: string): URL {
    const { host, path: name } = this.options.repository;
    return new URL(`${this.scheme}//${apiHost(host)}/v2/${name}/${path}`);
  }

  /** Once more in plain HTTP where that is allowed and nobody speaks HTTPS there. */
  private async send({ path, ...question }: Omit<Question, "url" | "signal"> & { path: string | URL }, signal: AbortSignal): Promise<Response> {
    this.checkQuiet();
    const ask = () => this.enter({ ...question, url: path instanceof URL ? path : this.address(path), signal });
    const { insecure, repository } = this.options;
    const mayBePlain = insecure === true || isLoopback(repository.host);
    if (!mayBePlain || this.scheme === "http:" || path instanceof URL) return ask();
    try {
      const response = await ask();
      schemes.set(this.identity, "https:");
      return response;
    } catch (error) {
      if (!(error instanceof NoTls)) throw error;
      schemes.set(this.identity, "http:");
      return await ask().catch((second: unknown) => {
        schemes.delete(this.identity); // it may only be away
        throw second;
      });
    }
  }

  /** Answers the registry's challenge, once. */
  private async enter(question: Question): Promise<Response> {
    const entrance: Entrance = { repository: this.options.repository, peer: this.options.peer, login: this.options.login, scheme: this.scheme };
    const before = authorizationOf(entrance);
    const response = await this.patient(question, before);
    if (response.statusCode !== 401) return response;
    forgetAuthorization(entrance);
    const challenges = [response.headers["www-authenticate"]].flat().filter((value) => value !== undefined);
    const authorization = await authorize(entrance, challenges, question.signal);
    if (!authorization || authorization === before) return response;
    await drop(response);
    return this.patient(question, authorization);
  }

  /** A registry that has enough of us is left alone for as long as it says. */
  private async patient(question: Question, authorization: string | undefined): Promise<Response> {
    for (let paused = false; ; paused = true) {
      const response = await this.follow(question, authorization);
      const wantedMs = response.statusCode === 429 || response.statusCode === 503 ? pauseOf(response.headers["retry-after"]) : undefined;
      if (wantedMs === undefined) return response;
      await drop(response);
      if (paused || wantedMs > longestPauseMs) {
        quiet.set(this.identity, Date.now() + Math.min(wantedMs, longestQuietMs));
        throw new Fault("UpstreamUnreachable", this.shown, { detail: `HTTP ${response.statusCode}: the registry asks to be left alone for ${Math.ceil(wantedMs / 1000)} s` });
      }
      await pause(wantedMs, question.signal, this.shown);
    }
  }

  private checkQuiet(): void {
    const leftMs = (quiet.get(this.identity) ?? 0) - Date.now();
    if (leftMs > 0) throw new Fault("UpstreamUnreachable", this.shown, { detail: "the registry asked to be left alone for a while" });
  }

  private async follow(question: Question, authorization: string | undefined): Promise<Response> {
    const home = question.url.host;
    let { url } = question;
    for (let redirects = 0; ; redirects++) {
      const response = await this.ask({ ...question, url }, url.host === home ? authorization : undefined, url.host === home);
      const { location } = response.headers;
      if (!redirectStatus.has(response.statusCode) || typeof location !== "string" || !URL.canParse(location, String(url))) return response;
      await drop(response);
      const to = new URL(location, url);
      if (redirects === maxRedirects) throw new Fault("UpstreamUnreachable", this.shown, { detail: `more than ${maxRedirects} redirects` });
      if (to.protocol !== "https:" && !(to.protocol === "http:" && url.protocol === "http:"))
        throw new Fault("UpstreamUnreachable", this.shown, { detail: `the registry redirects to ${to.protocol}//, which is not followed` });
      to.username = to.password = "";
      url = to;
    }
  }

  private async ask({ method, url, accept, known, signal }: Question, authorization: string | undefined, home: boolean): Promise<Response> {
    const headers = { accept, "user-agent": "flotilla", ...(authorization && { authorization }), ...(known && { "if-none-match": known }) };
    const once = () => request(url, { method, headers, dispatcher: dispatcherFor(this.options.peer, home), signal });
    try {
      // A kept connection may be closed by the server just as it is used again.
      return await once().catch((error: unknown) => {
        if (isStaleConnection(error) && !signal.aborted) return once();
        throw error;
      });
    } catch (error) {
      throwIfAborted(signal, this.shown);
      const { code, detail } = explain(error, this.shown);
      if (url.protocol === "https:" && home && speaksNoTls(error)) throw new NoTls(code, this.shown, { detail });
      throw new Fault(code, this.shown, { detail });
    }
  }
}

/** Nobody listens there, or whoever does answers in plain text. */
class NoTls extends Fault {}

const drop = (response: Response) => response.body.dump({ limit: 64 * 1024 }).catch(() => undefined); // else the connection is closed

const speaksNoTls = (error: unknown): boolean =>
  codesOf(error).some((code) => code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "ERR_SSL_PACKET_LENGTH_TOO_LONG" || code === "ECONNREFUSED" || code === "EPROTO" || code === "ECONNRESET");

/** `Retry-After` in milliseconds; a second where nothing readable is said. Undefined is never asked for. */
function pauseOf(header: string | string[] | undefined): number {
  const text = [header].flat()[0] ?? "";
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const at = Date.parse(text);
  return Number.isNaN(at) ? 1_000 : Math.max(0, at - Date.now());
}

async function pause(ms: number, signal: AbortSignal, shown: string): Promise<void> {
  throwIfAborted(signal, shown);
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
  throwIfAborted(signal, shown);
}

/**
 * Of a list that one answer held. A round number of tags may be a full page: the next tag would begin another one, and this
 * one's name would stay as it is.
 */
function etagOf({ headers }: Response, count: number): string | undefined {
  const { etag } = headers;
  return typeof etag === "string" && etag.length <= longestEtag && count % 10 !== 0 ? etag : undefined;
}

function tagsOf(bytes: Buffer): string[] | undefined {
  try {
    const { tags } = JSON.parse(bytes.toString()) as { tags?: unknown };
    if (tags === null || tags === undefined) return [];
    return Array.isArray(tags) ? tags.filter((tag): tag is string => typeof tag === "string") : undefined;
  } catch {
    return undefined;
  }
}
