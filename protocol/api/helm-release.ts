/** HelmRelease: a chart, installed with values and kept as it was installed (flux.md 1.9). */
import { z } from "zod";
import { condition } from "./conditions.ts";
import { columns, defineKind } from "./kind.ts";
import { commonMetadata, healthCheckExpression, ignoreRule, image, inventory, jsonPatch, kubeConfig, patch, sourcesOfFiles } from "./kustomize.ts";
import { duration, freeForm, int64, localReference, requiredAllTheSame, stringMap, timestamp, validations } from "./schema.ts";

const name = () => z.string().min(1).max(253);
const namespaceName = () => z.string().min(1).max(63);

const chart = z.object({
  metadata: z
    .object({
      labels: stringMap().optional().describe("Labels."),
      annotations: stringMap().optional().describe("Annotations."),
    })
    .optional()
    .describe("What the HelmChart that is made for it gets beside its own."),
  spec: z
    .object({
      chart: z.string().min(1).max(2048).describe("Name of the chart, or its directory in a Git repository or bucket."),
      version: z.string().default("*").describe("Range of semantic versions; without effect for charts in Git and buckets."),
      sourceRef: z
        .object({
          apiVersion: z.string().optional().describe("Group and version of the source."),
          kind: z.enum(["HelmRepository", "GitRepository", "Bucket"]).describe("Kind of the source."),
          name: name().describe("Name of the source."),
          namespace: namespaceName().optional().describe("Its namespace; this object's own when absent."),
        })
        .describe("Where the chart is."),
      interval: duration().optional().describe("How often the source is looked at; that of this object when absent."),
      reconcileStrategy: z
        .enum(["ChartVersion", "Revision"])
        .default("ChartVersion")
        .describe("What makes a new chart: another version, or another revision of its source."),
      valuesFiles: z.array(z.string()).optional().describe("Files that replace the chart's default values, merged in order."),
      ignoreMissingValuesFiles: z.boolean().optional().describe("Leave out values files that are not there."),
      verify: z
        .object({
          provider: z.enum(["cosign", "notation"]).default("cosign").describe("What made the signatures.").meta(requiredAllTheSame),
          secretRef: localReference().optional().describe("Secret with what is trusted."),
        })
        .optional()
        .describe("Signatures to demand of a chart in an OCI registry."),
    })
    .describe("The HelmChart that is made for it."),
});

const chartRef = z.object({
  apiVersion: z.string().optional().describe("Group and version of the source."),
  kind: z.enum(["OCIRepository", "HelmChart", "ExternalArtifact"]).describe("Kind of the source."),
  name: name().describe("Name of the source."),
  namespace: namespaceName().optional().describe("Its namespace; this object's own when absent."),
});

const dependency = z.object({
  // apiVersion and kind are this project's own; everything else here is Flux's.
  apiVersion: z.string().min(1).max(253).optional().describe("Group and version of the object; those of this kind when absent. Not in Flux."),
  kind: z.string().min(1).max(63).optional().describe("Kind of the object; another HelmRelease when absent. Not in Flux."),
  name: z.string().describe("Name of the object."),
  namespace: z.string().optional().describe("Its namespace; this object's own when absent."),
  readyExpr: z.string().optional().describe("CEL expression that says when it is ready, over `self` and `dep`."),
});

const crds = z.enum(["Skip", "Create", "CreateReplace"]).optional().describe("What to do with the chart's `crds/`: `Create` what is missing, also when absent, `CreateReplace` all, or `Skip` them.");

/** What install and upgrade have in common. */
const shared = {
  timeout: duration().optional().describe("Longest time for it; `spec.timeout` when absent."),
  disableTakeOwnership: z.boolean().optional().describe("Refuse objects that another release owns, or none."),
  disableWait: z.boolean().optional().describe("Do not wait for the objects to be ready."),
  disableWaitForJobs: z.boolean().optional().describe("Do not wait for Jobs to complete."),
  disableHooks: z.boolean().optional().describe("Run no hooks."),
  disableOpenAPIValidation: z.boolean().optional().describe("No effect on a server that validates itself, as with Helm 4: it refuses fields that a kind does not have."),
  disableSchemaValidation: z.boolean().optional().describe("Do not check the values against the chart's schema."),
  crds,
};

const remediation = {
  retries: z.int().optional().describe("How often it is tried again after a failure; never when absent, -1 without end."),
  ignoreTestFailures: z.boolean().optional().describe("A failed test is no failure; as `spec.test.ignoreFailures` says when absent."),
};

const strategyName = z.enum(["RemediateOnFailure", "RetryOnFailure"]).describe("`RemediateOnFailure`: as `remediation` says. `RetryOnFailure`: try again, without end.");
const retryInterval = duration().optional().describe("How soon to try again; 5 minutes when absent.");

const serverSideApply = z.enum(["enabled", "disabled", "auto"]).optional().describe("Whether objects are applied by the server; `auto`, also when absent: as the release before.");

const install = z.object({
  ...shared,
  createNamespace: z.boolean().optional().describe("Create `spec.targetNamespace` when it is missing."),
  replace: z.boolean().optional().describe("Use a name again that an uninstalled release has left in the history."),
  skipCRDs: z.boolean().optional().describe("Use `crds: Skip`."),
  serverSideApply: z.boolean().optional().describe("Whether objects are applied by the server; true when absent."),
  strategy: z
    .object({ name: strategyName, retryInterval })
    .meta(validations({ rule: "!has(self.retryInterval) || self.name != 'RemediateOnFailure'", message: ".retryInterval cannot be set when .name is 'RemediateOnFailure'" }))
    .optional()
    .describe("What a failure leads to."),
  remediation: z
    .object({ ...remediation, remediateLastFailure: z.boolean().optional().describe("Uninstall after the last failure too; no when absent.") })
    .optional()
    .describe("A failed install is uninstalled, and tried again."),
});

const upgrade = z.object({
  ...shared,
  force: z.boolean().optional().describe("Delete and create objects anew that cannot be changed."),
  preserveValues: z.boolean().optional().describe("Keep the values of the release before, under those of this one."),
  cleanupOnFail: z.boolean().optional().describe("Delete what a failed upgrade had created."),
  chartNameChangeStrategy: z.enum(["InPlaceUpdate", "Reinstall"]).optional().describe("What a chart of another name leads to; `Reinstall` when absent."),
  serverSideApply,
  strategy: z
    .object({ name: strategyName, retryInterval })
    .meta(validations({ rule: "!has(self.retryInterval) || self.name == 'RetryOnFailure'", message: ".retryInterval can only be set when .name is 'RetryOnFailure'" }))
    .optional()
    .describe("What a failure leads to."),
  remediation: z
    .object({
      ...remediation,
      remediateLastFailure: z.boolean().optional().describe("Do so after the last failure too; when absent, if there are retries."),
      strategy: z.enum(["rollback", "uninstall"]).optional().describe("What is done about a failure; `rollback` when absent."),
    })
    .optional()
    .describe("A failed upgrade is rolled back or uninstalled, and tried again."),
});

const rollback = z.object({
  timeout: shared.timeout,
  disableWait: shared.disableWait,
  disableWaitForJobs: shared.disableWaitForJobs,
  disableHooks: shared.disableHooks,
  recreate: z.boolean().optional().describe("Without effect, as in Flux."),
  force: z.boolean().optional().describe("Delete and create objects anew that cannot be changed."),
  cleanupOnFail: z.boolean().optional().describe("Delete what a failed rollback had created."),
  serverSideApply,
});

const uninstall = z.object({
  timeout: shared.timeout,
  disableHooks: shared.disableHooks,
  disableWait: z.boolean().optional().describe("Do not wait until the objects are gone."),
  keepHistory: z.boolean().optional().describe("Leave the storage Secrets, marked uninstalled."),
  deletionPropagation: z.enum(["background", "foreground", "orphan"]).default("background").describe("What becomes of the objects' dependents."),
});

const tests = z.object({
  enable: z.boolean().optional().describe("Run the chart's test hooks after an install and an upgrade."),
  timeout: shared.timeout,
  ignoreFailures: z.boolean().optional().describe("A failed test does not make the release not ready."),
  filters: z
    .array(z.object({ name: name().describe("Name of the test."), exclude: z.boolean().optional().describe("All but this one.") }))
    .optional()
    .describe("Which tests are run; all when absent."),
});

// The sources, their namespace and the slash in valuesKey are this project's own; everything else here is Flux's. That a key of a
// Secret or ConfigMap has no slash would be too costly a rule for the API server: services/worker/values-from.ts sees to it.
const valuesReference = z.object({
  kind: z
    .enum(["Secret", "ConfigMap", ...sourcesOfFiles])
    .describe("Kind of the object: a Secret, a ConfigMap, or a source that holds the values as a file. Sources are not in Flux."),
  name: name().describe("Its name, in the same namespace unless it is a source."),
  namespace: namespaceName().optional().describe("Namespace of a source; this object's own when absent. Not in Flux."),
  valuesKey: z
    .string()
    .max(253)
    .regex(new RegExp(String.raw`^[\-._/a-zA-Z0-9]+$`))
    .optional()
    .describe("Key of the values in it; `values.yaml` when absent. Of a source, where it is needed: path of the file in the artifact."),
  targetPath: z
    .string()
    .max(250)
    .regex(new RegExp(String.raw`^([a-zA-Z0-9_\-.\\\/]|\[[0-9]{1,5}\])+$`)) // written as Flux does
    .optional()
    .describe("Where the value goes, as in `helm --set`; when absent, it is YAML that is merged into the root."),
  literal: z.boolean().optional().describe("With `targetPath`: take the value as it is, as `helm --set-literal`."),
  optional: z.boolean().optional().describe("Go on without it when it does not exist; of a source, also when it has no such file."),
}).meta(validations(
  { rule: "!has(self.namespace) || !(self.kind in ['Secret', 'ConfigMap'])", message: "Secrets and ConfigMaps are read from the object's own namespace" },
  { rule: "has(self.valuesKey) || self.kind in ['Secret', 'ConfigMap']", message: "valuesKey must be set: the path of a file of the source" },
));

export type ValuesReference = z.output<typeof valuesReference>;

const kustomizeRenderer = z.object({
  patches: z.array(patch).optional().describe("Changes to the rendered objects."),
  images: z.array(image).optional().describe("Container images to replace."),
});

const spec = z
  .object({
    chart: chart.optional().describe("A chart of a Helm repository, a Git repository or a bucket: a HelmChart is made for it."),
    chartRef: chartRef.optional().describe("A source that is a chart."),
    interval: duration().describe("How often everything is checked anew, whether or not something changed."),
    timeout: duration().optional().describe("Longest time for one action of Helm; 5 minutes when absent."),
    kubeConfig: kubeConfig.optional().describe("Cluster to release to; the one this object lives in when absent."),
    suspend: z.boolean().optional().describe("Do nothing until this is taken away."),
    releaseName: z.string().min(1).max(53).optional().describe("Name of the release; `<targetNamespace>-<name>` when absent, or the name of this object."),
    targetNamespace: namespaceName().optional().describe("Namespace to release to; this object's own when absent."),
    storageNamespace: namespaceName().optional().describe("Namespace of Helm's storage Secrets; this object's own when absent."),
    dependsOn: z.array(dependency).optional().describe("Objects that must be ready first: other HelmReleases, or any object with a condition."),
    maxHistory: z.int().optional().describe("How many revisions storage keeps; 5 when absent, 0: all."),
    serviceAccountName: name().optional().describe("ServiceAccount in whose name everything is done."),
    persistentClient: z.boolean().optional().describe("Without effect: what is known of the cluster's kinds is always kept up to date."),
    driftDetection: z
      .object({
        mode: z.enum(["enabled", "warn", "disabled"]).optional().describe("`enabled`: put drift back. `warn`: tell of it. `disabled`, also when absent: neither."),
        ignore: z.array(ignoreRule).optional().describe("Fields that others may change."),
      })
      .optional()
      .describe("What to do about objects that somebody changed."),
    install: install.optional().describe("How the release is installed."),
    upgrade: upgrade.optional().describe("How it is upgraded."),
    test: tests.optional().describe("How it is tested."),
    rollback: rollback.optional().describe("How it is rolled back."),
    uninstall: uninstall.optional().describe("How it is uninstalled."),
    valuesFrom: z.array(valuesReference).optional().describe("Objects and files with values; a later one wins over an earlier."),
    values: freeForm().optional().describe("Values; they win over those of `valuesFrom`."),
    commonMetadata: commonMetadata.optional().describe("Labels and annotations every object gets."),
    postRenderers: z.array(z.object({ kustomize: kustomizeRenderer.optional().describe("Changes by Kustomize.") })).optional().describe("Changes to what the chart renders, in this order."),
    postRenderStrategy: z
      .enum(["nohooks", "combined", "separate"])
      .optional()
      .describe("Whether hooks are changed too: not, together with the other objects, or apart from them; `combined` when absent."),
    waitStrategy: z
      .object({ name: z.enum(["poller", "legacy"]).describe("`poller`: by kstatus. `legacy`: as Helm 3.") })
      .optional()
      .describe("How it is told that objects are ready."),
    healthCheckExprs: z.array(healthCheckExpression).optional().describe("How to tell the health of custom resources."),
  })
  .meta(validations({ rule: "(has(self.chart) && !has(self.chartRef)) || (!has(self.chart) && has(self.chartRef))", message: "either chart or chartRef must be set" }))
  .describe("What to release, with which values, and how.");

export const releaseSnapshot = z.object({
  apiVersion: z.string().optional().describe("How the digest is made; `v2` today."),
  digest: z.string().describe("Digest of the revision in storage."),
  name: z.string().describe("Name of the release."),
  namespace: z.string().describe("Its namespace."),
  version: z.int().describe("Number of the revision."),
  status: z.string().describe("What Helm says of it."),
  action: z.string().optional().describe("What made it so."),
  chartName: z.string().describe("Name of its chart."),
  chartVersion: z.string().describe("Version of its chart."),
  appVersion: z.string().optional().describe("Version of what the chart installs."),
  configDigest: z.string().describe("Digest of its values."),
  firstDeployed: timestamp().describe("When the release was first installed."),
  lastDeployed: timestamp().describe("When this revision was made."),
  deleted: timestamp().optional().describe("When it was uninstalled."),
  testHooks: z
    .record(
      z.string(),
      z.object({
        lastStarted: timestamp().optional().describe("When it was started."),
        lastCompleted: timestamp().optional().describe("When it ended."),
        phase: z.string().optional().describe("How it ended."),
      }),
    )
    .optional()
    .describe("Its tests, by name."),
  ociDigest: z.string().optional().describe("Digest of the OCI artifact its chart came in."),
});

const status = z
  .object({
    observedGeneration: int64().optional().describe("Generation of the object that was last seen through."),
    lastHandledReconcileAt: z.string().optional().describe("The request for a reconcile that was last answered."),
    lastHandledForceAt: z.string().optional().describe("The request to release in any case that was last answered."),
    lastHandledResetAt: z.string().optional().describe("The request to count failures from zero that was last answered."),
    conditions: z.array(condition).optional().describe("What is known about the release."),
    helmChart: z.string().optional().describe("The HelmChart that was made for `spec.chart`: `namespace/name`."),
    storageNamespace: namespaceName().optional().describe("Where the storage Secrets are."),
    history: z.array(releaseSnapshot).optional().describe("The last revisions, newest first."),
    inventory: inventory.optional().describe("The objects of the release."),
    lastAttemptedGeneration: int64().optional().describe("Generation of the object that was last tried."),
    lastAttemptedRevision: z.string().optional().describe("Version of the chart that was last tried."),
    lastAttemptedRevisionDigest: z.string().optional().describe("Digest of the chart's OCI artifact that was last tried."),
    lastAttemptedConfigDigest: z.string().optional().describe("Digest of the values that were last tried."),
    lastAttemptedValuesChecksum: z.string().optional().describe("The same of long ago. Not written any more."),
    lastReleaseRevision: z.int().optional().describe("Number of the last revision. Not written any more."),
    lastAttemptedReleaseAction: z.enum(["install", "upgrade"]).optional().describe("What was last tried."),
    lastAttemptedReleaseActionDuration: z.string().optional().describe("How long that took."),
    failures: int64().optional().describe("Failures in a row; of all actions."),
    installFailures: int64().optional().describe("Failed installs since something changed."),
    upgradeFailures: int64().optional().describe("Failed upgrades since something changed."),
    observedPostRenderersDigest: z.string().optional().describe("Digest of the `postRenderers` that were last used."),
    observedCommonMetadataDigest: z.string().optional().describe("Digest of the `commonMetadata` that were last used."),
  })
  .describe("What was released.");

/** Fields of old versions, by the place in the spec where they were. */
const formerly = {
  "chart.spec": { valuesFile: z.string().optional().describe("Dropped: use `valuesFiles`.") },
  "postRenderers[].kustomize": {
    patchesStrategicMerge: z.array(freeForm()).optional().describe("Dropped: use `patches`."),
    patchesJson6902: z.array(jsonPatch).optional().describe("Dropped: use `patches`."),
  },
};

const dropped = "chart.spec.valuesFile, and patchesStrategicMerge and patchesJson6902 of postRenderers, are dropped: use valuesFiles and patches";

export const helmRelease = defineKind({
  group: "helm.toolkit.fluxcd.io",
  kind: "HelmRelease",
  plural: "helmreleases",
  shortNames: ["hr"],
  categories: ["all", "fluxcd", "fluxcd-appliers"],
  component: "helm-controller",
  description: "A Helm chart, installed with values, upgraded when either changes, and kept as it is.",
  versions: [
    { name: "v2", storage: true },
    { name: "v2beta2", storage: false, deprecationWarning: `v2beta2 HelmRelease is deprecated, use v2; ${dropped}`, formerFields: formerly },
    { name: "v2beta1", storage: false, deprecationWarning: `v2beta1 HelmRelease is deprecated, use v2; ${dropped}`, formerFields: formerly },
  ],
  conditions: ["Ready", "Reconciling", "Stalled", "Released", "TestSuccess", "Remediated", "Drifted"],
  printerColumns: [
    columns.age,
    columns.ready,
    columns.status,
  ],
  spec,
  status,
  statusDefault: { observedGeneration: -1 },
  example: {
    apiVersion: "helm.toolkit.fluxcd.io/v2",
    kind: "HelmRelease",
    metadata: { name: "shop", namespace: "apps" },
    spec: {
      chartRef: { kind: "OCIRepository", name: "shop" },
      interval: "10m",
      values: { replicas: 2 },
      upgrade: { remediation: { retries: 3 } },
    },
  },
});

export type HelmRelease = ReturnType<typeof helmRelease.parse>;
