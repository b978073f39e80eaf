import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { scratchFolder } from "../../test/kit/cluster.ts";
import { git, gitEnvironment } from "./git-backend.ts";
import { startGitServer } from "./git-server.ts";

const run = promisify(execFile);
const folder = scratchFolder();
const open = await startGitServer({ dir: join(folder, "open") });
const locked = await startGitServer({ dir: join(folder, "locked"), auth: { username: "fleet", password: "p@ss" } });
await open.createRepo("app");
await locked.createRepo("app");
after(() => Promise.all([open.stop(), locked.stop()]));

const clone = async (url: string, into: string, ...flags: string[]) => {
  await run("git", ["clone", "--quiet", ...flags, url, join(folder, into)], { env: gitEnvironment });
  return (name: string) => join(folder, into, name);
};

test("commits add, change and delete files; a clone sees them, with their modes", async () => {
  await open.commit("app", { files: { "a.txt": "one", "sub/b.txt": "two", 'odd "name".txt': "three" }, message: "first" });
  const executable = { mode: "100755", content: "#!/bin/sh\n" } as const;
  const files = { "a.txt": null, "sub/b.txt": "changed", "run.sh": executable };
  const author = { name: "Ada", email: "ada@example.com" };
  const sha = await open.commit("app", { files, message: "second\n\nwith a body", author, date: new Date(1_700_000_000_000) });

  const path = await clone(open.repoUrl("app"), "plain");
  assert.equal(await git(path(""), "rev-parse", "HEAD"), sha);
  assert.equal(await git(path(""), "log", "-1", "--format=%an %ae %at %cn|%B"), "Ada ada@example.com 1700000000 Ada|second\n\nwith a body");
  assert.equal(await git(path(""), "ls-files"), '"odd \\"name\\".txt"\nrun.sh\nsub/b.txt');
  assert.equal(await readFile(path("sub/b.txt"), "utf8"), "changed");
  assert.equal((await stat(path("run.sh"))).mode & 0o100, 0o100);
  assert.equal(await git(open.path("app"), "fsck", "--strict"), "");
});

test("another branch starts on its own; commits asked for at once are made one after the other", async () => {
  const shas = await Promise.all(["1", "2", "3"].map((n) => open.commit("app", { branch: "side", files: { [n]: n }, message: n })));
  assert.equal(new Set(shas).size, 3);
  assert.equal(await open.git("app", "rev-list", "--count", "side"), "3");
});

test("a push is accepted, and a commit can be fetched by its sha", async () => {
  const path = await clone(open.repoUrl("app"), "pusher");
  const before = await git(path(""), "rev-parse", "HEAD");
  await git(path(""), "-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "--quiet", "--allow-empty", "-m", "pushed");
  await git(path(""), "push", "--quiet", "origin", "main");
  assert.equal(await open.git("app", "log", "-1", "--format=%s", "main"), "pushed");
  await git(path(""), "fetch", "--quiet", "--depth=1", "origin", before);
});

test("with a password set, only who gives it gets in", async () => {
  await locked.commit("app", { files: { a: "a" }, message: "m" });
  await assert.rejects(clone(locked.repoUrl("app"), "refused"), /could not read Username/);
  await clone(locked.repoUrl("app").replace("http://", "http://fleet:p%40ss@"), "admitted");
  await assert.rejects(clone(locked.repoUrl("app").replace("http://", "http://fleet:other@"), "wrong"), /Authentication failed/);
});

test("requests are recorded, and can be made to fail", async () => {
  open.requests.length = 0;
  open.spoil = () => ({ status: 500, body: "broken" });
  await assert.rejects(clone(open.repoUrl("app"), "broken"), /500/);
  assert.equal(open.requests[0]?.path, "/app.git/info/refs");
  assert.equal(open.requests[0]?.query, "service=git-upload-pack");

  open.spoil = ({ method }) => (method === "POST" ? { truncateAfterBytes: 20 } : undefined);
  await assert.rejects(clone(open.repoUrl("app"), "short"));

  open.spoil = () => "hang";
  const answer = fetch(`${open.repoUrl("app")}/info/refs`, { signal: AbortSignal.timeout(200) });
  await assert.rejects(answer, { name: "TimeoutError" });

  open.spoil = undefined;
  await clone(open.repoUrl("app"), "healed");
});
