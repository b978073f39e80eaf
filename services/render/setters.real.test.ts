import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import fc from "fast-check";
import { parseAllDocuments } from "yaml";
import { Engine } from "./engine.ts";
import { applySetters, type Change, type ElectedImage, type SetterNotice } from "./setters.ts";
import { buildWasm } from "./wasm-file.ts";

const engine = new Engine({ wasm: await buildWasm(() => {}) });
const options = () => ({ engine, subject: "apps/images", signal: AbortSignal.timeout(300_000) });

type Texts = Record<string, string>;
type Answer = { files: Texts; changes: Change[]; notices: SetterNotice[] };

// What image-automation-controller's own internal/update (1.2, kyaml 0.21.1) made of these files.
const { policies: named, cases } = JSON.parse(readFileSync(new URL("setters.flux.json", import.meta.url), "utf8")) as {
  policies: Record<string, ElectedImage>;
  cases: { title: string; files: Texts; flux: Pick<Answer, "files" | "changes"> }[];
};
const policies = new Map(Object.entries(named));

/** Many sets of files in one call: each in a directory of its own. */
async function setAll(sets: readonly Texts[]): Promise<Answer[]> {
  const all = sets.flatMap((files, i) => Object.entries(files).map(([file, text]) => [`${i}/${file}`, Buffer.from(text)] as const));
  const updated = await applySetters(new Map(all), policies, options());
  return sets.map((_, i) => {
    const own = <T extends { file: string }>(list: readonly T[]): T[] => list.filter(({ file }) => file.startsWith(`${i}/`)).map((each) => ({ ...each, file: each.file.slice(`${i}/`.length) }));
    const files = own([...updated.files].map(([file, bytes]) => ({ file, text: Buffer.from(bytes).toString() })));
    return { files: Object.fromEntries(files.map(({ file, text }) => [file, text])), changes: own(updated.changes), notices: own(updated.notices) };
  });
}

const answers = await setAll(cases.map(({ files }) => files));
const answerTo = (title: string) => answers[cases.findIndex((each) => each.title === title)] ?? assert.fail(title);

// Flux would write what nobody could mean, or nothing.
const beyond: Record<string, string> = {
  "a boolean becomes a text": "Flux writes !!bool 2.1.0",
  "null": "Flux writes !!null 2.1.0",
  "tilde": "Flux writes !!null 2.1.0",
  "Kustomization": "Flux writes !!float 2.1.0",
  "kustomization.yaml without kind": "Flux writes !!float 2.1.0",
  "a list as document": "Flux passes over the file, because it cannot put annotations into it",
  "scalar document": "the same",
  "metadata that is no mapping": "the same",
  "one bad document of two": "Flux passes over the whole file; a document without a marker is none of our business",
  "directive": "the same",
  "a List": "Flux writes each item into a file of its own, beside the one it is from",
  "line separators of Unicode": "Flux writes them as escapes",
};
const not: Record<string, string> = {
  "the long form of kyaml": "a marker without $imagepolicy, which Flux does not document",
  "a percent sign in the setter": "a setter is a name and no address",
};

const data = (text: string) => parseAllDocuments(text).map((document) => document.toJS({ maxAliasCount: -1, mapAsMap: true }) as unknown).filter((each) => each !== null);
const inOrder = (changes: readonly Change[]) => changes.map(({ file, object, setter, oldValue, newValue }) => JSON.stringify([file, object.apiVersion, object.kind, object.namespace, object.name, setter, oldValue, newValue])).sort();
// The library of the test has an opinion of its own on this one.
const laidOut = (text: string) => text.replaceAll("!!merge ", "");

for (const [i, { title, files, flux }] of cases.entries())
  if (!(title in beyond) && !(title in not))
    test(`[IM20] ${title}: the same values as Flux`, () => {
      const { changes, files: updated } = answers[i] ?? assert.fail();
      assert.deepEqual(inOrder(changes), inOrder(flux.changes));
      assert.deepEqual(Object.keys(updated).sort(), Object.keys(flux.files).sort());
      if (!/bomb|itself/.test(title)) for (const [file, text] of Object.entries(updated)) assert.deepEqual(data(text), data(laidOut(flux.files[file] ?? "")), files[file]);
    });

const strings: [title: string, value: unknown][] = [
  ["a boolean becomes a text", "2.1.0"], ["null", "2.1.0"], ["tilde", "2.1.0"], ["number in place of a text", "1.20"], ["octal of YAML 1.1", "0777"], ["yes of YAML 1.1", "yes"],
];
for (const [title, value] of strings)
  test(`[IM22] ${title}: it is a text, whatever stood there`, () => {
    const [document] = parseAllDocuments(answerTo(title).files["a.yaml"] ?? "", { version: "1.1" });
    assert.equal(document?.getIn(["spec", "tag"]), value);
  });

test("[IM22] a version in place of a number, as kustomize's newTag", () =>
  assert.match(answerTo("Kustomization").files["Kustomization"] ?? "", /^ {2}newTag: 2\.1\.0 # /m));

test("[IM23] what Flux passes over or takes apart is set where it stands", () => {
  assert.equal(answerTo("a list as document").files["a.yaml"], `- op: replace\n  value: ghcr.io/org/web:2.1.0 # {"$imagepolicy": "apps:web"}\n`);
  const { files, changes } = answerTo("a List");
  assert.deepEqual(Object.keys(files), ["a.yaml"]);
  assert.match(files["a.yaml"] ?? "", /^kind: List\nitems:\n[^]*^ {2}image: ghcr\.io\/org\/web:2\.1\.0 # /m);
  assert.deepEqual(changes.map(({ object }) => object), [{ apiVersion: "v1", kind: "Pod", namespace: "", name: "p" }]);
});

const web = `# {"$imagepolicy": "apps:web"}`;
const places: { before: string; after: string; why: string }[] = [
  { why: "a literal block stays one", before: `a: | ${web}\n    old:1\nb: x\n`, after: `a: |- ${web}\n    ghcr.io/org/web:2.1.0\nb: x\n` },
  { why: "a block that keeps its line ends", before: `a: |+ ${web}\n    old:1\n\n\nb: x\n`, after: `a: |- ${web}\n    ghcr.io/org/web:2.1.0\n\n\nb: x\n` },
  { why: "a folded block of several lines", before: `a: >2- ${web}\n\n  old:1\n   more\n\n  end\n# c\nb: x\n`, after: `a: >2- ${web}\n  ghcr.io/org/web:2.1.0\n# c\nb: x\n` },
  { why: "a block in a file with CRLF", before: `a: | ${web}\r\n  old:1\r\n  old:2\r\nb: x\r\n`, after: `a: |- ${web}\r\n  ghcr.io/org/web:2.1.0\r\nb: x\r\n` },
  { why: "a block at the end without line break", before: `a: |- ${web}\n  old:1`, after: `a: |- ${web}\n  ghcr.io/org/web:2.1.0` },
  { why: "a plain value of two lines", before: `a: old:1\n   more ${web}\nb: x\n`, after: `a: ghcr.io/org/web:2.1.0 ${web}\nb: x\n` },
  { why: "quotes over two lines", before: `a: "old\\\n  :1" ${web}\n`, after: `a: "ghcr.io/org/web:2.1.0" ${web}\n` },
  { why: "an anchor, a tag and a line's end between", before: `a: &x\n\n  !!str   'old:1' ${web}\nb: *x\n`, after: `a: &x\n\n  !!str   'ghcr.io/org/web:2.1.0' ${web}\nb: *x\n` },
  { why: "a value that looks like an anchor", before: `a: '&x old' ${web}\n`, after: `a: 'ghcr.io/org/web:2.1.0' ${web}\n` },
  { why: "escaped quotes", before: `a: "\\"old\\\\" ${web}\n`, after: `a: "ghcr.io/org/web:2.1.0" ${web}\n` },
  { why: "a flow mapping", before: `a: {"x":old:1, ${web}\n y: [ 'old:1', ${web}\n ] }\n`, after: `a: {"x":ghcr.io/org/web:2.1.0, ${web}\n y: [ 'ghcr.io/org/web:2.1.0', ${web}\n ] }\n` },
  { why: "a file of lines that end with CR", before: `a: x\rb: old:1 ${web}\rc: y\r`, after: `a: x\rb: ghcr.io/org/web:2.1.0 ${web}\rc: y\r` },
  { why: "characters beyond ASCII in the line", before: `"😀é": {ü: "x\u2028y😀", i: "old:1" ${web}\n}\n`, after: `"😀é": {ü: "x\u2028y😀", i: "ghcr.io/org/web:2.1.0" ${web}\n}\n` },
];
const placed = await setAll(places.map(({ before }) => ({ "a.yaml": before })));
for (const [i, { before, after, why }] of places.entries())
  test(`[IM21] ${why}: nothing but the value changes`, () => {
    assert.deepEqual(placed[i]?.notices, []);
    assert.equal(placed[i]?.files["a.yaml"], after, before);
  });

/** Text, and values with a marker: what they are before and after. */
type Piece = string | { before: string; after: string };

const gap = fc.constantFrom(" ", "  ", "\t", " \t ");
const scalar: fc.Arbitrary<[before: string, after: string]> = fc.constantFrom(
  ["old:1", "ghcr.io/org/web:2.1.0"], ["'old:1'", "'ghcr.io/org/web:2.1.0'"], ['"ö\\u00e4:1"', '"ghcr.io/org/web:2.1.0"'], ["'it''s'", "'ghcr.io/org/web:2.1.0'"],
  ["&a old", "&a ghcr.io/org/web:2.1.0"], ["!!str 'x # y'", "!!str 'ghcr.io/org/web:2.1.0'"], ["ghcr.io/org/web:2.1.0", "ghcr.io/org/web:2.1.0"], ["😀:1", "ghcr.io/org/web:2.1.0"],
);
const marked = fc.tuple(scalar, gap, fc.constantFrom(web, `#{"$imagepolicy":"apps:web"}`, `#   {"$imagepolicy": "apps:web"}  `)).map(([[before, after], space, marker]): Piece[] => [{ before, after }, `${space}${marker}\n`]);
const stranger = fc.constantFrom("x", "'x: y'", `old:1 # {"$imagepolicy": "other:web"}`, "!own x   # about", "[a, {b: c}]", "|\n                                        text # {\"$imagepolicy\": \"apps:web\"}\n\n                                        --- x", "\"äöü😀\\n\"").map((text): Piece[] => [`${text}\n`]);
const between = fc.constantFrom("", "\n", "# comment\n", "   \n", `# image: old:1 ${web}\n`, "\n\n#\n");
const { block } = fc.letrec<{ block: Piece[][] }>((tie) => ({
  // Lines of a block, each without its indentation but for that of what is in it.
  block: fc.array(fc.oneof({ maxDepth: 3 }, fc.tuple(between, fc.oneof(marked, stranger)), fc.tuple(between, tie("block"), fc.constantFrom(1, 2, 3, 6))), { minLength: 1, maxLength: 4 })
    .map((entries) => entries.flatMap((entry, i): Piece[][] => {
      const [before, content, indent = 0] = entry as [string, Piece[] | Piece[][], number?];
      const comment = before.split("\n").slice(0, -1).map((line): Piece[] => [`${line}\n`]);
      if (indent === 0) return [...comment, [`key${i}: `, ...(content as Piece[])]];
      return [...comment, [`key${i}:\n`], ...(content as Piece[][]).map((line): Piece[] => [" ".repeat(indent), ...line])];
    })),
}));
const list = fc.tuple(fc.constantFrom("", "  ", "    "), fc.array(fc.oneof(marked, stranger), { minLength: 1, maxLength: 3 })).map(([indent, items]): Piece[][] => [["items:\n"], ...items.map((item): Piece[] => [`${indent}- `, ...item])]);
const file = fc.record({
  bom: fc.constantFrom("", "\ufeff"), head: fc.constantFrom("", "---\n", "# head\n"), tail: fc.constantFrom("", "# tail\n", "\n\n"), crlf: fc.boolean(), cut: fc.boolean(),
  documents: fc.array(fc.oneof(block, list), { minLength: 1, maxLength: 3 }),
}).map(({ bom, head, tail, crlf, cut, documents }) => {
  const text = (when: "before" | "after") => {
    const lines = documents.map((document) => document.flat().map((piece) => (typeof piece === "string" ? piece : piece[when])).join("")).join("---\n");
    const whole = `${bom}${head}${lines}${tail}`;
    return (cut ? whole.replace(/\n$/, "") : whole).replaceAll("\n", crlf ? "\r\n" : "\n");
  };
  return { before: text("before"), after: text("after") };
});

test("[IM21] whatever a file looks like, every byte beside the values stays, and the next time nothing changes", () =>
  fc.assert(
    fc.asyncProperty(fc.array(file, { minLength: 60, maxLength: 60 }), async (files) => {
      const updated = await setAll(files.map(({ before }) => ({ "a.yaml": before })));
      const texts = updated.map((answer, i) => answer.files["a.yaml"] ?? files[i]?.before ?? "");
      for (const [i, { before, after }] of files.entries()) assert.equal(texts[i], after, JSON.stringify([before, updated[i]?.notices]));
      assert.deepEqual((await setAll(texts.map((text) => ({ "a.yaml": text })))).flatMap(({ changes }) => changes), []);
    }),
    { seed: Number(process.env["SEED"] ?? 20), numRuns: 4, endOnFailure: true },
  ));
