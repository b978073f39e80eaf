/**
 * Connections to one API server under one identity: one HTTP/2 connection for calls, others for watches, so that a
 * stalled watch never holds up a write. A server or proxy without HTTP/2 gets pools of connections instead.
 */
import type { TLSSocket } from "node:tls";
import { buildConnector, Client, Pool, type Dispatcher } from "undici";
import type { ClusterConfig } from "./config.ts";

export type Transport = {
  /** For requests that end. */
  readonly calls: Dispatcher;
  /** For answers that go on; only after a first call, which shows what the server speaks. */
  readonly streams: Dispatcher;
  /** Whether a call can be written to the socket at once, without connecting first. */
  connected(): boolean;
  /** Gives the connection for calls up: all that is on it fails for this reason, and the next call opens another. */
  reconnect(reason: Error): void;
  close(): Promise<void>;
};

/** Every HTTP/2 server grants at least this many, and it is more than a client lets run at once. */
const streamsPerConnection = 100;
const connectTimeoutMs = 10_000;
const idleMs = 300_000;
/** How long an answer may take, and how large it may be. */
export type Bounds = { answerMs: number; answerBytes: number };

/** An API request is answered or ended by the server within 60 s (`--request-timeout`). */
export const ownBounds: Bounds = { answerMs: 65_000, answerBytes: 128 * 1024 * 1024 };
/** Of a server that somebody else chose: 30 s is Flux's timeout for the client of a kubeconfig. */
export const foreignBounds: Bounds = { answerMs: 30_000, answerBytes: 32 * 1024 * 1024 };
/** A watch hears a bookmark about every minute; a silence this long means a dead connection. */
const silenceMs = 150_000;

export function openTransport(config: ClusterConfig, { answerMs, answerBytes }: Bounds = ownBounds): Transport {
  const origin = new URL(config.server).origin;
  let http1 = false;
  const connector = buildConnector({
    allowH2: true,
    timeout: connectTimeoutMs,
    keepAlive: true,
    ...(config.ca && { ca: config.ca }),
    ...(config.cert && { cert: config.cert }),
    ...(config.key && { key: config.key }),
    ...(config.serverName && { servername: config.serverName }),
    rejectUnauthorized: config.insecure !== true,
  });
  const connect: buildConnector.connector = (options, callback) =>
    connector(options, (...[error, socket]) => {
      if (error) return callback(error, null);
      http1 = (socket as TLSSocket).alpnProtocol !== "h2";
      callback(null, socket);
    });
  const common = {
    connect, keepAliveTimeout: idleMs, headersTimeout: answerMs, allowH2: true,
    h2Options: { maxConcurrentStreams: streamsPerConnection },
  };
  const call = { ...common, bodyTimeout: answerMs, maxResponseSize: answerBytes };
  let http2Calls = new Client(origin, call);
  let http1Calls: Pool | undefined;
  let streams: Pool | undefined;
  return {
    get calls() {
      return http1 ? (http1Calls ??= new Pool(origin, { ...call, connections: 32 })) : http2Calls;
    },
    get streams() {
      return (streams ??= new Pool(origin, { ...common, bodyTimeout: silenceMs, connections: http1 ? 128 : 4 }));
    },
    connected: () => http1 || http2Calls.stats.connected,
    reconnect(reason) {
      // The very first call goes out before it is known what the server speaks.
      const former = [http2Calls, http1Calls];
      [http2Calls, http1Calls] = [new Client(origin, call), undefined];
      for (const each of former) void each?.destroy(reason);
    },
    async close() {
      await Promise.all([http2Calls.destroy(), http1Calls?.destroy(), streams?.destroy()]);
    },
  };
}
