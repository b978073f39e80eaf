/** Against small servers that answer as GitHub, GitLab and Gitea do, and refuse what they refuse. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import test, { after, beforeEach } from "node:test";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { closeConnections } from "../http/connections.ts";
import { ensurePullRequest, providers, type Provider, type PullRequestWanted } from "./forge.ts";
import { placeOf } from "./place.ts";

/** What all three keep. `fork`: it comes from another repository. */
type Open = { number: number; head: string; base: string; title: string; body: string; fork?: boolean };

const state = { open: [] as Open[], calls: [] as string[], limited: undefined as Record<string, string> | undefined, hidden: 0 };
const branches = ["main", "images", "release/1.x"];
beforeEach(() => Object.assign(state, { open: [], calls: [], limited: undefined, hidden: 0 }));

type Answer = { status: number; body: unknown; headers?: Record<string, string> };
type Asked = { method: string; path: string; query: URLSearchParams; sent: Record<string, string>; user: string | undefined };
type Dialect = {
  prefix: string;
  /** Of the repository, and of what is open there. */
  repository: string;
  pulls: string;
  authorization: (token: string) => string;
  shown(open: Open): unknown;
  /** As the API names it. */
  read(sent: Record<string, string>): Partial<Open>;
  unauthorized: Answer; forbidden: Answer; missing: Answer;
  exists(open: Open): Answer;
  /** A branch that is not there. */
  noBranch(which: "head" | "base"): Answer | undefined;
  matches(open: Open, query: URLSearchParams): boolean;
};

const ref = (name: string, fork = false) => ({ ref: name, repo_id: fork ? 2 : 1, repo: { id: fork ? 2 : 1 } });
const invalid = (field: string): Answer => ({ status: 422, body: { message: "Validation Failed", errors: [{ resource: "PullRequest", field, code: "invalid" }] } });
const dialects: Record<Provider, Dialect> = {
  github: {
    prefix: "/api/v3/", repository: "repos/org/shop", pulls: "repos/org/shop/pulls", authorization: (token) => `Bearer ${token}`,
    shown: ({ number, head, base, title, body, fork }) => ({ number, title, body: body || null, html_url: `https://x/pull/${number}`, head: ref(head, fork), base: ref(base) }),
    read: (sent) => sent,
    unauthorized: { status: 401, body: { message: "Bad credentials" } }, forbidden: { status: 403, body: { message: "Resource not accessible by personal access token" } }, missing: { status: 404, body: { message: "Not Found" } },
    exists: ({ head }) => ({ status: 422, body: { message: "Validation Failed", errors: [{ resource: "PullRequest", code: "custom", message: `A pull request already exists for org:${head}.` }] } }),
    noBranch: invalid,
    matches: ({ head, base, fork }, query) => query.get("head") === `org:${head}` && query.get("base") === base && !fork,
  },
  gitlab: {
    prefix: "/api/v4/", repository: "projects/org%2Fshop", pulls: "projects/org%2Fshop/merge_requests", authorization: (token) => `Bearer ${token}`,
    shown: ({ number, head, base, title, body, fork }) => ({ iid: number, id: 1000 + number, title, description: body || null, web_url: `https://x/-/merge_requests/${number}`, source_branch: head, target_branch: base, source_project_id: fork ? 2 : 1, target_project_id: 1 }),
    read: (sent) => ({ ...(sent["source_branch"] && { head: sent["source_branch"] }), ...(sent["target_branch"] && { base: sent["target_branch"] }), ...(sent["title"] && { title: sent["title"] }), ...(sent["description"] !== undefined && { body: sent["description"] }) }),
    unauthorized: { status: 401, body: { message: "401 Unauthorized" } }, forbidden: { status: 403, body: { error: "insufficient_scope" } }, missing: { status: 404, body: { message: "404 Project Not Found" } },
    exists: ({ number }) => ({ status: 409, body: { message: [`Another open merge request already exists for this source branch: !${number}`] } }),
    noBranch: () => undefined,
    matches: ({ head, base }, query) => query.get("source_branch") === head && query.get("target_branch") === base && query.get("state") === "opened",
  },
  gitea: {
    prefix: "/api/v1/", repository: "repos/org/shop", pulls: "repos/org/shop/pulls", authorization: (token) => `token ${token}`,
    shown: ({ number, head, base, title, body, fork }) => ({ number, title, body, html_url: `https://x/pulls/${number}`, head: ref(head, fork), base: ref(base) }),
    read: (sent) => sent,
    unauthorized: { status: 401, body: { message: "invalid username, password or token" } }, forbidden: { status: 403, body: { message: "token does not have at least one of required scope(s)" } }, missing: { status: 404, body: { message: "The target couldn't be found." } },
    exists: () => ({ status: 409, body: { message: "pull request already exists for these targets" } }),
    noBranch: () => ({ status: 404, body: { message: "The target couldn't be found." } }),
    matches: ({ base }, query) => query.get("base_branch") === base,
  },
};

function answerOf(dialect: Dialect, { method, path, query, sent, user }: Asked): Answer {
  const { repository, pulls } = dialect;
  if (state.limited) return { status: 403, body: { message: "API rate limit exceeded" }, headers: state.limited };
  if (user === undefined) return dialect.unauthorized;
  if (user === "moved") return { status: 301, body: {}, headers: { location: "http://127.0.0.1:1/stolen" } };
  if (user === "html") return { status: 200, body: "<html>" };
  if (!path.startsWith(`${repository}/`) || user === "stranger") return dialect.missing;
  const branch = path.startsWith(`${repository}/repository/branches/`) ? decodeURIComponent(path.slice(`${repository}/repository/branches/`.length)) : undefined;
  if (branch !== undefined) return branches.includes(branch) ? { status: 200, body: { name: branch } } : { status: 404, body: { message: "404 Branch Not Found" } };
  if (method === "GET") {
    const all = state.open.filter((open) => dialect.matches(open, query));
    const page = Number(query.get("page") ?? 1);
    if (state.hidden-- > 0) return { status: 200, body: [] };
    return { status: 200, body: all.slice((page - 1) * 3, page * 3).map((open) => dialect.shown(open)) };
  }
  if (user === "reader") return dialect.forbidden;
  const wanted = dialect.read(sent);
  if (method === "POST") {
    const { head = "", base = "", title = "", body = "" } = wanted;
    const missing = !branches.includes(head) ? dialect.noBranch("head") : !branches.includes(base) ? dialect.noBranch("base") : undefined;
    if (missing) return missing;
    const known = state.open.find((open) => open.head === head && open.base === base && !open.fork);
    if (known) return dialect.exists(known);
    const opened = { number: state.open.length + 7, head, base, title, body };
    state.open.push(opened);
    return { status: 201, body: dialect.shown(opened) };
  }
  const open = state.open.find(({ number }) => path === `${pulls}/${number}`);
  if (!open || method !== (repository.startsWith("projects") ? "PUT" : "PATCH")) return dialect.missing;
  Object.assign(open, wanted);
  return { status: 200, body: dialect.shown(open) };
}

const users: Record<string, string> = { "token-rw": "writer", "token-r": "reader", "token-none": "stranger", "token-moved": "moved", "token-html": "html" };

async function handle(dialect: Dialect, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const [target = "", search = ""] = (request.url ?? "").split("?");
  const path = target.startsWith(dialect.prefix) ? target.slice(dialect.prefix.length) : "";
  const token = Object.keys(users).find((each) => request.headers.authorization === dialect.authorization(each));
  const sent = chunks.length > 0 ? (JSON.parse(Buffer.concat(chunks).toString()) as Record<string, string>) : {};
  state.calls.push(`${request.method} ${path}`);
  const { status, body, headers } = answerOf(dialect, { method: request.method ?? "", path, query: new URLSearchParams(search), sent, user: users[token ?? ""] });
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(typeof body === "string" ? body : JSON.stringify(body));
}

const servers: Server[] = [];
const origins = new Map<Provider, string>();
for (const provider of providers) {
  const server = createServer((request, response) => void handle(dialects[provider], request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  servers.push(server);
  origins.set(provider, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
}
after(async () => {
  await closeConnections();
  for (const server of servers) server.close();
});

const wantedOf = (provider: Provider, more: Partial<PullRequestWanted> = {}): PullRequestWanted =>
  ({ provider, url: `${origins.get(provider)}/org/shop.git`, token: "token-rw", head: "images", base: "main", title: "Update web", body: "web: 1 -> 2\n", ...more });
const ensure = (provider: Provider, more: Partial<PullRequestWanted> = {}) =>
  ensurePullRequest(wantedOf(provider, more), { peer: { identity: provider }, signal: AbortSignal.timeout(60_000), nowMs: () => 1_000_000 });

const fails = (code: FaultCode, says: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Fault, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, says);
  assert.doesNotMatch(error.message, /token-/);
  return true;
};

for (const provider of providers) {
  test(`[IM51] ${provider}: the first time it is opened, the second time found, and told what is new`, async () => {
    const first = await ensure(provider);
    assert.equal(first.created, true);
    assert.match(first.url, /^https:\/\/x\/.*\/7$/);
    assert.deepEqual(await ensure(provider), { ...first, created: false });
    const writes = () => state.calls.filter((call) => !call.startsWith("GET")).length;
    assert.equal(writes(), 1, "what is as wanted is not written again");
    assert.deepEqual(await ensure(provider, { title: "Update web and db", body: "more" }), { ...first, created: false });
    assert.equal(writes(), 2);
    assert.deepEqual(state.open, [{ number: 7, head: "images", base: "main", title: "Update web and db", body: "more" }]);
  });

  test(`[IM51] ${provider}: another one of the same branch, and a fork's of the same name, are not taken for it`, async () => {
    state.open = [{ number: 1, head: "images", base: "release/1.x", title: "a", body: "" }, { number: 2, head: "images", base: "main", title: "fork", body: "", fork: true },
      ...Array.from({ length: 4 }, (_, i) => ({ number: 3 + i, head: `b${i}`, base: "main", title: "", body: "" }))];
    const { number, created } = await ensure(provider);
    assert.deepEqual([created, number], [true, 13]);
    assert.deepEqual((await ensure(provider)).number, 13);
    assert.deepEqual(state.open.slice(0, 2).map(({ title }) => title), ["a", "fork"]);
  });

  test(`[IM51] ${provider}: somebody else opened it in between`, async () => {
    state.open = [{ number: 3, head: "images", base: "main", title: "Update web", body: "web: 1 -> 2" }];
    state.hidden = 1;
    assert.deepEqual(await ensure(provider).then(({ number, created }) => ({ number, created })), { number: 3, created: false });
  });

  test(`[IM52] ${provider}: what is refused is told apart`, async () => {
    await assert.rejects(ensure(provider, { token: "other" }), fails("PullRequestDenied", /HTTP 401: the token was not accepted/));
    await assert.rejects(ensure(provider, { token: "token-r" }), fails("PullRequestDenied", /HTTP 403: the token may not do this/));
    await assert.rejects(ensure(provider, { token: "token-none" }), fails("PullRequestRepositoryMissing", /no such repository, or the token may not see it/));
    await assert.rejects(ensure(provider, { base: "mian" }), fails("PullRequestBranchMissing", /no branch mian/));
    await assert.rejects(ensure(provider, { token: "token-html" }), fails("PullRequestFailed", /the answer is none of/));
    assert.deepEqual(state.open, []);
  });

  test(`[IM52] ${provider}: a server that has enough says when it answers again`, async () => {
    state.limited = { "retry-after": "60" };
    await assert.rejects(ensure(provider), fails("PullRequestRateLimited", /in 60 s/));
    state.limited = { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1090" };
    await assert.rejects(ensure(provider), fails("PullRequestRateLimited", /in 90 s/));
  });

  test(`[IM50] ${provider}: the token goes nowhere else, and one that is none nowhere at all`, async () => {
    await assert.rejects(ensure(provider, { token: "token-moved" }), fails("PullRequestRepositoryMissing", /HTTP 301: it is somewhere else now, and the token is not sent there/));
    state.calls = [];
    for (const token of ["", "two words", "line\n"]) await assert.rejects(ensure(provider, { token }), fails("PullRequestDenied", /the token is empty/));
    assert.deepEqual(state.calls, []);
  });
}

test("[IM51] a title and a text that no server would take are cut, and an empty title is the branch", async () => {
  await ensure("gitea", { title: `${"x".repeat(248)}😀${"y".repeat(100)}`, body: "z".repeat(70_000) });
  assert.equal(state.open[0]?.title, `${"x".repeat(248)}…`);
  assert.equal(state.open[0]?.body.length, 60_000);
  await ensure("gitea", { title: "  " });
  assert.equal(state.open[0]?.title, "images");
});

test("[IM52] nobody there, and whoever asks ends it", async () => {
  await assert.rejects(ensure("github", { url: "http://127.0.0.1:1/org/shop" }), fails("UpstreamUnreachable", /connection refused/));
  const reason = new Error("handed over");
  await assert.rejects(ensurePullRequest(wantedOf("github"), { peer: { identity: "x" }, signal: AbortSignal.abort(reason) }), reason);
});

const places: [provider: Provider, url: string, apiUrl: string | undefined, api: string | RegExp, path?: string][] = [
  ["github", "https://github.com/org/shop", undefined, "https://api.github.com/", "org/shop"],
  ["github", "ssh://git@github.com/org/shop.git", undefined, "https://api.github.com/", "org/shop"],
  ["github", "git@github.com:org/shop.git", undefined, "https://api.github.com/", "org/shop"],
  ["github", "ssh://git@ssh.github.com:443/org/shop.git", undefined, "https://api.github.com/", "org/shop"],
  ["github", "https://git.example.com/org/shop.git/", undefined, "https://git.example.com/api/v3/", "org/shop"],
  ["gitlab", "ssh://git@gitlab.example.com:2222/group/sub/shop.git", undefined, "https://gitlab.example.com/api/v4/", "group/sub/shop"],
  ["gitlab", "https://user:word@gitlab.example.com:8443/group/shop.git", undefined, "https://gitlab.example.com:8443/api/v4/", "group/shop"],
  ["gitea", "http://gitea.example.com:3000/org/shop.git", undefined, "http://gitea.example.com:3000/api/v1/", "org/shop"],
  ["gitea", "https://example.com/org/shop", "https://example.com/git/api/v1", "https://example.com/git/api/v1/", "org/shop"],
  ["github", "https://github.com/shop", undefined, /no path of an owner and a name/],
  ["github", "https://github.com/a/b/c", undefined, /no path of an owner and a name/],
  ["gitea", "https://x/a/..%2f..%2fadmin", undefined, /no path of an owner and a name/],
  ["gitea", "https://x/a/b?c", "file:///etc/passwd", /is no URL of https or http/],
  ["gitea", "https://x/a/b", "https://u:p@y/api", /is no URL of https or http/],
  ["github", "file:///srv/git/a/b", undefined, /none of https, http and ssh/],
  ["gitlab", "https://x/%zz/b", undefined, /no path of an owner and a name/],
];
for (const [provider, url, apiUrl, api, path] of places)
  test(`[IM53] ${provider} of ${url}${apiUrl ? ` with ${apiUrl}` : ""}`, () => {
    const place = () => placeOf({ provider, url, apiUrl });
    if (api instanceof RegExp) assert.throws(place, fails("PullRequestInvalid", api));
    else assert.deepEqual([String(place().api), place().path], [api, path]);
  });
