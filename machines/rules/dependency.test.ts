import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { cycleThrough, goFirst, shownCycle, whyObjectNotReady, whyUnitNotReady, type Expression, type UnitReadiness } from "./dependency.ts";

const own = { source: "gitrepository/apps/shop", revision: "main@sha1:2" };
const fine: UnitReadiness = { generation: 3, observedGeneration: 3, ready: true, lastAppliedRevision: "main@sha1:2", source: own.source };
const not = "dependency 'apps/infra' is not ready";
const eval_ = `${not} according to readyExpr eval`;
const missing = `dependency 'apps/infra' not found: kustomizations.kustomize.toolkit.fluxcd.io "infra" not found`;

const units: { what: string; is?: Partial<UnitReadiness> | null; expression?: Expression; why?: string }[] = [
  { what: "ready, seen and of the same revision" },
  { what: "missing", is: null, why: missing },
  { what: "missing, whatever the expression", is: null, expression: { holds: true, additive: false }, why: missing },
  { what: "not Ready", is: { ready: false }, why: not },
  { what: "Ready, but of an older generation", is: { observedGeneration: 2 }, why: not },
  { what: "never reconciled", is: { observedGeneration: -1, ready: false, lastAppliedRevision: "" }, why: not },
  { what: "of another revision of the same source", is: { lastAppliedRevision: "main@sha1:1" }, why: "dependency 'apps/infra' revision is not up to date" },
  { what: "of any revision of another source", is: { lastAppliedRevision: "main@sha1:1", source: "gitrepository/apps/other" } },
  { what: "not Ready, and an expression that holds instead", is: { ready: false }, expression: { holds: true, additive: false } },
  { what: "Ready, and an expression that does not hold", expression: { holds: false, additive: false }, why: eval_ },
  { what: "Ready, an expression that holds, and the gate", expression: { holds: true, additive: true } },
  { what: "not Ready, an expression that holds, and the gate", is: { ready: false }, expression: { holds: true, additive: true }, why: not },
  { what: "not Ready, an expression that does not hold, and the gate", is: { ready: false }, expression: { holds: false, additive: true }, why: eval_ },
];
for (const { what, is, expression, why } of units)
  test(`[DP1] ${what}: ${why ?? "goes on"}`, () =>
    assert.equal(whyUnitNotReady("apps/infra", "kustomizations.kustomize.toolkit.fluxcd.io", is === null ? undefined : { ...fine, ...is }, own, expression), why));

const objects: { what: string; health?: { status: string; message: string }; expression?: Expression; why?: string }[] = [
  { what: "current", health: { status: "Current", message: "" } },
  { what: "missing", why: `dependency 'apps/web' not found: deployments.apps "web" not found` },
  { what: "in progress", health: { status: "InProgress", message: "Available: 1/2" }, why: "dependency 'apps/web' is not ready: Available: 1/2" },
  { what: "failed without a word", health: { status: "Failed", message: "" }, why: "dependency 'apps/web' is not ready" },
  { what: "being deleted", health: { status: "Terminating", message: "Resource scheduled for deletion" }, why: "dependency 'apps/web' is not ready: Resource scheduled for deletion" },
  { what: "in progress, and an expression that holds", health: { status: "InProgress", message: "" }, expression: { holds: true, additive: false } },
  { what: "current, and an expression that does not", health: { status: "Current", message: "" }, expression: { holds: false, additive: false }, why: "dependency 'apps/web' is not ready according to readyExpr eval" },
  { what: "in progress, an expression that holds, and the gate", health: { status: "InProgress", message: "" }, expression: { holds: true, additive: true }, why: "dependency 'apps/web' is not ready" },
];
for (const { what, health, expression, why } of objects)
  test(`[DP9] an object that is ${what}: ${why ?? "goes on"}`, () => assert.equal(whyObjectNotReady("apps/web", "deployments.apps", health, expression), why));

const graphs: { graph: Record<string, string[]>; at: string; cycle: string[] | undefined; why?: string }[] = [
  { graph: {}, at: "a", cycle: undefined },
  { graph: { a: ["b"], b: ["c"] }, at: "a", cycle: undefined },
  { graph: { a: ["a"] }, at: "a", cycle: ["a"] },
  { graph: { a: ["b"], b: ["a"] }, at: "b", cycle: ["a", "b"], why: "named alike by all" },
  { graph: { a: ["b"], b: ["c"], c: ["b"] }, at: "a", cycle: undefined, why: "it only leads to one" },
  { graph: { a: ["b", "d"], b: ["c"], c: ["a"], d: ["a"] }, at: "a", cycle: ["a", "d"], why: "the shortest" },
  { graph: { a: ["b"], b: ["c"], c: ["d"], d: ["a"] }, at: "c", cycle: ["a", "b", "c", "d"] },
];
for (const { graph, at, cycle, why = "" } of graphs)
  test(`[DP8] ${JSON.stringify(graph)} at ${at}: ${cycle?.join(" → ") ?? "no cycle"} ${why}`, () => assert.deepEqual(cycleThrough(at, (id) => graph[id] ?? []), cycle));

test("[DP8] a cycle is shown with its way back", () => assert.equal(shownCycle(["a", "b"], (id) => `ns/${id}`), "ns/a → ns/b → ns/a"));

const names = ["a", "b", "c", "d", "e", "f"];
const graph = fc.dictionary(fc.constantFrom(...names), fc.uniqueArray(fc.constantFrom(...names), { maxLength: 3 }), { noNullPrototype: true });
const reaches = (from: string, to: string, graph: Record<string, string[]>): boolean => {
  const seen = new Set<string>();
  const visit = (id: string): boolean => (graph[id] ?? []).some((next) => next === to || (!seen.has(next) && (seen.add(next), visit(next))));
  return visit(from);
};

test("[DP8] a unit is in a cycle exactly when it leads back to itself, every step of it is an edge, and its members agree on where it begins", () =>
  fc.assert(fc.property(graph, fc.constantFrom(...names), (edges, at) => {
    const cycle = cycleThrough(at, (id) => edges[id] ?? []);
    assert.equal(cycle !== undefined, reaches(at, at, edges));
    if (!cycle) return;
    assert.ok(cycle.includes(at) && new Set(cycle).size === cycle.length && cycle.every((id) => cycle[0]! <= id));
    for (const [i, id] of cycle.entries()) assert.ok(edges[id]?.includes(cycle[(i + 1) % cycle.length] as string));
  })));

test("[DP13] whoever is deleted last, all go: at any time somebody has nobody to wait for, cycles or not, and no unit goes before one that needs it", () =>
  fc.assert(fc.property(graph, fc.uniqueArray(fc.constantFrom(...names), { minLength: 1 }), (edges, leaving) => {
    const left = new Set(leaving);
    const dependenciesOf = (id: string) => edges[id] ?? [];
    while (left.size > 0) {
      const free = [...left].filter((id) => goFirst(id, left, dependenciesOf).length === 0);
      assert.notEqual(free.length, 0);
      const [next = ""] = free;
      for (const other of left) assert.ok(other === next || !edges[other]?.includes(next) || reaches(next, other, edges), `${next} went before ${other}`);
      left.delete(next);
    }
  })));
