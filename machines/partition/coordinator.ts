/** One worker as a candidate for coordinating its cell: it watches, stands when nobody leads, and leads in rounds. */
import { assign, setup } from "xstate";
import { effect } from "#machines/effect.ts";
import { busy } from "#machines/step.ts";

export type CoordinatorContext = { me: string; leader: string; leaderAlive: boolean };

export type CoordinatorEvent =
  /** Who coordinates, and whether it may be alive. */
  | { type: "leader"; leader: string; alive: boolean }
  /** Somebody came, went or changed: the next round need not wait. */
  | { type: "news" };

export const coordinator = setup({
  types: {} as { input: { me: string }; context: CoordinatorContext; events: CoordinatorEvent },
  guards: {
    vacant: ({ context: c }) => !c.leaderAlive && c.leader !== c.me,
    mine: ({ context: c }) => c.leader === c.me,
    justDied: ({ context: c, event }) => event.type === "leader" && c.leaderAlive && !event.alive && event.leader !== c.me,
  },
  actors: {
    /** Tells the one before that it is dead, and writes our name. */
    stand: effect<null, null>(),
    /** What machines/rules/coordination.ts decides, done. */
    lead: effect<null, null>(),
  },
  actions: {
    see: assign(({ event }) => (event.type === "leader" ? { leader: event.leader, leaderAlive: event.alive } : {})),
  },
  delays: { round: 200 },
}).createMachine({
  id: "coordinator",
  context: ({ input }) => ({ ...input, leader: "", leaderAlive: false }),
  initial: "following",
  on: { leader: { actions: "see" } },
  states: {
    following: {
      always: { guard: "mine", target: "leading" },
      on: { leader: [{ guard: "justDied", target: "standing", actions: "see" }, { actions: "see" }] },
      after: { round: [{ guard: "vacant", target: "standing" }, { target: "following", reenter: true }] },
    },
    standing: {
      tags: busy,
      // Refused: somebody else was faster, and will be seen.
      invoke: { id: "stand", src: "stand", input: null, onDone: "following", onError: "following" },
    },
    leading: {
      tags: busy,
      invoke: { id: "lead", src: "lead", input: null, onDone: "resting", onError: "resting" },
    },
    resting: {
      on: { news: [{ guard: "mine", target: "leading" }, { target: "following" }] },
      after: { round: [{ guard: "mine", target: "leading" }, { target: "following" }] },
    },
  },
});
