/** What an object says whose chart looks at something outside, and has nothing but Ready to say it with. */
import { progressing, retrying, stalledBy, type WantedStatus } from "#machines/rules/status.ts";
import { reasonOf, type SourceWords } from "#protocol/api/kind.ts";
import { sentence, type FaultData } from "#protocol/errors/fault.ts";

type Looking = { handledAt: string; observedGeneration: number; fault: FaultData | null };

/**
 * @param found what Ready says of what was found last; empty when nothing was
 * @param settled what it says when the look is over
 * @returns undefined: leave the object's status as it is
 */
export function lookingStatus(state: string, c: Looking, words: SourceWords, observed: Record<string, unknown>, found: string, settled = found): WantedStatus | undefined {
  if (["waiting", "adopting", "removing", "remaining", "gone"].includes(state)) return undefined;
  const handled = { handledAt: c.handledAt };
  if (state === "suspended") return handled;
  const kept = { ...handled, observed, ...(c.observedGeneration >= 0 && { observedGeneration: c.observedGeneration }) };
  if (c.fault) {
    const failure = { type: "Ready", status: "False", reason: reasonOf(c.fault.code, words), message: sentence(c.fault) } as const;
    return { ...kept, conditions: [failure, state === "stalled" ? stalledBy(c.fault, words) : retrying(c.fault)] };
  }
  const good = (message: string) => ({ type: "Ready", status: "True", reason: "Succeeded", message }) as const;
  if (state === "settled") return { ...kept, conditions: [good(settled)] };
  const message = "reconciliation in progress";
  return { ...kept, conditions: [found ? good(found) : { type: "Ready", status: "Unknown", reason: "Progressing", message }, progressing(message)] };
}
