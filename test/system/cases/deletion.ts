/** What becomes of the objects when the unit goes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../../../deploy/local/eventually.ts";
import { pathOf } from "../kube.ts";
import { configMap, file } from "../objects.ts";
import type { System } from "../system.ts";

const policies: { title: string; spec: Record<string, unknown>; objectsStay: boolean }[] = [
  { title: "prune: true deletes its objects", spec: { prune: true }, objectsStay: false },
  { title: "prune: false leaves them", spec: { prune: false }, objectsStay: true },
  { title: "deletionPolicy Delete deletes them even so", spec: { prune: false, deletionPolicy: "Delete" }, objectsStay: false },
  { title: "deletionPolicy Orphan leaves them", spec: { prune: true, deletionPolicy: "Orphan" }, objectsStay: true },
  { title: "a suspended unit leaves them", spec: { prune: true, suspend: true }, objectsStay: true },
];

export function deletionCases(system: System): void {
  for (const { title, spec: { suspend, ...spec }, objectsStay } of policies)
    test(`[SY25] deleting a unit: ${title}`, async () => {
      const t = await system.tenant();
      await t.commit({ "shop/a.yaml": file(configMap("a", {})) });
      await t.source();
      await t.unit("shop", spec);
      await t.ready("Kustomization", "shop");
      if (suspend) await t.edit("Kustomization", "shop", { spec: { suspend } });
      await t.remove("Kustomization", "shop");
      await t.untilGone("Kustomization", "shop");
      const left = await t.find("ConfigMap", "a");
      assert.equal(left !== undefined && left.metadata.deletionTimestamp === undefined, objectsStay);
    });

  test("[SY25] deleting a unit: deletionPolicy WaitForTermination keeps it until its objects are gone", async () => {
    const t = await system.tenant();
    const slow = configMap("slow", {}, { finalizers: ["system.example.com/wait"] });
    await t.commit({ "shop/a.yaml": file(slow, configMap("quick", {})) });
    await t.source();
    await t.unit("shop", { deletionPolicy: "WaitForTermination" });
    await t.ready("Kustomization", "shop");
    await t.remove("Kustomization", "shop");
    await eventually("both deleted", async () =>
      (await t.find("ConfigMap", "quick")) === undefined && (await t.get("ConfigMap", "slow")).metadata.deletionTimestamp !== undefined);
    assert.ok(await t.find("Kustomization", "shop"));
    await t.edit("ConfigMap", "slow", { metadata: { finalizers: null } });
    await t.untilGone("Kustomization", "shop");
    assert.equal(await t.find("ConfigMap", "slow"), undefined);
  });

  test("[SY26] a unit that is deleted in the middle of a failure lets go too", async () => {
    const t = await system.tenant();
    await t.start({ "shop/a.yaml": file(configMap("a", {})) }, "shop");
    await t.push({ "shop/a.yaml": "not: [valid" });
    await t.failing("Kustomization", "shop", "BuildFailed");
    await t.remove("Kustomization", "shop");
    await t.untilGone("Kustomization", "shop");
    assert.equal(await t.find("ConfigMap", "a"), undefined);
  });

  test("[SY26] a unit created anew under the name of one just deleted begins afresh", async () => {
    const t = await system.tenant();
    const sha = await t.start({ "shop/a.yaml": file(configMap("a", {})) }, "shop");
    await t.remove("Kustomization", "shop");
    await t.untilGone("Kustomization", "shop");
    assert.equal(await t.find("ConfigMap", "a"), undefined);
    await t.unit("shop");
    await t.ready("Kustomization", "shop", sha);
    assert.ok(await t.find("ConfigMap", "a"));
  });

  test("[SY26] a namespace deleted with sources and units in it goes", async () => {
    const t = await system.tenant();
    await t.start({ "shop/a.yaml": file(configMap("a", {})), "bad/b.yaml": "not: [valid" }, "shop");
    await t.unit("bad");
    await t.failing("Kustomization", "bad", "BuildFailed");
    await system.kube.remove(pathOf("Namespace", undefined, t.namespace));
    await eventually("the namespace gone", async () => !(await system.kube.find(pathOf("Namespace", undefined, t.namespace))));
  });

  test("[SY27] a source that is deleted takes nothing from its units; they say that it is missing, and go on with another of its name", async () => {
    const t = await system.tenant();
    await t.start({ "shop/a.yaml": file(configMap("a", { n: "1" })) }, "shop");
    const { metadata } = await t.get("ConfigMap", "a");
    await t.remove("GitRepository", "app");
    await t.untilGone("GitRepository", "app");
    await t.request("Kustomization", "shop");
    await t.failing("Kustomization", "shop", "ArtifactFailed");
    assert.equal((await t.get("ConfigMap", "a")).metadata.resourceVersion, metadata.resourceVersion);
    const sha = await t.commit({ "shop/a.yaml": file(configMap("a", { n: "2" })) });
    await t.source();
    await t.ready("Kustomization", "shop", sha);
    assert.equal((await t.get("ConfigMap", "a")).metadata.uid, metadata.uid);
  });
}
