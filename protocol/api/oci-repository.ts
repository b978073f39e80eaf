/** OCIRepository: an artifact of an OCI registry as a source (flux.md 1.2). */
import { z } from "zod";
import { artifact } from "./artifact.ts";
import { condition } from "./conditions.ts";
import { columns, defineKind, deprecated } from "./kind.ts";
import { duration, int64, localReference, requiredAllTheSame, shortDuration } from "./schema.ts";

const layerSelector = z.object({
  mediaType: z.string().optional().describe("The first layer of this media type is taken; the first of all when absent."),
  operation: z
    .enum(["extract", "copy"])
    .optional()
    .describe("`extract`, also when absent: unpack the layer and archive its files. `copy`: publish the layer as it is."),
});

const identity = z
  .object({
    issuer: z.string().describe("Regular expression for who vouches for the signer."),
    subject: z.string().describe("Regular expression for who the signer is."),
  })
  .describe("Somebody whose signature counts.");

const spec = z
  .object({
    url: z
      .string()
      .regex(/^oci:\/\/.*$/)
      .describe("Address of the repository, `oci://` with host and path, without a tag."),
    interval: duration().describe("How often the registry is asked for news."),
    timeout: shortDuration().default("60s").describe("Longest time for one operation on the registry."),
    ref: z
      .object({
        digest: z.string().optional().describe("Digest to stay at, such as `sha256:` and 64 hexadecimal digits."),
        semver: z.string().optional().describe("Range of semantic versions: the highest tag within it is followed."),
        semverFilter: z.string().optional().describe("Regular expression: only tags that it matches can be within the range."),
        tag: z.string().optional().describe("Tag to follow."),
      })
      .optional()
      .describe("What to follow: the first given of digest, semver, tag; tag `latest` when absent."),
    layerSelector: layerSelector.optional().describe("Which layer is published, and how; the first, extracted, when absent."),
    provider: z
      .enum(["generic", "aws", "azure", "gcp"])
      .default("generic")
      .describe("Who vouches for us at the registry; `generic`: the pull secrets."),
    secretRef: localReference().optional().describe("Pull secret (`kubernetes.io/dockerconfigjson`) with the registry's credentials."),
    serviceAccountName: z
      .string()
      .optional()
      .describe("ServiceAccount whose `imagePullSecrets` are used, or whose identity, with another provider than `generic`."),
    certSecretRef: localReference()
      .optional()
      .describe("Secret with `ca.crt`, trusted beside the usual authorities, or `tls.crt` and `tls.key`, shown to the registry, or all."),
    proxySecretRef: localReference().optional().describe("Secret with the `address` of a proxy, its `username` and `password`."),
    insecure: z.boolean().optional().describe("Plain HTTP will do; without `certSecretRef`, so will any certificate."),
    verify: z
      .object({
        provider: z.enum(["cosign", "notation"]).default("cosign").describe("What made the signatures.").meta(requiredAllTheSame),
        secretRef: localReference()
          .optional()
          .describe(
            "Secret with what is trusted: public keys under `*.pub` for cosign, `trustpolicy.json` and certificates for " +
              "notation. Without it, cosign's signatures must be keyless.",
          ),
        matchOIDCIdentity: z.array(identity).optional().describe("Who must have signed without a key; any one of them will do."),
        trustedRootSecretRef: localReference()
          .optional()
          .describe("Secret with the `trusted_root.json` of a Sigstore of one's own, in place of the public one."),
      })
      .optional()
      .describe("Signatures to demand before anything is published."),
    ignore: z
      .string()
      .optional()
      .describe("What to leave out of the artifact, in the syntax of .gitignore; replaces the default list. Not for `copy`."),
    suspend: z.boolean().optional().describe("Do nothing until this is taken away."),
  })
  .describe("What to fetch, from where, and how often.");

const status = z
  .object({
    observedGeneration: int64().optional().describe("Generation of the object that was last seen through."),
    lastHandledReconcileAt: z.string().optional().describe("Value of the annotation `reconcile.fluxcd.io/requestedAt` that was last acted on."),
    conditions: z.array(condition).optional().describe("What is known about the source."),
    artifact: artifact.optional().describe("The newest artifact: last good one when fetching fails."),
    url: z.string().optional().describe("Where the newest artifact, whichever it is, can be downloaded."),
    observedIgnore: z.string().optional().describe("`spec.ignore` the artifact was made with."),
    observedLayerSelector: layerSelector.optional().describe("`spec.layerSelector` the artifact was made with."),
  })
  .describe("What was fetched.");

export const ociRepository = defineKind({
  group: "source.toolkit.fluxcd.io",
  kind: "OCIRepository",
  plural: "ocirepositories",
  shortNames: ["ocirepo"],
  categories: ["all", "fluxcd", "fluxcd-sources"],
  component: "source-controller",
  description: "A repository of an OCI registry, watched for new artifacts; each is published again as an artifact of files.",
  versions: [
    { name: "v1", storage: true },
    deprecated("OCIRepository", "v1beta2", "v1"),
  ],
  conditions: [
    "Ready",
    "Reconciling",
    "Stalled",
    "ArtifactInStorage",
    "ArtifactOutdated",
    "FetchFailed",
    "StorageOperationFailed",
    "SourceVerified",
  ],
  printerColumns: [
    { name: "URL", type: "string", jsonPath: ".spec.url" },
    columns.ready,
    columns.status,
    columns.age,
  ],
  spec,
  status,
  statusDefault: { observedGeneration: -1 },
  source: {
    stored: "stored artifact for digest",
    latest: "latest.tar.gz",
    tracked: true,
    reasons: {
      UpstreamUnreachable: "OCIArtifactPullFailed",
      ReferenceMissing: "OCIArtifactPullFailed",
      TimedOut: "OCIArtifactPullFailed",
      SemverInvalid: "ReadOperationFailed",
      SourceTooLarge: "OCIArtifactLayerOperationFailed",
    },
  },
  example: {
    apiVersion: "source.toolkit.fluxcd.io/v1",
    kind: "OCIRepository",
    metadata: { name: "shop", namespace: "flux-system" },
    spec: { url: "oci://registry.example.com/team/shop", interval: "1m", ref: { semver: ">=1.0.0" } },
  },
});
