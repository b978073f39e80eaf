/** Keeps the newest artifact of one upstream. It decides; services/sources acts; services/worker keeps time. */
import { assign, emit, enqueueActions, setup } from "xstate";
import { effect } from "#machines/effect.ts";
import { objectGuards } from "#machines/object/guards.ts";
import { again, failed, leavingWith, leftOrOutdated, readoptingThen, rebornOf, sighted } from "#machines/object/looking.ts";
import { seen } from "#machines/object/seen.ts";
import { backoffMs, jitteredMs } from "#machines/rules/backoff.ts";
import { handlingOf, isReborn, isRenewed } from "#machines/rules/object.ts";
import { faultNotice, faultOf } from "#machines/rules/notice.ts";
import { busy } from "#machines/step.ts";
import type { FaultData } from "#protocol/errors/fault.ts";
import type { SourceFacts } from "#protocol/messages/object.ts";
import { markOf, placeOf, type Artifact, type ArtifactPlace, type Fetched, type Resolved } from "#protocol/messages/source.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import { wordsOf } from "./words.ts";

export type SourceContext = {
  key: string;
  facts: SourceFacts | null;
  artifact: Artifact | null;
  /** What of the spec the artifact was made with, as the status says it. */
  observed?: Record<string, unknown> | undefined;
  /** Where the trace of the artifact's change goes on. */
  traceparent: string;
  /** What was verified of the artifact's revision, and by whose key; empty when nothing had to be. */
  verified?: string | undefined;
  /** What Ready says of the artifact, where the kind has words of its own. */
  summary?: Fetched["summary"] | undefined;
  /** The artifacts of other sources that it was last looked up in, as `markOf` names them. */
  madeOf?: string[] | undefined;
  /** The artifacts of other sources that are a part of this one's. */
  included?: Artifact[] | undefined;
  /** Others are found now: it is fetched anew, though its revision may be the same. */
  includesChanged?: boolean | undefined;
  /** The upstream revision being fetched. */
  wanted: string;
  /** Generation of the last run that ended well. */
  observedGeneration: number;
  handling: string;
  handledAt: string;
  failures: number;
  fault: FaultData | null;
  /** A hint came while busy: look once more. */
  stale: boolean;
  /** Somebody said that there is news, or the spec did: an answer of before will not do. */
  fresh?: boolean;
};

export type SourceEvent =
  | { type: "object"; facts: SourceFacts | null }
  | { type: "look" }
  /** A source that this one is made from has another artifact. */
  | { type: "artifact"; revision: string; digest: string };
export type SourceEmit = Notice | { type: "artifactStored"; artifact: Artifact; before?: ArtifactPlace; traceparent: string };

/** Whether other artifacts are to be included than are in ours; the order counts, as it is that of the spec. */
function hasOthers({ included: before = [] }: Pick<SourceContext, "included">, { included: now = [] }: Resolved): boolean {
  return before.length !== now.length || now.some((each, at) => markOf(each) !== markOf(before[at] ?? { revision: "", digest: "" }));
}

const isStatic = (facts: SourceFacts | null): boolean => facts?.static === true && !facts.deleting && !facts.suspended;

const takingLeave = [{ guard: "outdated" }, { guard: "rebornStatic", target: "#source.dissolving", actions: "see" }, ...rebornOf("source")] as const;

export const source = setup({
  types: {} as { input: { key: string }; context: SourceContext; events: SourceEvent; emitted: SourceEmit },
  guards: {
    ...objectGuards,
    /** One of somebody else's carries none. */
    finalized: ({ context }) => context.facts?.finalizer === true || context.facts?.foreign === true,
    rebornStatic: ({ context, event }) => event.type === "object" && isReborn(context, event.facts) && isStatic(event.facts),
    static: ({ event }) => event.type === "object" && isStatic(event.facts),
    bare: ({ context }) => context.facts?.finalizer !== true && context.artifact === null,
    news: ({ context, event }) => event.type === "artifact" && context.facts?.static !== true && !(context.madeOf ?? []).includes(markOf(event)),
    acted: ({ context }) => context.facts?.static !== true,
    renewed: ({ context, event }) => event.type === "object" && event.facts !== null && (isRenewed(context, event.facts) || event.facts.offered !== context.facts?.offered),
  },
  delays: {
    interval: ({ context }) => jitteredMs(context.facts?.intervalMs ?? 60_000, context.key),
    backoff: ({ context }) => backoffMs(context.failures),
  },
  actors: {
    adopt: effect<null, null>(),
    resolve: effect<{ path: string }, Resolved>(),
    fetch: effect<{ revision: string }, Fetched>(),
    remove: effect<null, null>(),
    dissolve: effect<null, null>(),
  },
  actions: {
    see: enqueueActions(({ context, event, enqueue }) => {
      if (event.type !== "object" || event.facts === null) return;
      const { notice, changes } = seen(context, event.facts, wordsOf(context.key));
      if (notice) enqueue.emit(notice);
      if (context.facts?.offered !== event.facts.offered) enqueue.assign({ observedGeneration: -1 }); // to be fetched, though it may be called the same
      enqueue.assign(changes);
    }),
    fail: enqueueActions(({ context, event, enqueue }) => {
      const fault = faultOf(event);
      const notice = faultNotice(context.fault, fault, wordsOf(context.key));
      if (notice) enqueue.emit(notice);
      enqueue.assign({ fault });
    }),
    markStale: assign({ stale: true }),
    countFailure: assign({ failures: ({ context }) => context.failures + 1 }),
    noteGeneration: assign({ observedGeneration: ({ context }) => context.facts?.generation ?? -1 }),
    /** What was found out whether or not there is something to fetch. */
    observe: assign(({ context, event }) => {
      const { observed, madeOf } = (event as unknown as { output: Resolved }).output;
      return { ...(observed && { observed: { ...context.observed, ...observed } }), ...(madeOf && { madeOf }) };
    }),
    heed: assign({ fresh: ({ context }) => context.fresh !== false || context.stale, stale: false }),
    beginHandling: assign({ handling: ({ context }) => handlingOf(context) }),
    endHandling: assign({ handledAt: ({ context: c }) => c.handling || c.handledAt }),
  },
}).createMachine({
  id: "source",
  context: ({ input }) => ({
    ...input, facts: null, artifact: null, traceparent: "", wanted: "", observedGeneration: -1,
    handling: "", handledAt: "", failures: 0, fault: null, stale: false,
  }),
  initial: "waiting",
  on: {
    look: { guard: "acted", actions: "markStale" }, // any number while busy make one more look
    artifact: { guard: "news", actions: "markStale" },
    object: [...leftOrOutdated, { guard: "static", target: ".dissolving", actions: "see" }, ...sighted],
  },
  states: {
    waiting: {},
    suspended: { entry: ["beginHandling", "endHandling", assign({ stale: false })] },
    adopting: { entry: assign({ failures: 0, fresh: true }), always: "readopting" },
    ...readoptingThen("resolving"),
    resolving: {
      tags: busy,
      entry: ["beginHandling", "heed"],
      invoke: {
        id: "resolve", src: "resolve", input: ({ context }) => ({ path: context.artifact?.path ?? "" }),
        onError: { target: "failing", actions: "fail" },
        onDone: [
          {
            target: "settled",
            actions: "observe",
            guard: ({ context: c, event: { output } }) =>
              output.stored && output.revision === c.artifact?.revision && !hasOthers(c, output) && c.observedGeneration === c.facts?.generation,
          },
          { target: "fetching", actions: ["observe", assign(({ context, event: { output } }) => ({ wanted: output.revision, includesChanged: hasOthers(context, output) || undefined }))] },
        ],
      },
    },
    fetching: {
      tags: busy,
      invoke: {
        id: "fetch", src: "fetch", input: ({ context }) => ({ revision: context.wanted }),
        onError: { target: "failing", actions: "fail" },
        onDone: {
          target: "settled",
          actions: [
            emit(({ context: { artifact: before }, event: { output } }) => ({
              type: "artifactStored", artifact: output.artifact, ...(before && { before: placeOf(before) }), traceparent: output.traceparent,
            })),
            assign(({ context, event: { output } }) => ({
              artifact: output.artifact, traceparent: output.traceparent, verified: output.verified ?? "", summary: output.summary,
              ...(output.observed && { observed: { ...context.observed, ...output.observed } }), ...(output.madeOf && { madeOf: output.madeOf }),
              ...(output.included && { included: output.included }), includesChanged: undefined,
            })),
            enqueueActions(({ context, event: { output: { artifact: { revision, digest }, told, subject, summary, making, verified } }, enqueue }) => {
              if (context.facts?.foreign) return; // its producer tells
              if (making) enqueue.emit({ type: "notice", severity: "Normal", ...making });
              const message = told ?? summary?.message ?? `stored artifact for commit '${subject}'`;
              enqueue.emit({ type: "notice", severity: "Normal", reason: summary?.reason ?? "NewArtifact", revision, digest, message });
              if (verified) enqueue.emit({ type: "notice", severity: "Normal", reason: "Succeeded", message: verified });
            }),
          ],
        },
      },
    },
    settled: {
      entry: [
        "endHandling",
        assign(({ context: c }) => ({ failures: 0, fresh: false, fault: null, wanted: "", observedGeneration: c.facts?.generation ?? -1 })),
      ],
      always: again,
      after: { interval: "readopting" },
    },
    ...failed,
    // It only says where something is; what was kept of it while it was another kind of object goes.
    dissolving: {
      tags: busy,
      always: { guard: "bare", target: "static" },
      invoke: { id: "dissolve", src: "dissolve", input: null, onDone: "static", onError: { target: "undissolved", actions: "fail" } },
    },
    undissolved: {
      entry: "countFailure",
      after: { backoff: "dissolving" },
    },
    static: {
      entry: assign({ artifact: null, observed: undefined, verified: undefined, summary: undefined, madeOf: undefined, included: undefined, fault: null, failures: 0, stale: false, observedGeneration: -1 }),
    },
    ...leavingWith({ object: takingLeave, look: {} }),
  },
});
