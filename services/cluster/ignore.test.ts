import assert from "node:assert/strict";
import test from "node:test";
import type { KubeObject } from "#machines/rules/inventory.ts";
import { ignoredBy, type IgnoreRule } from "./ignore.ts";

const web: KubeObject = { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "web-1", namespace: "shop", labels: { app: "web" }, annotations: { tier: "front" } } };
const targets: [target: IgnoreRule["target"], matches: boolean][] = [
  [undefined, true], [{}, true], [{ kind: "Deployment" }, true], [{ kind: "Deploy" }, false], [{ kind: "Deploy.*" }, true], [{ kind: "Deployment|StatefulSet", group: "apps", version: "v1" }, true],
  [{ group: "batch" }, false], [{ name: "web-[0-9]" }, true], [{ name: "web" }, false], [{ name: "web", namespace: "shop" }, false], [{ namespace: "sh(op|ip)" }, true],
  [{ labelSelector: "app in (web)" }, true], [{ labelSelector: "app!=web" }, false], [{ annotationSelector: "tier=front" }, true], [{ kind: "Deployment", annotationSelector: "!tier" }, false],
];
for (const [target, matches] of targets)
  test(`[AP52] a target ${JSON.stringify(target)} ${matches ? "is" : "is not"} the object`, () =>
    assert.deepEqual(ignoredBy([{ paths: ["/spec/replicas"], target }], "u")(web), matches ? [["spec", "replicas"]] : []));

test("[AP52] the paths of all rules that match are ignored", () => {
  const rules = [{ paths: ["/a", "/b"] }, { paths: ["/c"], target: { kind: "Job" } }, { paths: ["/d"], target: { name: "web-.*" } }];
  assert.deepEqual(ignoredBy(rules, "u")(web), [["a"], ["b"], ["d"]]);
});

const wrong: { rule: IgnoreRule; why: RegExp }[] = [
  { rule: { paths: ["spec.replicas"] }, why: /spec\.ignore\[0\]: not a JSON pointer/ },
  { rule: { paths: ["/a"], target: { name: "(" } }, why: /spec\.ignore\[0\]/ },
  { rule: { paths: ["/a"], target: { name: "(?=x)" } }, why: /spec\.ignore\[0\]/ },
  { rule: { paths: ["/a"], target: { labelSelector: "a in b" } }, why: /not a label selector/ },
  { rule: { paths: ["/a"], target: { name: "x".repeat(2_000) } }, why: /1024 characters/ },
];
for (const { rule, why } of wrong)
  test(`[AP52] a rule that cannot be read is refused: ${JSON.stringify(rule).slice(0, 60)}`, () =>
    assert.throws(() => ignoredBy([rule], "apps/shop"), (thrown: { code: string; detail: string }) => thrown.code === "IgnoreRuleInvalid" && why.test(thrown.detail)));

test("[AP52] an expression that would keep others busy for ever does not", () => {
  const matches = ignoredBy([{ paths: ["/a"], target: { name: "(a+)+b" } }], "u");
  assert.deepEqual(matches({ ...web, metadata: { name: "a".repeat(253) } }), []);
});
