/** What is counted and timed, as Prometheus text. Nothing listens here: the gateway serves `render()` at /metrics. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Attributes, Meter } from "@opentelemetry/api";
import { PrometheusExporter, PrometheusSerializer } from "@opentelemetry/exporter-prometheus";
import { MeterProvider } from "@opentelemetry/sdk-metrics";
import { ReconcileDurations, type ReconciledObject } from "./reconcile-durations.ts";

/** One request to an API server, as the Kubernetes client reports it. `code` is 0 when there was no answer. */
export type ApiRequest = { verb: string; code: number; resource?: string; host?: string; ms?: number };

export type ActorCount = { kind: string; state: string; count: number };

/** Figures that are read when somebody asks. */
export type MetricSources = {
  actors?: () => ActorCount[];
  spansDropped?: () => number;
  renders?: () => number;
};

export type Metrics = {
  reconciled(object: ReconciledObject, seconds: number): void;
  /** Drops the series of a deleted object. */
  forget(object: ReconciledObject): void;
  apiRequest(request: ApiRequest): void;
  /** Time from sending a batch to NATS to its acknowledgement. */
  natsCommit(seconds: number, outcome: "stored" | "fenced" | "failed"): void;
  webhook(outcome: "accepted" | "refused" | "malformed"): void;
  observe(sources: MetricSources): void;
  /** Prometheus text, version 0.0.4. */
  render(): Promise<string>;
  shutdown(): Promise<void>;
};

const requestBoundsSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30];
const commitBoundsSeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

export function createMetrics({ version }: { version: string }): Metrics {
  const durations = new ReconcileDurations();
  const reader = new PrometheusExporter({ preventServerStart: true, metricProducers: [durations] });
  const provider = new MeterProvider({ readers: [reader] });
  const serializer = new PrometheusSerializer(undefined, false, undefined, true, true);
  const meter = provider.getMeter("flotilla", version);
  const sources: MetricSources = {};

  const requests = meter.createCounter("flotilla_api_requests_total", { description: "Requests to API servers." });
  const requestTimes = meter.createHistogram("flotilla_api_request_duration_seconds", {
    description: "Time to the first byte of an API server's answer.",
    advice: { explicitBucketBoundaries: requestBoundsSeconds },
  });
  const webhooks = meter.createCounter("flotilla_webhook_requests_total", {
    description: "Requests to the push webhook.",
  });
  const commits = meter.createHistogram("flotilla_nats_commit_duration_seconds", {
    description: "Time from sending a batch to NATS to its acknowledgement.",
    advice: { explicitBucketBoundaries: commitBoundsSeconds },
  });
  gauge(meter, "flotilla_build_info", "Always 1; the label is the version.", () => [[1, { version }]]);
  gauge(meter, "flotilla_actors", "Actors this worker owns.", () =>
    (sources.actors?.() ?? []).map(({ count, kind, state }) => [count, { kind, state }]),
  );
  counter(
    meter,
    "flotilla_trace_spans_dropped_total",
    "Spans lost because the trace stream was away for too long.",
    () => [[sources.spansDropped?.() ?? 0, {}]],
  );
  counter(meter, "flotilla_renders_total", "Builds that ran; a revision that changes nothing a unit reads needs none.", () => [
    [sources.renders?.() ?? 0, {}],
  ]);
  const stopProcess = observeProcess(meter);

  return {
    reconciled: (object, seconds) => durations.record(object, seconds),
    forget: (object) => durations.forget(object),
    apiRequest({ verb, code, resource, host, ms }) {
      requests.add(1, {
        verb,
        code: code === 0 ? "none" : String(code),
        ...(resource && { resource }),
        ...(host && { host }),
      });
      if (ms !== undefined) requestTimes.record(ms / 1000, { verb });
    },
    natsCommit: (seconds, outcome) => commits.record(seconds, { outcome }),
    webhook: (outcome) => webhooks.add(1, { outcome }),
    observe: (more) => void Object.assign(sources, more),
    async render() {
      const { resourceMetrics } = await reader.collect();
      return serializer.serialize(resourceMetrics);
    },
    async shutdown() {
      stopProcess();
      await provider.shutdown();
    },
  };
}

type Reading = [value: number, labels: Attributes];

function gauge(meter: Meter, name: string, description: string, read: () => Reading[]): void {
  meter.createObservableGauge(name, { description }).addCallback((result) => {
    for (const [value, labels] of read()) result.observe(value, labels);
  });
}

function counter(meter: Meter, name: string, description: string, read: () => Reading[]): void {
  meter.createObservableCounter(name, { description }).addCallback((result) => {
    for (const [value, labels] of read()) result.observe(value, labels);
  });
}

/** Names as in the Prometheus client libraries, so that common dashboards show this process too. */
function observeProcess(meter: Meter): () => void {
  const resolutionMs = 20;
  const delay = monitorEventLoopDelay({ resolution: resolutionMs });
  delay.enable();
  const startedAtSeconds = Date.now() / 1000 - process.uptime();
  gauge(meter, "process_resident_memory_bytes", "Resident memory.", () => [[process.memoryUsage.rss(), {}]]);
  gauge(meter, "process_start_time_seconds", "Start of the process, in seconds since 1970.", () => [
    [startedAtSeconds, {}],
  ]);
  counter(meter, "process_cpu_seconds_total", "CPU time used.", () => {
    const { user, system } = process.cpuUsage(); // microseconds
    return [[(user + system) / 1e6, {}]];
  });
  gauge(meter, "nodejs_heap_size_used_bytes", "Heap in use.", () => [[process.memoryUsage().heapUsed, {}]]);
  gauge(meter, "nodejs_eventloop_lag_seconds", "Event-loop delay since the last reading.", () => {
    const readings: Reading[] = [50, 99, 100].map((q) => [
      Math.max(delay.percentile(q) / 1e9 - resolutionMs / 1e3, 0), // it measures from tick to tick, the pause included
      { quantile: String(q / 100) },
    ]);
    delay.reset();
    return readings;
  });
  return () => void delay.disable();
}
