import assert from "node:assert/strict";
import test from "node:test";
import { referencesOf } from "./references.ts";

const key = { kind: "kustomization", namespace: "apps", name: "shop" };
const rows: { spec: unknown; finds: string[]; kind?: string }[] = [
  { spec: {}, finds: [] },
  { spec: { postBuild: { substituteFrom: [{ kind: "Secret", name: "b" }, { kind: "ConfigMap", name: "a" }, { kind: "Secret", name: "b" }] } }, finds: ["ConfigMap/apps/a", "Secret/apps/b"] },
  { spec: { decryption: { provider: "sops", secretRef: { name: "keys" } } }, finds: ["Secret/apps/keys"] },
  { spec: { kubeConfig: { secretRef: { name: "far" } } }, finds: ["Secret/apps/far"] },
  { spec: { kubeConfig: { configMapRef: { name: "far" } } }, finds: ["ConfigMap/apps/far"] },
  { spec: { postBuild: { substituteFrom: [{ kind: "Secret", name: "b", namespace: "other" }, { kind: "Pod", name: "p" }, { kind: "Secret" }, null, 5] } }, finds: ["Secret/apps/b"] },
  { spec: { postBuild: { substituteFrom: "all" }, decryption: [], kubeConfig: 5 }, finds: [] },
  { spec: "none", finds: [] },
  { spec: { postBuild: { substituteFrom: [{ kind: "Secret", name: "b" }] } }, kind: "gitrepository", finds: [] },
];
for (const { spec, finds, kind = "kustomization" } of rows)
  test(`[FD17] ${kind} ${JSON.stringify(spec)} refers to ${finds.join(", ") || "nothing"}`, () =>
    assert.deepEqual(referencesOf({ ...key, kind }, { metadata: { name: "shop" }, spec }), finds));
