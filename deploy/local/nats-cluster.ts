/** Real nats-servers on loopback that form one JetStream cluster, for tests: each can be killed, stopped and brought back. */
import { randomBytes } from "node:crypto";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { eventually } from "./eventually.ts";
import { freePorts } from "./free-ports.ts";
import { startChild, whileAlive, type Child } from "./processes.ts";
import { tool } from "./tools.ts";

export type NatsClusterOptions = {
  /** Holds a folder per server. */
  dir: string;
  size?: number;
  /** How often JetStream writes to disk; `always` unless a test is about that. */
  syncInterval?: string;
};

export type NatsNode = {
  name: string;
  url: string;
  /** Of its monitoring endpoint. */
  monitorUrl: string;
  /** 0 while it does not run. */
  pid(): number;
  /** Ends it as a crash would. */
  kill(): Promise<void>;
  /** Ends it in good order. */
  stop(): Promise<void>;
  /** Brings it back on its ports with what it had stored; resolves when it serves again. */
  start(): Promise<void>;
};

export type NatsCluster = {
  nodes: NatsNode[];
  /** Of all nodes, with commas between. */
  url: string;
  urls: string[];
  token: string;
  /** The node that takes the stream's writes; undefined while there is none. */
  leaderOf(stream: string): Promise<NatsNode | undefined>;
  stop(): Promise<void>;
};

/** Resolves when every server knows every other and one leads. */
export async function startNatsCluster({ dir, size = 3, syncInterval = "always" }: NatsClusterOptions): Promise<NatsCluster> {
  const command = await tool("nats-server");
  const token = randomBytes(24).toString("base64url");
  const names = Array.from({ length: size }, (_, i) => `n${i + 1}`);
  const ports = await freePorts(...names.flatMap((name) => [`${name} client`, `${name} route`, `${name} monitor`]));
  const port = (name: string, what: string) => ports[`${name} ${what}`] as number;
  const routes = names.map((name) => `nats://route:${token}@127.0.0.1:${port(name, "route")}`);

  const nodes = await Promise.all(names.map(async (name): Promise<NatsNode> => {
    const home = join(dir, name);
    await mkdir(home, { recursive: true, mode: 0o700 });
    await chmod(home, 0o700);
    const configFile = join(home, "nats.conf");
    const configuration = {
      listen: `127.0.0.1:${port(name, "client")}`,
      http: `127.0.0.1:${port(name, "monitor")}`,
      server_name: name,
      authorization: { token },
      max_payload: 8 * 2 ** 20, // as the embedded one has
      cluster: { name: "local", listen: `127.0.0.1:${port(name, "route")}`, authorization: { user: "route", password: token }, routes },
      jetstream: { store_dir: join(home, "jetstream"), sync_interval: syncInterval, max_file_store: 1 << 30 },
    };
    await writeFile(configFile, JSON.stringify(configuration, undefined, 2), { mode: 0o600 });
    const monitorUrl = `http://127.0.0.1:${port(name, "monitor")}`;
    let child: Child | undefined;
    return {
      name,
      url: `nats://127.0.0.1:${port(name, "client")}`,
      monitorUrl,
      pid: () => child?.pid ?? 0,
      async kill() {
        await child?.kill();
        child = undefined;
      },
      async stop() {
        await child?.stop(10_000);
        child = undefined;
      },
      async start() {
        const started = startChild({ name: `nats-server ${name}`, command, args: ["-c", configFile], logFile: join(home, "nats.log"), cwd: home });
        child = started;
        await whileAlive([started], (signal) =>
          eventually(`${name} serves`, async () => (await fetch(`${monitorUrl}/healthz`)).ok, { signal }));
      },
    };
  }));
  await Promise.all(nodes.map((node) => node.start()));
  await eventually("the servers are one cluster", async () => {
    const seen = await Promise.all(nodes.map((node) => metaOf(node)));
    const leader = seen.find(({ replicas }) => replicas.length > 0);
    return size === 1 || (leader?.replicas.length === size - 1 && leader.replicas.every(({ offline }) => !offline) && seen.every((each) => each.leader !== ""));
  });

  return {
    nodes, token,
    url: nodes.map(({ url }) => url).join(","),
    urls: nodes.map(({ url }) => url),
    async leaderOf(stream) {
      for (const node of nodes.filter(({ pid }) => pid() !== 0)) {
        const leader = await leaderSeenBy(node, stream);
        const found = nodes.find(({ name, pid }) => name === leader && pid() !== 0);
        if (found) return found;
      }
      return undefined;
    },
    async stop() {
      await Promise.all(nodes.map((node) => node.stop()));
    },
  };
}

type Meta = { leader: string; replicas: { name: string; offline?: boolean }[] };

/** Only the leader lists the others. */
async function metaOf({ monitorUrl }: NatsNode): Promise<Meta> {
  const { meta_cluster } = (await (await fetch(`${monitorUrl}/jsz`)).json()) as { meta_cluster?: Partial<Meta> };
  return { leader: meta_cluster?.leader ?? "", replicas: meta_cluster?.replicas ?? [] };
}

type Streams = { account_details?: { stream_detail?: { name: string; cluster?: { leader?: string } }[] }[] };

async function leaderSeenBy({ monitorUrl }: NatsNode, stream: string): Promise<string | undefined> {
  const { account_details = [] } = (await (await fetch(`${monitorUrl}/jsz?streams=true`)).json()) as Streams;
  return account_details.flatMap(({ stream_detail = [] }) => stream_detail).find(({ name }) => name === stream)?.cluster?.leader;
}
