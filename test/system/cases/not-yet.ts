/** Fields that this release does not act on are never passed over in silence. The list is the product's own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { notYet } from "#protocol/api/not-yet.ts";
import { configMap, file } from "../objects.ts";
import type { System } from "../system.ts";
import { conditionOf, isReady } from "../tenant.ts";

/** A spec that asks for it, by field. */
const asking: Record<string, Record<string, unknown>> = {
  "spec.url": { url: "ssh://git@127.0.0.1/shop.git" },
  "spec.ref.tag": { ref: { tag: "v1" } },
  "spec.ref.semver": { ref: { semver: ">=1.0.0" } },
  "spec.ref.name": { ref: { name: "refs/heads/main" } },
  "spec.provider": { provider: "azure" },
  "spec.verify": { verify: { mode: "HEAD", secretRef: { name: "keys" } } },
  "spec.proxySecretRef": { proxySecretRef: { name: "proxy" } },
  "spec.recurseSubmodules": { recurseSubmodules: true },
  "spec.include": { include: [{ repository: { name: "other" } }] },
  "spec.sparseCheckout": { sparseCheckout: ["shop"] },
  "spec.sourceRef.kind": { sourceRef: { kind: "OCIRepository", name: "app" } },
  "spec.dependsOn": { dependsOn: [{ name: "other" }] },
  "spec.healthCheckExprs": { healthCheckExprs: [{ apiVersion: "v1", kind: "ConfigMap", current: "true" }] },
  "spec.postBuild": { postBuild: { substitute: { a: "b" } } },
  "spec.decryption": { decryption: { provider: "sops" } },
  "spec.ignore": { ignore: [{ paths: ["/data"], target: { kind: "ConfigMap" } }] },
  "spec.kubeConfig": { kubeConfig: { secretRef: { name: "other-cluster" } } },
};
/** The same field's name in both kinds asks for another thing. */
const askingOf: Record<string, Record<string, Record<string, unknown>>> = {
  GitRepository: { "spec.serviceAccountName": { provider: "azure", serviceAccountName: "robot" } },
  Kustomization: { "spec.serviceAccountName": { serviceAccountName: "robot" } },
};

export function notYetCases(system: System): void {
  for (const kind of ["GitRepository", "Kustomization"] as const)
    for (const { field, without } of notYet[kind] ?? [])
      test(`[SY45] ${kind} ${field}: named by a Warning event, ${without === "refuse" ? "and nothing is done without it" : "and the rest is done"}`, async () => {
        const t = await system.tenant();
        const spec = askingOf[kind]?.[field] ?? asking[field] ?? assert.fail(`no spec here asks for ${field}`);
        await t.commit({ "shop/a.yaml": file(configMap("a", {})) });
        const name = kind === "GitRepository" ? "app" : "shop";
        if (kind === "GitRepository") await t.source(spec);
        else {
          await t.source();
          await t.ready("GitRepository", "app");
          await t.unit("shop", spec);
        }
        const pattern = new RegExp(field.replaceAll(".", "\\."));
        await t.untilTold(kind, name, "Warning", "FieldNotActedOn", pattern);
        if (without === "ignore") {
          assert.ok(isReady(await t.ready(kind, name)));
          return;
        }
        const stalled = await t.failing(kind, name, "InvalidObject");
        assert.equal(conditionOf(stalled, "Stalled")?.status, "True");
        assert.match(conditionOf(stalled, "Ready")?.message ?? "", pattern);
        assert.equal(conditionOf(stalled, "Reconciling"), undefined);
        assert.equal(stalled.status?.artifact, undefined);
        assert.equal(await t.find("ConfigMap", "a"), undefined);
      });
}
