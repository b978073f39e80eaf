/** How a unit whose object is deleted takes its leave, once it has asked for the deletion of what it applied. */

import { busy } from "#machines/step.ts";
import { takingLeaveOf } from "./sightings.ts";

/** @param id of the chart */
export function leavingOf<Id extends string>(id: Id) {
  const takingLeave = takingLeaveOf(id);
  return {
    // Units that depend on it go first, where its object asks for that.
    yielding: {
      on: { object: takingLeave, look: {}, artifact: {}, drift: {}, dependency: "removing" },
      after: { removal: "removing" },
    },
    // The finalizer stays until nothing that was deleted can come back.
    lingering: {
      on: { object: takingLeave, look: {}, artifact: {}, drift: {} },
      always: { guard: "calm", target: "removing" },
    },
    // Told while the object is still there to be told of.
    releasing: {
      tags: busy,
      on: { object: takingLeave, look: {}, artifact: {}, drift: {} },
      invoke: { id: "release", src: "release", input: null, onDone: "gone", onError: { target: "remaining", actions: "fail" } },
    },
    // The deletion could not be finished: the finalizer stays and it is tried again.
    remaining: {
      on: { object: takingLeave, look: {}, artifact: {}, drift: {} },
      after: { removal: "removing" },
    },
  } as const;
}
