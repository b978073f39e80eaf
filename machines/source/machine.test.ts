import assert from "node:assert/strict";
import test from "node:test";
import type { SourceFacts } from "#protocol/messages/object.ts";
import { Play } from "../../test/simulate/play.ts";
import { source, type SourceContext } from "./machine.ts";
import { sourceStatus } from "./status.ts";

const facts = (changes: Partial<SourceFacts> = {}): SourceFacts => ({
  uid: "u1", generation: 1, deleting: false, finalizer: true, suspended: false, requestedAt: "", handledAt: "", notYet: [],
  intervalMs: 60_000, timeoutMs: 60_000, ...changes,
});
const object = (changes?: Partial<SourceFacts>) => ({ type: "object", facts: facts(changes) });
const gone = { type: "object", facts: null };
const look = { type: "look" };
const invalid = { code: "InvalidObject" as const, subject: "GitRepository/apps/shop" };

const fetched = (n: number) => ({
  artifact: { revision: `main@sha1:${n}`, digest: `sha256:${n}`, sizeBytes: n, path: `p/${n}`, storedAt: "2026-01-01T00:00:00Z" },
  subject: `commit ${n}`, traceparent: "00-1",
});
const resolved = (n: number, stored = true) => ({ revision: `main@sha1:${n}`, stored });

const begun = () => new Play<SourceContext>(source, "gitrepository/apps/shop");
const resolving = () => begun().send(object());
const settled = () => resolving().answer(resolved(1)).answer(fetched(1));
const status = (play: Play<SourceContext>) => sourceStatus(play.state, play.context);
const conditions = (play: Play<SourceContext>) => status(play)?.conditions?.map(({ type, status: is, reason }) => `${type}=${is} ${reason}`);

test("[RC8] from an object to a stored artifact", () => {
  const play = begun();
  assert.deepEqual([play.state, play.running, play.waits], ["waiting", "", []]);
  play.send(object({ finalizer: false }));
  assert.equal(play.running, "adopt");
  play.answer();
  assert.equal(play.running, "resolve");
  play.answer(resolved(1, false));
  assert.equal(play.running, "fetch");
  assert.deepEqual(conditions(play), ["Ready=Unknown Progressing", "Reconciling=True Progressing", "ArtifactOutdated=True NewRevision"]);
  play.answer(fetched(1));
  assert.deepEqual([play.state, play.said], ["settled", ["NewArtifact"]]);
  assert.deepEqual(conditions(play), ["Ready=True Succeeded", "ArtifactInStorage=True Succeeded"]);
  assert.deepEqual([status(play)?.observedGeneration, status(play)?.artifact?.revision], [1, "main@sha1:1"]);
  assert.deepEqual(play.emits.filter(({ type }) => type === "artifactStored").map(({ artifact }) => artifact.revision), ["main@sha1:1"]);
});

test("[RC2] a look that finds what is stored fetches nothing and says nothing", () => {
  const play = settled().wait();
  assert.equal(play.running, "resolve");
  const before = play.emits.length;
  play.answer(resolved(1));
  assert.deepEqual([play.state, play.emits.length], ["settled", before]);
});

const refetches = [
  { why: "the revision is another", change: (play: Play<SourceContext>) => play.wait().answer(resolved(2)) },
  { why: "the archive is no longer stored", change: (play: Play<SourceContext>) => play.wait().answer(resolved(1, false)) },
  { why: "the spec changed", change: (play: Play<SourceContext>) => play.send(object({ generation: 2 })).answer(resolved(1)) },
  { why: "the object is a new one", change: (play: Play<SourceContext>) => play.send(object({ uid: "u2" })).answer(resolved(1)) },
];
for (const { why, change } of refetches) test(`[RC2] it fetches when ${why}`, () => assert.equal(change(settled()).running, "fetch"));

test("[RC3] any number of hints while busy make one more look", () => {
  const play = resolving().send(look).send(look).answer(resolved(1)).send(look).answer(fetched(1));
  assert.equal(play.state, "resolving");
  assert.equal(play.answer(resolved(1)).state, "settled");
});

test("[RC5] a new generation while fetching begins again", () => {
  const play = resolving().answer(resolved(1));
  const [before] = play.record.runs;
  play.send(object({ generation: 2 }));
  assert.equal(play.running, "resolve");
  assert.notEqual(play.record.runs[0]?.attempt, before?.attempt);
});

test("[RC22] an older sighting changes nothing", () => {
  const play = resolving().send(object({ generation: 3 }));
  const before = JSON.stringify(play.record);
  play.send(object({ generation: 2, suspended: true }));
  assert.equal(JSON.stringify(play.record), before);
});

const requests: { name: string; play(): Play<SourceContext>; handled: string }[] = [
  { name: "a run that succeeds", handled: "r1", play: () => settled().send(object({ requestedAt: "r1" })).answer(resolved(1)) },
  { name: "a run that fails", handled: "r1", play: () => settled().send(object({ requestedAt: "r1" })).fail("UpstreamUnreachable") },
  { name: "a run that stalls", handled: "r1", play: () => settled().send(object({ requestedAt: "r1" })).fail("UnsupportedReference") },
  { name: "a finalizer that cannot be set", handled: "r1", play: () => begun().send(object({ requestedAt: "r1", finalizer: false })).fail("ClusterUnreachable") },
  { name: "an object that is suspended", handled: "r1", play: () => settled().send(object({ requestedAt: "r1", suspended: true, generation: 2 })) },
  { name: "an object that is invalid", handled: "r1", play: () => settled().send(object({ requestedAt: "r1", invalid, generation: 2 })) },
  { name: "one that came while another was handled", handled: "r2", play: () => settled().send(object({ requestedAt: "r1" })).send(object({ requestedAt: "r2" })).answer(resolved(1)).answer(resolved(1)) },
  { name: "an annotation that is taken away", handled: "r1", play: () => settled().send(object({ requestedAt: "r1" })).answer(resolved(1)).send(object({ generation: 2 })).answer(resolved(1)).answer(fetched(1)) },
  { name: "a first sight of what the status says was handled", handled: "r0", play: () => begun().send(object({ requestedAt: "r0", handledAt: "r0", finalizer: false })).fail("ClusterUnreachable") },
];
for (const { name, play, handled } of requests)
  test(`[RC4] lastHandledReconcileAt after ${name}`, () => assert.equal(status(play())?.handledAt, handled));

test("[RC4] a request is handled once, however often it is seen", () => {
  const play = settled().send(object({ requestedAt: "r1" }));
  assert.equal(play.running, "resolve");
  play.send(object({ requestedAt: "r1" })).answer(resolved(1));
  assert.equal(play.state, "settled");
  play.send(object({ requestedAt: "r1" }));
  assert.equal(play.state, "settled");
});

test("[RC6] suspended: nothing runs, nothing is due, hints change nothing, and the status stays", () => {
  for (const play of [settled(), resolving(), resolving().answer(resolved(1)), resolving().fail("TimedOut")]) {
    play.send(object({ suspended: true, generation: 2 })).send(look);
    assert.deepEqual([play.state, play.running, play.waits], ["suspended", "", []]);
    assert.deepEqual(status(play), { handledAt: "" });
    assert.equal(play.send(object({ generation: 3 })).running, "resolve");
  }
});

test("[RC7] an invalid object is not acted on until it changes", () => {
  const play = settled().send(object({ invalid, generation: 2 }));
  assert.deepEqual([play.state, play.running], ["stalled", ""]);
  assert.deepEqual(conditions(play), ["Ready=False InvalidObject", "Stalled=True InvalidObject", "ArtifactInStorage=True Succeeded"]);
  play.send(look).send(object({ invalid, generation: 2, requestedAt: "r1" }));
  const [timer] = play.record.timers;
  if (timer) play.send(timer.event);
  assert.deepEqual([play.state, play.running], ["stalled", ""]);
  assert.equal(play.send(object({ generation: 3 })).running, "resolve");
});

test("[RT3] failures are retried at a widening distance, and the count begins anew", () => {
  const play = resolving();
  const waits: number[] = [];
  for (let i = 0; i < 4; i++) {
    play.fail("UpstreamUnreachable");
    waits.push(play.waits[0] ?? 0);
    play.wait();
  }
  assert.deepEqual(waits, [750, 1_500, 3_000, 6_000]);
  assert.equal(play.answer(resolved(1)).answer(fetched(1)).wait().fail("TimedOut").waits[0], 750);
  assert.equal(resolving().fail("TimedOut").wait().fail("TimedOut").send(object({ generation: 2 })).fail("TimedOut").waits[0], 750);
});

test("[RC8] a failure keeps what was stored and says that it goes on trying", () => {
  const play = settled().wait().fail("UpstreamUnreachable", "https://git.example.com");
  assert.deepEqual(conditions(play), ["Ready=False GitOperationFailed", "FetchFailed=True GitOperationFailed", "Reconciling=True ProgressingWithRetry", "ArtifactInStorage=True Succeeded"]);
  assert.equal(status(play)?.artifact?.revision, "main@sha1:1");
});

test("[RC20] a fault is told once, and again when it is another", () => {
  const play = resolving().fail("TimedOut").wait().fail("TimedOut").wait().fail("AuthenticationFailed").wait();
  assert.deepEqual(play.said, ["GitOperationFailed", "AuthenticationFailed"]);
});

test("[RT4] a fault that stalls waits for the interval, a change or a person", () => {
  const stalled = () => resolving().fail("UnsupportedReference");
  const play = stalled();
  assert.equal(play.state, "stalled");
  assert.ok(play.waits.every((ms) => ms > 50_000) && play.waits.length === 1);
  assert.deepEqual(conditions(play), ["Ready=False URLInvalid", "FetchFailed=True URLInvalid", "Stalled=True URLInvalid"]);
  assert.equal(stalled().wait().running, "resolve");
  assert.equal(stalled().send(object({ generation: 2 })).running, "resolve");
  assert.equal(stalled().send(object({ requestedAt: "r1" })).running, "resolve");
});

test("[RC13] nothing is fetched for an object without our finalizer, however often it is hinted at", () => {
  const play = begun().send(object({ finalizer: false })).fail("ClusterUnreachable").send(look);
  assert.equal(play.running, "adopt");
  assert.equal(play.fail("ClusterUnreachable").wait().running, "adopt");
});

test("[RC14] [RT9] a deleted object is cleaned up, and what fails is tried again", () => {
  const play = settled().send(object({ deleting: true, generation: 2 }));
  assert.equal(play.running, "remove");
  assert.equal(play.fail("StorageFailed").running, "");
  assert.equal(play.send(look).wait().running, "remove");
  play.answer();
  assert.deepEqual([play.state, play.record.snapshot.status, play.running, play.waits], ["gone", "done", "", []]);
  assert.equal(settled().send(gone).running, "remove", "its archives are still there");
});

const reborn = [
  { what: "is taken up", changes: {}, state: "resolving" },
  { what: "is adopted first when it has no finalizer", changes: { finalizer: false }, state: "readopting" },
  { what: "rests when it is suspended", changes: { suspended: true }, state: "suspended" },
  { what: "stalls when it is invalid", changes: { invalid }, state: "stalled" },
];
for (const { what, changes, state } of reborn)
  test(`[RC21] an object that comes while the old one leaves ${what}`, () => {
    const play = settled().send(object({ deleting: true, generation: 2 })).send(object({ uid: "u2", ...changes }));
    assert.equal(play.state, state);
  });

test("[RC21] a late word of the old one is no new one", () =>
  assert.equal(settled().send(object({ deleting: true, generation: 2 })).send(object()).state, "removing"));
