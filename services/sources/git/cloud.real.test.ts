/** Git servers of the clouds: real repositories behind the clouds' names, reached through a proxy that leads there. */
import assert from "node:assert/strict";
import { createServer as createHttp, request as forward, type Server } from "node:http";
import { createServer as createHttps, type Server as HttpsServer } from "node:https";
import { connect, type AddressInfo, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { Clouds } from "#services/clients/cloud/identity.ts";
import { closeConnections } from "#services/clients/http/connections.ts";
import { serveBackend } from "../../../deploy/local/git-backend.ts";
import { startGitServer, type GitServer } from "../../../deploy/local/git-server.ts";
import { party, pem } from "../../../test/kit/certificates.ts";
import { fakeAccounts, startClouds, stsAnswer, type FakeClouds } from "../../../test/kit/clouds.ts";
import { scratchFolder } from "../../../test/kit/cluster.ts";
import { createGitRepository } from "./git.ts";
import { gitThreads } from "./git-threads.ts";

const dir = scratchFolder();
const threads = gitThreads(1);
const authority = party("authority");
const hosts: Record<string, HttpsServer> = {};
const shownTo: string[] = [];
/** What the proxy was asked for in the open: the stand-ins of the clouds' services, which are asked over TLS themselves. */
const forwarded: string[] = [];
let git: GitServer, proxy: Server, clouds: FakeClouds, commit: string;

/** By the name of the cloud's host: what has to be shown there. */
const wanted: Record<string, RegExp> = {
  "dev.azure.com": /^Bearer devops$/,
  "git-codecommit.eu-west-1.amazonaws.com": new RegExp(`^Basic ${Buffer.from("ASIA%session:").toString("base64").slice(0, 16)}`),
};
const portOf = (server: Server | HttpsServer) => (server.address() as AddressInfo).port;

before(async () => {
  clouds = await startClouds();
  git = await startGitServer({ dir });
  await git.createRepo("shop");
  commit = await git.commit("shop", { files: { a: "1" }, message: "One" });
  for (const [name, pattern] of Object.entries(wanted)) {
    const host = party(name, authority, name);
    hosts[name] = createHttps({ key: pem(host.key), cert: host.certificate }, (request, response) => {
      shownTo.push(`${name} ${request.headers.authorization?.split(" ")[0] ?? "nobody"}`);
      if (pattern.test(request.headers.authorization ?? "")) serveBackend(dir, request, response);
      else response.writeHead(401).end();
    });
  }
  proxy = createHttp((request, response) => {
    forwarded.push(request.url ?? "");
    const onward = forward(request.url ?? "", { method: request.method ?? "GET", headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    request.pipe(onward);
  });
  proxy.on("connect", (request, socket: Socket) => {
    const [name = "", port = ""] = (request.url ?? "").split(":");
    const host = hosts[name];
    const onward = connect(host ? portOf(host) : Number(port), "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      socket.pipe(onward).pipe(socket);
    });
    for (const each of [onward, socket]) each.on("error", () => [onward, socket].forEach((one) => one.destroy()));
  });
  await Promise.all([proxy, ...Object.values(hosts)].map((server) => new Promise<void>((done) => server.listen(0, "127.0.0.1", done))));
  Object.assign(clouds.answers, {
    "login.microsoftonline.com/tenant/oauth2/v2.0/token": JSON.stringify({ access_token: "devops", expires_in: 3_600 }),
    "sts.eu-west-1.amazonaws.com/": stsAnswer("ASIA", new Date(Date.now() + 3_600_000).toISOString()),
  });
});
after(async () => {
  await closeConnections();
  for (const server of [proxy, ...Object.values(hosts)]) server.closeAllConnections();
  await Promise.all([threads.close(), git.stop(), clouds.close(), ...[proxy, ...Object.values(hosts)].map((server) => new Promise((closed) => server.close(closed)))]);
});

const annotations = { "azure.workload.identity/tenant-id": "tenant", "azure.workload.identity/client-id": "client", "eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/reader" };
const callOf = (url: string, provider: string) => {
  const secrets: Record<string, Record<string, Uint8Array>> = {
    authority: { "ca.crt": Buffer.from(authority.certificate), username: Buffer.from("ada"), password: Buffer.from("of another") },
    proxy: { address: Buffer.from(`http://127.0.0.1:${portOf(proxy)}`) },
  };
  const all = new Clouds({ env: {}, reach: clouds.reach, accounts: fakeAccounts({ "apps/reader": { annotations } }) });
  return {
    key: { kind: "gitrepository", namespace: "apps", name: "shop" }, signal: AbortSignal.timeout(30_000),
    spec: { url, ref: { branch: "main" }, provider, serviceAccountName: "reader", secretRef: { name: "authority" }, proxySecretRef: { name: "proxy" } },
    secret: async (name: string) => secrets[name] ?? {},
    identity: (name: string | undefined) => all.as(name ? { namespace: "apps", name } : undefined),
  };
};

for (const [provider, host] of [["azure", "dev.azure.com"], ["aws", "git-codecommit.eu-west-1.amazonaws.com"]] as const)
  test(`[ID6] [ID7] provider ${provider}: the account's identity reads from ${host}, through the proxy, in place of the Secret's password`, async () => {
    const gitRepository = createGitRepository({ threads });
    const call = callOf(`https://${host}/shop.git`, provider);
    const revision = await gitRepository.resolve(call);
    assert.equal(revision, `main@sha1:${commit}`);
    assert.equal((await gitRepository.fetch({ ...call, revision })).revision, revision);
    assert.deepEqual([...new Set(shownTo.splice(0))], [`${host} ${provider === "azure" ? "Bearer" : "Basic"}`]);
    assert.equal(forwarded.splice(0).length, 1);
  });

test("[ID6] the identity is shown to no other host", async () => {
  for (const [provider, url] of [["azure", "https://git.example/shop.git"], ["aws", "https://dev.azure.com/shop.git"], ["azure", "ssh://git@dev.azure.com/shop.git"]] as const)
    await assert.rejects(createGitRepository({ threads }).resolve(callOf(url, provider)), { code: "ProviderFailed" });
  assert.deepEqual(shownTo, []);
});
