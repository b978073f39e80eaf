/** Everything in one process: an embedded or a given NATS, the worker, the gateway. */
import { randomBytes } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { connect, type NatsConnection } from "nats";
import { Fault } from "#protocol/errors/fault.ts";
import { stream } from "#protocol/names/subject.ts";
import { createKubeClient } from "#services/clients/kubernetes/client.ts";
import { loadClusterConfig } from "#services/clients/kubernetes/config.ts";
import { createGateway } from "#services/gateway/gateway.ts";
import { parseListen, serve } from "#services/gateway/serve.ts";
import { Renderer } from "#services/render/render.ts";
import { closeConnections } from "#services/sources/git/connections.ts";
import { ArtifactStore } from "#services/store/artifacts.ts";
import { systemClock } from "#services/store/clock.ts";
import { openNatsLog } from "#services/store/nats-log.ts";
import { startNatsServer } from "#services/store/nats-server.ts";
import { createLog, type LogLevel } from "#services/telemetry/log.ts";
import { createMetrics } from "#services/telemetry/metrics.ts";
import { openSpans } from "#services/telemetry/spans.ts";
import { traceStore } from "#services/telemetry/trace-store.ts";
import { ensureTraceStream, tracePublisher } from "#services/telemetry/trace-stream.ts";
import { Worker } from "#services/worker/worker.ts";
import { lockFolder } from "./lock.ts";

export type UpOptions = {
  version: string;
  kubeconfig?: string;
  context?: string;
  /** An existing NATS; an embedded server otherwise. */
  nats?: string;
  /** HOST:PORT of the gateway. */
  listen: string;
  /** Address written into artifact URLs; the listening address when absent. */
  advertise?: string;
  data: string;
  logLevel: LogLevel;
};

export type Running = {
  url: string;
  /** Settles when it must end by itself: another worker took over. */
  lost: Promise<string>;
  stop(): Promise<void>;
};

/**
 * Resolves when it is ready; to undefined when it was told to stop before that.
 *
 * @throws Fault when a part does not start; what was started is stopped again
 */
export async function up(options: UpOptions, stopped: Promise<unknown> = new Promise(() => undefined)): Promise<Running | undefined> {
  const stops = new Stops();
  const stop = () => stops.all();
  try {
    const started = await Promise.race([start(options, stops), stopped.then(() => undefined)]);
    if (started) return { ...started, stop };
    await stop();
    return undefined;
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

type Stop = () => Promise<unknown>;

/** What was started, to be stopped in reverse; what is still starting by then is stopped as soon as it is there. */
class Stops {
  private readonly list: Stop[] = [];
  private ending: Promise<void> | undefined;

  add(stop: Stop): void {
    if (this.ending) void quietly(stop);
    else this.list.push(stop);
  }

  all(): Promise<void> {
    this.ending ??= (async () => {
      for (const stop of this.list.toReversed()) await quietly(stop);
    })();
    return this.ending;
  }
}

// One part that fails to stop must not keep the others running.
const quietly = (stop: Stop): Promise<unknown> => stop().catch(() => undefined);

async function start(options: UpOptions, stops: Stops): Promise<Omit<Running, "stop">> {
  const { version, data, logLevel } = options;
  const log = createLog({ level: logLevel, name: "flotilla" });
  await mkdir(data, { recursive: true, mode: 0o700 });
  stops.add(await lockFolder(data));
  const listen = parseListen(options.listen);
  const name = `${hostname().replaceAll(/[^A-Za-z0-9-]/g, "-")}-${randomBytes(4).toString("hex")}`;

  // The cluster first: a wrong kubeconfig is the commonest mistake, and is told at once.
  const config = await loadClusterConfig({ ...(options.kubeconfig && { path: options.kubeconfig }), ...(options.context && { context: options.context }) });
  const metrics = createMetrics({ version });
  stops.add(() => metrics.shutdown());
  const client = createKubeClient(config, { onRequest: (request) => metrics.apiRequest(request) });
  stops.add(() => client.close());

  const connection = await natsOf(options, name, stops, (detail) => log.error("embedded nats-server restarted", detail));
  await ensureTraceStream(connection);
  const spans = await openSpans({ version, worker: name, publish: tracePublisher(connection) });
  stops.add(() => spans.shutdown());
  const artifacts = await ArtifactStore.open(connection);
  const renderer = new Renderer();
  stops.add(() => renderer.close());

  const token = randomBytes(24).toString("base64url");
  const webhookToken = process.env["FLOTILLA_WEBHOOK_TOKEN"] || randomBytes(24).toString("base64url");
  const lost = Promise.withResolvers<string>();
  let advertised = options.advertise?.replace(/\/+$/, "") ?? "";
  const worker = new Worker({
    name, clock: systemClock, client, artifacts, renderer, spans, metrics, log,
    cellLog: await openNatsLog(connection, stream.cell("main")),
    artifactUrl: (path) => `${advertised}/${path}`,
    onLost: (reason) => lost.resolve(reason),
  });
  stops.add(closeConnections);
  stops.add(() => worker.stop());

  const starting = { done: false };
  const gateway = createGateway({
    reasonsNotReady: () => (starting.done ? worker.reasonsNotReady() : ["starting"]),
    metrics: () => metrics.render(),
    openArtifact: async (path) => {
      const found = await artifacts.open(path);
      return found && { body: found.stream, sizeBytes: found.sizeBytes, digest: found.digest };
    },
    traces: traceStore(connection),
    actors: () => worker.views(),
    apiToken: token,
    webhookToken,
    onPush: ({ urls }) => worker.pushed(urls),
    onWebhook: (outcome) => metrics.webhook(outcome),
    onError: (thrown, path) => log.error("the gateway failed to answer", thrown, { path }),
  });
  const served = await serve(gateway, listen);
  stops.add(() => served.close());
  advertised ||= served.url;

  const file = join(data, "endpoint.json");
  await writeFile(file, JSON.stringify({ url: served.url, token, webhookToken, pid: process.pid }, null, 2), { mode: 0o600 });
  stops.add(() => rm(file, { force: true }));

  await Promise.race([worker.start(), lost.promise.then((reason) => { throw new Fault("LeaseLost", name, { detail: reason }); })]);
  starting.done = true;
  log.info("ready", { url: served.url, worker: name, server: config.server });
  // The first build must not pay for the renderer's start.
  renderer.warm().catch((thrown: unknown) => log.error("the renderer does not start", thrown));
  return { url: served.url, lost: lost.promise };
}

async function natsOf({ nats, data }: UpOptions, name: string, stops: Stops, onRestart: (detail: string) => void): Promise<NatsConnection> {
  const server = nats ? undefined : await startNatsServer(resolve(data, "nats"), onRestart);
  if (server) stops.add(() => server.stop());
  const servers = server?.url ?? nats ?? "";
  try {
    const connection = await connect({
      servers, name, ...(server && { token: server.token }), ...credentialsOf(nats),
      maxReconnectAttempts: -1, reconnectTimeWait: 100, pingInterval: 2_000, maxPingOut: 2,
    });
    stops.add(() => connection.close());
    return connection;
  } catch (cause) {
    throw new Fault("NatsUnreachable", withoutUserinfo(servers), { detail: cause instanceof Error ? cause.message : String(cause), cause });
  }
}

/** `nats://user:password@host` and `nats://token@host`. */
function credentialsOf(url: string | undefined): { user: string; pass: string } | { token: string } | Record<string, never> {
  const { username = "", password = "" } = url && URL.canParse(url) ? new URL(url) : {};
  if (!username) return {};
  return password ? { user: decodeURIComponent(username), pass: decodeURIComponent(password) } : { token: decodeURIComponent(username) };
}

const withoutUserinfo = (url: string): string => url.replace(/\/\/[^@/]*@/, "//");
