/** TLS with an authority of one's own, made on the spot: Node has no call that writes a certificate. */
import assert from "node:assert/strict";
import { createSign, generateKeyPairSync, type KeyObject } from "node:crypto";
import { createServer, type Server } from "node:https";
import type { RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { after, before, test } from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import { serveBackend } from "../../../deploy/local/git-backend.ts";
import { startGitServer, type GitServer } from "../../../deploy/local/git-server.ts";
import { scratchFolder } from "../../../test/kit/cluster.ts";
import { closeConnections } from "./connections.ts";
import { gitRepository } from "./git.ts";

// X.509 (RFC 5280) in DER: a tag, a length, the contents
const der = (tag: number, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  const length = body.length < 128 ? [body.length] : [0x82, body.length >> 8, body.length & 255];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
};
const sequence = (...parts: Buffer[]) => der(0x30, ...parts);
const oid = (hex: string) => der(0x06, Buffer.from(hex, "hex"));
const ecdsaWithSha256 = sequence(oid("2a8648ce3d040302"));
const named = (name: string) => sequence(der(0x31, sequence(oid("550403"), der(0x0c, Buffer.from(name)))));
const extension = (id: string, value: Buffer) => sequence(oid(id), der(0x04, value));
const time = (text: string) => der(0x17, Buffer.from(text));

type Party = { name: string; key: KeyObject; certificate: string };

function party(name: string, issuer?: Party): Party {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const isAuthority = extension("551d13", sequence(der(0x01, Buffer.from([0xff]))));
  const isLoopback = extension("551d11", sequence(der(0x87, Buffer.from([127, 0, 0, 1]))));
  const content = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([name.length])), // serial number
    ecdsaWithSha256,
    named(issuer?.name ?? name),
    sequence(time("200101000000Z"), time("491231235959Z")),
    named(name),
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(issuer ? isLoopback : isAuthority)),
  );
  const signature = createSign("sha256")
    .update(content)
    .sign(issuer?.key ?? privateKey);
  const certificate = sequence(content, ecdsaWithSha256, der(0x03, Buffer.from([0]), signature)).toString("base64");
  return {
    name,
    key: privateKey,
    certificate: `-----BEGIN CERTIFICATE-----\n${certificate}\n-----END CERTIFICATE-----\n`,
  };
}

const pem = (key: KeyObject) => String(key.export({ type: "pkcs8", format: "pem" }));

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
  gitRepository.resolve({
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
