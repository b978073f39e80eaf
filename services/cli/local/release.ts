/** Renders a release of a chart on this machine, by what its worker does: the same engine, values, post-renderers and words. */
import { hash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { releasePlace } from "#machines/rules/release-name.ts";
import type { ReleaseDocument } from "#services/release/document.ts";
import type { KubeObject } from "#services/render/objects.ts";
import type { ChartFacts, PackageRequest, PostRender, StoredDocument } from "#services/render/helm/types.ts";
import { createsNamespace, definitionPolicy } from "#services/worker/effects/release-actions.ts";
import { composedValues } from "#services/worker/effects/release-values.ts";
import type { Cluster } from "../cluster.ts";
import type { Call } from "../command.ts";
import { Failure, Misuse } from "../failure.ts";
import { namespaceOf } from "../namespace.ts";
import { select, selectOne } from "../resources.ts";
import type { Builder } from "./builder.ts";
import { offeredChart } from "./chart-source.ts";
import { filesOf, placeOf } from "./directory.ts";
import type { NextRevision } from "./foresee-release.ts";
import { releaseOf, type Release } from "./unit.ts";
import { readable, valuesFiles } from "./values-source.ts";

export type BuiltRelease = {
  release: Release;
  next: Omit<NextRevision, "deployed" | "signal">;
  deployed: ReleaseDocument | undefined;
  /** Of the manifest's hooks. */
  hooks: KubeObject[];
  /** Values of Secrets that may stand anywhere in the objects. */
  confidential: readonly string[];
};

type Name = { namespace: string; name: string };

/** What a chart is told of a cluster that nobody asks: as Helm 4.2 does. */
const assumedVersion = "v1.36.0";

/** @param cluster undefined: none is asked @throws Failure, and what a worker would say */
export async function buildRelease(call: Call, cluster: Cluster | undefined, signal: AbortSignal): Promise<BuiltRelease> {
  const { options, shell } = call;
  const origin = releaseKeyOf(call);
  const release = await releaseOf(origin, options.helmreleaseFile, cluster);
  const { spec } = release;
  const files = await valuesFiles(origin, release, options, cluster, signal);
  const { valuesFrom, absent } = readable(spec, files);
  if (absent.length > 0) shell.say(`► no cluster is asked: the values of ${absent.join(", ")} count as absent`);
  const place = releasePlace(origin, spec, (text) => hash("sha256", text));
  const revision = nextOf(release);
  // Where the release lies on another cluster, its storage is not here.
  const deployed = spec.kubeConfig || !revision.isUpgrade ? undefined : await cluster?.deployed(place, signal);
  const action = revision.isUpgrade ? "upgrade" : "install";
  const builder = await shell.openBuilder();
  try {
    const { helm } = builder;
    const { tgz, facts, version } = await chartOf(call, origin, release, { helm, cluster, signal });
    const values = await composedValues(helm, { ...spec, valuesFrom }, origin, { data: async (ref) => cluster?.data(ref), files: files.files }, signal);
    const { document, objects } = await helm.render({
      chart: { digest: `sha256:${hash("sha256", tgz)}`, load: () => Promise.resolve(tgz) }, chartVersion: version, values, release: { name: place.name, namespace: place.namespace, ...revision },
      ...(await told(call, cluster)), skipSchemaValidation: spec[action]?.disableSchemaValidation, postRender: changesIn(origin, spec),
      ...(deployed && spec.upgrade?.preserveValues && { preserve: deployed as StoredDocument }),
    }, signal);
    const hooks = await Promise.all((document.hooks ?? []).map(({ manifest }) => helm.objects(manifest, undefined, signal)));
    const definitions = { objects: facts.crds.flatMap((file) => file.objects), policy: definitionPolicy(spec, action) };
    return { release, next: { place, origin, manifest: objects, definitions, createsNamespace: action === "install" && createsNamespace(spec) }, deployed, hooks: hooks.flat(), confidential: values.confidential };
  } finally {
    await builder.close();
  }
}

export const namesRelease = (words: readonly string[]): boolean => words[0] !== undefined && select(words).kinds[0]?.kind === "HelmRelease";

/** @throws Misuse before anything is asked */
export function releaseKeyOf({ words, options, shell }: Call): Name {
  const { names: [name, more] } = selectOne(words, "build helmrelease <name>");
  if (more !== undefined) throw new Misuse("what can be built is one helmrelease: build helmrelease <name>");
  if (options.dryRun && !options.path) throw new Misuse("--dry-run asks no cluster: give the chart's directory or .tgz with --path");
  if (options.dryRun && options.helmreleaseFile === undefined) throw new Misuse("--dry-run asks no cluster: give the HelmRelease with --helmrelease-file");
  return { namespace: namespaceOf(options, shell), name };
}

type Parts = { helm: Pick<Builder["helm"], "packageChart">; cluster: Cluster | undefined; signal: AbortSignal };

/** The one in `--path`, else the one that the release's source offers. */
async function chartOf({ options }: Call, key: Name, release: Release, { helm, cluster, signal }: Parts): Promise<{ tgz: Uint8Array; facts: ChartFacts; version?: string }> {
  if (options.path || !cluster) return helm.packageChart(await chartIn(options.path ?? "", options.root, release.spec), signal);
  const { tgz, versionOf } = await offeredChart(key, release, cluster, signal);
  const { facts } = await helm.packageChart({ chart: tgz }, signal);
  return { tgz, facts, version: versionOf(facts.version) };
}

async function chartIn(path: string, root: string | undefined, { chart }: Release["spec"]): Promise<PackageRequest> {
  const isFile = await stat(path).then((found) => found.isFile(), () => false);
  if (isFile) return { chart: await readFile(path) };
  const place = await placeOf(path, root);
  const directory = join(place.root, place.path);
  // Of a chart in a repository of charts, values files are in the chart; otherwise they are in the source.
  const from = chart?.spec.sourceRef.kind === "HelmRepository" ? directory : place.root;
  const valuesFiles: { path: string; text: string }[] = [];
  for (const file of chart?.spec.valuesFiles ?? []) {
    const text = await readFile(join(from, file), "utf8").catch(() => undefined);
    if (text !== undefined) valuesFiles.push({ path: file, text });
    else if (!chart?.spec.ignoreMissingValuesFiles) throw new Failure(`values file ${file}: not found in ${from}`);
  }
  return { chart: await filesOf(directory), ...(valuesFiles.length > 0 && { valuesFiles }) };
}

/** Which revision would be made: what its status says, as its worker has it. */
function nextOf({ live }: Release): { revision: number; isUpgrade: boolean } {
  const { history } = (live?.["status"] ?? {}) as { history?: { version?: number }[] };
  const before = history?.[0]?.version ?? 0;
  return { revision: before + 1, isUpgrade: before > 0 };
}

async function told({ options }: Call, cluster: Cluster | undefined) {
  const offered = await cluster?.offered();
  const { kubeVersion = assumedVersion, apiVersions = [] } = offered?.capabilities ?? {};
  return {
    capabilities: { kubeVersion: options.kubeVersion ?? kubeVersion, apiVersions: options.apiVersions?.split(",").filter(Boolean) ?? apiVersions },
    lookup: offered?.lookup,
  };
}

const changesIn = (origin: Name, { postRenderers, commonMetadata, postRenderStrategy }: Release["spec"]): PostRender => ({
  ...(JSON.parse(JSON.stringify({ renderers: postRenderers, commonMetadata })) as Pick<PostRender, "renderers" | "commonMetadata">),
  origin, strategy: postRenderStrategy,
});
