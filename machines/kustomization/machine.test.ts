import assert from "node:assert/strict";
import test from "node:test";
import type { ApplyOutcome, InventoryEntry } from "#protocol/messages/kustomization.ts";
import type { KustomizationFacts } from "#protocol/messages/object.ts";
import { Play } from "../../test/simulate/play.ts";
import { kustomization, type KustomizationContext } from "./machine.ts";
import { kustomizationStatus } from "./status.ts";

const facts = (changes: Partial<KustomizationFacts> = {}): KustomizationFacts => ({
  uid: "u1", generation: 1, deleting: false, finalizer: true, suspended: false, requestedAt: "", handledAt: "",
  intervalMs: 600_000, timeoutMs: 60_000, retryMs: 120_000, source: "gitrepository/apps/shop", prune: true, health: true, deletion: "Delete", ...changes,
});
const object = (changes?: Partial<KustomizationFacts>) => ({ type: "object", facts: facts(changes) });
const gone = { type: "object", facts: null };
const look = { type: "look" };
const drift = { type: "drift" };
const artifact = (n: number) => ({ type: "artifact", revision: `r${n}`, digest: `d${n}` });
const invalid = { code: "InvalidObject" as const, subject: "Kustomization/apps/shop" };

const found = (n: number, inventory: InventoryEntry[] = []) =>
  ({ artifact: { revision: `r${n}`, digest: `d${n}`, sizeBytes: 1, path: "p", storedAt: "" }, traceparent: "00-1", inventory });
const built = (renderKey: string, ...names: string[]) => ({ renderKey, readSet: { files: [], dirs: [] }, objects: names.map((name) => ({ id: id(name), v: "v1" })) });
const id = (name: string) => `apps_${name}__ConfigMap`;
const entry = (name: string): InventoryEntry => ({ id: id(name), v: "v1", uid: `uid-${name}`, digest: `digest-${name}`, owned: "o" });
const applied = (...names: string[]): ApplyOutcome => ({ entries: names.map(entry), changes: names.map((name) => ({ id: id(name), action: "created" })) });
const halfApplied = (...names: string[]): ApplyOutcome => ({ ...applied(...names), fault: { code: "ObjectForbidden", subject: "ConfigMap/apps/b" } });
const listed = (entries: InventoryEntry[]) => entries.map((each) => each.id.split("_")[1]);

const begun = () => new Play<KustomizationContext>(kustomization, "kustomization/apps/shop");
const finding = (changes?: Partial<KustomizationFacts>) => begun().send(object(changes));
const building = (changes?: Partial<KustomizationFacts>) => finding(changes).answer(found(1));
const applying = (changes?: Partial<KustomizationFacts>) => building(changes).answer(built("k1", "a", "b"));
const checking = (changes?: Partial<KustomizationFacts>) => applying(changes).answer(applied("a", "b"));
const settled = (changes?: Partial<KustomizationFacts>) => (changes?.health === false ? checking(changes) : checking(changes).answer());
/** At the next commit, with `b` no longer in it. */
const pruning = (changes?: Partial<KustomizationFacts>) => settled(changes).send(artifact(2)).answer(found(2)).answer(built("k2", "a")).answer(applied("a"));
const status = (play: Play<KustomizationContext>) => kustomizationStatus(play.state, play.context);
const conditions = (play: Play<KustomizationContext>) => status(play)?.conditions?.map(({ type, status: is, reason }) => `${type}=${is} ${reason}`);

test("[RC9] find, build, apply, follow health, and prune what is left over", () => {
  const play = begun().send(object({ finalizer: false }));
  const steps = [play.running];
  for (const answer of [null, found(1), built("k1", "a", "b"), applied("a", "b"), null]) steps.push(play.answer(answer).running);
  assert.deepEqual(steps, ["adopt", "findSource", "build", "apply", "followHealth", ""]);
  assert.equal(pruning().running, "prune");
  assert.equal(pruning().answer({ deleted: [id("b")], left: [] }).running, "followHealth");
});

test("[RC19] settled: applied, healthy, listed, and people are told", () => {
  const play = settled();
  assert.deepEqual([play.state, play.said], ["settled", ["Progressing", "Progressing", "ReconciliationSucceeded"]]);
  assert.deepEqual(conditions(play), ["Ready=True ReconciliationSucceeded", "Healthy=True Succeeded"]);
  const { lastAppliedRevision, lastAttemptedRevision, observedGeneration, inventory } = status(play) ?? {};
  assert.deepEqual([lastAppliedRevision, lastAttemptedRevision, observedGeneration, inventory], ["r1", "r1", 1, [{ id: id("a"), v: "v1" }, { id: id("b"), v: "v1" }]]);
  assert.ok((play.waits[0] ?? 0) > 500_000);
});

test("[RC28] what was applied, that it is healthy and that the run is over are told in Flux's words", () => {
  const play = applying();
  const messages = (from: number) => play.notices.slice(from).map(({ reason, message, revision }) => `${revision} ${reason} ${message}`);
  play.answer(applied("a", "b"));
  play.nowMs += 1_250;
  play.answer();
  assert.deepEqual(messages(0), [
    "r1 Progressing ConfigMap/apps/a created\nConfigMap/apps/b created",
    "r1 Progressing Health check passed in 1.25s",
    "r1 ReconciliationSucceeded Reconciliation finished in 1.25s, next run in 10m0s",
  ]);
  assert.deepEqual(play.notices.map(({ commitStatus }) => commitStatus), [undefined, undefined, "update"]);
  const said = play.notices.length;
  play.send(artifact(2)).answer(found(2)).answer(built("k2", "a")).answer({ entries: [entry("a")], changes: [{ id: id("a"), action: "unchanged" }] });
  play.answer({ deleted: [id("b")], left: [] }).answer();
  assert.deepEqual(messages(said).map((line) => line.split(" in ")[0]), ["r2 Progressing ConfigMap/apps/b deleted", "r2 Progressing Health check passed", "r2 ReconciliationSucceeded Reconciliation finished"]);
});

test("[RC28] what was applied before a failure is told too", () => {
  const play = applying().answer(halfApplied("a"));
  assert.deepEqual(play.notices.map(({ reason, message }) => `${reason} ${message.split(":")[0]}`), ["Progressing ConfigMap/apps/a created", "ReconciliationFailed ConfigMap/apps/b"]);
});

test("[RC28] a correction is told as such, and says who it was", () => {
  const play = settled().send(drift).wait();
  const said = play.notices.length;
  play.answer(built("k1", "a", "b")).answer({ ...applied("a", "b"), changes: [{ id: id("a"), action: "configured", by: "kubectl-edit" }] }).answer();
  assert.deepEqual(play.notices.slice(said).map(({ reason, message }) => `${reason} ${message.split(" in ")[0]}`), ["DriftCorrected ConfigMap/apps/a configured (was changed by kubectl-edit)", "Progressing Health check passed"]);
});

test("[RC28] what went with a deleted unit is told before it goes", () => {
  const play = settled().send(object({ deleting: true, generation: 2 })).answer({ late: false, removed: { ids: [id("b"), id("a")], outlasting: [id("a")] } });
  assert.deepEqual([play.state, play.running], ["releasing", "release"]);
  assert.deepEqual(play.notices.slice(-2).map(({ severity, message }) => `${severity} ${message}`), [
    "Normal ConfigMap/apps/b deleted\nConfigMap/apps/a deleted", "Warning failed to wait for resources termination: ConfigMap/apps/a",
  ]);
});

test("[RC29] a revision that changes nothing for a unit is one line in its status, and no event", () => {
  const play = settled({ health: false });
  assert.equal(status(play)?.background, undefined);
  const said = play.said.length;
  play.send(artifact(2)).answer(found(2)).answer(built("k1", "a", "b"));
  assert.deepEqual([play.state, status(play)?.lastAppliedRevision, status(play)?.background, play.said.length], ["settled", "r2", true, said]);
  play.send(artifact(3)).answer(found(3)).answer(built("k3", "a", "b")).answer(applied("a", "b"));
  assert.deepEqual([play.state, status(play)?.background], ["settled", undefined]);
});

const historyOf = (play: Play<KustomizationContext>) =>
  (status(play)?.history ?? []).map(({ digest, lastReconciledStatus, totalReconciliations, metadata }) => `${digest} ${lastReconciledStatus} ${totalReconciliations} ${metadata?.["revision"]}`);
const sum = (renderKey: string, ...names: string[]) => ({ ...built(renderKey, ...names), digest: `sha256:${renderKey}` });

test("[RC27] the history tells builds and how they went; what merely looked leaves no mark", () => {
  const play = building().answer(sum("k1", "a")).answer(applied("a")).fail("HealthCheckFailed");
  assert.deepEqual(historyOf(play), ["sha256:k1 HealthCheckFailed 1 r1"]);
  play.wait().answer(found(1)).answer(sum("k1", "a")).answer();
  assert.deepEqual(historyOf(play), ["sha256:k1 ReconciliationSucceeded 1 r1", "sha256:k1 HealthCheckFailed 1 r1"]);
  play.wait().answer(found(1)).answer(sum("k1", "a")).answer();
  assert.deepEqual(historyOf(play)[0], "sha256:k1 ReconciliationSucceeded 1 r1", "at the interval, when nothing is new");
  play.send(artifact(2)).answer(found(2)).answer(sum("k1", "a")).answer();
  assert.deepEqual(historyOf(play)[0], "sha256:k1 ReconciliationSucceeded 2 r2");
  play.send(artifact(3)).answer(found(3)).answer(sum("k3", "a")).answer(halfApplied());
  assert.deepEqual(historyOf(play), ["sha256:k3 ReconciliationFailed 1 r3", "sha256:k1 ReconciliationSucceeded 2 r2", "sha256:k1 HealthCheckFailed 1 r1"]);
  play.send(artifact(4)).answer(found(4)).answer(sum("k4", "a")).fail("ClusterUnreachable");
  assert.equal(historyOf(play).length, 3, "what passes by itself says nothing about a build");
});

test("[RC27] the history of the owner before is continued", () => {
  const before = { digest: "sha256:old", firstReconciled: "t", lastReconciled: "t", lastReconciledDuration: "1s", lastReconciledStatus: "ReconciliationSucceeded", totalReconciliations: 7, metadata: { revision: "r0" } };
  const play = finding().answer({ ...found(1), history: [before] }).answer(sum("k1", "a")).answer(applied("a")).answer();
  assert.deepEqual(historyOf(play), ["sha256:k1 ReconciliationSucceeded 1 r1", "sha256:old ReconciliationSucceeded 7 r0"]);
});

test("[RC30] what a revision was made of is told, and its end as well", () => {
  const made = (n: number, origin?: string) => {
    const { artifact: plain, ...rest } = found(n);
    return { ...rest, artifact: { ...plain, ...(origin && { metadata: { "org.opencontainers.image.revision": origin } }) } };
  };
  const play = finding({ health: false }).answer(made(1, "main@sha1:abc")).answer(built("k1", "a")).answer(applied("a"));
  assert.equal(status(play)?.lastAppliedOriginRevision, "main@sha1:abc");
  assert.equal(play.notices.at(-1)?.originRevision, "main@sha1:abc");
  play.send(artifact(2)).answer(made(2)).answer(built("k1", "a"));
  assert.equal(status(play)?.lastAppliedOriginRevision, "");
  assert.equal("lastAppliedOriginRevision" in (status(settled()) ?? {}), false);
});

test("[RC10] a new revision that builds the same costs no request", () => {
  const play = settled({ health: false }).send(artifact(2)).answer(found(2)).answer(built("k1", "a", "b"));
  assert.deepEqual([play.state, status(play)?.lastAppliedRevision], ["settled", "r2"]);
});

const comparisons = [
  { why: "something drifted", play: () => settled().send(drift).wait().answer(built("k1", "a", "b")), input: "changed" },
  { why: "a person asked", play: () => settled().send(object({ requestedAt: "q1" })).answer(found(1)).answer(built("k1", "a", "b")), input: "all" },
  { why: "a person asked while another run was busy", play: () => applying().send(object({ requestedAt: "q1" })).answer(applied("a", "b")).answer(found(1)).answer(built("k1", "a", "b")), input: "all" },
  { why: "a person asked and the build failed at first", play: () => settled().send(object({ requestedAt: "q1" })).answer(found(1)).fail("BuildFailed").wait().answer(found(1)).answer(built("k1", "a", "b")), input: "all" },
  { why: "the last apply did not end", play: () => applying().answer(halfApplied("a")).wait().answer(found(1)).answer(built("k1", "a", "b")), input: "changed" },
  { why: "it was suspended and something drifted meanwhile", play: () => settled().send(object({ suspended: true, generation: 2 })).send(drift).send(object({ generation: 3 })).answer(found(1)).answer(built("k1", "a", "b")), input: "changed" },
];
for (const { why, play: make, input } of comparisons)
  test(`[RC24] the same build is compared with the cluster (${input}) when ${why}`, () => {
    const play = make();
    assert.deepEqual([play.running, play.record.runs[0]?.input], ["apply", { scope: input }]);
  });

test("[RC60] at the first interval after ten hours everything is compared with the cluster, and then not again for as long", () => {
  const play = settled();
  const hourMs = 3_600_000;
  const atHours: number[] = [];
  for (const startMs = play.nowMs; play.nowMs < startMs + 22 * hourMs; ) {
    play.wait().answer(found(1)).answer(built("k1", "a", "b"));
    if (play.running === "apply") {
      assert.deepEqual(play.record.runs[0]?.input, { scope: "all" });
      atHours.push((play.nowMs - startMs) / hourMs);
      play.answer({ ...applied("a", "b"), changes: [] });
    }
    play.answer();
  }
  const waits = atHours.map((hours, i) => hours - (atHours[i - 1] ?? 0));
  assert.ok(waits.length === 2 && waits.every((hours) => hours > 9.4 && hours < 10.8), String(waits));
});

test("[RC24] once it was compared, a request is over", () => {
  const play = settled().send(object({ requestedAt: "q1" })).answer(found(1)).answer(built("k1", "a", "b")).answer(applied("a", "b")).answer();
  assert.equal(play.context.scope, "changed");
});

test("[RC11] a newer artifact does not wait for the health of an older one", () => {
  const play = checking().send(artifact(2));
  assert.equal(play.running, "findSource");
  assert.equal(checking().send(artifact(1)).running, "followHealth", "one that is known is no news");
});

const failures = [
  { what: "a source that is missing", play: () => settled().send(artifact(2)).fail("SourceMissing") },
  { what: "a build that fails", play: () => settled().send(artifact(2)).answer(found(2)).fail("BuildFailed") },
  { what: "an apply that cannot be reached", play: () => settled().send(artifact(2)).answer(found(2)).answer(built("k2", "a")).fail("ClusterUnreachable") },
  { what: "a dry-run that is refused", play: () => settled().send(artifact(2)).answer(found(2)).answer(built("k2", "a")).answer({ entries: [], changes: [], fault: { code: "ObjectInvalid", subject: "ConfigMap/apps/a" } }) },
];
for (const { what, play: make } of failures)
  test(`[RC12] ${what} prunes nothing, and everything stays listed`, () => {
    const play = make();
    assert.equal(play.state, "failing");
    assert.deepEqual([listed(play.context.inventory), play.context.leftovers, status(play)?.lastAppliedRevision], [["a", "b"], [], "r1"]);
    assert.deepEqual(conditions(play)?.slice(0, 2), [`Ready=False ${conditions(play)?.[0]?.split(" ")[1]}`, "Reconciling=True ProgressingWithRetry"]);
    assert.equal(play.send(look).running, "findSource");
  });

test("[RC12] what was applied before the fault is listed beside what was there", () => {
  const play = settled().send(artifact(2)).answer(found(2)).answer(built("k2", "a", "c")).answer(halfApplied("c"));
  assert.deepEqual(listed(play.context.inventory).sort(), ["a", "b", "c"]);
});

test("[RC19] an unfinished prune keeps what is left, in the status too, and goes on with it", () => {
  const play = pruning().answer({ deleted: [], left: [entry("b")], fault: { code: "PruneFailed", subject: "b" } });
  assert.deepEqual([play.state, conditions(play)?.[0]], ["failing", "Ready=False PruneFailed"]);
  assert.deepEqual(status(play)?.inventory?.map((each) => each.id), [id("a"), id("b")]);
  play.wait().answer(found(2)).answer(built("k2", "a")).answer(applied("a"));
  assert.deepEqual([play.running, listed(play.context.leftovers)], ["prune", ["b"]]);
});

test("[RC18] without prune they are forgotten", () => {
  const play = pruning({ prune: false });
  assert.deepEqual([play.running, play.context.leftovers], ["followHealth", []]);
});

test("[RC17] what an apply that was cut short may have created is known before it begins", () => {
  const play = applying();
  assert.deepEqual(listed(play.context.intended), ["a", "b"]);
  play.send(object({ generation: 2 })).answer(found(2)).answer(built("k2", "c")).answer(applied("c"));
  assert.deepEqual([play.running, listed(play.context.leftovers).sort()], ["prune", ["a", "b"]]);
  assert.deepEqual(listed(settled().context.intended), []);
});

test("[RC17] an object that turned out to be cluster-scoped is the same object", () => {
  const role = { id: "apps_admin_rbac.authorization.k8s.io_ClusterRole", v: "v1" };
  const play = building().answer({ ...built("k1"), objects: [role] });
  play.answer({ entries: [{ ...entry("a"), id: "_admin_rbac.authorization.k8s.io_ClusterRole" }], changes: [] });
  assert.deepEqual([play.running, play.context.leftovers], ["followHealth", []]);
});

test("[RC17] it goes with its unit", () => {
  const play = applying().send(object({ deleting: true, generation: 2 }));
  assert.deepEqual([play.running, listed([...play.context.inventory, ...play.context.leftovers])], ["remove", ["a", "b"]]);
});

const recovered = { type: "recovered" };
/** What a former run had sent may still arrive, for so long. */
const lateMs = 60_000;
const late = (play: Play<KustomizationContext>) => play.waits.includes(lateMs);
const suspects = ({ context }: Play<KustomizationContext>) => listed(context.suspects ?? []);
/** Until the unit rests, with an artifact and a build that hold what they held. */
const through = (play: Play<KustomizationContext>, renderKey: string, ...names: string[]) =>
  play.answer(found(1)).answer(built(renderKey, ...names)).answer(applied(...names));

test("[FN5] an apply that took over from a crashed owner makes the unit wary for a minute, and is through", () => {
  const play = applying().answer({ ...applied("a", "b"), recovered: true }).answer();
  assert.deepEqual([play.state, play.context.wary, play.context.unfenced, late(play)], ["settled", "crashed", undefined, true]);
  const interval = play.send({ type: "calm" });
  assert.deepEqual([interval.state, interval.context.wary], ["settled", undefined]);
  assert.deepEqual([settled().context.wary, settled().waits.length], [undefined, 1], "one that was not cut short is not");
});

const unfenced: { why: string; play(): Play<KustomizationContext> }[] = [
  { why: "the apply that took over failed", play: () => applying().answer({ ...halfApplied("a"), recovered: true }) },
  { why: "the prune that took over failed", play: () => pruning().answer({ deleted: [], left: [entry("b")], recovered: true, fault: { code: "PruneFailed", subject: "b" } }) },
  { why: "the apply that was to take over was called off", play: () => applying().send(recovered).send(object({ generation: 2 })) },
  { why: "so was the prune", play: () => pruning().send(recovered).send(object({ generation: 2 })) },
];
for (const { why, play: make } of unfenced) {
  test(`[FN4] the next apply still has to make objects safe when ${why}`, () => {
    const play = make();
    assert.deepEqual([play.context.unfenced, play.context.wary, late(play)], [true, "crashed", true]);
    if (play.state === "failing") play.send(look);
    play.answer(found(2)).answer(built("k3", "a", "b"));
    assert.deepEqual([play.running, play.context.unfenced], ["apply", true], "the effect reads it");
    assert.equal(play.answer(applied("a", "b")).context.unfenced, undefined);
  });
  test(`[FN4] or not, once nothing can come late any more: ${why}`, () => assert.equal(make().send({ type: "calm" }).context.unfenced, undefined));
}

test("[FN6] what is pruned after a crash is pruned again when nothing can come late any more, and only then forgotten", () => {
  const play = applying().answer({ ...applied("a", "b"), recovered: true }).answer();
  play.send(artifact(2)).answer(found(2)).answer(built("k2", "a")).answer(applied("a"));
  assert.deepEqual([play.running, listed(play.context.leftovers)], ["prune", ["b"]]);
  play.answer({ deleted: [id("b")], left: [] }).answer();
  assert.deepEqual([play.state, suspects(play), play.context.leftovers], ["settled", ["b"], []]);
  play.wait();
  assert.deepEqual([play.nowMs, play.running, listed(play.context.leftovers), suspects(play)], [lateMs, "prune", ["b"], []]);
  const said = play.said.length;
  play.answer({ deleted: [id("b")], left: [], missing: [id("b")] }).answer();
  assert.deepEqual([play.state, suspects(play), play.context.leftovers, play.said.length], ["settled", [], [], said], "nobody is told of what was not there");
});

test("[FN6] so is what an apply that was cut short may have created, whoever cut it short", () => {
  const cut = () => applying().send(object({ generation: 2 })).answer(found(2)).answer(built("k2", "c"));
  assert.deepEqual([cut().context.wary, cut().context.unfenced, late(cut())], ["interrupted", undefined, true]);
  const play = cut().answer(applied("c")).answer({ deleted: [id("a"), id("b")], left: [], missing: [id("a"), id("b")] }).answer();
  assert.deepEqual([play.state, suspects(play)], ["settled", ["a", "b"]]);
  play.wait();
  assert.deepEqual([play.running, listed(play.context.leftovers)], ["prune", ["a", "b"]]);
  assert.deepEqual(listed(play.answer({ deleted: [id("a")], left: [entry("b")], fault: { code: "PruneFailed", subject: "b" } }).context.leftovers), ["b"]);
});

const digests = (play: Play<KustomizationContext>) => Object.fromEntries(play.context.inventory.map(({ id: each, digest }) => [each, digest]));

test("[FN14] an apply after one that was cut short looks at every object, whatever was applied to them before", () => {
  const play = settled().send(artifact(2)).answer(found(2)).answer(built("k2", "a", "b"));
  assert.deepEqual([play.running, digests(play)], ["apply", digests(settled())], "nothing was cut short yet");
  play.send(object({ generation: 2 })).answer(found(2)).answer(built("k1", "a", "b"));
  assert.deepEqual([play.running, digests(play)], ["apply", { [id("a")]: "", [id("b")]: "" }]);
});

test("[FN14] of objects whose write failed nobody knows what was applied last; of the others it stands", () => {
  const play = checking().answer().send(artifact(2)).answer(found(2)).answer(built("k2", "a", "b"));
  const before = digests(play);
  play.answer({ entries: [], changes: [], unsure: [id("b")], fault: { code: "ApplyFailed", subject: "b" } });
  assert.deepEqual(digests(play), { ...before, [id("b")]: "" });
});

test("[FN6] a suspect that is wanted again is none any more", () => {
  const play = applying().answer({ ...applied("a", "b"), recovered: true }).answer();
  play.send(artifact(2)).answer(found(2)).answer(built("k2", "a")).answer(applied("a")).answer({ deleted: [id("b")], left: [] }).answer();
  through(play.send(look), "k3", "a", "b").answer();
  assert.deepEqual([play.state, suspects(play)], ["settled", []]);
  play.send({ type: "calm" });
  assert.deepEqual([play.state, play.running], ["settled", ""]);
});

test("[FN6] a unit that is suspended, or fails, looks for its suspects when it runs again", () => {
  const ripe = (play: Play<KustomizationContext>) => {
    play.send(artifact(2)).answer(found(2)).answer(built("k2", "a")).answer(applied("a")).answer({ deleted: [id("b")], left: [] }).answer();
    return play.send(object({ suspended: true, generation: 2 })).send({ type: "calm" });
  };
  const play = ripe(applying().answer({ ...applied("a", "b"), recovered: true }).answer());
  assert.deepEqual([play.state, suspects(play)], ["suspended", ["b"]]);
  play.send(object({ generation: 3 })).answer(found(2)).answer(built("k2", "a"));
  assert.equal(play.running, "apply", "though what was built stands");
  assert.deepEqual([play.answer(applied("a")).running, listed(play.context.leftovers)], ["prune", ["b"]]);
});

test("[FN6] without prune nobody looks for them", () => {
  const play = applying({ prune: false }).answer({ ...applied("a", "b"), recovered: true }).answer();
  play.send(artifact(2)).answer(found(2)).answer(built("k2", "a")).answer(applied("a")).answer();
  assert.deepEqual([play.state, suspects(play), play.send({ type: "calm" }).state], ["settled", [], "settled"]);
});

test("[FN6] the list of suspects is bounded", () => {
  const names = Array.from({ length: 1_500 }, (_, i) => `n${i}`);
  const play = building().answer(built("k1", ...names)).answer({ ...applied(...names), recovered: true }).answer();
  play.send(artifact(2)).answer(found(2)).answer(built("k2", "a")).answer(applied("a")).answer({ deleted: names.map(id), left: [] });
  assert.equal(play.context.suspects?.length, 1_000);
});

test("[FN7] a unit that is deleted right after a crash keeps its finalizer until nothing can come late any more", () => {
  const play = applying().send(recovered).send(object({ deleting: true, generation: 2 }));
  assert.deepEqual([play.running, listed(play.context.leftovers)], ["remove", ["a", "b"]]);
  play.answer({ late: true, recovered: false });
  assert.deepEqual([play.state, play.running, status(play)], ["lingering", "", undefined]);
  play.send(look).send(artifact(3)).send(drift).wait();
  assert.deepEqual([play.nowMs, play.running, play.context.wary], [lateMs, "remove", undefined]);
  assert.equal(play.answer({ late: false }).state, "gone");
});

test("[FN7] so does one whose removal itself was taken over, while something could still be created", () => {
  const play = applying().send(object({ deleting: true, generation: 2 })).answer({ late: true, recovered: true });
  assert.deepEqual([play.state, late(play)], ["lingering", true]);
  const plain = settled().send(object({ deleting: true, generation: 2 })).send(recovered);
  assert.deepEqual([plain.context.wary, plain.answer({ late: false }).state], [undefined, "gone"], "a crash while it only deleted holds up nothing");
});

test("[FN7] one that comes under its name meanwhile is applied anew", () => {
  const play = applying().send(recovered).send(object({ deleting: true, generation: 2 })).answer({ late: true });
  assert.equal(play.send(object({ uid: "u2" })).running, "findSource");
});

test("[TN39] on another cluster than before everything is compared, whatever was rendered; so it is on the way back", () => {
  const east = (n: number) => ({ ...found(n), cluster: "east" });
  const moved = settled({ health: false }).send(object({ health: false, generation: 2 })).answer(east(1)).answer(built("k1", "a", "b"));
  assert.deepEqual([moved.running, moved.context.scope, moved.context.cluster], ["apply", "all", "east"]);
  const still = moved.answer(applied("a", "b")).send(look).answer(east(1)).answer(built("k1", "a", "b"));
  assert.equal(still.state, "settled");
  const back = still.send(look).answer(found(1)).answer(built("k1", "a", "b"));
  assert.deepEqual([back.running, back.context.scope, back.context.cluster], ["apply", "all", undefined]);
});

test("[TN46] under another account than before everything is compared, until it was once applied under it", () => {
  const as = (user?: string) => ({ ...found(1), ...(user && { user }) });
  const other = settled({ health: false }).send(object({ health: false, generation: 2 })).answer(as("robot")).answer(built("k1", "a", "b"));
  assert.deepEqual([other.running, other.context.scope], ["apply", "all"]);
  other.fail("ObjectForbidden").send(look).answer(as("robot")).answer(built("k1", "a", "b"));
  assert.deepEqual([other.running, other.context.scope], ["apply", "all"]);
  const still = other.answer(applied("a", "b")).send(look).answer(as("robot")).answer(built("k1", "a", "b"));
  assert.equal(still.state, "settled");
  assert.equal(still.send(look).answer(as()).answer(built("k1", "a", "b")).running, "apply", "so it is on the way back");
});

test("[TN45] what cannot be watched is compared at every run", () => {
  const play = settled({ health: false }).send(look).answer({ ...found(1), blind: true }).answer(built("k1", "a", "b"));
  assert.deepEqual([play.running, play.context.scope], ["apply", "all"]);
});

test("[TN20] a unit whose account is gone says what stays behind, and goes", () => {
  const abandoned = { account: { namespace: "apps", name: "robot" }, ids: [id("a"), id("b")] };
  const play = settled().send(object({ deleting: true, generation: 2 })).answer({ late: false, abandoned });
  assert.deepEqual([play.state, play.running, play.said.at(-1), status(play)], ["releasing", "release", "PruneFailed", undefined]);
  play.send(look).send(artifact(3)).send(drift);
  assert.equal(play.state, "releasing");
  assert.equal(play.answer(null).state, "gone");
});

test("[FN2] an object whose namespace does not count is not pruned under the name it was noted by", () => {
  const scoped = { id: "apps_big_example.com_Cluster", v: "v1" };
  const play = building().answer({ ...built("k1"), objects: [scoped] });
  play.answer({ ...halfApplied(), entries: [] }).send(look).answer(found(1)).answer(built("k1"));
  play.answer({ entries: [{ ...entry("a"), id: "_big_example.com_Cluster" }], changes: [] });
  assert.deepEqual([play.running, play.context.leftovers, suspects(play)], ["followHealth", [], []]);
});

test("[RC16] drift is put back at once, without asking the source", () => {
  const play = settled().send(drift);
  assert.deepEqual([play.state, play.waits], ["contested", [0]]);
  assert.equal(play.wait().running, "build");
  assert.equal(play.answer(built("k1", "a", "b")).running, "apply");
  assert.equal(checking().send(drift).running, "build", "nor does it wait for health");
  assert.equal(checking().fail("HealthCheckFailed").send(drift).state, "contested");
});

test("[RT8] a field that somebody fights for is put back at a widening distance, until an interval was quiet", () => {
  const play = settled({ health: false });
  const waits: number[] = [];
  const correct = () => {
    play.send(drift);
    waits.push(play.waits[0] ?? -1);
    play.wait().answer(built("k1", "a", "b")).answer(applied("a", "b"));
  };
  for (let i = 0; i < 6; i++) correct();
  assert.deepEqual(waits, [0, 0, 0, 750, 1_500, 3_000]);
  play.wait().answer(found(1)).answer(built("k1", "a", "b"));
  correct();
  assert.equal(waits.at(-1), 0);
});

test("[RC16] drift while applying is looked at again afterwards", () =>
  assert.equal(applying({ health: false }).send(drift).answer(applied("a", "b")).state, "contested"));

test("[RT6] a unit that failed is tried again at its retry interval, sooner when the failure passes by itself", () => {
  assert.deepEqual(building().fail("BuildFailed").waits.at(-1), 120_000);
  const play = applying();
  const waits: number[] = [];
  for (let i = 0; i < 9; i++) {
    play.fail("ClusterUnreachable");
    waits.push(play.waits.find((ms) => ms !== 30_000) ?? 0); // that one is for units that wait
    play.wait().answer(found(1)).answer(built("k1", "a", "b"));
  }
  assert.deepEqual(waits, [750, 1_500, 3_000, 6_000, 12_000, 24_000, 48_000, 60_000, 60_000]);
});

test("[RT7] a unit that waits looks again after 30 s, and as soon as its source has an artifact", () => {
  const play = finding().fail("ArtifactMissing");
  assert.equal(play.waits[0], 30_000);
  assert.deepEqual(play.said, []);
  assert.equal(finding().fail("ArtifactMissing").send(artifact(1)).running, "findSource");
});

test("[RC20] a fault is told once, not at every retry", () => {
  const play = building().fail("BuildFailed").wait().answer(found(1)).fail("BuildFailed");
  assert.deepEqual(play.said, ["BuildFailed"]);
  assert.deepEqual(play.wait().answer(found(1)).answer(built("k1", "a")).answer(applied("a")).answer().said, ["BuildFailed", "Progressing", "Progressing", "ReconciliationSucceeded"]);
});

const handledBy: { name: string; play(): Play<KustomizationContext>; handled: string }[] = [
  { name: "a run that succeeds", handled: "q1", play: () => settled({ requestedAt: "q1" }) },
  { name: "a run that fails", handled: "q1", play: () => building({ requestedAt: "q1" }).fail("BuildFailed") },
  { name: "a unit that is suspended", handled: "q1", play: () => settled().send(object({ suspended: true, requestedAt: "q1", generation: 2 })) },
  { name: "a unit that is invalid", handled: "q1", play: () => settled().send(object({ invalid, requestedAt: "q1", generation: 2 })) },
  { name: "a second request while the first was handled", handled: "q2", play: () => building({ requestedAt: "q1" }).send(object({ requestedAt: "q2" })).fail("BuildFailed").answer(found(1)).fail("BuildFailed") },
];
for (const { name, play, handled } of handledBy) test(`[RC4] lastHandledReconcileAt after ${name}`, () => assert.equal(status(play())?.handledAt, handled));

test("[RC5] a new generation ends whatever is under way, and begins again", () => {
  for (const play of [finding(), building(), applying(), checking(), pruning(), settled(), building().fail("BuildFailed")]) {
    const attempt = play.record.runs[0]?.attempt;
    play.send(object({ generation: 2 }));
    assert.equal(play.running, "findSource");
    assert.notEqual(play.record.runs[0]?.attempt, attempt);
  }
});

test("[RC6] suspended: nothing runs, nothing is due, hints change nothing", () => {
  for (const play of [finding(), applying(), checking(), pruning(), settled(), settled().send(drift), building().fail("BuildFailed")]) {
    play.send(object({ suspended: true, generation: 2 })).send(look).send(artifact(9)).send(drift);
    assert.deepEqual([play.state, play.running, play.waits, status(play)], ["suspended", "", [], { handledAt: "" }]);
  }
});

test("[RC7] an invalid unit is not acted on until it changes", () => {
  const play = settled().send(object({ invalid, generation: 2 })).send(look).send(artifact(2)).send(drift);
  const [timer] = play.record.timers;
  if (timer) play.send(timer.event);
  assert.deepEqual([play.state, play.running, conditions(play)?.[0]], ["stalled", "", "Ready=False InvalidObject"]);
});

test("[RC13] nothing is applied for a unit without our finalizer, however often it is hinted at", () => {
  const play = begun().send(object({ finalizer: false })).fail("ClusterUnreachable").send(artifact(1));
  assert.equal(play.running, "adopt");
  play.fail("ClusterUnreachable").wait();
  assert.equal(play.running, "adopt");
});

test("[RC14] [RT9] a deleted unit is removed, and what fails is tried again", () => {
  const play = settled().send(object({ deleting: true, generation: 2 }));
  assert.equal(play.running, "remove");
  play.fail("PruneFailed").send(look).send(drift).send(artifact(3));
  assert.deepEqual([play.running, play.waits], ["", [60_000]]);
  assert.equal(play.wait().running, "remove");
  play.answer();
  assert.deepEqual([play.state, play.record.snapshot.status], ["gone", "done"]);
});

test("[RC14] one that is gone without our doing leaves its objects", () => {
  for (const play of [settled(), applying(), settled().send(object({ deleting: true, generation: 2 }))])
    assert.deepEqual([play.send(gone).state, play.running], ["gone", ""]);
});

test("[RC21] one that comes while the old one leaves is applied anew, whatever was deleted", () => {
  const play = settled().send(object({ deleting: true, generation: 2 })).send(object({ uid: "u2" }));
  play.answer(found(1)).answer(built("k1", "a", "b"));
  assert.deepEqual([play.running, play.record.runs[0]?.input], ["apply", { scope: "all" }]);
  assert.equal(settled().send(object({ deleting: true, generation: 2 })).send(object({ uid: "u2", suspended: true })).state, "suspended");
  assert.equal(settled().send(object({ deleting: true, generation: 2 })).send(object({ uid: "u2", invalid })).state, "stalled");
});

test("[RC23] only a unit that has applied nothing goes on from the status", () => {
  const old = [entry("old")];
  assert.deepEqual(listed(finding().answer(found(1, old)).context.inventory), ["old"]);
  assert.deepEqual(listed(settled().send(look).answer(found(1, old)).context.inventory), ["a", "b"]);
});

test("[RC19] what takes long says what it does", () => {
  assert.deepEqual(conditions(applying()), ["Ready=Unknown Progressing", "Reconciling=True Progressing"]);
  assert.match(status(checking())?.conditions?.find(({ type }) => type === "Reconciling")?.message ?? "", /health checks for revision r1 with a timeout of 1m0s/i);
  assert.deepEqual(conditions(checking().fail("HealthCheckFailed")), ["Ready=False HealthCheckFailed", "Reconciling=True ProgressingWithRetry", "Healthy=False HealthCheckFailed"]);
});

test("[HL20] an expression that does not compile stalls the unit before anything is looked for", () => {
  const play = finding().fail("InvalidCELExpression");
  assert.deepEqual([play.state, play.running, conditions(play)], ["stalled", "", ["Ready=False InvalidCELExpression", "Stalled=True InvalidCELExpression"]]);
  assert.deepEqual([status(play)?.observedGeneration, play.said], [1, ["InvalidCELExpression"]]);
  assert.equal(play.send(object({ generation: 2 })).running, "findSource");
});

const infra = "kustomization/apps/infra";
const dependent = { dependsOn: [infra], health: false };
const awaiting = (changes?: Partial<KustomizationFacts>) => finding({ ...dependent, ...changes }).answer(found(1));
const notReady = (detail = "dependency 'apps/infra' is not ready") => ({ awaits: [{ id: infra }], fault: { code: "DependencyNotReady", subject: "Kustomization/apps/infra", detail } });
const cyclic = { awaits: [{ id: infra, any: true }], fault: { code: "DependencyCycle", subject: "Kustomization/apps/shop", detail: "dependency cycle: apps/infra → apps/shop → apps/infra" } };
const ready = { awaits: [] };
const dependency = { type: "dependency" };

test("[DP1] what a unit depends on is asked for once its artifact is known, and before anything is built", () => {
  assert.deepEqual([awaiting().running, building().running], ["checkDependencies", "build"]);
  assert.equal(awaiting().answer(ready).running, "build");
});

test("[DP2] until that is ready, Ready is False with Flux's reason and words; there is no Reconciling, and Ready is never Unknown", () => {
  assert.deepEqual([status(finding(dependent)), status(awaiting())].map((each) => each?.conditions), [undefined, undefined]);
  const play = awaiting().answer(notReady());
  assert.deepEqual([play.state, play.running, status(play)?.conditions], ["blocked", "", [
    { type: "Ready", status: "False", reason: "DependencyNotReady", message: "dependency 'apps/infra' is not ready" },
  ]]);
  assert.deepEqual([status(play)?.observedGeneration, status(play)?.lastAttemptedRevision], [undefined, undefined]);
  assert.equal(status(play.send(dependency))?.conditions, undefined, "it is looked at again, and nothing is said before the answer");
});

test("[DP3] a wait that lasts is told once, in Flux's words", () => {
  const play = awaiting().answer(notReady());
  assert.deepEqual(play.said, []);
  play.wait();
  const [notice] = play.emits.filter(({ type }) => type === "notice");
  assert.deepEqual([play.state, play.said, notice?.["severity"], notice?.["message"]], ["finding", ["DependencyNotReady"], "Normal", "Dependencies do not meet ready condition, retrying in 5m0s"]);
  assert.equal(play.nowMs, 300_000, "it looks by itself only when a change could have been missed");
  play.answer(found(1)).answer(notReady()).wait();
  assert.deepEqual([play.nowMs, play.said], [600_000, ["DependencyNotReady"]]);
});

test("[DP4] a change of what it waits for makes it look again, and go on", () => {
  const play = awaiting().answer(notReady()).send(dependency);
  assert.deepEqual([play.running, play.context.awaits], ["checkDependencies", [{ id: infra }]], "it is still waiting for it");
  play.answer(ready);
  assert.deepEqual([play.running, play.context.awaits], ["build", undefined]);
  play.answer(built("k1", "a")).answer(applied("a"));
  assert.deepEqual([play.state, play.context.fault, conditions(play)], ["settled", null, ["Ready=True ReconciliationSucceeded"]]);
});

test("[DP4] a change while it looks makes it look anew", () => {
  const play = awaiting();
  const [before] = play.record.runs;
  play.send(dependency);
  assert.deepEqual([play.running, play.record.runs.length, play.record.runs[0]?.attempt], ["checkDependencies", 1, (before?.attempt ?? 0) + 1]);
});

for (const { state, play: make } of [
  { state: "settled", play: () => awaiting().answer(ready).answer(built("k1", "a")).answer(applied("a")) },
  { state: "building", play: () => awaiting().answer(ready) },
  { state: "failing", play: () => awaiting().answer(ready).fail("BuildFailed") },
  { state: "suspended", play: () => awaiting().send(object({ ...dependent, suspended: true, generation: 2 })) },
])
  test(`[DP4] in ${state} it waits for nobody, and a word that comes late changes nothing`, () => {
    const play = make();
    const { record } = play.send(dependency);
    assert.deepEqual([play.state, record.runs.length], [state, state === "building" ? 1 : 0]);
  });

test("[DP5] a unit that is applied says so to whoever waits for it", () => {
  const moved = (play: Play<KustomizationContext>) => play.emits.filter(({ type }) => type === "unitReady").length;
  assert.deepEqual([moved(checking()), moved(settled())], [0, 1]);
});

test("[DP6] newer artifacts do not wait: what it waits for is asked anew", () => {
  const play = awaiting().answer(notReady()).send(artifact(2));
  assert.deepEqual([play.running, play.answer(found(2)).running], ["findSource", "checkDependencies"]);
});

test("[DP8] a unit in a cycle stalls, names it, is told of once, and goes on when it is broken", () => {
  const play = awaiting().answer(cyclic);
  assert.deepEqual([play.state, conditions(play), play.said], ["stalled", ["Ready=False DependencyCycle", "Stalled=True DependencyCycle"], ["DependencyCycle"]]);
  assert.match(status(play)?.conditions?.[0]?.message ?? "", /apps\/infra → apps\/shop → apps\/infra/);
  assert.deepEqual(play.context.awaits, [{ id: infra, any: true }]);
  play.send(dependency).answer(found(1)).answer(cyclic);
  assert.deepEqual([play.state, play.said], ["stalled", ["DependencyCycle"]]);
  assert.equal(play.send(dependency).answer(found(1)).answer(ready).running, "build");
  assert.equal(play.context.awaits, undefined);
});

test("[DP8] one that stalls for another reason is not moved by it", () => {
  assert.equal(awaiting().fail("AccessDenied").send(dependency).state, "stalled");
});

test("[DP13] a unit whose dependents are being deleted too goes after them", () => {
  const play = settled().send(object({ deleting: true, generation: 2 }));
  assert.deepEqual([play.running, play.answer({ late: false, awaits: [{ id: infra, any: true }] }).state], ["remove", "yielding"]);
  assert.deepEqual([status(play), play.context.awaits], [{ handledAt: "" }, [{ id: infra, any: true }]]);
  assert.equal(play.send(dependency).running, "remove");
  assert.equal(play.answer({ late: false }).state, "gone");
});

test("[SB16] another version of what it refers to makes a unit look again, whatever it does; the same one does not", () => {
  const play = settled({ inputs: "v1" });
  assert.equal(play.send(object({ inputs: "v1" })).state, "settled");
  assert.equal(play.send(object({ inputs: "v2" })).running, "findSource");
  assert.equal(play.answer(found(1)).answer(built("k2", "a", "b")).running, "apply");
  assert.equal(building({ inputs: "v1" }).fail("VariablesMissing").send(object({ inputs: "v2" })).running, "findSource", "what failed for want of it");
  assert.equal(settled({ inputs: "v1" }).send(object({})).running, "findSource", "also when it is watched no more");
  const busy = building({ inputs: "v1" }).send(object({ inputs: "v2" }));
  assert.deepEqual([busy.running, busy.context.stale], ["build", true], "what is under way ends first");
  assert.equal(settled({ inputs: "v1" }).send(object({ inputs: "v2", suspended: true })).running, "");
});
