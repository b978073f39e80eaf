/**
 * Takes away what a crashed owner had sent and what arrived when it was not wanted any more: objects, hooks, and revisions that
 * nobody works on. Asked for when nothing more can arrive (docs/spec/fencing.md).
 */
import { lateHookApplier, releaseApplier } from "#machines/rules/applier.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { prune } from "#services/cluster/prune.ts";
import type { GoneObject, ReleaseCall } from "./call.ts";
import { isPending } from "./document.ts";
import { readManifest, placedStill } from "./manifest.ts";
import { bareEntries, ownerOf, under } from "./objects.ts";
import { listRevisions, readRevision, removeRevision, secretName } from "./storage.ts";

/**
 * @param uid of the HelmRelease: only what was decided on for this very object counts as ours. Undefined where an action was called
 * off that the release is to be uninstalled after: what it had made stands in its revision alone, and goes with that
 * @param wanted ids of the release's objects as they are now
 * @throws Fault when not all of it could be looked for
 */
export async function sweepLate(call: ReleaseCall, uid: string | undefined, objects: readonly GoneObject[], wanted: ReadonlySet<string>): Promise<void> {
  if (uid !== undefined) await removeStale(call, uid);
  const keep = new Set([...wanted, ...(await hooksThatStay(call))]);
  for (const [applier, hook] of [[releaseApplier, false], [lateHookApplier, true]] as const) {
    const entries = objects.filter((each) => (each.hook === true) === hook).map(({ id, v }) => ({ id, v, uid: "", digest: "", owned: "" }));
    const { fault } = await prune({ cluster: under(call.cluster, applier), owner: ownerOf(call), entries: entries.filter(({ id }) => !keep.has(id)), guard: call.guard, signal: call.signal });
    if (fault) throw new Fault(fault.code, fault.subject, { detail: fault.detail });
  }
}

/** No action is under way: whoever decided on it is gone, and nothing can have been done for it. */
async function removeStale(call: ReleaseCall, uid: string): Promise<void> {
  for (const revision of await listRevisions(call))
    if (isPending(revision.status) && revision.intent?.startsWith(`${uid}.`)) await removeRevision(call, revision);
}

/** A hook that no policy deletes stands for the last action that had it. */
async function hooksThatStay(call: ReleaseCall): Promise<string[]> {
  const [newest] = await listRevisions(call);
  const stored = newest && (await readRevision(call, newest.version));
  const staying = (stored?.document.hooks ?? []).filter(({ last_run: { phase }, delete_policies: policies = [] }) =>
    phase !== "" && !policies?.includes(phase === "Failed" ? "hook-failed" : "hook-succeeded"));
  const subject = `Secret/${call.place.storageNamespace}/${secretName(call.place.name, newest?.version ?? 0)}`;
  const found = await Promise.all(staying.map(async ({ manifest }) => bareEntries(await placedStill(call.cluster, await readManifest(manifest, subject, call.signal), call.place.namespace))));
  return found.flat().map(({ id }) => id);
}
