/** What a unit tells people, in Flux's words (flux.md 2.6). */
import { formatDuration } from "#protocol/api/duration.ts";
import { displayName, parseInventoryId } from "#machines/rules/inventory.ts";
import type { ApplyOutcome, PruneOutcome, RemoveOutcome } from "#protocol/messages/kustomization.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import { originOf } from "#protocol/messages/source.ts";
import type { KustomizationContext } from "./context.ts";
import { deletions, newsIn, story } from "./lists.ts";

/** What was applied or deleted, as soon as it was. Undefined: nothing. */
export function newsNotice(c: KustomizationContext, output: ApplyOutcome | PruneOutcome): Notice | undefined {
  const news = "changes" in output ? newsIn(output.changes) : deletions(output, c.leftovers);
  return news.length > 0 ? { ...said(c, story(news)), reason: isCorrection(c) ? "DriftCorrected" : "Progressing" } : undefined;
}

export const healthyNotice = (c: KustomizationContext, atMs: number): Notice & { message: string } | undefined =>
  c.worked || c.healthSaid === undefined || c.fault !== null
    ? { ...said(c, `Health check passed in ${formatDuration(Math.max(0, atMs - (c.checkingMs ?? atMs)))}`), reason: "Progressing" }
    : undefined;

/**
 * A run that applied, or came out of a failure. One that merely moves the unit to a revision that changes nothing for it is
 * seen in its status: an event for each unit at each commit would be most of the requests.
 */
export function finishedNotice(c: KustomizationContext, atMs: number): Notice | undefined {
  const news = c.worked || c.changed;
  if (!(news && !isCorrection(c)) && c.fault === null && c.applied !== "") return undefined;
  const took = formatDuration(Math.max(0, atMs - (c.startedMs ?? atMs)));
  const message = `Reconciliation finished in ${took}, next run in ${formatDuration(c.facts?.intervalMs ?? 0)}`;
  return { ...said(c, message), reason: "ReconciliationSucceeded", commitStatus: "update" };
}

/** What went with the unit, told while its object is still there to be told of. */
export function removedNotices(c: KustomizationContext, { ids, outlasting }: NonNullable<RemoveOutcome["removed"]>): Notice[] {
  const about = { ...said(c, story(ids.map((id) => ({ id, action: "deleted" })))), revision: c.applied };
  return [
    { ...about, reason: "ReconciliationSucceeded" },
    ...(outlasting.length > 0
      ? [{ ...about, severity: "Warning", reason: "PruneFailed", message: `failed to wait for resources termination: ${outlasting.map(named).join(", ")}` } as const]
      : []),
  ];
}

const named = (id: string) => displayName(parseInventoryId(id));

/** Nothing new was asked for, so what is written is somebody else's change. */
const isCorrection = (c: KustomizationContext): boolean => c.applied !== "" && c.applied === c.source?.revision && c.corrections > 0;

function said({ source }: KustomizationContext, message: string): Omit<Notice, "reason"> {
  const originRevision = source ? originOf(source) : "";
  return { type: "notice", severity: "Normal", message, revision: source?.revision ?? "", ...(originRevision && { originRevision }) };
}
