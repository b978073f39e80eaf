import assert from "node:assert/strict";
import test from "node:test";
import type { FaultCode } from "#protocol/errors/fault.ts";
import type { Edited, Intent } from "#protocol/messages/image-update.ts";
import type { SourceFacts } from "#protocol/messages/object.ts";
import { Play } from "../../test/simulate/play.ts";
import { imageUpdate, type ImageUpdateContext } from "./machine.ts";
import { imageUpdateStatus } from "./status.ts";

const at = "2026-01-01T00:00:00Z";
const object = (changes: Partial<SourceFacts> = {}) => ({ type: "object", facts: {
  uid: "u1", generation: 1, deleting: false, finalizer: true, suspended: false, requestedAt: "", handledAt: "",
  intervalMs: 60_000, timeoutMs: 60_000, madeFrom: ["gitrepository/apps/shop"], ...changes,
} });
const elected = (tag: string) => ({ shop: { name: "ghcr.io/team/shop", tag } });
const intent = (n: number, changes: Partial<Intent> = {}): Intent => ({
  commit: String(n).repeat(40), branch: "main", from: "0".repeat(40), url: "https://git.example.com/shop", isOther: false, isOnBranch: false, madeOf: `m${n}`,
  message: `Serve v${n}`, pack: { path: `imageupdateautomation/apps/shop/${n}.pack`, digest: `sha256:${n}` }, revision: "main@sha1:0", elected: elected(`v${n}`), traceparent: `t${n}`, ...changes,
});
const edited = (changes: Partial<Edited> = {}): Edited => ({ revision: "main@sha1:0", elected: elected("v1"), ranAt: at, remarks: [], ...changes });
const play = () => new Play<ImageUpdateContext>(imageUpdate, "imageupdateautomation/apps/shop").send(object());
type Automation = ReturnType<typeof play>;
const status = (of: Automation) => imageUpdateStatus(of.state, of.context);
const conditions = (of: Automation) => status(of)?.conditions?.map(({ type, status: is, reason, message }) => `${type}=${is} ${reason}: ${message}`);
const told = (of: Automation) => of.emits.filter(({ type }) => type === "notice").map(({ severity, reason, message }) => `${String(severity)} ${String(reason)}: ${String(message)}`);
const hinted = (of: Automation) => of.emits.filter(({ type }) => type === "pushed").map(({ url }) => url);
const pushed = { moved: false, at };

test("[IM90] with nothing to change it is up to date, and looks again at its interval, for a policy's news and for the source's", () => {
  const automation = play();
  assert.equal(automation.running, "edit");
  assert.deepEqual(conditions(automation), ["Ready=Unknown Progressing: reconciliation in progress", "Reconciling=True Progressing: reconciliation in progress"]);
  automation.answer(edited());
  assert.deepEqual([automation.state, conditions(automation), told(automation)], ["settled", ["Ready=True Succeeded: repository up-to-date"], []]);
  assert.deepEqual(status(automation)?.observed, { lastAutomationRunTime: at, observedSourceRevision: "main@sha1:0", observedPolicies: elected("v1") });
  assert.equal(automation.wait().running, "edit");
  automation.answer(edited()).send({ type: "look" });
  assert.equal(automation.running, "edit");
  automation.answer(edited()).send({ type: "artifact", revision: "main@sha1:1", digest: "sha256:1" });
  assert.equal(automation.running, "edit");
  automation.answer(edited({ revision: "main@sha1:1" })).send({ type: "artifact", revision: "main@sha1:1", digest: "sha256:1" });
  assert.equal(automation.running, "", "what it has seen already is no news");
});

test("[IM91] a commit is written down before it is pushed, then told in Flux's words, and its sources are to look", () => {
  const automation = play().answer(edited({ intent: intent(2) }));
  assert.deepEqual([automation.state, automation.running, automation.context.intent?.commit], ["pushing", "push", "2".repeat(40)]);
  automation.answer(pushed);
  assert.equal(automation.state, "settled");
  assert.deepEqual(told(automation), ["Normal Succeeded: pushed commit '2222222' to branch 'main'\nServe v2"]);
  assert.deepEqual(hinted(automation), ["https://git.example.com/shop"]);
  assert.deepEqual(status(automation)?.observed, {
    lastAutomationRunTime: at, lastPushCommit: "2".repeat(40), lastPushTime: at,
    observedSourceRevision: `main@sha1:${"2".repeat(40)}`, observedPolicies: elected("v2"),
  });
  assert.equal(automation.send({ type: "artifact", revision: `main@sha1:${"2".repeat(40)}`, digest: "sha256:2" }).running, "", "its own commit is no news");
});

test("[IM91] to another branch and a refspec: what is checked out stays what was seen, and both are named", () => {
  const automation = play().answer(edited({ intent: intent(2, { branch: "auto", isOther: true, refspec: "refs/heads/auto:refs/heads/x" }) })).answer(pushed);
  assert.deepEqual(told(automation), ["Normal Succeeded: pushed commit '2222222' to branch 'auto' and refspecs 'refs/heads/auto:refs/heads/x'\nServe v2"]);
  assert.equal(automation.context.observed?.revision, "main@sha1:0");
});

test("[IM92] of an attempt that broke off nobody knows whether it arrived: it is looked, and told once it is found", () => {
  const automation = play().answer(edited({ intent: intent(2) })).fail("UpstreamUnreachable");
  assert.deepEqual([automation.state, automation.context.intent?.commit], ["failing", "2".repeat(40)]);
  assert.equal(automation.wait().running, "edit");
  automation.answer(edited({ revision: `main@sha1:${"2".repeat(40)}`, elected: elected("v2"), arrivedAt: at }));
  assert.deepEqual([automation.state, automation.context.intent, automation.context.last?.commit], ["settled", null, "2".repeat(40)]);
  assert.equal(told(automation).filter((text) => text.includes("pushed commit '2222222'")).length, 1);
});

test("[IM92] what a server refused is not on its way", () =>
  assert.equal(play().answer(edited({ intent: intent(2) })).fail("PushRejected").context.intent, null));

test("[IM93] who is overtaken makes the change anew on the new head, five times in a row", () => {
  const automation = play();
  for (let n = 1; n <= 4; n++) {
    automation.answer(edited({ intent: intent(n) })).answer({ moved: true });
    assert.equal(automation.running, "edit");
  }
  automation.answer(edited({ intent: intent(5) })).answer({ moved: true });
  assert.equal(automation.state, "failing");
  assert.match(conditions(automation)?.[0] ?? "", /^Ready=False GitOperationFailed: .*others pushed to the branch again and again/);
  automation.wait().answer(edited({ intent: intent(6) })).answer({ moved: true });
  assert.equal(automation.running, "edit", "it counts anew");
  automation.answer(edited({ intent: intent(7) })).answer(pushed);
  assert.equal(conditions(automation)?.[0], "Ready=True Succeeded: repository up-to-date");
});

const reasons: [FaultCode, string, "retries" | "stalls"][] = [
  ["SourceMissing", "SourceManagerFailed", "retries"], ["PushBranchMissing", "SourceManagerFailed", "retries"], ["SecretMissing", "SourceManagerFailed", "retries"], ["SigningKeyInvalid", "SourceManagerFailed", "retries"],
  ["GitSpecMissing", "InvalidSourceConfiguration", "stalls"], ["AccessDenied", "AccessDenied", "stalls"], ["PolicySelectorInvalid", "InvalidPolicySelector", "stalls"],
  ["UpstreamUnreachable", "GitOperationFailed", "retries"], ["AuthenticationFailed", "GitOperationFailed", "retries"], ["RepositoryEmpty", "GitOperationFailed", "retries"], ["PushRejected", "GitOperationFailed", "retries"],
  ["ImageUpdateFailed", "UpdateFailed", "retries"], ["UpdatePathMissing", "UpdateFailed", "retries"], ["MessageTemplateFailed", "GitOperationFailed", "retries"], ["TemplateFieldRemoved", "RemovedTemplateField", "stalls"],
];
for (const [code, reason, end] of reasons)
  test(`[IM94] ${code}: ${reason}, and it ${end}; told once, and that it is well again`, () => {
    const automation = play().answer(edited()).send({ type: "look" }).fail(code);
    assert.match(conditions(automation)?.[0] ?? "", new RegExp(`^Ready=False ${reason}: `));
    assert.match(conditions(automation)?.[1] ?? "", end === "stalls" ? new RegExp(`^Stalled=True ${reason}: `) : /^Reconciling=True ProgressingWithRetry: /);
    assert.ok(status(automation)?.observed?.["observedPolicies"], "what was seen before stays said");
    assert.equal(automation.wait().running, "edit");
    automation.fail(code).wait().answer(edited());
    assert.deepEqual(told(automation).map((text) => text.split(":")[0]), [`Warning ${reason}`, "Normal Succeeded"]);
  });

test("[IM95] what of the files leads to nothing is told once, though nothing fails", () => {
  const remarks = ["a.yaml:3: the marker names no policy: apps:gone"];
  const automation = play().answer(edited({ remarks })).wait().answer(edited({ remarks }));
  assert.deepEqual([told(automation), conditions(automation)?.[0]], [[`Warning UpdateFailed: ${remarks[0]}`], "Ready=True Succeeded: repository up-to-date"]);
  automation.wait().answer(edited()).wait().answer(edited({ remarks }));
  assert.equal(told(automation).length, 2, "it had gone meanwhile");
});

test("[IM96] suspended it rests; another spec begins anew, also while a commit is pushed; deleted it lets go", () => {
  const automation = play().answer(edited({ intent: intent(2) })).send(object({ generation: 2 }));
  assert.deepEqual([automation.running, automation.context.intent?.commit], ["edit", "2".repeat(40)], "whether it arrived is still to be found out");
  automation.answer(edited()).send(object({ generation: 2, suspended: true, requestedAt: "now" }));
  assert.deepEqual([automation.running, automation.waits, status(automation)], ["", [], { handledAt: "now" }]);
  automation.send(object({ generation: 2, deleting: true }));
  assert.equal(automation.running, "remove");
  automation.send(object({ uid: "u2" }));
  assert.deepEqual([automation.running, automation.context.last, automation.context.observed], ["edit", null, null]);
});
