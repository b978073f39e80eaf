/** What a unit does about drift: it puts it back, or, where its object asks for that, only tells of it. */
import { hash64 } from "#machines/rules/drift.ts";
import { displayName, parseInventoryId } from "#machines/rules/inventory.ts";
import { isRequested } from "#machines/rules/object.ts";
import { busy } from "#machines/step.ts";
import type { Difference } from "#protocol/messages/kustomization.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import type { KustomizationFacts } from "#protocol/messages/object.ts";
import { resyncDue, warns, type KustomizationContext } from "./context.ts";
import { again } from "#machines/unit/waiting.ts";

export const drifting = {
  // Drift is put back, or looked at, at once; a field two controllers fight over, at a widening distance.
  contested: {
    entry: ["begin", "countCorrection"],
    always: again,
    after: { contest: [{ guard: "warns", target: "comparing" }, { target: "building" }] },
  },
  // Nothing is written.
  comparing: {
    tags: busy,
    entry: "beginComparing",
    invoke: {
      id: "compare", src: "compare", input: null,
      onDone: [{ guard: "faulty", target: "failing", actions: "tellDrift" }, { target: "settled", actions: "tellDrift" }],
      onError: { target: "failing", actions: "fail" },
    },
  },
} as const;

export const corrects = (c: KustomizationContext): boolean => c.drifted && !warns(c);

/** Known drift is no longer only to be told of. */
export const isUnleashed = (c: KustomizationContext, next: KustomizationFacts): boolean => c.driftTold !== undefined && warns(c) && next.drift !== "warn";

/**
 * Asked by a person: compare every object with the cluster, not only what is known to differ, once it can be applied. So
 * does the promise of the interval: the watches tell of every change, but nobody has looked for long. What was told of and
 * left is looked at again by every run.
 */
export function chosenScope(c: KustomizationContext, nowMs: number): Partial<KustomizationContext> {
  const known = c.driftTold !== undefined ? { drifted: true } : {};
  if (c.facts !== null && isRequested(c, c.facts)) return { ...known, scope: "all" };
  if (!resyncDue(c, nowMs)) return known;
  return warns(c) ? { drifted: true, compareAll: true } : { ...known, scope: "all" };
}

/** What is remembered of a state of drift, to tell it once. Empty: nothing differs. */
export const markOf = (differences: Difference[]): string => (differences.length > 0 ? hash64(JSON.stringify(differences)) : "");

const mostObjects = 20;

/** Undefined: told before, or nothing to tell. */
export function driftNotice({ source, driftTold = "" }: KustomizationContext, differences: Difference[]): Notice | undefined {
  if (markOf(differences) === driftTold) return undefined;
  const about = { type: "notice", revision: source?.revision ?? "" } as const;
  if (differences.length === 0) return { ...about, severity: "Normal", reason: "DriftResolved", message: "No applied object differs any more" };
  const lines = differences.slice(0, mostObjects).map(line);
  const more = differences.length > mostObjects ? [`and ${differences.length - mostObjects} more`] : [];
  return { ...about, severity: "Warning", reason: "DriftDetected", message: [...lines, ...more].join("\n") };
}

function line({ id, by, missing, fields, more, refused }: Difference): string {
  const name = displayName(parseInventoryId(id));
  if (missing) return `${name} deleted`;
  const who = by ? ` (was changed by ${by})` : "";
  if (refused !== undefined) return `${name} differs${who}: ${refused}`;
  const what = fields.map(({ pointer, wanted = "nothing", is = "nothing" }) => `${pointer} ${wanted} -> ${is}`).join(", ");
  return `${name} differs${who}: ${what}${more ? ` and ${more} more` : ""}`;
}

/** An unknown mode counts as none, and is told once. */
export function modeNotice(before: KustomizationFacts | null, { drift }: KustomizationFacts): Notice | undefined {
  if (drift === undefined || drift === "warn" || drift === before?.drift) return undefined;
  return {
    type: "notice", severity: "Warning", reason: "InvalidAnnotation",
    message: `flotilla.dev/drift-detection is ${JSON.stringify(drift)}: neither enabled nor warn; drift is put back`,
  };
}
