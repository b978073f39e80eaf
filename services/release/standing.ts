/** What may stand in the cluster of revisions that others did not replace altogether. */
import type { ReleaseCall } from "./call.ts";
import { placedStill, readManifest, type ManifestObject } from "./manifest.ts";
import { readRevision, secretName, type Revision, type Stored } from "./storage.ts";

const endings = new Set(["deployed", "superseded", "uninstalled"]);

/**
 * The last revision that ended well, and what failed or was never finished since: whoever comes next replaces all of it. Helm heeds but one of them, and
 * leaves what the others made.
 *
 * @param revisions newest first
 */
export function unreplaced(revisions: readonly Revision[]): Revision[] {
  const last = revisions.findIndex(({ status }) => endings.has(status));
  return revisions.slice(0, last < 0 ? revisions.length : last + 1).filter(({ status }) => status !== "uninstalled");
}

/** Those that storage still has. */
export async function readAll(call: ReleaseCall, revisions: readonly Revision[]): Promise<Stored[]> {
  const found = await Promise.all(revisions.map(({ version }) => readRevision(call, version)));
  return found.filter((each) => each !== undefined);
}

/** Objects of several revisions, each once, as the first that has it says. */
export async function objectsOf(call: ReleaseCall, revisions: readonly Stored[]): Promise<ManifestObject[]> {
  const { name, storageNamespace, namespace } = call.place;
  const found = await Promise.all(revisions.map(async ({ document, revision: { version } }) =>
    placedStill(call.cluster, await readManifest(document.manifest, `Secret/${storageNamespace}/${secretName(name, version)}`, call.signal), document.namespace || namespace)));
  return [...new Map(found.flat().toReversed().map((item) => [item.id, item])).values()];
}
