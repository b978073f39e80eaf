/** When to tell people, and what: one notice per news, not one per retry. */
import { faults, readFault, sentence, type FaultData } from "#protocol/errors/fault.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import type { ObjectFacts } from "#protocol/messages/object.ts";

/** The fault an effect answered with: alone, or beside what it got done before. */
export function faultOf(event: { type: string }): FaultData {
  const { error, output } = event as { error?: unknown; output?: { fault?: unknown } };
  return readFault(output?.fault ?? error);
}

/**
 * Undefined when the fault was told already: a retry that fails the same way is no news. Nor is waiting: a unit that is
 * created together with its source always waits for a moment, and its condition says so.
 */
export function faultNotice(before: FaultData | null, now: FaultData): Notice | undefined {
  if (faults[now.code].remedy === "wait") return undefined;
  if (before !== null && before.code === now.code && sentence(before) === sentence(now)) return undefined;
  return { type: "notice", severity: "Warning", reason: faults[now.code].reason, message: sentence(now) };
}

/** Fields the object uses and this release ignores are named once per generation: never silently ignored. */
export function notYetNotice(before: ObjectFacts | null, now: ObjectFacts): Notice | undefined {
  if (now.notYet.length === 0 || (before?.uid === now.uid && before.generation === now.generation)) return undefined;
  return {
    type: "notice", severity: "Warning", reason: "FieldNotActedOn",
    message: `accepted but not acted on by this release: ${now.notYet.join(", ")}`,
  };
}
