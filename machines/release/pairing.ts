/**
 * A release whose chart is made from a source that has files of its values too: a commit that changes both is one revision, so the
 * values wait for their chart. A chart that cannot be made keeps them waiting for some seconds only.
 */
import { again } from "#machines/unit/waiting.ts";
import type { ChartFound } from "#protocol/messages/release.ts";
import type { ReleaseContext } from "./context.ts";

const firstMs = 250;
/** 7.75 seconds in all. */
const mostWaits = 5;

/** How long to wait this time; a new chart is told of at once, one that stays as it was is not told of. */
export const pairingMs = ({ pairings = 0 }: Pick<ReleaseContext, "pairings">): number => firstMs * 2 ** Math.max(0, pairings - 1);

export const pairingGuards = {
  waitsForChart: ({ context: { pairings = 0 }, event }: { context: Pick<ReleaseContext, "pairings">; event: object }): boolean =>
    (event as { output: ChartFound }).output.behind === true && pairings < mostWaits,
};

export const pairing = {
  pairing: { entry: "countPairing", always: again, after: { pairing: "finding" } },
} as const;
