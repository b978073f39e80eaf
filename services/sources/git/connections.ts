/** Kept connections: one pool per identity, so that sources with the same credentials share and others never do. */
import { LRUCache } from "lru-cache";
import { Agent, type Dispatcher } from "undici";
import type { Credentials } from "./credentials.ts";

const agents = new LRUCache<string, Agent>({
  max: 256,
  dispose: (agent) => void agent.close().catch(() => agent.destroy()), // what is under way ends first
});

/** @param home whether the host is the one the credentials are for: only it sees the client's certificate */
export function dispatcherFor({ identity, ca, cert, key }: Credentials, home: boolean): Dispatcher {
  const name = home ? identity : `${identity} abroad`;
  const known = agents.get(name);
  if (known) return known;
  const agent = new Agent({
    connections: 16,
    pipelining: 1,
    allowH2: false,
    keepAliveTimeout: 30_000,
    keepAliveMaxTimeout: 120_000,
    headersTimeout: 60_000,
    bodyTimeout: 60_000, // between two pieces: packing a large repository takes a server a while
    connect: { timeout: 15_000, ...(ca && { ca }), ...(home && cert && key && { cert, key }) },
  });
  agents.set(name, agent);
  return agent;
}

/** Ends every kept connection: at the end of the process, or of a test. */
export async function closeConnections(): Promise<void> {
  const open = [...agents.values()];
  agents.clear();
  await Promise.all(open.map((agent) => agent.destroy()));
}
