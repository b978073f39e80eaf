import assert from "node:assert/strict";
import test from "node:test";
import type { StructuralSchema } from "./schema.ts";
import { notYet, notYetActedOn, notYetFault } from "./not-yet.ts";
import { kinds } from "./registry.ts";

const rows: { kind: string; spec: object; warn: string[]; refuse: string[]; why?: string }[] = [
  {
    kind: "GitRepository",
    spec: { url: "https://a/b", ref: { branch: "main", commit: "1".repeat(40) }, ignore: "/docs", suspend: true },
    warn: [],
    refuse: [],
  },
  { kind: "GitRepository", spec: { url: "ssh://git@a/b" }, warn: ["spec.url"], refuse: ["spec.url"] },
  {
    kind: "GitRepository",
    spec: { ref: { tag: "v1", semver: ">=1" } },
    warn: ["spec.ref.tag", "spec.ref.semver"],
    refuse: ["spec.ref.tag", "spec.ref.semver"],
  },
  { kind: "GitRepository", spec: { provider: "generic" }, warn: [], refuse: [], why: "what is done anyway" },
  { kind: "GitRepository", spec: { provider: "aws" }, warn: ["spec.provider"], refuse: ["spec.provider"] },
  {
    kind: "GitRepository",
    spec: { recurseSubmodules: false, include: [], sparseCheckout: [] },
    warn: [],
    refuse: [],
    why: "empty asks for nothing",
  },
  {
    kind: "GitRepository",
    spec: { verify: { mode: "HEAD", secretRef: { name: "a" } } },
    warn: ["spec.verify"],
    refuse: ["spec.verify"],
  },
  {
    kind: "Kustomization",
    spec: { sourceRef: { kind: "GitRepository" }, prune: true, wait: true, deletionPolicy: "Orphan" },
    warn: [],
    refuse: [],
  },
  {
    kind: "Kustomization",
    spec: { sourceRef: { kind: "Bucket" } },
    warn: ["spec.sourceRef.kind"],
    refuse: ["spec.sourceRef.kind"],
  },
  {
    kind: "Kustomization",
    spec: { deletionPolicy: "WaitForTermination", dependsOn: [{ name: "a" }], healthCheckExprs: [{ kind: "X" }] },
    warn: ["spec.dependsOn", "spec.healthCheckExprs"],
    refuse: [],
  },
  {
    kind: "Kustomization",
    spec: { postBuild: {}, kubeConfig: { secretRef: { name: "a" } } },
    warn: ["spec.kubeConfig"],
    refuse: ["spec.kubeConfig"],
  },
  {
    kind: "Kustomization",
    spec: { serviceAccountName: "tenant" },
    warn: ["spec.serviceAccountName"],
    refuse: ["spec.serviceAccountName"],
    why: "else it would get the worker's own rights",
  },
  { kind: "Secret", spec: { verify: true }, warn: [], refuse: [] },
];
for (const { kind, spec, warn, refuse, why = "" } of rows)
  test(`[API20] ${kind} ${JSON.stringify(spec)} -> ${warn.join(", ") || "nothing"} ${why}`, () => {
    assert.deepEqual(notYetActedOn(kind, { spec }), warn);
    const refused = notYetFault(`${kind}/apps/shop`, kind, { spec })?.detail?.split(":")[0] ?? "";
    assert.equal(refused, refuse.join(", "));
  });

for (const value of [null, undefined, 7, "spec", [], { spec: null }, { spec: [] }])
  test(`[API20] ${JSON.stringify(value)} asks for nothing`, () =>
    assert.deepEqual(notYetActedOn("GitRepository", value), []));

for (const kind of kinds)
  test(`[API20] every field listed for ${kind.kind} is one of its fields`, () => {
    const [version] = kind.crd().spec.versions;
    for (const { field } of notYet[kind.kind] ?? []) {
      const names = field.split(".");
      const found = names.reduce<StructuralSchema | undefined>(
        (at, name) => at?.properties?.[name],
        version?.schema.openAPIV3Schema,
      );
      assert.ok(found, field);
    }
  });
