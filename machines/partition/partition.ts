/**
 * One partition as one worker sees it. What it sees are the records in NATS: who owns it, and to whom the coordinator
 * wants it handed over. It decides when to read ahead, when to take up, and when to let go; services/worker acts.
 */
import { assign, enqueueActions, setup } from "xstate";
import { effect } from "#machines/effect.ts";
import type { Own } from "#machines/rules/coordination.ts";
import { faultOf } from "#machines/rules/notice.ts";
import { busy } from "#machines/step.ts";
import type { FaultData } from "#protocol/errors/fault.ts";
import type { WantRecord } from "#protocol/records/cell.ts";

export type PartitionContext = {
  /** This worker. */
  me: string;
  partition: number;
  own: Own | null;
  want: Omit<WantRecord, "v"> | null;
  /** Why it could not be taken up. */
  fault: FaultData | null;
};

export type PartitionEvent =
  | { type: "own"; own: Own }
  | { type: "want"; want: PartitionContext["want"] }
  /** The worker that is to have it has read ahead and waits. */
  | { type: "warm"; to: string; plan: string };

export type PartitionEmit =
  /** Tell the owner that we have read ahead. */
  | { type: "warmed"; to: string; plan: string }
  /** What was read ahead is of no use any more. */
  | { type: "cooled" }
  /** Its actors are ours. */
  | { type: "taken" }
  /** Its actors are not ours any more; `lost`: without our doing. */
  | { type: "dropped"; lost: boolean }
  /** It stays after all: its actors go on. */
  | { type: "thawed" };

const ownedByMe = { guard: "mine", target: "taking", actions: "seeOwn" } as const;
const lost = { guard: "notMine", target: "elsewhere", actions: ["seeOwn", "tellLost"] } as const;
const stays = [{ guard: "sameWant", actions: "seeWant" }, { target: "owned", actions: ["seeWant", "tellThawed"] }] as const;

export const partition = setup({
  types: {} as {
    input: { me: string; partition: number };
    context: PartitionContext;
    events: PartitionEvent;
    emitted: PartitionEmit;
  },
  guards: {
    /** Seen before: the roster and our own writes may tell the same thing twice. */
    known: ({ context, event }) => event.type === "own" && event.own.worker !== "" && event.own.sequence === context.own?.sequence && event.own.worker === context.own.worker,
    mine: ({ context, event }) => event.type === "own" && event.own.worker === context.me,
    isMine: ({ context }) => context.own?.worker === context.me,
    notMine: ({ context, event }) => event.type === "own" && event.own.worker !== context.me,
    forMe: ({ context, event }) => event.type === "want" && event.want?.to === context.me && context.own?.worker === event.want.from,
    wantedFromThem: ({ context, event }) => event.type === "own" && context.want?.to === context.me && context.want.from === event.own.worker,
    stillForMe: ({ context }) => context.want?.to === context.me && context.own?.worker === context.want.from,
    sameWant: ({ context, event }) => event.type === "want" && event.want?.plan === context.want?.plan,
    asPlanned: ({ context, event }) =>
      event.type === "warm" && context.want?.plan === event.plan && context.want.to === event.to && context.want.from === context.me,
    unreadable: ({ event }) => faultOf(event).code === "RecordTooNew",
  },
  actors: {
    /** Reads what there is, so that little is left to read when it is ours. */
    warm: effect<null, null>(),
    /** Reads everything up to our own record, and takes its actors up. */
    load: effect<{ sequence: number; cause: Own["cause"] }, null>(),
    /** Waits for writes under way, then stops its actors. */
    freeze: effect<null, null>(),
    /** Writes the next owner's name; an empty one: nobody's. */
    release: effect<{ to: string }, null>(),
  },
  actions: {
    seeOwn: assign({ own: ({ context, event }) => (event.type === "own" ? event.own : context.own) }),
    seeWant: assign({ want: ({ context, event }) => (event.type === "want" ? event.want : context.want) }),
    tellLost: enqueueActions(({ enqueue }) => enqueue.emit({ type: "dropped", lost: true })),
    tellThawed: enqueueActions(({ enqueue }) => enqueue.emit({ type: "thawed" })),
    cool: enqueueActions(({ enqueue }) => enqueue.emit({ type: "cooled" })),
    fail: assign({ fault: ({ event }) => faultOf(event) }),
  },
  delays: { announceAgain: 500, tryAgain: 200, sayFirst: 1_000, tooLong: 8_000 },
}).createMachine({
  id: "partition",
  context: ({ input }) => ({ ...input, own: null, want: null, fault: null }),
  initial: "elsewhere",
  on: { own: { actions: "seeOwn" }, want: { actions: "seeWant" } },
  states: {
    /** Whatever was learnt while something else was under way counts here too. */
    elsewhere: { always: [{ guard: "isMine", target: "taking" }, { guard: "stillForMe", target: "warming" }] },
    warming: {
      tags: busy,
      invoke: { id: "warm", src: "warm", input: null, onDone: "warm", onError: "lukewarm" },
      on: {
        own: [ownedByMe, { guard: "wantedFromThem", actions: "seeOwn" }, { target: "elsewhere", actions: ["seeOwn", "cool"] }],
        want: [{ guard: "forMe", actions: "seeWant" }, { target: "elsewhere", actions: ["seeWant", "cool"] }],
      },
    },
    lukewarm: {
      after: { tryAgain: [{ guard: "stillForMe", target: "warming" }, { target: "elsewhere", actions: "cool" }] },
      on: { own: [ownedByMe, { guard: "wantedFromThem", actions: "seeOwn" }, { target: "elsewhere", actions: ["seeOwn", "cool"] }] },
    },
    /** Said again and again, because a message that nobody keeps may get lost. */
    warm: {
      entry: enqueueActions(({ context: { want }, enqueue }) => {
        if (want) enqueue.emit({ type: "warmed", to: want.from, plan: want.plan });
      }),
      after: { announceAgain: { target: "warm", reenter: true } },
      on: {
        own: [ownedByMe, { guard: "wantedFromThem", actions: "seeOwn" }, { target: "elsewhere", actions: ["seeOwn", "cool"] }],
        want: [
          { guard: "sameWant" }, { guard: "forMe", target: "warm", reenter: true, actions: "seeWant" },
          { target: "elsewhere", actions: ["seeWant", "cool"] },
        ],
      },
    },
    taking: {
      tags: busy,
      invoke: {
        id: "load", src: "load",
        input: ({ context: { own } }) => ({ sequence: own?.sequence ?? 0, cause: own?.cause ?? "claim" }),
        onDone: { target: "owned", actions: enqueueActions(({ enqueue }) => enqueue.emit({ type: "taken" })) },
        onError: [{ guard: "unreadable", target: "unreadable", actions: "fail" }, { target: "stuck", actions: "fail" }],
      },
      on: { own: [{ guard: "known" }, { guard: "mine", target: "taking", reenter: true, actions: "seeOwn" }, { target: "elsewhere", actions: ["seeOwn", "cool"] }] },
    },
    stuck: {
      after: { tryAgain: "taking" },
      on: { own: [{ guard: "known" }, ownedByMe, { target: "elsewhere", actions: ["seeOwn", "cool"] }] },
    },
    owned: {
      entry: assign({ fault: null }),
      on: {
        own: [{ guard: "mine", actions: "seeOwn" }, lost],
        warm: { guard: "asPlanned", target: "freezing" },
      },
    },
    freezing: {
      tags: busy,
      invoke: { id: "freeze", src: "freeze", input: null, onDone: "releasing", onError: { target: "owned", actions: "tellThawed" } },
      after: { tooLong: { target: "owned", actions: "tellThawed" } },
      on: { own: [{ guard: "mine", actions: "seeOwn" }, lost], want: stays },
    },
    releasing: {
      tags: busy,
      invoke: {
        id: "release", src: "release", input: ({ context: { want } }) => ({ to: want?.to ?? "" }),
        onDone: { target: "elsewhere", actions: enqueueActions(({ enqueue }) => enqueue.emit({ type: "dropped", lost: false })) },
        // It may be written or not: until somebody's name is known to stand there, its actors stay frozen.
        onError: { target: "unsure", actions: "fail" },
      },
      on: { own: [{ guard: "mine", actions: "seeOwn" }, { actions: "seeOwn" }] },
    },
    unsure: {
      after: { tryAgain: "releasing" },
      on: { own: [{ guard: "mine", actions: "seeOwn" }, lost] },
    },
    /** Written by a later version. The next heartbeat says so: only then nobody gives it back to us. */
    unreadable: {
      after: { sayFirst: "refusing" },
      on: { own: [{ guard: "known" }, ownedByMe, { target: "elsewhere", actions: ["seeOwn", "cool"] }] },
    },
    /** A worker that can read it shall have it. */
    refusing: {
      tags: busy,
      invoke: { id: "release", src: "release", input: { to: "" }, onDone: { target: "elsewhere", actions: "cool" }, onError: "stuck" },
      on: { own: [{ guard: "mine", actions: "seeOwn" }, { target: "elsewhere", actions: ["seeOwn", "cool"] }] },
    },
  },
});
