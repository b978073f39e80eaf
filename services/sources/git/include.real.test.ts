/** Against git's own http-backend; the included artifacts are held in memory. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { extract, pack } from "tar-stream";
import { buffer } from "node:stream/consumers";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { startGitServer, type GitServer } from "../../../deploy/local/git-server.ts";
import { scratchFolder } from "../../../test/kit/cluster.ts";
import { closeConnections } from "#services/clients/http/connections.ts";
import { writeArchive } from "#services/sources/archive.ts";
import type { HeldSource, Resolution } from "#services/sources/define.ts";
import { createGitRepository } from "./git.ts";
import { gitThreads } from "./git-threads.ts";
import { including } from "./include.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import type { GitSpec } from "./reference.ts";

type Include = NonNullable<GitSpec["include"]>;

const threads = gitThreads(2);
let server: GitServer;
let commit: string;
/** Other GitRepositories of the namespace. */
const others = new Map<string, HeldSource>();

before(async () => {
  server = await startGitServer({ dir: scratchFolder() });
  await server.createRepo("shop");
  commit = await server.commit("shop", { message: "Open", files: { "app.yaml": "own", "lib/own.yaml": "own", "way": { mode: "120000", content: "/etc" } } });
  await hold("base", { "a.yaml": "a", "deep/b.sh": { text: "b", executable: true }, "deep/c.md": "c", "deep/logo.png": "pixels" });
  await hold("more", { "m.yaml": "m" });
  await hold("ruled", { ".sourceignore": "*.md\n", "x.md": "x", "x.yaml": "x" });
  others.set("bare", { shown: "GitRepository/apps/bare", spec: { url: "http://x" } });
});
after(async () => {
  await Promise.all([closeConnections(), threads.close()]);
  await server.stop();
});

type Files = Record<string, string | { text: string; executable: true }>;

async function hold(name: string, files: Files, spec: object = {}): Promise<void> {
  const archive = await writeArchive([
    ...[...new Set(Object.keys(files).filter((path) => path.includes("/")).map((path) => path.slice(0, path.lastIndexOf("/"))))].map((path) => ({ path, kind: "directory" as const })),
    ...Object.entries(files).map(([path, file]) => ({ path, kind: typeof file === "string" ? "file" as const : "executable" as const, read: () => Buffer.from(typeof file === "string" ? file : file.text) })),
  ]);
  holdBytes(name, archive, spec);
}

function holdBytes(name: string, archive: Uint8Array, spec: object = {}, sizeBytes = archive.length): void {
  const digest = `sha256:${createHash("sha256").update(archive).digest("hex")}`;
  const stored = { revision: `main@sha1:${name}`, digest, sizeBytes, path: `gitrepository/apps/${name}/x.tar.gz`, storedAt: "2026-01-01T00:00:00Z" };
  others.set(name, { shown: `GitRepository/apps/${name}`, spec, artifact: { revision: stored.revision, digest, traceparent: "", stored, read: async () => archive } });
}

const callOf = (include: Include, spec: Partial<GitSpec> = {}) => ({
  key: { kind: "gitrepository", namespace: "apps", name: "shop" },
  spec: { url: server.repoUrl("shop"), ref: { branch: "main" }, include, ...spec },
  secret: async () => ({}),
  source: async ({ name }: { name: string }) => others.get(name) ?? Promise.reject(new Fault("SourceMissing", `GitRepository/apps/${name}`)),
  siblings: async () => [...others].map(([name, { spec }]) => ({ name, spec })),
  signal: AbortSignal.timeout(30_000),
});

const kindOf = (limits: Partial<Limits> = {}) => {
  const all = { ...defaultLimits, ...limits };
  return including(createGitRepository({ limits: all, threads }), all);
};
const fetch = async (include: Include, spec: Partial<GitSpec> = {}, limits?: Partial<Limits>) =>
  kindOf(limits).fetch({ ...callOf(include, spec), revision: `main@sha1:${commit}` });
const resolve = async (include: Include) => kindOf().resolve(callOf(include));

async function filesOf(archive: Uint8Array): Promise<Record<string, string>> {
  const tar = extract();
  tar.end(gunzipSync(archive));
  const files: Record<string, string> = {};
  for await (const entry of tar) {
    const contents = Buffer.concat((await Array.fromAsync(entry)) as Buffer[]).toString();
    if (entry.header.type !== "directory") files[entry.header.name] = `${entry.header.mode?.toString(8)} ${contents}`;
  }
  return files;
}
const laid = async (include: Include, spec?: Partial<GitSpec>) => filesOf((await fetch(include, spec)).archive);
const named = (name: string, paths: { fromPath?: string; toPath?: string } = {}) => ({ repository: { name }, ...paths });
const own = { "app.yaml": "600 own", "lib/own.yaml": "600 own" };

const fault = (code: FaultCode, detail: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Fault, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.detail ?? "", detail);
  return true;
};

const places: { title: string; include: Include; files: Record<string, string> }[] = [
  { title: "the whole, under the other's name", include: [named("base")], files: { "base/a.yaml": "600 a", "base/deep/b.sh": "700 b", "base/deep/c.md": "600 c" } },
  { title: "a directory, at a place", include: [named("base", { fromPath: "./deep/", toPath: "lib/x" })], files: { "lib/x/b.sh": "700 b", "lib/x/c.md": "600 c" } },
  { title: "a file, under another name", include: [named("base", { fromPath: "a.yaml", toPath: "lib/a2.yaml" })], files: { "lib/a2.yaml": "600 a" } },
  { title: "a file in place of another", include: [named("base", { fromPath: "a.yaml", toPath: "lib/own.yaml" })], files: { "lib/own.yaml": "600 a" } },
  { title: "one inside another", include: [named("more"), named("base", { fromPath: "deep", toPath: "more/y" })], files: { "more/m.yaml": "600 m", "more/y/b.sh": "700 b", "more/y/c.md": "600 c" } },
  { title: "the same one twice", include: [named("more"), named("more", { toPath: "again" })], files: { "more/m.yaml": "600 m", "again/m.yaml": "600 m" } },
  { title: "paths that lead out end at the root", include: [named("base", { fromPath: "../../deep", toPath: "../../../etc" })], files: { "etc/b.sh": "700 b", "etc/c.md": "600 c" } },
];
for (const { title, include, files } of places)
  test(`[SR83] what is included lies where it is asked for: ${title}`, async () => assert.deepEqual(await laid(include), { ...own, ...files }));

test("[SR83] the rules for what is left out count for what is included, and those in it for its own directory", async () => {
  assert.deepEqual(await laid([named("base")], { ignore: "*.md\n" }), { ...own, "base/a.yaml": "600 a", "base/deep/b.sh": "700 b", "base/deep/logo.png": "600 pixels" });
  assert.deepEqual(await laid([named("ruled"), named("base", { fromPath: "deep", toPath: "d" })]), { ...own, "ruled/.sourceignore": "600 *.md\n", "ruled/x.yaml": "600 x", "d/b.sh": "700 b", "d/c.md": "600 c", "d/logo.png": "600 pixels" });
  assert.deepEqual(await laid([named("more")], { sparseCheckout: ["lib"] }), { "lib/own.yaml": "600 own", "more/m.yaml": "600 m" });
});

const wrong: { title: string; include: Include; detail: RegExp }[] = [
  { title: "what is not in the artifact", include: [named("base", { fromPath: "none" })], detail: /'base': its artifact has no "none"/ },
  { title: "a directory with something in it", include: [named("base", { toPath: "lib" })], detail: /at toPath "lib" there is something/ },
  { title: "a directory in place of a file", include: [named("base", { toPath: "app.yaml" })], detail: /there is something/ },
  { title: "below a file", include: [named("base", { toPath: "app.yaml/x" })], detail: /below "app.yaml", which is no directory/ },
  { title: "through a link", include: [named("base", { toPath: "way/x" })], detail: /below "way"/ },
  { title: "in place of a link", include: [named("base", { fromPath: "a.yaml", toPath: "way" })], detail: /there is something/ },
  { title: "the root", include: [named("base", { toPath: "./" })], detail: /the root/ },
  { title: "a name no checkout has", include: [named("base", { toPath: "a\\b" })], detail: /backslash/ },
  { title: "one place twice", include: [named("base"), named("more", { toPath: "base" })], detail: /'more': at toPath "base"/ },
];
for (const { title, include, detail } of wrong)
  test(`[SR83] refused: ${title}`, () => assert.rejects(fetch(include), fault("IncludeFailed", detail)));

test("[SR84] what leaves its archive is not laid anywhere, and what is no archive is refused", async () => {
  const tar = pack();
  tar.entry({ name: "../escaped" }, "x");
  tar.finalize();
  holdBytes("hostile", gzipSync(await buffer(tar)));
  await assert.rejects(fetch([named("hostile")]), fault("IncludeFailed", /'hostile': .*leaves the archive/));
  holdBytes("garbled", Buffer.from("no archive"));
  await assert.rejects(fetch([named("garbled")]), fault("IncludeFailed", /'garbled'/));
});

test("[SR84] what is included is bounded: entries, files, bytes, lengths", async () => {
  await assert.rejects(fetch(Array.from({ length: 101 }, (_, i) => named("more", { toPath: `m${i}` }))), fault("SourceTooLarge", /more than 100 entries/));
  await assert.rejects(fetch([named("base")], {}, { files: 7 }), fault("SourceTooLarge", /more than 7 files/));
  await hold("big", { "a.txt": "x".repeat(600) });
  const [one, two] = [named("big"), named("big", { toPath: "two" })];
  await fetch([one], {}, { archivedBytes: 1000 });
  await assert.rejects(fetch([one, two], {}, { archivedBytes: 1000 }), fault("SourceTooLarge", /included adds up to more than 1000 bytes/));
  await assert.rejects(fetch([named("more", { toPath: "d".repeat(90) })], {}, { pathBytes: 91 }), fault("SourceTooLarge", /longer than 91/));
  holdBytes("vast", Buffer.from("never read"), {}, 2 ** 40);
  await assert.rejects(fetch([named("vast")]), fault("SourceTooLarge", /included artifacts add up/));
});

test("[SR82] what is included is found with the revision, and told with the artifact; without any nothing is different", async () => {
  const base = others.get("base")?.artifact?.stored;
  const more = others.get("more")?.artifact?.stored;
  const include = [named("more"), named("base", { fromPath: "deep" }), named("more", { toPath: "again" })];
  const found = (await resolve(include)) as Resolution;
  assert.deepEqual(found, { revision: `main@sha1:${commit}`, included: [more, base, more] });
  const { revision, included, observed, file } = await fetch(include);
  assert.deepEqual([revision, included, file], [found.revision, found.included, `${commit}.tar.gz`]);
  assert.deepEqual(observed?.["observedInclude"], include);

  assert.equal(await resolve([]), `main@sha1:${commit}`);
  const alone = await fetch([]);
  assert.deepEqual([alone.included, alone.observed?.["observedInclude"], await filesOf(alone.archive)], [[], null, own]);
});

test("[SR82] one that is not there, or has no artifact yet, is waited for before the server is asked", async () => {
  server.requests.length = 0;
  await assert.rejects(resolve([named("base"), named("none")]), fault("IncludeMissing", /could not get resource for include 'none'/));
  await assert.rejects(resolve([named("bare")]), fault("IncludeNotReady", /no artifact available for include 'bare'/));
  assert.equal(server.requests.length, 0);
});

test("[SR85] one that is included in itself is refused, by whatever way", async () => {
  await assert.rejects(resolve([named("shop")]), fault("IncludeCycle", /'shop' includes it/));
  await hold("outer", { "o.yaml": "o" }, { include: [named("middle"), named("base")] });
  await hold("middle", { "i.yaml": "i" }, { include: [named("base")] });
  assert.equal(((await resolve([named("outer")])) as Resolution).included?.length, 1);
  await hold("middle", { "i.yaml": "i" }, { include: [named("shop")] });
  await assert.rejects(resolve([named("base"), named("outer")]), fault("IncludeCycle", /'middle' includes it/));
});
