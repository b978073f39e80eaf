/**
 * Connections to one API server under one identity: one HTTP/2 connection for calls, others for watches, so that a
 * stalled watch never holds up a write. A server or proxy without HTTP/2 gets a pool of connections instead.
 */
import type { TLSSocket } from "node:tls";
import { buildConnector, Client, Pool, type Dispatcher } from "undici";
import type { ClusterConfig } from "./config.ts";

export type Transport = {
  /** For requests that end. */
  readonly calls: Dispatcher;
  /** For answers that go on. */
  readonly streams: Dispatcher;
  /** Whether a call can be written to the socket at once, without connecting first. */
  connected(): boolean;
  close(): Promise<void>;
};

/** Below the 100 streams that every HTTP/2 server must grant, and above what the client lets run at once. */
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
  let http1: Pool | undefined;
  const connect: buildConnector.connector = (options, callback) =>
    connector(options, (...[error, socket]) => {
      if (error) return callback(error, null);
      if ((socket as TLSSocket).alpnProtocol !== "h2") http1 ??= new Pool(origin, { ...common, connect: connector, connections: 32 });
      callback(null, socket);
    });
  const common = { connect, keepAliveTimeout: idleMs, headersTimeout: answerTimeoutMs, h2Options: { maxConcurrentStreams: streamsPerConnection } };
  const http2 = new Client(origin, { ...common, bodyTimeout: answerTimeoutMs, maxResponseSize: mostBytes });
  const streams = new Pool(origin, { ...common, bodyTimeout: silenceMs, connections: 64 });
  return {
    get calls() { return http1 ?? http2; },
    streams,
    connected: () => http1 !== undefined || http2.stats.connected,
    async close() {
      await Promise.all([http2.destroy(), streams.destroy(), http1?.destroy()]);
    },
  };
}
