/** Where the time went: walks back from the end and charges every instant to the step that held up the finish. */
import { attribute } from "#protocol/trace/attributes.ts";
import type { StoredSpan } from "#protocol/trace/span.ts";
import type { Interval } from "./axis.ts";

export type Share = { step: string; ms: number };

/** Longest first; the shares add up to the whole. `waiting` is time in which no step ran. */
export function accountOf(whole: Interval, leaves: StoredSpan[]): Share[] {
  const shares = new Map<string, number>();
  const charge = (step: string, ms: number) => void (ms > 0 && shares.set(step, (shares.get(step) ?? 0) + ms));
  let atMs = whole.endMs; // everything later is charged
  for (const leaf of [...leaves].sort((a, b) => b.endMs - a.endMs || b.startMs - a.startMs)) {
    charge("waiting", atMs - leaf.endMs);
    atMs = Math.min(atMs, leaf.endMs);
    charge(stepOf(leaf), atMs - leaf.startMs);
    atMs = Math.min(atMs, leaf.startMs);
  }
  charge(leaves.length > 0 ? "until noticed" : "waiting", atMs - whole.startMs);
  return [...shares].map(([step, ms]) => ({ step, ms })).sort((a, b) => b.ms - a.ms);
}

/** `apply` for `apply Deployment/apps/podinfo`: spans of one sort are named by their first word. */
export const stepOf = ({ name, attributes }: StoredSpan): string =>
  String(attributes?.[attribute.taskName] ?? name.split(/[\s:]/, 1)[0]);
