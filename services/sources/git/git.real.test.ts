/** Against git's own http-backend, and against servers that misbehave as it never would. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";
import { after, before, beforeEach, describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { extract } from "tar-stream";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { serveBackend } from "../../../deploy/local/git-backend.ts";
import { startGitServer, type GitServer } from "../../../deploy/local/git-server.ts";
import { scratchFolder } from "../../../test/kit/cluster.ts";
import { closeConnections } from "./connections.ts";
import { createGitRepository } from "./git.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import type { GitSpec } from "./reference.ts";
import { Threads } from "./threads.ts";

type Secret = Record<string, string>;

const dir = scratchFolder();
const threads = new Threads(2);
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
