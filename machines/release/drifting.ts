/** What a release says of drift, in Flux's words (helm-controller internal/diff/summarize.go). */
import { displayName, parseInventoryId } from "#machines/rules/inventory.ts";
import { busy } from "#machines/step.ts";
import type { Change, Difference } from "#protocol/messages/kustomization.ts";
import type { InventoryEntry } from "#protocol/messages/kustomization.ts";
import type { CorrectOutcome, DriftOutcome } from "#protocol/messages/release.ts";
import { again } from "#machines/unit/waiting.ts";
import { newsIn, story } from "#machines/kustomization/lists.ts";
import type { ReleaseContext } from "./context.ts";
import { about, noticeOf, whyOf, type Recorded } from "./record.ts";

export const drifting = {
  // Drift is put back, or looked at, at once; a field two controllers fight over, at a widening distance.
  contested: {
    entry: ["begin", "countCorrection"],
    always: again,
    after: { contest: "comparing" },
  },
  comparing: {
    tags: busy,
    entry: "beginComparing",
    invoke: {
      id: "compare", src: "compare", input: ({ context }: { context: ReleaseContext }) => ({ all: context.compareAll }),
      onDone: [
        { guard: "faultyAnswer", target: "failing", actions: ["tellDrift", "fail"] },
        { guard: "corrects", target: "correcting", actions: ["tellDrift", "takeStanding"] },
        { target: "settled", actions: ["tellDrift", "takeStanding", "compared"] },
      ],
      onError: { target: "failing", actions: "fail" },
    },
  },
  correcting: {
    tags: busy,
    invoke: {
      id: "correct", src: "correct",
      input: ({ event }: { event: object }) => ({ ids: ((event as { output?: DriftOutcome }).output?.differences ?? []).map(({ id }) => id) }),
      onDone: [{ guard: "faultyAnswer", target: "retrying", actions: ["tellCorrected", "goAgain"] }, { target: "settled", actions: ["tellCorrected", "compared"] }],
      onError: { target: "failing", actions: "fail" },
    },
  },
} as const;

/** What stands as it should is known by watch from now on. */
export function withStanding(inventory: InventoryEntry[], { standing = [] }: DriftOutcome): InventoryEntry[] {
  const known = new Map(standing.map((entry) => [entry.id, entry]));
  const seen = inventory.map((entry) => {
    const { uid, owned } = known.get(entry.id) ?? entry;
    return { ...entry, uid, owned };
  });
  const ids = new Set(inventory.map(({ id }) => id));
  // A status of before there was an inventory names none of them.
  return [...seen, ...standing.filter(({ id, uid }) => uid !== "" && !ids.has(id)).map((entry) => ({ ...entry, digest: "" }))];
}

const mostObjects = 50; // a condition stays readable however much differs

/** One line for each object. */
export function summary(differences: readonly Difference[]): string {
  const lines = differences.slice(0, mostObjects).map(line);
  return [...lines, ...(differences.length > mostObjects ? [`and ${differences.length - mostObjects} more`] : [])].join("\n");
}

function line({ id, missing, fields, more = 0, refused, by }: Difference): string {
  const name = displayName(parseInventoryId(id));
  if (missing) return `${name} removed`;
  if (refused !== undefined) return `${name} changed: ${refused}`;
  const additions = fields.filter(({ is }) => is === undefined).length;
  const removals = fields.filter(({ wanted }) => wanted === undefined).length;
  const who = by ? ` by ${by}` : "";
  return `${name} changed (${additions} additions, ${fields.length + more - additions - removals} changes, ${removals} removals)${who}`;
}

export function drifted(c: ReleaseContext, differences: readonly Difference[]): Recorded {
  if (differences.length === 0) return { context: { driftSaid: undefined } };
  const said = `Cluster state of release ${about(c.history[0]).release} has drifted from the desired state:\n${summary(differences)}`;
  if (said === c.driftSaid) return { context: {} };
  return { context: { driftSaid: said }, notice: noticeOf(c, "Warning", "DriftDetected", said, c.history[0]) };
}

export function corrected(c: ReleaseContext, { changes, entries, fault }: CorrectOutcome): Recorded {
  const { release } = about(c.history[0]);
  const done: Change[] = newsIn(changes);
  const context = { ...(entries && { inventory: entries }), ...(!fault && { driftSaid: undefined }) };
  if (fault) {
    const part = done.length > 0 ? "partially " : "";
    const more = done.length > 0 ? `\n\nSuccessful corrections:\n${story(done)}` : "";
    return { context, notice: noticeOf(c, "Warning", "DriftCorrectionFailed", `Failed to ${part}correct cluster state of release ${release}:\n${whyOf(fault)}${more}`, c.history[0]) };
  }
  if (done.length === 0) return { context };
  return { context, notice: noticeOf(c, "Normal", "DriftCorrected", `Cluster state of release ${release} has been corrected:\n${story(done)}`, c.history[0]) };
}
