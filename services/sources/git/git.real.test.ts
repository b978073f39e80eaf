/** Against git's own http-backend, and against servers that misbehave as it never would. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { after, before, beforeEach, describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { extract } from "tar-stream";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { serveBackend } from "../../../deploy/local/git-backend.ts";
import { startGitServer, type GitServer } from "../../../deploy/local/git-server.ts";
import { newKey } from "../../../deploy/local/ssh-server.ts";
import { scratchFolder } from "../../../test/kit/cluster.ts";
import { closeConnections } from "#services/clients/http/connections.ts";
import { createGitRepository } from "./git.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import type { GitSpec } from "./reference.ts";
import { gitThreads } from "./git-threads.ts";

type Secret = Record<string, string>;

const dir = scratchFolder();
const threads = gitThreads(2);
let server: GitServer;
let protectedServer: GitServer;
const others: Server[] = [];

const withLimits = (limits: Partial<Limits> = {}) =>
  createGitRepository({ limits: { ...defaultLimits, ...limits }, threads });
const gitRepository = withLimits();

const callOf = (spec: GitSpec, secret: Secret = {}, signal = AbortSignal.timeout(30_000)) => ({
  key: { kind: "gitrepository", namespace: "apps", name: "shop" },
  spec: { ...(Object.keys(secret).length > 0 && { secretRef: { name: "git" } }), ...spec },
  secret: async () => Object.fromEntries(Object.entries(secret).map(([key, value]) => [key, Buffer.from(value)])),
  signal,
});
const resolve = (spec: GitSpec, secret?: Secret, signal?: AbortSignal) =>
  gitRepository.resolve(callOf(spec, secret, signal));
const fetch = (spec: GitSpec, revision: string, limits?: Partial<Limits>, signal?: AbortSignal) =>
  withLimits(limits).fetch({ ...callOf(spec, {}, signal), revision });

const main = { branch: "main" };
const fault = (code: FaultCode, detail: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Fault, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.detail ?? "", detail);
  return true;
};

const isThere = (program: string) => spawnSync(program, ["-?"]).error === undefined;

/** A line in Git's framing: its length in four hexadecimal digits comes first. */
const line = (text: string) => `${(Buffer.byteLength(text) + 4).toString(16).padStart(4, "0")}${text}`;

async function serve(handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const http = createServer(handler);
  others.push(http);
  await new Promise<void>((listening) => http.listen(0, "127.0.0.1", listening));
  return `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
}

async function filesOf(archive: Uint8Array): Promise<Record<string, string>> {
  const tar = extract();
  tar.end(gunzipSync(archive));
  const files: Record<string, string> = {};
  for await (const entry of tar) {
    const contents = Buffer.concat((await Array.fromAsync(entry)) as Buffer[]).toString();
    files[entry.header.name] =
      entry.header.type === "directory" ? "directory" : `${entry.header.mode?.toString(8)} ${contents}`;
  }
  return files;
}

before(async () => {
  server = await startGitServer({ dir });
  protectedServer = await startGitServer({ dir, auth: { username: "ada", password: "correct-horse" } });
  for (const name of ["shop", "empty", "moving"]) await server.createRepo(name);
});
beforeEach(() => {
  server.spoil = undefined;
  server.requests.length = 0;
});
after(async () => {
  await Promise.all([closeConnections(), threads.close()]);
  for (const http of others) http.closeAllConnections();
  await Promise.all([
    server.stop(),
    protectedServer.stop(),
    ...others.map((http) => new Promise((closed) => http.close(closed))),
  ]);
});

describe("a repository", () => {
  const files = {
    "apps/deploy.sh": { mode: "100755", content: "#!/bin/sh\n" } as const,
    "apps/link": { mode: "120000", content: "/etc/passwd" } as const,
    "apps/web.yaml": "kind: Web\n",
    "docs/a.md": "words",
    "logo.png": "pixels",
    ".gitignore": "x",
  };
  let first: string;
  let url: string;

  before(async () => {
    url = server.repoUrl("shop");
    const author = { name: "Ada", email: "ada@example.com" };
    const message = `Open the shop, with a subject that goes on and on and on\n\nTraceparent: 00-${"a".repeat(32)}-${"b".repeat(16)}-01\n`;
    first = await server.commit("shop", { files, message, author, date: new Date("2026-01-02T03:04:05Z") });
    await server.git("shop", "branch", "release/1.x", first);
    await server.git("shop", "branch", "main2", first);
  });

  test("[SR1] [SR2] a branch is followed, master by default", async () => {
    assert.equal(await resolve({ url, ref: main }), `main@sha1:${first}`);
    assert.equal(await resolve({ url: `${url}/`, ref: { branch: "release/1.x" } }), `release/1.x@sha1:${first}`);
    await assert.rejects(resolve({ url }), fault("ReferenceMissing", /refs\/heads\/master/));
  });

  test("[SR21] [SR23] [SR24] [SR30] its artifact; its change: who, when, and which trace", async () => {
    const { archive, ...rest } = await fetch({ url, ref: main }, `main@sha1:${first}`);
    assert.deepEqual(rest, {
      revision: `main@sha1:${first}`,
      file: `${first}.tar.gz`,
      subject: "Open the shop, with a subject that goes on and on ...",
      committedAtMs: Date.parse("2026-01-02T03:04:05Z"),
      observed: { observedIgnore: null, observedRecurseSubmodules: null, observedSparseCheckout: null, sourceVerificationMode: null },
      change: {
        url,
        commit: first,
        branch: "main",
        author: "Ada <ada@example.com>",
        traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`,
      },
    });
    assert.deepEqual(await filesOf(archive), {
      apps: "directory",
      "apps/deploy.sh": "700 #!/bin/sh\n",
      "apps/web.yaml": "600 kind: Web\n",
      docs: "directory",
      "docs/a.md": "600 words",
    });
  });

  test("[SR20] fetched twice, by different threads, it is the same bytes", async () => {
    const [one, two] = await Promise.all([1, 2].map(() => fetch({ url, ref: main }, `main@sha1:${first}`)));
    assert.deepEqual(one?.archive, two?.archive);
  });

  test("[SR3] a commit needs no question until it is fetched, with its branch or without", async () => {
    await server.commit("shop", { files: { later: "" }, message: "Later" });
    for (const branch of [undefined, "main"]) {
      server.requests.length = 0;
      const ref = { commit: first, branch };
      const revision = await resolve({ url, ref });
      assert.equal(revision, `${branch ? "main@" : ""}sha1:${first}`);
      assert.equal(server.requests.length, 0);
      const fetched = await fetch({ url, ref }, revision);
      assert.equal(fetched.revision, revision);
      assert.ok(!("later" in (await filesOf(fetched.archive))));
    }
  });

  test("[SR6] a commit the repository lacks", () =>
    assert.rejects(
      fetch({ url, ref: { commit: "1".repeat(40) } }, `sha1:${"1".repeat(40)}`),
      fault("ReferenceMissing", /has no such commit/),
    ));

  test("[SR5] [SR6] an empty repository is told from a missing branch", async () => {
    await assert.rejects(resolve({ url: server.repoUrl("empty"), ref: main }), fault("RepositoryEmpty", /^$/));
    await assert.rejects(resolve({ url, ref: { branch: "mai" } }), fault("ReferenceMissing", /refs\/heads\/mai$/));
  });

  test("[SR12] the first question takes two requests, any further one a single one", async () => {
    await resolve({ url, ref: main });
    server.requests.length = 0;
    await resolve({ url, ref: main });
    await resolve({ url, ref: { branch: "release/1.x" } });
    assert.deepEqual(
      server.requests.map(({ method, path }) => `${method} ${path}`),
      Array(2).fill("POST /shop.git/git-upload-pack"),
    );
    assert.match(server.requests[0]?.userAgent ?? "", /^git\//);
  });

  test("[SR12] a server that no longer answers as before is looked up anew", async () => {
    await resolve({ url, ref: main });
    let spoilt = 0;
    server.spoil = ({ method }) => (method === "POST" && spoilt++ === 0 ? { status: 502 } : undefined);
    assert.match(await resolve({ url, ref: main }), /^main@sha1:/);
  });

  test("[SR32] [SR33] ignore rules of the repository and of the spec", async () => {
    await server.createRepo("rules");
    const ignoring = {
      ".sourceignore": "*.md\n!/keep.md\n",
      "keep.md": "",
      "drop.md": "",
      "a.jpg": "",
      "apps/.sourceignore": "/local/*\n",
      "apps/local/x": "",
      "apps/web/local/x": "",
      "other/local/x": "",
      "linked/.sourceignore": { mode: "120000", content: "../secret-rules" } as const,
      "linked/x": "",
      "secret-rules": "x\n",
    };
    const commit = await server.commit("rules", { files: ignoring, message: "Rules" });
    const { archive } = await fetch(
      { url: server.repoUrl("rules"), ref: main, ignore: "other/\n!drop.md" },
      `main@sha1:${commit}`,
    );
    const kept = Object.entries(await filesOf(archive))
      .filter(([, what]) => what !== "directory")
      .map(([path]) => path);
    const expected = [
      ".sourceignore",
      "a.jpg",
      "apps/.sourceignore",
      "apps/web/local/x",
      "drop.md",
      "keep.md",
      "linked/x",
      "secret-rules",
    ];
    assert.deepEqual(kept.sort(), expected);
    await assert.rejects(
      fetch({ url: server.repoUrl("rules"), ref: main, ignore: "x".repeat(70_000) }, `main@sha1:${commit}`),
      fault("IgnoreInvalid", /65536/),
    );
  });

  for (const name of ["..", ".", ".git", "a/b", "a\\b", "twice"])
    test(`[SR22] a directory with ${name} in it is refused`, async () => {
      await server.createRepo("unsafe");
      const cwd = server.path("unsafe");
      const blob = execFileSync("git", ["hash-object", "-w", "--stdin"], { cwd, input: "x" }).toString().trim();
      const entry = Buffer.concat([Buffer.from(`100644 ${name}\0`), Buffer.from(blob, "hex")]);
      const input = name === "twice" ? Buffer.concat([entry, entry]) : entry;
      const tree = execFileSync("git", ["hash-object", "-t", "tree", "--literally", "-w", "--stdin"], { cwd, input });
      const who = ["-c", "user.name=a", "-c", "user.email=a"];
      const commit = await server.git("unsafe", ...who, "commit-tree", "-m", "One", tree.toString().trim());
      await server.git("unsafe", "update-ref", "refs/heads/main", commit);
      const ask = fetch({ url: server.repoUrl("unsafe"), ref: main }, `main@sha1:${commit}`);
      await assert.rejects(ask, fault("UpstreamUnreachable", /unsafe entry|same name twice/));
    });

  test("[SR21] a submodule is an empty directory", async () => {
    await server.createRepo("super");
    await server.commit("super", { files: { a: "" }, message: "One" });
    const git = (...args: string[]) => server.git("super", ...args);
    const entries = [`100644 blob ${await git("rev-parse", "main:a")}\ta`, `160000 commit ${first}\tvendor`];
    const tree = execFileSync("git", ["mktree"], { cwd: server.path("super"), input: `${entries.join("\n")}\n` })
      .toString()
      .trim();
    const who = ["-c", "user.name=a", "-c", "user.email=a"];
    const commit = await git(...who, "commit-tree", "-m", "Two", tree);
    await git("update-ref", "refs/heads/main", commit);
    const { archive } = await fetch({ url: server.repoUrl("super"), ref: main }, `main@sha1:${commit}`);
    assert.deepEqual(await filesOf(archive), { a: "600 ", vendor: "directory" });
  });
});

describe("tags and names", () => {
  const commits: string[] = [];
  let url: string;
  let old: string;
  const who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"];
  const git = (...args: string[]) => server.git("tagged", ...who, ...args);
  const atHour = (hour: number) => new Date(Date.UTC(2026, 0, 2, hour));

  before(async () => {
    await server.createRepo("tagged");
    url = server.repoUrl("tagged");
    old = `${await serve((request, response) => {
      delete request.headers["git-protocol"];
      serveBackend(dir, request, response);
    })}/tagged.git`;
    for (const hour of [1, 2, 3])
      commits.push(await server.commit("tagged", { files: { n: `${hour}` }, message: `At ${hour}`, date: atHour(hour) }));
    const [one = "", two = "", three = ""] = commits;
    await git("tag", "v1.0.0", one);
    await git("tag", "-a", "-m", "Two", "v1.1.0", two);
    await git("tag", "-a", "-m", "Of a tag", "v1.1.0-outer", "v1.1.0");
    await git("tag", "v1.2.0+b", three);
    await git("tag", "1.2.0+c", two);
    await git("tag", "-a", "-m", "Rc", "v2.0.0-rc.1", two);
    await git("tag", "2024", three);
    await git("tag", "release/latest", two);
    await git("tag", "tree", `${three}^{tree}`);
    await git("update-ref", "refs/pull/7/head", one);
  });

  const followed: { ref: GitSpec["ref"]; label: string; nth: number; why?: string }[] = [
    { ref: { tag: "v1.0.0" }, label: "v1.0.0", nth: 1 },
    { ref: { tag: "v1.1.0" }, label: "v1.1.0", nth: 2, why: "annotated: the commit, not the tag" },
    { ref: { tag: "v1.1.0-outer" }, label: "v1.1.0-outer", nth: 2, why: "a tag of a tag" },
    { ref: { tag: "release/latest" }, label: "release/latest", nth: 2 },
    { ref: { name: "refs/pull/7/head" }, label: "refs/pull/7/head", nth: 1 },
    { ref: { name: "refs/heads/main" }, label: "refs/heads/main", nth: 3 },
    { ref: { name: "refs/tags/v1.1.0" }, label: "refs/tags/v1.1.0", nth: 2 },
    { ref: { name: "refs/tags/v1.1.0^{}" }, label: "refs/tags/v1.1.0^{}", nth: 2 },
    { ref: { semver: ">=1.0.0 <1.2.0" }, label: "v1.1.0", nth: 2 },
    { ref: { semver: "1.x" }, label: "v1.2.0+b", nth: 3, why: "1.2.0+c is as high, and its commit is older" },
    { ref: { semver: "*" }, label: "v1.2.0+b", nth: 3, why: "neither a pre-release, nor 2024" },
    { ref: { semver: ">=1.0.0-0" }, label: "v2.0.0-rc.1", nth: 2 },
  ];
  for (const { ref, label, nth, why = "" } of followed)
    for (const version of [2, 1])
      test(`[SR61] [SR2] ${JSON.stringify(ref)} is ${label}, asked in version ${version} ${why}`, async () => {
        const spec = { url: version === 2 ? url : old, ref };
        const revision = await resolve(spec);
        assert.equal(revision, `${label}@sha1:${commits[nth - 1]}`);
        const fetched = await fetch(spec, revision);
        assert.equal(fetched.revision, revision);
        assert.deepEqual(await filesOf(fetched.archive), { n: `600 ${nth}` });
      });

  test("[SR62] times of equal tags are asked for once", async () => {
    const own = withLimits();
    await own.resolve(callOf({ url, ref: { semver: "1.x" } }));
    server.requests.length = 0;
    await own.resolve(callOf({ url, ref: { semver: "1.x" } }));
    assert.deepEqual(server.requests.map(({ method }) => method), ["POST"]);
  });

  test("[SR61] a tag that moves on before it is fetched, and one that vanishes", async () => {
    const [one = "", two = "", three = ""] = commits;
    await git("tag", "-a", "-m", "Moves", "moving", one);
    const revision = await resolve({ url, ref: { tag: "moving" } });
    await git("tag", "-f", "moving", three);
    assert.equal((await fetch({ url, ref: { tag: "moving" } }, revision)).revision, `moving@sha1:${three}`);
    await git("tag", "-d", "moving");
    await assert.rejects(resolve({ url, ref: { tag: "moving" } }), fault("ReferenceMissing", /refs\/tags\/moving$/));
    await assert.rejects(fetch({ url, ref: { tag: "moving" } }, `moving@sha1:${two}`), fault("ReferenceMissing", /no such reference/));
  });

  const lacking: { ref: GitSpec["ref"]; detail: RegExp }[] = [
    { ref: { tag: "v1" }, detail: /no refs\/tags\/v1$/ },
    { ref: { name: "refs/pull/8/head" }, detail: /no refs\/pull\/8\/head$/ },
    { ref: { name: "refs/tags/v1.0.0^{}" }, detail: /not an annotated tag/ },
    { ref: { semver: ">=3.0.0" }, detail: /no tag is within ">=3\.0\.0"/ },
  ];
  for (const { ref, detail } of lacking)
    test(`[SR6] ${JSON.stringify(ref)} is not there`, () =>
      assert.rejects(resolve({ url, ref }), fault("ReferenceMissing", detail)));

  test("[SR6] a tag of something that is no commit", async () => {
    const revision = await resolve({ url, ref: { tag: "tree" } });
    await assert.rejects(fetch({ url, ref: { tag: "tree" } }, revision), fault("ReferenceMissing", /not point at a commit/));
  });

  test("[SR14] very many tags of one version, and a list of references without end", async () => {
    const spam = Array.from({ length: 40 }, (_, i) => `create refs/tags/v9.0.0+${i} ${commits[0]}\n`).join("");
    execFileSync("git", ["update-ref", "--stdin"], { cwd: server.path("tagged"), input: spam });
    await assert.rejects(resolve({ url, ref: { semver: "9.x" } }), fault("SourceTooLarge", /40 tags are of the same version/));

    async function* endless() {
      yield Buffer.from("001e# service=git-upload-pack\n0000");
      for (let i = 0; ; i++) yield Buffer.from(line(`${"1".repeat(40)} refs/tags/v${i}.0.0\n`).repeat(1000));
    }
    const hostile = await serve((_request, response) => {
      response.writeHead(200, { "content-type": "application/x-git-upload-pack-advertisement" });
      pipeline(endless, response).catch(() => undefined);
    });
    await assert.rejects(resolve({ url: hostile, ref: { tag: "v1" } }), fault("SourceTooLarge", /longer than \d+ bytes/));
  });
});

describe("many on one repository", () => {
  before(async () => {
    await server.createRepo("many");
    await server.commit("many", { files: { a: "1" }, message: "One" });
  });
  const good = { username: "ada", password: "correct-horse" };
  test("[SR76] share one poll and one fetch", async () => {
    const url = server.repoUrl("many");
    const own = withLimits();
    server.requests.length = 0;
    const revisions = await Promise.all(Array.from({ length: 20 }, () => own.resolve({ ...callOf({ url, ref: main }), maxAgeMs: 10_000 })));
    assert.equal(new Set(revisions).size, 1);
    assert.ok(server.requests.length <= 2, "a greeting and a question");
    server.requests.length = 0;
    const made = await Promise.all(revisions.map((revision) => own.fetch({ ...callOf({ url, ref: main }), revision })));
    assert.equal(new Set(made.map(({ archive }) => archive)).size, 1);
    assert.equal(server.requests.length, 2);
    await own.fetch({ ...callOf({ url, ref: main, ignore: "x" }), revision: revisions[0] ?? "" });
    assert.equal(server.requests.length, 4, "other rules, another archive");
  });

  test("[SR77] but not with who has other credentials, or none", async () => {
    const url = protectedServer.repoUrl("many");
    const own = withLimits();
    const ask = (secret?: Secret) => own.resolve({ ...callOf({ url, ref: main }, secret), maxAgeMs: 10_000 });
    const [allowed, wrong, none] = await Promise.allSettled([ask(good), ask({ ...good, password: "x" }), ask()]);
    assert.deepEqual([allowed.status, wrong.status, none.status], ["fulfilled", "rejected", "rejected"]);
    await assert.rejects(ask(), fault("AuthenticationFailed", /required/));
  });
});

describe("part of a repository", () => {
  let url: string;
  let revision: string;
  const ref = main;
  before(async () => {
    await server.createRepo("wide");
    url = server.repoUrl("wide");
    const files = { "apps/a.yaml": "a", "apps/deep/b.yaml": "b", "apps-old/c.yaml": "c", "docs/d.txt": "d", ".sourceignore": "apps/a.yaml\n", top: "" };
    revision = `main@sha1:${await server.commit("wide", { files, message: "Wide" })}`;
  });
  const pathsOf = async (sparseCheckout: string[]) =>
    Object.keys(await filesOf((await fetch({ url, ref, sparseCheckout }, revision)).archive)).filter((path) => /\./.test(path) || path === "top");

  const rows: { sparse: string[]; paths: string[]; why?: string }[] = [
    { sparse: ["apps"], paths: ["apps/a.yaml", "apps/deep/b.yaml"], why: "neither apps-old, nor the rules of the root" },
    { sparse: ["./apps/deep/", "docs"], paths: ["apps/deep/b.yaml", "docs/d.txt"] },
    { sparse: ["."], paths: [".sourceignore", "apps-old/c.yaml", "apps/deep/b.yaml", "docs/d.txt", "top"] },
    { sparse: [], paths: [".sourceignore", "apps-old/c.yaml", "apps/deep/b.yaml", "docs/d.txt", "top"] },
  ];
  for (const { sparse, paths, why = "" } of rows)
    test(`[SR67] sparseCheckout ${JSON.stringify(sparse)} ${why}`, async () => assert.deepEqual((await pathsOf(sparse)).sort(), paths.sort()));

  test("[SR74] what it was made by is told", async () => {
    const { observed } = await fetch({ url, ref, sparseCheckout: ["docs"], ignore: "x" }, revision);
    assert.deepEqual(observed, { observedIgnore: "x", observedRecurseSubmodules: null, observedSparseCheckout: ["docs"], sourceVerificationMode: null });
  });

  test("[SR67] a directory that is not there", () =>
    assert.rejects(pathsOf(["apps", "app"]), fault("SparseDirectoryMissing", /no "app"/)));
});

describe("submodules", () => {
  const inner: Record<string, string> = {};
  let url: string;
  const who = ["-c", "user.name=a", "-c", "user.email=a"];
  const who2 = { username: "ada", password: "correct-horse" };

  async function commitWith(name: string, modules: Record<string, { url: string; commit: string }>): Promise<string> {
    const gitmodules = Object.entries(modules).map(([path, module]) => `[submodule "${path}"]\n\tpath = ${path}\n\turl = ${module.url}\n`).join("");
    await server.createRepo(name);
    const base = await server.commit(name, { files: { top: "", ...(gitmodules && { ".gitmodules": gitmodules }) }, message: "Base" });
    const files = (await server.git(name, "ls-tree", base)).split("\n");
    const links = Object.entries(modules).map(([path, { commit }]) => `160000 commit ${commit}\t${path}`);
    const tree = execFileSync("git", ["mktree", "--missing"], { cwd: server.path(name), input: `${[...files, ...links].join("\n")}\n` }).toString().trim();
    const commit = await server.git(name, ...who, "commit-tree", "-m", "With submodules", tree);
    await server.git(name, "update-ref", "refs/heads/main", commit);
    return commit;
  }
  before(async () => {
    inner["leaf"] = await commitWith("leaf", {});
    inner["lib"] = await commitWith("lib", { deep: { url: "../leaf.git", commit: inner["leaf"] } });
    inner["outer"] = await commitWith("outer", {
      lib: { url: "./../lib.git", commit: inner["lib"] },
      also: { url: server.repoUrl("leaf"), commit: inner["leaf"] },
    });
    url = server.repoUrl("outer");
  });
  const pathsOf = async (spec: Partial<GitSpec>, secret?: Secret) => {
    const revision = `main@sha1:${inner["outer"]}`;
    const call = callOf({ url, ref: main, recurseSubmodules: true, ...spec }, secret);
    const { archive, observed } = await gitRepository.fetch({ ...call, revision });
    assert.equal(observed?.["observedRecurseSubmodules"], true);
    return Object.keys(await filesOf(archive));
  };

  test("[SR68] are fetched too, and theirs, by relative addresses and full ones", async () => {
    assert.deepEqual(await pathsOf({}), ["also", "also/top", "lib", "lib/deep", "lib/deep/top", "lib/top", "top"]);
  });
  test("[SR68] [SR67] only those that lie in what is picked", async () => {
    server.requests.length = 0;
    assert.deepEqual(await pathsOf({ sparseCheckout: ["lib/deep"] }), ["lib", "lib/deep", "lib/deep/top"]);
    assert.ok(!server.requests.some(({ path }) => path.startsWith("/also")));
  });
  test("[SR69] get our credentials on the same server, and on no other", async () => {
    const protectedUrl = protectedServer.repoUrl("outer");
    server.requests.length = 0;
    // `also` names the other server in full, `lib` lies beside the repository
    assert.ok((await pathsOf({ url: protectedUrl }, who2)).includes("lib/deep/top"));
    assert.ok(server.requests.length > 0);
    assert.deepEqual(server.requests.filter(({ authorization }) => authorization !== undefined), []);
  });
  test("[SR68] one whose commit is gone, whose address is none, or that has none", async () => {
    let count = 0;
    const ask = async (modules: Parameters<typeof commitWith>[1]) => {
      const name = `odd${count++}`;
      const commit = await commitWith(name, modules);
      const fetched = await gitRepository.fetch({ ...callOf({ url: server.repoUrl(name), ref: main, recurseSubmodules: true }), revision: `main@sha1:${commit}` });
      return Object.keys(await filesOf(fetched.archive));
    };
    const leaf = server.repoUrl("leaf");
    await assert.rejects(ask({ lib: { url: leaf, commit: "1".repeat(40) } }), fault("ReferenceMissing", /no such commit/));
    await assert.rejects(ask({ lib: { url: "file:///etc", commit: inner["leaf"] ?? "" } }), fault("UnsupportedReference", /file:/));
    await assert.rejects(ask({ lib: { url: "git@127.0.0.1:leaf.git", commit: inner["leaf"] ?? "" } }), fault("AuthenticationFailed", /ssh:/));
    assert.deepEqual(await ask({ lib: { url: "", commit: inner["leaf"] ?? "" } }), ["lib", "top"]);
  });
  test("[SR14] [SR68] that contain themselves come to an end", async () => {
    // A commit cannot name itself; a server can answer with any number of repositories. Here: a chain of eleven.
    let [name, commit] = ["chain0", await commitWith("chain0", {})];
    for (let i = 1; i <= 11; i++) [name, commit] = [`chain${i}`, await commitWith(`chain${i}`, { in: { url: `../${name}.git`, commit } })];
    const ask = gitRepository.fetch({ ...callOf({ url: server.repoUrl(name), ref: main, recurseSubmodules: true }), revision: `main@sha1:${commit}` });
    await assert.rejects(ask, fault("SourceTooLarge", /more than 10 deep/));
  });
});

describe("signatures", () => {
  const sign = newKey("ed25519");
  let url: string;
  before(async () => {
    await server.createRepo("signed");
    url = server.repoUrl("signed");
    await writeFile(join(dir, "signing-key"), sign.private, { mode: 0o600 });
  });
  const git = (...args: string[]) =>
    server.git("signed", "-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "gpg.format=ssh", "-c", `user.signingkey=${join(dir, "signing-key")}`, ...args);

  test("[SR70] [SR71] [SR72] what git signs with ssh-keygen is verified; what it does not is refused", { skip: !isThere("ssh-keygen") && "no ssh-keygen" }, async () => {
    const plain = await server.commit("signed", { files: { a: "1" }, message: "Plain" });
    const keys = { "ada.sshpub": sign.public };
    const ask = async (ref: GitSpec["ref"], mode: "head" | "HEAD" | "Tag" | "TagAndHEAD") => {
      const call = callOf({ url, ref, verify: { mode, secretRef: { name: "keys" } } }, keys);
      return gitRepository.fetch({ ...call, revision: await gitRepository.resolve(call) });
    };
    await assert.rejects(ask(main, "HEAD"), fault("CommitSignatureInvalid", /not signed/));
    const commit = await git("commit-tree", "-S", "-m", "Signed", "-p", plain, `${plain}^{tree}`);
    await git("update-ref", "refs/heads/main", commit);
    assert.match((await ask(main, "head")).verified ?? "", new RegExp(`commit '${commit}' with key 'SHA256:`));
    await git("tag", "-s", "-m", "One", "v1.0.0", plain);
    await git("tag", "light", commit);
    assert.match((await ask({ semver: "1.x" }, "Tag")).verified ?? "", /tag 'v1\.0\.0@/);
    await assert.rejects(ask({ semver: "1.x" }, "TagAndHEAD"), fault("CommitSignatureInvalid", /not signed/));
    await assert.rejects(ask({ tag: "light" }, "Tag"), fault("TagUnsigned", /light/));
    assert.match((await ask({ name: "refs/tags/v1.0.0" }, "Tag")).verified ?? "", /tag 'v1\.0\.0@/);
    await assert.rejects(ask(main, "TagAndHEAD"), fault("VerificationModeInvalid", /^$/));
    await assert.rejects(ask({ commit }, "Tag"), fault("VerificationModeInvalid", /^$/));
  });

  test("[SR72] no Secret with keys", async () => {
    const spec: GitSpec = { url, ref: main, verify: { mode: "HEAD", secretRef: { name: "keys" } } };
    const call = { ...callOf(spec), secret: () => Promise.reject(new Fault("SecretMissing", "Secret/apps/keys")), revision: `main@sha1:${"1".repeat(40)}` };
    await assert.rejects(gitRepository.fetch(call), fault("VerificationKeysMissing", /^$/));
  });
});

describe("a server of version 1", () => {
  let url: string;
  let advertised: ((text: string) => string) | undefined;
  let asked: string[] = [];

  before(async () => {
    url = `${await serve((request, response) => {
      delete request.headers["git-protocol"];
      asked.push(request.method ?? "");
      serveBackend(dir, request, advertised && request.method === "GET" ? rewriting(response, advertised) : response);
    })}/moving.git`;
  });

  const rewriting = (response: ServerResponse, change: (text: string) => string) => {
    const write = response.write.bind(response);
    response.write = (chunk: Buffer) => write(Buffer.from(change(chunk.toString("latin1")), "latin1"));
    return response;
  };
  // replaced by as many letters, so that the lengths of the lines stay right
  const onlyTips = (text: string) =>
    text.replaceAll(/allow-(any|reachable|tip)-sha1-in-want/g, (word) => word.replace("allow", "forbd"));

  test("[SR12] [SR5] [SR6] is asked in its own way", async () => {
    await assert.rejects(resolve({ url, ref: main }), fault("RepositoryEmpty", /^$/));
    const commit = await server.commit("moving", { files: { a: "1" }, message: "One" });
    asked = [];
    const revision = await resolve({ url, ref: main });
    assert.equal(revision, `main@sha1:${commit}`);
    assert.deepEqual(asked, ["GET"]);
    assert.deepEqual(await filesOf((await fetch({ url, ref: main }, revision)).archive), { a: "600 1" });
    await assert.rejects(resolve({ url, ref: { branch: "none" } }), fault("ReferenceMissing", /none/));
  });

  test("[SR16] gives the branch's new head, and older commits with the branch's history", async () => {
    advertised = onlyTips;
    const older = await resolve({ url, ref: main });
    const newer = await server.commit("moving", { files: { a: "2" }, message: "Two" });
    await server.git("moving", "repack", "-adf", "--depth=50", "--window=50");
    const moved = await fetch({ url, ref: main }, older);
    assert.equal(moved.revision, `main@sha1:${newer}`);
    assert.deepEqual(await filesOf(moved.archive), { a: "600 2" });

    const [, commit = ""] = older.split("sha1:");
    for (const branch of ["main", undefined]) {
      const revision = `${branch ? "main@" : ""}sha1:${commit}`;
      const pinned = await fetch({ url, ref: { commit, branch } }, revision);
      assert.equal(pinned.revision, revision);
      assert.deepEqual(await filesOf(pinned.archive), { a: "600 1" });
    }
    await assert.rejects(
      fetch({ url, ref: { commit: "1".repeat(40), branch: "main" } }, `main@sha1:${"1".repeat(40)}`),
      fault("ReferenceMissing", /has no such commit/),
    );
    await assert.rejects(
      fetch({ url, ref: { branch: "none" } }, `none@sha1:${"1".repeat(40)}`),
      fault("ReferenceMissing", /no such reference/),
    );
  });
});

describe("who we are", () => {
  const good = { username: "ada", password: "correct-horse" };
  let url: string;
  before(() => {
    url = protectedServer.repoUrl("shop");
  });

  test("[SR9] the Secret's credentials, or the URL's", async () => {
    assert.match(await resolve({ url, ref: main }, good), /^main@/);
    assert.match(await resolve({ url: url.replace("//", "//ada:correct-horse@"), ref: main }), /^main@/);
    const fetched = await gitRepository.fetch({
      ...callOf({ url, ref: main }, good),
      revision: await resolve({ url, ref: main }, good),
    });
    assert.equal(fetched.change.url, url);
  });

  test("[SR7] none, or others", async () => {
    await assert.rejects(resolve({ url, ref: main }), fault("AuthenticationFailed", /401: credentials are required/));
    await assert.rejects(
      resolve({ url, ref: main }, { ...good, password: "x" }),
      fault("AuthenticationFailed", /401: credentials were not accepted/),
    );
    await assert.rejects(resolve({ url, ref: main }, { bearerToken: "x" }), fault("AuthenticationFailed", /401/));
  });

  for (const status of [401, 403, 203])
    test(`[SR7] HTTP ${status}`, () => {
      server.spoil = () => ({ status });
      return assert.rejects(
        resolve({ url: server.repoUrl("shop"), ref: main }),
        fault("AuthenticationFailed", new RegExp(`${status}`)),
      );
    });

  test("[SR10] a server that repeats our credentials is not quoted, one that does not is", async () => {
    const says = (text: (authorization: string) => string) =>
      serve((request, response) => {
        response.setHeader("content-type", "application/x-git-upload-pack-advertisement");
        response.end(line(`ERR ${text(request.headers.authorization ?? "")}\n`));
      });
    const echo = await says((authorization) => `you sent ${authorization} \u001b[31m`);
    await assert.rejects(resolve({ url: echo, ref: main }, good), (error: Fault) => {
      assert.ok(
        !JSON.stringify([error, error.message, error.stack]).includes(
          Buffer.from("ada:correct-horse").toString("base64"),
        ),
      );
      return fault("UpstreamUnreachable", /withheld/)(error);
    });
    const plain = await says(() => "closed\u001b[31m for repairs");
    await assert.rejects(
      resolve({ url: plain, ref: main }, good),
      fault("UpstreamUnreachable", /says: closed \[31m for repairs$/),
    );
  });

  test("[SR10] no failure shows what the URL holds", async () => {
    const url = "http://user:pass-in-url@127.0.0.1:1/shop.git?token=token-in-url";
    await assert.rejects(resolve({ url, ref: main }), (error: Fault) => {
      assert.doesNotMatch(JSON.stringify([error, error.message, error.stack]), /in-url|user/);
      return fault("UpstreamUnreachable", /refused/)(error);
    });
  });
});

describe("redirects", () => {
  const good = { username: "ada", password: "correct-horse" };
  const redirectTo = (target: (path: string) => string) =>
    serve((request, response) => response.writeHead(302, { location: target(request.url ?? "") }).end("moved"));

  test("[SR11] lead to another host without credentials, and later questions go there", async () => {
    const elsewhere = await redirectTo((path) => `${server.url}/shop.git${path.slice("/old".length)}`);
    for (let poll = 0; poll < 2; poll++)
      assert.match(await resolve({ url: `${elsewhere}/old`, ref: main }, good), /^main@/);
    assert.deepEqual(
      server.requests.map(({ method, authorization }) => [method, authorization]),
      [
        ["GET", undefined],
        ["POST", undefined],
        ["POST", undefined],
      ],
    );
  });

  test("[SR11] keep the credentials on the same host", async () => {
    server.spoil = ({ path }) =>
      path.startsWith("/old/")
        ? { status: 301, headers: { location: `/shop.git/info/refs?service=git-upload-pack` } }
        : undefined;
    assert.match(await resolve({ url: `${server.url}/old`, ref: main }, good), /^main@/);
    assert.deepEqual(
      new Set(server.requests.map(({ authorization }) => authorization?.split(" ")[0])),
      new Set(["Basic"]),
    );
  });

  test("[SR11] do not go on forever, nor away from the repository, nor to other protocols", async () => {
    const circle = await redirectTo((path) => path);
    await assert.rejects(resolve({ url: circle, ref: main }), fault("UpstreamUnreachable", /more than 5 redirects/));
    const file = await redirectTo(() => "file:///etc/passwd");
    await assert.rejects(resolve({ url: file, ref: main }), fault("UpstreamUnreachable", /redirects to file/));
    const away = await redirectTo(() => `${server.url}/shop.git/info/refs/?service=git-upload-pack`);
    await assert.rejects(resolve({ url: away, ref: main }), fault("UpstreamUnreachable", /404|away|no Git server/));
  });

  test("[SR11] of a request for data are refused", async () => {
    const url = server.repoUrl("shop");
    server.spoil = ({ method }) =>
      method === "POST" ? { status: 307, headers: { location: `${server.url}/other.git/git-upload-pack` } } : undefined;
    await assert.rejects(
      resolve({ url, ref: main }, good),
      fault("UpstreamUnreachable", /redirected a request for data/),
    );
  });
});

describe("a server that fails", () => {
  const rows: { what: string; spoil: GitServer["spoil"]; detail: RegExp }[] = [
    { what: "404", spoil: () => ({ status: 404 }), detail: /HTTP 404: no repository/ },
    { what: "500", spoil: () => ({ status: 500, body: "x".repeat(1e6) }), detail: /HTTP 500/ },
    {
      what: "a web page",
      spoil: () => ({ status: 200, headers: { "content-type": "text/html" }, body: "<html>" }),
      detail: /no Git server/,
    },
    { what: "nothing at all", spoil: () => ({ status: 200, headers: advertisement }), detail: /breaks off, or is not/ },
    {
      what: "something else under Git's name",
      spoil: () => ({ status: 200, headers: advertisement, body: "<html>" }),
      detail: /breaks off, or is not/,
    },
    {
      what: "a line that breaks off",
      spoil: () => ({ status: 200, headers: advertisement, body: "0040# serv" }),
      detail: /breaks off/,
    },
    {
      what: "a broken connection",
      spoil: ({ method }) => (method === "POST" ? { truncateAfterBytes: 5 } : undefined),
      detail: /broke off/,
    },
  ];
  const advertisement = { "content-type": "application/x-git-upload-pack-advertisement" };
  for (const { what, spoil, detail } of rows)
    test(`[SR8] ${what}`, () => {
      server.spoil = spoil;
      return assert.rejects(resolve({ url: server.repoUrl("shop"), ref: main }), fault("UpstreamUnreachable", detail));
    });

  test("[SR8] nobody listens, nobody is called so", async () => {
    await assert.rejects(
      resolve({ url: "http://127.0.0.1:1/shop", ref: main }),
      fault("UpstreamUnreachable", /refused/),
    );
    await assert.rejects(
      resolve({ url: "http://git.invalid/shop", ref: main }),
      fault("UpstreamUnreachable", /host name/),
    );
  });

  test("[SR8] [SR9] TLS that is none, or without ca.crt", async () => {
    const https = server.url.replace("http:", "https:");
    await assert.rejects(
      resolve({ url: `${https}/shop.git`, ref: main }),
      fault("UpstreamUnreachable", /TLS|broke off/),
    );
  });

  test("[SR15] a pack cut short on its way", async () => {
    const url = server.repoUrl("shop");
    const revision = await resolve({ url, ref: main });
    server.spoil = ({ method }) => (method === "POST" ? { truncateAfterBytes: 300 } : undefined);
    await assert.rejects(fetch({ url, ref: main }, revision), fault("UpstreamUnreachable", /broke off|breaks off/));
  });

  test("[SR13] silence ends with the call's own time", async () => {
    const url = server.repoUrl("shop");
    server.spoil = () => "hang";
    await assert.rejects(resolve({ url, ref: main }, {}, AbortSignal.timeout(100)), fault("TimedOut", /longer/));
    const gone = new Error("another owner");
    const leave = new AbortController();
    setTimeout(() => leave.abort(gone), 50);
    await assert.rejects(resolve({ url, ref: main }, {}, leave.signal), gone);
    await assert.rejects(resolve({ url, ref: main }, {}, AbortSignal.abort(gone)), gone);
  });

  async function* endless() {
    for (;;) yield Buffer.from(`fff0\x01${"x".repeat(0xfff0 - 5)}`);
  }

  test("[SR14] an answer without end", async () => {
    const url = await serve((request, response) => {
      const advertised = `001e# service=git-upload-pack\n0000${line(`${"1".repeat(40)} refs/heads/main\0shallow side-band-64k`)}0000`;
      if (request.method === "GET") return void response.writeHead(200, advertisement).end(advertised);
      response.writeHead(200, { "content-type": "application/x-git-upload-pack-result" });
      response.write("0008NAK\n");
      // ends, with an error, when the client goes away
      pipeline(endless, response).catch(() => undefined);
    });
    await assert.rejects(
      fetch({ url, ref: main }, `main@sha1:${"1".repeat(40)}`, { packBytes: 3_000_000 }),
      fault("SourceTooLarge", /longer than 3000000 bytes/),
    );
  });
});

describe("a repository too large", () => {
  const files = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`d${i}/f${i}`, `${i}`.repeat(1000)]));
  const limited: { limits: Partial<Limits>; detail: RegExp }[] = [
    { limits: { packBytes: 500 }, detail: /longer than 500 bytes/ },
    { limits: { objects: 10 }, detail: /\d+ objects/ },
    { limits: { objectBytes: 900 }, detail: /an object has/ },
    { limits: { unpackedBytes: 10_000 }, detail: /unpacks to more/ },
    { limits: { files: 39 }, detail: /more than 39 files/ },
    { limits: { archivedBytes: 19_000 }, detail: /add up to more than 19000 bytes/ },
    { limits: { pathBytes: 5 }, detail: /a path is longer/ },
  ];
  let url: string;
  let revision: string;
  before(async () => {
    await server.createRepo("large");
    url = server.repoUrl("large");
    revision = `main@sha1:${await server.commit("large", { files, message: "Much" })}`;
  });

  for (const { limits, detail } of limited)
    test(`[SR14] ${JSON.stringify(limits)}`, () =>
      assert.rejects(fetch({ url, ref: main }, revision, limits), fault("SourceTooLarge", detail)));

  test("[SR14] a few small objects that stand for very many files", async () => {
    await server.createRepo("bomb");
    const mktree = (input: string) =>
      execFileSync("git", ["mktree"], { cwd: server.path("bomb"), input })
        .toString()
        .trim();
    const blob = execFileSync("git", ["hash-object", "-w", "--stdin"], { cwd: server.path("bomb"), input: "x" })
      .toString()
      .trim();
    let tree = mktree(Array.from({ length: 10 }, (_, i) => `100644 blob ${blob}\tf${i}\n`).join(""));
    for (let depth = 0; depth < 9; depth++)
      tree = mktree(Array.from({ length: 10 }, (_, i) => `040000 tree ${tree}\td${i}\n`).join(""));
    const commit = await server.git(
      "bomb",
      "-c",
      "user.name=a",
      "-c",
      "user.email=a",
      "commit-tree",
      "-m",
      "Boom",
      tree,
    );
    await server.git("bomb", "update-ref", "refs/heads/main", commit);
    await assert.rejects(
      fetch({ url: server.repoUrl("bomb"), ref: main }, `main@sha1:${commit}`),
      fault("SourceTooLarge", /more than 50000 files/),
    );
  });
});
