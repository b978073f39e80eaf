/** When a worker may act, and when another may be held for dead (ownership.md 7.3). All times are monotonic milliseconds. */

/** A worker renews this often. */
export const heartbeatMs = 400;

/** A renewal is good for this long after it was sent. */
export const leaseMs = 2_000;

// Clocks that run at different rates, and the time between the check and the write it allows.
const marginMs = 300;

/** Until when the holder itself may act. */
export const deadlineMs = (sentAtMs: number): number => sentAtMs + leaseMs - marginMs;

/** From when on an observer may hold a worker for dead whose last renewal it saw at `seenAtMs`. Later than the holder gives up. */
export const suspectMs = (seenAtMs: number): number => seenAtMs + leaseMs + 100;

export const isSuspect = (seenAtMs: number, nowMs: number): boolean => nowMs >= suspectMs(seenAtMs);
