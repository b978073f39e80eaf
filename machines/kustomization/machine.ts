/**
 * Keeps a cluster equal to one directory of a source: find the artifact, build, apply what differs, prune, follow to
 * health, put drift back. It decides; services/render and services/cluster act; services/worker keeps time.
 */
import { assign, emit, enqueueActions, setup } from "xstate";
import { effect } from "#machines/effect.ts";
import { objectGuards } from "#machines/object/guards.ts";
import { contestedMs, jitteredMs, retryMs } from "#machines/rules/backoff.ts";
import { abandonedNotice, blockedNotice, faultNotice, faultOf } from "#machines/rules/notice.ts";
import { handlingOf } from "#machines/rules/object.ts";
import { busy, timeOf } from "#machines/step.ts";
import { unitGuards } from "#machines/unit/guards.ts";
import { lateMs } from "#machines/unit/late.ts";
import { leavingOf } from "#machines/unit/leaving.ts";
import { sightedBy, takingLeaveOf } from "#machines/unit/sightings.ts";
import { again, heldBy, missedDependencyMs, waitingThen } from "#machines/unit/waiting.ts";
import { isPassing } from "#protocol/errors/fault.ts";
import type {
  ApplyOutcome, ApplyScope, BuildOutcome, CompareOutcome, DependencyOutcome, PruneOutcome, RemoveOutcome, SourceFound, UnitReady,
} from "#protocol/messages/kustomization.ts";
import { originOf } from "#protocol/messages/source.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import { found, isUnfinished, suspectsDue, warns, type KustomizationContext, type KustomizationEvent } from "./context.ts";
import { chosenScope, corrects, drifting, driftNotice, isUnleashed, markOf, modeNotice } from "./drifting.ts";
import { afterFailure, afterSuccess } from "./history.ts";
import { intentions, pruned, undigested, union, without } from "./lists.ts";
import { newsNotice, finishedNotice, healthyNotice, removedNotices } from "./notices.ts";

export type { KustomizationContext } from "./context.ts";

export const kustomization = setup({
  types: {} as {
    input: { key: string };
    context: KustomizationContext;
    events: KustomizationEvent;
    emitted: Notice | UnitReady;
  },
  guards: {
    ...objectGuards, ...unitGuards,
    drifted: ({ context }) => context.drifted,
    corrects: ({ context }) => corrects(context),
    warns: ({ context }) => warns(context),
    unleashed: ({ context, event }) => event.type === "object" && event.facts !== null && isUnleashed(context, event.facts),
    suspectsDue: ({ context }) => suspectsDue(context),
    unfinished: ({ context }) => isUnfinished(context),
    calm: ({ context }) => context.wary === undefined,
    driftedWhileUnhealthy: ({ context: c }) => c.drifted && c.fault?.code === "HealthCheckFailed",
    news: ({ context, event }) => event.type === "artifact" && event.digest + event.revision !== (context.source?.digest ?? "") + (context.source?.revision ?? ""),
    nothingToPrune: ({ context }) => context.leftovers.length === 0,
    healthIgnored: ({ context }) => context.facts?.health !== true,
    pruneOff: ({ context }) => context.facts?.prune !== true,
  },
  delays: {
    interval: ({ context }) => jitteredMs(context.facts?.intervalMs ?? 600_000, context.key),
    retry: ({ context: { facts, fault, failures } }) => retryMs(facts?.retryMs ?? 600_000, fault !== null && isPassing(fault.code), failures),
    contest: ({ context }) => contestedMs(context.corrections),
    dependency: 30_000, // Flux's --requeue-dependency
    /** A change of what is awaited wakes the unit; this only repairs what went wrong with that. */
    missedDependency: missedDependencyMs,
    /** Most waits in a chain are over by then, and nobody wants to hear of them. */
    patience: 5_000,
    removal: ({ context }) => Math.min(context.facts?.retryMs ?? 60_000, 60_000),
  },
  actors: {
    adopt: effect<null, null>(),
    findSource: effect<null, SourceFound>(),
    checkDependencies: effect<null, DependencyOutcome>(),
    build: effect<null, BuildOutcome>(),
    apply: effect<{ scope: ApplyScope }, ApplyOutcome>(),
    compare: effect<null, CompareOutcome>(),
    prune: effect<null, PruneOutcome>(),
    followHealth: effect<null, null>(),
    remove: effect<null, RemoveOutcome>(),
    release: effect<null, null>(),
  },
  actions: {
    see: enqueueActions(({ context, event, enqueue }) => {
      if (event.type !== "object" || event.facts === null) return;
      const { handledAt, ...facts } = event.facts;
      const news = [modeNotice(context.facts, event.facts), facts.invalid && faultNotice(context.fault, facts.invalid)];
      for (const notice of news) if (notice) enqueue.emit(notice);
      // The status is ours: what it says counts only before we have said anything ourselves.
      if (context.facts?.uid !== facts.uid) enqueue.assign({ handledAt, handling: "", observedGeneration: -1 });
      enqueue.assign({ facts: { ...facts, handledAt: "" } });
      // Nothing can be done for it, and so it is handled.
      if (facts.invalid) enqueue.assign({ fault: facts.invalid, handling: ({ context }) => handlingOf(context) });
    }),
    /** The answer of a check: for whom it has to wait. */
    hold: assign(({ event }) => heldBy(event)),
    releaseWait: assign({ awaits: undefined, waitTold: undefined }),
    tellBlocked: enqueueActions(({ context, enqueue }) => {
      if (!context.waitTold) enqueue.emit(blockedNotice(context.source?.revision ?? "", missedDependencyMs));
      enqueue.assign({ waitTold: true });
    }),
    tellDependents: emit({ type: "unitReady" }),
    fail: enqueueActions(({ context, event, enqueue }) => {
      const fault = faultOf(event);
      const notice = faultNotice(context.fault, fault);
      if (notice) enqueue.emit({ ...notice, revision: context.attempted });
      enqueue.assign({ fault });
    }),
    heedCrash: enqueueActions(({ event, enqueue }) => {
      const { output } = event as { output?: { recovered?: boolean; fault?: unknown } };
      if (event.type !== "recovered" && output?.recovered !== true) return;
      enqueue.assign({ wary: "crashed" });
      if (event.type === "recovered" || output?.fault !== undefined) enqueue.assign({ unfenced: true });
      enqueue.raise({ type: "calm" }, { id: "calm", delay: lateMs });
    }),
    heedInterruption: enqueueActions(({ context, enqueue }) => {
      if (!isUnfinished(context)) return;
      enqueue.assign({ wary: context.wary ?? "interrupted" });
      enqueue.raise({ type: "calm" }, { id: "calm", delay: lateMs });
    }),
    markStale: assign({ stale: true }),
    markDrifted: assign({ drifted: true }),
    beginHandling: assign({ handling: ({ context }) => handlingOf(context) }),
    endHandling: assign({ handledAt: ({ context: c }) => c.handling || c.handledAt }),
    chooseScope: assign(({ context, event }) => chosenScope(context, timeOf(event))),
    countCorrection: assign({ corrections: ({ context }) => context.corrections + 1 }),
    beginComparing: assign({ drifted: false, driftTold: ({ context }) => context.driftTold ?? "" }),
    tellDrift: enqueueActions(({ context, event, enqueue }) => {
      const { differences } = (event as unknown as { output: CompareOutcome }).output;
      const notice = driftNotice(context, differences);
      if (notice) enqueue.emit(notice);
      enqueue.assign({ driftTold: markOf(differences) || undefined, ...(context.compareAll && { compareAll: undefined, comparedMs: timeOf(event) }) });
    }),
    forgetApplied: assign({ appliedKey: "", scope: "all" }),
    tellAbandoned: enqueueActions(({ event, enqueue }) => {
      const { abandoned } = (event as unknown as { output: RemoveOutcome }).output;
      if (abandoned) enqueue.emit(abandonedNotice(abandoned));
    }),
    tellNews: enqueueActions(({ context, event, enqueue }) => {
      const notice = newsNotice(context, (event as unknown as { output: ApplyOutcome | PruneOutcome }).output);
      if (!notice) return;
      enqueue.emit(notice);
      enqueue.assign({ changed: true });
    }),
    tellHealthy: enqueueActions(({ context, event, enqueue }) => {
      const notice = healthyNotice(context, timeOf(event));
      if (!notice) return;
      if (context.changed || context.healthSaid === undefined || context.fault !== null) enqueue.emit(notice);
      enqueue.assign({ healthSaid: notice.message });
    }),
    tellRemoved: enqueueActions(({ context, event, enqueue }) => {
      const { removed } = (event as unknown as { output: RemoveOutcome }).output;
      for (const notice of removed ? removedNotices(context, removed) : []) enqueue.emit(notice);
    }),
    tellReady: enqueueActions(({ context, event, enqueue }) => {
      const notice = finishedNotice(context, timeOf(event));
      if (notice) enqueue.emit(notice);
    }),
    rememberFailure: assign({ history: ({ context, event }) => afterFailure(context, timeOf(event)) }),
    begin: assign({ startedMs: ({ event }) => timeOf(event) }),
  },
}).createMachine({
  id: "kustomization",
  context: ({ input }) => ({
    ...input, facts: null, source: null, traceparent: "", build: null, appliedKey: "", inventory: [], leftovers: [], intended: [],
    scope: "changed", attempted: "", applied: "", observedGeneration: -1, handling: "", handledAt: "", fault: null, failures: 0, stale: false,
    drifted: false, corrections: 0,
  }),
  initial: "waiting",
  on: {
    look: { actions: "markStale" },
    artifact: { guard: "news", actions: "markStale" },
    drift: { actions: "markDrifted" },
    recovered: { actions: "heedCrash" },
    calm: { actions: assign({ wary: undefined, unfenced: undefined }) },
    object: sightedBy("kustomization"),
  },
  states: {
    waiting: {},
    suspended: {
      // What drifts meanwhile is put back when it is resumed.
      entry: ["beginHandling", "endHandling", assign({ stale: false })],
      on: { look: {}, artifact: {} },
    },
    adopting: {
      tags: busy,
      entry: ["begin", "chooseScope", "beginHandling", assign({ stale: false })],
      always: { guard: "finalized", target: "finding" },
      invoke: { id: "adopt", src: "adopt", input: null, onDone: "finding", onError: { target: "failing", actions: "fail" } },
    },
    finding: {
      tags: busy,
      entry: ["chooseScope", "beginHandling", assign({ stale: false })],
      invoke: {
        id: "findSource", src: "findSource", input: null,
        onError: { target: "failing", actions: "fail" },
        onDone: {
          target: "awaiting",
          actions: assign(({ context: c, event: { output } }) => ({
            source: output.artifact,
            traceparent: output.traceparent, ...found(c, output),
            // Only an actor that has applied nothing yet goes on from what the object's status lists.
            ...(c.applied === "" && c.inventory.length === 0 && { inventory: output.inventory }),
            ...(c.applied === "" && c.history === undefined && output.history && { history: output.history }),
          })),
        },
      },
    },
    ...waitingThen("building"),
    building: {
      tags: busy,
      entry: assign({ attempted: ({ context }) => context.source?.revision ?? "", worked: undefined }),
      invoke: {
        id: "build", src: "build", input: null,
        onError: { target: "failing", actions: "fail" },
        onDone: [
          {
            // The very objects that stand in the cluster already: nothing to ask, nothing to apply.
            target: "checking",
            guard: ({ context: c, event: { output } }) => output.renderKey === c.appliedKey && c.scope === "changed" && !corrects(c) && !suspectsDue(c),
            actions: assign(({ event: { output: { objects: _, ...build } } }) => ({ build })),
          },
          {
            target: "applying",
            actions: [
              "heedInterruption",
              assign(({ context: c, event: { output: { objects = [], ...build } } }) => ({ build, intended: intentions(c.intended, objects, c.inventory) })),
            ],
          },
        ],
      },
    },
    applying: {
      tags: busy,
      // One that was cut short may have written what no record knows, and a later commit may want the former state back.
      entry: assign(({ context: c }) => ({ appliedKey: "", drifted: false, worked: true, inventory: c.writing ? undigested(c.inventory) : c.inventory, writing: true })),
      invoke: {
        id: "apply", src: "apply", input: ({ context }) => ({ scope: context.scope }),
        onError: { target: "failing", actions: ["fail", "rememberFailure"] },
        onDone: [
          {
            guard: ({ event }) => event.output.fault !== undefined,
            target: "failing",
            actions: [
              "tellNews",
              "fail",
              "rememberFailure",
              "heedCrash",
              assign(({ context: c, event: { output } }) => ({
                inventory: undigested(union(output.entries, c.inventory), output.unsure ?? []), writing: undefined,
              })),
            ],
          },
          {
            target: "pruning",
            actions: [
              "tellNews",
              "heedCrash",
              assign(({ context: c, event }) => ({
                inventory: event.output.entries,
                writing: undefined,
                leftovers: without(union(c.leftovers, c.inventory, c.intended), event.output.entries),
                intended: [],
                ...(c.suspects && { suspects: without(c.suspects, event.output.entries) }), // wanted again
                unfenced: undefined,
                ...((c.scope === "all" || c.comparedMs === undefined) && { comparedMs: timeOf(event) }),
                scope: "changed", driftTold: undefined,
              })),
            ],
          },
        ],
      },
    },
    pruning: {
      tags: busy,
      entry: assign(({ context: c }) => (suspectsDue(c) ? { leftovers: without(union(c.leftovers, c.suspects ?? []), c.inventory), suspects: undefined } : {})),
      always: [
        { guard: "nothingToPrune", target: "checking", actions: assign({ appliedKey: ({ context }) => context.build?.renderKey ?? "" }) },
        // Without spec.prune they are forgotten, as with Flux: nobody deletes them later either.
        { guard: "pruneOff", target: "checking", actions: assign({ leftovers: [], appliedKey: ({ context }) => context.build?.renderKey ?? "" }) },
      ],
      invoke: {
        id: "prune", src: "prune", input: null,
        onError: { target: "failing", actions: ["fail", "rememberFailure"] },
        onDone: [
          {
            guard: ({ event }) => event.output.fault !== undefined,
            target: "failing",
            actions: ["tellNews", "fail", "rememberFailure", "heedCrash", assign(({ context, event: { output } }) => pruned(context, output))],
          },
          {
            target: "checking",
            actions: ["tellNews", "heedCrash", assign(({ context: c, event: { output } }) => ({ ...pruned(c, output), appliedKey: c.build?.renderKey ?? "" }))],
          },
        ],
      },
    },
    checking: {
      tags: busy,
      entry: assign({ checkingMs: ({ event }) => timeOf(event) }),
      always: [
        { guard: "healthIgnored", target: "settled", actions: "tellReady" },
        again, // a newer revision does not wait for the health of an older one
        { guard: "corrects", target: "building" },
      ],
      invoke: {
        id: "followHealth", src: "followHealth", input: null,
        onDone: { target: "settled", actions: ["tellHealthy", "tellReady"] },
        onError: { target: "failing", actions: ["fail", "rememberFailure"] },
      },
    },
    settled: {
      exit: assign({ worked: undefined }),
      entry: [
        "endHandling",
        "tellDependents",
        assign(({ context: c, event }) => ({
          history: afterSuccess(c, timeOf(event)),
          fault: null, failures: 0, changed: undefined, applied: c.source?.revision ?? "", observedGeneration: c.facts?.generation ?? -1,
          ...(c.facts?.health !== true && { healthSaid: undefined }),
          ...(c.source && (originOf(c.source) || c.appliedOrigin) && { appliedOrigin: originOf(c.source) }),
        })),
      ],
      always: [again, { guard: "drifted", target: "contested" }, { guard: "suspectsDue", target: "pruning" }],
      after: { interval: { target: "adopting", actions: assign({ corrections: 0 }) } },
    },
    ...drifting,
    failing: {
      entry: ["endHandling", assign({ failures: ({ context }) => context.failures + 1 })],
      always: [{ guard: "stalls", target: "stalled" }, again, { guard: "driftedWhileUnhealthy", target: "contested" }],
      after: { dependency: { guard: "waits", target: "adopting" }, retry: "adopting" },
    },
    // An object that is invalid itself is not acted on, whoever asks, until it changes: what it wants is not known.
    stalled: {
      entry: ["endHandling", assign({ observedGeneration: ({ context }) => context.facts?.generation ?? -1 })],
      always: { guard: "staleAndValid", target: "adopting" },
      on: { dependency: { guard: "inCycle", target: "adopting" } },
      after: { interval: { guard: "valid", target: "adopting" } },
    },
    removing: {
      tags: busy,
      // Whether an apply that was cut short created them or not: they go with the rest.
      entry: assign(({ context: c }) => ({ leftovers: union(c.leftovers, c.intended, c.suspects ?? []), intended: [], suspects: undefined })),
      on: {
        object: takingLeaveOf("kustomization"), look: {}, artifact: {}, drift: {},
        // A crash while it only deleted leaves nothing that could come late.
        recovered: [{ guard: "unfinished", actions: "heedCrash" }, {}],
      },
      invoke: {
        id: "remove", src: "remove", input: null,
        onDone: [
          { guard: ({ event }) => (event.output?.awaits?.length ?? 0) > 0, target: "yielding", actions: assign({ awaits: ({ event }) => event.output.awaits }) },
          { guard: ({ event }) => event.output?.late === true, target: "lingering", actions: "heedCrash" },
          { guard: ({ event }) => event.output?.abandoned !== undefined, target: "releasing", actions: "tellAbandoned" },
          { guard: ({ event }) => event.output?.removed !== undefined, target: "releasing", actions: "tellRemoved" },
          { target: "gone" },
        ],
        onError: { target: "remaining", actions: "fail" },
      },
    },
    ...leavingOf("kustomization"),
    gone: { type: "final" },
  },
});
