/**
 * Keeps a Helm release as its object says: find the chart, compose the values, look at what storage holds, and do one action of
 * Helm after the other until nothing is left to do (flux.md 2.7). It decides; services/render/helm and services/release act.
 */
import { assign, enqueueActions, setup } from "xstate";
import { effect } from "#machines/effect.ts";
import { objectGuards } from "#machines/object/guards.ts";
import { backoffMs, contestedMs, jitteredMs } from "#machines/rules/backoff.ts";
import { blockedNotice, faultNotice, faultOf } from "#machines/rules/notice.ts";
import { handlingOf } from "#machines/rules/object.ts";
import { countsTests, keepsTested, nextOf, type Next } from "#machines/rules/release-next.ts";
import { truncated } from "#machines/rules/release-history.ts";
import { adoptable, stateOf } from "#machines/rules/release-state.ts";
import { busy, timeOf } from "#machines/step.ts";
import { unitGuards } from "#machines/unit/guards.ts";
import { lateMs } from "#machines/unit/late.ts";
import { leavingOf } from "#machines/unit/leaving.ts";
import { sightedBy, takingLeaveOf } from "#machines/unit/sightings.ts";
import { again, heldBy, missedDependencyMs, waitingThen } from "#machines/unit/waiting.ts";
import { isPassing, readFault } from "#protocol/errors/fault.ts";
import type { DependencyOutcome, UnitReady } from "#protocol/messages/kustomization.ts";
import type {
  ActInput, ActOutcome, ChartApplied, ChartFound, Composed, CorrectOutcome, DriftOutcome, Inspected, ReleaseRemoved, ReleaseSnapshot, StorageSeen, StoredRelease,
} from "#protocol/messages/release.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import { attempting, blank, chartSeenBy, forgotten, isAsked, isHeld, mustCompareAll, taken, type ReleaseContext, type ReleaseEvent } from "./context.ts";
import { corrected, drifted, drifting, withStanding } from "./drifting.ts";
import { lingers, suspected, suspectsDue, sweeping } from "./late.ts";
import { afterAct, inSync, kept, movedBy, noticeOf, outcomeIn, uninstalled, type Recorded } from "./record.ts";
import { summaryOf } from "./status.ts";
import { pairing, pairingGuards, pairingMs } from "./pairing.ts";
import { releaseWords } from "./words.ts";

export type { ReleaseContext } from "./context.ts";

const takingLeave = takingLeaveOf("release");
const isNext = (...kinds: Next["do"][]) => ({ context }: { context: ReleaseContext }) => context.next !== undefined && kinds.includes(context.next.do);

/** What a sighting of the object leads to while an action is under way: the next decision heeds it. */
const holding = () =>
  [
    { guard: "outdated" },
    { guard: "vanished", target: "#release.gone", actions: "see" },
    { guard: "leaving", target: "#release.removing", actions: "see" },
    { guard: "renewed", actions: ["see", "markStale"] },
    { guard: "requested", actions: ["see", "markStale"] },
    { guard: "inputsRenewed", actions: ["see", "markStale"] },
    { actions: "see" },
  ] as const;

const watchesDrift = ({ facts }: Pick<ReleaseContext, "facts">): boolean => facts !== null && facts.drift !== "disabled";

/** What storage holds is what the history says when the newest revision is the newest of both. */
function seenOf(storage: StorageSeen | undefined, last: StoredRelease | undefined, latest: ReleaseSnapshot | undefined): ReleaseContext["storage"] {
  return storage && { ...storage, settled: last?.status === "deployed" && latest?.apiVersion === "v2" && latest.version === last.version && latest.digest === last.digest };
}

type Enqueue = { assign(context: Partial<ReleaseContext>): void; emit(notice: Notice): void };

function keep({ context, notice }: Recorded, enqueue: Enqueue): void {
  if (notice) enqueue.emit(notice);
  enqueue.assign(context);
}

export const release = setup({
  types: {} as { input: { key: string }; context: ReleaseContext; events: ReleaseEvent; emitted: Notice | UnitReady },
  guards: {
    ...objectGuards, ...unitGuards, ...pairingGuards,
    unleashed: () => false, // another mode of drift is another generation
    calm: ({ context }) => context.wary === undefined,
    suspectsDue: ({ context }) => suspectsDue(context),
    unfinished: ({ context }) => context.act !== undefined,
    lingers: ({ context, event }) => {
      const { removed } = (event as unknown as { output: ReleaseRemoved }).output;
      return context.facts?.suspended !== true && removed !== undefined && lingers(context, removed);
    },
    exhausted: ({ context }) => context.stalledBy !== undefined,
    isInvalid: ({ context }) => context.facts?.invalid !== undefined,
    isSuspended: ({ context }) => context.facts?.suspended === true,
    news: ({ context, event }) => event.type === "artifact" && !isHeld(context, event),
    drifted: ({ context }) => context.drifted && watchesDrift(context),
    acts: isNext("act", "resume"),
    finishes: isNext("finish"),
    rests: isNext("rest"),
    gives: isNext("stall"),
    waitsToRetry: isNext("retry", "again"),
    fails: isNext("fail"),
    compares: ({ context }) => context.next?.do === "finish" && watchesDrift(context),
    moved: ({ context }) => movedBy(context) !== undefined,
    corrects: ({ context, event }) => context.facts?.drift === "enabled" && ((event as unknown as { output: DriftOutcome }).output.differences.length > 0),
    faultyAnswer: ({ event }) => (event as unknown as { output?: { fault?: unknown } }).output?.fault !== undefined,
    passing: ({ event }) => isPassing(faultOf(event).code),
  },
  delays: {
    interval: ({ context }) => jitteredMs(context.facts?.intervalMs ?? 600_000, context.key),
    backoff: ({ context }) => backoffMs(Math.max(1, context.failures)),
    retry: ({ context: { next, failures } }) => (next?.do === "retry" ? next.afterMs : backoffMs(Math.max(1, failures))),
    contest: ({ context }) => contestedMs(context.corrections),
    pairing: ({ context }) => pairingMs(context),
    dependency: 30_000, // Flux's --requeue-dependency
    /** A change of what is awaited wakes the release; this only repairs what went wrong with that. */
    missedDependency: missedDependencyMs,
    /** Most waits in a chain are over by then, and nobody wants to hear of them. */
    patience: 5_000,
    removal: ({ context }) => backoffMs(Math.max(1, context.failures)),
  },
  actors: {
    adopt: effect<null, null>(),
    applyChart: effect<null, ChartApplied>(),
    checkDependencies: effect<null, DependencyOutcome>(),
    findChart: effect<null, ChartFound>(),
    compose: effect<null, Composed>(),
    inspect: effect<null, Inspected>(),
    act: effect<ActInput, ActOutcome>(),
    compare: effect<{ all: boolean }, DriftOutcome>(),
    correct: effect<{ ids: string[] }, CorrectOutcome>(),
    sweep: effect<null, null>(),
    remove: effect<null, ReleaseRemoved>(),
    release: effect<null, null>(),
  },
  actions: {
    see: enqueueActions(({ context, event, enqueue }) => {
      if (event.type !== "object" || event.facts === null) return;
      const { handledAt, ...facts } = event.facts;
      const notice = facts.invalid && faultNotice(context.fault, facts.invalid);
      if (notice) enqueue.emit(notice);
      // Another object of this name has nothing of the former one; its own status says what there is.
      if (context.facts?.uid !== facts.uid) enqueue.assign(({ context: c }) => ({ ...forgotten(c), handledAt }));
      enqueue.assign({ facts: { ...facts, handledAt: "" } });
      if (facts.invalid) enqueue.assign({ fault: facts.invalid, handling: ({ context: c }) => handlingOf(c) });
    }),
    refuse: assign(({ context: c }) => ({ fault: c.facts?.invalid ?? c.fault, handling: handlingOf(c) })),
    hold: assign(({ event }) => heldBy(event)),
    releaseWait: assign({ awaits: undefined, waitTold: undefined }),
    tellBlocked: enqueueActions(({ context, enqueue }) => {
      if (!context.waitTold) enqueue.emit(blockedNotice(context.attempted, missedDependencyMs));
      enqueue.assign({ waitTold: true });
    }),
    tellDependents: enqueueActions(({ context, enqueue }) => {
      if (summaryOf(context)?.status === "True") enqueue.emit({ type: "unitReady" });
    }),
    fail: enqueueActions(({ context, event, enqueue }) => {
      const fault = faultOf(event);
      const notice = faultNotice(context.fault, fault, releaseWords);
      if (notice) enqueue.emit({ ...notice, revision: context.attempted });
      enqueue.assign({ fault });
    }),
    failUnknown: enqueueActions(({ context, enqueue }) => {
      const detail = context.next?.do === "fail" ? context.next.detail : "";
      enqueue.assign({ fault: { code: "ReleaseStateUnknown", subject: context.key, detail } });
    }),
    markStale: assign({ stale: true }),
    markDrifted: assign({ drifted: true }),
    beginHandling: assign({ handling: ({ context }) => handlingOf(context) }),
    endHandling: assign({ handledAt: ({ context: c }) => c.handling || c.handledAt }),
    /** What the object asks for beside a look is answered by this run, and only once. */
    heedRequests: assign(({ context: c }) => {
      const { forceAt, resetAt, requestedAt } = c.facts ?? {};
      return {
        forced: c.forced || isAsked(forceAt, c.handledForceAt, c), resets: c.resets || isAsked(resetAt, c.handledResetAt, c),
        ...(forceAt && requestedAt && { handledForceAt: forceAt }), ...(resetAt && requestedAt && { handledResetAt: resetAt }),
      };
    }),
    begin: assign(({ context, event }) => ({ done: [], next: undefined, stalledBy: undefined, pairings: undefined, compareAll: mustCompareAll(context, timeOf(event)), chartSeen: chartSeenBy(context, timeOf(event)) })),
    decide: enqueueActions(({ context: c, event, enqueue }) => {
      const inspected = (event as unknown as { output: Inspected }).output;
      if (!c.facts || !c.composed) return;
      const adopted = adoptable(inspected, c.history, c.composed);
      const history = adopted ? [adopted] : c.history;
      const situation = { facts: c.facts, counts: c.counts, lastAction: c.lastAction };
      const standing = stateOf(inspected, {
        composed: c.composed, history, intent: c.act?.intent,
        ...(c.observedGeneration !== c.facts.generation && history.length > 0 && !adopted && { digests: { postRenderers: c.postRenderersDigest, commonMetadata: c.commonMetadataDigest } }),
        tests: { enabled: c.facts.test.enabled, count: countsTests(situation) },
      });
      const next = nextOf({ ...situation, standing, inspected, history, forced: c.forced, done: c.done });
      enqueue.assign({ next, forced: false, history, storage: seenOf(inspected.storage, inspected.last, history[0]), ...(adopted && inspected.entries && { inventory: inspected.entries }), ...(adopted && { conditions: inSync({ ...c, history }).conditions ?? c.conditions }) });
      if (next.do !== "resume") enqueue.assign({ act: undefined });
      if (next.do === "act" && next.forgets) enqueue.assign({ history: [] });
      if (next.do === "finish") enqueue.assign(({ context }) => ({ ...inSync(context), history: kept(context) }));
      if (next.do === "act" && next.step === "remediate") enqueue.assign(({ context }) => ({ history: truncated(context.history, keepsTested(situation)) }));
    }),
    /** Kept before anything is done: whoever does it, and however often, does the same. */
    intend: assign(({ context: c, event }) => {
      const { next } = c;
      if (next?.do !== "act") return { actingMs: timeOf(event), storage: undefined };
      const intents = c.intents + 1;
      const act = { action: next.action, version: next.version, ...(next.to !== undefined && { to: next.to }), intent: `${c.facts?.uid ?? ""}.${intents}` };
      return { act, intents, actingMs: timeOf(event), done: [...c.done, next.step], storage: undefined };
    }),
    intendMove: assign(({ context: c, event }) => {
      const intents = c.intents + 1;
      return { intents, actingMs: timeOf(event), storage: undefined, act: { action: "uninstall", version: c.history[0]?.version ?? 0, intent: `${c.facts?.uid ?? ""}.${intents}` } as const };
    }),
    record: enqueueActions(({ context: c, event, enqueue }) => {
      const outcome = outcomeIn(event);
      if (c.act) keep(afterAct(c, c.act, outcome, timeOf(event)), enqueue);
      enqueue.assign(({ context: { history } }) => ({ storage: outcome.fault ? undefined : seenOf(outcome.storage, outcome.written[0], history[0]) }));
      enqueue.assign({ act: undefined });
    }),
    recordMove: enqueueActions(({ context: c, event, enqueue }) => {
      keep(uninstalled(c, outcomeIn(event)), enqueue);
      enqueue.assign({ act: undefined });
    }),
    heedCrash: enqueueActions(({ context, enqueue }) => {
      enqueue.assign({ wary: "acting", suspects: context.suspects ?? [] });
      enqueue.raise({ type: "calm" }, { id: "calm", delay: lateMs });
    }),
    heedRemovalCrash: enqueueActions(({ context, enqueue }) => {
      enqueue.assign({ wary: context.wary ?? "removing", suspects: context.suspects ?? [] });
      enqueue.raise({ type: "calm" }, { id: "calm", delay: lateMs });
    }),
    suspect: enqueueActions(({ context: c, event, enqueue }) => {
      const outcome = outcomeIn(event);
      if (c.wary === undefined && outcome.resumed) enqueue.raise({ type: "calm" }, { id: "calm", delay: lateMs });
      enqueue.assign(suspected(c, outcome, "acting"));
    }),
    suspectRemoved: enqueueActions(({ context: c, event, enqueue }) => {
      const { removed } = (event as unknown as { output: ReleaseRemoved }).output;
      if (c.wary === undefined && removed?.resumed) enqueue.raise({ type: "calm" }, { id: "calm", delay: lateMs });
      enqueue.assign(suspected(c, removed ?? {}, "removing"));
    }),
    forgetSuspects: assign({ suspects: undefined }),
    beginComparing: assign({ drifted: false }), countPairing: assign({ pairings: ({ context }) => (context.pairings ?? 0) + 1 }),
    countCorrection: assign({ corrections: ({ context }) => context.corrections + 1 }),
    tellDrift: enqueueActions(({ context, event, enqueue }) => keep(drifted(context, (event as unknown as { output: DriftOutcome }).output.differences), enqueue)),
    tellCorrected: enqueueActions(({ context, event, enqueue }) => keep(corrected(context, (event as unknown as { output: CorrectOutcome }).output), enqueue)),
    takeStanding: assign(({ context, event }) => ({ inventory: withStanding(context.inventory, (event as unknown as { output: DriftOutcome }).output) })),
    compared: assign(({ context: c, event }) => (c.compareAll ? { compareAll: false, comparedMs: timeOf(event) } : {})),
    goAgain: assign({ next: { do: "again" } }), forgetApplied: assign({ comparedMs: undefined }),
    failRemoved: assign(({ context: c, event }) => ({
      failures: c.failures + 1, fault: readFault((event as unknown as { output: ReleaseRemoved }).output.removed?.fault),
    })),
    tellRemoved: enqueueActions(({ context: c, event, enqueue }) => {
      const { removed, skipped } = (event as unknown as { output: ReleaseRemoved }).output;
      if (removed) keep(uninstalled(c, removed), enqueue);
      if (skipped !== undefined) enqueue.emit(noticeOf(c, "Warning", "UninstallSkipped", skipped, c.history[0]));
    }),
  },
}).createMachine({
  id: "release",
  context: ({ input }) => ({ ...blank, ...input }),
  initial: "waiting",
  on: {
    look: { actions: "markStale" },
    artifact: { guard: "news", actions: "markStale" },
    drift: { actions: "markDrifted" },
    recovered: { actions: "heedCrash" },
    calm: { actions: assign({ wary: undefined }) },
    object: sightedBy("release"),
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
      entry: ["begin", "heedRequests", "beginHandling", assign({ stale: false })],
      always: [
        { guard: "isInvalid", target: "stalled", actions: "refuse" },
        { guard: "isSuspended", target: "suspended" },
        { guard: "finalized", target: "charting" },
      ],
      invoke: { id: "adopt", src: "adopt", input: null, onDone: "charting", onError: { target: "failing", actions: "fail" } },
    },
    charting: {
      tags: busy,
      invoke: {
        id: "applyChart", src: "applyChart", input: null,
        onError: { target: "failing", actions: "fail" },
        onDone: {
          target: "awaiting",
          actions: enqueueActions(({ context, event: { output }, enqueue }) => {
            if (output.done) enqueue.emit(noticeOf(context, "Normal", output.done.reason, output.done.message));
            enqueue.assign({ chart: output.chart, chartSeen: output.seen });
          }),
        },
      },
    },
    ...waitingThen("finding"),
    finding: {
      tags: busy,
      invoke: {
        id: "findChart", src: "findChart", input: null,
        onError: { target: "failing", actions: "fail" },
        onDone: [{ guard: "waitsForChart", target: "pairing" }, { target: "composing", actions: assign(({ context, event }) => taken(context, event.output)) }],
      },
    },
    ...pairing,
    composing: {
      tags: busy,
      invoke: {
        id: "compose", src: "compose", input: null,
        onError: { target: "failing", actions: "fail" },
        onDone: { target: "placing", actions: assign(({ event }) => ({ composed: event.output })) },
      },
    },
    placing: {
      always: [
        { guard: "moved", target: "moving" },
        { target: "inspecting", actions: assign(({ context: c }) => (c.composed ? attempting(c, c.composed) : {})) },
      ],
    },
    // What lies elsewhere, or under another name, goes first: its objects would be in the way.
    moving: {
      tags: busy,
      entry: "intendMove",
      on: { object: holding() },
      invoke: {
        id: "act", src: "act", input: ({ context }) => context.act as ActInput,
        onDone: [{ guard: "faultyAnswer", target: "failing", actions: ["suspect", "recordMove", "fail"] }, { target: "adopting", actions: ["suspect", "recordMove"] }],
        onError: { target: "failing", actions: "fail" },
      },
    },
    inspecting: {
      tags: busy,
      invoke: {
        id: "inspect", src: "inspect", input: null,
        onError: { target: "failing", actions: "fail" },
        onDone: { target: "deciding", actions: "decide" },
      },
    },
    deciding: {
      always: [
        again, // between two actions, not within one
        { guard: "acts", target: "acting", actions: "intend" },
        { guard: "compares", target: "comparing" },
        { guard: "finishes", target: "settled" },
        { guard: "rests", target: "settled" },
        { guard: "gives", target: "stalled", actions: assign(({ context: { next } }) => ({ fault: null, stalledBy: next?.do === "stall" ? { reason: next.reason, message: next.message } : undefined })) },
        { guard: "waitsToRetry", target: "retrying" },
        { guard: "fails", target: "failing", actions: "failUnknown" },
        { target: "inspecting" },
      ],
    },
    // Goes to its end whatever happens to the object meanwhile, unless that is deleted: half an action is a pending release.
    acting: {
      tags: busy,
      on: { object: holding() },
      invoke: {
        id: "act", src: "act", input: ({ context }) => context.act as ActInput,
        onDone: { target: "deciding", actions: ["suspect", "record"] },
        onError: [
          { guard: "passing", target: "failing", actions: "fail" }, // what it came to is found out before anything else is done
          { target: "deciding", actions: "record" },
        ],
      },
    },
    ...drifting,
    ...sweeping,
    settled: {
      entry: [
        "endHandling",
        "tellDependents",
        assign(({ context: c }) => ({ fault: null, failures: 0, observedGeneration: c.facts?.generation ?? -1, ...(c.next?.do === "finish" && { applied: c.attempted }) })),
      ],
      always: [again, { guard: "drifted", target: "contested" }, { guard: "suspectsDue", target: "sweeping" }],
      after: { interval: { target: "adopting", actions: assign({ corrections: 0 }) } },
    },
    // It went wrong, and is tried again as the object's policy says.
    retrying: {
      entry: ["endHandling", assign(({ context: c }) => ({ failures: c.failures + 1, fault: null }))],
      always: again,
      after: { retry: "adopting" },
    },
    failing: {
      entry: ["endHandling", assign({ failures: ({ context }) => context.failures + 1 })],
      always: [{ guard: "stalls", target: "stalled" }, again],
      after: { dependency: { guard: "waits", target: "adopting" }, backoff: "adopting" },
    },
    // An object that is invalid itself is not acted on, whoever asks, until it changes. One that has failed too often waits for
    // a change of what it is made of, or for somebody to ask.
    stalled: {
      entry: ["endHandling", assign({ observedGeneration: ({ context }) => context.facts?.generation ?? -1 })],
      always: [{ guard: "staleAndValid", target: "adopting" }, { guard: "suspectsDue", target: "sweeping" }],
      on: { dependency: { guard: "inCycle", target: "adopting" } },
      after: { interval: { guard: ({ context: c }) => c.facts?.invalid === undefined && c.stalledBy === undefined, target: "adopting" } },
    },
    removing: {
      tags: busy,
      on: { object: takingLeave, look: {}, artifact: {}, drift: {}, recovered: [{ guard: "unfinished", actions: "heedCrash" }, { actions: "heedRemovalCrash" }] },
      invoke: {
        id: "remove", src: "remove", input: null,
        onDone: [
          { guard: ({ event }) => (event.output.awaits?.length ?? 0) > 0, target: "yielding", actions: assign({ awaits: ({ event }) => event.output.awaits }) },
          { guard: ({ event }) => event.output.removed?.fault !== undefined, target: "remaining", actions: ["suspectRemoved", "tellRemoved", "failRemoved"] },
          { guard: "lingers", target: "lingering", actions: ["suspectRemoved", "tellRemoved"] },
          { target: "releasing", actions: "tellRemoved" },
        ],
        onError: { target: "remaining", actions: ["fail", assign({ failures: ({ context }) => context.failures + 1 })] },
      },
    },
    ...leavingOf("release"),
    gone: { type: "final" },
  },
});
