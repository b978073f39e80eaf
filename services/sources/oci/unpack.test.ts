import assert from "node:assert/strict";
import test from "node:test";
import { buffer } from "node:stream/consumers";
import { gunzipSync, gzipSync } from "node:zlib";
import { extract, pack, type Header } from "tar-stream";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import { repack } from "./unpack.ts";

type Entry = Partial<Header> & { name: string; contents?: string };

async function layerOf(...entries: Entry[]): Promise<Buffer> {
  const tar = pack();
  for (const { contents, ...header } of entries) tar.entry(header, contents ?? "");
  tar.finalize();
  return gzipSync(await buffer(tar));
}
const made = (layer: Uint8Array, { ignore, ...limits }: Partial<Limits> & { ignore?: string } = {}) =>
  repack({ layer, shown: "oci://a/b", limits: { ...defaultLimits, ...limits }, ...(ignore !== undefined && { ignore }) });

async function filesOf(archive: Uint8Array): Promise<Record<string, string>> {
  const tar = extract();
  tar.end(gunzipSync(archive));
  const files: Record<string, string> = {};
  for await (const entry of tar) {
    const contents = Buffer.concat((await Array.fromAsync(entry)) as Buffer[]).toString();
    files[entry.header.name] = entry.header.type === "directory" ? "directory" : `${entry.header.mode?.toString(8)} ${contents}`;
  }
  return files;
}
const fault = (code: FaultCode, detail: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Fault, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.detail ?? "", detail);
  return true;
};

test("[OC21] files and directories are taken over, whatever made them; links are left out", async () => {
  const layer = await layerOf(
    { name: "./", type: "directory" },
    { name: "./apps", type: "directory", mode: 0o777 },
    { name: "./apps/web.yaml", contents: "kind: Web", mode: 0o644, uid: 1000, uname: "ada", mtime: new Date() },
    { name: "deep/er/run.sh", contents: "#!", mode: 0o755 },
    { name: "out", type: "symlink", linkname: "/etc/passwd" },
    { name: "hard", type: "link", linkname: "apps/web.yaml" },
    { name: "apps/web.yaml", contents: "kind: Newer", mode: 0o644 },
  );
  const archive = await made(layer);
  assert.deepEqual(await filesOf(archive), {
    apps: "directory", "apps/web.yaml": "600 kind: Newer", deep: "directory", "deep/er": "directory", "deep/er/run.sh": "700 #!",
  });
});

test("[OC21] the same files give the same bytes, in whatever order they came", async () => {
  const [a, b] = [{ name: "a", contents: "1", mtime: new Date(0) }, { name: "b", contents: "2", mtime: new Date() }];
  assert.deepEqual(await made(await layerOf(a, b)), await made(await layerOf({ ...b, uid: 7 }, a)));
});

test("[OC21] ignore rules count after unpacking: those of the archive, then spec.ignore", async () => {
  const layer = await layerOf(
    { name: "a.yaml", contents: "a" }, { name: "logo.png", contents: "p" }, { name: "docs/b.md", contents: "b" }, { name: "docs/.sourceignore", contents: "*.md\n" },
  );
  assert.deepEqual(Object.keys(await filesOf(await made(await layerOf({ name: "a.yaml" }, { name: "logo.png" })))), ["a.yaml"]);
  assert.deepEqual(Object.keys(await filesOf(await made(layer))), ["a.yaml", "docs", "docs/.sourceignore", "logo.png"]);
  assert.deepEqual(Object.keys(await filesOf(await made(layer, { ignore: "/*\n!/docs\n!b.md" }))), ["docs", "docs/.sourceignore", "docs/b.md"]);
  await assert.rejects(made(layer, { ignore: "a\nb", patterns: 2 }), fault("IgnoreInvalid", /more than 2/));
});

const hostile: { what: string; entries: Entry[]; detail: RegExp }[] = [
  { what: "a path that climbs out", entries: [{ name: "../etc/passwd" }], detail: /leaves the archive/ },
  { what: "one that climbs out further down", entries: [{ name: "a/b/../../../c" }], detail: /leaves the archive/ },
  { what: "an absolute path", entries: [{ name: "/etc/passwd" }], detail: /absolute/ },
  { what: "a backslash", entries: [{ name: "a\\..\\b" }], detail: /backslash/ },
  { what: "a file below a file", entries: [{ name: "a", contents: "1" }, { name: "a/b" }], detail: /below a file/ },
  { what: "a file in place of a directory", entries: [{ name: "a/b" }, { name: "a", contents: "1" }], detail: /file and a directory/ },
  { what: "a device", entries: [{ name: "null", type: "character-device", devmajor: 1, devminor: 3 }], detail: /character-device/ },
  { what: "a pipe", entries: [{ name: "pipe", type: "fifo" }], detail: /fifo/ },
];
for (const { what, entries, detail } of hostile)
  test(`[OC23] ${what} is refused`, async () => assert.rejects(made(await layerOf(...entries)), fault("LayerInvalid", detail)));

test("[OC23] a link out of the archive is not followed by what comes after it", async () => {
  const layer = await layerOf({ name: "out", type: "symlink", linkname: "/tmp" }, { name: "out/file", contents: "inside" });
  assert.deepEqual(await filesOf(await made(layer)), { out: "directory", "out/file": "600 inside" });
});

test("[OC23] a bomb is refused as soon as it is too large, not when it is unpacked", async () => {
  const bomb = gzipSync(Buffer.alloc(64 * 2 ** 20)); // 64 KiB, and no tar either
  await assert.rejects(made(bomb, { unpackedBytes: 2 ** 20 }), fault("SourceTooLarge", /1048576/));
  const large = await layerOf({ name: "a", contents: "a".repeat(2 ** 20) });
  await assert.rejects(made(large, { unpackedBytes: 2 ** 20 }), fault("SourceTooLarge", /unpacked/));
  await assert.rejects(made(large, { archivedBytes: 2 ** 20 - 1 }), fault("SourceTooLarge", /add up/));
});

test("[OC23] a million entries, and a path without end, are refused", async () => {
  const many = await layerOf(...Array.from({ length: 101 }, (_, i) => ({ name: `f${i}` })));
  await assert.rejects(made(many, { entries: 100 }), fault("SourceTooLarge", /more than 100 entries/));
  await assert.rejects(made(await layerOf({ name: "a/".repeat(600) + "b" })), fault("SourceTooLarge", /path/));
});

const broken: { what: string; layer: () => Buffer | Promise<Buffer> }[] = [
  { what: "no gzip", layer: () => Buffer.from("kind: Web") },
  { what: "nothing", layer: () => Buffer.alloc(0) },
  { what: "gzip of no tar", layer: () => gzipSync(Buffer.from("a".repeat(2_000))) },
  { what: "half a gzip", layer: async () => (await layerOf({ name: "a", contents: "abc".repeat(5_000) })).subarray(0, 60) },
  { what: "a tar that breaks off", layer: async () => gzipSync(gunzipSync(await layerOf({ name: "a", contents: "a".repeat(5_000) })).subarray(0, 3_000)) },
];
for (const { what, layer } of broken)
  test(`[OC23] ${what} is no artifact`, async () => assert.rejects(made(await layer()), fault("LayerInvalid", /tar\.gz/)));
