/**
 * Keeps what was last found out for an object of image automation: the tags of an ImageRepository, or the tag that an
 * ImagePolicy elects. It decides when to look; the effect looks. A repository's tags wake its policies as a source's
 * artifact wakes its units.
 */
import { assign, enqueueActions, setup } from "xstate";
import { effect } from "#machines/effect.ts";
import { objectGuards } from "#machines/object/guards.ts";
import { again, failed, leavingWith, leftOrOutdated, readoptingThen, rebornOf, sighted } from "#machines/object/looking.ts";
import { seen } from "#machines/object/seen.ts";
import { backoffMs, jitteredMs } from "#machines/rules/backoff.ts";
import { isSameImage } from "#machines/rules/image-scan.ts";
import { handlingOf } from "#machines/rules/object.ts";
import { faultNotice, faultOf } from "#machines/rules/notice.ts";
import { busy } from "#machines/step.ts";
import type { FaultCode, FaultData } from "#protocol/errors/fault.ts";
import type { Election, Looked, Scan } from "#protocol/messages/image.ts";
import type { SourceFacts } from "#protocol/messages/object.ts";
import { markOf, placeOf, type Artifact, type ArtifactPlace } from "#protocol/messages/source.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import { messageOf, words } from "./status.ts";

export type ImageContext = {
  key: string;
  /** `madeFrom`: the repository of a policy. */
  facts: SourceFacts | null;
  /** The last scan, of a repository. */
  scan: Scan | null;
  /** Its tags, for whoever awaits them. */
  artifact: Artifact | null;
  /** The last election, of a policy. */
  election: Election | null;
  /** Where the trace of what was found goes on. */
  traceparent: string;
  /** Of a policy whose repository is in the way: any change of it is looked at. */
  awaits?: { id: string; any: true }[] | undefined;
  /** Generation of the last run that ended well. */
  observedGeneration: number;
  handling: string;
  handledAt: string;
  failures: number;
  fault: FaultData | null;
  /** Something came while busy: look once more. */
  stale: boolean;
  /** Somebody said that there is news, or the spec did: an answer of before will not do. */
  fresh?: boolean;
};

export type ImageEvent =
  | { type: "object"; facts: SourceFacts | null }
  | { type: "look" }
  /** The repository has other tags. */
  | { type: "artifact"; revision: string; digest: string }
  /** The repository is another. */
  | { type: "dependency" };
export type ImageEmit = Notice | { type: "artifactStored"; artifact: Artifact; before?: ArtifactPlace; traceparent: string }
  /** Another image than before is the latest. */
  | { type: "elected" };

/** What only a change of the repository ends; of namespaces' labels, by which it may be allowed, nobody tells. */
const inTheWay = new Set<FaultCode>(["AccessDenied", "ImageRepositoryMissing", "ImageNameInvalid"]);

const takingLeave = [{ guard: "outdated" }, ...rebornOf("image")] as const;

export const image = setup({
  types: {} as { input: { key: string }; context: ImageContext; events: ImageEvent; emitted: ImageEmit },
  guards: {
    ...objectGuards,
    stalls: (asked) => objectGuards.stalls(asked) && asked.context.fault?.code !== "AccessDenied",
    news: ({ context, event }) => event.type === "artifact" && !(context.election?.madeOf ?? []).includes(markOf(event)),
  },
  delays: {
    interval: ({ context }) => jitteredMs(context.facts?.intervalMs ?? 60_000, context.key),
    backoff: ({ context }) => backoffMs(context.failures),
  },
  actors: {
    adopt: effect<null, null>(),
    look: effect<null, Looked>(),
    remove: effect<null, null>(),
  },
  actions: {
    see: enqueueActions(({ context, event, enqueue }) => {
      if (event.type !== "object" || event.facts === null) return;
      const { notice, changes } = seen(context, event.facts, words);
      if (notice) enqueue.emit(notice);
      if (context.facts?.uid !== event.facts.uid) enqueue.assign({ scan: null, artifact: null, election: null, traceparent: "" });
      enqueue.assign(changes);
    }),
    fail: enqueueActions(({ context, event, enqueue }) => {
      const fault = faultOf(event);
      const notice = faultNotice(context.fault, fault, words);
      if (notice) enqueue.emit(notice);
      const awaits = inTheWay.has(fault.code) ? (context.facts?.madeFrom ?? []).map((id) => ({ id, any: true as const })) : undefined;
      enqueue.assign({ fault, awaits });
    }),
    take: enqueueActions(({ context, event, enqueue }) => {
      const looked = (event as unknown as { output: Looked }).output;
      const next = { ...context, ...looked, ...("scan" in looked && { artifact: looked.scan.artifact }) };
      const message = messageOf(next);
      if (context.fault !== null || message !== messageOf(context)) enqueue.emit({ type: "notice", severity: "Normal", reason: "Succeeded", message });
      const { artifact: before } = context;
      if (next.artifact && next.artifact.digest !== before?.digest)
        enqueue.emit({ type: "artifactStored", artifact: next.artifact, ...(before && { before: placeOf(before) }), traceparent: next.traceparent });
      const latest = next.election?.latest;
      if (latest && !(context.election && isSameImage(context.election.latest, latest))) enqueue.emit({ type: "elected" });
      enqueue.assign({ scan: next.scan, artifact: next.artifact, election: next.election, traceparent: next.traceparent, awaits: undefined });
    }),
    markStale: assign({ stale: true }),
    countFailure: assign({ failures: ({ context }) => context.failures + 1 }),
    noteGeneration: assign({ observedGeneration: ({ context }) => context.facts?.generation ?? -1 }),
    heed: assign({ fresh: ({ context }) => context.fresh !== false || context.stale, stale: false }),
    beginHandling: assign({ handling: ({ context }) => handlingOf(context) }),
    endHandling: assign({ handledAt: ({ context: c }) => c.handling || c.handledAt }),
  },
}).createMachine({
  id: "image",
  context: ({ input }) => ({
    ...input, facts: null, scan: null, artifact: null, election: null, traceparent: "",
    observedGeneration: -1, handling: "", handledAt: "", failures: 0, fault: null, stale: false,
  }),
  initial: "waiting",
  on: {
    look: { actions: "markStale" },
    artifact: { guard: "news", actions: "markStale" },
    dependency: { guard: "faulty", actions: "markStale" },
    object: [...leftOrOutdated, ...sighted],
  },
  states: {
    waiting: {},
    suspended: { entry: ["beginHandling", "endHandling", "heed"] },
    adopting: { entry: assign({ failures: 0, fresh: true }), always: "readopting" },
    ...readoptingThen("looking"),
    looking: {
      tags: busy,
      entry: ["beginHandling", "heed"],
      invoke: { id: "look", src: "look", input: null, onDone: { target: "settled", actions: "take" }, onError: { target: "failing", actions: "fail" } },
    },
    settled: {
      entry: ["endHandling", assign(({ context: c }) => ({ failures: 0, fresh: false, fault: null, observedGeneration: c.facts?.generation ?? -1 }))],
      always: again,
      after: { interval: "readopting" },
    },
    ...failed,
    ...leavingWith({ object: takingLeave, look: {}, artifact: {}, dependency: {} }),
  },
});
