/** What a chart that looks at something outside keeps of its object when it is seen. */
import { faultNotice } from "#machines/rules/notice.ts";
import { handlingOf } from "#machines/rules/object.ts";
import type { SourceWords } from "#protocol/api/kind.ts";
import type { FaultData } from "#protocol/errors/fault.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import type { SourceFacts } from "#protocol/messages/object.ts";

type Seeing = { facts: SourceFacts | null; fault: FaultData | null; handling: string; handledAt: string; observedGeneration: number };

export function seen(before: Seeing, { handledAt, ...facts }: SourceFacts, words: SourceWords): { notice: Notice | undefined; changes: Partial<Seeing> } {
  const notice = facts.invalid && faultNotice(before.fault, facts.invalid, words);
  // The status is ours: what it says counts only before we have said anything ourselves.
  const anew = before.facts?.uid === facts.uid ? {} : { handledAt, handling: "", observedGeneration: -1 };
  const changes = { ...anew, facts: { ...facts, handledAt: "" } };
  // Nothing can be done for it, and so it is handled.
  return { notice, changes: facts.invalid ? { ...changes, fault: facts.invalid, handling: handlingOf({ ...before, ...changes }) } : changes };
}
