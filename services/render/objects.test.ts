import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { parseJson } from "./json.ts";
import { finish as finishBuilt } from "./objects.ts";

const thing = (name: string, more = {}) => ({
  apiVersion: "example.com/v1",
  kind: "Thing",
  metadata: { name },
  ...more,
});
const finish = (built: readonly unknown[], ...more: [Parameters<typeof finishBuilt>[1], string]) => finishBuilt(built.map((value) => ({ value })), ...more);
const names = (built: unknown[]) => finish(built, undefined, "app").map(({ object }) => object.metadata.name);

test("[RN21] a list is its items", () =>
  assert.deepEqual(
    names([thing("a"), { apiVersion: "v1", kind: "List", items: [thing("b"), thing("c")] }, thing("d")]),
    ["a", "b", "c", "d"],
  ));

test("[RN21] a kustomization file is no object; Flux's Kustomization is one", () =>
  assert.deepEqual(
    names([
      { ...thing("file"), apiVersion: "kustomize.config.k8s.io/v1beta1", kind: "Kustomization" },
      { ...thing("flux"), apiVersion: "kustomize.toolkit.fluxcd.io/v1", kind: "Kustomization" },
    ]),
    ["flux"],
  ));

const incomplete = [
  { what: "no kind", value: { apiVersion: "v1", metadata: { name: "a" } }, says: "object 2 of the build (a)" },
  {
    what: "no apiVersion",
    value: { kind: "Secret", metadata: { name: "a" }, data: { password: "hunter2" } },
    says: "object 2 of the build (Secret a)",
  },
  { what: "no name", value: { apiVersion: "v1", kind: "Pod", metadata: {} }, says: "object 2 of the build (Pod)" },
  {
    what: "an empty name",
    value: { apiVersion: "v1", kind: "Pod", metadata: { name: "" } },
    says: "object 2 of the build (Pod",
  },
  { what: "no object at all", value: "hunter2", says: "object 2 of the build:" },
];
for (const { what, value, says } of incomplete)
  test(`[RN20] ${what} fails the build, and is named by its place`, () =>
    assert.throws(
      () => finish([thing("first"), value], undefined, "deploy/dev"),
      (thrown) =>
        thrown instanceof Fault &&
        thrown.code === "BuildFailed" &&
        thrown.message.startsWith("deploy/dev: ") &&
        thrown.message.includes(says) &&
        !thrown.message.includes("hunter2"),
    ));

test("[RN22] common metadata is written over every object's own", () => {
  const labels = { team: "a", tier: "web" };
  const own = thing("x", { metadata: { name: "x", labels: { team: "b", app: "x" }, annotations: { note: "n" } } });
  const done = finish([own, thing("bare")], { labels, annotations: { by: "us" } }, "app");
  assert.deepEqual(
    done.map(({ object: { metadata } }) => [metadata.labels, metadata.annotations]),
    [
      [
        { app: "x", team: "a", tier: "web" },
        { note: "n", by: "us" },
      ],
      [labels, { by: "us" }],
    ],
  );
  assert.equal(finish([thing("bare")], undefined, "app")[0]?.object.metadata.labels, undefined);
});

test("[RN24] a digest follows the value, not the order of its keys", () => {
  const digest = (text: string) => finish([parseJson(text)], undefined, "app")[0]?.digest;
  const one = digest('{"apiVersion":"v1","kind":"A","metadata":{"name":"a"},"n":9007199254740993}');
  assert.equal(digest('{"n":9007199254740993,"metadata":{"name":"a"},"kind":"A","apiVersion":"v1"}'), one);
  assert.notEqual(digest('{"n":9007199254740992,"metadata":{"name":"a"},"kind":"A","apiVersion":"v1"}'), one);
  assert.match(one ?? "", /^[0-9a-f]{64}$/);
});
