/** What the Helm engine takes and gives: values, charts, releases. Nothing here is about a cluster but `Lookup`. */
import type { KubeObject } from "../objects.ts";
import type { KustomizeSpec } from "../spec.ts";
import type { ArtifactHandle } from "../tree-cache.ts";

/** A chart's tgz. It is asked for only when no thread has the chart. */
export type ChartHandle = ArtifactHandle;

/** Of Chart.yaml. */
export type ChartFacts = {
  name: string;
  version: string;
  appVersion: string;
  apiVersion: string;
  description: string;
  type: string;
  kubeVersion: string;
  deprecated: boolean;
  annotations: Record<string, string>;
  dependencies: ChartDependency[];
  /** Names of the charts that lie in charts/. */
  charts: string[];
  /** values.yaml as JSON text; for people. */
  values: string;
  hasSchema: boolean;
  /** Of crds/, dependencies' included, in Helm's order. */
  crds: CrdFile[];
};

export type ChartDependency = { name: string; version: string; repository: string; alias?: string; condition?: string; tags?: string[] };

/** A file of crds/: its path in the chart, and the objects in it. */
export type CrdFile = { path: string; objects: KubeObject[] };

/**
 * One of `spec.valuesFrom`, in their order: a whole document, or a single value that goes to `targetPath` (Helm's `--set`
 * grammar; with `literal`, `--set-literal`). `secret`: it came out of a Secret, and its leaves are `confidential`.
 */
export type ValuesSource = { text: string; targetPath?: string; literal?: boolean; secret?: boolean; /** For faults: `Secret default/x, key values.yaml`. */ subject: string };

export type ValuesRequest = { sources: readonly ValuesSource[]; /** `spec.values`. */ inline?: Record<string, unknown> | undefined };

export type ComposedValues = {
  /**
   * JSON in which 1 and 1.0 are different numbers, as they are to a template. To be handed on as it is, never parsed and
   * written again; for people it may be parsed.
   */
  text: string;
  /** `sha256:<hex>`, as Flux computes `lastAttemptedConfigDigest` and a snapshot's `configDigest`. */
  digest: string;
  /** Strings of sources that are `secret`. */
  confidential: string[];
};

/** What the cluster offers. `kubeVersion` as `/version` says it, `v1.37.2`; `apiVersions` both `apps/v1` and `apps/v1/Deployment`. */
export type Capabilities = { kubeVersion: string; apiVersions: readonly string[] };

/**
 * A template's `lookup`, as the unit that asks: an object, a list (`name` empty: `{items}`), or undefined when there is no such
 * object or list. What it throws fails the template, under its message. At most 100 calls and 8 MiB a render.
 */
export type Lookup = (asked: { apiVersion: string; kind: string; namespace: string; name: string }, signal: AbortSignal) => Promise<object | undefined>;

export type PostRender = {
  /** `spec.postRenderers`, in their order. */
  renderers?: readonly { kustomize?: { patches?: KustomizeSpec["patches"]; images?: KustomizeSpec["images"] } }[] | undefined;
  commonMetadata?: { labels?: Record<string, string>; annotations?: Record<string, string> } | undefined;
  /** The HelmRelease whose labels every object gets. */
  origin?: { name: string; namespace: string } | undefined;
  /** Default combined. */
  strategy?: "combined" | "nohooks" | "separate" | undefined;
};

export type RenderRequest = {
  /** For whom: one tenant's slow renders hold up no other tenant for long. */
  tenant?: string;
  chart: ChartHandle;
  /** Instead of the version in Chart.yaml, e.g. `1.2.3+<12 hex>` for an OCI artifact. */
  chartVersion?: string | undefined;
  values: Pick<ComposedValues, "text">;
  release: { name: string; namespace: string; revision: number; isUpgrade: boolean };
  capabilities: Capabilities;
  /** Absent: every lookup finds nothing, as with `helm template`. */
  lookup?: Lookup | undefined;
  skipSchemaValidation?: boolean | undefined;
  /** `upgrade.preserveValues`: the deployed release, whose values stay where the new ones say nothing (Helm's --reuse-values). */
  preserve?: StoredDocument | undefined;
  postRender?: PostRender | undefined;
};

export type RenderedRelease = {
  /**
   * The release as it is to be stored, all but what an action knows: `info` holds the notes only; `apply_method`, times, status
   * and description are for the action to set.
   */
  document: ReleaseDocument;
  /** Of the manifest, in the order Helm installs them; lists are taken apart. */
  objects: KubeObject[];
  crds: CrdFile[];
};

/** A hook as the release document has it, and its object. In the order Helm keeps them; an action sorts those of its event by weight, then by name. */
export type ReleaseHook = {
  name: string;
  kind: string;
  /** Of the template, from the chart's name on. */
  path: string;
  manifest: string;
  events: HookEvent[];
  last_run: { started_at?: string; completed_at?: string; phase: "" | "Unknown" | "Running" | "Succeeded" | "Failed" };
  weight?: number;
  delete_policies?: ("hook-succeeded" | "hook-failed" | "before-hook-creation")[];
  output_log_policies?: ("hook-succeeded" | "hook-failed")[];
};

export type HookEvent = "pre-install" | "post-install" | "pre-delete" | "post-delete" | "pre-upgrade" | "post-upgrade" | "pre-rollback" | "post-rollback" | "test";

/**
 * What Helm stores of a release, with its own field names. Numbers beyond 2^53 are JSON.rawJSON. `chart` and `config` are
 * to be carried, not read: a chart's files are in it, and secret values.
 */
export type ReleaseDocument = {
  name: string;
  info?: {
    /** RFC 3339. */
    first_deployed?: string;
    last_deployed?: string;
    deleted?: string;
    description?: string;
    status?: string;
    notes?: string;
  };
  chart?: { metadata?: { name?: string; version?: string; appVersion?: string; [field: string]: unknown }; [field: string]: unknown };
  config?: Record<string, unknown>;
  manifest?: string;
  hooks?: ReleaseHook[];
  version: number;
  namespace: string;
  apply_method?: "ssa" | "csa";
};

/** A release as it came out of storage; what else it has is carried along. */
export type StoredDocument = { name: string; namespace: string; version: number; chart?: { metadata?: unknown } | null | undefined };

/** What Flux would say of a stored release. */
export type ReleaseDigests = {
  /** `sha256:<hex>` of the observed release: a snapshot's `digest` of version v2. */
  digest: string;
  /** `sha256:<hex>` of its values: a snapshot's `configDigest`. */
  configDigest: string;
};

export type PackageRequest = {
  /** A chart: a tgz, or the files of its directory by path ("Chart.yaml"). */
  chart: Uint8Array | ReadonlyMap<string, Uint8Array>;
  /** Instead of values.yaml; the YAML of several is merged in order. */
  valuesFiles?: readonly { path: string; text: string }[];
  /** Instead of the version in Chart.yaml. */
  version?: string;
  /** Charts as tgz, put into charts/ in place of those of the same name. */
  dependencies?: readonly Uint8Array[];
};

/** The tgz is the same bytes for the same request. */
export type PackagedChart = { tgz: Uint8Array; facts: ChartFacts };

/** The engine as others see it. Each throws RenderTimeout, RendererMissing, and the signal's reason. */
export type Helm = {
  /** @throws Fault ChartInvalid; and whatever the handle's `load` throws */
  loadChart(chart: ChartHandle, signal: AbortSignal): Promise<ChartFacts>;
  /** @throws Fault ChartPackageFailed, ChartVersionInvalid, ValuesFilesInvalid */
  packageChart(request: PackageRequest, signal: AbortSignal): Promise<PackagedChart>;
  /** @throws Fault ValuesInvalid */
  composeValues(request: ValuesRequest, signal: AbortSignal): Promise<ComposedValues>;
  /** @throws Fault ChartInvalid, ValuesRejected (by the schema; it names fields, no values), ReleaseRenderFailed (templates, post-renderers) */
  render(request: RenderRequest, signal: AbortSignal): Promise<RenderedRelease>;
  /** @throws Fault ReleaseInvalid for what is no release */
  digest(document: StoredDocument, ociDigest: string, signal: AbortSignal): Promise<ReleaseDigests>;
  /** Of a HelmRelease's spec: `observedPostRenderersDigest` and `observedCommonMetadataDigest`; empty for what it does not have. */
  digestSpec(spec: Pick<PostRender, "renderers" | "commonMetadata">, signal: AbortSignal): Promise<{ postRenderersDigest: string; commonMetadataDigest: string }>;
  /**
   * The objects of a stored manifest, or of a hook's. Ordered as Helm installs or uninstalls them; as they stand without `order`.
   *
   * @throws Fault ReleaseInvalid for what is no object
   */
  objects(manifest: string, order: "install" | "uninstall" | undefined, signal: AbortSignal): Promise<KubeObject[]>;
};
