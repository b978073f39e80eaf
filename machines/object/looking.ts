/** What the charts do alike that look at something outside again and again, whatever it is: sources, generators, images. */
import { busy } from "#machines/step.ts";

/** By way of `readopting`: nothing is done for an object that does not carry our finalizer. */
export const again = { guard: "stale", target: "readopting" } as const;

/** What a new sighting of the object leads to; what a chart asks beside goes between the two. */
export const leftOrOutdated = [{ guard: "outdated" }, { guard: "leaving", target: ".removing", actions: "see" }] as const;
export const sighted = [
  { guard: "invalid", target: ".stalled", actions: "see" },
  { guard: "suspended", target: ".suspended", actions: "see" },
  { guard: "renewed", target: ".adopting", actions: "see" },
  { guard: "requested", actions: ["see", "markStale"] },
  { actions: "see" },
] as const;

/** Of one that is taking its leave: its object may have been made anew meanwhile. @param id of the chart */
export const rebornOf = <Id extends string>(id: Id) =>
  [
    { guard: "rebornInvalid", target: `#${id}.stalled`, actions: "see" },
    { guard: "rebornSuspended", target: `#${id}.suspended`, actions: "see" },
    { guard: "reborn", target: `#${id}.adopting`, actions: "see" },
    { actions: "see" },
  ] as const;

/** As `adopting`, but failures go on counting. @param next the state in which it looks */
export const readoptingThen = <Next extends string>(next: Next) =>
  ({
    readopting: {
      tags: busy,
      entry: ["beginHandling", "heed"],
      always: { guard: "finalized", target: next },
      invoke: { id: "adopt", src: "adopt", input: null, onDone: next, onError: { target: "failing", actions: "fail" } },
    },
  }) as const;

/** When a look failed. */
export const failed = {
  failing: {
    entry: ["endHandling", "countFailure"],
    always: [{ guard: "stalls", target: "stalled" }, again],
    after: { backoff: "readopting" },
  },
  // An object that is invalid itself is not acted on, whoever asks, until it changes: what it wants is not known.
  stalled: {
    entry: ["endHandling", "noteGeneration"],
    always: { guard: "staleAndValid", target: "readopting" },
    after: { interval: { guard: "valid", target: "readopting" } },
  },
} as const;

/** When the object is deleted. @param on what is heard meanwhile */
export const leavingWith = <On>(on: On) =>
  ({
    removing: {
      tags: busy, on,
      invoke: { id: "remove", src: "remove", input: null, onDone: "gone", onError: { target: "remaining", actions: "fail" } },
    },
    // The deletion could not be finished: it is tried again, as Flux keeps the finalizer until it can.
    remaining: { entry: "countFailure", on, after: { backoff: "removing" } },
    gone: { type: "final" },
  }) as const;
