import assert from "node:assert/strict";
import test from "node:test";
import type { Snapshot } from "#protocol/messages/kustomization.ts";
import { remembered, type Outcome } from "./history.ts";

const at = Date.parse("2026-11-01T10:00:00.789Z");
const outcome = (digest: string, more: Partial<Outcome> = {}): Outcome =>
  ({ digest, status: "ReconciliationSucceeded", atMs: at, tookMs: 1_250, metadata: { revision: "r1" }, ...more });
const digests = (history: Snapshot[]) => history.map(({ digest, lastReconciledStatus, totalReconciliations }) => `${digest} ${lastReconciledStatus} ${totalReconciliations}`);

test("[RC27] a build is remembered with when, how long, how, and of which revision", () =>
  assert.deepEqual(remembered([], outcome("a")), [{
    digest: "a", firstReconciled: "2026-11-01T10:00:00Z", lastReconciled: "2026-11-01T10:00:00Z", lastReconciledDuration: "1.25s",
    lastReconciledStatus: "ReconciliationSucceeded", totalReconciliations: 1, metadata: { revision: "r1" },
  }]));

test("[RC27] the same build with the same end moves to the front and counts on; its first time stays", () => {
  const two = remembered(remembered([], outcome("a")), outcome("b"));
  const [first, ...rest] = remembered(two, outcome("a", { atMs: at + 60_000, metadata: { revision: "r3" } }));
  assert.deepEqual([first?.totalReconciliations, first?.firstReconciled, first?.lastReconciled, first?.metadata], [2, "2026-11-01T10:00:00Z", "2026-11-01T10:01:00Z", { revision: "r3" }]);
  assert.deepEqual(digests(rest), ["b ReconciliationSucceeded 1"]);
});

test("[RC27] the same build with another end is another entry", () =>
  assert.deepEqual(digests(remembered(remembered([], outcome("a")), outcome("a", { status: "HealthCheckFailed" }))), ["a HealthCheckFailed 1", "a ReconciliationSucceeded 1"]));

test("[RC27] five are kept", () => {
  const all = ["a", "b", "c", "d", "e", "f"].reduce((history, digest) => remembered(history, outcome(digest)), [] as Snapshot[]);
  assert.deepEqual(all.map(({ digest }) => digest), ["f", "e", "d", "c", "b"]);
});
