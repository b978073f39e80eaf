/**
 * What a crashed owner of a release had sent may arrive up to a minute later, and bring back what was deleted meanwhile: that is
 * remembered, and looked for once more when the release is calm (docs/spec/fencing.md).
 */
import { busy } from "#machines/step.ts";
import type { Gone } from "#protocol/messages/release.ts";
import type { ReleaseContext } from "./context.ts";

/** Bounds the record: what is beyond is deleted once, as ever, and not looked for again. */
const mostSuspects = 1_000;

const countOf = (suspects: readonly Gone[]): number => suspects.reduce((sum, { objects }) => sum + objects.length, 0);

type Ended = { gone?: Gone; resumed?: true };

/** With what an action deleted, or left to be deleted later. One that was cut short, by whatever it was, may have left a request behind. */
export function suspected({ wary: before, suspects = [] }: Pick<ReleaseContext, "wary" | "suspects">, { gone, resumed }: Ended, doing: "acting" | "removing"): Pick<ReleaseContext, "wary" | "suspects"> {
  const wary = before ?? (resumed ? doing : undefined);
  if (wary === undefined && !leavesHooks({ gone })) return {};
  // Whoever only deletes creates nothing but hooks.
  const objects = (gone?.objects ?? []).filter(({ hook }) => wary === "acting" || hook).slice(0, Math.max(0, mostSuspects - countOf(suspects)));
  return { wary, suspects: gone && objects.length > 0 ? [...suspects, { ...gone, objects }] : suspects };
}

/** Hooks that it left to be deleted later, also when it has become calm since. */
const leavesHooks = ({ gone }: { gone: Gone | undefined }): boolean => gone?.objects.some(({ hook }) => hook) === true;

/** Storage is looked at as well, even where no object is suspect. */
export const suspectsDue = ({ wary, suspects, facts }: ReleaseContext): boolean =>
  wary === undefined && suspects !== undefined && facts !== null && facts.invalid === undefined && !facts.suspended;

/** Whether a release whose object is deleted stays until it is calm. */
export function lingers(c: ReleaseContext, removed: Ended): boolean {
  const { wary, suspects = [] } = suspected(c, removed, "removing");
  return wary === "acting" || (wary === "removing" && countOf(suspects) > 0) || leavesHooks({ gone: removed.gone });
}

export const sweeping = {
  sweeping: {
    tags: busy,
    invoke: {
      id: "sweep", src: "sweep", input: null,
      onDone: [{ guard: "exhausted", target: "stalled", actions: "forgetSuspects" }, { target: "settled", actions: "forgetSuspects" }],
      // What cannot be deleted for good is let go, as when it was deleted first.
      onError: [{ guard: "passing", target: "failing", actions: "fail" }, { guard: "exhausted", target: "stalled", actions: "forgetSuspects" }, { target: "settled", actions: "forgetSuspects" }],
    },
  },
} as const;
