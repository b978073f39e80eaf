/** The shape of the code as a test: who may import whom, what pure folders may not touch, and rules that have no test. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import test from "node:test";
import { kinds } from "#protocol/api/registry.ts";

const root = join(import.meta.dirname, "..");

// What git tracks or would track: a file that was deleted and not yet committed does not count.
const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { cwd: root, encoding: "utf8" })
  .split("\n").filter((name) => name !== "" && existsSync(join(root, name)));
const sources = files.filter((name) => name.endsWith(".ts"));
const text = new Map(sources.map((name) => [name, readFileSync(join(root, name), "utf8")]));
const isTest = (name: string) => name.endsWith(".test.ts") || name.startsWith("test/");
const code = sources.filter((name) => !isTest(name));

const importsOf = (name: string): string[] =>
  [...(text.get(name) ?? "").matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].flatMap(([, target]) => (target ? [target] : []));

/** The file an import means, as a path from the root; packages as they are named. */
function resolveImport(from: string, target: string): string {
  if (target.startsWith("#")) return target.slice(1);
  return target.startsWith(".") ? relative(root, normalize(join(root, dirname(from), target))) : target;
}

const processes = ["worker", "gateway", "cli"];
const area = (file: string) => file.split("/").slice(0, 2).join("/");
const within = (file: string, ...folders: string[]) => folders.some((folder) => file.startsWith(`${folder}/`));
const isOurs = (file: string) => within(file, "protocol", "machines", "services", "deploy", "test");

/** The table of docs/ARCHITECTURE.md, as a question. */
function mayImport(from: string, target: string): boolean {
  if (within(from, "deploy", "test") || isTest(from)) return true;
  if (within(target, "deploy", "test")) return false;
  if (within(from, "protocol")) return isOurs(target) ? within(target, "protocol") : target === "zod";
  if (within(from, "machines")) return isOurs(target) ? within(target, "protocol", "machines") : target === "xstate";
  if (!isOurs(target)) return true;
  if (within(from, "services/clients", "services/telemetry", "services/threads")) return within(target, "protocol") || area(target) === area(from);
  const [, folder = ""] = from.split("/");
  if (processes.includes(folder)) return true;
  // What a release does to a cluster is a sequence of what services/cluster does: it is written once.
  if (folder === "release" && within(target, "services/cluster")) return true;
  return within(target, "protocol", "machines/rules", "services/clients", "services/telemetry", "services/threads") || area(target) === area(from);
}

test("[TD1] every import follows the table of folders", () => {
  const wrong = code.flatMap((from) =>
    importsOf(from).map((target) => resolveImport(from, target)).filter((target) => !mayImport(from, target)).map((target) => `${from} -> ${target}`));
  assert.deepEqual(wrong, []);
});

test("[TD2] protocol and machines read no clock, roll no dice and do no I/O", () => {
  const impure = /Date\.now|new Date\(\)|Math\.random|\bawait\b|process\.|setTimeout|performance\.now|from "node:/;
  const wrong = code.filter((name) => within(name, "protocol", "machines")).flatMap((name) =>
    (text.get(name) ?? "").split("\n").flatMap((line, index) =>
      impure.test(line) && !/^\s*(\*|\/\/|\/\*)/.test(line) ? [`${name}:${index + 1}: ${line.trim()}`] : []));
  assert.deepEqual(wrong, []);
});

test("[TD3] only what talks to people prints", () => {
  const wrong = code.filter((name) => within(name, "services") && !within(name, "services/cli")).filter((name) => /\bconsole\./.test(text.get(name) ?? ""));
  assert.deepEqual(wrong, []);
});

test("[TD4] no folder or file is named for what it lacks: a meaning", () => {
  assert.deepEqual(files.filter((name) => /(^|\/)(utils?|common|misc|helpers?|shared|stuff)(\/|\.ts$)/.test(name)), []);
});

test("[TD5] every source kind is a folder, and every folder is in the registry", () => {
  const folder = join(root, "services/sources");
  const folders = readdirSync(folder).filter((name) => statSync(join(folder, name)).isDirectory());
  const registry = text.get("services/sources/index.ts") ?? "";
  assert.deepEqual(folders.filter((name) => !registry.includes(`"./${name}/`)), []);
});

test("[TD6] the word of a source kind's folder stays in that folder", () => {
  const wrong = code.filter((name) => within(name, "machines", "services") && !within(name, "services/sources/git"))
    .filter((name) => /isomorphic-git/.test(text.get(name) ?? ""));
  assert.deepEqual(wrong, []);
});

test("[TD10] a kind of source is one folder and one line of each registry: nothing else knows it by name", () => {
  const knowing = code.filter((name) => within(name, "machines", "services") && !within(name, "services/cli") && name !== "services/sources/index.ts")
    .flatMap((name) => kinds.filter(({ source }) => source).flatMap(({ kind }) => {
      const statements = (text.get(name) ?? "").split("\n").filter((line) => !/^\s*(\*|\/\/|\/\*)/.test(line));
      const word = new RegExp(`\\b${kind}\\b|["'\`]${kind.toLowerCase()}["'\`/]`); // some kinds are plain words too
      return statements.some((line) => word.test(line.replace(/ \/[/*].*/, ""))) ? [{ kind, name }] : [];
    }));
  const folderOf = new Map([...(text.get("services/sources/index.ts") ?? "").matchAll(/import \{ (\w+) \} from "\.\/([\w-]+)\//g)].map(([, kind, folder]) => [kind?.toLowerCase(), `services/sources/${folder}`]));
  const strangers = knowing.filter(({ kind, name }) => !within(name, folderOf.get(kind.toLowerCase()) ?? "none")).map(({ kind, name }) => `${name} knows ${kind}`);
  assert.deepEqual(strangers, []);
});

const specFolder = join(root, "docs/spec");
const rules = new Map<string, string>();
for (const file of existsSync(specFolder) ? readdirSync(specFolder) : [])
  for (const [, id] of readFileSync(join(specFolder, file), "utf8").matchAll(/^- \*\*([A-Z]{2,4}\d+)\*\*/gm))
    if (id) rules.set(id, file);
const tested = new Set(sources.filter(isTest).flatMap((name) => [...(text.get(name) ?? "").matchAll(/\[([A-Z]{2,4}\d+)\]/g)].flatMap(([, id]) => (id ? [id] : []))));

test("[TD7] every rule of docs/spec has a test that names it", () => {
  assert.deepEqual([...rules].filter(([id]) => !tested.has(id)).map(([id, file]) => `${id} (${file})`), []);
});

test("[TD8] every rule a test names is written down", () => {
  assert.deepEqual([...tested].filter((id) => !rules.has(id)), []);
});

test("[TD9] a source file fits in the head, or does not grow", () => {
  const longest = 400;
  // May stay, may not grow.
  const known: Record<string, number> = { "services/worker/host.ts": 439 };
  const wrong = code.map((name) => ({ name, lines: (text.get(name) ?? "").split("\n").length }))
    .filter(({ name, lines }) => lines > (known[name] ?? longest)).map(({ name, lines }) => `${name}: ${lines} lines`);
  assert.deepEqual(wrong, []);
});
