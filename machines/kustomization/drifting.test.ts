import assert from "node:assert/strict";
import test from "node:test";
import type { CompareOutcome, Difference, InventoryEntry } from "#protocol/messages/kustomization.ts";
import type { KustomizationFacts } from "#protocol/messages/object.ts";
import { Play } from "../../test/simulate/play.ts";
import { kustomization, type KustomizationContext } from "./machine.ts";
import { kustomizationStatus } from "./status.ts";

const facts = (changes: Partial<KustomizationFacts> = {}): KustomizationFacts => ({
  uid: "u1", generation: 1, deleting: false, finalizer: true, suspended: false, requestedAt: "", handledAt: "", drift: "warn",
  intervalMs: 600_000, timeoutMs: 60_000, retryMs: 120_000, source: "gitrepository/apps/shop", prune: true, health: true, deletion: "Delete", ...changes,
});
const object = (changes?: Partial<KustomizationFacts>) => ({ type: "object", facts: facts(changes) });
const drift = { type: "drift" };
const artifact = (n: number) => ({ type: "artifact", revision: `r${n}`, digest: `d${n}` });
const found = (n: number, more: object = {}) =>
  ({ artifact: { revision: `r${n}`, digest: `d${n}`, sizeBytes: 1, path: "p", storedAt: "" }, traceparent: "", inventory: [], ...more });
const built = (renderKey: string) => ({ renderKey, readSet: { files: [], dirs: [] }, objects: [{ id, v: "v1" }] });
const id = "apps_a__ConfigMap";
const entry: InventoryEntry = { id, v: "v1", uid: "u", digest: "d", owned: "o" };
const applied = { entries: [entry], changes: [{ id, action: "configured" }] };

const settled = (changes?: Partial<KustomizationFacts>) =>
  new Play<KustomizationContext>(kustomization, "kustomization/apps/shop").send(object(changes)).answer(found(1)).answer(built("k1")).answer(applied).answer();
const comparing = () => settled().send(drift).wait();
const red: Difference = { id, by: "kubectl-edit", fields: [{ pointer: "/data/colour", wanted: '"blue"', is: '"red"' }] };
const differing = (...differences: Difference[]): CompareOutcome => ({ differences });
const told = () => comparing().answer(differing(red));
const drifts = (play: Play<KustomizationContext>) => play.notices.filter(({ reason }) => reason.startsWith("Drift")).map(({ severity, reason, message }) => `${severity} ${reason} ${message}`);
const isReady = (play: Play<KustomizationContext>) => kustomizationStatus(play.state, play.context)?.conditions?.[0]?.status;

test("[DR2] in warn mode drift is compared, told and left: nothing is built and nothing applied, and the unit stays ready", () => {
  const play = comparing();
  assert.deepEqual([play.state, play.running, isReady(play)], ["comparing", "compare", "True"]);
  play.answer(differing(red));
  assert.deepEqual([play.state, play.running, isReady(play)], ["settled", "", "True"]);
  assert.deepEqual(drifts(play), ['Warning DriftDetected ConfigMap/apps/a differs (was changed by kubectl-edit): /data/colour "blue" -> "red"']);
});

test("[DR2] without the annotation, or with a mode that is none, drift is put back; a wrong one is told once", () => {
  for (const drift_ of [undefined, "warm"]) assert.equal(settled({ drift: drift_ }).send(drift).wait().running, "build");
  const play = settled({ drift: "warm" }).send(object({ drift: "warm" }));
  assert.deepEqual(play.notices.filter(({ reason }) => reason === "InvalidAnnotation").map(({ severity, message }) => `${severity} ${message}`),
    ['Warning flotilla.dev/drift-detection is "warm": neither enabled nor warn; drift is put back']);
});

test("[DR3] one event for a state of drift: told again when it is another one, and when it is over", () => {
  const play = told();
  const see = (...differences: Difference[]) => drifts(play.send(drift).wait().answer(differing(...differences))).length;
  assert.deepEqual([see(red), see({ ...red, by: "other" }), see({ id, missing: true, fields: [] }), see(), see(), see(red)], [1, 2, 3, 4, 4, 5]);
  assert.deepEqual(drifts(play).slice(2, 4), ["Warning DriftDetected ConfigMap/apps/a deleted", "Normal DriftResolved No applied object differs any more"]);
});

test("[DR3] drift that is known is looked at again at the interval, and whatever interrupted the look", () => {
  const again = (play: Play<KustomizationContext>) => play.answer(found(1)).answer(built("k1")).answer().wait().running;
  assert.equal(again(told().wait()), "compare");
  assert.equal(again(comparing().send(object({ generation: 2 }))), "compare");
  const failed = comparing().fail("ClusterUnreachable");
  assert.equal(failed.state, "failing");
  assert.equal(again(failed.wait()), "compare");
  const none = settled().wait().answer(found(1)).answer(built("k1")).answer();
  assert.deepEqual([none.state, none.context.drifted], ["settled", false], "where none is known nothing is looked at");
});

test("[DR3] drift is told of while the unit is unhealthy, and it goes on failing", () => {
  const play = settled().send(artifact(2)).answer(found(2)).answer(built("k2")).answer(applied).fail("HealthCheckFailed").send(drift).wait();
  assert.deepEqual([play.running, isReady(play)], ["compare", "False"]);
  assert.deepEqual([play.answer(differing(red)).state, drifts(play).length, isReady(play)], ["failing", 1, "False"]);
});

const applying: { why: string; play(): Play<KustomizationContext> }[] = [
  { why: "a commit that changes the unit", play: () => told().send(artifact(2)).answer(found(2)).answer(built("k2")) },
  { why: "a person's request", play: () => told().send(object({ requestedAt: "now" })).answer(found(1)).answer(built("k1")) },
  { why: "a mode that is taken off", play: () => told().send(object({ drift: undefined })).wait().answer(built("k1")) },
];
for (const { why, play } of applying)
  test(`[DR5] ${why} puts drift back, and it is forgotten`, () => {
    const one = play();
    assert.equal(one.running, "apply");
    one.answer(applied).answer();
    assert.deepEqual([one.state, one.context.driftTold], ["settled", undefined]);
  });

const telling: { why: string; play(): Play<KustomizationContext>; all: boolean }[] = [
  { why: "a commit that changes nothing for it", play: () => told().send(artifact(2)).answer(found(2)).answer(built("k1")).answer().wait(), all: false },
  { why: "the comparison that is due after ten hours", play: () => { const play = settled(); play.nowMs += 12 * 3_600_000; return play.send({ type: "look" }).answer(found(1)).answer(built("k1")).answer().wait(); }, all: true },
  { why: "a look at what cannot be watched", play: () => settled().wait().answer(found(1, { blind: true })).answer(built("k1")).answer().wait(), all: true },
  { why: "its resumption", play: () => settled().send(object({ suspended: true, generation: 2 })).send(drift).send(object({ generation: 3 })).answer(found(1)).answer(built("k1")).answer().wait(), all: false },
];
for (const { why, play, all } of telling)
  test(`[DR5] ${why} applies nothing: it is compared`, () => {
    const one = play();
    assert.deepEqual([one.running, one.context.compareAll === true], ["compare", all]);
    one.answer(differing());
    assert.deepEqual([one.state, one.context.compareAll], ["settled", undefined]);
  });
