import assert from "node:assert/strict";
import test from "node:test";
import type { ReleaseFacts } from "#protocol/messages/object.ts";
import { factsOf } from "./facts.ts";
import { featureGates } from "./feature-gates.ts";

const metadata = { name: "shop", namespace: "apps", uid: "u1", resourceVersion: "1", generation: 1 };
const factsWith = (spec: object, more: object = {}): ReleaseFacts =>
  factsOf("helmrelease", { apiVersion: "helm.toolkit.fluxcd.io/v2", kind: "HelmRelease", metadata: { ...metadata, ...more }, spec: { interval: "10m", chartRef: { kind: "OCIRepository", name: "shop" }, ...spec } }) as ReleaseFacts;

test("[HR14] the chart is read from what is referred to, or from what is made for spec.chart, in its source's namespace", () => {
  assert.equal(factsWith({}).source, "ocirepository/apps/shop");
  const chart = { spec: { chart: "shop", sourceRef: { kind: "HelmRepository", name: "charts", namespace: "sources" } } };
  assert.equal(factsWith({ chartRef: undefined, chart }).source, "helmchart/sources/apps-shop");
});

test("[HR2] what a failure leads to is Flux's where the object says nothing, and what it says else", () => {
  const { install, upgrade } = factsWith({});
  assert.deepEqual(install, { retries: 0, ignoreTestFailures: false, remediateLast: false });
  assert.deepEqual(upgrade, { retries: 0, ignoreTestFailures: false, remediateLast: false, strategy: "rollback", reinstalls: true });
  const said = factsWith({
    test: { ignoreFailures: true }, install: { strategy: { name: "RetryOnFailure" } },
    upgrade: { remediation: { retries: 2, strategy: "uninstall", ignoreTestFailures: false }, chartNameChangeStrategy: "InPlaceUpdate" },
  });
  assert.deepEqual(said.install, { retries: 0, ignoreTestFailures: true, remediateLast: false, retryMs: 300_000 });
  assert.deepEqual(said.upgrade, { retries: 2, ignoreTestFailures: false, remediateLast: true, strategy: "uninstall", reinstalls: false });
});

test("[HR17] with the gate an action that names no strategy is tried again, and one that names it has it", () => {
  const object = { apiVersion: "helm.toolkit.fluxcd.io/v2", kind: "HelmRelease", metadata, spec: { interval: "10m", chartRef: { kind: "OCIRepository", name: "shop" }, upgrade: { strategy: { name: "RemediateOnFailure" }, remediation: { retries: 2 } } } };
  const { install, upgrade } = factsOf("helmrelease", object, {}, { ...featureGates, DefaultToRetryOnFailure: true }) as ReleaseFacts;
  assert.deepEqual([install.retryMs, upgrade.retryMs, upgrade.retries], [300_000, undefined, 2]);
});

test("[HR1] each action has its own timeout, else the object's, else five minutes", () => {
  assert.equal(factsWith({}).timeouts.install, 300_000);
  const { timeouts } = factsWith({ timeout: "1m", upgrade: { timeout: "2m" } });
  assert.deepEqual([timeouts.install, timeouts.upgrade, timeouts.test], [60_000, 120_000, 60_000]);
});

test("[HR15] dependsOn names releases, and with a kind Kustomizations or any object", () => {
  const { dependsOn } = factsWith({ dependsOn: [{ name: "first" }, { apiVersion: "kustomize.toolkit.fluxcd.io/v1", kind: "Kustomization", name: "infra", namespace: "flux-system" }] });
  assert.deepEqual(dependsOn, ["helmrelease/apps/first", "kustomization/flux-system/infra"]);
});

test("[HR18] files of values name their sources, each once; Secrets and ConfigMaps are told with the object", () => {
  const fleet = { kind: "GitRepository", name: "fleet", valuesKey: "a.yaml" };
  const { madeFrom, invalid } = factsWith({ valuesFrom: [fleet, { ...fleet, valuesKey: "b/c.yaml" }, { kind: "Secret", name: "s" }, { ...fleet, kind: "Bucket", namespace: "shared" }] });
  assert.deepEqual([madeFrom, invalid], [["gitrepository/apps/fleet", "bucket/shared/fleet"], undefined]);
  assert.equal(factsWith({ valuesFrom: [{ kind: "ConfigMap", name: "s" }] }).madeFrom, undefined);
});

for (const [kind, valuesKey, says] of [
  ["GitRepository", undefined, "needed with a source"], ["GitRepository", "/a.yaml", "absolute path"], ["GitRepository", "a/../../b.yaml", "leads out"], ["Secret", "a/b.yaml", "no key of a Secret"],
] as const)
  test(`[HR18] valuesKey ${valuesKey} of a ${kind} makes the object invalid`, () => {
    const { invalid } = factsWith({ valuesFrom: [{ kind: "ConfigMap", name: "s" }, { kind, name: "fleet", valuesKey }] });
    assert.equal(invalid?.code, "InvalidObject");
    assert.match(invalid?.detail ?? "", new RegExp(`^spec\\.valuesFrom\\[1\\]\\.valuesKey: .*${says}`));
  });

for (const more of [{ name: "a b" }, { name: "*" }, { name: "a/b" }, { namespace: "*" }, { namespace: "a.b" }])
  test(`[HR18] a source that no object can be makes the object invalid: ${JSON.stringify(more)}`, () => {
    const { invalid } = factsWith({ valuesFrom: [{ kind: "GitRepository", name: "fleet", valuesKey: "a.yaml", ...more }] });
    assert.match(invalid?.detail ?? "", /^spec\.valuesFrom\[0\]: no source can have this name or namespace$/);
  });
