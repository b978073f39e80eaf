/**
 * Ports nobody uses at this moment. Another program may take one before its user does: that user then ends early.
 *
 * They lie below the range from which systems give ports to outgoing connections (32768 on Linux, 49152 elsewhere). A
 * client that keeps knocking while its server is away would otherwise sooner or later get the server's own port, reach
 * itself, and keep the server from coming back.
 */
import { randomInt } from "node:crypto";
import { createServer, type AddressInfo, type Server } from "node:net";

const lowest = 20_000;
const highest = 32_767;
const mostTries = 100;

export async function freePorts<const N extends readonly string[]>(...names: N): Promise<Record<N[number], number>> {
  // all are held open until all are known, so that they differ
  const held = await Promise.all(names.map(() => listenSomewhere()));
  const ports = held.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  return Object.fromEntries(names.map((name, i) => [name, ports[i]])) as Record<N[number], number>;
}

async function listenSomewhere(): Promise<Server> {
  for (let tries = 1; ; tries++) {
    try {
      return await listenOn(randomInt(lowest, highest + 1));
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "EADDRINUSE" || tries === mostTries) throw thrown;
    }
  }
}

function listenOn(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}
