/**
 * Hooks of one event, one after the other by weight (helm pkg/action/hooks.go). How far they are is stored before and after
 * each: whoever goes on after a crash runs none again that ended, and waits for one that runs.
 */
import { displayName, objectIdOf } from "#machines/rules/inventory.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { isInterruption, type Journal, type ReleaseCall } from "./call.ts";
import type { Hook, HookEvent } from "./document.ts";
import { hookLogs } from "./hook-logs.ts";
import { readManifest, placed, type ManifestObject } from "./manifest.ts";
import { applyHook, removeHook } from "./objects.ts";
import { waitForHook } from "./ready.ts";
import { updateRevision, type Stored } from "./storage.ts";

export type HookRun = { stored: Stored; /** What the first that failed came to. */ fault?: Fault };

/** An action has hooks before its objects and after them. */
const isAfter = (stage: string | undefined, event: HookEvent): boolean => event.startsWith("pre-") && stage !== undefined && stage.startsWith("post-");

const orderOf = ({ weight = 0 }: Hook) => weight;
const byWeight = (a: Hook, b: Hook): number => orderOf(a) - orderOf(b) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

/**
 * @param isWanted which of them run: the filters of a test
 * @returns the revision as it is stored now
 * @throws what interrupts the action; then it goes on where it is
 */
export async function runHooks(
  call: ReleaseCall, journal: Journal, start: Stored, event: HookEvent, timeoutMs: number, isWanted: (hook: Hook) => boolean = () => true,
): Promise<HookRun> {
  if (isAfter(start.revision.stage, event)) return { stored: start };
  const hooks = (start.document.hooks ?? []).filter((hook) => hook.events?.includes(event) && isWanted(hook)).sort(byWeight);
  let stored = start;
  const note = async (hook: Hook, run: Hook["last_run"]) => {
    Object.assign(hook, { last_run: run });
    stored = await updateRevision(call, stored, start.document, { stage: event });
  };
  const begun = start.revision.stage === event;
  const placedHooks = new Map<Hook, ManifestObject[]>();
  for (const [index, hook] of hooks.entries()) {
    const subject = `${event} hook ${hook.path || hook.name}`;
    const phase = begun ? hook.last_run.phase : "";
    hook.delete_policies = hook.delete_policies?.length ? hook.delete_policies : ["before-hook-creation"];
    const items = await placed(call.cluster, await readManifest(hook.manifest, subject, call.signal), call.place.namespace);
    placedHooks.set(hook, items);
    if (phase === "Succeeded") continue;
    const startedAt = phase === "Running" ? (hook.last_run.started_at ?? now()) : now();
    try {
      if (phase === "Failed") throw new Fault("HookFailed", subject, { detail: "it failed before" });
      if (phase !== "Running") {
        if (mayGo(hook, "before-hook-creation")) await removeHook(call, items, timeoutMs);
        await note(hook, { started_at: startedAt, phase: "Running" });
      }
      // One that is there was made by this very run, before it was interrupted: an apply leaves it as it is.
      journal.changes.push(...(await applyHook(call, items)));
      await waitForHook(call, items, timeoutMs);
    } catch (thrown) {
      if (isInterruption(thrown, call)) throw thrown;
      const { code, detail } = Fault.from(thrown, subject);
      if (phase !== "Failed") await note(hook, { started_at: startedAt, completed_at: now(), phase: "Failed" });
      journal.say(`${subject} failed`);
      if (hook.output_log_policies?.includes("hook-failed")) journal.hookLogs.push(...(await hookLogs(call, items)));
      await removeBy(call, journal, [hook], "hook-failed", placedHooks, timeoutMs);
      await removeBy(call, journal, hooks.slice(0, index), "hook-succeeded", placedHooks, timeoutMs);
      return { stored, fault: new Fault("HookFailed", nameOf(items, subject), { detail: `${subject} failed: ${detail ?? code}`, cause: thrown }) };
    }
    await note(hook, { started_at: startedAt, completed_at: now(), phase: "Succeeded" });
    journal.say(`${subject} succeeded`);
  }
  for (const hook of hooks.toReversed())
    if (hook.output_log_policies?.includes("hook-succeeded")) journal.hookLogs.push(...(await hookLogs(call, placedHooks.get(hook) ?? [])));
  await removeBy(call, journal, hooks.toReversed(), "hook-succeeded", placedHooks, timeoutMs);
  return { stored };
}

/** Later, where the creation of one may still arrive. What cannot be deleted is told, and changes nothing: the hooks themselves have ended. */
async function removeBy(call: ReleaseCall, journal: Journal, hooks: Hook[], policy: string, items: ReadonlyMap<Hook, ManifestObject[]>, timeoutMs: number): Promise<void> {
  for (const hook of hooks.filter((each) => mayGo(each, policy)))
    try {
      const objects = items.get(hook) ?? [];
      if (call.wary) journal.gone.push(...objects.map(({ id, v }) => ({ id, v, hook: true as const })));
      else await removeHook(call, objects, timeoutMs);
    } catch (thrown) {
      if (isInterruption(thrown, call)) throw thrown;
      journal.say(`hook ${hook.path || hook.name} could not be deleted: ${Fault.from(thrown, hook.name).detail ?? ""}`);
    }
}

/** A definition is never deleted: all objects of its kind would go too. */
const mayGo = (hook: Hook, policy: string): boolean => hook.kind !== "CustomResourceDefinition" && hook.delete_policies?.includes(policy) === true;

const nameOf = ([first]: ManifestObject[], otherwise: string): string => (first ? displayName(objectIdOf(first.object)) : otherwise);

const now = (): string => new Date().toISOString();
