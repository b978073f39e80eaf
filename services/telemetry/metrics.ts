/** What is counted and timed, as Prometheus text. Nothing listens here: the gateway serves `render()` at /metrics. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Attributes, Meter } from "@opentelemetry/api";
import { PrometheusExporter, PrometheusSerializer } from "@opentelemetry/exporter-prometheus";
import { MeterProvider } from "@opentelemetry/sdk-metrics";
import { ReconcileDurations, type ReconciledObject } from "./reconcile-durations.ts";

/** One request to an API server, as the Kubernetes client reports it. `code` is 0 when there was no answer. */
export type ApiRequest = { verb: string; code: number; resource?: string; host?: string; ms?: number };

export type ActorCount = { kind: string; state: string; count: number };

/** A partition that came or went. A hand-over that was planned had a pause: from the old owner's freeze to the new owner's start. */
export type Move = { direction: "taken" | "given"; cause: "claim" | "handover" | "crash"; pauseMs?: number };

/** Figures that are read when somebody asks. */
export type MetricSources = {
  actors?: () => ActorCount[];
  partitions?: () => number;
  /** How long this worker may still act; 0 or less: it may not. */
  leaseSeconds?: () => number;
  isCoordinator?: () => boolean;
  /** Work of this worker's actors, in seconds per minute. */
  load?: () => number;
  /** Workers of the cell as this one sees them, by state. */
  workers?: () => Record<string, number>;
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
  moved(move: Move): void;
  observe(sources: MetricSources): void;
  /** Prometheus text, version 0.0.4. */
  render(): Promise<string>;
  shutdown(): Promise<void>;
};

const requestBoundsSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30];
const pauseBoundsSeconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
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
  const moves = meter.createCounter("flotilla_partition_moves_total", { description: "Partitions this worker took or gave away, by cause." });
  const pauses = meter.createHistogram("flotilla_handover_pause_seconds", {
    description: "How long the actors of a partition stood still while it was handed over.",
    advice: { explicitBucketBoundaries: pauseBoundsSeconds },
  });
  gauge(meter, "flotilla_build_info", "Always 1; the label is the version.", () => [[1, { version }]]);
  gauge(meter, "flotilla_actors", "Actors this worker owns.", () =>
    (sources.actors?.() ?? []).map(({ count, kind, state }) => [count, { kind, state }]),
  );
  observeFleet(meter, sources);
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
    moved({ direction, cause, pauseMs }) {
      moves.add(1, { direction, cause });
      if (pauseMs !== undefined) pauses.record(pauseMs / 1000);
    },
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

/** This worker's part in the fleet; nothing is said of what nobody provides. */
function observeFleet(meter: Meter, sources: MetricSources): void {
  const one = (name: string, description: string, read: () => number | undefined) =>
    gauge(meter, name, description, () => {
      const value = read();
      return value === undefined ? [] : [[value, {}]];
    });
  one("flotilla_partitions", "Partitions this worker owns.", () => sources.partitions?.());
  one("flotilla_lease_seconds", "How long this worker may still act without hearing from NATS.", () => sources.leaseSeconds?.());
  one("flotilla_coordinator", "1 on the worker that places the partitions.", () => sources.isCoordinator && Number(sources.isCoordinator()));
  one("flotilla_load_seconds_per_minute", "Work of this worker's actors.", () => sources.load?.());
  gauge(meter, "flotilla_workers", "Workers of the cell, as this one sees them.", () =>
    Object.entries(sources.workers?.() ?? {}).map(([state, count]) => [count, { state }]));
}

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
