/**
 * Writes the images that policies elect into the files of a repository. It decides when to look and what is to be kept before
 * a commit leaves; the effects read, commit and push.
 */
import { assign, enqueueActions, setup } from "xstate";
import { effect } from "#machines/effect.ts";
import { objectGuards } from "#machines/object/guards.ts";
import { again, failed, leavingWith, leftOrOutdated, readoptingThen, rebornOf, sighted } from "#machines/object/looking.ts";
import { seen } from "#machines/object/seen.ts";
import { backoffMs, jitteredMs } from "#machines/rules/backoff.ts";
import { handlingOf } from "#machines/rules/object.ts";
import { faultNotice, faultOf } from "#machines/rules/notice.ts";
import { busy } from "#machines/step.ts";
import type { FaultData } from "#protocol/errors/fault.ts";
import type { Edited, Elected, Intent, LastPush, Proposed, Pushed } from "#protocol/messages/image-update.ts";
import type { SourceFacts } from "#protocol/messages/object.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import { pushedMessage, upToDate, words } from "./status.ts";

export type ImageUpdateContext = {
  key: string;
  /** `madeFrom`: the source. */
  facts: SourceFacts | null;
  /** What the files were last found to be right for. */
  observed: { revision: string; elected: Elected; head?: string | undefined } | null;
  ranAt: string;
  /** The commit that is on its way. */
  intent: Intent | null;
  last: LastPush | null;
  /** The push for which a pull request may have to be opened. */
  proposal: Intent | null;
  /** What of the files led to nothing, as it was told. */
  remarks: string;
  /** How often others were faster, one time after the other. */
  races: number;
  /** Where the trace of the last push goes on. */
  traceparent: string;
  /** Generation of the last run that ended well. */
  observedGeneration: number;
  handling: string;
  handledAt: string;
  failures: number;
  fault: FaultData | null;
  /** Something came while busy: look once more. */
  stale: boolean;
};

export type ImageUpdateEvent =
  | { type: "object"; facts: SourceFacts | null }
  /** A policy elects another image, or somebody asks. */
  | { type: "look" }
  /** The source has another artifact. */
  | { type: "artifact"; revision: string; digest: string };
export type ImageUpdateEmit = Notice | { type: "pushed"; url: string; /** Actor id of the source that it was pushed by. */ source: string | undefined };

/** Others may push as often as we do; whoever loses so often waits for a while. */
const mostRaces = 5;

const takingLeave = [{ guard: "outdated" }, ...rebornOf("imageUpdate")] as const;
const blank = { observed: null, ranAt: "", intent: null, last: null, proposal: null, remarks: "", races: 0, traceparent: "", observedGeneration: -1 };

/** @param at RFC 3339 */
const arrived = (c: ImageUpdateContext, intent: Intent, at: string): Partial<ImageUpdateContext> => {
  const { commit, branch, isOnBranch, isOther, revision, elected, traceparent } = intent;
  const observed = { revision: isOther ? revision : `${branch}@sha1:${commit}`, elected, ...(isOther && { head: commit }) };
  return { observed, last: { commit, branch, isOnBranch, at }, intent: null, proposal: intent.proposes ? intent : null, races: 0, traceparent: traceparent || c.traceparent };
};

const tellArrival = ({ facts }: ImageUpdateContext, { url, ...intent }: Intent) =>
  [{ type: "notice", severity: "Normal", reason: "Succeeded", message: pushedMessage(intent) }, { type: "pushed", url, source: facts?.madeFrom?.[0] }] as const;

export const imageUpdate = setup({
  types: {} as { input: { key: string }; context: ImageUpdateContext; events: ImageUpdateEvent; emitted: ImageUpdateEmit },
  guards: {
    ...objectGuards,
    news: ({ context, event }) => event.type === "artifact" && event.revision !== context.observed?.revision,
    proposes: ({ context }) => context.proposal !== null,
    outrun: ({ context }) => context.races >= mostRaces,
  },
  delays: {
    interval: ({ context }) => jitteredMs(context.facts?.intervalMs ?? 60_000, context.key),
    backoff: ({ context }) => backoffMs(context.failures),
  },
  actors: {
    adopt: effect<null, null>(),
    edit: effect<null, Edited>(),
    push: effect<null, Pushed>(),
    propose: effect<null, Proposed | null>(),
    remove: effect<null, null>(),
  },
  actions: {
    see: enqueueActions(({ context, event, enqueue }) => {
      if (event.type !== "object" || event.facts === null) return;
      const { notice, changes } = seen(context, event.facts, words);
      if (notice) enqueue.emit(notice);
      if (context.facts?.uid !== event.facts.uid) enqueue.assign(blank);
      enqueue.assign(changes);
    }),
    fail: enqueueActions(({ context, event, enqueue }) => {
      const fault = faultOf(event);
      const notice = faultNotice(context.fault, fault, words);
      if (notice) enqueue.emit(notice);
      // Of what a server refuses nothing is on its way; after anything else it may be.
      enqueue.assign({ fault, races: 0, ...(fault.code === "PushRejected" && { intent: null }) });
    }),
    giveUpRacing: enqueueActions(({ context, enqueue }) => {
      const fault: FaultData = { code: "PushRaced", subject: context.key };
      const notice = faultNotice(context.fault, fault, words);
      if (notice) enqueue.emit(notice);
      enqueue.assign({ fault, races: 0 });
    }),
    take: enqueueActions(({ context, event, enqueue }) => {
      const { revision, elected, head, ranAt, arrivedAt, intent = null, remarks } = (event as unknown as { output: Edited }).output;
      const before = context.intent;
      if (before && arrivedAt) {
        for (const each of tellArrival(context, before)) enqueue.emit(each);
        enqueue.assign(({ context }) => arrived(context, before, arrivedAt));
      }
      const text = remarks.join("; ");
      if (text && text !== context.remarks) enqueue.emit({ type: "notice", severity: "Warning", reason: "UpdateFailed", message: text });
      enqueue.assign({ ranAt, intent, remarks: text, ...(!intent && { observed: { revision, elected, ...(head && { head }) } }) });
    }),
    arrive: enqueueActions(({ context: now, event, enqueue }) => {
      const { intent } = now;
      const pushed = (event as unknown as { output: Pushed }).output;
      if (!intent || pushed.moved) return;
      for (const each of tellArrival(now, intent)) enqueue.emit(each);
      if (pushed.refused) enqueue.emit({ type: "notice", severity: "Warning", reason: "GitOperationFailed", message: pushed.refused });
      enqueue.assign(({ context }) => arrived(context, intent, pushed.at));
    }),
    tellProposal: enqueueActions(({ event, enqueue }) => {
      const { output } = event as unknown as { output: Proposed | null };
      if (output) enqueue.emit({ type: "notice", severity: "Normal", reason: "Succeeded", message: `${output.created ? "opened" : "kept"} pull request ${output.url}` });
      enqueue.assign({ proposal: null });
    }),
    tellRecovery: enqueueActions(({ context, enqueue }) => {
      if (context.fault !== null) enqueue.emit({ type: "notice", severity: "Normal", reason: "Succeeded", message: upToDate });
    }),
    markStale: assign({ stale: true }),
    countFailure: assign({ failures: ({ context }) => context.failures + 1 }),
    countRace: assign({ races: ({ context }) => context.races + 1 }),
    noteGeneration: assign({ observedGeneration: ({ context }) => context.facts?.generation ?? -1 }),
    heed: assign({ stale: false }),
    beginHandling: assign({ handling: ({ context }) => handlingOf(context) }),
    endHandling: assign({ handledAt: ({ context: c }) => c.handling || c.handledAt }),
  },
}).createMachine({
  id: "imageUpdate",
  context: ({ input }) => ({ ...input, ...blank, facts: null, handling: "", handledAt: "", failures: 0, fault: null, stale: false }),
  initial: "waiting",
  on: {
    look: { actions: "markStale" },
    artifact: { guard: "news", actions: "markStale" },
    object: [...leftOrOutdated, ...sighted],
  },
  states: {
    waiting: {},
    suspended: { entry: ["beginHandling", "endHandling", "heed"] },
    adopting: { entry: assign({ failures: 0, races: 0 }), always: "readopting" },
    ...readoptingThen("editing"),
    editing: {
      tags: busy,
      entry: ["beginHandling", "heed"],
      invoke: {
        id: "edit", src: "edit", input: null,
        onDone: [
          { target: "pushing", guard: ({ event: { output } }) => output.intent !== undefined, actions: "take" },
          { target: "proposing", actions: "take" },
        ],
        onError: { target: "failing", actions: "fail" },
      },
    },
    pushing: {
      tags: busy,
      invoke: {
        id: "push", src: "push", input: null,
        onDone: [
          { target: "overtaken", guard: ({ event: { output } }) => output.moved, actions: "countRace" },
          { target: "proposing", actions: "arrive" },
        ],
        onError: { target: "failing", actions: "fail" },
      },
    },
    // The change is made anew on the new head.
    overtaken: { always: [{ guard: "outrun", target: "failing", actions: "giveUpRacing" }, { target: "editing" }] },
    proposing: {
      tags: busy,
      always: { guard: ({ context }) => context.proposal === null, target: "settled" },
      invoke: {
        id: "propose", src: "propose", input: null,
        onDone: { target: "settled", actions: "tellProposal" },
        onError: { target: "failing", actions: "fail" },
      },
    },
    settled: {
      entry: ["endHandling", "tellRecovery", assign(({ context: c }) => ({ failures: 0, fault: null, observedGeneration: c.facts?.generation ?? -1 }))],
      always: again,
      after: { interval: "readopting" },
    },
    ...failed,
    ...leavingWith({ object: takingLeave, look: {}, artifact: {} }),
  },
});
