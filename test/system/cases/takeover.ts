/** A Kustomization as kustomize-controller leaves it: its objects, their managed fields and labels, inventory, history, finalizer. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../../../deploy/local/eventually.ts";
import { pathOf, type KubeObject } from "../kube.ts";
import { configMap, deployment, file } from "../objects.ts";
import type { System } from "../system.ts";
import type { Tenant } from "../tenant.ts";

const manager = "kustomize-controller";

/** As rendered, with what the controller adds: namespace and labels of the owner, the protocol of ports. */
function applied(t: Tenant, object: KubeObject): KubeObject {
  const labels = { "kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": t.namespace };
  return { ...object, metadata: { ...object.metadata, namespace: t.namespace, labels: { ...object.metadata.labels, ...labels } } };
}

const settings = configMap("settings", { colour: "blue" }) as KubeObject;
const web = deployment("web", "example.com/web:1", { replicas: 0 }) as KubeObject;
const stale = configMap("stale", { gone: "from Git" }) as KubeObject;
const idOf = (t: Tenant, name: string, of: string) => ({ id: `${t.namespace}_${name}_${of}`, v: "v1" });
const snapshot = (totalReconciliations: number) => ({
  digest: `sha256:${"a".repeat(64)}`, firstReconciled: "2026-01-01T00:00:00Z", lastReconciled: "2026-01-02T00:00:00Z", lastReconciledDuration: "1.5s",
  lastReconciledStatus: "ReconciliationSucceeded", totalReconciliations, metadata: { revision: "main@sha1:0" },
});

/** Suspended, so that nothing is done before all of it stands. */
async function laidOut(system: System): Promise<{ t: Tenant; before: Map<string, KubeObject> }> {
  const t = await system.tenant();
  await t.commit({ "shop/all.yaml": file(settings, web) });
  await t.source();
  await t.ready("GitRepository", "app");
  const before = new Map<string, KubeObject>();
  for (const object of [settings, web, stale])
    before.set(object.metadata.name, await system.kube.apply(pathOf(object.kind, t.namespace, object.metadata.name), applied(t, object), manager));
  await t.unit("shop", { suspend: true });
  const at = pathOf("Kustomization", t.namespace, "shop");
  await system.kube.merge(at, { metadata: { finalizers: ["finalizers.fluxcd.io"] } }, `gotk-${manager}`);
  await system.kube.merge(`${at}/status`, {
    status: {
      observedGeneration: 1, lastAppliedRevision: "main@sha1:0", lastAttemptedRevision: "main@sha1:0", history: [snapshot(41)],
      inventory: { entries: [idOf(t, "settings", "_ConfigMap"), idOf(t, "stale", "_ConfigMap"), idOf(t, "web", "apps_Deployment")] },
      conditions: [{ type: "Ready", status: "True", reason: "ReconciliationSucceeded", message: "Applied revision: main@sha1:0", observedGeneration: 1, lastTransitionTime: "2026-01-01T00:00:00Z" }],
    },
  }, `gotk-${manager}`);
  return { t, before };
}

const stands = ({ metadata }: KubeObject) => ({ uid: metadata.uid, generation: metadata.generation, owners: metadata.managedFields?.filter(({ subresource }) => !subresource) });

export function takeOverCases(system: System): void {
  test("[SY28] what stands as rendered is not written, what is no longer in Git goes, the history goes on", async () => {
    const { t, before } = await laidOut(system);
    await t.edit("Kustomization", "shop", { spec: { suspend: false } }, "flux");
    const { status } = await eventually("taken over", async () => {
      const unit = await t.get("Kustomization", "shop");
      return unit.status?.history?.length === 2 && unit;
    });
    for (const [kind, name] of [["ConfigMap", "settings"], ["Deployment", "web"]] as const)
      assert.deepEqual(stands(await t.get(kind, name)), stands(before.get(name) as KubeObject), name);
    assert.equal(await t.find("ConfigMap", "stale"), undefined);
    assert.deepEqual(status?.inventory?.entries.map(({ id }) => id).sort(), [idOf(t, "settings", "_ConfigMap").id, idOf(t, "web", "apps_Deployment").id].sort());
    assert.deepEqual(status?.history?.map(({ totalReconciliations }) => totalReconciliations), [1, 41]);
    assert.deepEqual(t.told("Kustomization", "shop").filter(({ message }) => / (created|configured)/.test(message)), []);
  });

  test("[SY29] the way back: the apply of Flux's controller would change nothing of what Flotilla applied", async () => {
    const t = await system.tenant();
    await t.start({ "shop/all.yaml": file(settings, web) }, "shop");
    for (const object of [settings, web]) {
      const at = pathOf(object.kind, t.namespace, object.metadata.name);
      const live = await t.get(object.kind, object.metadata.name);
      const ours = live.metadata.managedFields?.filter(({ subresource }) => !subresource).map((entry) => `${entry.manager} ${entry.operation}`);
      assert.ok(ours?.includes(`${manager} Apply`), JSON.stringify(ours));
      const after = await system.kube.apply(at, applied(t, object), manager);
      assert.deepEqual(stands(after), stands(live), object.kind);
    }
    const { metadata, status } = await t.get("Kustomization", "shop");
    assert.deepEqual(metadata.finalizers, ["finalizers.fluxcd.io"]);
    assert.deepEqual(status?.inventory?.entries.map(({ id }) => id).sort(), [idOf(t, "settings", "_ConfigMap").id, idOf(t, "web", "apps_Deployment").id].sort());
  });
}
