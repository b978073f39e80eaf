/** What a new sighting of an actor's own object asks of it: shared by every chart that has an object. */
import type { ObjectFacts } from "#protocol/messages/object.ts";

type Seen = { facts: ObjectFacts | null; handling: string; handledAt: string };

/** The object is deleted, or gone altogether: let go of what was made for it. */
export const isLeaving = (next: ObjectFacts | null): boolean => next === null || next.deleting;

/** Its spec moved, it came back from suspension, or it is seen for the first time. */
export const isRenewed = ({ facts }: Seen, next: ObjectFacts): boolean =>
  facts === null || facts.uid !== next.uid || facts.generation !== next.generation || facts.suspended || facts.invalid !== undefined;

/** Somebody asked for a reconcile (flux.md 0.4): only a value not yet handled, nor being handled, counts. */
export const isRequested = ({ handling, handledAt }: Seen, next: ObjectFacts): boolean =>
  next.requestedAt !== "" && next.requestedAt !== handledAt && next.requestedAt !== handling;
