/** Kustomization: a directory of a source, built and applied to a cluster (flux.md 1.8). */
import { z } from "zod";
import { condition } from "./conditions.ts";
import { columns, defineKind } from "./kind.ts";
import { commonMetadata, healthCheckExpression, ignoreRule, image, inventory, jsonPatch, kubeConfig, patch, sourcesOfFiles } from "./kustomize.ts";
import { duration, freeForm, int64, localReference, stringMap, timestamp } from "./schema.ts";

const sourceReference = z.object({
  apiVersion: z.string().optional().describe("Group and version of the source."),
  kind: z.enum(sourcesOfFiles).describe("Kind of the source."),
  name: z.string().describe("Name of the source."),
  namespace: z.string().optional().describe("Its namespace; this object's own when absent."),
});

const dependency = z.object({
  // apiVersion and kind are this project's own; everything else here is Flux's.
  apiVersion: z.string().min(1).max(253).optional().describe("Group and version of the object; those of this kind when absent. Not in Flux."),
  kind: z.string().min(1).max(63).optional().describe("Kind of the object; another Kustomization when absent. Not in Flux."),
  name: z.string().describe("Name of the object."),
  namespace: z.string().optional().describe("Its namespace; this object's own when absent."),
  readyExpr: z.string().optional().describe("CEL expression that says when it is ready, over `self` and `dep`."),
});

const healthCheck = z.object({
  apiVersion: z.string().optional().describe("Group and version of the object."),
  kind: z.string().describe("Kind of the object."),
  name: z.string().describe("Name of the object."),
  namespace: z.string().optional().describe("Its namespace."),
});

const postBuild = z.object({
  substitute: stringMap().optional().describe("Variables and their values; they win over those of `substituteFrom`."),
  substituteFrom: z
    .array(
      z.object({
        kind: z.enum(["Secret", "ConfigMap"]).describe("Kind of the object."),
        name: z.string().min(1).max(253).describe("Its name, in the same namespace."),
        optional: z.boolean().default(false).describe("Go on without it when it does not exist."),
      }),
    )
    .optional()
    .describe("Objects whose data are variables; a later one wins over an earlier."),
  substituteStrategy: z
    .enum(["WithVariables", "Always"])
    .optional()
    .describe("Whether to substitute even when there is no variable; `WithVariables` (do not) when absent."),
});

const spec = z
  .object({
    sourceRef: sourceReference.describe("Where the manifests come from."),
    path: z.string().optional().describe("Directory of the source to build; its root when absent."),
    interval: duration().describe("How often everything is checked anew, whether or not something changed."),
    retryInterval: duration().optional().describe("How soon to try again after a failure; `interval` when absent."),
    timeout: duration()
      .optional()
      .describe(
        "Longest time for one run, waiting for health included; 30 s less than `interval` when absent, at least 30 s.",
      ),
    prune: z.boolean().describe("Delete what was applied and is no longer in the source."),
    deletionPolicy: z
      .enum(["MirrorPrune", "Delete", "WaitForTermination", "Orphan"])
      .optional()
      .describe(
        "What becomes of the applied objects when this one is deleted; `MirrorPrune`: as `prune` says, when absent.",
      ),
    wait: z
      .boolean()
      .optional()
      .describe("Wait until all applied objects are healthy; `healthChecks` has no effect then."),
    healthChecks: z.array(healthCheck).optional().describe("Objects to wait for."),
    healthCheckExprs: z.array(healthCheckExpression).optional().describe("How to tell the health of custom resources."),
    dependsOn: z.array(dependency).optional().describe("Objects that must be ready first: other Kustomizations, or any object with a condition."),
    force: z
      .boolean()
      .default(false)
      .describe("Delete and create an object anew when an immutable field of it changed."),
    suspend: z.boolean().optional().describe("Do nothing until this is taken away."),
    targetNamespace: z.string().min(1).max(63).optional().describe("Namespace all objects are put into."),
    namePrefix: z.string().min(1).max(200).optional().describe("Put before the name of every object."),
    nameSuffix: z.string().min(1).max(200).optional().describe("Put after the name of every object."),
    commonMetadata: commonMetadata.optional().describe("Labels and annotations every object gets."),
    images: z.array(image).optional().describe("Container images to replace."),
    patches: z.array(patch).optional().describe("Changes to the built objects."),
    components: z
      .array(z.string())
      .optional()
      .describe("Kustomize components to include: directories relative to `path`."),
    ignoreMissingComponents: z.boolean().optional().describe("Leave out components that are not in the source."),
    buildMetadata: z
      .array(z.enum(["originAnnotations", "transformerAnnotations"]))
      .optional()
      .describe("What kustomize notes on each object about its making."),
    postBuild: postBuild.optional().describe("Variables to fill in after the build."),
    decryption: z
      .object({
        provider: z.enum(["sops"]).describe("How the manifests are encrypted."),
        secretRef: localReference().optional().describe("Secret with the keys."),
        serviceAccountName: z
          .string()
          .optional()
          .describe("ServiceAccount whose cloud identity opens the key service."),
      })
      .optional()
      .describe("How to decrypt manifests."),
    ignore: z.array(ignoreRule).optional().describe("Fields that others may change without being put back."),
    serviceAccountName: z.string().optional().describe("ServiceAccount in whose name everything is applied."),
    kubeConfig: kubeConfig.optional().describe("Cluster to apply to; the one this object lives in when absent."),
  })
  .describe("What to build, from where, and how to apply it.");

export const historyEntry = z.object({
  digest: z.string().describe("Digest of the built manifests."),
  firstReconciled: timestamp().describe("First time they were applied."),
  lastReconciled: timestamp().describe("Last time they were applied."),
  lastReconciledDuration: z.string().describe("How long that took."),
  lastReconciledStatus: z.string().describe("How that ended: the reason of the condition."),
  totalReconciliations: int64().describe("How often they were applied."),
  metadata: stringMap().optional().describe("More about them, such as the revision."),
});

const status = z
  .object({
    observedGeneration: int64().optional().describe("Generation of the object that was last seen through."),
    lastHandledReconcileAt: z.string().optional().describe("The request for a reconcile that was last answered."),
    conditions: z.array(condition).optional().describe("What is known about the applied objects."),
    lastAppliedRevision: z.string().optional().describe("Revision of the source that was last applied in full."),
    lastAppliedOriginRevision: z.string().optional().describe("What that revision was made of, as the source says."),
    lastAttemptedRevision: z.string().optional().describe("Revision of the source that was last tried."),
    inventory: inventory.optional().describe("Everything that was applied, and is deleted when it leaves the source."),
    history: z.array(historyEntry).optional().describe("The last builds and how they went, newest first."),
  })
  .describe("What was applied.");

export const kustomization = defineKind({
  group: "kustomize.toolkit.fluxcd.io",
  kind: "Kustomization",
  plural: "kustomizations",
  shortNames: ["ks"],
  categories: ["all", "fluxcd", "fluxcd-appliers"],
  component: "kustomize-controller",
  description: "A directory of a source, built with Kustomize, applied, and kept as it is there.",
  versions: [
    { name: "v1", storage: true },
    {
      name: "v1beta2",
      storage: false,
      deprecationWarning:
        "v1beta2 Kustomization is deprecated, use v1; spec.validation has no effect, and " +
        "spec.patchesStrategicMerge and spec.patchesJson6902 are dropped: write them as spec.patches",
      formerSpecFields: {
        validation: z.enum(["none", "client", "server"]).optional().describe("Dropped: the server always validates."),
        patchesStrategicMerge: z.array(freeForm()).optional().describe("Dropped: use `patches`."),
        patchesJson6902: z
          .array(jsonPatch)
          .optional()
          .describe("Dropped: use `patches`."),
      },
    },
  ],
  conditions: ["Ready", "Reconciling", "Stalled", "Healthy"],
  printerColumns: [
    columns.age,
    columns.ready,
    columns.status,
  ],
  spec,
  status,
  statusDefault: { observedGeneration: -1 },
  example: {
    apiVersion: "kustomize.toolkit.fluxcd.io/v1",
    kind: "Kustomization",
    metadata: { name: "shop", namespace: "flux-system" },
    spec: {
      sourceRef: { kind: "GitRepository", name: "shop" },
      path: "./overlays/production",
      interval: "10m",
      prune: true,
      wait: true,
    },
  },
});

export type Kustomization = ReturnType<typeof kustomization.parse>;
