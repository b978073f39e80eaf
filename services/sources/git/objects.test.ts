import assert from "node:assert/strict";
import test from "node:test";
import { readCommit, readTree, subjectOf } from "./objects.ts";
import { traceparentOf } from "./snapshot.ts";

const tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
const commit = (committer: string, rest = "\n\nRoll out 1.2\n\nWhy.\n") =>
  Buffer.from(`tree ${tree}\nparent ${tree}\nauthor Ada <ada@example.com> 1700000000 +0100\ncommitter ${committer}${rest}`);

test("[SR24] a commit's author, time, and message", () => {
  const signed = "Bob <bob@example.com> 1700000060 -0330\ngpgsig -----BEGIN\n committer x <y> 1 +0000\n -----END";
  assert.deepEqual(readCommit(commit(signed)), {
    tree, author: "Ada <ada@example.com>", committedAtMs: 1_700_000_060_000, message: "Roll out 1.2\n\nWhy.\n",
  });
  assert.equal(readCommit(commit("Bob <> 0 +0000", "")).message, "");
});

for (const bad of ["", "tree x\n\nhello", `tree ${tree}\n\nno committer`, `tree ${tree}\ncommitter Bob <b> soon +0000\n\n`])
  test(`[SR15] ${JSON.stringify(bad)} is no commit`, () => assert.throws(() => readCommit(Buffer.from(bad)), RangeError));

const subjects = [
  { message: "Roll out 1.2\n\nWhy.", is: "Roll out 1.2" },
  { message: "", is: "" },
  { message: "x".repeat(50), is: "x".repeat(50) },
  { message: "x".repeat(51), is: `${"x".repeat(50)}...` },
  { message: "🚢".repeat(51), is: `${"🚢".repeat(50)}...`, why: "a ship is one character" },
];
for (const { message, is, why = "" } of subjects)
  test(`[SR23] ${JSON.stringify(message.slice(0, 60))} ${why}`, () => assert.equal(subjectOf(message), is));

const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const other = trace.replace("0af7", "1bf7");
const trailers = [
  { message: "Subject\n\nTraceparent: " + trace, is: trace },
  { message: "Subject\n\nTrace-Parent:  " + trace.toUpperCase() + "\nSigned-off-by: Ada", is: trace },
  { message: `Subject\n\nTraceparent: ${trace}\n\nTraceparent: ${other}\n`, is: other, why: "the last one" },
  { message: `Subject\n\nTraceparent: ${trace}\ntraceparent: nonsense`, is: trace, why: "the last valid one" },
  { message: "Subject\n\nTraceparent: 00-" + "0".repeat(32) + "-b7ad6b7169203331-01", is: undefined },
  { message: `Subject\n\nsee Traceparent: ${trace}`, is: undefined, why: "a trailer begins its line" },
  { message: "Subject", is: undefined },
];
for (const { message, is, why = "" } of trailers)
  test(`[SR24] ${JSON.stringify(message)} ${why}`, () => assert.equal(traceparentOf(message), is));

const entry = (mode: string, name: string) => Buffer.concat([Buffer.from(`${mode} ${name}\0`), Buffer.from(tree, "hex")]);

test("[SR21] entries of a tree by kind", () => {
  const modes = { a: "100644", b: "100755", c: "40000", d: "120000", e: "160000", f: "100664" };
  const read = readTree(Buffer.concat(Object.entries(modes).map(([name, mode]) => entry(mode, name))));
  assert.deepEqual(read.map(({ name, kind }) => [name, kind]), [
    ["a", "file"], ["b", "executable"], ["c", "directory"], ["d", "link"], ["e", "submodule"], ["f", "file"],
  ]);
  assert.ok(read.every(({ id }) => id === tree));
});

const unsafe = [
  ...["", ".", "..", "a/b", "../a", "/etc/passwd"].map((name) => entry("100644", name)),
  Buffer.concat([entry("100644", "a"), entry("40000", "a")]),
];
for (const data of unsafe)
  test(`[SR22] ${JSON.stringify(data.toString("latin1").replaceAll(/[^ -~]/g, "~"))} is refused`, () =>
    assert.throws(() => readTree(data), RangeError));

for (const data of [Buffer.from("100644"), Buffer.from("100644 a"), entry("100644", "a").subarray(0, -1), entry("010644", "pipe"), entry("x", "a")])
  test(`[SR15] ${JSON.stringify(data.toString("latin1").replaceAll(/[^ -~]/g, "~"))} is no tree`, () =>
    assert.throws(() => readTree(data), RangeError));
