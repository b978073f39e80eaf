import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { Engine } from "./engine.ts";
import { applySetters, mayHoldMarkers, type ElectedImage } from "./setters.ts";
import { buildWasm } from "./wasm-file.ts";

const engine = new Engine({ wasm: await buildWasm(() => {}) });
const policies = new Map<string, ElectedImage>([["apps:web", { name: "ghcr.io/org/web", tag: "2.1.0" }]]);
const set = (files: Record<string, string | Uint8Array>, more = {}) =>
  applySetters(new Map(Object.entries(files).map(([file, content]) => [file, Buffer.from(content as string)])), policies, { engine, subject: "apps/images", signal: AbortSignal.timeout(300_000), ...more });

const web = `# {"$imagepolicy": "apps:web"}`;

// What is said of a marker that leads to nothing, and where.
const told: { text: string | Uint8Array; code: string; line?: number; detail: RegExp | string; sets?: boolean }[] = [
  { text: `a: x\nb: old # {"$imagepolicy": "apps:other"}\n`, code: "unknown", line: 2, detail: "apps:other" },
  { text: `b: old # {"$imagepolicy": "other:web:tag"}\nc: old ${web}\n`, code: "unknown", line: 1, detail: "other:web:tag", sets: true },
  { text: `kind: A\n---\n# c\nb: old # {"$imagepolicy: "apps:web"}\nc: "$imagepolicy"\n`, code: "malformed", line: 4, detail: `# {"$imagepolicy: "apps:web"}` },
  { text: `b: old # use {"$imagepolicy": "apps:web"}\n`, code: "malformed", line: 1, detail: /^# use/ },
  { text: `b: ${web}\n  name: x\n`, code: "stray", line: 1, detail: "apps:web" },
  { text: `kind: A\r\n---\r\na: x\r\n${web}\r\nb: old\r\n`, code: "stray", line: 5, detail: "apps:web" },
  { text: `b: [old, other] ${web}\n`, code: "stray", line: 1, detail: "apps:web" },
  { text: `b: old # {"$imagepolicy": "apps:web:digest"}\n`, code: "noDigest", detail: "apps:web:digest", sets: true },
  { text: `a: old ${web}\n...\nb: old ${web}\n`, code: "unread", line: 1, detail: /begin each with a line ---/, sets: true },
  { text: `a: x\n---\nb: [\nc: old ${web}\n`, code: "unreadable", detail: /^line [34]: / },
  { text: `a: *nobody\nb: old ${web}\n`, code: "unreadable", detail: "unknown anchor 'nobody' referenced" },
  { text: `--- a: x\n--- b: y\nc: old ${web}\n`, code: "unreadable", detail: "invalid document separator: --- b: y" },
  { text: `a: ${"[".repeat(20_000)} ${web}\n`, code: "unreadable", detail: "exceeded max depth of 10000" },
  { text: Buffer.concat([Buffer.from(`a: old ${web}\nb: "`), Buffer.from([0xff]), Buffer.from('"\n')]), code: "unreadable", detail: "it is not UTF-8" },
  { text: Buffer.concat([Buffer.from(`a: old ${web}\n#`), Buffer.alloc(4 * 1024 * 1024)]), code: "tooLarge", detail: /^more than 4194304 bytes/ },
];
const answered = await set(Object.fromEntries(told.map(({ text }, i) => [`${i}.yaml`, text])));
for (const [i, { text, code, line, detail, sets = false }] of told.entries())
  test(`[IM24] ${code}: ${JSON.stringify(Buffer.from(text as string).toString().slice(0, 60))}`, () => {
    const file = `${i}.yaml`;
    const [notice, ...more] = answered.notices.filter((each) => each.file === file);
    assert.deepEqual(more, []);
    assert.deepEqual([notice?.code, notice?.line], [code, line]);
    if (typeof detail === "string") assert.equal(notice?.detail, detail);
    else assert.match(notice?.detail ?? "", detail);
    assert.equal(answered.files.has(file), sets);
  });

test("[IM24] what was taken out, and what has no marker, is not told of", async () => {
  const { notices, files } = await set({ "a.yaml": `# image: old ${web}\na: |\n  image: old ${web}\nb: x # "imagepolicy"\n`, "b.yaml": "a: [\n" });
  assert.deepEqual([notices, files.size], [[], 0]);
});

const names: [path: string, may: boolean][] = [
  ["a.yaml", true], ["apps/a.yml", true], ["Kustomization", true], ["apps/Kustomization", true], [".yaml", true], ["a.yaml.tmpl", false], ["a.YAML", false], ["kustomization", false],
  ["MyKustomization", false], ["a.json", false], ["yaml", false], ["a.yaml/README", false],
];
for (const [path, may] of names) test(`[IM20] ${path} ${may ? "may" : "cannot"} hold markers`, () => assert.equal(mayHoldMarkers(path), may));

test("[IM25] aliases that would grow without end, and what refers to itself, are not followed", async () => {
  const bomb = Array.from({ length: 60 }, (_, i) => `a${i}: &a${i} [${i === 0 ? "x" : Array.from({ length: 9 }, () => `*a${i - 1}`).join(", ")}]\n`).join("");
  const { files } = await set({ "a.yaml": `${bomb}b: &b {c: *b}\nimage: old ${web}\n` });
  assert.match(Buffer.from(files.get("a.yaml") ?? []).toString(), /\nimage: ghcr\.io\/org\/web:2\.1\.0 # /);
});

test("[IM25] what takes too long is ended, and nothing of it is used", () =>
  assert.rejects(set({ "a.yaml": `${"- a\n".repeat(200_000)}- old ${web}\n` }, { timeoutMs: 20 }), (error) =>
    error instanceof Fault && error.code === "ImageUpdateFailed" && error.detail === "not done after 0.02 s"));

test("[IM25] more than 32 MiB of files with markers is refused", () => {
  const half = `${web}\n${"#".repeat(3 * 1024 * 1024)}\n`;
  return assert.rejects(set(Object.fromEntries(Array.from({ length: 11 }, (_, i) => [`${i}.yaml`, half]))), (error) => error instanceof Fault && error.code === "ImageUpdateFailed" && /33554432 bytes/.test(error.message));
});

test("[IM25] whoever asks may end it", async () => {
  const reason = new Error("handed over");
  const controller = new AbortController();
  const asked = set({ "a.yaml": `${"- a\n".repeat(400_000)}- old ${web}\n` }, { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(asked, reason);
});

test("[IM25] many at once are answered one after the other, and whoever waits may leave", async () => {
  const controller = new AbortController();
  const reason = new Error("handed over");
  const long = [1, 2].map(() => set({ "a.yaml": `${"- a\n".repeat(20_000)}- old ${web}\n` }));
  const waiting = set({ "a.yaml": `a: old ${web}\n` }, { signal: controller.signal });
  const others = [1, 2, 3].map((i) => set({ [`${i}.yaml`]: `a: old ${web}\n` }));
  controller.abort(reason);
  await assert.rejects(waiting, reason);
  const answers = await Promise.all([...long, ...others]);
  assert.deepEqual(answers.map(({ files }) => [...files.keys()]), [["a.yaml"], ["a.yaml"], ["1.yaml"], ["2.yaml"], ["3.yaml"]]);
});
