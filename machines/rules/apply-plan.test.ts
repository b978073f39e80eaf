import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import type { ApplyScope, InventoryEntry } from "#protocol/messages/kustomization.ts";
import { planApply, type Wanted } from "./apply-plan.ts";

const wanted = (name: string, more: Partial<Wanted> = {}): Wanted =>
  ({ id: `apps_${name}__ConfigMap`, v: "v1", digest: `digest of ${name}`, metadata: {}, ...more });
const entry = (name: string, more: Partial<InventoryEntry> = {}): InventoryEntry =>
  ({ id: `apps_${name}__ConfigMap`, v: "v1", uid: `uid of ${name}`, digest: `digest of ${name}`, owned: "0123", ...more });

type Case = { name: string; scope: ApplyScope; wanted: Wanted; entry?: InventoryEntry; drifted?: boolean; goes: "touch" | "keep" | "skip" };
const rows: Case[] = [
  { name: "[AP5] as applied before", scope: "changed", wanted: wanted("a"), entry: entry("a"), goes: "keep" },
  { name: "[AP5] another digest", scope: "changed", wanted: wanted("a", { digest: "other" }), entry: entry("a"), goes: "touch" },
  { name: "[AP5] another version of the API", scope: "changed", wanted: wanted("a", { v: "v2" }), entry: entry("a"), goes: "touch" },
  { name: "[AP5] never applied", scope: "changed", wanted: wanted("a"), goes: "touch" },
  { name: "[AP5] adopted from Flux", scope: "changed", wanted: wanted("a"), entry: entry("a", { digest: "" }), goes: "touch" },
  { name: "[AP5] drifted", scope: "changed", wanted: wanted("a"), entry: entry("a"), drifted: true, goes: "touch" },
  { name: "[AP6] as applied before, but all are asked for", scope: "all", wanted: wanted("a"), entry: entry("a"), goes: "touch" },
  {
    name: "[AP7] reconcile: disabled", scope: "all", goes: "skip",
    wanted: wanted("a", { metadata: { annotations: { "kustomize.toolkit.fluxcd.io/reconcile": "Disabled" } } }),
  },
  {
    name: "[AP7] ssa: Ignore as a label, though drifted", scope: "changed", drifted: true, entry: entry("a"), goes: "skip",
    wanted: wanted("a", { metadata: { labels: { "kustomize.toolkit.fluxcd.io/ssa": "ignore" } } }),
  },
];
for (const { name, scope, wanted: object, entry: applied, drifted, goes } of rows)
  test(name, () => {
    const plan = planApply([object], applied ? [applied] : [], scope, new Set(drifted ? [object.id] : []));
    const ids = { touch: plan.touch.map(({ id }) => id), keep: plan.keep.map(({ id }) => id), skip: plan.skip.map(({ id }) => id) };
    assert.deepEqual(ids, { touch: [], keep: [], skip: [], [goes]: [object.id] });
    assert.deepEqual(plan.stale, []);
  });

const names = fc.uniqueArray(fc.constantFrom("a", "b", "c", "d", "e", "f"));

test("[AP9] every rendered object goes one way, and every other entry is stale", () =>
  fc.assert(fc.property(names, names, fc.constantFrom<ApplyScope>("all", "changed"), (rendered, applied, scope) => {
    const plan = planApply(rendered.map((name) => wanted(name)), applied.map((name) => entry(name)), scope, new Set());
    assert.deepEqual([...plan.touch, ...plan.keep, ...plan.skip].map(({ id }) => id).sort(), rendered.map((name) => wanted(name).id).sort());
    assert.deepEqual(plan.stale, applied.filter((name) => !rendered.includes(name)).map((name) => entry(name)));
  })));
