/** The gateway on a socket. */
import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import type { Hono } from "hono";

export type ListenAddress = { host: string; port: number };

export type Served = ListenAddress & {
  /** With the port that was really taken, for the address `0`. */
  url: string;
  /** Takes no new requests, lets the running ones end, and cuts off what is left after `graceMs`. */
  close(graceMs?: number): Promise<void>;
};

/**
 * @param address port 0 takes a free one
 * @throws Error with `code` EADDRINUSE, EACCES or EADDRNOTAVAIL when it cannot listen
 */
export async function serve(app: Pick<Hono, "fetch">, address: ListenAddress): Promise<Served> {
  const server = createAdaptorServer({
    fetch: app.fetch,
    // A client that sends slowly holds a socket, nothing else; it may do so for half a minute.
    serverOptions: {
      headersTimeout: 10_000,
      requestTimeout: 30_000,
      keepAliveTimeout: 30_000,
      maxHeaderSize: 16 << 10,
    },
  }) as Server;
  server.maxHeadersCount = 100;
  server.listen(address.port, address.host);
  await once(server, "listening"); // rejects with the error when there is one
  const { port } = server.address() as AddressInfo;
  return {
    host: address.host,
    port,
    url: `http://${address.host.includes(":") ? `[${address.host}]` : address.host}:${port}`,
    async close(graceMs = 5_000) {
      const closed = once(server, "close");
      server.close();
      server.closeIdleConnections();
      const cut = setTimeout(() => server.closeAllConnections(), graceMs);
      await closed;
      clearTimeout(cut);
    },
  };
}

/** `HOST:PORT`, `[::1]:PORT` or `:PORT` (every interface). @throws RangeError otherwise */
export function parseListen(text: string): ListenAddress {
  const [, v6, host, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([^[\]:/\s]*)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65_535) throw new RangeError(`not HOST:PORT: ${text}`);
  return { host: v6 ?? (host || "0.0.0.0"), port };
}
