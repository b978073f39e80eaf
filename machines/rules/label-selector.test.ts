import assert from "node:assert/strict";
import test from "node:test";
import { parseLabelSelector, selectorOf, type WrittenSelector } from "./label-selector.ts";

const labels = { app: "web", "example.com/tier": "front", empty: "" };
const rows: [selector: string, matches: boolean][] = [
  ["", true], ["app", true], ["!app", false], ["missing", false], ["!missing", true], ["empty", true],
  ["app=web", true], ["app == web", true], ["app=db", false], ["app!=db", true], ["app!=web", false], ["missing!=x", true], ["empty=", true],
  ["app in (web, db)", true], ["app in (db)", false], ["app notin (db)", true], ["app notin (web)", false], ["missing notin (x)", true], ["missing in (x)", false],
  ["example.com/tier=front,app in (db,web),!missing", true], ["example.com/tier=front,app in (db)", false],
  ["toString", false],
];
for (const [selector, matches] of rows) test(`[AP52] the selector "${selector}" ${matches ? "selects" : "passes over"}`, () => assert.equal(parseLabelSelector(selector)(labels), matches));

for (const selector of ["=x", "app in web", "app in (a", "a b", "app=a=b", "app=(x)", "app in (a/b)", "-app", "x".repeat(5_000)])
  test(`[AP52] "${selector.slice(0, 20)}" is no selector`, () => assert.throws(() => parseLabelSelector(selector), RangeError));

const written: [selector: WrittenSelector, matches: boolean][] = [
  [{}, true], [{ matchLabels: { app: "web" } }, true], [{ matchLabels: { app: "db" } }, false], [{ matchLabels: { app: "web", missing: "x" } }, false],
  [{ matchExpressions: [{ key: "app", operator: "In", values: ["db", "web"] }, { key: "missing", operator: "DoesNotExist" }] }, true],
  [{ matchExpressions: [{ key: "app", operator: "NotIn", values: ["web"] }] }, false], [{ matchExpressions: [{ key: "example.com/tier", operator: "Exists" }] }, true],
];
for (const [selector, matches] of written) test(`[IM97] ${JSON.stringify(selector)} ${matches ? "selects" : "passes over"}`, () => assert.equal(selectorOf(selector)(labels), matches));

for (const wrong of [{ operator: "Is" }, { operator: "In" }, { operator: "In", values: [] }, { operator: "Exists", values: ["x"] }, { operator: "In", values: ["a b"] }])
  test(`[IM97] ${JSON.stringify(wrong)} is no demand`, () => assert.throws(() => selectorOf({ matchExpressions: [{ key: "app", ...wrong }] }), RangeError));
