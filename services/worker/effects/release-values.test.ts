import assert from "node:assert/strict";
import test from "node:test";
import { mostValuesBytes } from "#machines/rules/values-file.ts";
import type { ValuesReference } from "#protocol/api/helm-release.ts";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { digestOf } from "#services/store/artifacts/digest.ts";
import { pack } from "#services/render/fixtures.ts";
import { TreeCache } from "#services/render/tree-cache.ts";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import { composedValues, valuesOf, type ValuesPorts } from "./release-values.ts";

type Entries = Parameters<typeof pack>[0];

const release = { namespace: "apps" };
const revision = "main@sha1:4c1d9e2";
const from = (valuesKey: string, more: Partial<ValuesReference> = {}): ValuesReference => ({ kind: "GitRepository", name: "fleet", valuesKey, ...more });

/** Sources by id, each with an archive, and the data of ConfigMaps and Secrets by `Kind/namespace/name`. */
async function ports(sources: Record<string, Entries>, data: Record<string, Record<string, string>> = {}): Promise<ValuesPorts & { asked: string[] }> {
  const cache = new TreeCache(1_000_000);
  const asked: string[] = [];
  return {
    asked,
    data: async ({ kind, namespace, name }) => {
      const found = data[`${kind}/${namespace}/${name}`];
      return found && { version: "1", data: Object.fromEntries(Object.entries(found).map(([key, text]) => [key, Buffer.from(text)])) };
    },
    files: async (source: ActorKey) => {
      asked.push(actorId(source));
      const entries = sources[actorId(source)];
      if (!entries) return undefined;
      const archive = await pack(entries);
      return { tree: await cache.get({ digest: await digestOf(archive), load: async () => archive }), revision };
    },
  };
}

const read = async (valuesFrom: ValuesReference[], sources: Record<string, Entries>, data = {}) => (await valuesOf({ valuesFrom }, release, await ports(sources, data))).sources;
const file = (name: string, content: string) => ({ name, content });

test("[HR18] files, Secrets and ConfigMaps keep their place in the list, each with its targetPath", async () => {
  const found = await read(
    [from("./prod.yaml"), { kind: "Secret", name: "tokens" }, from("tag", { kind: "OCIRepository", name: "images", namespace: "shared", targetPath: "image.tag", literal: true })],
    { "gitrepository/apps/fleet": [file("prod.yaml", "replicas: 3")], "ocirepository/shared/images": [file("tag", "1.2")] },
    { "Secret/apps/tokens": { "values.yaml": "token: t" } },
  );
  assert.deepEqual(found, [
    { text: "replicas: 3", subject: "GitRepository apps/fleet, file ./prod.yaml" },
    { text: "token: t", subject: "Secret apps/tokens, key values.yaml", secret: true },
    { text: "1.2", subject: "OCIRepository shared/images, file tag", targetPath: "image.tag", literal: true },
  ]);
});

test("[HR18] an optional file may be missing, and so may its source", async () => {
  const sources = { "gitrepository/apps/fleet": [file("a.yaml", "a: 1")] };
  assert.deepEqual(await read([from("b.yaml", { optional: true }), from("a.yaml", { name: "none", optional: true })], sources), []);
});

const refused: { what: string; from: ValuesReference; entries?: Entries; code: FaultCode; says: RegExp }[] = [
  { what: "no such file", from: from("prod.yaml"), code: "ValuesMissing", says: /^there is no such file in main@sha1:4c1d9e2$/ },
  { what: "no such source", from: from("prod.yaml", { name: "none" }), code: "ValuesMissing", says: /^could not find GitRepository 'apps\/none'$/ },
  { what: "a directory", from: from("apps/shop"), entries: [file("apps/shop/values.yaml", "")], code: "ValuesInvalid", says: /^it is a directory in main@/ },
  { what: "a directory, optional", from: from("apps", { optional: true }), entries: [file("apps/a", "")], code: "ValuesInvalid", says: /^it is a directory/ },
  { what: "a path that leads out", from: from("../prod.yaml"), code: "ValuesInvalid", says: /leads out of the artifact/ },
  { what: "an absolute path, optional", from: from("/etc/passwd", { optional: true }), code: "ValuesInvalid", says: /absolute path/ },
  { what: "no path", from: { kind: "Bucket", name: "fleet" }, code: "ValuesInvalid", says: /needed with a source/ },
  { what: "a symbolic link", from: from("link"), entries: [{ name: "link", type: "symlink", linkname: "/etc/passwd" }], code: "ValuesMissing", says: /no such file/ },
  { what: "a hard link", from: from("link"), entries: [file("a", "token: hunter2"), { name: "link", type: "link", linkname: "a" }], code: "ValuesMissing", says: /no such file/ },
  { what: "a file that is too large", from: from("a"), entries: [file("a", "x".repeat(mostValuesBytes + 1))], code: "ValuesInvalid", says: /^it has 1048577 bytes, more than the 1048576/ },
  { what: "what is no text", from: from("a"), entries: [{ name: "a", content: Buffer.from([0xff, 0xfe, 0x00]) } as never], code: "ValuesInvalid", says: /^it is not UTF-8 text$/ },
  { what: "an archive with a path that leaves it", from: from("a"), entries: [file("a", "token: hunter2"), file("../../etc/passwd", "x")], code: "ArtifactCorrupt", says: /leaves the archive/ },
  { what: "an archive with a file twice", from: from("a"), entries: [file("a", "token: hunter2"), file("./a", "b")], code: "ArtifactCorrupt", says: /twice/ },
];
for (const { what, from: reference, entries = [file("a.yaml", "token: hunter2")], code, says } of refused)
  test(`[HR18] ${what} -> ${code}, and nothing of a file is quoted`, async () => {
    const thrown = await read([reference], { [`${reference.kind.toLowerCase()}/apps/fleet`]: entries }).then(() => assert.fail("read"), (error: unknown) => error);
    assert.ok(thrown instanceof Fault, String(thrown));
    assert.equal(thrown.code, code);
    assert.match(thrown.detail ?? "", says);
    assert.doesNotMatch(thrown.message, /hunter2/);
  });

test("[HR18] a file as large as one may be is read, and an empty one is no values", async () => {
  const entries = [file("large", `a: ${"x".repeat(mostValuesBytes - 3)}`), file("empty", "")];
  const found = await read([from("large"), from("empty")], { "gitrepository/apps/fleet": entries });
  assert.deepEqual(found.map(({ text }) => text.length), [mostValuesBytes, 0]);
});

test("[HR18] bytes that are not those of the digest are not read", async () => {
  const cache = new TreeCache(1_000_000);
  const [told, sent] = [await pack([file("a", "a: 1")]), await pack([file("a", "a: 2")])];
  const files = async () => ({ tree: await cache.get({ digest: await digestOf(told), load: async () => sent }), revision });
  await assert.rejects(valuesOf({ valuesFrom: [from("a")] }, release, { data: async () => undefined, files }), (error: unknown) => error instanceof Fault && error.code === "ArtifactCorrupt");
});

const broken: { text: string; more?: Partial<ValuesReference>; says: RegExp }[] = [
  { text: "a: 1\nhunter2: [", says: /^GitRepository apps\/fleet, file a\.yaml: not YAML with a map of values: line \d+$/ },
  { text: "- hunter2", says: /^GitRepository apps\/fleet, file a\.yaml: not YAML with a map of values$/ },
  { text: "hunter2", more: { targetPath: "a[x]" }, says: /^GitRepository apps\/fleet, file a\.yaml: spec\.valuesFrom with targetPath "a\[x\]"$/ },
];
for (const { text, more, says } of broken)
  test(`[HR18] a file that is ${JSON.stringify(text)}: what is wrong, and where, without quoting it`, async () => {
    // As the engine words it (services/render/helm/wasm/values.go).
    const words = more ? `spec.valuesFrom with targetPath "a[x]": strconv: parsing "x": ${text}` : `not YAML with a map of values: yaml: ${text.includes("\n") ? "line 2: " : ""}cannot use ${text}`;
    const composeValues = () => Promise.reject(new Fault("ValuesInvalid", "values", { detail: `GitRepository apps/fleet, file a.yaml: ${words}` }));
    const composing = composedValues({ composeValues }, { valuesFrom: [from("a.yaml", more)] }, release, await ports({ "gitrepository/apps/fleet": [file("a.yaml", text)] }), AbortSignal.timeout(10_000));
    await assert.rejects(composing, (error: unknown) => error instanceof Fault && says.test(error.detail ?? "") && !error.message.includes("hunter2"));
  });

test("[HR18] what is wrong with a ConfigMap stays said in the parser's words", async () => {
  const composeValues = () => Promise.reject(new Fault("ValuesInvalid", "values", { detail: "ConfigMap apps/c, key values.yaml: not YAML with a map of values: yaml: found word" }));
  const composing = composedValues({ composeValues }, { valuesFrom: [{ kind: "ConfigMap", name: "c" }] }, release, await ports({}, { "ConfigMap/apps/c": { "values.yaml": "word" } }), AbortSignal.timeout(10_000));
  await assert.rejects(composing, /yaml: found word/);
});
