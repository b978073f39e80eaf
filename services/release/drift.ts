/** In what the cluster is not as a stored manifest says, and putting that back (flux.md 2.7.4). Fields that were removed count too. */
import { releaseApplier } from "#machines/rules/applier.ts";
import { annotations } from "#protocol/api/annotations.ts";
import { marked, type KubeObject } from "#machines/rules/inventory.ts";
import type { ApplyOutcome } from "#protocol/messages/kustomization.ts";
import type { DriftOutcome, DriftStanding } from "#protocol/messages/release.ts";
import { apply } from "#services/cluster/apply.ts";
import { compare } from "#services/cluster/compare.ts";
import { ignoredBy, type IgnoreRule } from "#services/cluster/ignore.ts";
import type { ReleaseCall } from "./call.ts";
import type { ReleaseDocument } from "./document.ts";
import { readManifest, placed } from "./manifest.ts";
import { ownerOf, under, undigested } from "./objects.ts";
import { secretName } from "./storage.ts";

export type DriftCall = Pick<ReleaseCall, "cluster" | "place" | "signal"> & {
  /** `spec.driftDetection.ignore`; the pointer `""` means the whole object. */
  ignore: readonly IgnoreRule[];
  /** Takes known secrets out of a text. */
  redact(text: string): string;
};

/**
 * Asks by reading and by dry-run; nothing is written.
 *
 * @param only inventory ids; everything when absent
 * @returns `standing`: of what was compared and does not differ, what a watch compares with from now on
 * @throws Fault when the cluster cannot be asked
 */
export async function findDrift(call: DriftCall, document: ReleaseDocument, only?: ReadonlySet<string>): Promise<Required<Pick<DriftOutcome, "differences" | "standing">>> {
  const { cluster, ignore, signal, redact } = call;
  const items = await watchedOver(call, document);
  const objects = items.filter(({ id }) => only?.has(id) ?? true).map(({ object }) => object);
  // What is left to others altogether is not looked at, and no change of it is worth another look.
  const left = [...(only ?? [])].map((id): DriftStanding => ({ id, v: "", uid: "", owned: "" }));
  const standing = new Map(left.map((entry) => [entry.id, entry]));
  const differences = await compare({
    cluster: under(cluster, releaseApplier), owner: ownerOf(call), objects: undigested(objects), inventory: [], scope: "all", ignore, signal, redact, spares: isSpared,
    stands: (entry) => void standing.set(entry.id, entry),
  });
  for (const { id } of differences) standing.delete(id);
  return { differences, standing: [...standing.values()] };
}

/**
 * Makes what drifted again what the manifest says: what is gone is created, what others changed is taken back.
 *
 * @param drifted inventory ids, and who changed the object, where that is known
 */
export async function correctDrift(call: DriftCall & Pick<ReleaseCall, "guard" | "traceparent" | "table">, document: ReleaseDocument, drifted: ReadonlyMap<string, string>): Promise<ApplyOutcome> {
  const { cluster, ignore, guard, signal, traceparent, table } = call;
  const ignoredOf = ignoredBy(ignore, call.place.name, { whole: true });
  const isIgnored = (object: KubeObject) => ignoredOf(object).some((pointer) => pointer.length === 0);
  const objects = (await watchedOver(call, document)).filter(({ id, object }) => drifted.has(id) && !isIgnored(object)).map(({ object }) => object);
  if (objects.length === 0) return { entries: [], changes: [] };
  return apply({
    cluster: under(cluster, releaseApplier), owner: ownerOf(call), objects: undigested(objects), inventory: [], scope: "all", drifted, ignore, guard, signal,
    ...(traceparent && { traceparent: () => traceparent() }), ...(table && { table }),
  });
}

async function watchedOver({ cluster, place, signal }: DriftCall, { manifest, version, namespace }: ReleaseDocument) {
  const objects = await readManifest(manifest, `Secret/${place.storageNamespace}/${secretName(place.name, version)}`, signal);
  const items = await placed(cluster, objects, namespace || place.namespace);
  return items.filter(({ object }) => !isSpared(object.metadata));
}

const isSpared = (metadata: KubeObject["metadata"]): boolean => marked(metadata, annotations.releaseDrift, "disabled");
