/** Takes a release away (helm pkg/action/uninstall.go): its objects backwards, then what storage holds of it. */
import { isKept } from "#machines/rules/applier.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { waitTermination } from "#services/cluster/prune.ts";
import { isInterruption, Journal, type Acted, type ActionOptions, type ReleaseCall } from "./call.ts";
import { runHooks } from "./hooks.ts";
import { withInfo } from "./make.ts";
import { named } from "./manifest.ts";
import { removeObjects } from "./objects.ts";
import { objectsOf, readAll, unreplaced } from "./standing.ts";
import { listRevisions, readRevision, removeRevision, secretName, updateRevision, type Revision, type Stored } from "./storage.ts";

export type UninstallOptions = ActionOptions & { keepHistory: boolean; propagation: "background" | "foreground" | "orphan" };

const propagations = { background: "Background", foreground: "Foreground", orphan: "Orphan" } as const;

/**
 * @returns what was done; `fault` where not all went well: before the objects are gone the release is still there
 * @throws Fault when nothing was done; what interrupts the action: then it goes on when it is carried out again
 */
export async function uninstall(call: ReleaseCall, version: number, options: UninstallOptions): Promise<Acted> {
  const journal = new Journal();
  const nothing: Acted = { written: [], changes: [], hookLogs: [], log: journal.log };
  const revisions = await listRevisions(call);
  const [newest] = revisions;
  if (!newest) return { ...nothing, absent: true };
  const subject = `Secret/${call.place.storageNamespace}/${secretName(call.place.name, newest.version)}`;
  if (newest.version !== version) throw new Fault("ReleaseChanged", subject, { detail: `the newest revision is ${newest.version}, not ${version}` });
  const found = await readRevision(call, version);
  if (!found) throw new Fault("ReleaseChanged", subject, { detail: "it went meanwhile" });
  const isOurs = found.revision.intent === call.intent;
  if (found.document.info.status === "uninstalled") {
    if (!options.keepHistory) await purge(call, revisions);
    return { ...nothing, written: [found], entries: [], ...(!isOurs && { absent: true }) };
  }
  const resumed = isOurs && found.document.info.status === "uninstalling";
  return carryOut({ ...call, wary: call.wary || resumed }, journal, { found, resumed, revisions }, options);
}

async function carryOut(call: ReleaseCall, journal: Journal, { found, resumed, revisions }: { found: Stored; resumed: boolean; revisions: Revision[] }, options: UninstallOptions): Promise<Acted> {
  const { name } = call.place;
  const beginning = { status: "uninstalling", deleted: new Date().toISOString(), description: "Deletion in progress (or silently failed)" } as const;
  let stored = resumed ? found : await updateRevision(call, found, withInfo(found.document, beginning), { intent: call.intent });
  const acted = (more: Partial<Acted>): Acted => ({ written: [stored], changes: journal.changes, gone: journal.gone, ...(resumed && { resumed }), hookLogs: journal.hookLogs, log: journal.log, ...more });

  if (options.hooks) {
    const { stored: now, fault } = await runHooks(call, journal, stored, "pre-delete", options.timeoutMs);
    stored = now;
    if (fault) {
      // Whoever tries it again begins with the first hook, as Helm does.
      stored = await updateRevision(call, stored, stored.document, { intent: call.intent });
      return acted({ fault: fault.toJSON() });
    }
  }
  const items = await objectsOf(call, [stored, ...(await readAll(call, unreplaced(revisions.slice(1))))]);
  const { deleted, missing, skipped, fault } = await removeObjects(call, items.filter(({ object }) => !isKept(object.metadata.annotations)), new Set(), propagations[options.propagation]);
  journal.gone.push(...named(items, deleted));
  const gone = deleted.filter((id) => !missing.includes(id));
  journal.changes.push(...gone.map((id) => ({ id, action: "deleted" as const })));
  journal.say(`deleted ${gone.length} objects${skipped.length > 0 ? `, kept ${skipped.length}` : ""}`);
  if (fault?.code === "LeaseLost") throw new Fault(fault.code, fault.subject);
  if (fault) return acted({ fault });

  const late: string[] = [];
  // Seen to its end even where it takes too long: as with Helm, what is still on its way out then holds up nothing.
  const left = options.wait === "hooks" ? [] : await waitTermination(call, gone, options.timeoutMs);
  if (left.length > 0) late.push(`${left.length} objects are still there after the timeout, such as ${left[0] ?? ""}`);
  if (options.hooks)
    try {
      const run = await runHooks(call, journal, stored, "post-delete", options.timeoutMs);
      stored = run.stored;
      if (run.fault) late.push(run.fault.detail ?? run.fault.message);
    } catch (thrown) {
      if (isInterruption(thrown, call)) throw thrown;
      late.push(Fault.from(thrown, name).message);
    }
  const written = await settle(call, stored, revisions, options.keepHistory);
  const failure = late.length > 0 ? new Fault("ReleaseFailed", name, { detail: `uninstallation completed with ${late.length} error(s): ${late.join("; ")}` }).toJSON() : undefined;
  return acted({ written, entries: [], ...(failure && { fault: failure }) });
}

async function settle(call: ReleaseCall, stored: Stored, revisions: Revision[], keepHistory: boolean): Promise<Stored[]> {
  const ended = withInfo(stored.document, { status: "uninstalled", description: "Uninstallation complete" });
  if (!keepHistory) {
    await purge(call, await listRevisions(call));
    return [{ ...stored, document: ended }];
  }
  const written: Stored[] = [];
  for (const { version, status } of revisions) {
    if (version === stored.revision.version || status !== "deployed") continue;
    const other = await readRevision(call, version);
    if (other) written.push(await updateRevision(call, other, withInfo(other.document, { status: "superseded" })));
  }
  return [await updateRevision(call, stored, ended), ...written];
}

/** The newest goes last: whoever finds less than all of them still finds what became of the release. */
async function purge(call: ReleaseCall, revisions: Revision[]): Promise<void> {
  for (const revision of revisions.toReversed()) await removeRevision(call, revision);
}
