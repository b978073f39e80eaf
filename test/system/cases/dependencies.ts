/** Units that wait for each other, and for objects of other kinds. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../../../deploy/local/eventually.ts";
import { configMap, deployment, file } from "../objects.ts";
import type { System } from "../system.ts";
import { conditionOf, isReady, type Tenant } from "../tenant.ts";

const on = (...names: string[]) => ({ dependsOn: names.map((name) => ({ name })) });
const blocked = (t: Tenant, name: string, message: RegExp) => t.until("Kustomization", name, `waits: ${message}`, (object) => {
  const ready = conditionOf(object, "Ready");
  return ready?.status === "False" && ready.reason === "DependencyNotReady" && message.test(ready.message ?? "");
});

export function dependencyCases(system: System): void {
  test("[DP1] [DP2] [DP4] a unit is applied when what it depends on is ready at the same revision, and says meanwhile why not", async () => {
    const t = await system.tenant();
    await t.commit({ "base/a.yaml": "not: [valid", "app/b.yaml": file(configMap("b", { n: "1" })), "top/c.yaml": file(configMap("c", { n: "1" })) });
    await t.source();
    await Promise.all([t.unit("top", on("app")), t.unit("app", on("base")), t.unit("base")]);
    const app = await blocked(t, "app", new RegExp(`^dependency '${t.namespace}/base' is not ready$`));
    assert.deepEqual([conditionOf(app, "Reconciling"), app.status?.lastAttemptedRevision, app.status?.observedGeneration], [undefined, undefined, -1]);
    await blocked(t, "top", new RegExp(`^dependency '${t.namespace}/app' is not ready$`));
    assert.equal(await t.find("ConfigMap", "b"), undefined);
    const first = await t.push({ "base/a.yaml": file(configMap("a", { n: "1" })) });
    await t.ready("Kustomization", "top", first);
    // All three change at once: each goes when the one before has.
    const audit = await system.audit();
    const second = await t.push({ "base/a.yaml": file(configMap("a", { n: "2" })), "app/b.yaml": file(configMap("b", { n: "2" })), "top/c.yaml": file(configMap("c", { n: "2" })) });
    await t.ready("Kustomization", "top", second);
    const writes = (await audit.requests()).filter(({ namespace, resource, verb, dryRun }) => namespace === t.namespace && resource === "configmaps" && verb === "patch" && !dryRun);
    assert.deepEqual(writes.map(({ name }) => name), ["a", "b", "c"]);
  });

  test("[DP1] [DP4] what a unit depends on may not exist yet", async () => {
    const t = await system.tenant();
    await t.commit({ "base/a.yaml": file(configMap("a", {})), "app/b.yaml": file(configMap("b", {})) });
    await t.source();
    await t.unit("app", on("base"));
    await blocked(t, "app", new RegExp(`^dependency '${t.namespace}/base' not found: kustomizations.kustomize.toolkit.fluxcd.io "base" not found$`));
    await t.unit("base");
    await t.ready("Kustomization", "app");
  });

  test("[DP3] a wait that lasts is told by an event", async () => {
    const t = await system.tenant();
    await t.commit({ "app/b.yaml": file(configMap("b", {})) });
    await t.source();
    await t.unit("app", on("base"));
    await t.untilTold("Kustomization", "app", "Normal", "DependencyNotReady", /^Dependencies do not meet ready condition, retrying in 5m0s$/);
  });

  test("[DP7] [DP11] an expression decides instead, on any change of the object; one that does not compile stalls the unit", async () => {
    const t = await system.tenant();
    await t.commit({ "base/a.yaml": file(configMap("a", {})), "app/b.yaml": file(configMap("b", {})), "odd/c.yaml": file(configMap("c", {})) });
    await t.source();
    await t.unit("base");
    await t.ready("Kustomization", "base");
    await t.unit("app", { dependsOn: [{ name: "base", readyExpr: "has(dep.metadata.labels) && dep.metadata.labels.open == 'yes' && self.metadata.name == 'app'" }] });
    await t.unit("odd", { dependsOn: [{ name: "base", readyExpr: "dep.status.(" }] });
    await blocked(t, "app", /is not ready according to readyExpr eval$/);
    const odd = await t.failing("Kustomization", "odd", "InvalidCELExpression");
    assert.equal(conditionOf(odd, "Stalled")?.status, "True");
    await t.edit("Kustomization", "base", { metadata: { labels: { open: "yes" } } });
    await t.ready("Kustomization", "app");
  });

  test("[DP9] [DP10] an object of another kind is waited for: created, and then available", async () => {
    const t = await system.tenant();
    await t.commit({ "app/b.yaml": file(configMap("b", {})) });
    await t.source();
    await t.unit("app", { dependsOn: [{ apiVersion: "apps/v1", kind: "Deployment", name: "db" }] });
    await blocked(t, "app", new RegExp(`^dependency '${t.namespace}/db' not found: deployments.apps "db" not found$`));
    const { spec } = deployment("db", "example.com/db:1", { replicas: 1 }) as unknown as { spec: object };
    await t.create("Deployment", "db", { spec: { ...spec, paused: true } });
    await blocked(t, "app", new RegExp(`^dependency '${t.namespace}/db' is not ready: `));
    await t.edit("Deployment", "db", { spec: { replicas: 0, paused: false } });
    await t.ready("Kustomization", "app");
  });

  test("[DP9] a kind that nobody serves yet is waited for as well; one without its version is an error in the object", async () => {
    const t = await system.tenant();
    await t.commit({ "app/b.yaml": file(configMap("b", {})), "odd/c.yaml": file(configMap("c", {})) });
    await t.source();
    await t.unit("app", { dependsOn: [{ apiVersion: "none.example.com/v1", kind: "Nothing", name: "x" }] });
    await t.unit("odd", { dependsOn: [{ kind: "Deployment", name: "x" }] });
    await blocked(t, "app", /not found/);
    const odd = await t.failing("Kustomization", "odd", "InvalidObject");
    assert.match(conditionOf(odd, "Ready")?.message ?? "", /spec\.dependsOn\[0\]\.apiVersion/);
  });

  test("[DP8] a cycle is named by all its members, nothing of it is applied, and it resolves when it is broken", async () => {
    const t = await system.tenant();
    const names = ["a", "b", "c"];
    await t.commit(Object.fromEntries(names.map((name) => [`${name}/x.yaml`, file(configMap(name, {}))])));
    await t.source();
    await Promise.all([t.unit("a", on("b")), t.unit("b", on("c")), t.unit("c", on("a"))]);
    const [a = "", b = "", c = ""] = names.map((name) => `${t.namespace}/${name}`);
    for (const name of names) {
      const unit = await t.failing("Kustomization", name, "DependencyCycle");
      assert.match(conditionOf(unit, "Ready")?.message ?? "", new RegExp(`dependency cycle: ${a} → ${b} → ${c} → ${a}`));
      assert.equal(conditionOf(unit, "Stalled")?.reason, "DependencyCycle");
      assert.equal(await t.find("ConfigMap", name), undefined);
    }
    await t.edit("Kustomization", "c", { spec: { dependsOn: null } });
    for (const name of names) assert.ok(isReady(await t.ready("Kustomization", name)));
  });

  test("[DP13] units that are deleted together go in reverse order where they ask for it", async () => {
    const t = await system.tenant();
    const slow = configMap("slow", {}, { finalizers: ["system.example.com/wait"] });
    await t.commit({ "base/a.yaml": file(configMap("a", {})), "app/b.yaml": file(slow) });
    await t.source();
    await t.unit("base");
    await t.edit("Kustomization", "base", { metadata: { annotations: { "flotilla.dev/deletion-order": "dependents-first" } } });
    await t.unit("app", { ...on("base"), deletionPolicy: "WaitForTermination" });
    await t.ready("Kustomization", "app");
    await Promise.all([t.remove("Kustomization", "base"), t.remove("Kustomization", "app")]);
    await eventually("the dependent's object deleted", async () => (await t.get("ConfigMap", "slow")).metadata.deletionTimestamp !== undefined);
    assert.ok(await t.find("ConfigMap", "a"));
    await t.edit("ConfigMap", "slow", { metadata: { finalizers: null } });
    await t.untilGone("Kustomization", "base");
    assert.deepEqual([await t.find("Kustomization", "app"), await t.find("ConfigMap", "a")], [undefined, undefined]);
  });
}
