/** HelmChart: one chart of a Helm repository, a Git repository or a bucket as a source (flux.md 1.5). */
import { z } from "zod";
import { artifact } from "./artifact.ts";
import { condition } from "./conditions.ts";
import { columns, defineKind } from "./kind.ts";
import { duration, int64, localReference, requiredAllTheSame, validations } from "./schema.ts";

const identity = z
  .object({
    issuer: z.string().describe("Regular expression for who vouches for the signer."),
    subject: z.string().describe("Regular expression for who the signer is."),
  })
  .describe("Somebody whose signature counts.");

const spec = z
  .object({
    chart: z.string().describe("Name of the chart in a Helm repository; path of its directory or package in another source."),
    version: z
      .string()
      .default("*")
      .describe("Version, or range of versions, whose highest is followed. Not for Git repositories and buckets, which have one."),
    sourceRef: z
      .object({
        apiVersion: z.string().optional().describe("Group and version of the source."),
        kind: z.enum(["HelmRepository", "GitRepository", "Bucket"]).describe("Kind of the source."),
        name: z.string().describe("Name of the source."),
      })
      .describe("Where the chart is: a source of the same namespace."),
    interval: duration().describe("How often the source is looked at; its news are heeded at once."),
    reconcileStrategy: z
      .enum(["ChartVersion", "Revision"])
      .default("ChartVersion")
      .describe("What makes a new artifact: another version of the chart, or any other revision of the source."),
    valuesFiles: z
      .array(z.string())
      .optional()
      .describe(
        "Files that replace the chart's `values.yaml`, merged in this order: of the chart from a Helm repository, of the whole " +
          "source otherwise. `values.yaml` itself counts only when it is among them.",
      ),
    ignoreMissingValuesFiles: z.boolean().optional().describe("Pass over those of `valuesFiles` that are not there."),
    verify: z
      .object({
        provider: z.enum(["cosign", "notation"]).default("cosign").describe("What made the signatures.").meta(requiredAllTheSame),
        secretRef: localReference()
          .optional()
          .describe("Secret with public keys under `*.pub`. Without it, the signatures must be keyless."),
        matchOIDCIdentity: z.array(identity).optional().describe("Who must have signed without a key; any one of them will do."),
      })
      .optional()
      .describe("Signatures to demand of a chart in a registry before it is published. What it depends on is not verified."),
    suspend: z.boolean().optional().describe("Do nothing until this is taken away."),
  })
  .meta(
    validations({
      rule: "!has(self.verify) || self.sourceRef.kind == 'HelmRepository'",
      message: "spec.verify is only supported when spec.sourceRef.kind is 'HelmRepository'",
    }),
  )
  .describe("Which chart to publish, and from where.");

const status = z
  .object({
    observedGeneration: int64().optional().describe("Generation of the object that was last seen through."),
    lastHandledReconcileAt: z.string().optional().describe("Value of the annotation `reconcile.fluxcd.io/requestedAt` that was last acted on."),
    conditions: z.array(condition).optional().describe("What is known about the chart."),
    artifact: artifact.optional().describe("The newest package: the last good one when there is no newer."),
    url: z.string().optional().describe("Where the newest package, whichever it is, can be downloaded."),
    observedSourceArtifactRevision: z.string().optional().describe("Revision of the source that was last looked at."),
    observedChartName: z.string().optional().describe("Name of the chart as it says itself."),
    observedValuesFiles: z
      .array(z.string())
      .optional()
      .describe("Those of `spec.valuesFiles` that were there. Only with `spec.ignoreMissingValuesFiles`."),
  })
  .describe("What was fetched.");

export const helmChart = defineKind({
  group: "source.toolkit.fluxcd.io",
  kind: "HelmChart",
  plural: "helmcharts",
  shortNames: ["hc"],
  categories: ["all", "fluxcd", "fluxcd-sources"],
  component: "source-controller",
  description: "A Helm chart, watched for new versions; each is published as a package.",
  versions: [
    { name: "v1", storage: true },
    {
      name: "v1beta2",
      storage: false,
      deprecationWarning: "v1beta2 HelmChart is deprecated, use v1; spec.valuesFile and spec.accessFrom have no effect",
      formerSpecFields: {
        valuesFile: z.string().optional().describe("Dropped: use `valuesFiles`."),
        accessFrom: z
          .object({
            namespaceSelectors: z.array(
              z.object({ matchLabels: z.record(z.string(), z.string()).optional().describe("Labels of the namespace.") }),
            ),
          })
          .describe("Dropped: access across namespaces is a matter of the installation.")
          .optional(),
      },
    },
  ],
  conditions: [
    "Ready",
    "Reconciling",
    "Stalled",
    "ArtifactInStorage",
    "ArtifactOutdated",
    "BuildFailed",
    "FetchFailed",
    "StorageOperationFailed",
    "SourceVerified",
  ],
  printerColumns: [
    { name: "Chart", type: "string", jsonPath: ".spec.chart" },
    { name: "Version", type: "string", jsonPath: ".spec.version" },
    { name: "Source Kind", type: "string", jsonPath: ".spec.sourceRef.kind" },
    { name: "Source Name", type: "string", jsonPath: ".spec.sourceRef.name" },
    columns.age,
    columns.ready,
    columns.status,
  ],
  spec,
  status,
  statusDefault: { observedGeneration: -1 },
  source: {
    stored: "stored chart with version",
    latest: "latest.tar.gz",
    timeout: "10m", // that of each repository counts within
    news: { reason: "NewChart", words: "new chart with version" },
    reasons: {
      SourceMissing: "SourceUnavailable",
      ArtifactMissing: "NoSourceArtifact",
      ArtifactCorrupt: "ReadOperationFailed",
      UpstreamUnreachable: "ChartPullError",
      ReferenceMissing: "ChartPullError",
      DigestMismatch: "ChartPullError",
      LayerInvalid: "ChartPullError",
      SourceTooLarge: "ChartPullError",
      TimedOut: "ChartPullError",
    },
    madeFrom(written) {
      const { data } = spec.safeParse(written);
      return data ? [{ kind: data.sourceRef.kind, name: data.sourceRef.name }] : [];
    },
  },
  example: {
    apiVersion: "source.toolkit.fluxcd.io/v1",
    kind: "HelmChart",
    metadata: { name: "shop", namespace: "flux-system" },
    spec: { chart: "shop", version: "1.x", interval: "10m", sourceRef: { kind: "HelmRepository", name: "charts" } },
  },
});
