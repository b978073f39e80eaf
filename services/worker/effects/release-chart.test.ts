import assert from "node:assert/strict";
import test from "node:test";
import { blank, chartSeenBy, type ReleaseContext } from "#machines/release/context.ts";
import type { ReleaseFacts } from "#protocol/messages/object.ts";
import type { ChartSeen } from "#protocol/messages/release.ts";
import { helmRelease } from "#protocol/api/helm-release.ts";
import type { ClusterHandle } from "#services/cluster/handle.ts";
import { applyChart, isStanding, type ChartCall } from "./release-chart.ts";

const key = { kind: "helmrelease", namespace: "apps", name: "shop" };
const specWith = (version: string) => helmRelease.parse({
  apiVersion: "helm.toolkit.fluxcd.io/v2", kind: "HelmRelease", metadata: { name: "shop", namespace: "apps", uid: "u", resourceVersion: "1", generation: 1 },
  spec: { interval: "10m", chart: { spec: { chart: "shop", version, sourceRef: { kind: "HelmRepository", name: "charts" } } } },
}).spec;

/** What an API server answers that already has it as it is wanted. */
const standing = { body: { metadata: { uid: "u1", generation: 3, resourceVersion: "7" } } };
const call = { cluster: { client: { request: async () => standing } } as unknown as ClusterHandle, guard: () => {}, signal: new AbortController().signal, tenancy: {}, nowMs: 5 } as unknown as ChartCall;
const known = await applyChart(key, specWith("1.x"), "apps/apps-shop", call);
const asSeen = { uid: "u1", generation: 3, deleting: false };

test("[HR14] a HelmChart that its own actor sees as it was applied need not be asked for", () => {
  assert.equal(isStanding(key, specWith("1.x"), known, asSeen), true);
});

const doubts: Record<string, Parameters<typeof isStanding>> = {
  "another one is wanted": [key, specWith("2.x"), known, asSeen],
  "none is wanted": [key, { ...specWith("1.x"), chart: undefined }, known, asSeen],
  "it was never looked at": [key, specWith("1.x"), { chart: known.chart }, asSeen],
  "the last one was somewhere else": [key, specWith("1.x"), { ...known, chart: "charts/apps-shop" }, asSeen],
  "nobody sees one": [key, specWith("1.x"), known, undefined],
  "somebody edited it": [key, specWith("1.x"), known, { ...asSeen, generation: 4 }],
  "it is another one of its name": [key, specWith("1.x"), known, { ...asSeen, uid: "u2" }],
  "it is being deleted": [key, specWith("1.x"), known, { ...asSeen, deleting: true }],
};
for (const [why, given] of Object.entries(doubts))
  test(`[HR14] a HelmChart is looked at when ${why}`, () => assert.equal(isStanding(...given), false));

test("[HR14] a HelmChart is looked at whenever that is asked for, and after the watch was believed for long enough", () => {
  const chartSeen = known.seen as ChartSeen;
  const release = (requestedAt: string): ReleaseContext => ({ ...blank, key: "helmrelease/apps/shop", chartSeen, handledAt: "monday", facts: { requestedAt } as ReleaseFacts });
  assert.equal(chartSeenBy(release("monday"), 60_000), chartSeen);
  assert.equal(chartSeenBy(release("tuesday"), 60_000), undefined);
  assert.equal(chartSeenBy(release("monday"), 24 * 3_600_000), undefined);
});
