import assert from "node:assert/strict";
import test from "node:test";
import { createMetrics, type Metrics } from "./metrics.ts";
import { bucketBounds } from "./reconcile-durations.ts";

async function rendered(use: (metrics: Metrics) => void): Promise<string> {
  const metrics = createMetrics({ version: "1.2.3" });
  try {
    use(metrics);
    return await metrics.render();
  } finally {
    await metrics.shutdown();
  }
}

const podinfo = { kind: "Kustomization", namespace: "apps", name: "podinfo" };

test("[TR14] reconcile durations have Flux's name, labels and buckets", async () => {
  const text = await rendered((metrics) => {
    for (const seconds of [0.005, 0.3, 4000]) metrics.reconciled(podinfo, seconds);
  });
  const labels = 'kind="Kustomization",name="podinfo",namespace="apps"';
  const lines = text.split("\n").filter((line) => line.startsWith("gotk_reconcile_duration_seconds"));
  assert.equal(lines.length, 2 + bucketBounds.length + 1);
  assert.ok(lines.includes(`gotk_reconcile_duration_seconds_count{${labels}} 3`));
  assert.ok(lines.includes(`gotk_reconcile_duration_seconds_bucket{${labels},le="0.01"} 1`));
  assert.ok(lines.includes(`gotk_reconcile_duration_seconds_bucket{${labels},le="1800"} 2`));
  assert.ok(lines.includes(`gotk_reconcile_duration_seconds_bucket{${labels},le="+Inf"} 3`));
});

test("[TR14] the bounds are 10, from 10 ms to 30 min, each the same factor above the last", () => {
  assert.equal(bucketBounds.length, 10);
  assert.ok(Math.abs(bucketBounds[0]! - 0.01) < 1e-12 && Math.abs(bucketBounds[9]! - 1800) < 1e-9);
  const factor = bucketBounds[1]! / bucketBounds[0]!;
  for (let i = 1; i < 10; i++) assert.ok(Math.abs(bucketBounds[i]! / bucketBounds[i - 1]! - factor) < 1e-9);
});

test("[TR14] the series of a deleted object is gone", async () => {
  const text = await rendered((metrics) => {
    metrics.reconciled(podinfo, 1);
    metrics.reconciled({ ...podinfo, name: "other" }, 1);
    metrics.forget(podinfo);
  });
  assert.doesNotMatch(text, /name="podinfo"/);
  assert.match(text, /name="other"/);
});

test("[TR14] more objects than the SDK's own limit of series are all there", async () => {
  const text = await rendered((metrics) => {
    for (let i = 0; i < 3000; i++) metrics.reconciled({ ...podinfo, name: `unit-${i}` }, 1);
  });
  assert.equal(text.match(/gotk_reconcile_duration_seconds_count/g)?.length, 3000);
});

const lines = [
  { why: "requests", use: (m: Metrics) => m.apiRequest({ verb: "apply", resource: "deployments", code: 409, ms: 3 }), line: 'flotilla_api_requests_total{verb="apply",code="409",resource="deployments"} 1' },
  { why: "their time", use: (m: Metrics) => m.apiRequest({ verb: "apply", resource: "deployments", code: 200, ms: 3 }), line: 'flotilla_api_request_duration_seconds_bucket{verb="apply",le="0.005"} 1' },
  { why: "a request with no answer", use: (m: Metrics) => m.apiRequest({ verb: "get", resource: "pods", code: 0, ms: 1 }), line: 'flotilla_api_requests_total{verb="get",code="none",resource="pods"} 1' },
  { why: "commits", use: (m: Metrics) => m.natsCommit(0.002, "stored"), line: 'flotilla_nats_commit_duration_seconds_bucket{outcome="stored",le="0.0025"} 1' },
  { why: "webhooks", use: (m: Metrics) => m.webhook("refused"), line: 'flotilla_webhook_requests_total{outcome="refused"} 1' },
  { why: "actors", use: (m: Metrics) => m.observe({ actors: () => [{ kind: "source", state: "settled", count: 7 }] }), line: 'flotilla_actors{kind="source",state="settled"} 7' },
  { why: "partitions", use: (m: Metrics) => m.observe({ partitions: () => 341 }), line: "flotilla_partitions 341" },
  { why: "the lease", use: (m: Metrics) => m.observe({ leaseSeconds: () => 1.5 }), line: "flotilla_lease_seconds 1.5" },
  { why: "who coordinates", use: (m: Metrics) => m.observe({ isCoordinator: () => false }), line: "flotilla_coordinator 0" },
  { why: "load", use: (m: Metrics) => m.observe({ load: () => 3.2 }), line: "flotilla_load_seconds_per_minute 3.2" },
  { why: "the other workers", use: (m: Metrics) => m.observe({ workers: () => ({ ready: 2, silent: 1 }) }), line: 'flotilla_workers{state="silent"} 1' },
  { why: "partitions that moved", use: (m: Metrics) => m.moved({ direction: "taken", cause: "crash" }), line: 'flotilla_partition_moves_total{direction="taken",cause="crash"} 1' },
  { why: "pauses", use: (m: Metrics) => m.moved({ direction: "taken", cause: "handover", pauseMs: 30 }), line: 'flotilla_handover_pause_seconds_bucket{le="0.05"} 1' },
  { why: "lost spans", use: (m: Metrics) => m.observe({ spansDropped: () => 3 }), line: "flotilla_trace_spans_dropped_total 3" },
  { why: "the version", use: () => {}, line: 'flotilla_build_info{version="1.2.3"} 1' },
];
for (const { why, use, line } of lines)
  test(`[TR14] ${why}: ${line}`, async () => assert.ok((await rendered(use)).split("\n").includes(line)));

test("[TR14] the process itself: memory, CPU, event loop", async () => {
  const text = await rendered(() => {});
  for (const name of ["process_resident_memory_bytes", "process_cpu_seconds_total", 'nodejs_eventloop_lag_seconds{quantile="0.99"}'])
    assert.ok(text.includes(`\n${name} `), name);
});
