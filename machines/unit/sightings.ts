/** What a new sighting of a unit's object leads to, whichever chart the unit has. @param id of the chart */

export const sightedBy = <Id extends string>(id: Id) =>
  [
    { guard: "outdated" },
    { guard: "vanished", target: `#${id}.gone`, actions: "see" },
    { guard: "leaving", target: `#${id}.removing`, actions: "see" },
    { guard: "invalid", target: `#${id}.stalled`, actions: "see" },
    { guard: "suspended", target: `#${id}.suspended`, actions: "see" },
    { guard: "renewed", target: `#${id}.adopting`, actions: "see" },
    { guard: "requested", actions: ["see", "markStale"] },
    { guard: "inputsRenewed", actions: ["see", "markStale"] },
    { guard: "unleashed", actions: ["see", "markDrifted"] },
    { actions: "see" },
  ] as const;

/** Of one that is taking its leave. */
export const takingLeaveOf = <Id extends string>(id: Id) =>
  [
    { guard: "outdated" },
    { guard: "vanished", target: `#${id}.gone`, actions: "see" },
    // Some of what it had applied may be deleted by now.
    { guard: "rebornInvalid", target: `#${id}.stalled`, actions: ["see", "forgetApplied"] },
    { guard: "rebornSuspended", target: `#${id}.suspended`, actions: ["see", "forgetApplied"] },
    { guard: "reborn", target: `#${id}.adopting`, actions: ["see", "forgetApplied"] },
    { actions: "see" },
  ] as const;
