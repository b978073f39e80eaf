import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { appliedAtS, isDrifted, leftAlone, othersOf, ownedHash, ownershipOf, takenBy, type Seen } from "./drift.ts";
import type { ManagedFields } from "./inventory.ts";

const ours = (fields: object, more: ManagedFields = {}): ManagedFields =>
  ({ manager: "kustomize-controller", operation: "Apply", apiVersion: "v1", time: "2026-11-01T10:00:00Z", fieldsV1: fields, ...more });
const theirs = (manager: string, time: string, more: ManagedFields = {}): ManagedFields =>
  ({ manager, operation: "Update", apiVersion: "v1", time, fieldsV1: { "f:data": { "f:b": {} } }, ...more });
const data = { "f:data": { "f:a": {} } };

test("[AP31] the hash is over our fields alone: not their time, not others' entries, not our status or updates", () => {
  const hash = ownedHash([ours(data)]);
  assert.match(hash, /^[0-9a-f]{16}$/);
  assert.equal(ownedHash([theirs("kubectl", "2026-11-02T10:00:00Z"), ours(data, { time: "2027-01-01T00:00:00Z" })]), hash);
  assert.equal(ownedHash([ours({ "f:status": {} }, { subresource: "status" }), ours(data)]), hash);
  assert.equal(ownedHash([ours({ "f:data": { "f:c": {} } }, { operation: "Update" }), ours(data)]), hash);
  assert.notEqual(ownedHash([ours({ "f:data": {} })]), hash);
  assert.equal(ownedHash([theirs("kubectl", "2026-11-02T10:00:00Z")]), "");
  assert.equal(ownedHash(undefined), "");
});

test("[AP31] FNV-1a's published values come out", () => {
  // {} is what a set without fields reads; the expected value is FNV-1a 64 of its two bytes.
  assert.equal(ownedHash([ours({})]), fnv1a("{}"));
  assert.equal(fnv1a("a"), "af63dc4c8601ec8c");
});

test("[AP31] any text hashes as with arbitrary precision", () =>
  fc.assert(fc.property(fc.dictionary(fc.stringMatching(/^f:[a-z]{0,9}$/), fc.constant({})), (fields) =>
    assert.equal(ownedHash([ours(fields)]), fnv1a(JSON.stringify(fields))))));

const entry = { id: "apps_a__ConfigMap", v: "v1", uid: "u1", digest: "d", owned: "0123" };
const rows: { name: string; entry: typeof entry; seen?: Seen; drifted: boolean }[] = [
  { name: "as applied", entry, seen: { uid: "u1", owned: "0123" }, drifted: false },
  { name: "fields taken from us", entry, seen: { uid: "u1", owned: "4567" }, drifted: true },
  { name: "another object of the same name", entry, seen: { uid: "u2", owned: "0123" }, drifted: true },
  { name: "gone", entry, drifted: true },
  { name: "adopted, never compared", entry: { ...entry, uid: "", owned: "" }, seen: { uid: "u1", owned: "0123" }, drifted: false },
  { name: "left alone in Git, and absent", entry: { ...entry, uid: "", owned: "" }, drifted: false },
  { name: "created once, changed since", entry: { ...entry, owned: "" }, seen: { uid: "u1", owned: "4567" }, drifted: false },
  { name: "created once, gone", entry: { ...entry, owned: "" }, drifted: true },
];
for (const { name, entry: applied, seen, drifted } of rows)
  test(`[AP31] ${name}: ${drifted ? "drifted" : "not drifted"}`, () => assert.equal(isDrifted(applied, seen), drifted));

test("[AP35] a mark on the live object stands in place of the hash", () => {
  const marked = { annotations: { "kustomize.toolkit.fluxcd.io/reconcile": "disabled" }, managedFields: [ours(data)] };
  assert.equal(ownershipOf(marked), leftAlone);
  assert.equal(ownershipOf({ managedFields: [ours(data)] }), ownedHash([ours(data)]));
});

test("[AP32] who took a field is named; who removed one, status writers and ourselves are not", () => {
  const hpa = theirs("hpa", "2026-11-02T10:00:00Z");
  const edit = theirs("kubectl-edit", "2026-11-03T10:00:00Z");
  const status = theirs("kube-controller-manager", "2026-11-09T10:00:00Z", { subresource: "status" });
  const before = othersOf([hpa, ours(data)]);
  assert.equal(takenBy(before, othersOf([hpa, edit, status, ours({})])), "kubectl-edit");
  assert.equal(takenBy(before, othersOf([hpa, status, ours({})])), "");
  assert.equal(takenBy(before, othersOf([{ ...hpa, fieldsV1: { "f:data": { "f:a": {} } } }, ours({})])), "hpa");
  assert.equal(takenBy(othersOf(undefined), othersOf([ours(data)])), "");
});

test("[AP12] the time of our entry is read, and none is 0", () => {
  assert.equal(appliedAtS([ours(data)]), Date.parse("2026-11-01T10:00:00Z") / 1000);
  assert.equal(appliedAtS([theirs("kubectl", "2026-11-02T10:00:00Z")]), 0);
});

function fnv1a(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (let i = 0; i < text.length; i++) hash = ((hash ^ BigInt(text.charCodeAt(i))) * 0x100000001b3n) & 0xffffffffffffffffn;
  return hash.toString(16).padStart(16, "0");
}
