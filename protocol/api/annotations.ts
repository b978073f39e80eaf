/** Names under `metadata` that mean something to a reconciler: annotations, labels and the finalizer. */

export const annotations = {
  /** Any new value asks for a reconcile now; the value is repeated in `status.lastHandledReconcileAt`. */
  requestedAt: "reconcile.fluxcd.io/requestedAt",
  /** Counts only when it equals `requestedAt`: act even where nothing changed. */
  forceAt: "reconcile.fluxcd.io/forceAt",
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
  /** Left by earlier managers of the object; removed when it is taken over (flux.md 2.6.5). */
  legacy: [
    "kubectl.kubernetes.io/last-applied-configuration",
    "kustomize.toolkit.fluxcd.io/checksum",
    "fluxcd.io/sync-checksum",
  ],
  /** W3C trace context of the change that last wrote the object. */
  traceparent: "tracing.k8s.io/traceparent",
  /** `<partition>:<epoch>`: under which ownership the object was made safe from what a crashed owner had sent (ownership.md 7.8). */
  fence: "flotilla.dev/fence",
  /** `<partition>:<epoch>` of the last write, for the admission policy in deploy/policy; only where that is in use. */
  epoch: "flotilla.dev/epoch",
} as const;

export const labels = {
  /** With `ownerNamespace`: the Kustomization that applied the object, and the guard of every prune. */
  ownerName: "kustomize.toolkit.fluxcd.io/name",
  ownerNamespace: "kustomize.toolkit.fluxcd.io/namespace",
  /** `Enabled` on a ConfigMap or Secret: a change of its data wakes the objects that refer to it. */
  watch: "reconcile.fluxcd.io/watch",
  /** Left by Flux v1; removed when the object is taken over (flux.md 2.6.5). */
  legacyGarbageMark: "fluxcd.io/sync-gc-mark",
  /** The flux command finds what belongs to it by these (flux.md 5.2). */
  partOf: "app.kubernetes.io/part-of",
  component: "app.kubernetes.io/component",
  instance: "app.kubernetes.io/instance",
  version: "app.kubernetes.io/version",
  managedBy: "app.kubernetes.io/managed-by",
} as const;

/** Keeps a deleted object until its owner has cleaned up (flux.md 0.4). */
export const finalizer = "finalizers.fluxcd.io";

/** Field managers under which Flux's controllers write, kept so that a cluster can move either way (flux.md 2.6.5). */
export const fieldManagers = {
  kustomization: "kustomize-controller",
  source: "source-controller",
  /** Ours alone: owns nothing but the annotation `fence`. */
  fence: "flotilla-fence",
} as const;
