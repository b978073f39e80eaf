/** The health of a kind that nobody here knows, as its user's expressions tell it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../../../deploy/local/eventually.ts";
import { configMap, file, object } from "../objects.ts";
import type { System } from "../system.ts";
import { conditionOf, type Tenant } from "../tenant.ts";

const group = "system.example.com";
const gadget = (name: string) => ({ apiVersion: `${group}/v1`, kind: "Gadget", metadata: { name }, spec: { size: 1 } });

let defined: Promise<unknown> | undefined;

/** A kind whose status says nothing that kstatus understands. */
function define(system: System): Promise<unknown> {
  const free = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  defined ??= system.kube.create(object("CustomResourceDefinition", `gadgets.${group}`, {
    spec: {
      group, scope: "Namespaced", names: { plural: "gadgets", singular: "gadget", kind: "Gadget", listKind: "GadgetList" },
      versions: [{ name: "v1", served: true, storage: true, subresources: { status: {} }, schema: { openAPIV3Schema: { type: "object", properties: { spec: free, status: free } } } }],
    },
  }));
  return defined;
}

/** As its controller does. */
const report = (t: Tenant, name: string, status: object) =>
  eventually(`gadget ${name}`, () => t.system.kube.merge(`/apis/${group}/v1/namespaces/${t.namespace}/gadgets/${name}/status`, { status }).catch(() => undefined));

const following = (t: Tenant) => t.until("Kustomization", "shop", "waiting for health", (unit) => /Running health checks/.test(conditionOf(unit, "Reconciling")?.message ?? ""));

const expressions = { apiVersion: `${group}/v1`, kind: "Gadget", inProgress: "status.phase == 'Starting'", failed: "status.phase == 'Broken'", current: "status.phase == 'Running'" };
const unit = { wait: true, timeout: "10m", retryInterval: "10m", healthCheckExprs: [expressions] };

export function healthExpressionCases(system: System): void {
  test("[HL19] a unit is Ready when its expressions say so, by the event of the change", async () => {
    const t = await system.tenant();
    await define(system);
    await t.commit({ "shop/a.yaml": file(gadget("one"), gadget("two")) });
    await t.source();
    await t.unit("shop", unit);
    await following(t);
    await report(t, "one", { phase: "Running" });
    await report(t, "two", { phase: "Starting" });
    assert.notEqual(conditionOf(t.seen("Kustomization", "shop") ?? assert.fail(), "Ready")?.status, "True");
    await report(t, "two", { phase: "Running" });
    const healthy = await t.ready("Kustomization", "shop");
    assert.match(conditionOf(healthy, "Healthy")?.message ?? "", /^Health check passed in \d/);
  });

  test("[HL14] one that the expressions call failed is named, and its recovery heals the unit at the next commit", async () => {
    const t = await system.tenant();
    await define(system);
    await t.commit({ "shop/a.yaml": file(gadget("one"), configMap("beside", {})) });
    await t.source();
    await t.unit("shop", unit);
    await following(t);
    await report(t, "one", { phase: "Broken" });
    const failed = await t.failing("Kustomization", "shop", "HealthCheckFailed");
    assert.match(conditionOf(failed, "Ready")?.message ?? "", new RegExp(`failed early due to stalled resources: \\[Gadget/${t.namespace}/one status: 'Failed'\\]`));
    await report(t, "one", { phase: "Running" });
    await t.ready("Kustomization", "shop", await t.push({ "shop/a.yaml": file(gadget("one"), configMap("beside", { k: "1" })) }));
  });

  test("[HL20] an expression that does not compile stalls the unit, and nothing is applied until it is corrected", async () => {
    const t = await system.tenant();
    await t.commit({ "shop/a.yaml": file(configMap("a", {})) });
    await t.source();
    await t.unit("shop", { ...unit, healthCheckExprs: [{ ...expressions, current: "status.phase ==" }] });
    const stalled = await t.failing("Kustomization", "shop", "InvalidCELExpression");
    assert.match(conditionOf(stalled, "Ready")?.message ?? "", /^Reconciliation failed terminally due to configuration error: .*healthchecks\[0\].*expression Current.*Syntax error/s);
    assert.deepEqual([conditionOf(stalled, "Stalled")?.reason, conditionOf(stalled, "Reconciling"), stalled.status?.observedGeneration], ["InvalidCELExpression", undefined, 1]);
    assert.equal(await t.find("ConfigMap", "a"), undefined);
    await t.edit("Kustomization", "shop", { spec: { healthCheckExprs: null } });
    await t.ready("Kustomization", "shop");
  });

  test("[CEL4] an expression that runs away leaves its unit waiting, and its neighbour goes on", async () => {
    const t = await system.tenant();
    await define(system);
    await t.commit({ "shop/a.yaml": file(gadget("one")), "neighbour/a.yaml": file(gadget("other")) });
    await t.source();
    const tens = "[0,1,2,3,4,5,6,7,8,9]";
    const endless = ["a", "b", "c", "d", "e", "f", "g", "h"].reduceRight((inner, name) => `${tens}.all(${name}, ${inner})`, "true");
    await t.unit("shop", { ...unit, timeout: "30s", healthCheckExprs: [{ ...expressions, inProgress: undefined, failed: undefined, current: endless }] });
    await following(t);
    await t.unit("neighbour", unit);
    await report(t, "other", { phase: "Running" });
    await t.ready("Kustomization", "neighbour");
    const failed = await t.failing("Kustomization", "shop", "HealthCheckFailed");
    assert.match(conditionOf(failed, "Ready")?.message ?? "", /health check failed after 30s: timeout waiting for: \[Gadget\/.*\/one status: 'Unknown'\].*(cost limit exceeded|not done after 10 s)/s);
  });
}
