/** One more worker for a cell whose NATS is there: it needs nothing of its own on this machine. */
import { createLog } from "#services/telemetry/log.ts";
import { writeEndpoint } from "./endpoint.ts";
import { clusterOf, startWorker, tokensOf, workerName, type Started, type WorkerSettings } from "./parts.ts";
import type { NatsSettings } from "./nats.ts";
import type { Stops } from "./stops.ts";

export type WorkerOptions = WorkerSettings & {
  nats: NatsSettings;
  /** Where the commands on this machine find its address; nothing else is kept there. */
  data: string;
};

/** Resolves when it is ready. @throws Fault when a part does not start */
export async function worker(options: WorkerOptions, stops: Stops): Promise<Started> {
  const { data, nats, logLevel } = options;
  const log = createLog({ level: logLevel, name: "flotilla" });
  const cluster = await clusterOf(options);
  const name = workerName();
  const tokens = tokensOf(process.env);
  const noteEndpoint = async (url: string): Promise<void> => {
    try {
      stops.add(await writeEndpoint(data, { url, worker: name, ...tokens }));
    } catch (thrown) {
      log.error("commands on this machine will not find this worker by themselves", thrown, { data });
    }
  };
  return startWorker({
    settings: options, name, cluster, tokens, log, stops,
    nats: { ...nats, name }, embedded: false, advertisesItself: false, onServed: noteEndpoint,
  });
}
