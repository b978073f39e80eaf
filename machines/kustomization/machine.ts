/**
 * Keeps a cluster equal to one directory of a source: find the artifact, build, apply what differs, prune, follow to
 * health, put drift back. It decides; services/render and services/cluster act; services/worker keeps time.
 */
import { assign, enqueueActions, setup } from "xstate";
import { effect } from "#machines/effect.ts";
import { contestedMs, jitteredMs, retryMs } from "#machines/rules/backoff.ts";
import { faultNotice, faultOf, notYetNotice } from "#machines/rules/notice.ts";
import { handlingOf, isLeaving, isOutdated, isReborn, isRenewed, isRequested } from "#machines/rules/object.ts";
import { busy } from "#machines/step.ts";
import { faults, isPassing } from "#protocol/errors/fault.ts";
import type { ApplyOutcome, ApplyScope, BuildOutcome, PruneOutcome, RemoveOutcome, SourceFound } from "#protocol/messages/kustomization.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import { isUnfinished, suspectsDue, type KustomizationContext, type KustomizationEvent } from "./context.ts";
import { deletions, intentions, story, suspected, told, undigested, union, without } from "./lists.ts";

export type { KustomizationContext } from "./context.ts";

/** How long the API server may work on a request that nobody waits for any more: its --request-timeout (ownership.md 7.8). */
const lateMs = 60_000;

// By way of `adopting`: nothing is applied for an object that does not carry our finalizer.
const again = { guard: "stale", target: "adopting" } as const;

const takingLeave = [
  { guard: "outdated" },
  { guard: "vanished", target: "#kustomization.gone", actions: "see" },
  // Some of what it had applied may be deleted by now.
  { guard: "rebornInvalid", target: "#kustomization.stalled", actions: ["see", "forgetApplied"] },
  { guard: "rebornSuspended", target: "#kustomization.suspended", actions: ["see", "forgetApplied"] },
  { guard: "reborn", target: "#kustomization.adopting", actions: ["see", "forgetApplied"] },
  { actions: "see" },
] as const;

export const kustomization = setup({
  types: {} as {
    input: { key: string };
    context: KustomizationContext;
    events: KustomizationEvent;
    emitted: Notice;
  },
  guards: {
    stale: ({ context }) => context.stale,
    staleAndValid: ({ context }) => context.stale && context.facts?.invalid === undefined,
    valid: ({ context }) => context.facts?.invalid === undefined,
    drifted: ({ context }) => context.drifted,
    suspectsDue: ({ context }) => suspectsDue(context),
    unfinished: ({ context }) => isUnfinished(context),
    calm: ({ context }) => context.wary === undefined,
    driftedWhileUnhealthy: ({ context: c }) => c.drifted && c.fault?.code === "HealthCheckFailed",
    outdated: ({ context, event }) => event.type === "object" && isOutdated(context, event.facts),
    rebornInvalid: ({ context, event }) => event.type === "object" && isReborn(context, event.facts) && event.facts?.invalid !== undefined,
    rebornSuspended: ({ context, event }) => event.type === "object" && isReborn(context, event.facts) && event.facts?.suspended === true,
    reborn: ({ context, event }) => event.type === "object" && isReborn(context, event.facts),
    // Our finalizer goes last, so nothing is left to do; if somebody else took it off, they want the objects to stay.
    vanished: ({ event }) => event.type === "object" && event.facts === null,
    leaving: ({ event }) => event.type === "object" && isLeaving(event.facts),
    invalid: ({ event }) => event.type === "object" && event.facts?.invalid !== undefined,
    suspended: ({ event }) => event.type === "object" && event.facts?.suspended === true,
    renewed: ({ context, event }) => event.type === "object" && event.facts !== null && isRenewed(context, event.facts),
    requested: ({ context, event }) => event.type === "object" && event.facts !== null && isRequested(context, event.facts),
    news: ({ context, event }) => event.type === "artifact" && event.digest + event.revision !== (context.source?.digest ?? "") + (context.source?.revision ?? ""),
    finalized: ({ context }) => context.facts?.finalizer === true,
    stalls: ({ context }) => context.fault !== null && faults[context.fault.code].remedy === "stall",
    waits: ({ context }) => context.fault !== null && faults[context.fault.code].remedy === "wait",
    nothingToPrune: ({ context }) => context.leftovers.length === 0,
    healthIgnored: ({ context }) => context.facts?.health !== true,
    pruneOff: ({ context }) => context.facts?.prune !== true,
  },
  delays: {
    interval: ({ context }) => jitteredMs(context.facts?.intervalMs ?? 600_000, context.key),
    retry: ({ context: { facts, fault, failures } }) => retryMs(facts?.retryMs ?? 600_000, fault !== null && isPassing(fault.code), failures),
    contest: ({ context }) => contestedMs(context.corrections),
    dependency: 30_000, // Flux's --requeue-dependency
    removal: ({ context }) => Math.min(context.facts?.retryMs ?? 60_000, 60_000),
  },
  actors: {
    adopt: effect<null, null>(),
    findSource: effect<null, SourceFound>(),
    build: effect<null, BuildOutcome>(),
    apply: effect<{ scope: ApplyScope }, ApplyOutcome>(),
    prune: effect<null, PruneOutcome>(),
    followHealth: effect<null, null>(),
    remove: effect<null, RemoveOutcome>(),
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
    // Asked by a person: compare every object with the cluster, not only what is known to differ, once it can be applied.
    chooseScope: assign({ scope: ({ context: c }) => (c.facts !== null && isRequested(c, c.facts) ? "all" : c.scope) }),
    forgetApplied: assign({ appliedKey: "", scope: "all" }),
    tellReady: enqueueActions(({ context, enqueue }) => {
      const revision = context.source?.revision ?? "";
      if (context.changes.length > 0 || context.applied !== revision || context.fault !== null)
        enqueue.emit({
          type: "notice", severity: "Normal", revision, message: story(revision, context.changes),
          // Nothing new was asked for, so what was written was somebody else's change.
          reason: context.applied === revision && context.corrections > 0 && context.changes.length > 0 ? "DriftCorrected" : "ReconciliationSucceeded",
        });
    }),
  },
}).createMachine({
  id: "kustomization",
  context: ({ input }) => ({
    ...input, facts: null, source: null, traceparent: "", build: null, appliedKey: "", inventory: [], leftovers: [], intended: [], changes: [],
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
    object: [
      { guard: "outdated" },
      { guard: "vanished", target: ".gone", actions: "see" },
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
    suspended: {
      // What drifts meanwhile is put back when it is resumed.
      entry: ["beginHandling", "endHandling", assign({ stale: false })],
      on: { look: {}, artifact: {} },
    },
    adopting: {
      tags: busy,
      entry: ["chooseScope", "beginHandling", assign({ stale: false })],
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
          target: "building",
          actions: assign(({ context: c, event: { output } }) => ({
            source: output.artifact,
            traceparent: output.traceparent,
            // Only an actor that has applied nothing yet goes on from what the object's status lists.
            ...(c.applied === "" && c.inventory.length === 0 && { inventory: output.inventory }),
          })),
        },
      },
    },
    building: {
      tags: busy,
      entry: assign({ attempted: ({ context }) => context.source?.revision ?? "" }),
      invoke: {
        id: "build", src: "build", input: null,
        onError: { target: "failing", actions: "fail" },
        onDone: [
          {
            // The very objects that stand in the cluster already: nothing to ask, nothing to apply.
            target: "checking",
            guard: ({ context: c, event: { output } }) => output.renderKey === c.appliedKey && c.scope === "changed" && !c.drifted && !suspectsDue(c),
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
      entry: assign(({ context: c }) => ({ appliedKey: "", drifted: false, inventory: c.writing ? undigested(c.inventory) : c.inventory, writing: true })),
      invoke: {
        id: "apply", src: "apply", input: ({ context }) => ({ scope: context.scope }),
        onError: { target: "failing", actions: "fail" },
        onDone: [
          {
            guard: ({ event }) => event.output.fault !== undefined,
            target: "failing",
            actions: [
              "fail",
              "heedCrash",
              assign(({ context: c, event: { output } }) => ({
                inventory: undigested(union(output.entries, c.inventory), output.unsure ?? []), writing: undefined, changes: told(c.changes, output.changes),
              })),
            ],
          },
          {
            target: "pruning",
            actions: [
              "heedCrash",
              assign(({ context: c, event: { output } }) => ({
                inventory: output.entries,
                writing: undefined,
                leftovers: without(union(c.leftovers, c.inventory, c.intended), output.entries),
                intended: [],
                ...(c.suspects && { suspects: without(c.suspects, output.entries) }), // wanted again
                unfenced: undefined,
                scope: "changed",
                changes: told(c.changes, output.changes),
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
        {
          guard: "pruneOff",
          target: "checking",
          actions: assign({ leftovers: [], appliedKey: ({ context }) => context.build?.renderKey ?? "" }),
        },
      ],
      invoke: {
        id: "prune", src: "prune", input: null,
        onError: { target: "failing", actions: "fail" },
        onDone: [
          {
            guard: ({ event }) => event.output.fault !== undefined,
            target: "failing",
            actions: ["fail", "heedCrash", assign(({ context, event: { output } }) => pruned(context, output))],
          },
          {
            target: "checking",
            actions: ["heedCrash", assign(({ context: c, event: { output } }) => ({ ...pruned(c, output), appliedKey: c.build?.renderKey ?? "" }))],
          },
        ],
      },
    },
    checking: {
      tags: busy,
      always: [
        { guard: "healthIgnored", target: "settled", actions: "tellReady" },
        again, // a newer revision does not wait for the health of an older one
        { guard: "drifted", target: "building" },
      ],
      invoke: {
        id: "followHealth", src: "followHealth", input: null,
        onDone: { target: "settled", actions: "tellReady" },
        onError: { target: "failing", actions: "fail" },
      },
    },
    settled: {
      entry: [
        "endHandling",
        assign(({ context: c }) => ({
          fault: null, failures: 0, changes: [], applied: c.source?.revision ?? "", observedGeneration: c.facts?.generation ?? -1,
        })),
      ],
      always: [again, { guard: "drifted", target: "contested" }, { guard: "suspectsDue", target: "pruning" }],
      after: { interval: { target: "adopting", actions: assign({ corrections: 0 }) } },
    },
    // Drift is put back at once; a field two controllers fight over, at a widening distance.
    contested: {
      entry: assign({ corrections: ({ context }) => context.corrections + 1 }),
      always: again,
      after: { contest: "building" },
    },
    failing: {
      entry: ["endHandling", assign({ failures: ({ context }) => context.failures + 1 })],
      always: [{ guard: "stalls", target: "stalled" }, again, { guard: "driftedWhileUnhealthy", target: "contested" }],
      after: {
        dependency: { guard: "waits", target: "adopting" },
        retry: "adopting",
      },
    },
    // An object that is invalid itself is not acted on, whoever asks, until it changes: what it wants is not known.
    stalled: {
      entry: ["endHandling", assign({ observedGeneration: ({ context }) => context.facts?.generation ?? -1 })],
      always: { guard: "staleAndValid", target: "adopting" },
      after: { interval: { guard: "valid", target: "adopting" } },
    },
    removing: {
      tags: busy,
      // Whether an apply that was cut short created them or not: they go with the rest.
      entry: assign(({ context: c }) => ({ leftovers: union(c.leftovers, c.intended, c.suspects ?? []), intended: [], suspects: undefined })),
      on: {
        object: takingLeave, look: {}, artifact: {}, drift: {},
        // A crash while it only deleted leaves nothing that could come late.
        recovered: [{ guard: "unfinished", actions: "heedCrash" }, {}],
      },
      invoke: {
        id: "remove", src: "remove", input: null,
        onDone: [{ guard: ({ event }) => event.output?.late === true, target: "lingering", actions: "heedCrash" }, { target: "gone" }],
        onError: { target: "remaining", actions: "fail" },
      },
    },
    // The finalizer stays until nothing that was deleted can come back.
    lingering: {
      on: { object: takingLeave, look: {}, artifact: {}, drift: {} },
      always: { guard: "calm", target: "removing" },
    },
    // The deletion could not be finished: the finalizer stays and it is tried again.
    remaining: {
      on: { object: takingLeave, look: {}, artifact: {}, drift: {} },
      after: { removal: "removing" },
    },
    gone: { type: "final" },
  },
});

function pruned(c: KustomizationContext, output: PruneOutcome) {
  return {
    leftovers: output.left,
    changes: told(c.changes, deletions(output, c.leftovers)),
    ...((c.wary !== undefined || output.recovered === true) && { suspects: suspected(c.suspects ?? [], c.leftovers) }),
  };
}
