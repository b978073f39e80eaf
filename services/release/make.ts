/**
 * Makes one revision: install, upgrade and rollback (helm pkg/action). The Secret is written before the first object and says
 * how it ended after the last; in between nothing is remembered that the cluster does not show, so that whoever carries out
 * the same decision again goes on, and two never make two revisions of it.
 */
import { parseInventoryId, type KubeObject } from "#machines/rules/inventory.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { InventoryEntry } from "#protocol/messages/kustomization.ts";
import { readMetadata } from "#services/cluster/handle.ts";
import { isInterruption, Journal, type Acted, type MakeOptions, type ReleaseCall } from "./call.ts";
import { isPending, type HookEvent, type ReleaseDocument } from "./document.ts";
import { runHooks } from "./hooks.ts";
import { named, readManifest, placed, placedStill, type ManifestObject } from "./manifest.ts";
import { applyDefinitions, applyObjects, bareEntries, createNamespace, definitionsOf, entriesOf, refuseForeign, removeObjects, settled, type DefinitionPolicy } from "./objects.ts";
import { waitReady } from "./ready.ts";
import { objectsOf, readAll, unreplaced } from "./standing.ts";
import { createRevision, listRevisions, readRevision, secretName, truncate, updateRevision, type Revision, type Stored } from "./storage.ts";

/** What the chart came to: everything but where the revision stands. */
export type Composition = Pick<ReleaseDocument, "chart" | "config" | "manifest" | "hooks"> & { notes?: string };

export type ChartDefinitions = { /** Files of the chart's `crds/`, those of its dependencies included, as text. */ files: string[]; policy: DefinitionPolicy };

type Made = { action: "install" | "upgrade"; version: number; composition: Composition; definitions: ChartDefinitions; /** Makes the release's namespace where it is missing. */ createNamespace: boolean };
type Again = { action: "rollback"; version: number; /** The revision whose contents come back. */ to: number };

/**
 * @returns what was done; `fault` beside a revision that is stored as failed
 * @throws Fault when nothing is stored; what interrupts the action: then it goes on when it is carried out again
 */
export async function make(call: ReleaseCall, asked: Made | Again, options: MakeOptions): Promise<Acted> {
  const run = await begin(call, asked, options);
  if (!("action" in run)) return run;
  const { journal } = run;
  call = { ...call, wary: call.wary || run.resumed };
  try {
    await carryOut(call, run, options);
    return await finish(call, run, deployed(asked));
  } catch (thrown) {
    if (isInterruption(thrown, call)) throw thrown;
    const fault = Fault.from(thrown, call.place.name);
    journal.say(`${asked.action} failed: ${fault.detail ?? fault.code}`);
    const acted = await fail(call, run, `${failureOf(asked.action, call.place.name)} failed: ${fault.detail ?? fault.message}`);
    if (options.cleanupOnFail) await cleanUp(call, run);
    return { ...acted, fault: fault.toJSON() };
  }
}

type Run = {
  action: "install" | "upgrade" | "rollback";
  journal: Journal;
  stored: Stored;
  /** Goes on where a run before was interrupted. */
  resumed: boolean;
  /** What is replaced, and is superseded when all went well. */
  current: Stored | undefined;
  /** The revision that is superseded, however it ended. */
  replaced: number | undefined;
  others: Revision[];
  target: ManifestObject[];
  before: ManifestObject[];
  /** What goes: it was in what is replaced, or in what failed since, and is not wanted any more. */
  left: ManifestObject[];
  serverSide: boolean;
  definitions: KubeObject[];
  written: Map<number, Stored>;
  entries: InventoryEntry[];
  created: Set<string>;
};

async function begin(call: ReleaseCall, asked: Made | Again, options: MakeOptions): Promise<Run | Acted> {
  const journal = new Journal();
  const { place } = call;
  const subject = `Secret/${place.storageNamespace}/${secretName(place.name, asked.version)}`;
  const revisions = await listRevisions(call);
  const there = revisions.find(({ version }) => version === asked.version);
  const others = revisions.filter((each) => each !== there);
  if (there && there.intent !== call.intent) throw new Fault("ReleaseChanged", subject, { detail: "somebody else made this revision" });
  const [newest] = others;
  if (newest && newest.version > asked.version) throw new Fault("ReleaseChanged", subject, { detail: `there is a later revision, ${newest.version}` });
  if (!there && newest && asked.action === "install" && !options.replace) throw new Fault("ReleaseNameTaken", subject, { detail: "cannot reuse a name that is still in use" });
  if (!there && newest && isPending(newest.status)) throw new Fault("ReleaseChanged", subject, { detail: "another operation (install/upgrade/rollback) is in progress" });
  const stored = there && (await readRevision(call, there.version));
  if (stored && !isPending(stored.document.info.status)) return answerOf(call, stored, journal);
  const last = newest && (await needRevision(call, newest.version));
  const current = asked.action === "install" ? undefined : asked.action === "rollback" ? last : await replacedBy(call, others, last);
  const source = asked.action === "rollback" ? (await needRevision(call, asked.to)).document : undefined;
  const method = asked.action === "rollback" ? source?.apply_method : last?.document.apply_method;
  const serverSide = options.serverSide === "auto" ? (asked.action === "install" ? true : method === "ssa") : options.serverSide;
  const document = stored?.document ?? documentOf(call, asked, source, { current, serverSide });
  const { definitions } = await chartDefinitions(call, asked, journal);
  const target = await placed(call.cluster, await readManifest(document.manifest, subject, call.signal), place.namespace, definitions);
  const before = current ? await placedStill(call.cluster, await readManifest(current.document.manifest, subject, call.signal), current.document.namespace || place.namespace) : [];
  const since = await readAll(call, unreplaced(others).filter(({ version }) => version !== current?.revision.version));
  const left = without([...before, ...without(await objectsOf(call, since), before)], target);
  if (!options.takeOwnership && asked.action !== "rollback") await refuseForeign(call, without(target, before));
  if (asked.action !== "rollback" && asked.createNamespace) journal.changes.push(...(await createNamespace(call)));
  if (!stored) await truncate(call, revisions, options.maxHistory);
  const begun = stored ?? (await createRevision(call, document, call.intent, current?.labels ? userLabels(current.labels) : {}));
  if (!isPending(begun.document.info.status)) return answerOf(call, begun, journal);
  return {
    action: asked.action, journal, stored: begun, resumed: stored !== undefined, current, replaced: replacedIn(asked, current, newest), others, target, before, left, serverSide: begun.document.apply_method === "ssa",
    definitions, written: new Map([[begun.revision.version, begun]]), entries: bareEntries(target), created: new Set(),
  };
}

async function carryOut(call: ReleaseCall, run: Run, options: MakeOptions): Promise<void> {
  const { action, journal, target, before } = run;
  if (options.hooks) await hooksOf(call, run, `pre-${action}`, options.timeoutMs);
  const outcome = await applyObjects(call, target, { serverSide: run.serverSide, force: options.force, before });
  journal.changes.push(...outcome.changes);
  for (const { id, action: how } of outcome.changes) if (how === "created") run.created.add(id);
  const known = new Map(outcome.entries.map((entry) => [entry.id, entry]));
  run.entries = run.entries.map((entry) => known.get(entry.id) ?? entry);
  journal.say(`applied ${outcome.changes.length} of ${target.length} objects, ${run.created.size} of them new`);
  settled(outcome);
  await removeLeft(call, run);
  await waitReady(call, target, options);
  if (options.hooks) await hooksOf(call, run, `post-${action}`, options.timeoutMs);
}

async function hooksOf(call: ReleaseCall, run: Run, event: HookEvent, timeoutMs: number): Promise<void> {
  const { stored, fault } = await runHooks(call, run.journal, run.stored, event, timeoutMs);
  note(run, stored);
  if (fault) throw fault;
}

/** What left the manifest goes, unless it says that it is to be kept. */
async function removeLeft(call: ReleaseCall, { journal, target, left }: Run): Promise<void> {
  if (left.length === 0) return;
  const { deleted, missing, fault } = await removeObjects(call, left, new Set(target.map(({ id }) => id)));
  journal.gone.push(...named(left, deleted));
  const gone = deleted.filter((id) => !missing.includes(id));
  journal.changes.push(...gone.map((id) => ({ id, action: "deleted" as const })));
  if (gone.length > 0) journal.say(`deleted ${gone.length} objects that left the manifest`);
  if (fault) throw new Fault(fault.code, fault.subject, { detail: fault.detail });
}

type Ending = { status: "deployed" | "failed"; description: string };

/** What was deployed before is superseded first, as Helm does it: of two that are deployed the newer one would count. */
async function finish(call: ReleaseCall, run: Run, ending: Ending): Promise<Acted> {
  const replaced = run.others.filter(({ version, status }) => status === "deployed" || (version === run.replaced && status !== "superseded"));
  for (const { version } of replaced) {
    const other = version === run.current?.revision.version ? run.current : await readRevision(call, version);
    if (other) run.written.set(version, await updateRevision(call, other, withInfo(other.document, { status: "superseded" })));
  }
  return settle(call, run, ending);
}

async function fail(call: ReleaseCall, run: Run, description: string): Promise<Acted> {
  return settle(call, run, { status: "failed", description });
}

async function settle(call: ReleaseCall, run: Run, ending: Ending): Promise<Acted> {
  note(run, await updateRevision(call, run.stored, withInfo(run.stored.document, ending)));
  return actedOf(call, run);
}

async function actedOf({ cluster }: ReleaseCall, { written, entries, definitions, journal, resumed }: Run): Promise<Acted> {
  const newestFirst = [...written.values()].sort((a, b) => b.revision.version - a.revision.version);
  return { written: newestFirst, entries: [...entries, ...(await entriesOf(cluster, definitions))], changes: journal.changes, gone: journal.gone, ...(resumed && { resumed }), hookLogs: journal.hookLogs, log: journal.log };
}

/** It was carried out before: what it came to is in storage. */
async function answerOf(call: ReleaseCall, stored: Stored, { log }: Journal): Promise<Acted> {
  const { info: { status, description = "" }, manifest } = stored.document;
  const subject = `Secret/${call.place.storageNamespace}/${secretName(call.place.name, stored.revision.version)}`;
  const entries = bareEntries(await placedStill(call.cluster, await readManifest(manifest, subject, call.signal), call.place.namespace));
  const fault = status === "failed" ? new Fault("ReleaseFailed", call.place.name, { detail: description }).toJSON() : undefined;
  return { written: [stored], entries, changes: [], hookLogs: [], log, ...(fault && { fault }) };
}

/** What this action made, as far as that can be told: also by a run of it that was interrupted. */
async function cleanUp(call: ReleaseCall, { target, before, created, resumed, stored, journal }: Run): Promise<void> {
  const known = new Set(before.map(({ id }) => id));
  const older = resumed ? await madeSince(call, target.filter(({ id }) => !known.has(id)), stored.revision.createdAt) : [];
  const made = target.filter(({ id }) => created.has(id) || older.includes(id));
  const { deleted, fault } = await removeObjects(call, made, new Set());
  journal.gone.push(...named(made, deleted));
  journal.changes.push(...deleted.map((id) => ({ id, action: "deleted" as const })));
  journal.say(fault ? `not all of what was created could be deleted: ${fault.detail ?? ""}` : `deleted ${deleted.length} objects that were created`);
}

/** Both times are the API server's. */
async function madeSince({ cluster, signal }: ReleaseCall, items: ManifestObject[], sinceTime: string): Promise<string[]> {
  const found = await Promise.all(items.map(async ({ id, object }) => {
    const resource = await cluster.discovery.known(object.apiVersion, object.kind);
    const live = resource && (await readMetadata(cluster, resource, parseInventoryId(id), signal));
    return live && Date.parse(live.creationTimestamp ?? "") >= Date.parse(sinceTime) ? [id] : [];
  }));
  return found.flat();
}

async function chartDefinitions(call: ReleaseCall, asked: Made | Again, journal: Journal): Promise<{ definitions: KubeObject[] }> {
  if (asked.action === "rollback") return { definitions: [] };
  const { files, policy } = asked.definitions;
  const read = await Promise.all(files.map((file, index) => readManifest(file, `crds file ${index + 1}`, call.signal)));
  const { definitions, strangers } = definitionsOf(read.flat());
  if (strangers.length > 0) journal.say(`not applied, because the chart's crds/ is for definitions alone: ${strangers.slice(0, 5).join(", ")}`);
  journal.changes.push(...(await applyDefinitions(call, definitions, policy)));
  return { definitions: policy === "Skip" ? [] : definitions };
}

/** Beside what is deployed: of an upgrade what it was compared with; of an install in place of a release that is gone, that one. */
function replacedIn({ action }: Made | Again, current: Stored | undefined, newest: Revision | undefined): number | undefined {
  if (action === "install") return newest?.status === "failed" ? undefined : newest?.version;
  return action === "upgrade" ? current?.revision.version : undefined;
}

/** What an upgrade is compared with: what is deployed, else the newest. */
async function replacedBy(call: ReleaseCall, others: Revision[], last: Stored | undefined): Promise<Stored | undefined> {
  const deployedOne = others.find(({ status }) => status === "deployed");
  return deployedOne && deployedOne.version !== last?.revision.version ? needRevision(call, deployedOne.version) : last;
}

async function needRevision(call: ReleaseCall, version: number): Promise<Stored> {
  const found = await readRevision(call, version);
  if (found) return found;
  const { name, storageNamespace } = call.place;
  throw new Fault("ReleaseMissing", `Secret/${storageNamespace}/${secretName(name, version)}`, { detail: `release has no ${version} version` });
}

function documentOf({ place }: ReleaseCall, asked: Made | Again, source: ReleaseDocument | undefined, { current, serverSide }: { current: Stored | undefined; serverSide: boolean }): ReleaseDocument {
  const now = new Date().toISOString();
  const { notes, ...contents } = asked.action === "rollback" ? contentsOf(source) : asked.composition;
  const info = {
    first_deployed: current?.document.info.first_deployed ?? now, last_deployed: now,
    description: { install: "Initial install underway", upgrade: "Preparing upgrade", rollback: `Rollback to ${asked.action === "rollback" ? asked.to : ""}` }[asked.action],
    status: `pending-${asked.action}` as const, ...(notes && { notes }),
  };
  // Hooks of an action begin as ones that never ran.
  const hooks = contents.hooks?.map((hook) => ({ ...hook, last_run: { phase: "" } }));
  return {
    name: place.name, info, ...contents, ...(hooks && { hooks }), version: asked.version,
    namespace: (asked.action === "rollback" ? current?.document.namespace : undefined) ?? place.namespace, apply_method: serverSide ? "ssa" : "csa",
  };
}

function contentsOf(source: ReleaseDocument | undefined): Composition {
  const { chart, config, manifest = "", hooks, info } = source ?? ({} as Partial<ReleaseDocument>);
  return { ...(chart && { chart }), ...(config && { config }), manifest, ...(hooks && { hooks }), ...(info?.notes && { notes: info.notes }) };
}

const deployed = (asked: Made | Again): Ending => ({
  status: "deployed",
  description: asked.action === "rollback" ? `Rollback to ${asked.to}` : asked.action === "install" ? "Install complete" : "Upgrade complete",
});

const failureOf = (action: Run["action"], name: string): string => ({ install: `Release "${name}"`, upgrade: `Upgrade "${name}"`, rollback: `Rollback "${name}"` })[action];

export const withInfo = (document: ReleaseDocument, info: Partial<ReleaseDocument["info"]>): ReleaseDocument => ({ ...document, info: { ...document.info, ...info } });

const without = (items: ManifestObject[], others: ManifestObject[]): ManifestObject[] => {
  const ids = new Set(others.map(({ id }) => id));
  return items.filter(({ id }) => !ids.has(id));
};

const userLabels = ({ createdAt: _, ...labels }: Record<string, string>): Record<string, string> => labels;

function note(run: Run, stored: Stored): void {
  run.stored = stored;
  run.written.set(stored.revision.version, stored);
}
