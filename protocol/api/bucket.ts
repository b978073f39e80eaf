/** Bucket: objects of an object storage as a source (flux.md 1.3). */
import { z } from "zod";
import { artifact } from "./artifact.ts";
import { condition } from "./conditions.ts";
import { columns, defineKind } from "./kind.ts";
import { duration, int64, localReference, shortDuration, stringMap, validations } from "./schema.ts";

const sts = z.object({
  provider: z.enum(["aws", "ldap"]).describe("`aws`: Amazon's service, for the worker's own identity. `ldap`: MinIO's, for a login."),
  endpoint: z
    .string()
    .regex(/^(http|https):\/\/.*$/)
    .describe("Address of the token service."),
  secretRef: localReference().optional().describe("Secret with `username` and `password` of the login."),
  certSecretRef: localReference()
    .optional()
    .describe("Secret with `ca.crt`, trusted beside the usual authorities, or `tls.crt` and `tls.key`, shown to the service, or all."),
});

const spec = z
  .object({
    provider: z
      .enum(["generic", "aws", "gcp", "azure"])
      .default("generic")
      .describe("Whose API is spoken, and whose identity counts without a Secret; `generic`: S3's, by anybody."),
    bucketName: z.string().describe("Name of the bucket; of the container, in Azure."),
    endpoint: z.string().describe("Host of the storage, with its port where that is another than usual; in Azure the URL of the account."),
    sts: sts.optional().describe("Token service that gives credentials for a while."),
    insecure: z.boolean().optional().describe("Speak plain HTTP."),
    region: z.string().optional().describe("Region in which the bucket lies; found out when absent."),
    prefix: z.string().optional().describe("Only keys that begin with it."),
    secretRef: localReference()
      .optional()
      .describe(
        "Secret with credentials. S3: `accesskey` and `secretkey`. Google: `serviceaccount`, its JSON key. Azure: `accountKey`, " +
          "`sasKey`, `clientId` of a managed identity, or `tenantId` and `clientId` with `clientSecret` or `clientCertificate`.",
      ),
    serviceAccountName: z.string().optional().describe("ServiceAccount whose identity in the cloud is used."),
    certSecretRef: localReference()
      .optional()
      .describe("Secret with `ca.crt`, trusted beside the usual authorities, or `tls.crt` and `tls.key`, shown to the storage, or all."),
    proxySecretRef: localReference().optional().describe("Secret with the `address` of a proxy, its `username` and `password`."),
    interval: duration().describe("How often the bucket is listed."),
    timeout: shortDuration().default("60s").describe("Longest time for one operation on the bucket."),
    ignore: z.string().optional().describe("What to leave out of the artifact, in the syntax of .gitignore."),
    suspend: z.boolean().optional().describe("Do nothing until this is taken away."),
  })
  .describe("What to fetch, from where, and how often.")
  .meta(
    validations(
      { rule: "self.provider == 'aws' || self.provider == 'generic' || !has(self.sts)", message: "only providers 'aws' and 'generic' take spec.sts" },
      { rule: "self.provider != 'aws' || !has(self.sts) || self.sts.provider == 'aws'", message: "provider 'aws' takes spec.sts.provider 'aws' alone" },
      { rule: "self.provider != 'generic' || !has(self.sts) || self.sts.provider == 'ldap'", message: "provider 'generic' takes spec.sts.provider 'ldap' alone" },
      { rule: "!has(self.sts) || self.sts.provider != 'aws' || !has(self.sts.secretRef)", message: "spec.sts.provider 'aws' takes no spec.sts.secretRef" },
      { rule: "!has(self.sts) || self.sts.provider != 'aws' || !has(self.sts.certSecretRef)", message: "spec.sts.provider 'aws' takes no spec.sts.certSecretRef" },
      { rule: "self.provider != 'generic' || !has(self.serviceAccountName)", message: "provider 'generic' takes no spec.serviceAccountName" },
      { rule: "!has(self.secretRef) || !has(self.serviceAccountName)", message: "spec.secretRef and spec.serviceAccountName exclude each other" },
    ),
  );

const status = z
  .object({
    observedGeneration: int64().optional().describe("Generation of the object that was last seen through."),
    lastHandledReconcileAt: z.string().optional().describe("Value of the annotation `reconcile.fluxcd.io/requestedAt` that was last acted on."),
    conditions: z.array(condition).optional().describe("What is known about the source."),
    artifact: artifact.optional().describe("The newest artifact: last good one when fetching fails."),
    url: z.string().optional().describe("Where the newest artifact, whichever it is, can be downloaded."),
    observedIgnore: z.string().optional().describe("`spec.ignore` the artifact was made with."),
  })
  .describe("What was fetched.");

export const bucket = defineKind({
  group: "source.toolkit.fluxcd.io",
  kind: "Bucket",
  plural: "buckets",
  shortNames: [],
  categories: [],
  component: "source-controller",
  description: "A bucket of an object storage, watched for changes; its objects are published as an artifact of files.",
  versions: [
    { name: "v1", storage: true },
    {
      name: "v1beta2",
      storage: false,
      deprecationWarning: "v1beta2 Bucket is deprecated, use v1; spec.accessFrom has no effect",
      formerSpecFields: {
        accessFrom: z
          .object({
            namespaceSelectors: z.array(z.object({ matchLabels: stringMap().optional().describe("Labels of the namespace.") })),
          })
          .optional()
          .describe("Dropped: it never had an effect."),
      },
    },
  ],
  conditions: ["Ready", "Reconciling", "Stalled", "ArtifactInStorage", "ArtifactOutdated", "FetchFailed", "StorageOperationFailed"],
  printerColumns: [
    { name: "Endpoint", type: "string", jsonPath: ".spec.endpoint" },
    columns.age,
    columns.ready,
    columns.status,
  ],
  spec,
  status,
  statusDefault: { observedGeneration: -1 },
  source: {
    stored: "stored artifact: revision",
    latest: "latest.tar.gz",
    reasons: {
      UpstreamUnreachable: "BucketOperationFailed",
      TimedOut: "BucketOperationFailed",
      SourceTooLarge: "BucketOperationFailed",
      IgnoreInvalid: "BucketOperationFailed",
    },
  },
  example: {
    apiVersion: "source.toolkit.fluxcd.io/v1",
    kind: "Bucket",
    metadata: { name: "shop", namespace: "flux-system" },
    spec: { bucketName: "shop-manifests", endpoint: "s3.amazonaws.com", region: "eu-west-1", interval: "5m", secretRef: { name: "shop-bucket" } },
  },
});
