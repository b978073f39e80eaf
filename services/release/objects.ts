/** What a release does to objects: applied, removed, checked. All of it is services/cluster, under Helm's names. */
import { chartDefinitionApplier, hookApplier, releaseApplier, type Applier } from "#machines/rules/applier.ts";
import { helm, labels } from "#protocol/api/annotations.ts";
import { displayName, objectIdOf, type KubeObject, type ObjectMeta } from "#machines/rules/inventory.ts";
import type { Owner } from "#machines/rules/prune.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ApplyOutcome, Change, InventoryEntry } from "#protocol/messages/kustomization.ts";
import { apply } from "#services/cluster/apply.ts";
import { identify, readMetadata, type ClusterHandle } from "#services/cluster/handle.ts";
import { prune, waitTermination, type PruneReport } from "#services/cluster/prune.ts";
import { applyByClient } from "./client-side.ts";
import type { ReleaseCall } from "./call.ts";
import type { ManifestObject } from "./manifest.ts";

export const under = (cluster: ClusterHandle, applier: Applier): ClusterHandle => ({ ...cluster, applier });

/** Whom the objects' annotations name. */
export const ownerOf = ({ place: { name, namespace } }: Pick<ReleaseCall, "place">): Owner => ({ name, namespace });

export type ApplyWay = { serverSide: boolean; /** Replaces in place of patching. */ force: boolean; /** What was applied before, for a merge on the client's side. */ before: ManifestObject[] };

/** Never rejects for what the cluster says. */
export async function applyObjects(call: ReleaseCall, items: ManifestObject[], { serverSide, force, before }: ApplyWay): Promise<ApplyOutcome> {
  const cluster = under(call.cluster, releaseApplier);
  if (items.length === 0) return { entries: [], changes: [] };
  if (!serverSide) return applyByClient({ cluster, owner: ownerOf(call), items, before, force, guard: call.guard, signal: call.signal, traceparent: call.traceparent });
  return applyWith(call, cluster, items.map(({ object }) => object), ownerOf(call), call);
}

/** @returns what was created or changed @throws Fault with what the server said */
export async function applyHook(call: ReleaseCall, items: ManifestObject[]): Promise<Change[]> {
  return settled(await applyWith(call, under(call.cluster, hookApplier), items.map(({ object }) => object), ownerOf(call)));
}

export type DefinitionPolicy = "Skip" | "Create" | "CreateReplace";

/** The definitions of a chart's `crds/` in the order of their files, and what else lies there and is passed over. */
export function definitionsOf(objects: KubeObject[]): { definitions: KubeObject[]; strangers: string[] } {
  const isDefinition = ({ apiVersion, kind }: KubeObject) => kind === "CustomResourceDefinition" && apiVersion.startsWith("apiextensions.k8s.io/");
  return { definitions: objects.filter(isDefinition), strangers: objects.filter((each) => !isDefinition(each)).map((each) => displayName(objectIdOf(each))) };
}

/**
 * Brings a chart's definitions, and waits up to 60 s until they can be used. Nothing here ever deletes one.
 *
 * @throws Fault with what the server said
 */
export async function applyDefinitions(call: ReleaseCall, definitions: KubeObject[], policy: DefinitionPolicy): Promise<Change[]> {
  if (policy === "Skip" || definitions.length === 0) return [];
  const cluster = under(call.cluster, chartDefinitionApplier);
  const wanted = policy === "CreateReplace" ? definitions : await absent(cluster, definitions, call.signal);
  return settled(await applyWith(call, cluster, wanted, call.origin));
}

/** One that is there stays as it is. @throws Fault with what the server said */
export async function createNamespace(call: ReleaseCall): Promise<Change[]> {
  const object = namespaceOf(call.place);
  const cluster = under(call.cluster, hookApplier);
  return settled(await applyWith(call, cluster, await absent(cluster, [object], call.signal), ownerOf(call)));
}

/** As Helm makes it. */
export const namespaceOf = ({ namespace: name }: ReleaseCall["place"]): KubeObject => ({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels: { name } } });

/** Inventory entries of what nobody applied just now, or nobody knows more of. */
export async function entriesOf(cluster: ClusterHandle, objects: KubeObject[]): Promise<InventoryEntry[]> {
  return (await identify(cluster, objects)).map(({ id, v }) => ({ id, v, uid: "", digest: "", owned: "" }));
}

export const bareEntries = (items: ManifestObject[]): InventoryEntry[] => items.map(({ id, v }) => ({ id, v, uid: "", digest: "", owned: "" }));

/** Deletes backwards, and only what Helm may delete by what the live objects say. Never rejects for what the cluster says. */
export function removeObjects(call: ReleaseCall, items: ManifestObject[], keep: ReadonlySet<string>, propagation: "Background" | "Foreground" | "Orphan" = "Background"): Promise<PruneReport> {
  const entries = bareEntries(items);
  return prune({ cluster: under(call.cluster, releaseApplier), owner: ownerOf(call), entries, keep, propagation, guard: call.guard, signal: call.signal, ...traced(call) });
}

/** Whatever has the name of the hook goes, and is waited for. @throws Fault with what the server said, or HookFailed when it does not go */
export async function removeHook(call: ReleaseCall, items: ManifestObject[], timeoutMs: number): Promise<void> {
  const cluster = under(call.cluster, hookApplier);
  const { fault, deleted, missing } = await prune({ cluster, owner: ownerOf(call), entries: bareEntries(items), guard: call.guard, signal: call.signal, ...traced(call) });
  if (fault) throw new Fault(fault.code, fault.subject, { detail: fault.detail });
  const left = await waitTermination({ cluster, signal: call.signal }, deleted.filter((id) => !missing.includes(id)), timeoutMs);
  if (left[0] !== undefined) throw new Fault("HookFailed", left[0], { detail: "the hook of before is still there" });
}

/** @throws Fault ObjectTaken, in Helm's words, for one that is there and belongs to somebody else */
export async function refuseForeign(call: ReleaseCall, items: ManifestObject[]): Promise<void> {
  const { name, namespace } = call.place;
  await Promise.all(items.map(async ({ object }) => {
    const resource = await call.cluster.discovery.known(object.apiVersion, object.kind);
    const live = resource && (await readMetadata(call.cluster, resource, objectIdOf(object), call.signal));
    const wrong = live && whyForeign(live, { name, namespace });
    if (wrong) throw new Fault("ObjectTaken", displayName(objectIdOf(object)), { detail: `exists and cannot be imported into the current release: invalid ownership metadata; ${wrong}` });
  }));
}

function whyForeign({ labels: marks = {}, annotations: set = {} }: ObjectMeta, { name, namespace }: Owner): string {
  const wanted = [
    ["label", labels.managedBy, marks[labels.managedBy], helm.manager], ["annotation", helm.releaseName, set[helm.releaseName], name], ["annotation", helm.releaseNamespace, set[helm.releaseNamespace], namespace],
  ] as const;
  return wanted.filter(([, , is, must]) => is !== must).map(([what, key, is, must]) =>
    `${what} validation error: ${is === undefined ? `missing key "${key}": must be set to "${must}"` : `key "${key}" must equal "${must}": current value is "${is}"`}`).join("; ");
}

async function applyWith(call: ReleaseCall, cluster: ClusterHandle, objects: KubeObject[], owner: Owner, { touch, table }: Pick<ReleaseCall, "touch" | "table"> = {}): Promise<ApplyOutcome> {
  if (objects.length === 0) return { entries: [], changes: [] };
  return apply({ cluster, owner, objects: undigested(objects), inventory: [], scope: "all", touch, ...(table && { table }), guard: call.guard, signal: call.signal, ...traced(call) });
}

async function absent(cluster: ClusterHandle, objects: KubeObject[], signal: AbortSignal): Promise<KubeObject[]> {
  const found = await Promise.all(objects.map(async (object) => {
    const resource = await cluster.discovery.find(object.apiVersion, object.kind);
    return (await readMetadata(cluster, resource, objectIdOf(object), signal)) ? [] : [object];
  }));
  return found.flat();
}

export function settled({ changes, fault }: ApplyOutcome): Change[] {
  if (fault) throw new Fault(fault.code, fault.subject, { detail: fault.detail });
  return changes;
}

/** No digest of an object is kept: a release is applied as a whole, and what stands in NATS tells nothing of its Secrets. */
export const undigested = (objects: KubeObject[]) => objects.map((object) => ({ object, digest: "" }));

const traced = ({ traceparent }: ReleaseCall) => (traceparent ? { traceparent: () => traceparent() } : {});
