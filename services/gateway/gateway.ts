/**
 * Everything that comes in over HTTP: health, metrics, artifacts, the push webhook, and the API that the CLI and the
 * console read. Built from ports, so that a test needs no socket.
 */
import { Hono, type Context } from "hono";
import { Fault, sentence } from "#protocol/errors/fault.ts";
import type { TraceStore } from "#services/telemetry/trace-store.ts";
import type { ActorView } from "#protocol/messages/fleet.ts";
import { actorRoutes } from "./actors.ts";
import { artifactRoute, type OpenArtifact } from "./artifact.ts";
import { Refusal } from "./refusal.ts";
import { bearerOf, sameSecret } from "./secrets.ts";
import { traceRoutes } from "./traces.ts";
import { webhookRoute, type WebhookPorts } from "./webhook.ts";
import { workerRoutes, type WorkerPorts } from "./workers.ts";

export type GatewayPorts = WebhookPorts & WorkerPorts & {
  /** Why it is not ready yet, one sentence each; empty when it is. */
  reasonsNotReady(): string[];
  /** Prometheus text. */
  metrics(): Promise<string>;
  openArtifact: OpenArtifact;
  traces: TraceStore;
  /** Of every worker. */
  actors(): Promise<ActorView[]>;
  /** Bearer token of /api; empty: nobody may ask. */
  apiToken: string;
  /** An answer of 500: a bug of ours. */
  onError(thrown: unknown, path: string): void;
};

export function createGateway(ports: GatewayPorts): Hono {
  const app = new Hono();

  app.get("/livez", (c) => c.text("ok\n"));
  app.get("/healthz", (c) => c.text("ok\n")); // where Flux's manifests probe
  app.get("/readyz", (c) => {
    const reasons = ports.reasonsNotReady();
    return reasons.length === 0 ? c.text("ok\n") : c.text(`${reasons.join("\n")}\n`, 503);
  });
  app.get("/metrics", async (c) => {
    c.header("content-type", "text/plain; version=0.0.4; charset=utf-8");
    return c.body(await ports.metrics());
  });

  app.post("/hook/push", webhookRoute(ports));

  app.use("/api/*", async (c, next) => {
    if (!sameSecret(bearerOf(c.req.raw.headers) ?? "", ports.apiToken))
      throw new Refusal(401, "Unauthorized", "send the API token as Authorization: Bearer");
    c.header("cache-control", "no-store");
    await next();
  });
  traceRoutes(app, ports.traces);
  actorRoutes(app, ports.actors);
  workerRoutes(app, ports);
  app.all("/api/*", () => notFound());

  app.get("/:kind/:namespace/:name/:file", artifactRoute(ports.openArtifact)); // last: it takes any four parts

  app.notFound((c) => answer(c, new Refusal(404, "NotFound", "there is nothing at this address")));
  app.onError((error, c) => {
    if (!(error instanceof Refusal) && !(error instanceof Fault)) ports.onError(error, c.req.path);
    return answer(c, refusalOf(error));
  });
  return app;
}

function notFound(): never {
  throw new Refusal(404, "NotFound", "there is nothing at this address");
}

function refusalOf(error: Error): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof Fault) return new Refusal(503, error.code, sentence(error.toJSON()));
  return new Refusal(500, "Internal", "a bug: the worker's log says more");
}

function answer(c: Context, { status, code, message }: Refusal): Response {
  c.header("x-content-type-options", "nosniff");
  if (status === 401) c.header("www-authenticate", "Bearer");
  return c.json({ error: { code, message } }, status);
}
