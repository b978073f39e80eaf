/** Names of span attributes: OpenTelemetry's where they exist (semconv 1.44), our own under `gitops`. */
import { actorId, type ActorKey } from "#protocol/names/actor.ts";

export const attribute = {
  // the change
  repositoryUrl: "vcs.repository.url.full",
  repositoryName: "vcs.repository.name",
  refName: "vcs.ref.head.name",
  revision: "vcs.ref.head.revision",
  refType: "vcs.ref.head.type",
  changeTitle: "vcs.change.title",
  // the run
  action: "cicd.pipeline.action.name",
  pipeline: "cicd.pipeline.name",
  runId: "cicd.pipeline.run.id",
  result: "cicd.pipeline.result",
  taskName: "cicd.pipeline.task.name",
  workerId: "cicd.worker.id",
  errorType: "error.type",
  // the object; no generic name is standardised, so these two pairs are what others emit (landscape.md 7.1)
  resourceKind: "k8s.resource.kind",
  resourceName: "k8s.resource.name",
  resourceNamespace: "k8s.resource.namespace",
  objectKind: "object.kind",
  objectName: "object.name",
  objectNamespace: "object.namespace",
  cluster: "k8s.cluster.name",
  // ours
  /** Actor id (`kustomization/apps/podinfo`): the trace is found again under this name. */
  unit: "gitops.unit",
  trigger: "gitops.trigger",
  epoch: "gitops.owner.epoch",
  drift: "gitops.drift",
  /** Who had changed the object that was put back. */
  driftManager: "gitops.drift.manager",
  artifactDigest: "artifact.hash",
} as const;

/** A well-known value of `cicd.pipeline.action.name`. */
export const syncAction = "SYNC";

export type AttributeValue = string | number | boolean | string[];
/** Facts about a span. Never a secret, never a manifest; long values are cut where spans are recorded. */
export type Attributes = Record<string, AttributeValue | undefined>;

/** What every span of one unit's run carries. `objectKind` is the kind as Kubernetes spells it: `Kustomization`. */
export const unitAttributes = ({ kind, namespace, name }: ActorKey, objectKind: string): Attributes => ({
  [attribute.unit]: actorId({ kind, namespace, name }),
  [attribute.pipeline]: name,
  [attribute.objectKind]: objectKind,
  [attribute.objectName]: name,
  [attribute.objectNamespace]: namespace,
});

/** What a span about one managed object carries. */
export const resourceAttributes = (object: { kind: string; namespace?: string; name: string }): Attributes => ({
  [attribute.resourceKind]: object.kind,
  [attribute.resourceName]: object.name,
  ...(object.namespace && { [attribute.resourceNamespace]: object.namespace }),
});
