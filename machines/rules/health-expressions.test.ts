import assert from "node:assert/strict";
import test from "node:test";
import { expressionFor, isUnobserved, judged, secondOf, verdictsOf, type Answer, type HealthExpression } from "./health-expressions.ts";
import type { KubeObject } from "./inventory.ts";

const all: HealthExpression = { apiVersion: "db.example/v1", current: "c", inProgress: "p", failed: "f" };
const yes: Answer = { value: true };
const no: Answer = { value: false };
const broken: Answer = { error: "no such key: status" };

const rows: { why: string; entry?: HealthExpression; answers: Answer[]; status: string; message?: RegExp }[] = [
  { why: "in progress goes before all", answers: [yes, yes, yes], status: "InProgress" },
  { why: "failed goes before current", answers: [no, yes, yes], status: "Failed" },
  { why: "current is the last", answers: [no, no, yes], status: "Current" },
  { why: "none of them", answers: [no, no, no], status: "InProgress" },
  { why: "current alone", entry: { apiVersion: "db.example/v1", current: "c" }, answers: [yes], status: "Current" },
  { why: "without failed", entry: { apiVersion: "db.example/v1", current: "c", inProgress: "p" }, answers: [no, yes], status: "Current" },
  { why: "an error before the answer", answers: [broken, no, yes], status: "Unknown", message: /'p': no such key: status/ },
  { why: "an error after the answer", answers: [yes, broken, broken], status: "InProgress" },
  { why: "what is no bool", answers: [no, { value: "true" }, yes], status: "Unknown", message: /as boolean: 'f'/ },
  { why: "null", answers: [{ value: null }, no, yes], status: "Unknown" },
];
for (const { why, entry = all, answers, status, message = /./ } of rows)
  test(`[HL19] ${why}: ${status}`, () => {
    const health = judged(entry, answers);
    assert.equal(health.status, status);
    assert.match(health.message, message);
  });

test("[HL19] the expressions are asked in that order, and only those that are there", () => {
  assert.deepEqual(verdictsOf(all).map(({ expression }) => expression), ["p", "f", "c"]);
  assert.deepEqual(verdictsOf({ apiVersion: "v1", current: "c", failed: "", inProgress: "" }).map(({ expression }) => expression), ["c"]);
});

const generations: { generation?: unknown; observed?: unknown; unobserved: boolean }[] = [
  { generation: 2, observed: 1, unobserved: true },
  { generation: 2, observed: 2, unobserved: false },
  { generation: 2, unobserved: false },
  { observed: 2, unobserved: false },
  { generation: 2, observed: "1", unobserved: false },
  { generation: 2, observed: 1.5, unobserved: false },
];
for (const { generation, observed, unobserved } of generations)
  test(`[HL19] generation ${generation}, observed ${JSON.stringify(observed)}: ${unobserved ? "no expression is asked" : "they are asked"}`, () => {
    const object = { apiVersion: "v1", kind: "X", metadata: { name: "x", generation }, status: { observedGeneration: observed } } as unknown as KubeObject;
    assert.equal(isUnobserved(object), unobserved);
    assert.equal(isUnobserved({ ...object, status: "gone" } as unknown as KubeObject), false);
  });

const entry = (apiVersion: string, kind?: string, current = "c"): HealthExpression => ({ apiVersion, kind, current });
test("[HL19] one for the very kind goes before one for its group, wherever it stands, and the version counts for nothing", () => {
  const entries = [entry("db.example/v1", undefined, "group"), entry("db.example/v2", "Cluster", "kind"), entry("v1", "Pod", "pod")];
  const found = (group: string, kind: string) => expressionFor(entries, group, kind)?.current;
  assert.deepEqual([found("db.example", "Cluster"), found("db.example", "Backup"), found("", "Pod"), found("", "Service"), found("other", "Cluster")], ["kind", "group", "pod", undefined, undefined]);
});

test("[HL20] two for the same kind, or the same group, are one too many", () => {
  assert.equal(secondOf([entry("a/v1", "X"), entry("a/v1", "Y"), entry("a/v1")]), undefined);
  assert.deepEqual(secondOf([entry("a/v1", "X"), entry("a/v2", "X")]), { index: 1, kind: "X.a" });
  assert.deepEqual(secondOf([entry("a/v1"), entry("b/v1"), entry("a/v1")]), { index: 2, kind: ".a" });
});
