/** Keeps the newest artifact of one upstream. It decides; services/sources acts; services/worker keeps time. */
import { assign, emit, enqueueActions, setup } from "xstate";
import { effect } from "#machines/effect.ts";
import { backoffMs, jitteredMs } from "#machines/rules/backoff.ts";
import { handlingOf, isLeaving, isOutdated, isReborn, isRenewed, isRequested } from "#machines/rules/object.ts";
import { faultNotice, faultOf, notYetNotice } from "#machines/rules/notice.ts";
import { busy } from "#machines/step.ts";
import { faults, type FaultData } from "#protocol/errors/fault.ts";
import type { SourceFacts } from "#protocol/messages/object.ts";
import type { Artifact, Fetched } from "#protocol/messages/source.ts";
import type { Notice } from "#protocol/messages/notice.ts";

export type SourceContext = {
  key: string;
  facts: SourceFacts | null;
  artifact: Artifact | null;
  /** Where the trace of the artifact's change goes on. */
  traceparent: string;
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
};

type Resolved = { revision: string; /** The artifact we hold is still in the store. */ stored: boolean };

export type SourceEvent = { type: "object"; facts: SourceFacts | null } | { type: "look" };
export type SourceEmit = Notice | { type: "artifactStored"; artifact: Artifact; traceparent: string };

// By way of `readopting`: nothing is done for an object that does not carry our finalizer.
const again = { guard: "stale", target: "readopting" } as const;

const takingLeave = [
  { guard: "outdated" },
  { guard: "rebornInvalid", target: "#source.stalled", actions: "see" },
  { guard: "rebornSuspended", target: "#source.suspended", actions: "see" },
  { guard: "reborn", target: "#source.adopting", actions: "see" },
  { actions: "see" },
] as const;

export const source = setup({
  types: {} as { input: { key: string }; context: SourceContext; events: SourceEvent; emitted: SourceEmit },
  guards: {
    stale: ({ context }) => context.stale,
    staleAndValid: ({ context }) => context.stale && context.facts?.invalid === undefined,
    valid: ({ context }) => context.facts?.invalid === undefined,
    finalized: ({ context }) => context.facts?.finalizer === true,
    outdated: ({ context, event }) => event.type === "object" && isOutdated(context, event.facts),
    rebornInvalid: ({ context, event }) => event.type === "object" && isReborn(context, event.facts) && event.facts?.invalid !== undefined,
    rebornSuspended: ({ context, event }) => event.type === "object" && isReborn(context, event.facts) && event.facts?.suspended === true,
    reborn: ({ context, event }) => event.type === "object" && isReborn(context, event.facts),
    leaving: ({ event }) => event.type === "object" && isLeaving(event.facts),
    invalid: ({ event }) => event.type === "object" && event.facts?.invalid !== undefined,
    suspended: ({ event }) => event.type === "object" && event.facts?.suspended === true,
    renewed: ({ context, event }) => event.type === "object" && event.facts !== null && isRenewed(context, event.facts),
    requested: ({ context, event }) => event.type === "object" && event.facts !== null && isRequested(context, event.facts),
    stalls: ({ context }) => context.fault !== null && faults[context.fault.code].remedy === "stall",
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
  },
  actions: {
    see: enqueueActions(({ context, event, enqueue }) => {
      if (event.type !== "object" || event.facts === null) return;
      const { handledAt, ...facts } = event.facts;
      const news = [notYetNotice(context.facts, event.facts), facts.invalid && faultNotice(context.fault, facts.invalid)];
      for (const notice of news) if (notice) enqueue.emit(notice);
      // The status is ours: what it says counts only before we have said anything ourselves.
      if (context.facts?.uid !== facts.uid) enqueue.assign({ handledAt, handling: "", observedGeneration: -1 });
      enqueue.assign({ facts: { ...facts, handledAt: "" } });
      // Nothing can be done for it, and so it is handled.
      if (facts.invalid) enqueue.assign({ fault: facts.invalid, handling: ({ context }) => handlingOf(context) });
    }),
    fail: enqueueActions(({ context, event, enqueue }) => {
      const fault = faultOf(event);
      const notice = faultNotice(context.fault, fault);
      if (notice) enqueue.emit(notice);
      enqueue.assign({ fault });
    }),
    markStale: assign({ stale: true }),
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
    look: { actions: "markStale" }, // any number while busy make one more look
    object: [
      { guard: "outdated" },
      { guard: "leaving", target: ".removing", actions: "see" },
      { guard: "invalid", target: ".stalled", actions: "see" },
      { guard: "suspended", target: ".suspended", actions: "see" },
      { guard: "renewed", target: ".adopting", actions: "see" },
      { guard: "requested", actions: ["see", "markStale"] },
      { actions: "see" },
    ],
  },
  states: {
    waiting: {},
    suspended: { entry: ["beginHandling", "endHandling", assign({ stale: false })] },
    adopting: { entry: assign({ failures: 0 }), always: "readopting" },
    // As adopting, but failures go on counting.
    readopting: {
      tags: busy,
      entry: ["beginHandling", assign({ stale: false })],
      always: { guard: "finalized", target: "resolving" },
      invoke: { id: "adopt", src: "adopt", input: null, onDone: "resolving", onError: { target: "failing", actions: "fail" } },
    },
    resolving: {
      tags: busy,
      entry: ["beginHandling", assign({ stale: false })],
      invoke: {
        id: "resolve", src: "resolve", input: ({ context }) => ({ path: context.artifact?.path ?? "" }),
        onError: { target: "failing", actions: "fail" },
        onDone: [
          {
            target: "settled",
            guard: ({ context: c, event: { output } }) =>
              output.stored && output.revision === c.artifact?.revision && c.observedGeneration === c.facts?.generation,
          },
          { target: "fetching", actions: assign({ wanted: ({ event }) => event.output.revision }) },
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
            assign(({ event: { output } }) => ({ artifact: output.artifact, traceparent: output.traceparent })),
            emit(({ event: { output } }) => ({ type: "artifactStored", artifact: output.artifact, traceparent: output.traceparent })),
            emit(({ event: { output } }) => ({
              type: "notice", severity: "Normal", reason: "NewArtifact",
              revision: output.artifact.revision, digest: output.artifact.digest,
              message: `stored artifact for commit '${output.subject}'`,
            })),
          ],
        },
      },
    },
    settled: {
      entry: [
        "endHandling",
        assign(({ context: c }) => ({ failures: 0, fault: null, wanted: "", observedGeneration: c.facts?.generation ?? -1 })),
      ],
      always: again,
      after: { interval: "readopting" },
    },
    failing: {
      entry: ["endHandling", assign({ failures: ({ context }) => context.failures + 1 })],
      always: [{ guard: "stalls", target: "stalled" }, again],
      after: { backoff: "readopting" },
    },
    // An object that is invalid itself is not acted on, whoever asks, until it changes: what it wants is not known.
    stalled: {
      entry: ["endHandling", assign({ observedGeneration: ({ context }) => context.facts?.generation ?? -1 })],
      always: { guard: "staleAndValid", target: "readopting" },
      after: { interval: { guard: "valid", target: "readopting" } },
    },
    removing: {
      tags: busy,
      on: { object: takingLeave, look: {} },
      invoke: { id: "remove", src: "remove", input: null, onDone: "gone", onError: { target: "remaining", actions: "fail" } },
    },
    // The deletion could not be finished: it is tried again, as Flux keeps the finalizer until it can.
    remaining: {
      entry: assign({ failures: ({ context }) => context.failures + 1 }),
      on: { object: takingLeave, look: {} },
      after: { backoff: "removing" },
    },
    gone: { type: "final" },
  },
});
