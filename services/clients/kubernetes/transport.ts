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
  close(): Promise<void>;
};

/** Every HTTP/2 server grants at least this many, and it is more than a client lets run at once. */
const streamsPerConnection = 100;
const connectTimeoutMs = 10_000;
const idleMs = 300_000;
/** An API request is answered or ended by the server within 60 s (`--request-timeout`). */
const answerTimeoutMs = 65_000;
/** A watch hears a bookmark about every minute; a silence this long means a dead connection. */
const silenceMs = 150_000;
const mostBytes = 128 * 1024 * 1024;

export function openTransport(config: ClusterConfig): Transport {
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
    connect, keepAliveTimeout: idleMs, headersTimeout: answerTimeoutMs, allowH2: true,
    h2Options: { maxConcurrentStreams: streamsPerConnection },
  };
  const call = { ...common, bodyTimeout: answerTimeoutMs, maxResponseSize: mostBytes };
  const http2Calls = new Client(origin, call);
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
    async close() {
      await Promise.all([http2Calls.destroy(), http1Calls?.destroy(), streams?.destroy()]);
    },
  };
}
