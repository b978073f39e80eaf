/** HelmRepository: the index of a Helm repository as a source, or where the charts of an OCI registry are (flux.md 1.4). */
import { z } from "zod";
import { artifact } from "./artifact.ts";
import { condition } from "./conditions.ts";
import { columns, defineKind, deprecated } from "./kind.ts";
import { duration, int64, localReference, shortDuration, stringMap } from "./schema.ts";

const spec = z
  .object({
    url: z
      .string()
      .regex(/^(http|https|oci):\/\/.*$/)
      .describe("Address of the repository: what stands before `/index.yaml`, or `oci://` with a host and what stands before the chart's name."),
    type: z
      .enum(["default", "oci"])
      .optional()
      .describe("`oci`: the charts are in a registry, and this object only says where; it has no status. `default`, also when absent: there is an index."),
    interval: duration().optional().describe("How often the index is looked at: every minute when absent. Not for `oci`."),
    timeout: shortDuration().optional().describe("Longest time for one operation on the repository: 60s when absent."),
    secretRef: localReference()
      .optional()
      .describe("Secret with `username` and `password`; for `oci` a pull secret (`kubernetes.io/dockerconfigjson`), or the same keys."),
    certSecretRef: localReference()
      .optional()
      .describe("Secret with `ca.crt`, trusted beside the usual authorities, or `tls.crt` and `tls.key`, shown to the server, or all."),
    passCredentials: z
      .boolean()
      .optional()
      .describe("Send the credentials along to charts that the index says to be on another host."),
    provider: z
      .enum(["generic", "aws", "azure", "gcp"])
      .default("generic")
      .describe("Who vouches for us at the registry of `oci`; `generic`: the Secret."),
    insecure: z.boolean().optional().describe("Plain HTTP will do, for `oci`; without `certSecretRef`, so will any certificate."),
    suspend: z.boolean().optional().describe("Do nothing until this is taken away."),
    accessFrom: z
      .object({
        namespaceSelectors: z.array(z.object({ matchLabels: stringMap().optional().describe("Labels of the namespace.") })),
      })
      .optional()
      .describe("Without effect: access across namespaces is a matter of the installation."),
  })
  .describe("Where the repository is, and how often its index is looked at.");

const status = z
  .object({
    observedGeneration: int64().optional().describe("Generation of the object that was last seen through."),
    lastHandledReconcileAt: z.string().optional().describe("Value of the annotation `reconcile.fluxcd.io/requestedAt` that was last acted on."),
    conditions: z.array(condition).optional().describe("What is known about the source."),
    artifact: artifact.optional().describe("The newest index, as JSON: the last good one when fetching fails."),
    url: z.string().optional().describe("Where the newest index, whichever it is, can be downloaded."),
  })
  .describe("What was fetched. Empty for `oci`.");

export const helmRepository = defineKind({
  group: "source.toolkit.fluxcd.io",
  kind: "HelmRepository",
  plural: "helmrepositories",
  shortNames: ["helmrepo"],
  categories: ["all", "fluxcd", "fluxcd-sources"],
  component: "source-controller",
  description: "A repository of Helm charts; its index is watched and published as an artifact.",
  versions: [
    { name: "v1", storage: true },
    deprecated("HelmRepository", "v1beta2", "v1"),
  ],
  conditions: ["Ready", "Reconciling", "Stalled", "ArtifactInStorage", "ArtifactOutdated", "FetchFailed", "StorageOperationFailed"],
  printerColumns: [
    { name: "URL", type: "string", jsonPath: ".spec.url" },
    columns.age,
    columns.ready,
    columns.status,
  ],
  spec,
  status,
  statusDefault: { observedGeneration: -1 },
  source: {
    stored: "stored artifact: revision",
    latest: "index.yaml",
    news: { reason: "NewRevision", words: "new index revision" },
    reasons: { UpstreamUnreachable: "Failed", ReferenceMissing: "Failed", TimedOut: "Failed", SourceTooLarge: "Failed" },
    staticMessage: "Helm repository is Ready",
    isStatic: (written) => spec.safeParse(written).data?.type === "oci",
  },
  example: {
    apiVersion: "source.toolkit.fluxcd.io/v1",
    kind: "HelmRepository",
    metadata: { name: "charts", namespace: "flux-system" },
    spec: { url: "https://charts.example.com", interval: "10m" },
  },
});
