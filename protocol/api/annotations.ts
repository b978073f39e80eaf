/** Names under `metadata` that mean something to a reconciler: annotations, labels and the finalizer. */

export const annotations = {
  /** Any new value asks for a reconcile now; the value is repeated in `status.lastHandledReconcileAt`. */
  requestedAt: "reconcile.fluxcd.io/requestedAt",
  /** Counts only when it equals `requestedAt`: act even where nothing changed. */
  forceAt: "reconcile.fluxcd.io/forceAt",
  /** The same: count the failures of a release from zero. */
  resetAt: "reconcile.fluxcd.io/resetAt",
  /** `disabled`: no variable substitution in this object. */
  substitute: "kustomize.toolkit.fluxcd.io/substitute",
  /** `Override`, `Merge`, `IfNotPresent` or `Ignore`: how server-side apply treats this object. */
  ssa: "kustomize.toolkit.fluxcd.io/ssa",
  /** `enabled`: delete and create anew when an immutable field changed. */
  force: "kustomize.toolkit.fluxcd.io/force",
  /** `disabled`: never deleted by garbage collection. */
  prune: "kustomize.toolkit.fluxcd.io/prune",
  /** `disabled`: neither applied nor deleted. */
  reconcile: "kustomize.toolkit.fluxcd.io/reconcile",
  /** `disabled`: left encrypted. */
  decrypt: "kustomize.toolkit.fluxcd.io/decrypt",
  /** `disabled`: an ArtifactGenerator rests as it is. */
  generator: "source.extensions.fluxcd.io/reconcile",
  /** Left by earlier managers of the object; removed when it is taken over (flux.md 2.6.5). */
  legacy: [
    "kubectl.kubernetes.io/last-applied-configuration",
    "kustomize.toolkit.fluxcd.io/checksum",
    "fluxcd.io/sync-checksum",
  ],
  /** `dependents-first`: a Kustomization that is deleted goes after those being deleted too that depend on it. Ours. */
  deletionOrder: "flotilla.dev/deletion-order",
  /** `warn`: drift of what a Kustomization applied is told and left as it is; `enabled`, as without it: put back. Ours. */
  driftDetection: "flotilla.dev/drift-detection",
  /** `github`, `gitlab` or `gitea`: an ImageUpdateAutomation that pushes to another branch opens a pull request there. Ours. */
  pullRequest: "flotilla.dev/pull-request",
  /** Name of a Secret in the same namespace whose `token` may do that, and whose `ca.crt` is trusted there. */
  pullRequestSecret: "flotilla.dev/pull-request-secret",
  /** Where the API is, when it is not where the provider has it. */
  pullRequestApi: "flotilla.dev/pull-request-api",
  /** W3C trace context of the change that last wrote the object. */
  traceparent: "tracing.k8s.io/traceparent",
  /** `<partition>:<epoch>`: under which ownership the object was made safe from what a crashed owner had sent (ownership.md 7.8). */
  fence: "flotilla.dev/fence",
  /** `keep`: an uninstall, or an upgrade whose manifest lacks it, leaves the object. Helm's. */
  resourcePolicy: "helm.sh/resource-policy",
  /** The events of whose actions the object is a hook. Helm's. */
  hook: "helm.sh/hook",
  /** `disabled`: drift of this object of a Helm release is neither told nor put back. */
  releaseDrift: "helm.toolkit.fluxcd.io/driftDetection",
  /** On a storage Secret of Helm: which decision makes this revision (docs/decisions/0009). Ours. */
  intent: "flotilla.dev/intent",
  /** With `intent`: the event whose hooks were begun last. Ours. */
  stage: "flotilla.dev/stage",
  /** `<partition>:<epoch>` of the last write, for the admission policy in deploy/policy; only where that is in use. */
  epoch: "flotilla.dev/epoch",
} as const;

export const labels = {
  /** With `ownerNamespace`: the Kustomization that applied the object, and the guard of every prune. */
  ownerName: "kustomize.toolkit.fluxcd.io/name",
  ownerNamespace: "kustomize.toolkit.fluxcd.io/namespace",
  /** With `originNamespace`: the HelmRelease whose chart an object comes from. */
  originName: "helm.toolkit.fluxcd.io/name",
  originNamespace: "helm.toolkit.fluxcd.io/namespace",
  /** `Enabled` on a ConfigMap or Secret: a change of its data wakes the objects that refer to it. */
  watch: "reconcile.fluxcd.io/watch",
  /** The shard that reconciles the object. */
  shardKey: "sharding.fluxcd.io/key",
  /** Left by Flux v1; removed when the object is taken over (flux.md 2.6.5). */
  legacyGarbageMark: "fluxcd.io/sync-gc-mark",
  /** The flux command finds what belongs to it by these (flux.md 5.2). */
  partOf: "app.kubernetes.io/part-of",
  component: "app.kubernetes.io/component",
  instance: "app.kubernetes.io/instance",
  version: "app.kubernetes.io/version",
  managedBy: "app.kubernetes.io/managed-by",
} as const;

/** How Helm marks what belongs to a release (helm pkg/action/validate.go): by these annotations, and by `labels.managedBy`. */
export const helm = {
  manager: "Helm",
  releaseName: "meta.helm.sh/release-name",
  releaseNamespace: "meta.helm.sh/release-namespace",
} as const;

/** Keeps a deleted object until its owner has cleaned up (flux.md 0.4). */
export const finalizer = "finalizers.fluxcd.io";

/** Field managers under which Flux's controllers write, kept so that a cluster can move either way (flux.md 2.6.5). */
export const fieldManagers = {
  kustomization: "kustomize-controller",
  helm: "helm-controller",
  source: "source-controller",
  /** Ours alone: owns nothing but the annotation `fence`. */
  fence: "flotilla-fence",
} as const;
