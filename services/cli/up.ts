/** Everything in one process: a worker with its gateway, and beside it an embedded nats-server unless a NATS is given. */
import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import type { NatsAddress } from "#services/store/nats-connect.ts";
import { startNatsServer } from "#services/store/nats-server.ts";
import { createLog, type Log } from "#services/telemetry/log.ts";
import { writeEndpoint } from "./endpoint.ts";
import { lockFolder } from "./lock.ts";
import type { NatsSettings } from "./nats.ts";
import { clusterOf, startWorker, tokensOf, workerName, type Started, type WorkerSettings } from "./parts.ts";
import type { Stops } from "./stops.ts";

export type UpOptions = WorkerSettings & {
  /** An existing NATS; an embedded server otherwise. */
  nats?: NatsSettings;
  data: string;
};

/** Resolves when it is ready. @throws Fault when a part does not start */
export async function up(options: UpOptions, stops: Stops): Promise<Started> {
  const { data } = options;
  const log = createLog({ level: options.logLevel, name: "flotilla" });
  await mkdir(data, { recursive: true, mode: 0o700 });
  stops.add(await lockFolder(data));
  const cluster = await clusterOf(options);
  const name = workerName();
  const tokens = tokensOf(process.env);
  return startWorker({
    settings: options, name, cluster, tokens, log, stops,
    embedded: !options.nats,
    nats: await natsOf(options, name, stops, log),
    advertisesItself: true,
    onServed: async (url) => stops.add(await writeEndpoint(data, { url, ...tokens })),
  });
}

async function natsOf({ nats, data }: UpOptions, name: string, stops: Stops, log: Log): Promise<NatsAddress> {
  if (nats) return { ...nats, name };
  const server = await startNatsServer(resolve(data, "nats"), (detail) => log.error("embedded nats-server restarted", detail));
  stops.add(() => server.stop());
  return { url: server.url, name, token: server.token };
}
