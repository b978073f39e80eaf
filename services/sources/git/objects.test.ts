/** Against git itself, which makes the packs and says what is in them; and against packs that it would not make. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { deflateSync } from "node:zlib";
import * as fc from "fast-check";
import { scratchFolder } from "../../../test/kit/cluster.ts";
import { defaultLimits } from "./limits.ts";
import { Objects } from "./objects.ts";
import { applyDelta } from "./pack.ts";

const who = { GIT_AUTHOR_NAME: "Ann Ä. Smith", GIT_AUTHOR_EMAIL: "ann@example.com", GIT_AUTHOR_DATE: "1700000000 +0100", GIT_COMMITTER_NAME: "Bob", GIT_COMMITTER_EMAIL: "", GIT_COMMITTER_DATE: "1700000001 -0230" };
const env = { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent", GIT_CONFIG_NOSYSTEM: "1", ...who };

/** A repository with a file that changes a little each time, packed with deltas. */
function packed(): { dir: string; pack: Buffer; git(...args: string[]): Buffer } {
  const dir = scratchFolder();
  const git = (...args: string[]) => execFileSync("git", args, { cwd: dir, env, stdio: ["ignore", "pipe", "ignore"], maxBuffer: 2 ** 26 });
  git("init", "-q", "-b", "main");
  mkdirSync(join(dir, "deep/er"), { recursive: true });
  const lines = Array.from({ length: 3_000 }, (_, i) => `line ${i} ${createHash("sha1").update(String(i)).digest("hex")}`);
  for (let round = 0; round < 8; round++) {
    lines[round * 300] = `changed in round ${round}`;
    writeFileSync(join(dir, "deep/er/large.txt"), lines.join("\n"));
    writeFileSync(join(dir, `${round}.sh`), `echo ${round}\n`, { mode: round % 2 ? 0o755 : 0o644 });
    git("add", "-A");
    git("commit", "-q", "-m", `Round ${round}\n\nwith a body\r\nand more`);
  }
  git("tag", "-a", "-m", "a tag", "v1");
  git("repack", "-adfq", "--depth=50");
  const [name = ""] = readdirSync(join(dir, ".git/objects/pack")).filter((each) => each.endsWith(".pack"));
  return { dir, git, pack: readFileSync(join(dir, ".git/objects/pack", name)) };
}

test("[SR15] every object of a pack has the name, kind and contents that git says, whole or made of deltas", () => {
  const { git, pack } = packed();
  const objects = new Objects(pack, defaultLimits);
  const all = git("cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype) %(deltabase)").toString().trim().split("\n").map((line) => line.split(" "));
  assert.ok(all.filter(([, , base = ""]) => !/^0+$/.test(base)).length >= 7, "there are deltas");
  for (const [oid = "", kind = ""] of all) {
    assert.equal(objects.read(oid).kind, kind);
    assert.ok(objects.read(oid).bytes.equals(git("cat-file", kind, oid)), oid);
  }
  const head = objects.commit(git("rev-parse", "HEAD").toString().trim());
  assert.deepEqual(head, {
    tree: git("rev-parse", "HEAD^{tree}").toString().trim(), message: "Round 7\n\nwith a body\nand more\n",
    author: { name: "Ann Ä. Smith", email: "ann@example.com", atS: 1_700_000_000 }, committer: { name: "Bob", email: "", atS: 1_700_000_001 },
  });
  const listed = git("ls-tree", "HEAD").toString().trim().split("\n").map((line) => line.split(/[ \t]/));
  assert.deepEqual(objects.tree(head.tree).map(({ mode, kind, oid, path }) => [mode.padStart(6, "0"), kind, oid, path]), listed);
});

test("[SR15] an object that is not there, or is of another kind, is refused", () => {
  const { git, pack } = packed();
  const objects = new Objects(pack, defaultLimits);
  assert.throws(() => objects.blob("0".repeat(40)), /the pack is incomplete/);
  assert.throws(() => objects.tree(git("rev-parse", "HEAD").toString().trim()), /another kind/);
});

test("[SR15] a damaged delta makes nothing: it is refused, whatever it says", () => {
  const base = Buffer.from("the base of a delta, long enough to be copied from");
  const delta = Buffer.from([base.length, base.length + 3, 0x90, base.length, 3, 1, 2, 3]);
  assert.deepEqual(applyDelta(base, delta), Buffer.concat([base, Buffer.from([1, 2, 3])]));
  fc.assert(fc.property(fc.array(fc.tuple(fc.nat(delta.length - 1), fc.nat(255)), { minLength: 1 }), fc.nat(delta.length), (changes, length) => {
    const bytes = Buffer.from(delta);
    for (const [at, value] of changes) bytes[at] = value;
    try {
      applyDelta(base, bytes.subarray(0, length));
    } catch (error) {
      assert.ok(error instanceof RangeError, String(error));
    }
  }), { numRuns: 2_000 });
});

/** A pack of one directory with one entry. */
function packOf(mode: string, name: string): { pack: Buffer; oid: string } {
  const data = Buffer.concat([Buffer.from(`${mode} ${name}\0`), Buffer.alloc(20, 1)]);
  const head = Buffer.from("PACK\0\0\0\x02\0\0\0\x01");
  const size = [(2 << 4) | (data.length & 15) | 128, data.length >> 4];
  const whole = Buffer.concat([head, Buffer.from(size), deflateSync(data)]);
  return { pack: Buffer.concat([whole, createHash("sha1").update(whole).digest()]), oid: createHash("sha1").update(`tree ${data.length}\0`).update(data).digest("hex") };
}
for (const { name, mode = "100644", refused } of [
  { name: "deployment.yaml" }, { name: "..." }, { name: ".gitignore" }, { name: "a:b" }, { name: "git~1x" }, { name: "old", mode: "100664" }, { name: "dir", mode: "040000" },
  ...["", ".", "..", ".git", ".GIT", ".git.", ".git ", ".git::$INDEX_ALLOCATION", "git~1", "GIT~2", ".g\u200cit", "a/b", "a\\b"].map((each) => ({ name: each, refused: /unsafe/ })),
  { name: "device", mode: "020644", refused: /unknown kind/ },
] as { name: string; mode?: string; refused?: RegExp }[])
  test(`[SR22] an entry ${JSON.stringify(name)} of mode ${mode} is ${refused ? "refused" : "read"}`, () => {
    const { pack, oid } = packOf(mode, name);
    const read = () => new Objects(pack, defaultLimits).tree(oid);
    if (refused) assert.throws(read, refused);
    else assert.deepEqual(read().map(({ path }) => path), [name]);
  });
