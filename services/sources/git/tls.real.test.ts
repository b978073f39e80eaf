/** TLS with an authority of one's own, made on the spot. */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:https";
import type { RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { after, before, test } from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { serveBackend } from "../../../deploy/local/git-backend.ts";
import { startGitServer, type GitServer } from "../../../deploy/local/git-server.ts";
import { party, pem } from "../../../test/kit/certificates.ts";
import { scratchFolder } from "../../../test/kit/cluster.ts";
import { closeConnections } from "#services/clients/http/connections.ts";
import { createGitRepository } from "./git.ts";

const [authority, stranger] = [party("authority"), party("stranger")];
const [host, client] = [party("git server", authority), party("worker", authority)];
const dir = scratchFolder();
const servers: Server[] = [];
let plain: GitServer;
let url: string;
/** Whose certificate each request came with. */
const shown: (string | undefined)[] = [];

async function startSecure(answer: RequestListener): Promise<string> {
  const options = {
    key: pem(host.key),
    cert: host.certificate,
    ca: authority.certificate,
    requestCert: true,
    rejectUnauthorized: false,
  };
  const server = createServer(options, (request, response) => {
    shown.push((request.socket as TLSSocket).getPeerCertificate().subject?.CN as string | undefined);
    answer(request, response);
  });
  servers.push(server);
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

before(async () => {
  plain = await startGitServer({ dir });
  await plain.createRepo("shop");
  await plain.commit("shop", { files: { a: "" }, message: "One" });
  url = `${await startSecure((request, response) => serveBackend(dir, request, response))}/shop.git`;
});
after(async () => {
  await closeConnections();
  for (const server of servers) server.closeAllConnections();
  await Promise.all([plain.stop(), ...servers.map((server) => new Promise((closed) => server.close(closed)))]);
});

const mine = { "ca.crt": authority.certificate, "tls.crt": client.certificate, "tls.key": pem(client.key) };
const resolve = (secret: Record<string, string>, address = url) =>
  createGitRepository().resolve({
    key: { kind: "gitrepository", namespace: "apps", name: "shop" },
    spec: { url: address, ref: { branch: "main" }, secretRef: { name: "git" } },
    secret: async () => Object.fromEntries(Object.entries(secret).map(([key, value]) => [key, Buffer.from(value)])),
    signal: AbortSignal.timeout(30_000),
  });
const untrusted = (detail: RegExp) => (error: unknown) =>
  error instanceof Fault && error.code === "UpstreamUnreachable" && detail.test(error.detail ?? "");

test("[SR9] ca.crt is trusted, tls.crt and tls.key are shown", async () => {
  assert.match(await resolve(mine), /^main@sha1:/);
  assert.deepEqual([...new Set(shown.splice(0))], ["worker"]);
  assert.match(await resolve({ "ca.crt": authority.certificate }), /^main@sha1:/);
  assert.deepEqual([...new Set(shown.splice(0))], [undefined]);
});

test("[SR8] a certificate of an authority that is not trusted, and one for another host", async () => {
  await assert.rejects(resolve({}), untrusted(/^TLS: .*ca\.crt/));
  await assert.rejects(resolve({ "ca.crt": stranger.certificate }), untrusted(/^TLS: .*ca\.crt/));
  await assert.rejects(
    resolve({ "ca.crt": authority.certificate }, url.replace("127.0.0.1", "localhost")),
    untrusted(/another host|refused/),
  );
});

test("[SR8] what is under ca.crt and is no certificate", () =>
  assert.rejects(resolve({ "ca.crt": "none" }), untrusted(/^TLS/)));

test("[SR11] a redirect to another host: the certificate is not shown there, and http is refused", async () => {
  const redirectTo = (location: string) =>
    startSecure((_request, response) => response.writeHead(302, { location }).end());
  const query = "/info/refs?service=git-upload-pack";
  shown.length = 0;
  assert.match(await resolve(mine, await redirectTo(url + query)), /^main@sha1:/);
  assert.deepEqual(shown, ["worker", undefined, undefined]);
  const downgrade = await redirectTo(`${plain.url}/shop.git${query}`);
  await assert.rejects(resolve(mine, downgrade), untrusted(/redirects to http:.* not followed/));
});
