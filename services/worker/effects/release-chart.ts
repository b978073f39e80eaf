/** The HelmChart that stands for `spec.chart`, kept equal to it (helm-controller internal/reconcile/helmchart_template.go). */
import { hash } from "node:crypto";
import { helmChartName } from "#machines/rules/release-name.ts";
import { mayRefer, type Tenancy } from "#machines/rules/tenancy.ts";
import { fieldManagers, labels } from "#protocol/api/annotations.ts";
import { formatDuration, parseDuration } from "#protocol/api/duration.ts";
import { helmChart } from "#protocol/api/helm-chart.ts";
import type { HelmRelease } from "#protocol/api/helm-release.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { SourceFacts } from "#protocol/messages/object.ts";
import type { ChartApplied, ChartSeen } from "#protocol/messages/release.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import { isNotFound } from "#services/clients/kubernetes/error.ts";
import { segment } from "#services/cluster/discovery.ts";
import { applyPatch, type ClusterHandle } from "#services/cluster/handle.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";

/** `namespace/name`; undefined: a source is referred to. */
export function chartNameOf(key: ActorKey, { chart }: HelmRelease["spec"]): string | undefined {
  return chart && `${chart.spec.sourceRef.namespace ?? key.namespace}/${helmChartName(key)}`;
}

export function chartOf(key: ActorKey, { chart, interval }: HelmRelease["spec"]): KubeObject | undefined {
  if (!chart) return undefined;
  const { sourceRef: { kind, name, namespace = key.namespace }, interval: own, verify, ...rest } = chart.spec;
  const chosen = {
    chart: rest.chart, version: rest.version, sourceRef: { kind, name }, interval: formatDuration(parseDuration(own ?? interval)),
    reconcileStrategy: rest.reconcileStrategy, valuesFiles: rest.valuesFiles, ignoreMissingValuesFiles: rest.ignoreMissingValuesFiles, verify,
  };
  return {
    apiVersion: helmChart.apiVersion, kind: helmChart.kind,
    metadata: {
      name: helmChartName(key), namespace, ...(chart.metadata?.annotations && { annotations: chart.metadata.annotations }),
      labels: { ...chart.metadata?.labels, [labels.originName]: key.name, [labels.originNamespace]: key.namespace },
    },
    spec: JSON.parse(JSON.stringify(chosen)) as Record<string, unknown>, // leaves out what is undefined
  };
}

/**
 * Whether the HelmChart is known to stand as it is wanted, so that the API server need not be asked.
 *
 * @param known the chart that was applied last, and what was seen of it then
 * @param now what the HelmChart's own actor sees of it
 */
export function isStanding(key: ActorKey, spec: HelmRelease["spec"], known: { chart: string; seen?: ChartSeen | undefined }, now: Pick<SourceFacts, "uid" | "generation" | "deleting"> | undefined): boolean {
  const wanted = chartOf(key, spec);
  if (!wanted || !known.seen || !now || now.deleting) return false;
  return known.chart === chartNameOf(key, spec) && known.seen.wanted === digestOf(wanted) && known.seen.uid === now.uid && known.seen.generation === now.generation;
}

const digestOf = (wanted: KubeObject): string => hash("sha256", JSON.stringify(wanted)).slice(0, 16);

export type ChartCall = { cluster: ClusterHandle; guard: () => void; signal: AbortSignal; tenancy: Tenancy; nowMs: number };

/**
 * @param before `status.helmChart`: deleted when it is another one
 * @throws Fault AccessDenied where references across namespaces are locked down
 */
export async function applyChart(key: ActorKey, spec: HelmRelease["spec"], before: string, call: ChartCall): Promise<ChartApplied> {
  const wanted = chartOf(key, spec);
  const name = chartNameOf(key, spec) ?? "";
  const gone = before !== "" && before !== name ? await deleteChart(key, before, call) : undefined;
  if (!wanted) return { chart: "", ...(gone && { done: gone }) };
  refuseStranger(key, name, call.tenancy);
  const found = await get(call, name);
  const { body } = await call.cluster.client.request<KubeObject>({
    method: "PATCH", path: pathOf(name), body: wanted, contentType: applyPatch, query: { fieldManager: fieldManagers.helm, force: "true" }, repeatable: true,
    guard: call.guard, signal: call.signal,
  });
  const action = !found ? "created" : found.metadata.resourceVersion !== body.metadata.resourceVersion ? "configured" : "unchanged";
  const { uid = "", generation = 0 } = body.metadata;
  const applied = { chart: name, seen: { wanted: digestOf(wanted), uid, generation, atMs: call.nowMs } };
  if (action === "unchanged") return applied;
  const { kind, name: source } = spec.chart?.spec.sourceRef ?? { kind: "", name: "" };
  const [namespace] = name.split("/");
  const reason = `${helmChart.kind}${action === "created" ? "Created" : "Configured"}`;
  return { ...applied, done: { reason, message: `${action} ${helmChart.kind}/${name} with SourceRef '${kind}/${namespace}/${source}'` } };
}

/** One that does not carry this release's labels is somebody else's, and stays. */
export async function deleteChart(key: ActorKey, name: string, call: ChartCall): Promise<{ reason: string; message: string } | undefined> {
  refuseStranger(key, name, call.tenancy);
  const found = await get(call, name);
  if (!found || found.metadata.labels?.[labels.originName] !== key.name || found.metadata.labels[labels.originNamespace] !== key.namespace) return undefined;
  const { uid = "", resourceVersion = "" } = found.metadata;
  await call.cluster.client.request({ method: "DELETE", path: pathOf(name), body: { preconditions: { uid, resourceVersion } }, guard: call.guard, signal: call.signal }).catch((thrown: unknown) => {
    if (!isNotFound(thrown)) throw thrown;
  });
  return { reason: `${helmChart.kind}Deleted`, message: `deleted ${helmChart.kind} '${name}'` };
}

function refuseStranger(key: ActorKey, name: string, tenancy: Tenancy): void {
  const [namespace = ""] = name.split("/");
  if (!mayRefer(key, namespace, tenancy))
    throw new Fault("AccessDenied", `HelmRelease/${key.namespace}/${key.name}`, { detail: `can't access '${helmChart.kind}/${name}', cross-namespace references have been blocked` });
}

async function get({ cluster: { client }, signal }: ChartCall, name: string): Promise<KubeObject | undefined> {
  try {
    return (await client.request<KubeObject>({ method: "GET", path: pathOf(name), signal })).body;
  } catch (thrown) {
    if (isNotFound(thrown)) return undefined;
    throw thrown;
  }
}

function pathOf(name: string): string {
  const [namespace = "", last = ""] = name.split("/");
  return `/apis/${helmChart.apiVersion}/namespaces/${segment(namespace)}/${helmChart.plural}/${segment(last)}`;
}
