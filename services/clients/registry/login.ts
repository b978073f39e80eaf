/** How one gets in: what a registry's challenge asks for, and what a token server gives for it (distribution, auth/token). */
import { LRUCache } from "lru-cache";
import { request } from "undici";
import * as z from "zod";
import { Fault } from "#protocol/errors/fault.ts";
import { readBounded } from "../http/bounded.ts";
import { dispatcherFor, type Peer } from "../http/connections.ts";
import { explain, throwIfAborted } from "../http/failure.ts";
import type { Repository } from "./names.ts";

/** None: anonymous. */
export type Login =
  | { username: string; password: string }
  /** Exchanged for tokens at the token server. */
  | { identityToken: string }
  /** Sent to the registry as it is. */
  | { registryToken: string };

type Challenge = { scheme: string; parameters: Record<string, string> };

/** Tokens as they were given, by who asked for what. */
const given = new LRUCache<string, string>({ max: 2_000 });

/** A token is not used in the last seconds of its life. */
const spareMs = 10_000;
const shortestMs = 60_000; // as the specification says, where the server says nothing
const maxTokenBytes = 1 << 20;

export type Entrance = { repository: Repository; peer: Peer; login: Login | undefined; /** Of the registry. */ scheme: "http:" | "https:" };

const nameOf = ({ peer, repository }: Entrance) => `${peer.identity} ${repository.host} ${repository.path}`;

/** What to send before anybody asked: what was good the last time. */
export const authorizationOf = (entrance: Entrance): string | undefined => given.get(nameOf(entrance));

export const forgetAuthorization = (entrance: Entrance): void => void given.delete(nameOf(entrance));

/**
 * Answers a registry's challenge.
 *
 * @param challenges values of the header `WWW-Authenticate`
 * @returns the header `Authorization`, or undefined when there is nothing to answer with
 * @throws Fault AuthenticationFailed when the token server refuses, UpstreamUnreachable when it does not answer
 */
export async function authorize(entrance: Entrance, challenges: string[], signal: AbortSignal): Promise<string | undefined> {
  const { login } = entrance;
  const offered = challenges.flatMap(parseChallenges);
  const bearer = offered.find(({ scheme }) => scheme === "bearer");
  if (login && "registryToken" in login) return keep(entrance, `Bearer ${login.registryToken}`);
  if (bearer) {
    const { token, livesMs } = await askForToken(entrance, bearer.parameters, signal);
    return keep(entrance, `Bearer ${token}`, livesMs);
  }
  if (offered.some(({ scheme }) => scheme === "basic") && login && "username" in login) return keep(entrance, basic(login));
  return undefined;
}

function keep(entrance: Entrance, authorization: string, livesMs?: number): string {
  if (livesMs === undefined) given.set(nameOf(entrance), authorization);
  else if (livesMs > 0) given.set(nameOf(entrance), authorization, { ttl: livesMs });
  return authorization;
}

const basic = ({ username, password }: { username: string; password: string }) =>
  `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;

const tokenAnswer = z.object({ token: z.string().optional(), access_token: z.string().optional(), expires_in: z.number().optional() });

async function askForToken({ repository, peer, login, scheme }: Entrance, { realm = "", service = "", scope }: Record<string, string>, signal: AbortSignal) {
  const { shown } = repository;
  if (!URL.canParse(realm)) throw new Fault("UpstreamUnreachable", shown, { detail: "the registry names no token server" });
  const url = new URL(realm);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && scheme === "http:"))
    throw new Fault("UpstreamUnreachable", shown, { detail: `the token server is at ${url.protocol}//, which is not used` });
  url.username = url.password = url.hash = "";
  const wanted = new URLSearchParams({ ...(service && { service }), scope: scope || `repository:${repository.path}:pull` });
  const refresh = login && "identityToken" in login;
  const body = refresh
    ? new URLSearchParams({ ...Object.fromEntries(wanted), grant_type: "refresh_token", client_id: "flotilla", refresh_token: login.identityToken })
    : undefined;
  if (!body) for (const [name, value] of wanted) url.searchParams.set(name, value);
  const headers = {
    accept: "application/json",
    ...(login && "username" in login && { authorization: basic(login) }),
    ...(body && { "content-type": "application/x-www-form-urlencoded" }),
  };
  try {
    const dispatcher = dispatcherFor(peer, url.host === repository.host);
    const response = await request(url, { method: body ? "POST" : "GET", headers, dispatcher, signal, ...(body && { body: String(body) }) });
    const { statusCode } = response;
    if (statusCode !== 200) {
      await response.body.dump({ limit: 64 * 1024 }).catch(() => undefined); // the connection is closed instead of reused
      if (statusCode === 401 || statusCode === 403 || statusCode === 400)
        throw new Fault("AuthenticationFailed", shown, { detail: `HTTP ${statusCode} of the token server ${url.host}: credentials ${login ? "were not accepted" : "are required"}` });
      throw new Fault("UpstreamUnreachable", shown, { detail: `HTTP ${statusCode} of the token server ${url.host}` });
    }
    return readToken(await readBounded(response.body, { shown, maxBytes: maxTokenBytes, signal }), shown);
  } catch (error) {
    throwIfAborted(signal, shown);
    throw explain(error, shown);
  }
}

function readToken(bytes: Buffer, shown: string): { token: string; livesMs: number } {
  const { success, data } = tokenAnswer.safeParse(jsonOf(bytes));
  const token = success ? data.token || data.access_token : undefined;
  if (!token || !/^[\x21-\x7e]+$/.test(token)) throw new Fault("UpstreamUnreachable", shown, { detail: "the token server's answer holds no token" });
  const livesMs = Math.max((data?.expires_in ?? 0) * 1000, shortestMs) - spareMs;
  return { token, livesMs };
}

function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}

/** RFC 9110, 11.6.1, as registries write it: `Bearer realm="…",service="…",scope="…"`. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  const next = /[\s,]*(?:([A-Za-z][\w-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))|([A-Za-z][\w-]*))/y;
  for (let found = next.exec(header); found && next.lastIndex < longestChallenge; found = next.exec(header)) {
    const [, name, quoted, plain, scheme] = found;
    if (scheme) challenges.push({ scheme: scheme.toLowerCase(), parameters: {} });
    const last = challenges.at(-1);
    if (name && last) last.parameters[name.toLowerCase()] = quoted?.replaceAll(/\\(.)/g, "$1") ?? plain ?? "";
  }
  return challenges;
}

const longestChallenge = 8_192;
