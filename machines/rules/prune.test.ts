import assert from "node:assert/strict";
import test from "node:test";
import { ownerLabels, pruneVerdict } from "./prune.ts";

const owner = { name: "apps", namespace: "flux-system" };
const ours = ownerLabels(owner);
const group = "kustomize.toolkit.fluxcd.io";

const rows = [
  { name: "our labels", live: { labels: ours }, verdict: "delete" },
  { name: "no labels", live: {}, verdict: "keep" },
  { name: "another Kustomization took it over", live: { labels: { ...ours, [`${group}/name`]: "other" } }, verdict: "keep" },
  { name: "a Kustomization of the same name elsewhere", live: { labels: { ...ours, [`${group}/namespace`]: "other" } }, verdict: "keep" },
  { name: "only half of the labels", live: { labels: { [`${group}/name`]: "apps" } }, verdict: "keep" },
  { name: "prune: disabled", live: { labels: ours, annotations: { [`${group}/prune`]: "Disabled" } }, verdict: "keep" },
  { name: "reconcile: disabled", live: { labels: { ...ours, [`${group}/reconcile`]: "disabled" } }, verdict: "keep" },
  { name: "ssa: Ignore", live: { labels: ours, annotations: { [`${group}/ssa`]: "Ignore" } }, verdict: "keep" },
  { name: "ssa: Merge", live: { labels: ours, annotations: { [`${group}/ssa`]: "Merge" } }, verdict: "delete" },
];
for (const { name, live, verdict } of rows) test(`[AP26] ${name}: ${verdict}`, () => assert.equal(pruneVerdict(live, owner), verdict));
