/** Against a server on loopback that answers as GitHub's API does, and a Git server that wants its tokens. */
import assert from "node:assert/strict";
import { generateKeyPairSync, verify } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, test } from "node:test";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { closeConnections } from "#services/clients/http/connections.ts";
import { serveBackend } from "../../../deploy/local/git-backend.ts";
import { startGitServer, type GitServer } from "../../../deploy/local/git-server.ts";
import { scratchFolder } from "../../../test/kit/cluster.ts";
import { createGitRepository } from "./git.ts";
import { GithubApps } from "./github-app.ts";
import { gitThreads } from "./git-threads.ts";

const dir = scratchFolder();
const threads = gitThreads(1);
const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const pem = (type: "pkcs1" | "pkcs8") => String(privateKey.export({ type, format: "pem" }));
const asked: string[] = [];
let answer: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
let tokens = 0;
let lastsMs = 3_600_000;
let git: GitServer;
let api: Server;
let host: Server;
let commit: string;

const serve = async (server: Server) => {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return server;
};
const urlOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

before(async () => {
  git = await startGitServer({ dir });
  await git.createRepo("shop");
  commit = await git.commit("shop", { files: { a: "1" }, message: "One" });
  host = await serve(createServer((request, response) => {
    const wanted = `Basic ${Buffer.from(`x-access-token:token-${tokens}`).toString("base64")}`;
    if (request.headers.authorization === wanted) serveBackend(dir, request, response);
    else response.writeHead(401).end();
  }));
  api = await serve(createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    if (answer?.(request, response)) return;
    const [head = "", body = "", signature = ""] = (request.headers.authorization ?? "").replace("Bearer ", "").split(".");
    const isOurs = verify("sha256", Buffer.from(`${head}.${body}`), publicKey, Buffer.from(signature, "base64url"));
    const { iat = 0, exp = 0, iss } = JSON.parse(Buffer.from(body, "base64url").toString() || "{}") as { iat?: number; exp?: number; iss?: string };
    if (!isOurs || iss !== "7" || exp - iat > 600) return void response.writeHead(401).end();
    if (request.url === "/api/v3/users/ada/installation") return void response.end(JSON.stringify({ id: 42 }));
    if (request.url !== "/api/v3/app/installations/42/access_tokens") return void response.writeHead(404).end();
    const expires_at = new Date(Date.now() + lastsMs).toISOString();
    response.writeHead(201).end(JSON.stringify({ token: `token-${++tokens}`, expires_at }));
  }));
});
beforeEach(() => {
  asked.splice(0);
  answer = undefined;
  lastsMs = 3_600_000;
});
after(async () => {
  await closeConnections();
  for (const server of [api, host]) server.closeAllConnections();
  await Promise.all([threads.close(), git.stop(), ...[api, host].map((server) => new Promise((closed) => server.close(closed)))]);
});

type Data = Record<string, string>;
const appOf = (changes: Data = {}): Data => ({ githubAppID: "7", githubAppInstallationID: "42", githubAppPrivateKey: pem("pkcs1"), githubAppBaseURL: `${urlOf(api)}/api/v3`, ...changes });
const callOf = (data: Data | undefined, provider: string | undefined = "github", url = `${urlOf(host)}/shop.git`) => ({
  key: { kind: "gitrepository", namespace: "apps", name: "shop" },
  spec: { url, ref: { branch: "main" }, provider, ...(data && { secretRef: { name: "app" } }) },
  secret: async () => Object.fromEntries(Object.entries(data ?? {}).map(([key, value]) => [key, Buffer.from(value)])),
  signal: AbortSignal.timeout(30_000),
});
const fault = (code: FaultCode, detail: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Fault, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.detail ?? "", detail);
  assert.doesNotMatch(JSON.stringify([error, error.message, error.stack]), /PRIVATE KEY|token-/);
  return true;
};

test("[SR75] an App reads with a token, which is minted once and then kept", async () => {
  const gitRepository = createGitRepository({ threads });
  const call = callOf(appOf());
  const revision = await gitRepository.resolve(call);
  assert.equal(revision, `main@sha1:${commit}`);
  assert.equal((await gitRepository.fetch({ ...call, revision })).revision, revision);
  assert.deepEqual(asked, ["POST /api/v3/app/installations/42/access_tokens"]);
});

test("[SR75] the installation is found by its owner, an organisation or a person", async () => {
  const { githubAppInstallationID: _, ...byOwner } = appOf({ githubAppInstallationOwner: "ada", githubAppPrivateKey: pem("pkcs8") });
  assert.match(await createGitRepository({ threads }).resolve(callOf(byOwner)), /^main@/);
  assert.deepEqual(asked, ["GET /api/v3/orgs/ada/installation", "GET /api/v3/users/ada/installation", "POST /api/v3/app/installations/42/access_tokens"]);
});

test("[SR75] a token that is about to end is replaced, and another App has another", async () => {
  const apps = new GithubApps();
  const open = async (data: Data) => (await apps.open({ url: "https://git.example.com/shop", secret: await callOf(data).secret() }, AbortSignal.timeout(30_000))).secret?.["password"]?.toString();
  lastsMs = 4 * 60_000;
  const first = await open(appOf());
  lastsMs = 3_600_000;
  const [second, third] = [await open(appOf()), await open(appOf())];
  assert.notEqual(first, second);
  assert.equal(second, third);
  assert.notEqual(await open(appOf({ githubAppBaseURL: `${urlOf(api)}/api/v3/` , "ca.crt": "other" })), third);
});

const answers: { what: string; answer: NonNullable<typeof answer>; code: FaultCode; detail: RegExp }[] = [
  { what: "a refusal", answer: (_, response) => Boolean(response.writeHead(403).end("token-1")), code: "AuthenticationFailed", detail: /HTTP 403/ },
  { what: "an outage", answer: (_, response) => Boolean(response.writeHead(502).end()), code: "UpstreamUnreachable", detail: /HTTP 502/ },
  { what: "a web page", answer: (_, response) => Boolean(response.end("<html>")), code: "UpstreamUnreachable", detail: /not answer in JSON/ },
  { what: "no token", answer: (_, response) => Boolean(response.end("{}")), code: "AuthenticationFailed", detail: /no token/ },
  { what: "very much", answer: (_, response) => Boolean(response.end("x".repeat(1e6))), code: "UpstreamUnreachable", detail: /without end/ },
  { what: "a broken connection", answer: (request) => Boolean(request.socket.destroy()), code: "UpstreamUnreachable", detail: /broke off/ },
];
for (const { what, answer: spoil, code, detail } of answers)
  test(`[SR75] the API answers with ${what}: ${code}`, async () => {
    answer = spoil;
    await assert.rejects(createGitRepository({ threads }).resolve(callOf(appOf())), fault(code, detail));
  });

const other = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" });
const wrong: { what: string; call: () => ReturnType<typeof callOf>; detail: RegExp }[] = [
  { what: "no Secret", call: () => callOf(undefined), detail: /githubAppID/ },
  { what: "a Secret that is no App's", call: () => callOf({ username: "ada" }), detail: /githubAppID/ },
  { what: "an App's Secret without the provider", call: () => callOf(appOf(), "generic"), detail: /spec\.provider is not github/ },
  { what: "both an id and an owner", call: () => callOf(appOf({ githubAppInstallationOwner: "ada" })), detail: /exactly one/ },
  { what: "an id that is none", call: () => callOf(appOf({ githubAppInstallationID: "../1" })), detail: /not a number/ },
  { what: "a key that is none", call: () => callOf(appOf({ githubAppPrivateKey: "x" })), detail: /RSA/ },
  { what: "a key of another kind", call: () => callOf(appOf({ githubAppPrivateKey: String(other) })), detail: /RSA/ },
  { what: "an address that is none", call: () => callOf(appOf({ githubAppBaseURL: "file:///etc" })), detail: /githubAppBaseURL/ },
  { what: "SSH", call: () => callOf(appOf(), "github", "ssh://git@github.com/team/shop"), detail: /https/ },
];
for (const { what, call, detail } of wrong)
  test(`[SR75] ${what}: ProviderInvalid`, () => assert.rejects(createGitRepository({ threads }).resolve(call()), fault("ProviderInvalid", detail)));
