import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { ownedHash, ownershipOf } from "./drift.ts";
import type { ManagedFields } from "./inventory.ts";
import { needsTakeOver, takeOverPatch, type Marks, type PatchOperation } from "./takeover.ts";

const entry = (manager: string, operation = "Update", more: ManagedFields = {}): ManagedFields =>
  ({ manager, operation, apiVersion: "v1", time: "2026-11-01T10:00:00Z", fieldsType: "FieldsV1", fieldsV1: { "f:data": { "f:b": {} } }, ...more });
const ours = entry("kustomize-controller", "Apply", { fieldsV1: { "f:data": { "f:a": {} } } });

const fieldsOf = (patch: PatchOperation | undefined) => (patch?.value as ManagedFields[] | undefined)?.[0]?.fieldsV1;

const managers: { manager: string; operation?: string; subresource?: string; overridden?: string[]; taken: boolean; why?: string }[] = [
  { manager: "kubectl", operation: "Apply", taken: true, why: "kubectl apply --server-side" },
  { manager: "kubectl-client-side-apply", taken: true },
  { manager: "kubectl-edit", taken: true },
  { manager: "kubectl-create", taken: true },
  { manager: "before-first-apply", taken: true },
  { manager: "before-first-apply", operation: "Apply", taken: false },
  { manager: "kustomize-controller", taken: true, why: "Flux before server-side apply" },
  { manager: "kubectl", subresource: "scale", taken: false, why: "kubectl scale" },
  { manager: "kubectl-edit", subresource: "status", taken: false },
  { manager: "flux-client-side-apply", taken: false, why: "the name for edits that are to stay" },
  { manager: "flux-client-side-apply", operation: "Apply", taken: false },
  { manager: "helm", taken: false },
  { manager: "kube-controller-manager", taken: false },
  { manager: "flotilla-fence", operation: "Apply", taken: false },
  { manager: "gotk-kustomize-controller", taken: false, why: "finalizers of an object that another unit applied" },
  { manager: "argocd-controller", operation: "Apply", overridden: ["argocd"], taken: true },
  { manager: "argocd-controller", overridden: ["argocd"], taken: true },
  { manager: "kustomize-controller", operation: "Apply", overridden: ["kustomize"], taken: false, why: "never our own" },
];
for (const { manager, operation = "Update", subresource, overridden = [], taken, why = "" } of managers)
  test(`[AP46] fields of ${manager} (${operation}${subresource ? `, ${subresource}` : ""}${overridden.length > 0 ? `, overridden ${overridden.join()}` : ""}) ${taken ? "become ours" : "stay"} ${why}`, () => {
    const live = { managedFields: [ours, entry(manager, operation, subresource ? { subresource } : {})] };
    assert.equal(needsTakeOver(live, overridden), taken);
    assert.equal(takeOverPatch(live, overridden).length, taken ? 1 : 0);
    assert.equal(ownershipOf(live, overridden), `${ownedHash([ours])}${taken ? "!" : ""}`, "and a watch sees it");
  });

test("[AP46] what is taken is joined with what is ours; the others' entries stay as they are", () => {
  const helm = entry("helm");
  const [patch] = takeOverPatch({ managedFields: [entry("kubectl-edit"), ours, helm, entry("kubectl", "Apply", { fieldsV1: { "f:spec": {} } })] });
  assert.deepEqual(patch, {
    op: "replace", path: "/metadata/managedFields",
    value: [helm, { ...ours, fieldsV1: { "f:data": { "f:a": {}, "f:b": {} }, "f:spec": {} } }],
  });
});

test("[AP46] of an object that is not ours yet the first entry that is taken becomes ours", () => {
  const [patch] = takeOverPatch({ managedFields: [entry("kubectl-client-side-apply"), entry("kubectl-edit", "Update", { fieldsV1: { "f:data": { "f:c": {} } } })] });
  assert.deepEqual(patch?.value, [{ ...entry("kustomize-controller", "Apply"), fieldsV1: { "f:data": { "f:b": {}, "f:c": {} } } }]);
});

const unions: { one: object; other: object; all: object; why: string }[] = [
  { one: { "f:a": {} }, other: { "f:a": { "f:b": {} } }, all: { "f:a": { ".": {}, "f:b": {} } }, why: "the field itself, and something in it" },
  { one: { "f:a": { ".": {}, "f:b": {} } }, other: { "f:a": {} }, all: { "f:a": { ".": {}, "f:b": {} } }, why: "the field itself twice" },
  { one: { 'k:{"name":"x"}': { ".": {}, "f:image": {} } }, other: { 'k:{"name":"x"}': { "f:env": {} } }, all: { 'k:{"name":"x"}': { ".": {}, "f:image": {}, "f:env": {} } }, why: "one member of a list" },
];
for (const { one, other, all, why } of unions)
  test(`[AP46] sets of fields are joined: ${why}`, () => {
    const [patch] = takeOverPatch({ managedFields: [{ ...ours, fieldsV1: one }, entry("kubectl-edit", "Update", { fieldsV1: other })] });
    assert.deepEqual(fieldsOf(patch), all);
  });

/** Which fields a set names, as paths. */
function paths(fields: object, at = ""): string[] {
  const entries = Object.entries(fields as Record<string, object>);
  if (entries.length === 0) return at === "" ? [] : [at];
  return entries.flatMap(([key, below]) => (key === "." ? [at] : paths(below, `${at}/${key}`)));
}
const sets = fc.letrec<{ set: object }>((tie) => ({
  set: fc.dictionary(fc.constantFrom("f:a", "f:b", "k:{}", "."), fc.oneof({ depthSize: "small" }, fc.constant({}), tie("set")), { maxKeys: 3 })
    .map((set) => Object.fromEntries(Object.entries(set).map(([key, below]) => [key, key === "." ? {} : below]))),
})).set.map((set) => Object.fromEntries(Object.entries(set).filter(([key]) => key !== ".")) as object);
test("[AP46] joined sets name exactly the fields of both", () =>
  fc.assert(fc.property(sets, sets, (one, other) => {
    const [patch] = takeOverPatch({ managedFields: [{ ...ours, fieldsV1: one }, entry("kubectl-edit", "Update", { fieldsV1: other })] });
    const joined = fieldsOf(patch) ?? {};
    assert.deepEqual([...new Set(paths(joined))].sort(), [...new Set([...paths(one), ...paths(other)])].sort());
  })));

test("[AP47] what earlier tools left on the object is removed", () => {
  const live: Marks = {
    annotations: { "kubectl.kubernetes.io/last-applied-configuration": "{}", "kustomize.toolkit.fluxcd.io/checksum": "1", "fluxcd.io/sync-checksum": "2", mine: "3" },
    labels: { "fluxcd.io/sync-gc-mark": "x", app: "y" },
    managedFields: [ours],
  };
  assert.equal(needsTakeOver(live), true);
  assert.deepEqual(takeOverPatch(live).map(({ op, path }) => `${op} ${path}`), [
    "remove /metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration",
    "remove /metadata/annotations/kustomize.toolkit.fluxcd.io~1checksum",
    "remove /metadata/annotations/fluxcd.io~1sync-checksum",
    "remove /metadata/labels/fluxcd.io~1sync-gc-mark",
  ]);
});

for (const field of ["labels", "annotations"] as const)
  test(`[AP48] with ssa: merge among its ${field} nothing is taken over`, () => {
    const live = { [field]: { "kustomize.toolkit.fluxcd.io/ssa": "merge" }, managedFields: [ours, entry("kubectl-edit")] };
    assert.deepEqual([needsTakeOver(live), takeOverPatch(live)], [false, []]);
  });
