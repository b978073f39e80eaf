/** Variables after the build: values from ConfigMaps and Secrets, and where they go and do not go. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../../../deploy/local/eventually.ts";
import { filesWith } from "../kept.ts";
import { configMap, file, object } from "../objects.ts";
import type { System } from "../system.ts";
import { conditionOf } from "../tenant.ts";

const dataOf = (object: object | undefined) => (object as { data?: Record<string, string> } | undefined)?.data;

export function substitutionCases(system: System): void {
  test("[SB12] a unit takes variables from its own object, ConfigMaps and Secrets, and applies what they make", async () => {
    const t = await system.tenant();
    const text = { region: "${region}", size: "\"${size:=small}\"", pin: "pin-${pin}", escaped: "$${region}" };
    await t.commit({ "shop/a.yaml": file(configMap("a", text)), "shop/b.yaml": file(configMap("b", { region: "${region}" }, { annotations: { "kustomize.toolkit.fluxcd.io/substitute": "disabled" } })) });
    await t.source();
    await Promise.all([t.create("ConfigMap", "vars", { data: { region: "north", pin: "none" } }), t.create("Secret", "keys", { stringData: { pin: "0042x\n" } })]);
    const substituteFrom = [{ kind: "ConfigMap", name: "vars" }, { kind: "Secret", name: "keys" }, { kind: "Secret", name: "more", optional: true }];
    await t.unit("shop", { postBuild: { substitute: { region: "south" }, substituteFrom } });
    await t.ready("Kustomization", "shop");
    assert.deepEqual(dataOf(await t.get("ConfigMap", "a")), { region: "south", size: '"small"', pin: "pin-0042x", escaped: "${region}" });
    assert.deepEqual(dataOf(await t.get("ConfigMap", "b")), { region: "${region}" });
  });

  test("[SB13] a Secret that is missing is named, and the unit goes on once it is there", async () => {
    const t = await system.tenant();
    await t.commit({ "shop/a.yaml": file(configMap("a", { k: "v-${pin}" })) });
    await t.source();
    await t.unit("shop", { postBuild: { substituteFrom: [{ kind: "Secret", name: "keys" }] } });
    const failed = await t.failing("Kustomization", "shop", "BuildFailed");
    assert.match(conditionOf(failed, "Ready")?.message ?? "", /substitute from 'Secret\/keys' error: not found in namespace .*spec\.postBuild\.substituteFrom/);
    await t.create("Secret", "keys", { stringData: { pin: "1" } });
    await t.ready("Kustomization", "shop");
    assert.deepEqual(dataOf(await t.get("ConfigMap", "a")), { k: "v-1" });
  });

  test("[SB3] a variable without a value fails the build, and what is applied stays", async () => {
    const t = await system.tenant();
    await t.commit({ "shop/a.yaml": file(configMap("a", { k: "v-${known}" })) });
    await t.source();
    await t.unit("shop", { postBuild: { substitute: { known: "1" } } });
    await t.ready("Kustomization", "shop");
    await t.push({ "shop/a.yaml": file(configMap("a", { k: "v-${unknown}" })) });
    const failed = await t.failing("Kustomization", "shop", "BuildFailed");
    assert.match(conditionOf(failed, "Ready")?.message ?? "", /'ConfigMap\/a': .*variable not set \(strict mode\): "unknown".*\$\{name:=default\}/);
    assert.deepEqual(dataOf(await t.get("ConfigMap", "a")), { k: "v-1" });
    await t.edit("Kustomization", "shop", { spec: { postBuild: { substitute: { unknown: "2" } } } });
    await t.ready("Kustomization", "shop");
    assert.deepEqual(dataOf(await t.get("ConfigMap", "a")), { k: "v-2" });
  });

  test("[SB16] a labelled ConfigMap or Secret that changes is applied at once, by the units that refer to it and by no other; an idle one is not asked for", async () => {
    const t = await system.tenant();
    await t.commit({ "shop/a.yaml": file(configMap("a", { k: "v-${pin}" })), "other/b.yaml": file(configMap("b", { k: "v" })) });
    await t.source();
    const labelled = { metadata: { namespace: t.namespace, labels: { "reconcile.fluxcd.io/watch": "Enabled" } } };
    await t.system.kube.create(object("Secret", "keys", { ...labelled, stringData: { pin: "one" } }));
    await t.unit("shop", { postBuild: { substituteFrom: [{ kind: "Secret", name: "keys" }, { kind: "ConfigMap", name: "late", optional: true }] } });
    await t.unit("other");
    await Promise.all([t.ready("Kustomization", "shop"), t.ready("Kustomization", "other")]);
    const applied = (value: string) => eventually(`a has ${value}`, async () => dataOf(await t.get("ConfigMap", "a"))?.["k"] === value);
    await applied("v-one");
    const { resourceVersion } = t.seen("Kustomization", "other")?.metadata ?? assert.fail();

    await t.edit("Secret", "keys", { stringData: { pin: "two" } });
    await applied("v-two");
    await t.system.kube.create(object("ConfigMap", "late", { ...labelled, data: { pin: "three" } }));
    await applied("v-three");
    await t.remove("ConfigMap", "late");
    await applied("v-two");
    assert.equal(t.seen("Kustomization", "other")?.metadata.resourceVersion, resourceVersion);
  });

  test("[SB14] a value from a Secret is in no file of NATS, in no log and in no status, also when it breaks the build", async () => {
    const t = await system.tenant();
    const canary = `canary-${t.namespace}`;
    await t.commit({ "shop/a.yaml": file(configMap("a", { k: "v-${pin}" })), "bad/b.yaml": file(configMap("b", {}, { labels: { l: "${pin} is no label" } })) });
    await t.source();
    await t.create("Secret", "keys", { stringData: { pin: canary } });
    const postBuild = { substituteFrom: [{ kind: "Secret", name: "keys" }] };
    await t.unit("shop", { postBuild });
    await t.ready("Kustomization", "shop");
    await t.unit("bad", { postBuild });
    const bad = await t.failing("Kustomization", "bad", "ReconciliationFailed");
    await t.untilTold("Kustomization", "bad", "Warning", "ReconciliationFailed", /\*{5} is no label/);
    assert.deepEqual(dataOf(await t.get("ConfigMap", "a")), { k: `v-${canary}` });
    assert.doesNotMatch(JSON.stringify([bad, t.seen("Kustomization", "shop"), t.told("Kustomization", "bad"), t.told("Kustomization", "shop")]), new RegExp(canary));
    assert.deepEqual(filesWith([canary], system.flotilla.data), []);
  });
}
