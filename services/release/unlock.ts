/** Marks a revision failed that somebody left pending, so that the release can be acted on again (helm-controller internal/reconcile/unlock.go). */
import { Fault } from "#protocol/errors/fault.ts";
import type { Acted, ReleaseCall } from "./call.ts";
import { isPending } from "./document.ts";
import { withInfo } from "./make.ts";
import { readRevision, secretName, updateRevision } from "./storage.ts";

/** One that is not pending is left as it is. @throws Fault ReleaseMissing, ReleaseChanged */
export async function unlock(call: ReleaseCall, version: number): Promise<Acted> {
  const found = await readRevision(call, version);
  if (!found) throw new Fault("ReleaseMissing", `Secret/${call.place.storageNamespace}/${secretName(call.place.name, version)}`);
  const { info: { status } } = found.document;
  const done: Acted = { written: [found], changes: [], hookLogs: [], log: [] };
  if (!isPending(status)) return done;
  const failed = withInfo(found.document, { status: "failed", description: `Release unlocked from stale '${status}' state` });
  return { ...done, written: [await updateRevision(call, found, failed, { intent: call.intent })] };
}
