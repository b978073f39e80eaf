import assert from "node:assert/strict";
import test from "node:test";
import type { SourceFacts } from "#protocol/messages/object.ts";
import { Play } from "../../test/simulate/play.ts";
import { source, type SourceContext } from "./machine.ts";
import { sourceStatus } from "./status.ts";

const facts = (changes: Partial<SourceFacts> = {}): SourceFacts => ({
  uid: "u1", generation: 1, deleting: false, finalizer: true, suspended: false, requestedAt: "", handledAt: "",
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

test("[OC26] what a kind words differently, the one chart says as that kind does", () => {
  const play = new Play<SourceContext>(source, "ocirepository/apps/shop").send(object()).answer(resolved(1));
  const told = "stored artifact with revision 'main@sha1:1' from 'oci://registry.example.com/shop'";
  play.answer({ ...fetched(1), told, observed: { observedIgnore: "*.md" } });
  assert.deepEqual(play.emits.filter(({ type }) => type === "notice").map(({ message }) => message), [told]);
  const { latest, observed, conditions: said = [] } = status(play) ?? {};
  assert.deepEqual([latest, observed], ["ocirepository/apps/shop/latest.tar.gz", { observedIgnore: "*.md" }]);
  assert.equal(said[0]?.message, "stored artifact for digest 'main@sha1:1'");
  play.wait().fail("UpstreamUnreachable", "oci://registry.example.com/shop");
  assert.deepEqual(conditions(play), ["Ready=False OCIArtifactPullFailed", "FetchFailed=True OCIArtifactPullFailed", "Reconciling=True ProgressingWithRetry", "ArtifactInStorage=True Succeeded"]);
  assert.deepEqual(play.said.slice(-1), ["OCIArtifactPullFailed"]);
  assert.equal(status(settled())?.latest, undefined);
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

test("[SR73] what was verified is said for as long as the artifact is that one", () => {
  const message = "verified signature of\n\t- commit '1' with key 'A'";
  const play = resolving().answer(resolved(1)).answer({ ...fetched(1), verified: message });
  assert.deepEqual(play.said, ["NewArtifact", "Succeeded"]);
  const [, , verified] = status(play)?.conditions ?? [];
  assert.deepEqual(verified, { type: "SourceVerified", status: "True", reason: "Succeeded", message });
  play.wait().fail("UpstreamUnreachable");
  assert.deepEqual(conditions(play), [
    "Ready=False GitOperationFailed", "FetchFailed=True GitOperationFailed", "Reconciling=True ProgressingWithRetry", "ArtifactInStorage=True Succeeded", "SourceVerified=True Succeeded",
  ]);
  play.send(object({ generation: 2 })).answer(resolved(1)).answer(fetched(1));
  assert.deepEqual(conditions(play), ["Ready=True Succeeded", "ArtifactInStorage=True Succeeded"]);
});

for (const [code, reason, end] of [
  ["CommitSignatureInvalid", "InvalidCommitSignature", "Reconciling=True ProgressingWithRetry"],
  ["TagSignatureInvalid", "InvalidTagSignature", "Reconciling=True ProgressingWithRetry"],
  ["TagUnsigned", "InvalidGitObject", "Reconciling=True ProgressingWithRetry"],
  ["VerificationKeysMissing", "VerificationError", "Reconciling=True ProgressingWithRetry"],
  ["VerificationModeInvalid", "InvalidVerificationMode", "Stalled=True InvalidVerificationMode"],
] as const)
  test(`[SR73] ${code} is said by SourceVerified, and the last good artifact stays`, () => {
    const play = settled().wait().answer(resolved(2)).fail(code);
    assert.deepEqual(conditions(play), [`Ready=False ${reason}`, `SourceVerified=False ${reason}`, end, "ArtifactInStorage=True Succeeded"]);
    assert.equal(status(play)?.artifact?.revision, "main@sha1:1");
  });

test("[SR76] only a look at the interval may take an answer of before", () => {
  const play = settled();
  assert.equal(play.wait().context.fresh, false);
  assert.equal(play.answer(resolved(1)).send(look).context.fresh, true, "a push");
  assert.equal(play.answer(resolved(1)).wait().send(look).context.fresh, false);
  assert.deepEqual([play.answer(resolved(1)).state, play.context.fresh], ["resolving", true], "a push while it looked");
  assert.equal(play.answer(resolved(1)).send(object({ requestedAt: "now" })).context.fresh, true, "a person");
  assert.equal(play.answer(resolved(1)).send(object({ generation: 2 })).context.fresh, true, "a new spec");
  assert.equal(play.fail("UpstreamUnreachable").wait().context.fresh, true, "until it was heard");
});

const news = (n: number) => ({ type: "artifact", revision: `r${n}`, digest: `sha256:${n}` });

test("[SR80] a source that is made from others looks again when one of them has another artifact, and not for one it knows", () => {
  const play = resolving().answer({ ...resolved(1), madeOf: ["r1 sha256:1"], observed: { seen: "r1" } });
  assert.equal(play.running, "fetch");
  play.answer({ ...fetched(1), madeOf: ["r1 sha256:1"], observed: { name: "shop" } });
  assert.deepEqual([play.state, status(play)?.observed], ["settled", { seen: "r1", name: "shop" }]);
  play.send(news(1));
  assert.deepEqual([play.state, play.running], ["settled", ""]);
  play.send(news(2));
  assert.equal(play.running, "resolve");
  play.send(news(3)).answer({ ...resolved(1), madeOf: ["r2 sha256:2"], observed: { seen: "r2" } });
  assert.equal(play.running, "resolve", "what came meanwhile is looked at too");
  play.answer({ ...resolved(1), madeOf: ["r3 sha256:3"], observed: { seen: "r3" } });
  assert.deepEqual([play.state, status(play)?.observed], ["settled", { seen: "r3", name: "shop" }], "nothing had to be fetched, and the status says what it was looked up in");
});

const part = (n: number) => ({ ...fetched(n).artifact, path: `q/${n}` });

test("[SR82] with other artifacts included it is fetched anew, though its revision is the same, until that has gone well", () => {
  const play = resolving().answer({ ...resolved(1), included: [part(1)] }).answer({ ...fetched(1), included: [part(1)] });
  assert.deepEqual([play.state, status(play)?.included], ["settled", [part(1)]]);
  play.send(look).answer({ ...resolved(1), included: [part(1)] });
  assert.equal(play.state, "settled", "nothing is new");
  play.send(news(2)).answer({ ...resolved(1), included: [part(2)] });
  assert.equal(play.running, "fetch");
  assert.deepEqual(conditions(play), ["Ready=Unknown Progressing", "Reconciling=True Progressing", "ArtifactOutdated=True IncludeChange", "ArtifactInStorage=True Succeeded"]);
  play.fail("StorageFailed").wait().answer({ ...resolved(1), included: [part(2)] });
  assert.equal(play.running, "fetch", "it is still to be done");
  assert.deepEqual(status(play)?.included, [part(1)], "what went into the artifact");
  play.answer({ ...fetched(1), included: [part(2)] });
  assert.deepEqual([play.state, status(play)?.included], ["settled", [part(2)]]);
  play.send(look).answer(resolved(1)).answer({ ...fetched(1), included: [] });
  assert.deepEqual([play.state, status(play)?.included], ["settled", []], "nothing is included any more");
});

test("[SR82] what cannot be included yet is waited for in silence; what cannot be copied is a matter of the store", () => {
  const play = resolving().fail("IncludeNotReady");
  assert.deepEqual(conditions(play), ["Ready=False NoArtifact", "IncludeUnavailable=True NoArtifact", "Reconciling=True ProgressingWithRetry"]);
  assert.deepEqual(play.said, []);
  play.send(news(1));
  assert.equal(play.running, "resolve");
  play.answer({ ...resolved(1), included: [part(1)] }).fail("IncludeFailed");
  assert.deepEqual(conditions(play), ["Ready=False CopyFailure", "StorageOperationFailed=True CopyFailure", "Reconciling=True ProgressingWithRetry"]);
  assert.equal(resolving().fail("IncludeCycle").state, "stalled");
});

test("[SR80] one whose source has no artifact yet goes on with the first", () => {
  const play = resolving().fail("ArtifactMissing", "GitRepository/apps/shop");
  assert.equal(play.state, "failing");
  play.send(news(1));
  assert.equal(play.running, "resolve");
});

test("[SR81] an object that only says where something is has no status, and what was kept of it before goes", () => {
  const bare = begun().send(object({ static: true, finalizer: false }));
  assert.deepEqual([bare.state, bare.running, bare.waits, bare.said], ["static", "", [], []]);
  bare.send(look).send(news(1)).send(object({ static: true, finalizer: false, requestedAt: "now" }));
  assert.deepEqual([bare.state, bare.running], ["static", ""]);

  const turned = settled().send(object({ generation: 2, static: true }));
  assert.equal(turned.running, "dissolve");
  turned.fail("StorageFailed").wait();
  assert.equal(turned.running, "dissolve");
  turned.answer();
  const nothing = { artifact: null, conditions: null, lastHandledReconcileAt: null, url: null };
  assert.deepEqual([turned.state, turned.context.artifact, status(turned)?.observed, status(turned)?.conditions], ["static", null, nothing, undefined]);
  turned.send(object({ generation: 3, static: true, finalizer: false }));
  assert.deepEqual([turned.state, turned.running], ["static", ""]);
  turned.send(object({ generation: 4 }));
  assert.equal(turned.running, "resolve", "and a source again when it says so");

  assert.equal(settled().send(object({ generation: 2, static: true, suspended: true })).state, "suspended");
  assert.equal(bare.send(gone).running, "remove");
});

test("[HS30] what could not be packaged is another failure than what could not be fetched", () => {
  const play = resolving().answer(resolved(1));
  play.answer({ ...fetched(1), summary: { reason: "ChartPackageSucceeded", message: "packaged 'shop' chart with version '1.0.0'" }, verified: "verified", making: { reason: "ResolvedDependencies", message: "resolved 2 chart dependencies" } });
  assert.deepEqual(conditions(play), ["Ready=True ChartPackageSucceeded", "ArtifactInStorage=True ChartPackageSucceeded", "SourceVerified=True Succeeded"]);
  assert.deepEqual(play.said, ["ResolvedDependencies", "ChartPackageSucceeded", "Succeeded"]);
  play.send(look).answer(resolved(2)).fail("ValuesFilesInvalid");
  assert.deepEqual(conditions(play), ["Ready=False ValuesFilesError", "BuildFailed=True ValuesFilesError", "Stalled=True ValuesFilesError", "ArtifactInStorage=True ChartPackageSucceeded", "SourceVerified=True Succeeded"]);
  play.send(look).answer(resolved(2)).fail("ChartUnverified");
  assert.deepEqual(conditions(play)?.filter((each) => !each.startsWith("Reconciling")), ["Ready=False ChartVerificationError", "BuildFailed=True ChartVerificationError", "SourceVerified=False VerificationError", "ArtifactInStorage=True ChartPackageSucceeded"]);
});

const offer = (offered: string, more: object = {}) => object({ foreign: true, finalizer: false, offered, ...more });

test("[EX1] [EX3] what somebody else offers is fetched without a finalizer, a status or an event of ours, and again when the offer is another", () => {
  const play = new Play<SourceContext>(source, "externalartifact/apps/shop").send(offer("a"));
  assert.deepEqual([play.running, play.answer(resolved(1)).running, play.answer(fetched(1)).state, play.said], ["resolve", "fetch", "settled", []]);
  assert.deepEqual([play.context.artifact?.revision, status(play)], ["main@sha1:1", undefined]);
  play.send(offer("a", { requestedAt: "now" })).answer(resolved(1));
  assert.equal(play.state, "settled", "nothing is another");
  assert.equal(play.send(offer("b")).answer(resolved(1)).running, "fetch", "the same revision may have another digest");
  play.fail("DigestMismatch");
  assert.deepEqual([play.state, status(play), play.said, play.context.artifact?.revision], ["failing", undefined, ["OCIArtifactPullFailed"], "main@sha1:1"]);
  assert.equal(play.wait().answer(resolved(1)).running, "fetch", "until it is there");
});

test("[EX2] an offer that is taken back leaves nothing behind, and an object that offers nothing yet costs nothing", () => {
  const nothing = object({ foreign: true, static: true, finalizer: false });
  const play = new Play<SourceContext>(source, "externalartifact/apps/shop").send(nothing);
  assert.deepEqual([play.state, play.running, play.waits, status(play)], ["static", "", [], undefined]);
  play.send(offer("a")).answer(resolved(1)).answer(fetched(1));
  assert.equal(play.send(nothing).running, "dissolve");
  assert.deepEqual([play.answer().state, play.context.artifact, status(play)], ["static", null, undefined]);
  assert.equal(play.send(gone).running, "remove");
});
