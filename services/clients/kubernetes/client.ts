/**
 * Requests to one API server: raw JSON in and out, so that nothing is lost on the way. It retries what is safe to
 * repeat, and calls the fence right before every byte that could change the cluster.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Dispatcher } from "undici";
import { Fault } from "#protocol/errors/fault.ts";
import type { ClusterConfig } from "./config.ts";
import { KubeError } from "./error.ts";
import { Limiter } from "./limiter.ts";
import { describeRequest } from "./request-name.ts";
import { foreignBounds, openTransport, ownBounds, type Bounds, type Transport } from "./transport.ts";

export type Query = Record<string, string | number | boolean | undefined>;

export type KubeRequest = {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  path: string;
  query?: Query;
  /** An object, sent as JSON. */
  body?: object;
  contentType?: string;
  accept?: string;
  /** W3C trace context of whoever asks; the server records it when it traces. */
  traceparent?: string | undefined;
  /** Ends the wait for a turn, for a repetition, and for the answer to a read. What has a body is seen to its end once it is sent. */
  signal?: AbortSignal | undefined;
  /**
   * Throws when this process may not write now. Called in the very tick in which the request goes to the socket, and
   * again before each retry.
   */
  guard?: (() => void) | undefined;
  /**
   * Whether the server's answer may be lost without harm: a dry-run, or a write with preconditions that a repetition
   * cannot meet twice. Reads always are.
   */
  repeatable?: boolean;
};

export type KubeAnswer<T> = {
  /** HTTP status: 201 tells a creation from an update. */
  code: number;
  body: T;
  /** The server's clock when it answered, in ms since 1970, whole seconds; 0 when it did not say. */
  serverMs: number;
};

/** One request, as metrics count it. `code` is 0 when there was no answer. */
export type RequestSeen = { verb: string; resource: string; code: number; ms: number };

export type KubeClientOptions = {
  onRequest?: (seen: RequestSeen) => void;
  /** Requests at once; reads and writes each have their own line. */
  concurrency?: number;
  /**
   * Around every attempt of a request that ends; never around a stream, nor the wait before a repetition. It may hold an
   * attempt back, and sees how it ends. The signal ends the request's wait.
   */
  gate?: Gate;
  /** How long the answer to a request with a body may take before its connection is given up. */
  writeTimeoutMs?: number;
  /**
   * Somebody else chose the server. It is given less time and room, a whole answer may not trickle in for ever, and what
   * is no answer of the Kubernetes API is not quoted: it may come from a place that only this process can reach.
   */
  foreign?: boolean | Bounds;
};

export type Gate = <T>(run: () => Promise<T>, signal?: AbortSignal) => Promise<T>;

export type KubeClient = {
  /**
   * @throws KubeError when the server refuses
   * @throws Fault ClusterUnreachable when there is no answer
   */
  request<T = unknown>(request: KubeRequest): Promise<KubeAnswer<T>>;
  /** The bytes of an answer that goes on, until its end or the signal. Not retried. */
  stream(request: KubeRequest & { method: "GET" }): Promise<AsyncIterable<Buffer>>;
  /**
   * The same connections, in the name of this user. Whatever is asked through it, the server judges by that user's
   * rights. It has nothing of its own to close.
   *
   * @throws RangeError for a name that no user can have
   */
  as(user: string): KubeClient;
  close(): Promise<void>;
};

const mostAttempts = 5;
const firstWaitMs = 100;
const longestWaitMs = 10_000;

export function createKubeClient(config: ClusterConfig, options: KubeClientOptions = {}): KubeClient {
  const { onRequest, concurrency = 32, gate = (run) => run(), foreign = false } = options;
  const bounds = typeof foreign === "object" ? foreign : foreign ? foreignBounds : ownBounds;
  const { writeTimeoutMs = bounds.answerMs } = options;
  const transport = openTransport(config, bounds);
  const prefix = new URL(config.server).pathname.replace(/\/$/, "");
  const writes = new Limiter(concurrency);
  const reads = new Limiter(concurrency);

  const send = async (request: KubeRequest, user: string, dispatcher: () => Dispatcher) => {
    const options = await optionsOf(request, config, prefix, user);
    if (request.guard && !transport.connected()) await connect(transport, config, prefix);
    request.signal?.throwIfAborted();
    const startMs = performance.now();
    const late = request.body && setTimeout(() => transport.reconnect(unanswered(writeTimeoutMs)), writeTimeoutMs);
    let code = 0;
    try {
      request.guard?.();
      const answer = await dispatcher().request(options); // the same tick: nothing is awaited in between
      code = answer.statusCode;
      if (code >= 300) throw await refusal(answer, foreign !== false);
      return answer;
    } finally {
      clearTimeout(late);
      onRequest?.({ ...describeRequest(request), code, ms: performance.now() - startMs });
    }
  };

  /** However slowly an answer trickles in. */
  const inTime = async <T>({ body, signal }: KubeRequest, work: (signal: AbortSignal | undefined) => Promise<T>): Promise<T> => {
    if (foreign === false) return work(signal);
    const own = new AbortController();
    const late = unanswered(bounds.answerMs);
    const timer = setTimeout(() => { if (body) transport.reconnect(late); else own.abort(late); }, bounds.answerMs);
    try {
      return await work(AbortSignal.any([own.signal, ...(signal ? [signal] : [])]));
    } finally {
      clearTimeout(timer);
    }
  };

  const clientOf = (user: string): KubeClient => ({
    request: <T>(request: KubeRequest) => {
      const line = request.method === "GET" ? reads : writes;
      return retrying(request, config.server, () =>
        line.run(() => gate(() => inTime(request, async (signal) => {
          const answer = await send({ ...request, signal }, user, () => transport.calls);
          const serverMs = Date.parse(String(answer.headers["date"] ?? "")) || 0;
          return { code: answer.statusCode, serverMs, body: (await json(answer, config.server)) as T };
        }), request.signal), request.signal),
      );
    },
    async stream(request) {
      try {
        if (!transport.connected()) await connect(transport, config, prefix);
        return (await send(request, user, () => transport.streams)).body;
      } catch (error) {
        throw asFault(error, config.server);
      }
    },
    as(other) {
      if (!shapeOfUser.test(other)) throw new RangeError("not a user's name");
      return { ...clientOf(other), close: async () => {} };
    },
    close: () => transport.close(),
  });
  return clientOf("");
}

async function json(answer: Dispatcher.ResponseData, server: string): Promise<unknown> {
  const text = await answer.body.text();
  try {
    return JSON.parse(text);
  } catch {
    throw new Fault("ClusterUnreachable", server, { detail: "what answers there is no Kubernetes API" }); // the parser would quote it
  }
}

/** What goes into a header as it stands. */
const shapeOfUser = /^[\x21-\x7e]+$/;

async function optionsOf(request: KubeRequest, { authorization }: ClusterConfig, prefix: string, user = ""): Promise<Dispatcher.RequestOptions> {
  const header = authorization?.();
  const token = typeof header === "object" ? await header : header;
  const body = request.body && JSON.stringify(request.body);
  return {
    method: request.method,
    path: prefix + request.path + queryText(request.query),
    headers: {
      accept: request.accept ?? "application/json",
      "user-agent": "flotilla",
      ...(token && { authorization: token }),
      ...(body && { "content-type": request.contentType ?? "application/json" }),
      ...(request.traceparent && { traceparent: request.traceparent }),
      ...(user && { "impersonate-user": user }),
    },
    // Node goes round for ever, and takes all memory, when an HTTP/2 stream is destroyed whose body has not all been sent and
    // the server asks for more of it: node:http2 answers with empty frames. So what has a body is never called back.
    ...(body ? { body, headersTimeout: 0 } : request.signal && { signal: request.signal }),
  };
}

const unanswered = (ms: number): Error => Object.assign(new Error(`no answer within ${ms} ms`), { code: "ETIMEDOUT" });

/** A guarded request must not wait for a connection after its guard has spoken. */
async function connect(transport: Transport, config: ClusterConfig, prefix: string): Promise<void> {
  const answer = await transport.calls.request(await optionsOf({ method: "GET", path: "/version" }, config, prefix));
  await answer.body.dump();
}

async function retrying<T>(request: KubeRequest, server: string, attempt: () => Promise<T>): Promise<T> {
  const repeatable = request.method === "GET" || request.repeatable === true;
  for (let failures = 1; ; failures++) {
    try {
      return await attempt();
    } catch (error) {
      request.signal?.throwIfAborted();
      const waitMs = failures < mostAttempts ? waitOf(error, failures, repeatable) : undefined;
      if (waitMs === undefined) throw asFault(error, server);
      await sleep(waitMs, undefined, { signal: request.signal });
    }
  }
}

/** Undefined when it must not be tried again. */
function waitOf(error: unknown, failures: number, repeatable: boolean): number | undefined {
  const backoffMs = Math.min(longestWaitMs, firstWaitMs * 2 ** failures) * (0.5 + Math.random() / 2);
  if (error instanceof Fault) return undefined;
  if (!(error instanceof KubeError)) return repeatable && isLost(error) ? backoffMs : undefined;
  // 429 means that nothing was done, whatever was asked. A 500 without a reason is how the server refuses a manifest that
  // does not fit the schema: it would refuse it again.
  const passing = error.code > 500 || (error.code === 500 && error.reason !== "");
  if (error.code !== 429 && !(repeatable && passing)) return undefined;
  return Math.min(longestWaitMs, Math.max(backoffMs, (error.retryAfterMs ?? 0) * (1 + Math.random() / 4)));
}

// Connection trouble carries a code of the system or of undici; a bug of ours does not.
const isLost = (error: unknown) => error instanceof Error && typeof (error as NodeJS.ErrnoException).code === "string";

function asFault(error: unknown, server: string): unknown {
  if (error instanceof Fault || error instanceof KubeError || !isLost(error) || (error as Error).name === "AbortError") return error;
  return new Fault("ClusterUnreachable", server, { detail: (error as Error).message, cause: error });
}

async function refusal(answer: Dispatcher.ResponseData, foreign: boolean): Promise<KubeError> {
  const text = await answer.body.text();
  const after = Number(answer.headers["retry-after"]);
  const said = parsed(text);
  const isStatus = (said as { kind?: unknown } | null)?.kind === "Status";
  return new KubeError(answer.statusCode, foreign && !isStatus ? {} : said, Number.isFinite(after) && after > 0 ? after * 1000 : undefined);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return { message: text.slice(0, 300) }; // a proxy's page, or plain text
  }
}

function queryText(query: Query = {}): string {
  const parts = Object.entries(query).filter(([, value]) => value !== undefined);
  return parts.length === 0 ? "" : `?${parts.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join("&")}`;
}
