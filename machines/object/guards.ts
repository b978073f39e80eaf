/** What every chart that has an object asks: about the object, and about what came of looking after it. */
import { isLeaving, isOutdated, isReborn, isRenewed, isRequested } from "#machines/rules/object.ts";
import { faults, type FaultData } from "#protocol/errors/fault.ts";
import type { ObjectFacts } from "#protocol/messages/object.ts";

type Asked = {
  context: { facts: ObjectFacts | null; handling: string; handledAt: string; fault: FaultData | null; stale: boolean };
  event: { type: string; facts?: ObjectFacts | null };
};

/** Undefined: the event is no sighting. Null: the object is gone. */
const seenIn = ({ event }: Pick<Asked, "event">): ObjectFacts | null | undefined => (event.type === "object" ? event.facts : undefined);

export const objectGuards = {
  outdated: ({ context, event }: Asked) => isOutdated(context, seenIn({ event }) ?? null),
  reborn: ({ context, event }: Asked) => isReborn(context, seenIn({ event }) ?? null),
  rebornInvalid: ({ context, event }: Asked) => isReborn(context, seenIn({ event }) ?? null) && seenIn({ event })?.invalid !== undefined,
  rebornSuspended: ({ context, event }: Asked) => isReborn(context, seenIn({ event }) ?? null) && seenIn({ event })?.suspended === true,
  // Our finalizer goes last, so nothing is left to do; if somebody else took it off, they want the objects to stay.
  vanished: ({ event }: Asked) => seenIn({ event }) === null,
  leaving: ({ event }: Asked) => event.type === "object" && isLeaving(seenIn({ event }) ?? null),
  invalid: ({ event }: Asked) => seenIn({ event })?.invalid !== undefined,
  suspended: ({ event }: Asked) => seenIn({ event })?.suspended === true,
  renewed({ context, event }: Asked) {
    const seen = seenIn({ event });
    return !!seen && isRenewed(context, seen);
  },
  requested({ context, event }: Asked) {
    const seen = seenIn({ event });
    return !!seen && isRequested(context, seen);
  },
  stale: ({ context }: Asked) => context.stale,
  staleAndValid: ({ context }: Asked) => context.stale && context.facts?.invalid === undefined,
  valid: ({ context }: Asked) => context.facts?.invalid === undefined,
  finalized: ({ context }: Asked) => context.facts?.finalizer === true,
  faulty: ({ context }: Asked) => context.fault !== null,
  stalls: ({ context }: Asked) => context.fault !== null && faults[context.fault.code].remedy === "stall",
  waits: ({ context }: Asked) => context.fault !== null && faults[context.fault.code].remedy === "wait",
};
