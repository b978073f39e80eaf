/** A nats-server with a configuration of the test's own. */
import { mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { eventually } from "../../deploy/local/eventually.ts";
import { freePorts } from "../../deploy/local/free-ports.ts";
import { startChild, whileAlive } from "../../deploy/local/processes.ts";
import { tool } from "../../deploy/local/tools.ts";
import { scratchFolder } from "./cluster.ts";

export type ConfiguredNats = {
  /** HOST:PORT. */
  url: string;
  monitorUrl: string;
  stop(): Promise<void>;
  /** Ends it as a crash would, and starts it again at its address. */
  restart(): Promise<void>;
};

let folder: string | undefined;

/** With `jetstream: {}` it keeps its streams in a folder of its own. */
export async function startConfigured(name: string, configuration: { jetstream?: object; [setting: string]: unknown }): Promise<ConfiguredNats> {
  folder ??= scratchFolder();
  const dir = await mkdtemp(join(folder, `${name}-`));
  const { jetstream } = configuration;
  const { client, monitor } = await freePorts("client", "monitor");
  const listen = { listen: `127.0.0.1:${client}`, http: `127.0.0.1:${monitor}`, server_name: name };
  await writeFile(join(dir, "nats.conf"), JSON.stringify({ ...listen, ...configuration, ...(jetstream && { jetstream: { store_dir: join(dir, "jetstream"), ...jetstream } }) }));
  const monitorUrl = `http://127.0.0.1:${monitor}`;
  const command = await tool("nats-server");
  const start = async () => {
    const child = startChild({ name, command, args: ["-c", join(dir, "nats.conf")], logFile: join(dir, "nats.log"), cwd: dir });
    await whileAlive([child], (signal) => eventually(`${name} serves`, async () => (await fetch(`${monitorUrl}/healthz`)).ok, { signal }));
    return child;
  };
  let child = await start();
  return {
    url: `127.0.0.1:${client}`, monitorUrl,
    stop: () => child.stop(),
    async restart() {
      await child.kill();
      child = await start();
    },
  };
}
