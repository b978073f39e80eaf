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

/** The request a run begins to handle, or keeps on handling when the annotation is gone. */
export const handlingOf = ({ facts, handling }: Seen): string => facts?.requestedAt || handling;

/** An older sighting of the same object: a message that was held up on its way. Generations only grow. */
export const isOutdated = ({ facts }: Seen, next: ObjectFacts | null): boolean =>
  facts !== null && next !== null && facts.uid === next.uid && next.generation < facts.generation;

/** Deleted and made anew under the same name, while the actor was still taking its leave. */
export const isReborn = ({ facts }: Seen, next: ObjectFacts | null): boolean =>
  next !== null && !next.deleting && facts?.uid !== next.uid;
