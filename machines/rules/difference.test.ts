import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { differences, fieldDifferences, pointerOf, surplus, told } from "./difference.ts";
import { parsePointer } from "./ignore.ts";
import type { KubeObject, ManagedFields } from "./inventory.ts";

const map = (data: object, metadata: object = {}): KubeObject => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", ...metadata }, data });
const open = { secret: false, redact: (text: string) => text };
const edit = (manager: string, fieldsV1: object, more: ManagedFields = {}): ManagedFields => ({ manager, operation: "Update", fieldsV1, ...more });

const rows: { title: string; is: unknown; wanted: unknown; want: [pointer: string, wanted: unknown, is: unknown][] }[] = [
  { title: "equal", is: { a: [1, { b: null }] }, wanted: { a: [1, { b: null }] }, want: [] },
  { title: "a value", is: { a: { b: 1, c: 2 } }, wanted: { a: { b: 1, c: 3 } }, want: [["/a/c", 3, 2]] },
  { title: "one that went", is: {}, wanted: { a: { b: 1 } }, want: [["/a", { b: 1 }, undefined]] },
  { title: "one that came", is: { a: 1 }, wanted: {}, want: [["/a", undefined, 1]] },
  { title: "members by their places", is: { a: [1, 2, 3] }, wanted: { a: [1, 9] }, want: [["/a/1", 9, 2], ["/a/2", undefined, 3]] },
  { title: "another type", is: { a: [] }, wanted: { a: {} }, want: [["/a", {}, []]] },
  { title: "keys that a pointer escapes", is: { "a/b": { "c~d": 1 } }, wanted: { "a/b": { "c~d": 2 } }, want: [["/a~1b/c~0d", 2, 1]] },
  { title: "the name of a prototype", is: JSON.parse('{"__proto__": 1}'), wanted: {}, want: [["/__proto__", undefined, 1]] },
];
for (const { title, is, wanted, want } of rows)
  test(`[DR6] a difference: ${title}`, () => assert.deepEqual(differences(is, wanted).map(({ path, ...values }) => [pointerOf(path), values.wanted, values.is]), want));

test("[DR6] what the server counts, who owns what, the status and our own marks are no difference", () => {
  const live = { ...map({ a: "1" }, { uid: "u", resourceVersion: "7", generation: 2, managedFields: [], annotations: { "flotilla.dev/fence": "3:4", "flotilla.dev/epoch": "3:4" } }), status: { phase: "x" } };
  assert.deepEqual(fieldDifferences(live, map({ a: "1" }, { resourceVersion: "8" })), []);
  assert.deepEqual(fieldDifferences(live, map({ a: "1" }, { labels: { team: "a" } })).map(({ path }) => pointerOf(path)), ["/metadata/labels/team"]);
});

const json = fc.jsonValue({ maxDepth: 4 });
const some = fc.record({ a: json, "b/c": json, "~": json }, { requiredKeys: [] });

test("[DR6] put where they say, the wanted values make the wanted object, and no two differences are about one field", () =>
  fc.assert(fc.property(some, some, (is, wanted) => {
    const found = differences(is, wanted);
    const made = structuredClone(is) as Record<string, unknown>;
    for (const { path, wanted: value } of found.toReversed()) put(made, path, value);
    assert.deepEqual(plain(made), plain(wanted));
    assert.deepEqual(differences(wanted, wanted), []);
    for (const { path } of found) assert.deepEqual(parsePointer(pointerOf(path)), path);
    const pointers = found.map(({ path }) => pointerOf(path));
    assert.ok(!pointers.some((one, at) => pointers.some((other, place) => at !== place && (other === one || other.startsWith(`${one}/`)))));
  })));

test("[DR7] values are shortened, and few fields named; nothing of a secret object is told but which fields", () => {
  const live = map({ long: "x".repeat(99), ...Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`k${n}`, "is"])) });
  const hidden = told("id", map({ a: "thief" }), fieldDifferences(map({ a: "thief" }), map({ a: "owner", b: "x" })), { ...open, secret: true });
  assert.deepEqual(hidden.fields, [{ pointer: "/data/a", wanted: '"*****"', is: '"*****"' }, { pointer: "/data/b", wanted: '"*****"' }]);
  const many = told("id", live, fieldDifferences(live, map({ k: 1 })), open);
  assert.deepEqual([many.fields.length, many.more, many.fields[1]], [8, 6, { pointer: "/data/long", is: `"${"x".repeat(39)}…` }]);
});

test("[DR7] a known secret is taken out before a value is cut, wherever in it it stands", () => {
  const redact = (text: string) => text.replaceAll('it"s secret', "*****");
  const secret = { deep: [`${"x".repeat(30)}it"s secret`] };
  const { fields } = told("id", map({}), [{ path: ["a"], wanted: secret, is: 'it"s secret' }], { secret: false, redact });
  assert.deepEqual(fields, [{ pointer: "/a", wanted: `{"deep":["${"x".repeat(30)}…`, is: '"*****"' }]);
});

const owners: { title: string; managed: ManagedFields[]; path: string[]; by: string | undefined }[] = [
  { title: "who owns the field", managed: [edit("kubectl-edit", { "f:data": { "f:a": {} } }), edit("helm", { "f:data": { "f:b": {} } })], path: ["data", "a"], by: "kubectl-edit" },
  { title: "all who do", managed: [edit("x", { "f:data": { "f:a": {} } }), edit("b", { "f:data": { "f:a": {} } }, { operation: "Apply" })], path: ["data", "a"], by: "b, x" },
  { title: "who owns the whole of which it is a part", managed: [edit("x", { "f:data": {} })], path: ["data", "a"], by: "x" },
  { title: "not who owns a field beside it: nobody, where it was only removed", managed: [edit("x", { "f:data": { "f:b": {} } })], path: ["data", "c"], by: undefined },
  { title: "not us, the fence, nor who writes the status", managed: [
    edit("kustomize-controller", { "f:data": { "f:a": {} } }, { operation: "Apply" }), edit("flotilla-fence", { "f:data": { "f:a": {} } }), edit("c", { "f:data": { "f:a": {} } }, { subresource: "status" }),
  ], path: ["data", "a"], by: undefined },
];
for (const { title, managed, path, by } of owners)
  test(`[DR8] named is ${title}`, () => assert.equal(told("id", map({ a: "1", b: "2" }, { managedFields: managed }), [{ path, wanted: "0", is: "1" }], open).by, by));

test("[DR8] what an apply would take over and remove is a difference too", () => {
  const live = map({ a: "1", added: "x" }, { annotations: { note: "mine" } });
  const fields = { "f:data": { ".": {}, "f:added": {}, "f:a": {}, "f:gone": {} }, "f:metadata": { "f:annotations": { ".": {}, "f:note": {} } } };
  assert.deepEqual(surplus(fields, live, map({ a: "1" })).map(({ path, is }) => [pointerOf(path), is]), [["/data/added", "x"], ["/metadata/annotations", { note: "mine" }]]);
});

function put(into: Record<string, unknown>, path: string[], value: unknown): void {
  const parent = path.slice(0, -1).reduce<Record<string, unknown>>((at, part) => at[part] as Record<string, unknown>, into);
  const last = path.at(-1) ?? "";
  if (value !== undefined) Object.defineProperty(parent, last, { value, enumerable: true, configurable: true, writable: true });
  else if (Array.isArray(parent)) parent.splice(Number(last), 1);
  else delete parent[last];
}

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
