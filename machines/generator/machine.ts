/**
 * Keeps artifacts that are made out of those of other sources. It decides when; services/sources/external/generate makes
 * them, services/worker offers them as ExternalArtifacts.
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
import { offering } from "#protocol/api/artifact-generator.ts";
import type { FaultData } from "#protocol/errors/fault.ts";
import type { Generation } from "#protocol/messages/generator.ts";
import type { SourceFacts } from "#protocol/messages/object.ts";
import { markOf } from "#protocol/messages/source.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import { words } from "./status.ts";

export type GeneratorContext = {
  key: string;
  /** `madeFrom`: its sources; `suspended`: an annotation says so. */
  facts: SourceFacts | null;
  /** What was made last. */
  made: Generation | null;
  /** The ExternalArtifacts it offers: any change of one is looked at. */
  awaits?: { id: string; any: true }[];
  /** Generation of the last run that ended well. */
  observedGeneration: number;
  handling: string;
  handledAt: string;
  failures: number;
  fault: FaultData | null;
  /** Something came while busy: look once more. */
  stale: boolean;
};

export type GeneratorEvent =
  | { type: "object"; facts: SourceFacts | null }
  | { type: "look" }
  /** A source has another artifact, or an ExternalArtifact of ours. */
  | { type: "artifact"; revision: string; digest: string }
  /** An ExternalArtifact of ours is another, or gone. */
  | { type: "dependency" };

const takingLeave = [{ guard: "outdated" }, ...rebornOf("generator")] as const;

export const generator = setup({
  types: {} as { input: { key: string }; context: GeneratorContext; events: GeneratorEvent; emitted: Notice },
  guards: {
    ...objectGuards,
    news: ({ context, event }) => event.type === "artifact" && !(context.made?.madeOf ?? []).includes(markOf(event)),
  },
  delays: {
    interval: ({ context }) => jitteredMs(context.facts?.intervalMs ?? 3_600_000, context.key),
    backoff: ({ context }) => backoffMs(context.failures),
  },
  actors: {
    adopt: effect<null, null>(),
    generate: effect<null, Generation>(),
    remove: effect<null, null>(),
  },
  actions: {
    see: enqueueActions(({ context, event, enqueue }) => {
      if (event.type !== "object" || event.facts === null) return;
      const { notice, changes } = seen(context, event.facts, words);
      if (notice) enqueue.emit(notice);
      enqueue.assign(changes);
    }),
    fail: enqueueActions(({ context, event, enqueue }) => {
      const fault = faultOf(event);
      const notice = faultNotice(context.fault, fault, words);
      if (notice) enqueue.emit(notice);
      enqueue.assign({ fault });
    }),
    take: enqueueActions(({ context, event, enqueue }) => {
      const made = (event as unknown as { output: Generation }).output;
      const before = new Set(context.made?.artifacts.map(({ name, digest }) => `${name} ${digest}`));
      const changed = made.artifacts.filter(({ name, digest }) => !before.has(`${name} ${digest}`));
      const namespace = context.key.split("/")[1] ?? "";
      if (changed.length > 0)
        enqueue.emit({ type: "notice", severity: "Normal", reason: "Ready", message: `external artifacts reconciled: ${changed.map(({ name, digest }) => `${namespace}/${name} (${digest})`).join("\n")}` });
      enqueue.assign({ made, awaits: made.artifacts.map(({ name }) => ({ id: `${offering.actorKind}/${namespace}/${name}`, any: true as const })) });
    }),
    markStale: assign({ stale: true }),
    countFailure: assign({ failures: ({ context }) => context.failures + 1 }),
    noteGeneration: assign({ observedGeneration: ({ context }) => context.facts?.generation ?? -1 }),
    heed: assign({ stale: false }),
    beginHandling: assign({ handling: ({ context }) => handlingOf(context) }),
    endHandling: assign({ handledAt: ({ context: c }) => c.handling || c.handledAt }),
  },
}).createMachine({
  id: "generator",
  context: ({ input }) => ({
    ...input, facts: null, made: null, observedGeneration: -1, handling: "", handledAt: "", failures: 0, fault: null, stale: false,
  }),
  initial: "waiting",
  on: {
    look: { actions: "markStale" },
    dependency: { actions: "markStale" },
    artifact: { guard: "news", actions: "markStale" },
    object: [...leftOrOutdated, ...sighted],
  },
  states: {
    waiting: {},
    suspended: { entry: ["beginHandling", "endHandling", "heed"] },
    adopting: { entry: assign({ failures: 0 }), always: "readopting" },
    ...readoptingThen("generating"),
    generating: {
      tags: busy,
      entry: ["beginHandling", "heed"],
      invoke: { id: "generate", src: "generate", input: null, onDone: { target: "settled", actions: "take" }, onError: { target: "failing", actions: "fail" } },
    },
    settled: {
      entry: ["endHandling", assign(({ context: c }) => ({ failures: 0, fault: null, observedGeneration: c.facts?.generation ?? -1 }))],
      always: again,
      after: { interval: "readopting" },
    },
    ...failed,
    ...leavingWith({ object: takingLeave, look: {}, dependency: {}, artifact: {} }),
  },
});
