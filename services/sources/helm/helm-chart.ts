/** HelmChart: one chart of a repository, or of the artifact of another source. The chart is machines/source; these two effects are its own. */
import { LRUCache } from "lru-cache";
import { helmRepository as repositoryApi } from "#protocol/api/helm-repository.ts";
import { parseVersion } from "#machines/rules/semver.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { actorId } from "#protocol/names/actor.ts";
import { defineSource, type HeldArtifact, type HeldSource, type Resolution, type SourceCall, type SourceKind } from "#services/sources/define.ts";
import type { Verification } from "#services/clients/registry/verify/verify.ts";
import type { Threads } from "#services/threads/threads.ts";
import type { ChartOrigin, Inspected } from "./chart/build.ts";
import type { Dependency } from "./chart/metadata.ts";
import { chartsOf, isChartName, type Charts } from "./charts.ts";
import { helmThreads } from "./helm-threads.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import { normalUrl, type RepositorySpec } from "./server.ts";
import type { Jobs } from "./thread.ts";

/** The part of a HelmChart's spec these effects act on. */
export type ChartSpec = {
  chart: string;
  version?: string | undefined;
  sourceRef: { kind: string; name: string };
  reconcileStrategy?: "ChartVersion" | "Revision" | undefined;
  valuesFiles?: string[] | undefined;
  ignoreMissingValuesFiles?: boolean | undefined;
  verify?: Verification | undefined;
};

type Call = SourceCall<ChartSpec>;

export const createHelmChart = ({ limits = defaultLimits, threads = helmThreads }: { limits?: Limits; threads?: Threads<Jobs> } = {}): SourceKind<ChartSpec, Resolution> => {
  /** What was found in an artifact, by its digest and the path in it. */
  const inspected = new LRUCache<string, Inspected>({ max: 5_000 });

  const inspect = async (artifact: HeldArtifact, path: string, shown: string, signal: AbortSignal): Promise<Inspected> => {
    const name = `${artifact.digest} ${path}`;
    const known = inspected.get(name);
    if (known) return known;
    const found = await threads.run("inspect", { origin: { kind: "tree", bytes: await artifact.read(), path }, limits, shown }, signal);
    inspected.set(name, found);
    return found;
  };

  /** The charts of a repository under one name. */
  const repositoryCharts = (name: string, spec: RepositorySpec, artifact: HeldArtifact | undefined, { key, secret, identity, notation }: Call, wanted?: Verification): Promise<Charts> =>
    chartsOf({ spec, name, index: artifact, verify: wanted && { wanted, given: { secret, notation, tenant: key.namespace } }, secret, ...(identity && { identity }), threads, limits });

  const chartsIn = async (source: HeldSource, call: Call): Promise<Charts> => {
    const { spec: { chart, verify } } = call;
    const spec = repositorySpec(source.spec, source.shown);
    if (!isChartName(chart))
      throw new Fault("ChartReferenceInvalid", shownOf(call), { detail: "spec.chart is no name of a chart: lower-case letters and digits, and between them dashes, slashes or periods" });
    if (spec.type !== "oci" && !source.artifact) throw withoutArtifact(call);
    return repositoryCharts(chart, spec, spec.type === "oci" ? undefined : source.artifact, call, verify);
  };

  /** Packages of what a chart depends on, from the repositories it names. */
  const fetchDependencies = async (missing: Dependency[], call: Call): Promise<{ dependency: Dependency; bytes: Buffer }[]> => {
    const shown = shownOf(call);
    if (missing.length > limits.dependencies) throw new Fault("DependencyBuildFailed", shown, { detail: `more than ${limits.dependencies} dependencies` });
    const siblings = missing.length > 0 ? ((await call.siblings?.("HelmRepository")) ?? []) : [];
    const fetched = [];
    for (const dependency of missing)
      try {
        const charts = await repositoryFor(dependency, siblings, call);
        const { bytes } = await charts.pull(await charts.find(dependency.version, call.signal), call.signal);
        fetched.push({ dependency, bytes });
      } catch (error) {
        call.signal.throwIfAborted();
        if (!(error instanceof Fault)) throw error;
        throw new Fault("DependencyBuildFailed", shown, { detail: `dependency ${JSON.stringify(dependency.name.slice(0, 200))}: ${error.subject}: ${error.detail ?? error.code}`, cause: error });
      }
    return fetched;
  };

  const repositoryFor = async (dependency: Dependency, siblings: { name: string; spec: unknown }[], call: Call): Promise<Charts> => {
    const url = normalUrl(dependency.repository);
    const refused = (detail: string) => new Fault("DependencyBuildFailed", shownOf(call), { detail });
    if (dependency.repository.startsWith("@") || dependency.repository.startsWith("alias:")) throw refused("an alias of a repository means nothing here: write its URL");
    if (!url) throw refused("its repository is none that can be asked: https://, http://, oci:// or file://");
    if (!isChartName(dependency.name)) throw refused("its name is no name of a chart");
    const own = siblings.map(({ name, spec }) => ({ name, spec: repositoryApi.spec.safeParse(spec).data })).find(({ spec }) => spec && normalUrl(spec.url) === url);
    if (!own?.spec) return repositoryCharts(dependency.name, { url: dependency.repository }, undefined, call);
    const held = own.spec.type === "oci" ? undefined : await call.source?.({ kind: "HelmRepository", name: own.name });
    return repositoryCharts(dependency.name, own.spec, held?.artifact, call);
  };

  return defineSource<ChartSpec, Resolution>({
    kind: "HelmChart",

    /** The version that is meant now. Nothing is asked of the network but the tags of a registry. */
    async resolve(call) {
      const source = await sourceOf(call);
      const { artifact } = source;
      const observed = artifact && { observedSourceArtifactRevision: artifact.revision };
      const version = isRepository(call.spec)
        ? await (await chartsIn(source, call)).find(call.spec.version ?? "*", call.signal)
        : (await inspect(artifactOf(source, call), call.spec.chart, shownOf(call), call.signal)).version;
      return { revision: publishedVersion(version, call, artifact), ...(observed && { observed }) };
    },

    async fetch(call) {
      const { spec, signal } = call;
      const shown = shownOf(call);
      const source = await sourceOf(call);
      const { artifact } = source;
      let origin: ChartOrigin;
      let [verified, isDirectory] = [false, false];
      let fetched: { dependency: Dependency; bytes: Buffer }[] = [];
      let found: Pick<Inspected, "name" | "version">;
      if (isRepository(spec)) {
        const charts = await chartsIn(source, call);
        const version = await charts.find(spec.version ?? "*", signal);
        const pulled = await charts.pull(version, signal);
        ({ verified } = pulled);
        origin = { kind: "package", bytes: pulled.bytes };
        const { name } = await threads.run("inspect", { origin, limits, shown }, signal).catch((error: unknown) => {
          throw error instanceof Fault && error.code === "ChartReferenceInvalid" ? new Fault("ChartPullFailed", shown, { detail: error.detail, cause: error }) : error;
        });
        found = { name, version };
      } else {
        const held = artifactOf(source, call);
        const inside = await inspect(held, spec.chart, shown, signal);
        ({ isDirectory } = inside);
        found = inside;
        fetched = await fetchDependencies(inside.missing, call);
        origin = { kind: "tree", bytes: await held.read(), path: spec.chart };
      }
      const version = publishedVersion(found.version, call, artifact);
      const valuesFiles = wantedValues(spec);
      const packaged = isDirectory || valuesFiles.length > 0 || version !== found.version;
      const made = packaged
        ? await threads.run("build", { origin, version, ...(valuesFiles.length > 0 && { valuesFiles }), ignoreMissing: spec.ignoreMissingValuesFiles === true, fetched, limits, shown }, signal)
        : { archive: await asItCame(origin, threads, signal, shown, limits), valuesFiles: [], dependencies: 0 };
      const merged = made.valuesFiles.length > 0 ? ` and merged values files [${made.valuesFiles.join(" ")}]` : "";
      return {
        revision: version,
        archive: made.archive,
        file: `${found.name}-${version}.tgz`,
        subject: `${found.name} ${version}`,
        summary: {
          reason: packaged ? "ChartPackageSucceeded" : "ChartPullSucceeded",
          message: `${packaged ? "packaged" : "pulled"} '${found.name}' chart with version '${version}'${merged}`,
        },
        ...(made.dependencies > 0 && { making: { reason: "ResolvedDependencies", message: `resolved ${made.dependencies} chart dependencies` } }),
        ...(verified && { verified: `verified signature of version ${version}` }),
        observed: {
          observedSourceArtifactRevision: artifact?.revision ?? null,
          observedChartName: found.name,
          observedValuesFiles: spec.ignoreMissingValuesFiles && made.valuesFiles.length > 0 ? made.valuesFiles : null,
        },
        committedAtMs: Date.now(),
        change: { url: `${urlOf(source)}/${found.name}`, commit: version, ...(artifact?.traceparent && { traceparent: artifact.traceparent }) },
      };
    },
  });
};

export const helmChart = createHelmChart();

const isRepository = ({ sourceRef }: ChartSpec): boolean => sourceRef.kind === repositoryApi.kind;

const shownOf = ({ key }: Call): string => actorId(key);

async function sourceOf(call: Call): Promise<HeldSource> {
  const { source, spec: { sourceRef: { kind, name } } } = call;
  if (!source) throw new Fault("Unexpected", shownOf(call), { detail: "no other sources are at hand" });
  return source({ kind, name });
}

const withoutArtifact = (call: Call): Fault => {
  const { kind, name } = call.spec.sourceRef;
  return new Fault("ArtifactMissing", shownOf(call), { detail: `no artifact available for ${kind} source '${name}'` });
};

function artifactOf({ artifact }: HeldSource, call: Call): HeldArtifact {
  if (!artifact) throw withoutArtifact(call);
  return artifact;
}

function repositorySpec(written: unknown, shown: string): RepositorySpec {
  const { success, data } = repositoryApi.spec.safeParse(written);
  if (!success) throw new Fault("ChartRepositoryInvalid", shown, { detail: "its spec does not fit its schema" });
  return data;
}

/** The chart's own `values.yaml` alone is no other values. */
const wantedValues = ({ valuesFiles = [] }: ChartSpec): string[] =>
  (valuesFiles.length === 1 && /^(?:\.\/)*values\.yaml$/.test(valuesFiles[0] ?? "") ? [] : valuesFiles);

/**
 * The chart's version, with what tells its contents apart from others of the same version: the revision of the source where
 * that is asked for, the generation of the object where its values were replaced (source-controller helmchart_controller.go).
 *
 * @throws Fault ChartVersionInvalid
 */
function publishedVersion(version: string, call: Call, artifact: HeldArtifact | undefined): string {
  const { spec, generation = 0 } = call;
  const revision = artifact && !isRepository(spec) && spec.reconcileStrategy === "Revision" ? shortRevision(artifact.revision) : "";
  const suffix = [...(revision ? [revision] : []), ...(wantedValues(spec).length > 0 ? [String(generation)] : [])].join(".");
  if (suffix === "") return version;
  const parsed = parseVersion(version);
  if (!parsed) throw new Fault("ChartVersionInvalid", shownOf(call), { detail: "the chart's version is no semantic version" });
  return `${parsed.numbers.join(".")}${parsed.pre && `-${parsed.pre}`}+${suffix}`;
}

/** The first twelve digits of the commit, or of whatever else the revision ends in. */
const shortRevision = (revision: string): string => revision.slice(revision.lastIndexOf(":") + 1).replaceAll(/[^0-9A-Za-z-]/g, "").slice(0, 12);

/** Of a package in another source: the file as it is. */
async function asItCame(origin: ChartOrigin, threads: Threads<Jobs>, signal: AbortSignal, shown: string, limits: Limits): Promise<Uint8Array> {
  return origin.kind === "package" ? origin.bytes : threads.run("file", { bytes: origin.bytes, path: origin.path, limits, shown }, signal);
}

const urlOf = ({ spec, shown }: HeldSource): string => {
  const url = (spec as { url?: unknown } | null)?.url;
  return typeof url === "string" && normalUrl(url) ? (normalUrl(url) as string) : shown;
};
