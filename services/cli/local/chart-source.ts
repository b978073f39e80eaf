/** A release's chart as its source in the cluster offers it: the very archive that its worker takes. */
import { hash } from "node:crypto";
import { trackedVersion } from "#machines/rules/chart-version.ts";
import { helmChartName } from "#machines/rules/release-name.ts";
import { helmChart } from "#protocol/api/helm-chart.ts";
import { kindOf } from "#protocol/api/registry.ts";
import { artifact } from "#protocol/api/artifact.ts";
import { download } from "#services/clients/http/download.ts";
import { printable } from "#services/telemetry/waterfall/format.ts";
import type { Cluster } from "../cluster.ts";
import { Failure, sentenceOf } from "../failure.ts";
import { resourceKinds } from "../resources.ts";
import type { Release } from "./unit.ts";

export type OfferedChart = { tgz: Uint8Array; /** What the release calls its version, where that is another than the chart's own. */ versionOf(own: string): string };

const mostBytes = 64 * 1024 * 1024;

/** @throws Failure that says what to do instead */
export async function offeredChart(key: { namespace: string; name: string }, { spec: { chart, chartRef } }: Release, cluster: Pick<Cluster, "get">, signal: AbortSignal): Promise<OfferedChart> {
  const { kind, name, namespace = key.namespace } = chartRef ?? { kind: helmChart.kind, name: helmChartName(key), namespace: chart?.spec.sourceRef.namespace };
  const shown = `${kind}/${namespace}/${name}`;
  const known = resourceKinds.find((each) => each.kind === kind);
  const source = known && (await cluster.get(known, { namespace, name }));
  if (!source) throw new Failure(`${shown}, which has the chart, not found: give the chart with --path`);
  const { data: offered } = artifact.safeParse(source.status?.artifact);
  if (!offered || !URL.canParse(offered.url)) throw new Failure(`${shown} has no artifact: flotilla why helmrelease ${key.name} says why; or give the chart with --path`);
  const tgz = await fetched(offered.url, shown, signal);
  if (`sha256:${hash("sha256", tgz)}` !== offered.digest) throw new Failure(`what ${printable(offered.url)} gives is not the artifact of ${shown}: its digest is another`);
  const isTracked = kindOf(kind.toLowerCase())?.source?.tracked === true && offered.revision.includes(":");
  return {
    tgz,
    versionOf(own) {
      const tracked = isTracked ? trackedVersion(own, offered.revision) : { version: own };
      if ("wrong" in tracked) throw new Failure(tracked.wrong);
      return tracked.version;
    },
  };
}

async function fetched(address: string, shown: string, signal: AbortSignal): Promise<Uint8Array> {
  const url = new URL(address);
  try {
    const { bytes } = await download({ url, shown: `${url.origin}${url.pathname}`, peer: { identity: "" }, home: url.origin, maxBytes: mostBytes, signal });
    return bytes ?? new Uint8Array();
  } catch (cause) {
    throw new Failure(`the chart of ${shown} cannot be fetched from where the worker offers it (${sentenceOf(cause)}): forward that address, or give the chart with --path`, { cause });
  }
}
