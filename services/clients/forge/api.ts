/** One call to an API of JSON: bounded, within its time, and never redirected, for the token goes along. */
import { request, type Dispatcher } from "undici";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { readBounded } from "../http/bounded.ts";
import { dispatcherFor, type Peer } from "../http/connections.ts";
import { explain, isStaleConnection, throwIfAborted } from "../http/failure.ts";
import type { Place } from "./place.ts";

export type CallOptions = {
  /** How the server is reached; its identity is the token's digest too, so that no connection is shared. */
  peer: Peer;
  signal: AbortSignal;
  nowMs?: () => number;
};

export type Answer = { status: number; /** Parsed; undefined when it is no JSON. */ body: unknown };

const maxBytes = 4 * 1024 * 1024;

export class Api {
  readonly shown: string;
  private readonly base: URL;
  private readonly token: string;
  private readonly options: CallOptions;

  constructor({ api, shown }: Place, token: string, options: CallOptions) {
    this.base = api;
    this.shown = shown;
    if (!/^[\x21-\x7e]{1,4096}$/.test(token)) throw new Fault("PullRequestDenied", shown, { detail: "the token is empty, or has characters that no token has" });
    this.token = token;
    this.options = options;
  }

  /**
   * @param accepted statuses beside 2xx that the caller knows what to do with
   * @throws Fault
   */
  async call(method: "GET" | "POST" | "PATCH" | "PUT", path: string, { query = {}, body, headers = {}, scheme = "Bearer", accepted = [] }: Call = {}): Promise<Answer> {
    const url = new URL(path, this.base);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const { peer, signal } = this.options;
    const sent = {
      method, signal, dispatcher: dispatcherFor(peer, true),
      headers: { accept: "application/json", "user-agent": "flotilla", ...headers, authorization: `${scheme} ${this.token}`, ...(body && { "content-type": "application/json" }) },
      ...(body && { body: JSON.stringify(body) }),
    };
    try {
      const response = await request(url, sent).catch((error: unknown) => {
        if (method !== "POST" && isStaleConnection(error) && !signal.aborted) return request(url, sent);
        throw error;
      });
      const text = await readBounded(response.body, { shown: this.shown, maxBytes, signal });
      const answer = { status: response.statusCode, body: parsed(text.toString()) };
      if ((answer.status >= 200 && answer.status < 300) || accepted.includes(answer.status)) return answer;
      throw this.refusal(response, answer.status);
    } catch (error) {
      throwIfAborted(signal, this.shown);
      throw explain(error, this.shown);
    }
  }

  fault(code: FaultCode, detail: string): Fault {
    return new Fault(code, this.shown, { detail });
  }

  private refusal({ headers }: Dispatcher.ResponseData, status: number): Fault {
    const waitSeconds = this.waitOf(headers);
    if (status === 429 || (status === 403 && waitSeconds !== undefined))
      return this.fault("PullRequestRateLimited", `HTTP ${status}: the server answers again ${waitSeconds === undefined ? "later" : `in ${waitSeconds} s`}`);
    if (status === 401) return this.fault("PullRequestDenied", "HTTP 401: the token was not accepted");
    if (status === 403) return this.fault("PullRequestDenied", "HTTP 403: the token may not do this");
    if (status === 404) return this.fault("PullRequestRepositoryMissing", "HTTP 404: there is no such repository, or the token may not see it");
    if (status >= 300 && status < 400) return this.fault("PullRequestRepositoryMissing", `HTTP ${status}: it is somewhere else now, and the token is not sent there`);
    return this.fault("PullRequestFailed", `HTTP ${status}`);
  }

  /** Until the server wants to be asked again; undefined when it says nothing of it. */
  private waitOf(headers: Dispatcher.ResponseData["headers"]): number | undefined {
    const numberOf = (name: string) => (typeof headers[name] === "string" && /^\d{1,12}$/.test(headers[name]) ? Number(headers[name]) : undefined);
    const retryAfter = numberOf("retry-after");
    if (retryAfter !== undefined) return retryAfter;
    const reset = numberOf("x-ratelimit-reset") ?? numberOf("ratelimit-reset");
    const left = numberOf("x-ratelimit-remaining") ?? numberOf("ratelimit-remaining");
    if (reset === undefined || left !== 0) return undefined;
    return Math.max(0, reset - Math.floor((this.options.nowMs ?? Date.now)() / 1000));
  }
}

type Call = {
  query?: Record<string, string>;
  body?: Record<string, string>;
  headers?: Record<string, string>;
  /** Of the Authorization header. */
  scheme?: string;
  accepted?: readonly number[];
};

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Of an answer that may be anything. */
export function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

export const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
