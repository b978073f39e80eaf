import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import test from "node:test";
import { gzipSync } from "node:zlib";
import { Fault } from "#protocol/errors/fault.ts";
import { pack } from "./fixtures.ts";
import { unpack, unpackLimits } from "./unpack.ts";

const text = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString();
const corrupt = (thrown: unknown) =>
  thrown instanceof Fault && thrown.code === "ArtifactCorrupt" && thrown.subject === "sha256:x";
const file = (name: string, content = "x") => ({ name, content });

test("[RN34] files and directories are there, with or without ./, links are not", async () => {
  const tree = await unpack(
    await pack([
      { name: "./", type: "directory" },
      { name: "./empty/dir/", type: "directory" },
      file("./a/b.yaml", "one"),
      file("c//d", ""),
      { name: "a/link", type: "symlink", linkname: "/etc/passwd" },
      { name: "a/hard", type: "link", linkname: "a/b.yaml" },
    ]),
    "sha256:x",
  );
  assert.deepEqual([...tree.files.keys()].sort(), ["a/b.yaml", "c/d"]);
  assert.equal(text(tree.files.get("a/b.yaml")), "one");
  assert.deepEqual(tree.list(""), ["a/", "c/", "empty/"]);
  assert.deepEqual(tree.list("a"), ["b.yaml"]);
  assert.ok(tree.isDirectory("empty/dir") && tree.isDirectory("") && !tree.isDirectory("a/b.yaml"));
  assert.equal(tree.sizeBytes, 3);
});

const hostile: { what: string; entries: Parameters<typeof pack>[0] }[] = [
  { what: "a path that leaves the archive", entries: [file("../x")] },
  { what: "one that leaves it half way", entries: [file("a/../../x")] },
  { what: "one that only says so", entries: [file("a/../b")] },
  { what: "an absolute path", entries: [file("/etc/passwd")] },
  { what: "an absolute directory", entries: [{ name: "/etc/", type: "directory" }] },
  { what: "a path that is too long", entries: [file("d/".repeat(600) + "x")] },
  { what: "a file twice", entries: [file("a"), file("./a", "y")] },
  { what: "a file without a name", entries: [file("./")] },
  { what: "a file that is also a directory", entries: [file("a"), file("a/b")] },
  { what: "a directory that is also a file", entries: [{ name: "a/", type: "directory" }, file("a")] },
  { what: "a device", entries: [{ name: "null", type: "character-device", devmajor: 1, devminor: 3 }] },
  { what: "a named pipe", entries: [{ name: "pipe", type: "fifo" }] },
];
for (const { what, entries } of hostile)
  test(`[RN34] ${what} is refused`, async () => assert.rejects(unpack(await pack(entries), "sha256:x"), corrupt));

const archives: { what: string; archive: () => Promise<Uint8Array> | Uint8Array }[] = [
  { what: "not gzip", archive: () => Buffer.from("hello") },
  { what: "nothing", archive: () => Buffer.alloc(0) },
  { what: "gzip, but no tar", archive: () => gzipSync(Buffer.alloc(2_000, "x")) },
  { what: "cut short", archive: async () => (await pack([file("a", "x".repeat(5_000))])).subarray(0, -20) },
  { what: "cut within a file", archive: () => gzipSync(Buffer.concat([header("a", 5_000), Buffer.alloc(700)])) },
  {
    what: "a header whose sum is wrong",
    archive: () => gzipSync(Buffer.concat([header("a", 0).fill("z", 0, 1), Buffer.alloc(1_024)])),
  },
];
for (const { what, archive } of archives)
  test(`[RN34] ${what} is no archive`, async () => assert.rejects(unpack(await archive(), "sha256:x"), corrupt));

test("[RN34] what unpacks to too many bytes is stopped, however small it is", async () => {
  const bomb = await pack([file("zeros", "\0".repeat(40_000_000))]);
  assert.ok(bomb.length < 100_000);
  await assert.rejects(unpack(bomb, "sha256:x", { ...unpackLimits, totalBytes: 1_000_000 }), corrupt);
});

test("[RN34] a file that claims to be huge costs nothing", async () =>
  assert.rejects(
    unpack(gzipSync(Buffer.concat([header("a", 8_000_000_000), Buffer.alloc(1_024)])), "sha256:x"),
    corrupt,
  ));

test("[RN34] too many entries are refused", async () =>
  assert.rejects(
    unpack(await pack(Array.from({ length: 11 }, (_, i) => file(`f${i}`))), "sha256:x", {
      ...unpackLimits,
      entries: 10,
    }),
    corrupt,
  ));

/** A bare ustar header: names and sizes no writer would let through. */
function header(name: string, size: number): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0);
  block.write("0000644\x000000000\x000000000\x00", 100);
  block.write(size.toString(8).padStart(11, "0"), 124);
  block.write("00000000000\x00        0", 136);
  block.write("ustar\x0000", 257);
  block.write(
    block
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, "0") + "\0 ",
    148,
  );
  return block;
}
