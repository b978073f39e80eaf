/**
 * `gotk_reconcile_duration_seconds` per object, as Flux's controllers publish it (flux.md 6.3). Kept here, not in an
 * SDK instrument: those cannot forget a series, so deleted objects would stay and the SDK's limit would hide new ones.
 */
import { ValueType, type HrTime } from "@opentelemetry/api";
import { emptyResource } from "@opentelemetry/resources";
import {
  AggregationTemporality,
  DataPointType,
  type CollectionResult,
  type MetricData,
  type MetricProducer,
} from "@opentelemetry/sdk-metrics";

export type ReconciledObject = { kind: string; name: string; namespace: string };

/** 10 bounds from 10 ms to 1800 s, each the same factor above the last (fluxcd/pkg runtime/metrics/recorder.go). */
export const bucketBounds: readonly number[] = Array.from({ length: 10 }, (_, i) => 0.01 * (1800 / 0.01) ** (i / 9));

type Series = { labels: ReconciledObject; counts: number[]; sum: number; count: number; sinceMs: number };

export class ReconcileDurations implements MetricProducer {
  private readonly series = new Map<string, Series>();

  record(object: ReconciledObject, seconds: number): void {
    const key = keyOf(object);
    let series = this.series.get(key);
    if (!series) {
      const { kind, name, namespace } = object;
      const counts = Array.from({ length: bucketBounds.length + 1 }, () => 0);
      series = { labels: { kind, name, namespace }, counts, sum: 0, count: 0, sinceMs: Date.now() };
      this.series.set(key, series);
    }
    const bucket = bucketBounds.findIndex((bound) => seconds <= bound);
    series.counts[bucket === -1 ? bucketBounds.length : bucket]! += 1;
    series.sum += seconds;
    series.count += 1;
  }

  /** The object is gone: so is its series. */
  forget(object: ReconciledObject): void {
    this.series.delete(keyOf(object));
  }

  collect(): Promise<CollectionResult> {
    const now = hrTime(Date.now());
    const metric: MetricData = {
      descriptor: {
        name: "gotk_reconcile_duration_seconds",
        description: "The duration in seconds of a GitOps Toolkit resource reconciliation.",
        unit: "",
        valueType: ValueType.DOUBLE,
      },
      aggregationTemporality: AggregationTemporality.CUMULATIVE,
      dataPointType: DataPointType.HISTOGRAM,
      dataPoints: [...this.series.values()].map(({ labels, counts, sum, count, sinceMs }) => ({
        startTime: hrTime(sinceMs),
        endTime: now,
        attributes: labels,
        value: { buckets: { boundaries: [...bucketBounds], counts }, sum, count },
      })),
    };
    const metrics = this.series.size > 0 ? [metric] : [];
    return Promise.resolve({
      resourceMetrics: { resource: emptyResource(), scopeMetrics: [{ scope: { name: "flotilla" }, metrics }] },
      errors: [],
    });
  }
}

const keyOf = ({ kind, namespace, name }: ReconciledObject) => `${kind}/${namespace}/${name}`;

const hrTime = (ms: number): HrTime => [Math.floor(ms / 1000), (ms % 1000) * 1e6];
