/** Ports nobody uses at this moment. Another program may take one before its user does: that user then ends early. */
import { createServer, type AddressInfo, type Server } from "node:net";

export async function freePorts<const N extends readonly string[]>(...names: N): Promise<Record<N[number], number>> {
  // all are held open until all are known, so that they differ
  const held = await Promise.all(names.map(listenAnywhere));
  const ports = held.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  return Object.fromEntries(names.map((name, i) => [name, ports[i]])) as Record<N[number], number>;
}

function listenAnywhere(): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => resolve(server));
  });
}
