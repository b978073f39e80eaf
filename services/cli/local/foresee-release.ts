/** What making the next revision of a release would do to the cluster: asked by dry-run, and never written. */
import { chartDefinitionApplier, releaseApplier } from "#machines/rules/applier.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import type { Owner } from "#machines/rules/prune.ts";
import type { ReleasePlace } from "#protocol/messages/release.ts";
import { foresee, type Foreseen } from "#services/cluster/foresee.ts";
import { readMetadata, type ClusterHandle } from "#services/cluster/handle.ts";
import type { ReleaseDocument } from "#services/release/document.ts";
import { readManifest, placed, placedStill } from "#services/release/manifest.ts";
import { bareEntries, namespaceOf, under, undigested, type DefinitionPolicy } from "#services/release/objects.ts";
import { listRevisions, readRevision, secretName } from "#services/release/storage.ts";

export type NextRevision = {
  place: ReleasePlace;
  /** The HelmRelease. */
  origin: Owner;
  manifest: KubeObject[];
  definitions: { objects: KubeObject[]; policy: DefinitionPolicy };
  /** The release's namespace is made where it is missing. */
  createsNamespace: boolean;
  /** What is deployed now. */
  deployed: ReleaseDocument | undefined;
  signal: AbortSignal;
};

export async function foreseeRelease(cluster: ClusterHandle, { place, origin, manifest, definitions, createsNamespace, deployed, signal }: NextRevision): Promise<Foreseen[]> {
  const namespace = createsNamespace ? await missingNamespace(cluster, place, signal) : [];
  const crds = definitions.policy === "Skip" ? [] : definitions.objects;
  const items = await placed(cluster, manifest, place.namespace, crds);
  const subject = `Secret/${place.storageNamespace}/${secretName(place.name, deployed?.version ?? 0)}`;
  const before = deployed ? await placedStill(cluster, await readManifest(deployed.manifest, subject, signal), deployed.namespace || place.namespace) : [];
  const asked = { inventory: [], prune: false, signal };
  const [spaces, defined, applied] = await Promise.all([
    foresee({ ...asked, cluster: under(cluster, releaseApplier), owner: place, objects: undigested(namespace) }),
    foresee({ ...asked, cluster: under(cluster, chartDefinitionApplier), owner: origin, objects: undigested(crds) }),
    foresee({ ...asked, cluster: under(cluster, releaseApplier), owner: place, objects: undigested(items.map(({ object }) => object)), inventory: bareEntries(before), prune: true, before: [...namespace, ...crds] }),
  ]);
  // One that is there is changed only where the object asks for that.
  return [...spaces, ...defined.filter(({ action }) => definitions.policy === "CreateReplace" || action === "created" || action === "failed"), ...applied];
}

/** The revision that an upgrade is compared with: what is deployed, else the newest. Undefined: there is none. */
export async function deployedRevision(cluster: ClusterHandle, place: ReleasePlace, signal: AbortSignal): Promise<ReleaseDocument | undefined> {
  const call = { cluster, place, signal, guard: () => { throw new TypeError("nothing is written"); } };
  const revisions = await listRevisions(call);
  const found = revisions.find(({ status }) => status === "deployed") ?? revisions.find(({ status }) => status !== "uninstalled");
  return found && (await readRevision(call, found.version))?.document;
}

async function missingNamespace(cluster: ClusterHandle, place: ReleasePlace, signal: AbortSignal): Promise<KubeObject[]> {
  const object = namespaceOf(place);
  const resource = await cluster.discovery.find(object.apiVersion, object.kind);
  return (await readMetadata(cluster, resource, { namespace: "", name: object.metadata.name }, signal)) ? [] : [object];
}
