/** Commits and pushes, against git's own http-backend and receive-pack, and against hooks that will not have them. */
import assert from "node:assert/strict";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import type { Departure } from "#protocol/messages/image-update.ts";
import type { Candidates, ChangeRoute, Standing } from "#services/sources/define.ts";
import { startGitServer, type GitServer } from "../../../../deploy/local/git-server.ts";
import { newKey, startSshServer, type SshServer } from "../../../../deploy/local/ssh-server.ts";
import { scratchFolder } from "../../../../test/kit/cluster.ts";
import { gitThreads } from "../git-threads.ts";
import { GithubApps } from "../github-app.ts";
import { defaultLimits } from "../limits.ts";
import type { GitSpec } from "../reference.ts";
import { changingGit } from "./changing.ts";

const dir = scratchFolder();
const threads = gitThreads(2);
const apps = new GithubApps();
const git = changingGit({ threads, limits: defaultLimits, apps });
const identity = newKey("ed25519", { passphrase: "open sesame" });
const password = "hunter2hunter2";
let server: GitServer;
let ssh: SshServer;

before(async () => {
  server = await startGitServer({ dir, auth: { username: "robot", password } });
  ssh = await startSshServer({ dir, authorized: [identity.public] });
});
after(() => Promise.all([threads.close(), server.stop(), ssh.stop()]));

const mark = '{"$imagepolicy"';
const deployment = (tag: string) => `# a comment\r\nimage: shop:${tag} # {"$imagepolicy": "apps:shop"}\r\n`;
let count = 0;

/** A repository of its own for a test. */
async function repository(): Promise<string> {
  const name = `shop${count++}`;
  await server.createRepo(name);
  await server.git(name, "config", "http.receivepack", "true");
  await server.commit(name, {
    message: "One",
    files: {
      "apps/shop/deployment.yaml": deployment("v1"),
      "apps/shop/run.yml": { mode: "100755", content: deployment("v1") },
      "apps/shop/link.yaml": { mode: "120000", content: "deployment.yaml" },
      "apps/shop/plain.yaml": "image: shop:v1\n",
      "apps/other.txt": deployment("v1"),
      Kustomization: `newTag: v1 # {"$imagepolicy": "apps:shop:tag"}\n`,
    },
  });
  return name;
}

type Call = Parameters<typeof git.stand>[0];
const httpSecret: Record<string, string> = { username: "robot", password };
const call = (name: string, spec: Partial<GitSpec> = {}, secret: Record<string, string> = httpSecret): Call => ({
  key: { kind: "gitrepository", namespace: "apps", name },
  spec: { url: server.repoUrl(name), ref: { branch: "main" }, secretRef: { name: "git" }, ...spec },
  secret: async () => Object.fromEntries(Object.entries(secret).map(([key, value]) => [key, Buffer.from(value)])),
  signal: AbortSignal.timeout(60_000),
});
const overSsh = (name: string): Call => call(name, { url: ssh.repoUrl(name) }, { identity: identity.private, password: "open sesame", known_hosts: ssh.knownHosts });

const wish = { path: "", names: /\.ya?ml$|^Kustomization$/, mark };
const read = (of: Call, standing: Standing, changes: Partial<typeof wish> & { on?: "branch" | "beginning" } = {}) => git.candidates(of, standing, { on: "beginning", ...wish, ...changes });
const author = { name: "Robot <the first>", email: "robot@example.com" };
const commitOn = (base: Candidates, tag: string, message = `Serve ${tag}`) => git.commit({
  base, author, atS: 1_800_000_000, message,
  files: new Map([...base.files].map(([path, contents]) => [path, Buffer.from(Buffer.from(contents).toString().replaceAll(/(shop:|newTag: )v\d+/g, `$1${tag}`))])),
}, AbortSignal.timeout(60_000));

/** The whole way: reads, commits, pushes. */
async function change(of: Call, tag: string, { route = {}, refspec, options = {} }: { route?: ChangeRoute; refspec?: string; options?: Record<string, string> } = {}) {
  const standing = await git.stand(of, route);
  const base = await read(of, standing);
  const { commit, pack } = await commitOn(base, tag);
  const departure: Departure = { commit, branch: standing.branch, refspec, from: standing.head ?? null };
  return { commit, base, pack, departure, arrival: await git.push(of, departure, options, pack) };
}
const head = (name: string, ref = "refs/heads/main") => server.git(name, "rev-parse", "--verify", "--quiet", ref);
const fault = (code: FaultCode, detail: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Fault, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.detail ?? "", detail);
  assert.doesNotMatch(JSON.stringify([error, error.message]), /hunter2|PRIVATE KEY|sesame/);
  return true;
};
async function hook(name: string, which: string, script: string): Promise<void> {
  const file = join(server.path(name), "hooks", which);
  await writeFile(file, `#!/bin/sh\n${script}\n`);
  await chmod(file, 0o755);
}

for (const over of ["http", "ssh"] as const)
  test(`[IM80] over ${over} one commit comes onto the branch, and only the files that were changed differ`, async () => {
    const name = await repository();
    const of = over === "http" ? call(name) : overSsh(name);
    const before = await head(name);
    const { commit, base, arrival } = await change(of, "v2");
    assert.deepEqual(arrival, { moved: false });
    assert.equal(base.revision, `main@sha1:${before}`);
    assert.equal(await head(name), commit);
    assert.equal(await server.git(name, "fsck", "--strict", "--no-dangling"), "");
    assert.equal(
      await server.git(name, "diff", "--raw", "--no-abbrev", "--no-renames", before, commit).then((text) => text.replaceAll(/[0-9a-f]{40}/g, "-")),
      [":100644 100644 - - M\tKustomization", ":100644 100644 - - M\tapps/shop/deployment.yaml", ":100755 100755 - - M\tapps/shop/run.yml"].join("\n"),
    );
    assert.equal(await server.git(name, "show", `${commit}:apps/shop/deployment.yaml`), deployment("v2").trimEnd());
    assert.equal(await server.git(name, "log", "-1", "--format=%an|%ae|%cn|%ce|%at|%ct|%P|%B", commit), `Robot the first|robot@example.com|Robot the first|robot@example.com|1800000000|1800000000|${before}|Serve v2`);
  });

test("[IM81] the same change on the same commit is the same commit, whoever makes it", async () => {
  const name = await repository();
  const made = async () => commitOn(await read(call(name), await git.stand(call(name), {})), "v2");
  const [one, other] = [await made(), await made()];
  assert.equal(one.commit, other.commit);
  assert.deepEqual(one.pack, other.pack);
});

test("[IM82] pushed twice it is there once; a branch that has moved on is left as it is", async () => {
  const name = await repository();
  const { commit, departure, pack } = await change(call(name), "v2");
  assert.deepEqual(await git.push(call(name), departure, {}, pack), { moved: false });
  const theirs = await server.commit(name, { message: "Theirs", files: { note: "x" } });
  assert.deepEqual(await git.push(call(name), departure, {}, pack), { moved: true });
  assert.deepEqual([await head(name), await server.git(name, "rev-list", "--count", "main")], [theirs, "3"]);
  assert.deepEqual([await git.has(call(name), "main", commit), await git.has(call(name), "main", theirs), await git.has(call(name), "main", "1".repeat(40))], [true, true, false]);
});

test("[IM82] who is overtaken between the question and the push learns it, and has pushed nothing", async () => {
  const name = await repository();
  const standing = await git.stand(call(name), {});
  const base = await read(call(name), standing);
  const { commit, pack } = await commitOn(base, "v2");
  const theirs = await server.commit(name, { branch: "theirs", message: "Theirs", files: { note: "x" } });
  // The hook moves the branch while our push is being taken; the server then refuses a move from where it no longer is.
  await hook(name, "pre-receive", `env -u GIT_QUARANTINE_PATH git update-ref refs/heads/main ${theirs}`);
  assert.deepEqual(await git.push(call(name), { commit, branch: standing.branch, from: base.commit }, {}, pack), { moved: true });
  assert.equal(await head(name), theirs);
});

test("[IM83] another branch than the one checked out is made from it, and put anew in place of what it held", async () => {
  const name = await repository();
  const route = { branch: "auto" };
  const first = await change(call(name), "v2", { route });
  assert.deepEqual([first.arrival, await head(name, "refs/heads/auto"), await head(name)], [{ moved: false }, first.commit, first.base.commit]);
  const news = await server.commit(name, { message: "News", files: { note: "x" } });
  const second = await change(call(name), "v3", { route });
  assert.deepEqual([second.arrival, await head(name, "refs/heads/auto"), await server.git(name, "rev-parse", "auto^")], [{ moved: false }, second.commit, news]);
  // Read on the branch itself, as for one that somebody else has pushed to.
  const standing = await git.stand(call(name), route);
  const onBranch = await read(call(name), standing, { on: "branch" });
  assert.deepEqual([onBranch.commit, onBranch.revision], [second.commit, `main@sha1:${news}`]);
});

test("[IM84] a refspec is served together with the branch, and push options arrive", async () => {
  const name = await repository();
  await server.git(name, "config", "receive.advertisePushOptions", "true");
  await hook(name, "pre-receive", `echo "$GIT_PUSH_OPTION_COUNT $GIT_PUSH_OPTION_0 $GIT_PUSH_OPTION_1" > ${join(dir, "options")}`);
  const { commit, arrival } = await change(call(name), "v2", { refspec: "refs/heads/main:refs/heads/released", options: { "merge_request.create": "", topic: "images" } });
  assert.deepEqual(arrival, { moved: false });
  assert.deepEqual([await head(name), await head(name, "refs/heads/released")], [commit, commit]);
  assert.equal(await readFile(join(dir, "options"), "utf8"), "2 merge_request.create= topic=images\n");
});

for (const { refspec, detail } of [
  { refspec: "refs/heads/other:refs/heads/x", detail: /has to begin with refs\/heads\/main/ },
  { refspec: ":refs/heads/main", detail: /is not of the form/ },
  { refspec: "refs/heads/main", detail: /is not of the form/ },
  { refspec: "refs/heads/main:refs/heads/theirs", detail: /holds commits that the change does not build on/ },
])
  test(`[IM84] refspec ${refspec} is refused, and nothing is pushed`, async () => {
    const name = await repository();
    await server.git(name, "branch", "theirs");
    const theirs = await server.commit(name, { branch: "theirs", message: "Theirs", files: { note: "x" } });
    const before = await head(name);
    await assert.rejects(change(call(name), "v2", { refspec }), fault("PushRejected", detail));
    assert.deepEqual([await head(name), await head(name, "refs/heads/theirs")], [before, theirs]);
    if (!refspec.endsWith("theirs")) return;
    const { commit } = await change(call(name), "v2", { refspec: `+${refspec}` });
    assert.equal(await head(name, "refs/heads/theirs"), commit);
  });

test("[IM85] what a hook says is repeated without credentials, and nothing is changed", async () => {
  const name = await repository();
  const before = await head(name);
  await hook(name, "pre-receive", "echo 'main is protected: open a merge request' >&2; exit 1");
  await assert.rejects(change(call(name), "v2"), fault("PushRejected", /refs\/heads\/main was refused: pre-receive hook declined; the server says: main is protected: open a merge request/));
  await assert.rejects(change(overSsh(name), "v2"), fault("PushRejected", /main is protected/));
  await hook(name, "pre-receive", `echo 'no: ${password}' >&2; exit 1`);
  await assert.rejects(change(call(name), "v2"), fault("PushRejected", /withheld/));
  await hook(name, "pre-receive", "exit 0");
  await hook(name, "update", "exit 1");
  await assert.rejects(change(call(name), "v2"), fault("PushRejected", /refs\/heads\/main was refused: hook declined/));
  assert.equal(await head(name), before);
});

test("[IM85] a server without push options, one that forbids moves back, and one that takes no pushes", async () => {
  const name = await repository();
  await assert.rejects(change(call(name), "v2", { options: { ci: "skip" } }), fault("PushRejected", /takes no push options/));
  await server.git(name, "config", "receive.denyNonFastForwards", "true");
  const route = { branch: "auto" };
  await change(call(name), "v2", { route });
  await server.commit(name, { message: "News", files: { note: "x" } });
  await assert.rejects(change(call(name), "v3", { route }), fault("PushRejected", /non-fast-forward/));
  await server.git(name, "config", "http.receivepack", "false");
  await assert.rejects(change(call(name), "v2"), fault("AuthenticationFailed", /HTTP 403/));
});

test("[IM85] credentials that are wrong or missing, a branch that is not there, and one that is no name", async () => {
  const name = await repository();
  await assert.rejects(change(call(name, {}, { username: "robot", password: "hunter2" }), "v2"), fault("AuthenticationFailed", /HTTP 401/));
  await assert.rejects(change(call(name, { ref: { branch: "nowhere" } }), "v2"), fault("ReferenceMissing", /refs\/heads\/nowhere/));
  await assert.rejects(change(call(name, { ref: { tag: "v1" } }), "v2"), fault("PushBranchMissing", /^$/));
  await assert.rejects(change(call(name), "v2", { route: { branch: "a b" } }), fault("PushBranchMissing", /not a name Git allows/));
  await server.createRepo(`${name}empty`);
  await assert.rejects(change(call(`${name}empty`), "v2"), fault("RepositoryEmpty", /^$/));
});

test("[IM86] files are looked for below the path, by name and mark; links are not followed, and what is not there is named", async () => {
  const name = await repository();
  const standing = await git.stand(call(name), {});
  const found = async (path: string, changes = {}) => [...(await read(call(name), standing, { path, ...changes })).files.keys()].sort();
  assert.deepEqual(await found(""), ["Kustomization", "apps/shop/deployment.yaml", "apps/shop/run.yml"]);
  for (const path of ["./apps", "apps/", "/apps/shop"]) assert.deepEqual(await found(path), ["apps/shop/deployment.yaml", "apps/shop/run.yml"]);
  assert.deepEqual(await found("apps/shop/run.yml"), ["apps/shop/run.yml"]);
  for (const path of ["nowhere", "../shop", "apps/shop/link.yaml/x"]) await assert.rejects(found(path), fault("UpdatePathMissing", new RegExp(path.replaceAll(".", "\\."))));
  const narrow = changingGit({ threads, limits: { ...defaultLimits, files: 3 }, apps });
  await assert.rejects(narrow.candidates(call(name), standing, { on: "beginning", ...wish }), fault("SourceTooLarge", /more than 3 files/));
  await server.commit(name, { message: "Large", files: { "large.yaml": `${deployment("v1")}${"#".repeat(5 * 2 ** 20)}` } });
  await assert.rejects(found(""), fault("SourceTooLarge", /large\.yaml/));
});
