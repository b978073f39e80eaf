/** A release's chart as its source in the cluster offers it. */
import { trackedVersion } from "#machines/rules/chart-version.ts";
import { helmChartName } from "#machines/rules/release-name.ts";
import { helmChart } from "#protocol/api/helm-chart.ts";
import { kindOf } from "#protocol/api/registry.ts";
import type { Cluster, ObjectName } from "../cluster.ts";
import { Failure } from "../failure.ts";
import { offeredBy } from "./offered.ts";
import type { Release } from "./unit.ts";

export type OfferedChart = { tgz: Uint8Array; /** What the release calls its version, where that is another than the chart's own. */ versionOf(own: string): string };

const instead = "give the chart with --path";

/** @throws Failure that says what to do instead */
export async function offeredChart(key: ObjectName, { spec: { chart, chartRef } }: Release, cluster: Pick<Cluster, "get">, signal: AbortSignal): Promise<OfferedChart> {
  const { kind, name, namespace = key.namespace } = chartRef ?? { kind: helmChart.kind, name: helmChartName(key), namespace: chart?.spec.sourceRef.namespace };
  const offered = await offeredBy(kind, { namespace, name }, { what: "the chart", why: `flotilla why helmrelease ${key.name}`, instead }, cluster, signal);
  if (!offered) throw new Failure(`${kind}/${namespace}/${name}, which has the chart, not found: ${instead}`);
  const isTracked = kindOf(kind.toLowerCase())?.source?.tracked === true && offered.revision.includes(":");
  return {
    tgz: offered.bytes,
    versionOf(own) {
      const tracked = isTracked ? trackedVersion(own, offered.revision) : { version: own };
      if ("wrong" in tracked) throw new Failure(tracked.wrong);
      return tracked.version;
    },
  };
}
