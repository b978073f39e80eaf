/** Runs a release's test hooks (helm pkg/action/release_testing.go). */
import { Fault } from "#protocol/errors/fault.ts";
import type { TestHook } from "#protocol/messages/release.ts";
import { Journal, type Acted, type ReleaseCall } from "./call.ts";
import type { Hook } from "./document.ts";
import { runHooks } from "./hooks.ts";
import { listRevisions, readRevision, secretName, updateRevision } from "./storage.ts";

/** `spec.test.filters`: with any that does not exclude, only what is named is run. */
export type TestFilter = { name: string; exclude?: boolean | undefined };

/**
 * @returns what each selected test came to; `fault` when one failed
 * @throws Fault when nothing was run; what interrupts the action: then it goes on when it is carried out again
 */
export async function testRelease(call: ReleaseCall, version: number, { timeoutMs, filters }: { timeoutMs: number; filters: readonly TestFilter[] }): Promise<Acted> {
  const journal = new Journal();
  const subject = `Secret/${call.place.storageNamespace}/${secretName(call.place.name, version)}`;
  const [newest] = await listRevisions(call);
  if (newest?.version !== version) throw new Fault("ReleaseChanged", subject, { detail: newest ? `the newest revision is ${newest.version}` : "there is none" });
  const found = await readRevision(call, version);
  if (!found) throw new Fault("ReleaseChanged", subject, { detail: "it went meanwhile" });
  const resumed = found.revision.intent === call.intent;
  const begun = resumed ? found : await updateRevision(call, found, found.document, { intent: call.intent });
  const { stored, fault } = await runHooks({ ...call, wary: call.wary || resumed }, journal, begun, "test", timeoutMs, isSelected(filters));
  const tests = (stored.document.hooks ?? []).filter((hook) => hook.events?.includes("test") && isSelected(filters)(hook));
  return {
    written: [stored], changes: journal.changes, gone: journal.gone, ...(resumed && { resumed }), hookLogs: journal.hookLogs, log: journal.log,
    testHooks: Object.fromEntries(tests.map((hook) => [hook.name, outcomeOf(hook)])), ...(fault && { fault: fault.toJSON() }),
  };
}

function isSelected(filters: readonly TestFilter[]): (hook: Hook) => boolean {
  const [excluded, included] = [filters.filter(({ exclude }) => exclude), filters.filter(({ exclude }) => !exclude)].map((list) => new Set(list.map(({ name }) => name)));
  return ({ name }) => !excluded?.has(name) && (included?.size === 0 || included?.has(name) === true);
}

function outcomeOf({ last_run: { started_at: lastStarted, completed_at: lastCompleted, phase } }: Hook): TestHook {
  return { ...(lastStarted && { lastStarted }), ...(lastCompleted && { lastCompleted }), ...(phase && { phase }) };
}
