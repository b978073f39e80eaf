import assert from "node:assert/strict";
import test from "node:test";
import { stateOf } from "#machines/rules/release-state.ts";
import type { ReleaseFacts } from "#protocol/messages/object.ts";
import { Bed, facts, nothingKnown } from "./bed.ts";

function begun(change: Partial<ReleaseFacts> = {}, prepare: (bed: Bed) => void = () => {}): Bed {
  const bed = new Bed();
  prepare(bed);
  bed.now = { ...facts, ...change };
  bed.send({ type: "object", facts: bed.now });
  return bed.run();
}

const ready = (bed: Bed) => bed.condition("Ready");
const reasons = (bed: Bed) => bed.notices.map(({ reason }) => reason);
const newChart = (bed: Bed, chartVersion = "2.0.0") => {
  bed.composed = { ...bed.composed, chartVersion };
  bed.send({ type: "artifact", revision: chartVersion, digest: chartVersion });
  return bed.run();
};

test("[HR1] a release that is not there is installed, and says so as Flux does", () => {
  const bed = begun();
  assert.equal(bed.state, "settled");
  assert.equal(bed.revisions, "v1 deployed");
  const message = "Helm install succeeded for release apps/shop.v1 with chart shop@1.0.0";
  assert.deepEqual(ready(bed), { type: "Ready", status: "True", reason: "InstallSucceeded", message });
  assert.deepEqual(bed.condition("Released"), { type: "Released", status: "True", reason: "InstallSucceeded", message });
  assert.deepEqual(reasons(bed), ["InstallSucceeded"]);
  const { history, lastAttemptedRevision, lastAttemptedConfigDigest, lastAttemptedReleaseAction, storageNamespace, failures } = bed.status?.observed ?? {};
  assert.deepEqual({ lastAttemptedRevision, lastAttemptedConfigDigest, lastAttemptedReleaseAction, storageNamespace, failures },
    { lastAttemptedRevision: "1.0.0", lastAttemptedConfigDigest: "sha256:v1", lastAttemptedReleaseAction: "install", storageNamespace: "apps", failures: null });
  assert.deepEqual((history as { version: number; status: string; action: string; apiVersion: string }[]).map(({ version, status, action, apiVersion }) => ({ version, status, action, apiVersion })),
    [{ version: 1, status: "deployed", action: "install", apiVersion: "v2" }]);
});

test("[HR1] what is in sync is looked at and left", () => {
  const bed = begun();
  const notices = bed.notices.length;
  bed.tick();
  assert.equal(bed.acts.length, 1);
  assert.equal(bed.notices.length, notices);
  assert.equal(bed.state, "settled");
});

const changes: { what: string; change(bed: Bed): void }[] = [
  { what: "another version of the chart", change: (bed) => void newChart(bed) },
  { what: "other values", change(bed) { bed.composed = { ...bed.composed, configDigest: "sha256:v2" }; bed.change({}); bed.run(); } },
  { what: "other post-renderers", change(bed) { bed.composed = { ...bed.composed, postRenderersDigest: "sha256:p" }; bed.change({}); bed.run(); } },
  { what: "other metadata", change(bed) { bed.composed = { ...bed.composed, commonMetadataDigest: "sha256:m" }; bed.change({}); bed.run(); } },
];
for (const { what, change } of changes)
  test(`[HR1] ${what}: upgraded once`, () => {
    const bed = begun();
    change(bed);
    assert.equal(bed.revisions, "v1 superseded, v2 deployed");
    assert.equal(ready(bed)?.reason, "UpgradeSucceeded");
    assert.deepEqual(bed.context.history.map(({ version, status, action }) => `${version} ${status} ${action}`), ["2 deployed upgrade", "1 superseded install"]);
    bed.tick();
    assert.equal(bed.acts.length, 2);
  });

test("[HR2] an install that fails is not tried again without retries: Stalled, until something changes", () => {
  const bed = begun({}, (it) => { it.broken = () => true; });
  assert.equal(bed.state, "stalled");
  assert.equal(bed.revisions, "v1 failed");
  assert.deepEqual(bed.condition("Stalled"), { type: "Stalled", status: "True", reason: "RetriesExceeded", message: "Failed to install after 1 attempt(s)" });
  assert.equal(ready(bed)?.reason, "InstallFailed");
  assert.match(ready(bed)?.message ?? "", /^Helm install failed for release apps\/shop with chart shop@1\.0\.0: timeout waiting for/);
  assert.match(bed.notices[0]?.message ?? "", /Last Helm logs:\n\nwait for resources$/);
  assert.equal(bed.tick().state, "stalled");
  bed.broken = () => false;
  newChart(bed);
  assert.equal(bed.revisions, "v1 superseded, v2 deployed");
  assert.equal(ready(bed)?.status, "True");
});

test("[HR2] an install with retries is uninstalled and tried again, the last time not", () => {
  const bed = begun({ install: { ...facts.install, retries: 1 } }, (it) => { it.broken = () => true; });
  assert.deepEqual(bed.acts.map(({ action }) => action), ["install", "uninstall"]);
  assert.equal(bed.state, "retrying");
  assert.equal(bed.condition("Reconciling")?.reason, "ProgressingWithRetry");
  bed.tick();
  assert.deepEqual(bed.acts.map(({ action }) => action), ["install", "uninstall", "install"]);
  assert.equal(bed.condition("Stalled")?.message, "Failed to install after 2 attempt(s)");
});

test("[HR2] an upgrade with retries is rolled back and tried again; the last failure is rolled back too, and stalls at once", () => {
  const bed = begun({ upgrade: { ...facts.upgrade, retries: 1, remediateLast: true } });
  bed.broken = ({ action }) => action === "upgrade";
  newChart(bed);
  assert.equal(bed.revisions, "v1 superseded, v2 failed, v3 deployed");
  assert.deepEqual(ready(bed), {
    type: "Ready", status: "False", reason: "RollbackSucceeded", message: "Helm rollback to previous release apps/shop.v1 with chart shop@1.0.0 succeeded",
  });
  assert.equal(bed.condition("Remediated")?.status, "True");
  bed.tick();
  assert.deepEqual(bed.acts.map(({ action, version }) => `${action} ${version}`), ["install 1", "upgrade 2", "rollback 3", "upgrade 4", "rollback 5"]);
  assert.equal(bed.state, "stalled");
  assert.equal(bed.condition("Stalled")?.message, "Failed to upgrade after 2 attempt(s)");
});

test("[HR2] after a rollback, what is wanted again is in sync without another revision", () => {
  const bed = begun({ upgrade: { ...facts.upgrade, retries: 1, remediateLast: true } });
  bed.broken = ({ action }) => action === "upgrade";
  newChart(bed);
  newChart(bed, "1.0.0");
  assert.equal(bed.acts.length, 3);
  assert.deepEqual(ready(bed), { type: "Ready", status: "True", reason: "UpgradeSucceeded", message: "Helm upgrade succeeded for release apps/shop.v3 with chart shop@1.0.0" });
  assert.equal(bed.condition("Remediated"), undefined);
});

test("[HR2] a rollback whose target is not there any more does not take place", () => {
  const bed = begun({ upgrade: { ...facts.upgrade, retries: 1 } });
  bed.broken = ({ action }) => action === "upgrade";
  bed.storage = bed.storage.map((each) => ({ ...each, digest: "sha256:other" })); // by somebody else: what is known of it counts no more
  newChart(bed);
  assert.equal(bed.condition("Stalled")?.reason, "MissingRollbackTarget");
});

test("[HR2] RetryOnFailure: no remediation, the same again after its interval, without end", () => {
  const bed = begun({ install: { ...facts.install, retryMs: 60_000 }, upgrade: { ...facts.upgrade, retryMs: 60_000 } }, (it) => { it.broken = () => true; });
  assert.equal(bed.state, "retrying");
  assert.equal(bed.condition("Reconciling")?.message, "retrying after 1m0s");
  const atMs = bed.nowMs;
  bed.tick();
  assert.ok(bed.nowMs - atMs >= 60_000);
  bed.tick();
  assert.deepEqual(bed.acts.map(({ action, version }) => `${action} ${version}`), ["install 1", "upgrade 2", "upgrade 3"]);
  bed.broken = () => false;
  bed.tick();
  assert.equal(ready(bed)?.status, "True");
  assert.deepEqual(bed.context.counts, { failures: 0, installs: 0, upgrades: 0 });
});

test("[HR18] a revision whose uninstall failed half way is acted on like one that failed", () => {
  const bed = begun();
  const [latest] = bed.context.history;
  assert.ok(latest && bed.context.composed);
  const last = { ...latest, status: "uninstalling" as const };
  assert.equal(stateOf({ last, known: [] }, { composed: bed.context.composed, history: [latest], tests: { enabled: false, count: false } }).state, "Failed");
});

test("[HR2] what fails before anything is stored is tried again, and does not count", () => {
  const bed = begun({}, (it) => { it.refuses = { code: "BuildFailed", subject: "chart shop", detail: "parse error" }; });
  assert.equal(bed.state, "retrying");
  assert.equal(bed.context.counts.installs, 0);
  assert.equal(ready(bed)?.message, "Helm install failed for release apps/shop with chart shop@1.0.0: parse error");
  bed.refuses = undefined;
  bed.tick();
  assert.equal(bed.revisions, "v1 deployed");
  assert.equal(ready(bed)?.status, "True");
});

test("[HR3] tests are run after an install, and count", () => {
  const tests = { enabled: true, ignoreFailures: false };
  const good = begun({ test: tests }, (it) => { it.hooks = { smoke: { phase: "Succeeded" } }; });
  assert.equal(ready(good)?.reason, "TestSucceeded");
  assert.match(ready(good)?.message ?? "", /1 test hook completed successfully$/);
  const bad = begun({ test: tests, install: { ...facts.install, retries: 1 } }, (it) => { it.hooks = { smoke: { phase: "Failed" } }; });
  assert.deepEqual(bad.acts.map(({ action }) => action), ["install", "test", "uninstall"]);
  const ignored = begun({ test: { enabled: true, ignoreFailures: true }, install: { ...facts.install, ignoreTestFailures: true } }, (it) => { it.hooks = { smoke: { phase: "Failed" } }; });
  assert.equal(ready(ignored)?.reason, "InstallSucceeded");
  assert.equal(ignored.condition("TestSuccess")?.status, "False");
  assert.equal(ignored.state, "settled");
});

const left = { name: "shop", namespace: "apps", version: 1, chartName: "shop", chartVersion: "1.0.0", configDigest: "sha256:v1", digest: "sha256:1-deployed", firstDeployed: "t", lastDeployed: "t" };

test("[HR4] a pending revision that somebody else left is unlocked, and upgraded", () => {
  const bed = begun({}, (it) => { it.storage = [{ ...left, status: "pending-install" }]; });
  assert.deepEqual(bed.acts.map(({ action, version }) => `${action} ${version}`), ["unlock 1", "upgrade 2"]);
  assert.deepEqual(reasons(bed), ["PendingRelease", "UpgradeSucceeded"]);
});

test("[HR5] what Flux released is taken over without an upgrade", () => {
  const bed = begun({}, (it) => {
    it.storage = [{ ...left, status: "deployed" }];
    it.known = { ...nothingKnown, history: [{ ...left, apiVersion: "v2", status: "deployed", action: "install" }], storageNamespace: "apps", lastAction: "install", attempted: { generation: 1, revision: "1.0.0", revisionDigest: "", configDigest: "sha256:v1" } };
  });
  assert.equal(bed.acts.length, 0);
  assert.equal(ready(bed)?.status, "True");
});

test("[HR5] what the helm command installed just so is taken over without an upgrade; anything else is upgraded", () => {
  const same = begun({}, (it) => { it.storage = [{ ...left, status: "deployed" }]; });
  assert.equal(same.acts.length, 0);
  assert.deepEqual(same.context.history.map(({ version }) => version), [1]);
  assert.equal(ready(same)?.status, "True");
  const other = begun({}, (it) => { it.storage = [{ ...left, configDigest: "sha256:other", status: "deployed" }]; });
  assert.deepEqual(other.acts.map(({ action, version }) => `${action} ${version}`), ["upgrade 2"]);
});

test("[HR5] a release that another tool has changed is brought back", () => {
  const bed = begun();
  bed.storage = [{ ...left, status: "superseded" }, { ...left, version: 2, status: "deployed", digest: "sha256:other" }];
  bed.tick();
  assert.deepEqual(bed.acts.map(({ action, version }) => `${action} ${version}`), ["install 1", "upgrade 3"]);
});

const places: { what: string; change: Partial<ReleaseFacts> }[] = [
  { what: "name", change: { place: { ...facts.place, name: "store" } } },
  { what: "namespace", change: { place: { ...facts.place, namespace: "shops" } } },
  { what: "storage namespace", change: { place: { ...facts.place, storageNamespace: "releases" } } },
];
for (const { what, change } of places)
  test(`[HR6] another ${what}: the old release is uninstalled before there is a new one`, () => {
    const bed = begun();
    bed.change(change);
    bed.run();
    assert.deepEqual(bed.acts.map(({ action }) => action), ["install", "uninstall", "install"]);
    assert.equal(ready(bed)?.status, "True");
  });

test("[HR6] a chart of another name reinstalls, or is upgraded to in place", () => {
  const bed = begun();
  bed.composed = { ...bed.composed, chartName: "store" };
  bed.change({});
  assert.deepEqual(bed.run().acts.map(({ action }) => action), ["install", "uninstall", "install"]);
  const inPlace = begun({ upgrade: { ...facts.upgrade, reinstalls: false } });
  inPlace.composed = { ...inPlace.composed, chartName: "store" };
  inPlace.change({});
  assert.deepEqual(inPlace.run().acts.map(({ action }) => action), ["install", "upgrade"]);
});

test("[HR9] forced: one upgrade whatever the state, once; reset: failures count from zero", () => {
  const bed = begun();
  bed.send({ type: "object", facts: { ...bed.now, requestedAt: "t1", forceAt: "t1" } });
  bed.run();
  bed.tick();
  assert.deepEqual(bed.acts.map(({ action }) => action), ["install", "upgrade"]);
  assert.equal(bed.status?.observed?.["lastHandledForceAt"], "t1");

  const stuck = begun({}, (it) => { it.broken = () => true; });
  stuck.broken = () => false;
  stuck.send({ type: "object", facts: { ...stuck.now, requestedAt: "t1" } });
  assert.equal(stuck.run().state, "stalled");
  stuck.send({ type: "object", facts: { ...stuck.now, requestedAt: "t2", resetAt: "t2" } });
  assert.equal(ready(stuck.run())?.status, "True");
});

test("[HR10] drift is told once, and put back only where the object asks for that", () => {
  const differences = [{ id: "apps_shop_apps_Deployment", fields: [{ pointer: "/spec/replicas", wanted: "1", is: "2" }], by: "kubectl" }];
  const warns = begun({ drift: "warn" });
  assert.equal(warns.condition("Drifted")?.status, "False");
  warns.differences = differences;
  warns.send({ type: "drift" });
  while (warns.state === "contested") warns.tick();
  assert.equal(warns.condition("Drifted")?.status, "True");
  assert.match(warns.condition("Drifted")?.message ?? "", /Deployment\/apps\/shop changed \(0 additions, 1 changes, 0 removals\)/);
  assert.equal(ready(warns)?.status, "True");
  warns.tick();
  assert.equal(reasons(warns).filter((reason) => reason === "DriftDetected").length, 1);

  const enabled = begun({ drift: "enabled" });
  enabled.differences = differences;
  enabled.send({ type: "drift" });
  while (enabled.state === "contested") enabled.tick();
  assert.deepEqual(reasons(enabled), ["InstallSucceeded", "DriftDetected", "DriftCorrected"]);
  assert.equal(enabled.condition("Drifted")?.status, "False");
  assert.equal(enabled.acts.length, 1);
});

test("[HR11] suspended while an action is under way: that one is seen through, and nothing more is done", () => {
  const bed = new Bed();
  bed.send({ type: "object", facts: bed.now });
  while (bed.state !== "acting") bed.step();
  bed.change({ suspended: true });
  bed.run();
  assert.equal(bed.state, "suspended");
  assert.equal(bed.revisions, "v1 deployed");
});

test("[HR11] deleted: uninstalled, also in the middle of an action; suspended, it is let go", () => {
  const bed = new Bed();
  bed.send({ type: "object", facts: bed.now });
  while (bed.state !== "acting") bed.step();
  bed.change({ deleting: true });
  bed.run();
  assert.equal(bed.record.snapshot.status, "done");
  assert.equal(bed.revisions, "");
});

/** What may happen to a release, to its end. */
const stories: { what: string; tell(bed: Bed): void; ends: string }[] = [
  { what: "an install", tell: (bed) => void bed.run(), ends: "v1 deployed" },
  { what: "an upgrade", tell(bed) { bed.run(); newChart(bed); }, ends: "v1 superseded, v2 deployed" },
  { what: "a failed install that is uninstalled and tried again", ends: "v1 uninstalled, v2 deployed",
    tell(bed) { bed.broken = ({ version }) => version === 1; bed.now = { ...bed.now, install: { ...facts.install, retries: 1 } }; bed.send({ type: "object", facts: { ...bed.now, generation: 2 } }); bed.run().tick(); } },
  { what: "a failed upgrade that is rolled back", ends: "v1 superseded, v2 failed, v3 deployed",
    tell(bed) { bed.now = { ...bed.now, generation: 2, upgrade: { ...facts.upgrade, retries: 1 } }; bed.send({ type: "object", facts: bed.now }); bed.run(); bed.broken = ({ action }) => action === "upgrade"; newChart(bed); } },
  { what: "an unlock and an upgrade", ends: "v1 superseded, v2 deployed", tell(bed) { bed.storage = [{ ...left, status: "pending-upgrade" }]; bed.run(); } },
  { what: "a release that moves", ends: "v1 uninstalled, v2 deployed",
    tell(bed) { bed.run(); bed.change({ place: { ...facts.place, name: "store" } }); bed.run(); } },
];
for (const { what, tell, ends } of stories)
  test(`[HR12] ${what}: the same revisions wherever the owner crashes, one for each decision, none pending`, () => {
    for (let crashAfter = 0; crashAfter <= 12; crashAfter++) {
      const bed = new Bed();
      if (crashAfter > 0) bed.crashAfter = crashAfter;
      bed.send({ type: "object", facts: bed.now });
      tell(bed);
      assert.equal(bed.revisions, ends, `crashed after write ${crashAfter}`);
      const made = bed.acts.filter(({ action }) => action === "install" || action === "upgrade" || action === "rollback");
      assert.equal(new Set(made.map(({ version }) => version)).size, made.length, `crashed after write ${crashAfter}`);
    }
  });

test("[RL45] what storage holds is remembered while it is just what the history says, and not while an action writes there", () => {
  const bed = begun();
  const known = () => bed.context.storage;
  assert.deepEqual(known(), { ...bed.seen, settled: true });
  bed.composed = { ...bed.composed, configDigest: "sha256:v2" };
  bed.send({ type: "look" });
  while (bed.state !== "acting") bed.step();
  assert.equal(known(), undefined);
  bed.run();
  assert.deepEqual(known(), { ...bed.seen, settled: true });
  bed.storage = bed.storage.map((each) => (each.status === "deployed" ? { ...each, status: "failed", digest: "theirs" } : each));
  bed.broken = () => true;
  bed.send({ type: "look" });
  bed.run();
  assert.deepEqual([bed.revisions, known()?.settled], ["v1 superseded, v2 failed, v3 failed", false]);
});

test("[RL44] what was compared and stands is known by its fields, and what was not listed is listed", () => {
  const bed = begun({ drift: "enabled" });
  bed.standing = [{ id: "apps_a__ConfigMap", v: "v1", uid: "u1", owned: "o1" }, { id: "apps_b__ConfigMap", v: "v1", uid: "", owned: "" }];
  bed.send({ type: "drift" });
  bed.run().tick();
  assert.deepEqual(bed.context.inventory, [{ id: "apps_a__ConfigMap", v: "v1", uid: "u1", owned: "o1", digest: "" }]);
  bed.standing = [{ id: "apps_a__ConfigMap", v: "v1", uid: "", owned: "" }];
  bed.send({ type: "drift" });
  bed.run().tick();
  assert.deepEqual(bed.context.inventory.map(({ id, uid }) => [id, uid]), [["apps_a__ConfigMap", ""]]);
});

const place = facts.place;
const deleted = (...names: string[]) => ({ place, objects: names.map((name) => ({ id: `apps_${name}__ConfigMap`, v: "v1", ...(name.startsWith("hook") && { hook: true as const }) })) });
const suspects = (bed: Bed) => bed.context.suspects?.flatMap(({ objects }) => objects.map(({ id }) => id.split("_")[1]));
const upgrading = (prepare: (bed: Bed) => void = () => {}): Bed => {
  const bed = begun();
  prepare(bed);
  bed.composed = { ...bed.composed, chartVersion: "2.0.0" };
  bed.send({ type: "artifact", revision: "2.0.0", digest: "2.0.0" });
  while (bed.state !== "acting") bed.step();
  return bed;
};

test("[FN16] what is deleted after a crash is looked for once more when nothing can come late any more", () => {
  const bed = upgrading((each) => { each.gone = deleted("old"); });
  bed.send({ type: "recovered" });
  bed.run();
  assert.deepEqual([bed.state, bed.context.wary, suspects(bed), bed.performed.includes("sweep")], ["settled", "acting", ["old"], false]);
  bed.send({ type: "calm" });
  assert.equal(bed.state, "sweeping");
  bed.run();
  assert.deepEqual([bed.state, bed.context.wary, bed.context.suspects, bed.performed.at(-1)], ["settled", undefined, undefined, "sweep"]);
});

test("[FN16] an action that was cut short, by whatever it was, does the same; one that was not does not", () => {
  const bed = upgrading((each) => { each.gone = deleted("old"); each.resumed = true; });
  bed.run();
  assert.deepEqual([bed.context.wary, suspects(bed)], ["acting", ["old"]]);
  const quiet = upgrading((each) => { each.gone = deleted("old"); });
  quiet.run();
  assert.deepEqual([quiet.context.wary, quiet.context.suspects], [undefined, undefined]);
});

test("[FN18] a hook that an action left until it is calm goes, also when it is calm before that action has ended", () => {
  const bed = upgrading((each) => { each.gone = deleted("old", "hook"); });
  bed.send({ type: "recovered" });
  bed.send({ type: "calm" });
  bed.run();
  assert.deepEqual([bed.state, bed.context.wary, bed.context.suspects, bed.performed.at(-1)], ["settled", undefined, undefined, "sweep"]);
  const leaving = begun();
  leaving.gone = deleted("hook");
  leaving.change({ deleting: true });
  leaving.send({ type: "recovered" });
  leaving.send({ type: "calm" });
  leaving.step();
  leaving.gone = undefined; // it went meanwhile
  leaving.run();
  assert.deepEqual([leaving.state, leaving.performed.filter((each) => each === "remove").length], ["gone", 2]);
});

test("[FN17] a release that is deleted after a crash of an action stays until nothing can come late any more", () => {
  const bed = upgrading();
  bed.send({ type: "recovered" });
  bed.gone = deleted("map");
  bed.change({ deleting: true });
  bed.run();
  assert.deepEqual([bed.state, suspects(bed)], ["lingering", ["map"]]);
  bed.send({ type: "calm" });
  bed.run();
  assert.equal(bed.state, "gone");
});

test("[FN17] a crash while it is only taken away makes it wait for hooks alone", () => {
  const leaving = (gone: ReturnType<typeof deleted>) => {
    const bed = begun();
    bed.gone = gone;
    bed.change({ deleting: true });
    bed.send({ type: "recovered" });
    return bed.run();
  };
  assert.equal(leaving(deleted("map")).state, "gone");
  const bed = leaving(deleted("map", "hook"));
  assert.deepEqual([bed.state, suspects(bed)], ["lingering", ["hook"]]);
});
