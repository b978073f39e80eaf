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
import { openTransport, type Transport } from "./transport.ts";

export type Query = Record<string, string | number | boolean | undefined>;

export type KubeRequest = {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  path: string;
  query?: Query;
  /** An object, sent as JSON. */
  body?: object;
  contentType?: string;
  accept?: string;
  headers?: Record<string, string>;
  /** W3C trace context of whoever asks; the server records it when it traces. */
  traceparent?: string | undefined;
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
  close(): Promise<void>;
};

const mostAttempts = 5;
const firstWaitMs = 100;
const longestWaitMs = 10_000;

export function createKubeClient(config: ClusterConfig, { onRequest, concurrency = 32, gate = (run) => run() }: KubeClientOptions = {}): KubeClient {
  const transport = openTransport(config);
  const prefix = new URL(config.server).pathname.replace(/\/$/, "");
  const writes = new Limiter(concurrency);
  const reads = new Limiter(concurrency);

  const send = async (request: KubeRequest, dispatcher: () => Dispatcher) => {
    const options = await optionsOf(request, config, prefix);
    if (request.guard && !transport.connected()) await connect(transport, config, prefix);
    const startMs = performance.now();
    let code = 0;
    try {
      request.guard?.();
      const answer = await dispatcher().request(options); // the same tick: nothing is awaited in between
      code = answer.statusCode;
      if (code >= 300) throw await refusal(answer);
      return answer;
    } finally {
      onRequest?.({ ...describeRequest(request), code, ms: performance.now() - startMs });
    }
  };

  return {
    request: <T>(request: KubeRequest) => {
      const line = request.method === "GET" ? reads : writes;
      return retrying(request, config.server, () =>
        line.run(() => gate(async () => {
          const answer = await send(request, () => transport.calls);
          const serverMs = Date.parse(String(answer.headers["date"] ?? "")) || 0;
          return { code: answer.statusCode, serverMs, body: (await answer.body.json()) as T };
        }, request.signal), request.signal),
      );
    },
    async stream(request) {
      try {
        if (!transport.connected()) await connect(transport, config, prefix);
        return (await send(request, () => transport.streams)).body;
      } catch (error) {
        throw asFault(error, config.server);
      }
    },
    close: () => transport.close(),
  };
}

async function optionsOf(request: KubeRequest, { authorization }: ClusterConfig, prefix: string): Promise<Dispatcher.RequestOptions> {
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
      ...request.headers,
    },
    ...(body && { body }),
    ...(request.signal && { signal: request.signal }),
  };
}

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

async function refusal(answer: Dispatcher.ResponseData): Promise<KubeError> {
  const text = await answer.body.text();
  const after = Number(answer.headers["retry-after"]);
  return new KubeError(answer.statusCode, parsed(text), Number.isFinite(after) && after > 0 ? after * 1000 : undefined);
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
