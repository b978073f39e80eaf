/** Export of spans over OTLP/HTTP: set up by OpenTelemetry's own environment variables, loaded when they ask for it. */
import { BatchSpanProcessor, type SpanProcessor } from "@opentelemetry/sdk-trace";

type Env = Record<string, string | undefined>;

/**
 * Undefined unless OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set. The exporter reads the
 * rest (headers, compression, certificates) itself. `http/protobuf` is the default, as the specification asks;
 * gRPC is not offered: its library costs more than all the rest of telemetry, and every collector speaks HTTP.
 */
export async function otlpProcessor(env: Env): Promise<SpanProcessor | undefined> {
  const url = tracesUrl(env);
  if (!url || /^(true|1)$/i.test(env["OTEL_SDK_DISABLED"] ?? "") || env["OTEL_TRACES_EXPORTER"] === "none")
    return undefined;
  const protocol = env["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] || env["OTEL_EXPORTER_OTLP_PROTOCOL"] || "http/protobuf";
  const { OTLPTraceExporter } =
    protocol === "http/json"
      ? await import("@opentelemetry/exporter-trace-otlp-http")
      : await import("@opentelemetry/exporter-trace-otlp-proto");
  return new BatchSpanProcessor({
    exporter: new OTLPTraceExporter({ url, timeoutMillis: timeoutMs(env) }),
    scheduledDelayMillis: 1_000,
    maxQueueSize: 8192,
    exportTimeoutMillis: 10_000,
  });
}

// The specification's default of 10 s is how long a worker would hang at its end when the collector is away.
const timeoutMs = (env: Env): number =>
  Number(env["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"] ?? env["OTEL_EXPORTER_OTLP_TIMEOUT"]) || 3_000;

/** The specification's rule: the general endpoint gets `/v1/traces`, the one for traces is taken as it stands. */
export function tracesUrl(env: Env): string | undefined {
  const own = env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
  if (own) return own;
  const general = env["OTEL_EXPORTER_OTLP_ENDPOINT"];
  return general ? `${general.replace(/\/+$/, "")}/v1/traces` : undefined;
}
