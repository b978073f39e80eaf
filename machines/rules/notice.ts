/** When to tell people, and what: one notice per news, not one per retry. */
import { reasonOf, type SourceWords } from "#protocol/api/kind.ts";
import { faults, readFault, sentence, type FaultData } from "#protocol/errors/fault.ts";
import { displayName, parseInventoryId } from "#machines/rules/inventory.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import { formatDuration } from "#protocol/api/duration.ts";

/** The fault an effect answered with: alone, or beside what it got done before. */
export function faultOf(event: { type: string }): FaultData {
  const { error, output } = event as { error?: unknown; output?: { fault?: unknown } };
  return readFault(output?.fault ?? error);
}

/**
 * Undefined when the fault was told already: a retry that fails the same way is no news. Nor is waiting: a unit that is
 * created together with its source always waits for a moment, and its condition says so.
 */
export function faultNotice(before: FaultData | null, now: FaultData, words?: Pick<SourceWords, "reasons">): Notice | undefined {
  if (faults[now.code].remedy === "wait") return undefined;
  if (before !== null && before.code === now.code && sentence(before) === sentence(now)) return undefined;
  return { type: "notice", severity: "Warning", reason: reasonOf(now.code, words), message: sentence(now) };
}

const mostNamed = 10;

/** The objects of a unit that goes stay behind: whoever looks for them later finds their names here. */
export function abandonedNotice({ account, ids }: { account: { namespace: string; name: string }; ids: string[] }): Notice {
  const names = ids.slice(0, mostNamed).map((id) => displayName(parseInventoryId(id)));
  const more = ids.length > mostNamed ? ` and ${ids.length - mostNamed} more` : "";
  return {
    type: "notice", severity: "Warning", reason: "PruneFailed",
    message: `ServiceAccount/${account.namespace}/${account.name} not found: nothing is deleted in its name, and these stay: ${names.join(", ")}${more}`,
  };
}

/** In Flux's words; told once for a wait, not at every look. */
export const blockedNotice = (revision: string, againMs: number): Notice => ({
  type: "notice", severity: "Normal", reason: "DependencyNotReady", revision,
  message: `Dependencies do not meet ready condition, retrying in ${formatDuration(againMs)}`,
});
