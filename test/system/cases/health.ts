/** A unit that waits for its objects, on pods that come up and pods that do not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configMap, deployment, file } from "../objects.ts";
import type { System } from "../system.ts";
import { conditionOf } from "../tenant.ts";

export function healthCases(system: System): void {
  test("[SY30] with wait, a unit is Ready once its pods are", async () => {
    const t = await system.tenant();
    await t.commit({ "shop/web.yaml": file(deployment("web", "example.com/web:1", { replicas: 2 })) });
    await t.source();
    await t.unit("shop", { wait: true, timeout: "1m" });
    const unit = await t.ready("Kustomization", "shop");
    assert.deepEqual(conditionOf(unit, "Healthy")?.status, "True");
    const { status } = (await t.get("Deployment", "web")) as { status?: { availableReplicas?: number } };
    assert.equal(status?.availableReplicas, 2);
    // it was never Ready before
    const early = system.watched.Kustomization.history(t.namespace, "shop").filter((seen) => conditionOf(seen, "Ready")?.status === "True");
    for (const seen of early) assert.equal(conditionOf(seen, "Healthy")?.status, "True");
  });

  test("[SY31] a workload that fails is named; the next commit heals it without waiting for the timeout", async () => {
    const t = await system.tenant();
    const web = (image: string, more: Record<string, unknown> = {}) => ({ "shop/web.yaml": file(deployment("web", image, more), configMap("beside", {})) });
    await t.commit(web("example.com/web:1"));
    await t.source();
    await t.unit("shop", { wait: true, timeout: "10m", retryInterval: "10m" });
    await t.ready("Kustomization", "shop");
    await t.push(web("example.com/web:missing", { progressDeadlineSeconds: 1 }));
    const unit = await t.failing("Kustomization", "shop", "HealthCheckFailed");
    assert.match(conditionOf(unit, "Ready")?.message ?? "", new RegExp(`Deployment/${t.namespace}/web status: 'Failed'`));
    assert.equal(conditionOf(unit, "Healthy")?.status, "False");
    assert.equal(conditionOf(unit, "Reconciling")?.reason, "ProgressingWithRetry");
    await t.untilTold("Kustomization", "shop", "Warning", "HealthCheckFailed", /Deployment/);
    assert.ok(await t.find("ConfigMap", "beside"));
    const healed = await t.push(web("example.com/web:2"));
    await t.ready("Kustomization", "shop", healed);
  });

  test("[SY32] a commit that arrives during the wait is not kept waiting", async () => {
    const t = await system.tenant();
    const web = (image: string) => ({ "shop/web.yaml": file(deployment("web", image)) });
    await t.commit(web("example.com/web:missing"));
    await t.source();
    await t.unit("shop", { wait: true, timeout: "10m", retryInterval: "10m" });
    await t.until("Kustomization", "shop", "waiting for health", (unit) => /Running health checks/.test(conditionOf(unit, "Reconciling")?.message ?? ""));
    const sha = await t.push(web("example.com/web:1"));
    await t.ready("Kustomization", "shop", sha);
  });

  test("[SY33] spec.healthChecks waits for the named objects, other people's too", async () => {
    const t = await system.tenant();
    await t.commit({ "shop/a.yaml": file(configMap("a", {})) });
    await t.source();
    const check = { apiVersion: "apps/v1", kind: "Deployment", name: "theirs", namespace: t.namespace };
    await t.unit("shop", { healthChecks: [check], timeout: "10m" });
    await t.until("Kustomization", "shop", "waiting for health", (unit) => /Running health checks/.test(conditionOf(unit, "Reconciling")?.message ?? ""));
    const { spec } = deployment("theirs");
    await t.create("Deployment", "theirs", { spec });
    await t.ready("Kustomization", "shop");
  });
}
