/** From a commit to an artifact. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { Readable } from "node:stream";
import { test } from "node:test";
import { createGunzip } from "node:zlib";
import { extract } from "tar-stream";
import { eventually } from "../../../deploy/local/eventually.ts";
import { newKey } from "../../../deploy/local/ssh-server.ts";
import { filesWith } from "../kept.ts";
import { gitUser, type System } from "../system.ts";
import { conditionOf } from "../tenant.ts";

export function sourceCases(system: System): void {
  test("[SY1] a commit becomes an artifact that can be downloaded from where the status says, with the digest and size it says", async () => {
    const t = await system.tenant();
    const sha = await t.commit({ "deploy/app.yaml": "kind: ConfigMap\n", "run.sh": { mode: "100755", content: "#!/bin/sh\n" } }, { message: "Add the app\n\nand more" });
    await t.source();
    const { status, metadata } = await t.ready("GitRepository", "app", sha);

    const revision = `main@sha1:${sha}`;
    const artifact = status?.artifact ?? assert.fail("no artifact");
    assert.equal(artifact.revision, revision);
    assert.equal(artifact.path, `gitrepository/${t.namespace}/app/${sha}.tar.gz`);
    assert.ok(artifact.url.endsWith(`/${artifact.path}`), artifact.url);
    assert.ok(!Number.isNaN(Date.parse(artifact.lastUpdateTime)));
    assert.equal(status?.observedGeneration, metadata.generation);
    const said = (status?.conditions ?? []).map(({ type, status, reason, message }) => ({ type, status, reason, message }));
    const stored = { status: "True", reason: "Succeeded", message: `stored artifact for revision '${revision}'` };
    assert.deepEqual(said, [{ type: "Ready", ...stored }, { type: "ArtifactInStorage", ...stored }]);

    const bytes = await download(artifact.url);
    assert.equal(`sha256:${createHash("sha256").update(bytes).digest("hex")}`, artifact.digest);
    assert.equal(bytes.byteLength, artifact.size);
    assert.deepEqual(await filesIn(bytes), { "deploy/app.yaml": "kind: ConfigMap\n", "run.sh": "#!/bin/sh\n" });
  });

  test("[SY2] a new artifact is told by an event that names the commit, its revision and digest", async () => {
    const t = await system.tenant();
    await t.commit({ "a.txt": "a" }, { message: "Teach the shop to sell\n\nin two parts" });
    await t.source();
    const { status } = await t.ready("GitRepository", "app");
    const event = await t.untilTold("GitRepository", "app", "Normal", "NewArtifact");
    assert.equal(event.message, "stored artifact for commit 'Teach the shop to sell'");
    assert.equal(event.component, "source-controller");
    assert.equal(event.annotations["source.toolkit.fluxcd.io/revision"], status?.artifact?.revision);
    assert.equal(event.annotations["source.toolkit.fluxcd.io/digest"], status?.artifact?.digest);
  });

  test("[SY3] without a webhook, a new commit is found at the interval", async () => {
    const t = await system.tenant();
    await t.commit({ "a.txt": "1" });
    await t.source({ interval: "1s" });
    await t.ready("GitRepository", "app");
    const sha = await t.commit({ "a.txt": "2" });
    await t.ready("GitRepository", "app", sha);
  });

  test("[SY3] a look that finds the same commit stores, writes and tells nothing", async () => {
    const t = await system.tenant();
    await t.commit({ "a.txt": "1" });
    await t.source({ interval: "1s" });
    const { resourceVersion } = (await t.ready("GitRepository", "app")).metadata;
    const looks = () => system.git.requests.filter(({ path }) => path.startsWith(`/${t.namespace}.git/`)).length;
    const before = looks();
    await eventually("two more looks", () => looks() >= before + 2);
    assert.equal((await t.get("GitRepository", "app")).metadata.resourceVersion, resourceVersion);
    assert.equal(t.told("GitRepository", "app").length, 1);
  });

  test("[SY4] a private repository is read with the username and password of its Secret", async () => {
    const t = await system.tenant();
    await system.privateGit.createRepo(t.namespace);
    const sha = await system.privateGit.commit(t.namespace, { files: { "a.txt": "private" }, message: "m" });
    const stringData = gitUser;
    await t.create("Secret", "access", { stringData });
    await t.source({ url: system.privateGit.repoUrl(t.namespace), secretRef: { name: "access" } });
    const { status } = await t.ready("GitRepository", "app", sha);
    assert.deepEqual(await filesIn(await download(status?.artifact?.url ?? "")), { "a.txt": "private" });

    const said = JSON.stringify([system.watched.GitRepository.history(t.namespace, "app"), t.told("GitRepository", "app"), system.flotilla.logs()]);
    assert.ok(!said.includes(gitUser.password), "not in the status, the events or the log");
    assert.deepEqual(filesWith([gitUser.password], system.flotilla.data), []);
  });

  test("[SY5] a source stays at the commit it names, whatever its branch does", async () => {
    const t = await system.tenant();
    const first = await t.commit({ "a.txt": "1" });
    const second = await t.commit({ "a.txt": "2" });
    await t.source({ ref: { commit: first } }, "bare");
    await t.source({ ref: { commit: first, branch: "main" } }, "on-branch");
    await t.source();
    assert.equal((await t.ready("GitRepository", "app", second)).status?.artifact?.revision, `main@sha1:${second}`);
    assert.equal((await t.ready("GitRepository", "bare", first)).status?.artifact?.revision, `sha1:${first}`);
    assert.equal((await t.ready("GitRepository", "on-branch", first)).status?.artifact?.revision, `main@sha1:${first}`);

    const third = await t.push({ "a.txt": "3" });
    await t.ready("GitRepository", "app", third);
    assert.ok(t.seen("GitRepository", "bare")?.status?.artifact?.revision.endsWith(first));
  });

  test("[SY5] a source follows its branch, and goes over to another one", async () => {
    const t = await system.tenant();
    await t.commit({ "a.txt": "main" });
    const side = await t.commit({ "a.txt": "side" }, { branch: "release/1.x" });
    await t.source();
    await t.ready("GitRepository", "app");
    await t.edit("GitRepository", "app", { spec: { ref: { branch: "release/1.x" } } });
    const { status } = await t.ready("GitRepository", "app", side);
    assert.equal(status?.artifact?.revision, `release/1.x@sha1:${side}`);
  });

  test("[SY5] a source follows the highest tag of a range, and stays at the last good one when the tags are gone", async () => {
    const t = await system.tenant();
    const first = await t.commit({ "a.txt": "1" });
    await system.git.git(t.namespace, "tag", "v1.0.0", first);
    await t.source({ ref: { semver: "1.x" }, interval: "1s" });
    assert.equal((await t.ready("GitRepository", "app", first)).status?.artifact?.revision, `v1.0.0@sha1:${first}`);
    const second = await t.commit({ "a.txt": "2" });
    await system.git.git(t.namespace, "tag", "v1.1.0", second);
    await t.ready("GitRepository", "app", second);
    await system.git.git(t.namespace, "tag", "-d", "v1.0.0", "v1.1.0");
    const { status } = await t.failing("GitRepository", "app", "GitOperationFailed");
    assert.equal(status?.artifact?.revision, `v1.1.0@sha1:${second}`);
  });

  test("[SY5] a branch that was set back is followed back, and one that is gone leaves the last artifact", async () => {
    const t = await system.tenant();
    const first = await t.commit({ "a.txt": "1" });
    const second = await t.commit({ "a.txt": "2" });
    await t.source();
    await t.ready("GitRepository", "app", second);
    await system.git.git(t.namespace, "update-ref", "refs/heads/main", first);
    await system.flotilla.announce(t.url);
    await t.ready("GitRepository", "app", first);
    await system.git.git(t.namespace, "update-ref", "-d", "refs/heads/main");
    await t.commit({ "b.txt": "elsewhere" }, { branch: "other" });
    await system.flotilla.announce(t.url);
    const { status } = await t.failing("GitRepository", "app", "GitOperationFailed");
    assert.equal(status?.artifact?.revision, `main@sha1:${first}`);
    assert.equal((await fetch(status?.artifact?.url ?? "")).status, 200);
  });

  const tree = { "app.yaml": "a: 1\n", "logo.png": "image", "docs/readme.md": "text", ".github/ci.yaml": "c: 1\n", ".gitignore": "x\n" };
  const ignoring = [
    { title: "the default list leaves out images, CI and Git's own files", spec: {}, more: {}, left: ["app.yaml", "docs/readme.md"] },
    { title: "spec.ignore replaces it, but for Git's own files", spec: { ignore: "docs/\n" }, more: {}, left: [".github/ci.yaml", "app.yaml", "logo.png"] },
    {
      title: ".sourceignore does so too, in its directory",
      spec: {},
      more: { "docs/.sourceignore": "*.md\n" },
      left: [".github/ci.yaml", "app.yaml", "docs/.sourceignore", "logo.png"],
    },
  ];
  for (const { title, spec, more, left } of ignoring)
    test(`[SY6] ${title}`, async () => {
      const t = await system.tenant();
      await t.commit({ ...tree, ...more });
      await t.source(spec);
      const { status } = await t.ready("GitRepository", "app");
      assert.deepEqual(Object.keys(await filesIn(await download(status?.artifact?.url ?? ""))).sort(), left);
    });

  test("[SY7] a suspended source fetches nothing and keeps its conditions; resumed, it catches up", async () => {
    const t = await system.tenant();
    const first = await t.commit({ "a.txt": "1" });
    await t.source({}, "still");
    await t.source({}, "awake");
    await t.ready("GitRepository", "awake");
    const { status } = await t.ready("GitRepository", "still", first);
    await t.edit("GitRepository", "still", { spec: { suspend: true } });
    const second = await t.push({ "a.txt": "2" });
    await t.ready("GitRepository", "awake", second);
    const { status: answered } = await t.reconciled("GitRepository", "still");
    assert.deepEqual({ ...answered, lastHandledReconcileAt: undefined }, { ...status, lastHandledReconcileAt: undefined });
    await t.edit("GitRepository", "still", { spec: { suspend: false } });
    await t.ready("GitRepository", "still", second);
  });

  test("[SR73] [SR74] a source publishes what is signed, says by whom, and repeats by which rules", async () => {
    const t = await system.tenant();
    const key = newKey("ed25519");
    await t.commit({ "a.txt": "1", "docs/b.txt": "2" });
    await t.create("Secret", "trusted", { stringData: { "ada.sshpub": key.public } });
    await t.source({ interval: "1s", verify: { mode: "HEAD", secretRef: { name: "trusted" } }, ignore: "docs/", sparseCheckout: ["a.txt"] });
    const unsigned = await t.failing("GitRepository", "app", "InvalidCommitSignature");
    assert.equal(conditionOf(unsigned, "SourceVerified")?.status, "False");
    assert.equal(unsigned.status?.artifact, undefined);
    await t.untilTold("GitRepository", "app", "Warning", "InvalidCommitSignature", /it is not signed/);

    const file = join(system.flotilla.data, `${t.namespace}-key`);
    await writeFile(file, key.private, { mode: 0o600 });
    const git = (...args: string[]) => system.git.git(t.namespace, "-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "gpg.format=ssh", "-c", `user.signingkey=${file}`, ...args);
    const commit = await git("commit-tree", "-S", "-m", "Signed", "main^{tree}");
    await git("update-ref", "refs/heads/main", commit);
    await rm(file);
    const signed = await t.ready("GitRepository", "app", commit);
    assert.match(conditionOf(signed, "SourceVerified")?.message ?? "", new RegExp(`commit '${commit}' with key 'SHA256:`));
    const { observedIgnore, observedSparseCheckout, sourceVerificationMode } = signed.status as Record<string, unknown>;
    assert.deepEqual([observedIgnore, observedSparseCheckout, sourceVerificationMode], ["docs/", ["a.txt"], "HEAD"]);

    await t.edit("GitRepository", "app", { spec: { verify: null, ignore: null, sparseCheckout: null } });
    const plain = await t.ready("GitRepository", "app", commit);
    assert.equal(conditionOf(plain, "SourceVerified"), undefined);
    for (const field of ["observedIgnore", "observedSparseCheckout", "sourceVerificationMode"]) assert.ok(!(field in (plain.status ?? {})), field);
  });

  test("[SR82] what a repository includes is a part of its artifact, and other contents of it another artifact of the same revision", async () => {
    const t = await system.tenant();
    const sha = await t.commit({ "a.txt": "1", "b.md": "2" });
    await t.source({ interval: "1h", include: [{ repository: { name: "base" }, toPath: "x" }] });
    const waiting = await t.failing("GitRepository", "app", "NotFound");
    assert.equal(conditionOf(waiting, "IncludeUnavailable")?.status, "True");
    const base = { url: system.git.repoUrl(t.namespace), interval: "1h", ref: { branch: "main" } };
    await t.create("GitRepository", "base", { spec: base });
    const { status } = await t.ready("GitRepository", "app", sha);
    const filesOf = async (url = "") => Object.keys(await filesIn(await download(url))).filter((path) => /\./.test(path)).sort();
    assert.deepEqual(await filesOf(status?.artifact?.url), ["a.txt", "b.md", "x/a.txt", "x/b.md"]);
    const { includedArtifacts, observedInclude } = status as unknown as { includedArtifacts: { path: string; url: string }[]; observedInclude: unknown[] };
    assert.deepEqual([includedArtifacts.map(({ path }) => path), observedInclude.length], [[`gitrepository/${t.namespace}/base/${sha}.tar.gz`], 1]);

    await t.edit("GitRepository", "base", { spec: { ignore: "*.md" } });
    const other = await t.until("GitRepository", "app", "another artifact", (object) => object.status?.artifact?.digest !== status?.artifact?.digest && conditionOf(object, "Ready")?.status === "True");
    assert.equal(other.status?.artifact?.revision, status?.artifact?.revision);
    assert.deepEqual(await filesOf(other.status?.artifact?.url), ["a.txt", "b.md", "x/a.txt"]);

    await t.edit("GitRepository", "app", { spec: { include: null } });
    await t.until("GitRepository", "app", "nothing is included", (object) => !("includedArtifacts" in (object.status ?? {})) && conditionOf(object, "Ready")?.status === "True");
  });

  test("[SY8] a deleted source takes its artifact with it", async () => {
    const t = await system.tenant();
    await t.commit({ "a.txt": "1" });
    await t.source();
    const { status, metadata } = await t.ready("GitRepository", "app");
    assert.deepEqual(metadata.finalizers, ["finalizers.fluxcd.io"]);
    const url = status?.artifact?.url ?? "";
    assert.equal((await fetch(url)).status, 200);
    await t.remove("GitRepository", "app");
    await t.untilGone("GitRepository", "app");
    assert.equal((await fetch(url)).status, 404);
  });
}

async function download(url: string): Promise<Buffer> {
  const answer = await fetch(url);
  assert.equal(answer.status, 200, url);
  return Buffer.from(await answer.arrayBuffer());
}

/** Path to content of every file in a tarball. */
async function filesIn(archive: Buffer): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  const entries = extract();
  Readable.from([archive]).pipe(createGunzip()).pipe(entries);
  for await (const entry of entries) {
    const content = await buffer(entry);
    if (entry.header.type === "file") files[entry.header.name] = content.toString();
  }
  return files;
}
