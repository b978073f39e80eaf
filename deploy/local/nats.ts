/** A real nats-server with JetStream on loopback, for tests: as strict about disks as a real one, easy to kill and bring back. */
import { randomBytes } from "node:crypto";
import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { eventually } from "./eventually.ts";
import { startChild, whileAlive } from "./processes.ts";
import { tool } from "./tools.ts";

export type NatsOptions = {
  /** Holds configuration, log and streams. Given again after `stop` or `kill`, the streams are still there. */
  dir: string;
  /** Give the port and token of a server that was stopped, and its clients find it again. */
  port?: number;
  token?: string;
};

export type Nats = {
  url: string;
  port: number;
  token: string;
  pid: number;
  /** Ends it in good order. */
  stop(): Promise<void>;
  /** Ends it as a crash would. */
  kill(): Promise<void>;
};

export async function startNats({ dir, port = -1, token = randomBytes(24).toString("base64url") }: NatsOptions): Promise<Nats> {
  const command = await tool("nats-server");
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await chmod(dir, 0o700);
  const configuration = {
    host: "127.0.0.1",
    port, // -1: the server chooses a free one and writes it to a file
    ports_file_dir: dir,
    server_name: "local",
    max_payload: 8 * 2 ** 20, // as the embedded one has
    authorization: { token },
    jetstream: { store_dir: join(dir, "jetstream"), sync_interval: "always" },
  };
  const configFile = join(dir, "nats.conf");
  await writeFile(configFile, JSON.stringify(configuration, undefined, 2), { mode: 0o600 });

  const child = startChild({ name: "nats-server", command, args: ["-c", configFile], logFile: join(dir, "nats.log"), cwd: dir });
  const portsFile = join(dir, `nats-server_${child.pid}.ports`);
  const url = await whileAlive([child], (signal) =>
    eventually("nats-server's file of ports", async () => clientUrl(await readFile(portsFile, "utf8")), { signal }),
  );
  await rm(portsFile);
  return {
    url,
    port: Number(new URL(url).port),
    token,
    pid: child.pid,
    stop: () => child.stop(),
    kill: () => child.kill(),
  };
}

/** @throws SyntaxError while the file is being written */
function clientUrl(portsFile: string): string | undefined {
  const { nats } = JSON.parse(portsFile) as { nats?: string[] };
  return nats?.[0];
}
