/**
 * In whose name objects are applied: who owns their fields, whose fields that one takes over, what every object carries,
 * and what may be deleted. A Kustomization and a Helm release differ in nothing else when objects are written.
 */
import { annotations, fieldManagers, helm, labels } from "#protocol/api/annotations.ts";
import type { ObjectMeta } from "./inventory.ts";
import { ownerLabels, pruneVerdict, type Owner, type PruneVerdict } from "./prune.ts";

export type Marks = { labels: Record<string, string>; annotations: Record<string, string> };

/** Kinds of actors that apply objects and watch over them. */
export type UnitKind = "kustomization" | "helmrelease";

export type Applier = {
  /** Whose objects these are. */
  unit: UnitKind;
  /** The field manager. */
  manager: string;
  /** Labels that name the owner, by which its objects are watched. */
  owner: { name: string; namespace: string };
  /** By name, or by how the name begins, as Flux compares them: `kubectl` means `kubectl-edit` and `kubectl-client-side-apply` too. */
  takesOver: readonly ({ name: string; operation: string } | { prefix: string; operation: string })[];
  /** What every object is given. */
  marks(owner: Owner): Marks;
  /** Whether `kustomize.toolkit.fluxcd.io/…` on an object says how it is to be treated. */
  heedsMarks: boolean;
  /** Fields that a kind does not have are refused, those of custom resources too; otherwise the server drops these. */
  strict: boolean;
  /** Whether the owner may delete it. */
  verdict(live: Pick<ObjectMeta, "labels" | "annotations">, owner: Owner): PruneVerdict;
};

export const kustomizationApplier: Applier = {
  unit: "kustomization",
  manager: fieldManagers.kustomization,
  owner: { name: labels.ownerName, namespace: labels.ownerNamespace },
  takesOver: [
    { prefix: "kubectl", operation: "Apply" },
    { prefix: "kubectl", operation: "Update" },
    // Whatever an object had before the first server-side apply of anybody.
    { prefix: "before-first-apply", operation: "Update" },
    // Flux before it used server-side apply.
    { prefix: fieldManagers.kustomization, operation: "Update" },
  ],
  marks: (owner) => ({ labels: ownerLabels(owner), annotations: {} }),
  heedsMarks: true,
  strict: false,
  verdict: pruneVerdict,
};

/**
 * A Helm release. What it wrote by client-side apply becomes its own, and so does what the helm command wrote: else fields
 * that leave the chart would stay for ever after a release was taken over.
 */
export const releaseApplier: Applier = {
  unit: "helmrelease",
  manager: fieldManagers.helm,
  // The HelmRelease: of every object that is rendered for one, before it comes here.
  owner: { name: labels.originName, namespace: labels.originNamespace },
  takesOver: [
    { name: fieldManagers.helm, operation: "Update" },
    { name: "helm", operation: "Apply" },
    { name: "helm", operation: "Update" },
  ],
  marks: ({ name, namespace }) => ({
    labels: { [labels.managedBy]: helm.manager },
    annotations: { [helm.releaseName]: name, [helm.releaseNamespace]: namespace },
  }),
  heedsMarks: false,
  strict: true, // Helm 4 asks for that, whatever disableOpenAPIValidation says
  verdict: releaseVerdict,
};

/** A hook belongs to nobody: it carries no mark, and outlives its release where no policy deletes it. */
export const hookApplier: Applier = { ...releaseApplier, marks: () => ({ labels: {}, annotations: {} }), verdict: () => "delete" };

/** A hook that came back after it was to go: nothing else of its name. */
export const lateHookApplier: Applier = { ...hookApplier, verdict: ({ annotations: set }) => (set?.[annotations.hook] === undefined ? "keep" : "delete") };

/** Definitions of a chart's `crds/`: no part of the release, so that no uninstall takes them; marked with where they come from. */
export const chartDefinitionApplier: Applier = {
  ...releaseApplier,
  marks: ({ name, namespace }) => ({ labels: { [labels.originName]: name, [labels.originNamespace]: namespace }, annotations: {} }),
  verdict: () => "keep",
};

/** Helm asks for the policy alone. Ours: what another release has taken over since is not deleted either. */
function releaseVerdict({ annotations: set }: Pick<ObjectMeta, "annotations">, { name, namespace }: Owner): PruneVerdict {
  if (isKept(set)) return "keep";
  const [ofName = name, ofNamespace = namespace] = [set?.[helm.releaseName], set?.[helm.releaseNamespace]];
  return ofName === name && ofNamespace === namespace ? "delete" : "keep";
}

/** `helm.sh/resource-policy: keep`, in whatever case, as Helm reads it in a manifest. */
export const isKept = (set: ObjectMeta["annotations"]): boolean => set?.[annotations.resourcePolicy]?.trim().toLowerCase() === "keep";
