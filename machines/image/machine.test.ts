import assert from "node:assert/strict";
import test from "node:test";
import type { Election, Scan } from "#protocol/messages/image.ts";
import type { SourceFacts } from "#protocol/messages/object.ts";
import { Play } from "../../test/simulate/play.ts";
import { image, type ImageContext } from "./machine.ts";
import { imageStatus } from "./status.ts";

const object = (changes: Partial<SourceFacts> = {}) => ({ type: "object", facts: {
  uid: "u1", generation: 1, deleting: false, finalizer: true, suspended: false, requestedAt: "", handledAt: "",
  intervalMs: 60_000, timeoutMs: 60_000, ...changes,
} });
const scan = (n: number): { scan: Scan; traceparent: string } => ({ traceparent: `t${n}`, scan: {
  image: "ghcr.io/team/shop", exclusionList: ["^.*\\.sig$"], revision: String(n), tagCount: n, latestTags: n > 0 ? [`v${n}`] : [], scannedAt: "2026-01-01T00:00:00Z",
  artifact: { revision: String(n), digest: `sha256:${n}`, sizeBytes: n, path: `imagerepository/apps/shop/${n}.json`, storedAt: "2026-01-01T00:00:00Z" },
} });
const elected = (tag: string, n: number, previous?: string): { election: Election; traceparent: string } => ({ traceparent: `t${n}`, election: {
  latest: { name: "shop", tag }, ...(previous && { previous: { name: "shop", tag: previous } }), madeOf: [`${n} sha256:${n}`],
} });
const repository = () => new Play<ImageContext>(image, "imagerepository/apps/shop").send(object());
const policy = () => new Play<ImageContext>(image, "imagepolicy/apps/shop").send(object({ madeFrom: ["imagerepository/apps/shop"] }));
const status = (play: Play<ImageContext>) => imageStatus(play.state, play.context);
const conditions = (play: Play<ImageContext>) => status(play)?.conditions?.map(({ type, status: is, reason, message }) => `${type}=${is} ${reason}: ${message}`);
const stored = (play: Play<ImageContext>) => play.emits.filter(({ type }) => type === "artifactStored").map((each) => (each["artifact"] as { revision: string }).revision);
const told = (play: Play<ImageContext>) => play.emits.filter(({ type }) => type === "notice").map(({ message }) => message);

test("[IM16] a repository is scanned, says so, and is scanned again after its interval; other tags are told once", () => {
  const play = repository();
  assert.equal(play.running, "look");
  assert.deepEqual(conditions(play), ["Ready=Unknown Progressing: reconciliation in progress", "Reconciling=True Progressing: reconciliation in progress"]);
  play.answer(scan(1));
  assert.deepEqual(conditions(play), ["Ready=True Succeeded: successful scan: found 1 tags with checksum 1"]);
  assert.deepEqual(status(play)?.observed, {
    canonicalImageName: "ghcr.io/team/shop", observedExclusionList: ["^.*\\.sig$"],
    lastScanResult: { revision: "1", tagCount: 1, scanTime: "2026-01-01T00:00:00Z", latestTags: ["v1"] },
  });
  play.wait();
  assert.equal(conditions(play)?.[0], "Ready=True Succeeded: successful scan: found 1 tags with checksum 1", "it stays Ready meanwhile");
  play.answer(scan(1)).wait().answer(scan(2));
  assert.deepEqual([stored(play), told(play).length], [["1", "2"], 2]);
});

test("[IM17] a policy looks when its repository has other tags than those it elected among, and says what was the latest before", () => {
  const play = policy().answer(elected("v1", 1));
  assert.equal(play.send({ type: "artifact", revision: "1", digest: "sha256:1" }).running, "");
  assert.equal(play.send({ type: "artifact", revision: "2", digest: "sha256:2" }).running, "look");
  play.answer(elected("v2", 2, "v1"));
  assert.deepEqual(conditions(play), ["Ready=True Succeeded: Latest image tag for shop resolved to v2 (previously shop:v1)"]);
  assert.deepEqual(status(play)?.observed, { latestRef: { name: "shop", tag: "v2" }, observedPreviousRef: { name: "shop", tag: "v1" } });
  assert.deepEqual(stored(play), []);
});

test("[IM18] what fails says Flux's reason, keeps what was found, is told once and tried again; what was wrong with the object stalls", () => {
  for (const [code, reason] of [["UpstreamUnreachable", "ReadOperationFailed"], ["AuthenticationFailed", "AuthenticationFailed"], ["ImageMissing", "ReadOperationFailed"], ["ImageTagsMissing", "DependencyNotReady"], ["ImageTagsUnfit", "Failed"], ["AccessDenied", "AccessDenied"]] as const) {
    const play = repository().answer(scan(1)).send({ type: "look" }).fail(code);
    assert.match(conditions(play)?.[0] ?? "", new RegExp(`^Ready=False ${reason}: `));
    assert.match(conditions(play)?.[1] ?? "", /^Reconciling=True ProgressingWithRetry: /);
    assert.ok(status(play)?.observed?.["lastScanResult"]);
    const before = told(play).length;
    assert.equal(play.wait().running, "look");
    assert.match(conditions(play)?.[0] ?? "", /^Ready=False /, "until it is known better");
    play.fail(code);
    assert.equal(told(play).length, before);
    play.wait().answer(scan(1));
    assert.equal(told(play).at(-1), "successful scan: found 1 tags with checksum 1", "that it is well again is news");
  }
  for (const [code, reason] of [["ImageNameInvalid", "ImageURLInvalid"], ["ImagePolicyInvalid", "InvalidPolicy"]] as const)
    assert.match(conditions(policy().fail(code))?.[1] ?? "", new RegExp(`^Stalled=True ${reason}: `));
});

test("[IM16] suspended it rests, and a deletion lets go of what is kept", () => {
  const play = repository().answer(scan(1)).send(object({ suspended: true }));
  assert.deepEqual([play.running, play.waits, status(play)], ["", [], { handledAt: "" }]);
  play.send(object({ deleting: true }));
  assert.equal(play.running, "remove");
  assert.equal(play.answer().state, "gone");
});

test("[IM17] one that was deleted and made anew under the same name begins without a latest image", () => {
  const play = policy().answer(elected("v1", 1)).send(object({ deleting: true })).send(object({ uid: "u2", madeFrom: ["imagerepository/apps/shop"] }));
  assert.equal(play.running, "look");
  assert.equal(play.context.election, null);
});

test("[IM12] at its interval it takes what others were told a moment ago; when it is asked for, changed, or hears of news it does not", () => {
  const play = repository();
  const isFresh = () => play.context.fresh;
  assert.equal(isFresh(), true, "the first");
  play.answer(scan(1)).wait();
  assert.deepEqual([play.running, isFresh()], ["look", false], "at its interval");
  play.answer(scan(1)).send({ type: "look" });
  assert.deepEqual([play.running, isFresh()], ["look", true], "a push was heard of");
  play.answer(scan(1)).send(object({ requestedAt: "now" }));
  assert.deepEqual([play.running, isFresh()], ["look", true], "it is asked for");
  play.answer(scan(1)).send(object({ requestedAt: "now", generation: 2 }));
  assert.deepEqual([play.running, isFresh()], ["look", true], "its object is another");
});

test("[IM19] a policy whose repository is in the way waits for any change of it, and no longer than that", () => {
  const any = [{ id: "imagerepository/apps/shop", any: true }];
  for (const code of ["AccessDenied", "ImageRepositoryMissing", "ImageNameInvalid"] as const) {
    const play = policy().fail(code);
    assert.deepEqual(play.context.awaits, any);
    assert.equal(play.send({ type: "dependency" }).running, "look", code);
    play.answer(elected("v1", 1));
    assert.equal(play.context.awaits, undefined);
    assert.equal(play.send({ type: "dependency" }).running, "", "no news for one that is well");
  }
  assert.equal(policy().fail("ImageTagsUnfit").context.awaits, undefined);
});

test("[IM60] what the trace of a scan has begun goes on with the tags that are told, and with the election", () => {
  const play = repository().answer(scan(1));
  assert.equal(play.emits.find(({ type }) => type === "artifactStored")?.["traceparent"], "t1");
  assert.equal(policy().answer(elected("v1", 1)).context.traceparent, "t1");
});

test("[IM90] that another image is elected is said once, for whoever writes it back to Git", () => {
  const play = policy().answer(elected("v1", 1));
  const said = () => play.emits.filter(({ type }) => type === "elected").length;
  assert.equal(said(), 1);
  play.send({ type: "look" }).answer(elected("v1", 2));
  assert.equal(said(), 1);
  play.send({ type: "look" }).answer(elected("v2", 3, "v1"));
  assert.equal(said(), 2);
});
