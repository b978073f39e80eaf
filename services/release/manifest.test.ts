import assert from "node:assert/strict";
import { test } from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { parseManifest, readManifest } from "./manifest.ts";

const head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n";
const valueOf = (scalar: string) => (parseManifest(`${head}data:\n  a: ${scalar}\n`, "x")[0]?.["data"] as { a: unknown } | undefined)?.a;

const scalars: [string, unknown][] = [
  ["yes", true], ["Off", false], ["y", true], ["\"yes\"", "yes"], ["", null], ["~", null], ["0644", 420], ["0o17", 15], ["0x1F", 31], ["0b101", 5], ["1_000", 1000], ["08", 8],
  ["-7", -7], ["+7", 7], ["1e3", 1000], [".5", 0.5], ["1.", 1], ["2020-01-01", "2020-01-01"], ["1:30", "1:30"], ["1.2.3", "1.2.3"], ["v1", "v1"], ["!!str 1", "1"],
];
for (const [text, value] of scalars)
  test(`[RL60] ${JSON.stringify(text)} is read as Go reads it: ${JSON.stringify(value)}`, () => assert.equal(valueOf(text), value));

test("[RL60] documents without an object are passed over, and lists taken apart", () => {
  const objects = parseManifest(`---\n# Source: a\n---\n${head}---\napiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Secret, metadata: {name: z}}]\n`, "x");
  assert.deepEqual(objects.map(({ kind }) => kind), ["ConfigMap", "Secret"]);
});

test("[RL60] of a key that stands twice the last counts", () => assert.deepEqual(parseManifest(`${head}data: {a: one, a: two}\n`, "x")[0]?.["data"], { a: "two" }));

const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${"bcdefghi".split("").map((name, index) => `${name}: &${name} [${Array.from({ length: 9 }, () => `*${"abcdefgh"[index]}`).join()}]`).join("\n")}\n`;
const refused: [string, string, RegExp][] = [
  ["what is no YAML", "password: [hunter2", /Secret\/x: not YAML: line 1/],
  ["an object without a name", "apiVersion: v1\nkind: ConfigMap\n", /object 1 of the manifest \(ConfigMap\): apiVersion, kind and metadata.name are needed/],
  ["a generated name", "apiVersion: v1\nkind: Pod\nmetadata: {generateName: x-}\n", /generateName cannot be applied/],
  ["something else than an object", "just text\n", /object 1 of the manifest/],
  ["aliases without end", bomb.repeat(20), /Secret\/x/],
  ["an alias that stands for gigabytes", `${head}data:\n${bomb.replaceAll(/^/gm, "  ")}`, /aliases stand for too much/],
  ["a long text that a hundred aliases stand for", `${head}data:\n  a: &a ${"x".repeat(1 << 20)}\n  b: [${Array.from({ length: 100 }, () => "*a").join()}]\n`, /aliases stand for too much/],
  ["a long key in what a hundred aliases stand for", `${head}data:\n  a: &a\n    ? ${"x".repeat(1 << 20)}\n    : 1\n  b: [${Array.from({ length: 100 }, () => "*a").join()}]\n`, /aliases stand for too much/],
  ["text without end", `a: ${"x".repeat(9 << 20)}`, /more than 8388608 characters/],
  ["depth without end", `a: ${"[".repeat(5_000)}`, /Secret\/x: not YAML/],
];
for (const [what, text, says] of refused)
  test(`[RL61] ${what} is refused without being quoted`, () => assert.throws(() => parseManifest(text, "Secret/x"), (thrown: Fault) =>
    thrown.code === "ManifestInvalid" && says.test(thrown.message) && !/hunter2/.test(thrown.message)));

/** Of so many objects that it is read in a thread. */
const large = (last: string) => `${Array.from({ length: 4_000 }, (_, i) => `---\n${head.replace("name: x", `name: x${i}`)}data: {a: "1", b: 0644, c: 1.50}\n`).join("")}---\n${last}`;

test("[RL63] a large manifest is read in a thread, to the same objects; what is wrong with it is said in the same words", async () => {
  const { signal } = new AbortController();
  assert.deepEqual(await readManifest(large(head), "Secret/x", signal), parseManifest(large(head), "Secret/x"));
  for (const [, wrong] of refused.filter(([, text]) => text.length < 1_000)) {
    const said = await readManifest(large(wrong), "Secret/x", signal).then(() => assert.fail("it is read"), (thrown: unknown) => Fault.from(thrown, "").toJSON());
    assert.throws(() => parseManifest(large(wrong), "Secret/x"), (thrown: Fault) => (assert.deepEqual(thrown.toJSON(), said), true));
  }
  await assert.rejects(readManifest(`a: ${"x".repeat(9 << 20)}`, "Secret/x", signal), { code: "ManifestInvalid", detail: "more than 8388608 characters" });
  await assert.rejects(readManifest(large(head), "Secret/x", AbortSignal.abort(new Error("over"))), /over/);
});
