/** How references to bases in repositories are read. */
import assert from "node:assert/strict";
import test from "node:test";
import { readRemoteReference, type RemoteReference } from "./remote-reference.ts";

const plain = { ref: "", path: "", submodules: true, timeoutMs: 27_000 };
const read: Record<string, Partial<RemoteReference> & { url: string }> = {
  "https://git.example/org/repo//deploy/base?ref=v1&submodules=false&timeout=5": { url: "https://git.example/org/repo", path: "deploy/base", ref: "v1", submodules: false, timeoutMs: 5_000 },
  "https://git.example/org/repo.git//deploy?ref=main": { url: "https://git.example/org/repo.git", path: "deploy", ref: "main" },
  "https://git.example/org/repo.git/deploy?ref=main": { url: "https://git.example/org/repo.git", path: "deploy", ref: "main" },
  "https://git.example/a/b/c/repo//deploy": { url: "https://git.example/a/b/c/repo", path: "deploy" },
  "https://git.example/org/repo/deploy/base?ref=v1": { url: "https://git.example/org/repo", path: "deploy/base", ref: "v1" },
  "https://git.example/org/repo": { url: "https://git.example/org/repo" },
  "https://git.example/org/repo?version=v2": { url: "https://git.example/org/repo", ref: "v2" },
  "github.com/org/repo//path?ref=v1": { url: "https://github.com/org/repo", path: "path", ref: "v1" },
  "github.com/org/repo": { url: "https://github.com/org/repo" },
  "git::https://git.example/org/repo//x?ref=release/1.2": { url: "https://git.example/org/repo", path: "x", ref: "release/1.2" },
  "https://dev.example/org/project/_git/repo/path/of/it": { url: "https://dev.example/org/project/_git/repo", path: "path/of/it" },
  "http://127.0.0.1:8080/repo.git//./a//b/": { url: "http://127.0.0.1:8080/repo.git", path: "a/b" },
  "HTTPS://git.example/org/repo?timeout=1m30s": { url: "https://git.example/org/repo", timeoutMs: 60_000 },
  "https://git.example/org/repo?timeout=soon&submodules=maybe": { url: "https://git.example/org/repo" },
  "https://git.example/org/repo?timeout=1500ms": { url: "https://git.example/org/repo", timeoutMs: 1_500 },
};
for (const [reference, expected] of Object.entries(read))
  test(`[RN61] ${reference} is ${expected.url}`, () => assert.deepEqual(readRemoteReference(reference), { ...plain, ...expected }));

const refused: Record<string, RegExp> = {
  "https://raw.example/org/repo.yaml": /it is a file/,
  "https://raw.example/a.yaml": /names no repository/,
  "ssh://git@git.example/org/repo": /not SSH/,
  "git@github.com:org/repo": /not SSH/,
  "github.com:org/repo": /not SSH/,
  "file:///etc//x": /files of the worker/,
  "https://me:hunter2@git.example/org/repo": /without credentials/,
  "https://git.example/org/repo//../../x": /leads out/,
  "https://git.example/org/repo?ref=--upload-pack=x": /not a name Git allows/,
  "https://git.example/org/repo?ref=a%0ab": /not a name Git allows/,
  "https://git.example/": /names no repository/,
};
for (const [reference, why] of Object.entries(refused))
  test(`[RN62] ${reference} is refused: ${why.source}`, () =>
    assert.throws(() => readRemoteReference(reference), (thrown: unknown) => thrown instanceof RangeError && why.test(thrown.message) && !thrown.message.includes("hunter2")));
