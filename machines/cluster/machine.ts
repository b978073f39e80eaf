/** Keeps one cluster's watches alive. It decides when to connect; services/cluster watches; what is seen leaves as hints. */
import { assign, enqueueActions, setup } from "xstate";
import { effect } from "#machines/effect.ts";
import { backoffMs } from "#machines/rules/backoff.ts";
import { faultOf } from "#machines/rules/notice.ts";
import { busy } from "#machines/step.ts";
import type { FaultData } from "#protocol/errors/fault.ts";

export type ClusterContext = { key: string; fault: FaultData | null; failures: number };

/** `lost`: the watches ended; `synced`: every first list is in. */
export type ClusterEvent = { type: "lost" };
export type ClusterEmit = { type: "clusterConnected" } | { type: "clusterLost" };

export const cluster = setup({
  types: {} as { input: { key: string }; context: ClusterContext; events: ClusterEvent; emitted: ClusterEmit },
  delays: { backoff: ({ context }) => Math.min(backoffMs(context.failures), longestAwayMs) },
  actors: {
    /** Reaches the API server, installs missing CRDs and waits until every first list is in. */
    connect: effect<null, null>(),
    /** Ends only when the watches are lost for good. */
    watch: effect<null, null>(),
  },
  actions: {
    fail: enqueueActions(({ event, enqueue }) => {
      enqueue.assign({ fault: faultOf(event), failures: ({ context }) => context.failures + 1 });
    }),
  },
}).createMachine({
  id: "cluster",
  context: ({ input }) => ({ ...input, fault: null, failures: 0 }),
  initial: "connecting",
  states: {
    connecting: {
      tags: busy,
      invoke: { id: "connect", src: "connect", input: null, onDone: "watching", onError: { target: "away", actions: "fail" } },
    },
    watching: {
      entry: [assign({ fault: null, failures: 0 }), enqueueActions(({ enqueue }) => enqueue.emit({ type: "clusterConnected" }))],
      invoke: {
        id: "watch", src: "watch", input: null,
        onDone: { target: "connecting", actions: enqueueActions(({ enqueue }) => enqueue.emit({ type: "clusterLost" })) },
        onError: { target: "away", actions: ["fail", enqueueActions(({ enqueue }) => enqueue.emit({ type: "clusterLost" }))] },
      },
    },
    away: { after: { backoff: "connecting" } },
  },
});

// A hub that is back must not wait for a quarter of an hour: everything else waits for it.
const longestAwayMs = 30_000;
