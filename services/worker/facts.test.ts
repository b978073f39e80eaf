import assert from "node:assert/strict";
import test from "node:test";
import { factsOf, type RawObject } from "./facts.ts";

const metadata = { name: "shop", namespace: "apps", uid: "u1", generation: 3, resourceVersion: "7" };
const git = (spec: object, more: object = {}): RawObject =>
  ({ apiVersion: "source.toolkit.fluxcd.io/v1", kind: "GitRepository", metadata: { ...metadata, ...more }, spec: { url: "https://git.example.com/shop.git", interval: "1m", ...spec } });
const unit = (spec: object, more: object = {}): RawObject => ({
  apiVersion: "kustomize.toolkit.fluxcd.io/v1", kind: "Kustomization", metadata: { ...metadata, ...more },
  spec: { interval: "10m", prune: true, sourceRef: { kind: "GitRepository", name: "shop" }, ...spec },
});

const rows: { title: string; object: RawObject; kind: string; want: object }[] = [
  { title: "[WK1] a plain source", kind: "gitrepository", object: git({}), want: { uid: "u1", generation: 3, intervalMs: 60_000, timeoutMs: 60_000, suspended: false, finalizer: false } },
  { title: "[WK1] suspended, with finalizer and a request", kind: "gitrepository", object: git({ suspend: true }, { finalizers: ["finalizers.fluxcd.io"], annotations: { "reconcile.fluxcd.io/requestedAt": "now" } }), want: { suspended: true, finalizer: true, requestedAt: "now" } },
  { title: "[WK1] a plain unit: source in its own namespace, MirrorPrune", kind: "kustomization", object: unit({}), want: { source: "gitrepository/apps/shop", retryMs: 600_000, prune: true, deletion: "Delete", health: false } },
  { title: "[WK1] another namespace, no prune, wait", kind: "kustomization", object: unit({ prune: false, wait: true, retryInterval: "5s", sourceRef: { kind: "GitRepository", name: "x", namespace: "flux-system" } }), want: { source: "gitrepository/flux-system/x", deletion: "Orphan", retryMs: 5_000, health: true } },
  { title: "[WK1] an explicit policy wins over prune", kind: "kustomization", object: unit({ deletionPolicy: "Orphan" }), want: { deletion: "Orphan" } },
  { title: "[WK2] timeout from the interval", kind: "kustomization", object: unit({}), want: { timeoutMs: 570_000 } },
  { title: "[WK2] a short interval", kind: "kustomization", object: unit({ interval: "10s" }), want: { timeoutMs: 30_000 } },
  { title: "[WK2] a short timeout is raised", kind: "kustomization", object: unit({ timeout: "1s" }), want: { timeoutMs: 30_000 } },
  { title: "[WK3] interval 0s", kind: "kustomization", object: unit({ interval: "0s" }), want: { intervalMs: 100 * 365 * 24 * 3_600_000 } },
  { title: "[DR1] drift is put back", kind: "kustomization", object: unit({}, { annotations: { "flotilla.dev/drift-detection": "Enabled" } }), want: { drift: undefined } },
  { title: "[DR1] drift is told only", kind: "kustomization", object: unit({}, { annotations: { "flotilla.dev/drift-detection": "Warn" } }), want: { drift: "warn" } },
  { title: "[DR1] a mode that is none", kind: "kustomization", object: unit({}, { annotations: { "flotilla.dev/drift-detection": "x".repeat(99) } }), want: { drift: "x".repeat(40) } },
];
for (const { title, object, kind, want } of rows)
  test(title, () => {
    const facts = factsOf(kind, object);
    assert.equal(facts.invalid, undefined);
    assert.deepEqual(Object.fromEntries(Object.keys(want).map((field) => [field, (facts as unknown as Record<string, unknown>)[field]])), want);
  });

test("[WK4] a malformed object says which field, keeps what its deletion needs, and deletes nothing", () => {
  const facts = factsOf("kustomization", unit({ prune: "yes" }, { deletionTimestamp: "2026-01-01T00:00:00Z", finalizers: ["finalizers.fluxcd.io"] }));
  assert.equal(facts.invalid?.code, "InvalidObject");
  assert.match(facts.invalid?.detail ?? "", /spec\.prune/);
  assert.deepEqual({ deleting: facts.deleting, finalizer: facts.finalizer }, { deleting: true, finalizer: true });
  assert.equal("deletion" in facts && facts.deletion, "Orphan");
});

test("[WK4] an object without a spec is a fact, not a crash", () => {
  for (const kind of ["gitrepository", "kustomization"])
    assert.equal(factsOf(kind, { kind, metadata }).invalid?.code, "InvalidObject");
});

test("[SB16] the versions of what a unit refers to are a fact of it; without any it is as before", () => {
  const at = (inputs: Record<string, string>) => (factsOf("kustomization", unit({}), inputs) as { inputs?: string }).inputs;
  assert.deepEqual([at({}), at({ "Secret/apps/a": "u 1" }) === at({ "Secret/apps/a": "u 1" }), at({ "Secret/apps/a": "u 1" }) === at({ "Secret/apps/a": "u 2" })], [undefined, true, false]);
});
