/** What isomorphic-git asks over HTTP, by our transport: whole answers, bounded, and only of Git's kind. */
import type { GitHttpRequest } from "isomorphic-git";
import { LRUCache } from "lru-cache";
import { Fault } from "#protocol/errors/fault.ts";
import { checkError, checkWhole } from "./answers.ts";
import type { ClientOptions, GitClient } from "./git-client.ts";
import { each } from "./pkt-line.ts";
import { ask, type Remote } from "./transport.ts";

type Greeting = { base: URL; contentType: string; chunks: Uint8Array[] };

/** A server that speaks version 2 greets everybody with the same few lines. */
const longestGreeting = 4096;

const greetings = new LRUCache<string, Greeting>({ max: 10_000 });
const nameOf = ({ address, credentials }: Remote) => `${credentials.identity} ${address.shown}`;

export const isKnown = (remote: Remote) => greetings.has(nameOf(remote));
export const forget = (remote: Remote) => void greetings.delete(nameOf(remote));

const discovery = "/info/refs";
/** One client for one call: what follows a redirect is asked where it led to. */
export function httpClient(remote: Remote, { signal, maxBytes, remember = false, service = "git-upload-pack" }: ClientOptions): GitClient {
  let { base } = remote.address;

  async function greet(headers: Record<string, string>): Promise<Greeting> {
    const known = remember && greetings.get(nameOf(remote));
    if (known) return known;
    const url = under(base, discovery);
    url.search = `?service=${service}`;
    const answer = await ask(remote, { method: "GET", url, headers, signal, maxBytes });
    const refuse = (detail: string) => new Fault("UpstreamUnreachable", remote.address.shown, { detail });
    if (!answer.contentType.startsWith(`application/x-${service}-advertisement`))
      throw refuse("no Git server: the answer is of another kind");
    if (!answer.url.pathname.endsWith(discovery)) throw refuse("the server redirects away from the repository");
    const chunks = await Array.fromAsync(answer.body);
    checkWhole(remote, chunks);
    const text = Buffer.concat(chunks.slice(0, 8)).toString("latin1", 0, longestGreeting);
    // Git before 2.41 says nothing at all of an empty repository, which isomorphic-git takes for version 2.
    if (/^[0-9a-f]{4}# service=git-upload-pack\n00000000$/.test(text))
      throw new Fault("RepositoryEmpty", remote.address.shown);
    const greeting = { base: above(answer.url), contentType: answer.contentType, chunks };
    if (/\bobject-format=sha256\b/.test(text))
      throw new Fault("UnsupportedReference", remote.address.shown, {
        detail: "SHA-256 object names are not supported yet",
      });
    const short = chunks.reduce((size, chunk) => size + chunk.length, 0) <= longestGreeting;
    if (remember && short && /^[0-9a-f]{4}version 2\n/m.test(text.replace(/^.*0000/, "")))
      greetings.set(nameOf(remote), greeting);
    return greeting;
  }

  async function question(headers: Record<string, string>, body: GitHttpRequest["body"]): Promise<Greeting> {
    const asked = Buffer.concat(await Array.fromAsync(body ?? []));
    const answer = await ask(remote, {
      method: "POST",
      url: under(base, `/${service}`),
      headers,
      body: asked,
      signal,
      maxBytes,
    });
    const chunks = await Array.fromAsync(answer.body);
    checkError(remote, chunks);
    if (asked.includes("command=ls-refs")) checkWhole(remote, chunks);
    return { base, contentType: answer.contentType, chunks };
  }

  return {
    async request({ url, method = "GET", headers = {}, body }) {
      const answer = method === "GET" ? await greet(headers) : await question(headers, body);
      base = answer.base;
      const { chunks, contentType } = answer;
      return {
        url,
        method,
        statusCode: 200,
        statusMessage: "OK",
        headers: { "content-type": contentType },
        body: each(chunks),
      };
    },
    close: () => undefined,
  };
}

function under(base: URL, path: string): URL {
  const url = new URL(base);
  url.pathname = url.pathname.replace(/\/$/, "") + path;
  return url;
}

function above(url: URL): URL {
  const base = new URL(url);
  base.search = base.hash = "";
  base.pathname = base.pathname.slice(0, -discovery.length);
  return base;
}
