import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import test from "node:test";
import { changeOf } from "./ids.ts";
import { tracesUrl } from "./otlp.ts";
import { openSpans } from "./spans.ts";

type Received = { path: string; body: { resourceSpans: ResourceSpans[] } };
type ResourceSpans = { resource: { attributes: Attribute[] }; scopeSpans: { spans: OtlpSpan[] }[] };
type Attribute = { key: string; value: { stringValue?: string } };
type OtlpSpan = { traceId: string; spanId: string; parentSpanId?: string; name: string; status: { code?: number }; attributes: Attribute[] };

/** A collector that speaks OTLP/HTTP in JSON. */
async function withCollector(use: (url: string, received: Received[]) => Promise<void>): Promise<void> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      received.push({ path: request.url ?? "", body: JSON.parse(Buffer.concat(chunks).toString()) as Received["body"] });
      response.setHeader("content-type", "application/json").end("{}");
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, received);
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

test("[TR13] with OTEL_EXPORTER_OTLP_ENDPOINT set, spans go out over OTLP with the derived ids", () =>
  withCollector(async (url, received) => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: `${url}/`, OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" };
    const spans = await openSpans({ version: "1.2.3", worker: "w1", env });
    const change = changeOf({ url: "https://git.example/a", commit: "4c1d9e2f00000000000000000000000000000001", committedAtMs: 1_000 });
    spans.recordSpan({ ...change, endMs: 2_000 });
    spans.recordSpan({ name: "fetch", parent: change.traceparent, startMs: 1_000, endMs: 2_000, error: { code: "TimedOut", subject: "x" } });
    await spans.shutdown();

    assert.deepEqual([...new Set(received.map(({ path }) => path))], ["/v1/traces"]);
    const resources = received.flatMap(({ body }) => body.resourceSpans);
    const facts = Object.fromEntries(resources[0]!.resource.attributes.map(({ key, value }) => [key, value.stringValue]));
    assert.equal(facts["service.name"], "flotilla");
    assert.equal(facts["service.instance.id"], "w1");
    const [root, fetch] = resources.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
    assert.equal(`00-${root?.traceId}-${root?.spanId}-01`, change.traceparent);
    assert.ok(!root?.parentSpanId);
    assert.equal(fetch?.parentSpanId, root?.spanId);
    assert.equal(fetch?.status.code, 2);
    assert.equal(fetch?.attributes.find(({ key }) => key === "error.type")?.value.stringValue, "TimedOut");
  }));

test("[TR13] a collector that is away neither delays nor fails a span", async () => {
  const spans = await openSpans({ version: "1", worker: "w1", env: { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1", OTEL_EXPORTER_OTLP_TIMEOUT: "100" } });
  assert.match(spans.recordSpan({ name: "fetch", startMs: 1, endMs: 2 }), /^00-/);
  await spans.shutdown();
});

const rows = [
  { env: {}, url: undefined },
  { env: { OTEL_EXPORTER_OTLP_ENDPOINT: "http://c:4318" }, url: "http://c:4318/v1/traces" },
  { env: { OTEL_EXPORTER_OTLP_ENDPOINT: "http://c:4318/otlp/" }, url: "http://c:4318/otlp/v1/traces" },
  { env: { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://t:4318/in", OTEL_EXPORTER_OTLP_ENDPOINT: "http://c" }, url: "http://t:4318/in" },
];
for (const { env, url } of rows)
  test(`[TR13] ${JSON.stringify(env)} -> ${url ?? "no export"}`, () => assert.equal(tracesUrl(env), url));
