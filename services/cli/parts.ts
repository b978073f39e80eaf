/** What `up` and `worker` have in common: one worker with its gateway, on a NATS that is there already. */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type { NatsConnection } from "nats";
import type { Tenancy } from "#machines/rules/tenancy.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { stream } from "#protocol/names/subject.ts";
import { Clouds } from "#services/clients/cloud/identity.ts";
import { createKubeClient, type KubeClient } from "#services/clients/kubernetes/client.ts";
import { loadClusterConfig, type ClusterConfig } from "#services/clients/kubernetes/config.ts";
import { accountsOf } from "#services/cluster/accounts.ts";
import { digestKeyOf } from "#services/cluster/digest-key.ts";
import type { ApplySettings } from "#services/cluster/handle.ts";
import { getData } from "#services/cluster/objects.ts";
import { createGateway, type GatewayPorts } from "#services/gateway/gateway.ts";
import { parseListen, serve } from "#services/gateway/serve.ts";
import { Decryptor } from "#services/decrypt/decryptor.ts";
import { Cel } from "#services/render/cel.ts";
import { Engine } from "#services/render/engine.ts";
import { HelmEngine } from "#services/render/helm/engine.ts";
import { Notation } from "#services/render/notation/verifier.ts";
import { Renderer } from "#services/render/render.ts";
import { AnonymousGit } from "#services/sources/git/anonymous.ts";
import { closeConnections } from "#services/clients/http/connections.ts";
import type { S3Address } from "#services/store/artifacts/s3-address.ts";
import { systemClock } from "#services/store/clock.ts";
import { startHeartThread } from "#services/store/heart-thread.ts";
import { openNatsBus } from "#services/store/nats-bus.ts";
import { checkDurability } from "#services/store/nats-check.ts";
import { connectNats, type NatsAddress } from "#services/store/nats-connect.ts";
import { openNatsLog } from "#services/store/nats-log.ts";
import type { Log, LogLevel } from "#services/telemetry/log.ts";
import { createMetrics } from "#services/telemetry/metrics.ts";
import { openSpans } from "#services/telemetry/spans.ts";
import { traceStore } from "#services/telemetry/trace-store.ts";
import { ensureTraceStream, tracePublisher } from "#services/telemetry/trace-stream.ts";
import type { FeatureGates } from "#services/worker/feature-gates.ts";
import { openHub } from "#services/worker/hub.ts";
import { createPace } from "#services/worker/pace.ts";
import { Worker } from "#services/worker/worker.ts";
import { openAdvertised } from "./advertised.ts";
import { openArtifacts } from "./artifacts.ts";
import { readHubId } from "./hub-id.ts";
import type { Stops } from "./stops.ts";

export type KubeconfigSettings = { exec?: boolean; insecureTls?: boolean; defaultAccount?: string };

export type WorkerSettings = {
  version: string;
  kubeconfig?: string;
  context?: string;
  /** HOST:PORT of the gateway; port 0 takes a free one. */
  listen: string;
  /** Address written into artifact URLs. */
  advertise?: string;
  /** How much this worker carries beside the others. */
  capacity?: number;
  /** The key of the shard it is there for. */
  shard?: string;
  /** Label that names an object's tenant; its namespace does otherwise. */
  tenantLabel?: string;
  /** What is locked down. */
  tenancy?: Tenancy;
  /** Whether remote bases are fetched, and from which hosts: none stands for all public ones. */
  remoteBases?: { hosts: string[] };
  /** How far a kubeconfig that a tenant wrote is trusted. */
  kubeconfigs?: KubeconfigSettings;
  /** For the admission policy of deploy/policy. */
  stampEpochs?: boolean;
  /** As in Flux when absent. */
  features?: FeatureGates;
  /** As Flux does: what was changed without sops goes unnoticed. */
  sopsIgnoreMac?: boolean;
  /** Of the age keys of units that name no Secret of their own. */
  sopsAgeSecret?: { namespace: string; name: string };
  /** Of the Vaults that are trusted with ServiceAccounts' tokens. */
  sopsVaultConfigMap?: { namespace: string; name: string };
  /** ServiceAccount whose identity decrypts where spec.decryption names none. */
  decryptionAccount?: string;
  /** Whether the worker's own identity decrypts where no account does. */
  sopsOwnIdentity?: boolean;
  /** Whose fields are taken over, and what is applied before the rest. */
  applying?: ApplySettings;
  /** Where artifacts are kept in place of NATS. */
  artifacts?: S3Address;
  /** Where artifacts are kept on this machine too. */
  artifactCache?: { dir: string; maxBytes: number };
  /** Of streams that are made now; as many as the NATS has room for when absent. */
  replicas?: number;
  /** Of NATS's monitoring endpoint, to find out whether what it acknowledges survives a loss of power. */
  natsMonitor?: string;
  logLevel: LogLevel;
};

const cellStream = stream.cell("main");

export type Tokens = { token: string; webhookToken: string };

export type Started = {
  url: string;
  /** Settles when it must end by itself: it was held for dead, or the cell is not what it was. */
  lost: Promise<string>;
};

/** Its name in the cell: a beginning people know, an end that was never there before. */
export const workerName = (): string => `${hostname().replaceAll(/[^A-Za-z0-9-]/g, "-")}-${randomBytes(4).toString("hex")}`;

/** One token for all workers where the environment names it; else one of its own. */
export const tokensOf = (env: NodeJS.ProcessEnv): Tokens => ({
  token: env["FLOTILLA_TOKEN"] || randomBytes(24).toString("base64url"),
  webhookToken: env["FLOTILLA_WEBHOOK_TOKEN"] || randomBytes(24).toString("base64url"),
});

/** The cluster first: a wrong kubeconfig is the commonest mistake, and is told at once. @throws Fault */
export const clusterOf = ({ kubeconfig, context }: WorkerSettings): Promise<ClusterConfig> =>
  loadClusterConfig({ ...(kubeconfig && { path: kubeconfig }), ...(context && { context }) });

type Parts = {
  settings: WorkerSettings;
  name: string;
  cluster: ClusterConfig;
  nats: NatsAddress;
  /** Whether it is our own nats-server, which we know. */
  embedded: boolean;
  tokens: Tokens;
  /** Whether an address nobody chose is written down for all to use. */
  advertisesItself: boolean;
  log: Log;
  stops: Stops;
  /** The gateway listens. */
  onServed(url: string): Promise<void>;
};

/** Resolves when it is ready. @throws Fault when a part does not start; the stops are the caller's */
export async function startWorker(parts: Parts): Promise<Started> {
  const { settings, name, cluster, nats, tokens, log, stops } = parts;
  const { version, replicas } = settings;
  const listen = parseListen(settings.listen);
  const metrics = createMetrics({ version });
  stops.add(() => metrics.shutdown());
  const pace = createPace({ clock: systemClock });
  const client = createKubeClient(cluster, { onRequest: (request) => metrics.apiRequest(request), gate: pace.gate });
  stops.add(() => client.close());

  const clouds = new Clouds({ accounts: accountsOf(client) });

  const connection = await connectNats(nats);
  stops.add(() => connection.close());
  if (!parts.embedded) await tellDurability(connection, settings.natsMonitor, log);
  const kept = replicas === undefined ? {} : { replicas };
  await ensureTraceStream(connection, kept);
  const spans = await openSpans({ version, worker: name, publish: tracePublisher(connection) });
  stops.add(() => spans.shutdown());
  const cellLog = await openNatsLog(connection, cellStream, kept);
  const engine = new Engine();
  const renderer = new Renderer({ engine });
  stops.add(() => renderer.close());
  const helm = new HelmEngine();
  stops.add(() => helm.close());
  const notation = new Notation();
  stops.add(() => notation.close());
  const cel = new Cel(engine);
  stops.add(() => cel.close());
  const decryptor = new Decryptor({ ignoreMac: settings.sopsIgnoreMac === true });
  stops.add(() => decryptor.close());
  stops.add(closeConnections);

  let worker: Worker | undefined; // the gateway answers before there is one: it says why there is none
  const artifacts = await openArtifacts(settings, { connection, clouds, log, onLost: (path) => worker?.lost(path) });
  stops.add(async () => artifacts.close());
  const state = { ready: false, stopping: false };
  const there = (): Worker => {
    if (!worker) throw new Fault("LeaseLost", name, { detail: "starting" });
    return worker;
  };
  const ports: GatewayPorts = {
    ...tokens, apiToken: tokens.token,
    reasonsNotReady: () => {
      if (state.stopping) return ["stopping: handing everything over"];
      return state.ready && worker ? [...worker.reasonsNotReady(), ...artifacts.reasonsNotReady()] : ["starting"];
    },
    metrics: () => metrics.render(),
    openArtifact: async (path) => {
      const found = await artifacts.open((await worker?.newestAt(path)) ?? path);
      return found && { body: found.stream, sizeBytes: found.sizeBytes, digest: found.digest };
    },
    traces: traceStore(connection),
    actors: async () => there().views(),
    workers: async () => there().fleet(),
    drain: async (who, on) => there().drain(who, on),
    onPush: async ({ urls }) => there().pushed(urls),
    onWebhook: (outcome) => metrics.webhook(outcome),
    onError: (thrown, path) => log.error("the gateway failed to answer", thrown, { path }),
  };
  const served = await serve(createGateway(ports), listen);
  stops.add(() => served.close());
  await parts.onServed(served.url);
  const given = settings.advertise ?? (parts.advertisesItself ? served.url : undefined);
  const advertised = await openAdvertised(cellLog, systemClock, { given, own: served.url });
  stops.add(async () => advertised.close());

  const over = new AbortController();
  stops.add(async () => over.abort());
  const isAway = (thrown: unknown) => log.error("the hub's API server is away; it is tried again", thrown);
  const hubId = await readHubId(client, isAway, over.signal);
  const capacity = settings.capacity ?? 1;
  const { shard = "" } = settings;
  const about = { shard, capacity, actors: 0, load: 0, draining: false, refuses: [] };
  const lost = Promise.withResolvers<string>();
  const made = new Worker({
    name, hubId, clock: systemClock, cellLog, bus: openNatsBus(connection), artifacts, renderer, cel, helm, engine, decryption: { decryptor, clouds, ageSecret: settings.sopsAgeSecret, defaultAccount: settings.decryptionAccount, ownIdentity: settings.sopsOwnIdentity, vaults: vaultsOf(client, settings.sopsVaultConfigMap) }, digestKey: digestKeyOf(client, ownNamespace(process.env), (why) => log.error("digests of objects with values from Secrets are keyed by this process alone", why)), spans, metrics, log, capacity, ...(shard !== "" && { shard }), ...(settings.tenantLabel && { tenantLabel: settings.tenantLabel }), ...(settings.stampEpochs && { stampEpochs: true }),
    ...(settings.features && { features: settings.features }),
    ...(settings.remoteBases && { bases: new AnonymousGit(settings.remoteBases) }),
    ...(settings.tenancy && { tenancy: settings.tenancy }),
    clouds, notation,
    openHub: (wires) => openHub({
      ...wires, client, settings: settings.applying, remote: { ...settings.kubeconfigs, clouds, onRequest: (request) => metrics.apiRequest(request) },
    }),
    startHeart: (callbacks) => startHeartThread(nats, { stream: cellStream, worker: name, about, ...callbacks }),
    artifactUrl: (path) => `${advertised.url()}/${path}`,
    onLost: (reason) => lost.resolve(reason),
  });
  stops.add(() => made.stop());
  stops.add(async () => { state.stopping = true; });
  worker = made;
  await Promise.race([made.start(), lost.promise.then((reason) => { throw new Fault("LeaseLost", name, { detail: reason }); })]);
  state.ready = true;
  log.info("ready", { url: served.url, worker: name, server: cluster.server });
  // The first build must not pay for the renderer's start.
  renderer.warm().catch((thrown: unknown) => log.error("the renderer does not start", thrown));
  return { url: served.url, lost: lost.promise };
}

async function tellDurability(connection: NatsConnection, monitor: string | undefined, log: Log): Promise<void> {
  const { is, sentence } = await checkDurability(connection, monitor);
  if (is === "unsafe") log.error("NATS may lose what it acknowledged", sentence);
  if (is === "unknown") log.info("whether NATS keeps what it acknowledges is not known", { detail: sentence });
}

/** Flotilla's own, as Flux's controllers know theirs. */
export const ownNamespace = (env: NodeJS.ProcessEnv): string => env["RUNTIME_NAMESPACE"] || "flux-system";

const vaultsOf = (client: KubeClient, config: WorkerSettings["sopsVaultConfigMap"]) =>
  config && { ...config, read: async (namespace: string, name: string) => (await getData(client, { kind: "ConfigMap", namespace, name }))?.data };
