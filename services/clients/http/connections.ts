/** Kept connections: one pool per identity, so that sources with the same credentials share and others never do. */
import { LRUCache } from "lru-cache";
import { Agent, buildConnector, ProxyAgent, type Dispatcher } from "undici";
import { publicConnector } from "./public.ts";
import { authorizationOf, openSocket, type Proxy } from "./proxy.ts";

/** How a server is reached, and who we are there. */
export type Peer = {
  /** A digest of everything that is shown or trusted, credentials included: connections are shared within one and never across. */
  identity: string;
  /** PEM: the authorities that are trusted in place of the usual ones. */
  ca?: string | string[];
  /** PEM: our own certificate. */
  cert?: string;
  key?: string;
  /** Whoever answers is taken for the server. */
  trustsAnyone?: boolean;
  proxy?: Proxy;
  /** Nothing but public addresses is connected to. */
  publicOnly?: boolean;
};

const agents = new LRUCache<string, Dispatcher>({
  max: 256,
  dispose: (agent) => void agent.close().catch(() => agent.destroy()), // what is under way ends first
});

const connectMs = 15_000;

const options = {
  connections: 16,
  pipelining: 1,
  allowH2: false,
  keepAliveTimeout: 30_000,
  keepAliveMaxTimeout: 120_000,
  headersTimeout: 60_000,
  bodyTimeout: 60_000, // between two pieces: packing a large repository takes a server a while
};

/** @param home whether the host is the one the credentials are for: only it sees the client's certificate */
export function dispatcherFor({ identity, ca, cert, key, trustsAnyone, proxy, publicOnly = false }: Peer, home: boolean): Dispatcher {
  const name = JSON.stringify([identity, home, publicOnly, proxy && [proxy.url, proxy.username, proxy.password]]);
  const known = agents.get(name);
  if (known) return known;
  const tls = {
    timeout: connectMs,
    ...(ca && { ca }),
    ...(home && cert && key && { cert, key }),
    ...(trustsAnyone && { rejectUnauthorized: false }),
  };
  const agent = proxy ? byProxy(proxy, tls) : new Agent({ ...options, connect: publicOnly ? publicConnector(tls) : tls });
  agents.set(name, agent);
  return agent;
}
function byProxy(proxy: Proxy, tls: buildConnector.BuildOptions): Dispatcher {
  if (proxy.url.protocol === "socks5:") return new Agent({ ...options, connect: socksConnector(proxy, tls) });
  const token = authorizationOf(proxy);
  return new ProxyAgent({ ...options, uri: proxy.url.href, requestTls: tls, ...(token && { token }), connectTimeout: connectMs });
}

/** undici's own way through SOCKS is experimental, and says so on standard error. */
function socksConnector(proxy: Proxy, tls: buildConnector.BuildOptions): buildConnector.connector {
  const secure = buildConnector({ ...tls, allowH2: false });
  return (target, done) => {
    const port = Number(target.port || (target.protocol === "https:" ? 443 : 80));
    const host = target.hostname.replace(/^\[(.*)\]$/, "$1");
    openSocket({ host, port }, proxy, AbortSignal.timeout(connectMs), connectMs).then(
      (socket) => (target.protocol === "https:" ? secure({ ...target, httpSocket: socket }, done) : done(null, socket)),
      (error: Error) => done(error, null),
    );
  };
}

/** Ends every kept connection: at the end of the process, or of a test. */
export async function closeConnections(): Promise<void> {
  const open = [...agents.values()];
  agents.clear();
  await Promise.all(open.map((agent) => agent.destroy()));
}
