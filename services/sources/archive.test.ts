import assert from "node:assert/strict";
import test from "node:test";
import { gunzipSync } from "node:zlib";
import * as fc from "fast-check";
import { extract } from "tar-stream";
import { writeArchive, type ArchiveEntry } from "./archive.ts";

type Unpacked = { path: string; type: string; mode: number; contents: string };

async function unpack(archive: Uint8Array): Promise<Unpacked[]> {
  const tar = extract();
  tar.end(gunzipSync(archive));
  const found: Unpacked[] = [];
  for await (const entry of tar) {
    const { name: path, type, mode = 0, uid, gid, uname, gname, mtime } = entry.header;
    assert.deepEqual(
      { uid, gid, uname, gname, mtime: mtime?.getTime() },
      { uid: 0, gid: 0, uname: "", gname: "", mtime: 0 },
    );
    found.push({
      path,
      type: String(type),
      mode,
      contents: Buffer.concat((await Array.fromAsync(entry)) as Buffer[]).toString("latin1"),
    });
  }
  return found;
}

const segment = fc.oneof(
  fc.constantFrom("a", "a-b", "a.b", "b", "é", "文", "x".repeat(99), "y".repeat(101), " ", "a\nb"),
  fc
    .string({ unit: "grapheme", minLength: 1, maxLength: 12 })
    .filter((name) => !/[/\0]|^\.{1,2}$/.test(name) && name.isWellFormed()),
);
const files = fc.uniqueArray(
  fc.record({
    path: fc.array(segment, { minLength: 1, maxLength: 5 }).map((names) => names.join("/")),
    kind: fc.constantFrom("file", "executable", "directory"),
    contents: fc.uint8Array({ maxLength: 2_000 }).map((bytes) => Buffer.from(bytes)),
  }),
  { selector: ({ path }) => path, maxLength: 20 },
);

const entryOf = ({
  path,
  kind,
  contents,
}: {
  path: string;
  kind: ArchiveEntry["kind"];
  contents: Buffer;
}): ArchiveEntry => (kind === "directory" ? { path, kind } : { path, kind, read: () => contents });

test("[SR20] the same files in any order give the same bytes, and unpacking gives them back", () =>
  fc.assert(
    fc.asyncProperty(
      files.chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }))),
      async ([list, shuffled]) => {
        const archive = await writeArchive(list.map(entryOf));
        assert.deepEqual(Buffer.from(await writeArchive(shuffled.map(entryOf))), Buffer.from(archive));
        const modes = { file: 0o600, executable: 0o700, directory: 0o750 };
        const expected = list.map(({ path, kind, contents }) => ({
          path,
          type: kind === "directory" ? "directory" : "file",
          mode: modes[kind],
          contents: kind === "directory" ? "" : contents.toString("latin1"),
        }));
        const byPath = (a: { path: string }, b: { path: string }) => (a.path < b.path ? -1 : 1);
        assert.deepEqual((await unpack(archive)).sort(byPath), expected.sort(byPath));
      },
    ),
    { numRuns: 60 },
  ));

test("[SR20] entries come as a lexical walk meets them", async () => {
  const paths = ["b", "a-b", "a/z", "a.b", "a/y/1", "a", "a/y", "a/y-1"];
  const archive = await writeArchive(paths.map((path) => ({ path, kind: "directory" })));
  assert.deepEqual(
    (await unpack(archive)).map(({ path }) => path),
    ["a", "a/y", "a/y/1", "a/y-1", "a/z", "a-b", "a.b", "b"],
  );
});

test("[SR20] the header of the gzip says neither when nor where", async () => {
  const archive = await writeArchive([]);
  assert.deepEqual([...archive.subarray(0, 8)], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0].with(7, 0));
  assert.equal(archive[9], 255);
});

test("[SR20] a file that cannot be read ends the archive with its error", async () => {
  const read = () => {
    throw new RangeError("gone");
  };
  const entries: ArchiveEntry[] = [
    { path: "a", kind: "file", read: () => Buffer.alloc(3_000_000) },
    { path: "b", kind: "file", read },
  ];
  await assert.rejects(writeArchive(entries), /gone/);
});
