/** Google's and Azure's storages and token services as they are documented, on loopback. */
import assert from "node:assert/strict";
import { createHash, createHmac, createVerify, generateKeyPairSync, X509Certificate } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { extract } from "tar-stream";
import { bucket as api } from "#protocol/api/bucket.ts";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { Clouds } from "#services/clients/cloud/identity.ts";
import { closeConnections } from "#services/clients/http/connections.ts";
import { party } from "../../../test/kit/certificates.ts";
import { createBucket, type BucketSpec } from "./bucket.ts";
import { bucketThreads } from "./thread.ts";

const threads = bucketThreads(1);
type Asked = { method: string; url: URL; raw: string; headers: IncomingMessage["headers"]; body: string };
type Answer = { status?: number; headers?: Record<string, string>; body: string };

let base: string;
const asked: Asked[] = [];
let answer: (request: Asked) => Answer = () => ({ status: 500, body: "" });
const server = createServer((request, response) => {
  void (async () => {
    const body = Buffer.concat(await Array.fromAsync(request)).toString();
    const one = { method: request.method ?? "", url: new URL(request.url ?? "", base), raw: request.url ?? "", headers: request.headers, body };
    asked.push(one);
    const { status = 200, headers, body: text } = answer(one);
    response.writeHead(status, headers).end(text);
  })();
});
before(async () => {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
beforeEach(() => { asked.length = 0; });
after(async () => {
  await Promise.all([closeConnections(), threads.close()]);
  server.close().closeAllConnections();
});

const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const key = String(privateKey.export({ type: "pkcs8", format: "pem" }));
const nowMs = Date.now();
/** A worker of this environment; each has its own store of tokens. */
function workerOf(env: Record<string, string> = {}) {
  const clouds = new Clouds({ env, readFile: async (path) => (path === "/token" ? "pod-token" : Promise.reject(new Error("ENOENT"))), nowMs: () => nowMs });
  const source = createBucket({ threads });
  const identity = () => clouds.as();
  return { resolve: (call: ReturnType<typeof callOf>) => source.resolve({ ...call, identity }), fetch: (call: ReturnType<typeof callOf>) => source.fetch({ ...call, identity }) };
}
const callOf = (spec: Partial<BucketSpec>, secret?: Record<string, string>) => ({
  key: { kind: "bucket", namespace: "apps", name: "shop" }, signal: AbortSignal.timeout(20_000), revision: "",
  spec: api.spec.parse({ bucketName: "shop", interval: "1m", insecure: true, ...(secret && { secretRef: { name: "held" } }), ...spec }),
  secret: async () => Object.fromEntries(Object.entries(secret ?? {}).map(([field, value]) => [field, Buffer.from(value)])),
});
const fault = (code: FaultCode, detail: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Fault, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.detail ?? "", detail);
  assert.doesNotMatch(JSON.stringify(error) + error.message, /s3cret|PRIVATE KEY/);
  return true;
};
async function namesOf(archive: Uint8Array): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  const tar = extract();
  tar.end(gunzipSync(archive));
  for await (const entry of tar) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    if (entry.header.type === "file") files[entry.header.name] = Buffer.concat(chunks).toString();
  }
  return files;
}
const revisionOf = (lines: string[]) => `sha256:${createHash("sha256").update(lines.map((line) => `${line}\n`).join("")).digest("hex")}`;
const statementIn = (token: string) => token.split(".").slice(0, 2).map((part) => JSON.parse(Buffer.from(part, "base64url").toString()) as Record<string, unknown>);
const isSignedBy = (token: string) => createVerify("RSA-SHA256").update(token.slice(0, token.lastIndexOf("."))).verify(publicKey, token.slice(token.lastIndexOf(".") + 1), "base64url");

/** Storage, JSON API, as far as one reads from it. */
function google({ url, headers, body }: Asked): Answer {
  if (url.pathname === "/token") return body.includes("refused") ? { status: 400, body: "{}" } : { body: JSON.stringify({ access_token: "granted", expires_in: 3599 }) };
  if (url.pathname.startsWith("/computeMetadata/")) return { body: JSON.stringify({ access_token: "granted", expires_in: 3599 }) };
  if (headers.authorization !== "Bearer granted") return { status: 401, body: "{}" };
  if (url.pathname === "/storage/v1/b/shop/o") {
    const item = (name: string, generation: string) => ({ name, etag: `e${generation}=`, size: "4", generation, updated: "2026-01-01T00:00:00Z" });
    return url.searchParams.has("pageToken") ? { body: JSON.stringify({ items: [item("b/c.yaml", "2")] }) } : { body: JSON.stringify({ items: [item("a ü.yaml", "1")], nextPageToken: "more" }) };
  }
  if (url.pathname === "/storage/v1/b/shop/o/.sourceignore") return { status: 404, body: "{}" };
  if (url.searchParams.get("alt") === "media" && /^\/storage\/v1\/b\/shop\/o\/(?:a%20%C3%BC\.yaml|b%2Fc\.yaml)$/.test(url.pathname)) return { body: `gen${url.searchParams.get("ifGenerationMatch")}` };
  return { status: 404, body: "{}" };
}

test("[BU30] gcp: the account's key signs for a token; names and etags of all pages are the revision; each generation is read as it is", async () => {
  answer = google;
  const source = workerOf({ STORAGE_EMULATOR_HOST: base });
  const serviceaccount = JSON.stringify({ type: "service_account", client_email: "robot@project", private_key: key, private_key_id: "k1", token_uri: `${base}/token` });
  const call = callOf({ provider: "gcp", endpoint: "storage.googleapis.com" }, { serviceaccount });
  const revision = revisionOf(["a ü.yaml e1=", "b/c.yaml e2="]);
  assert.equal(await source.resolve(call), revision);
  const found = await source.fetch(call);
  assert.deepEqual([found.revision, await namesOf(found.archive)], [revision, { "a ü.yaml": "gen1", "b/c.yaml": "gen2" }]);
  const tokens = asked.filter(({ url }) => url.pathname === "/token");
  assert.equal(tokens.length, 1, "kept");
  const { grant_type, assertion = "" } = Object.fromEntries(new URLSearchParams(tokens[0]?.body)) as Record<string, string>;
  assert.equal(grant_type, "urn:ietf:params:oauth:grant-type:jwt-bearer");
  const issued = Math.floor(nowMs / 1000);
  assert.deepEqual(statementIn(assertion), [{ alg: "RS256", typ: "JWT", kid: "k1" }, { iss: "robot@project", scope: "https://www.googleapis.com/auth/devstorage.read_only", aud: `${base}/token`, iat: issued, exp: issued + 3_600 }]);
  assert.ok(isSignedBy(assertion));
});

test("[BU30] [BU12] gcp: a user's login, and the worker's own identity without a Secret", async () => {
  answer = google;
  const user = JSON.stringify({ type: "authorized_user", client_id: "c", client_secret: "s3cret", refresh_token: "r", token_uri: `${base}/token` });
  const spec = { provider: "gcp", endpoint: "storage.googleapis.com" } as const;
  await workerOf({ STORAGE_EMULATOR_HOST: base }).resolve(callOf(spec, { serviceaccount: user }));
  assert.deepEqual(Object.fromEntries(new URLSearchParams(asked[0]?.body)), { grant_type: "refresh_token", client_id: "c", client_secret: "s3cret", refresh_token: "r" });
  asked.length = 0;
  await workerOf({ STORAGE_EMULATOR_HOST: base, GCE_METADATA_HOST: new URL(base).host }).resolve(callOf(spec));
  assert.equal(asked[0]?.url.pathname, "/computeMetadata/v1/instance/service-accounts/default/token");
});

for (const [serviceaccount, detail] of [
  ["{", /neither the JSON key/],
  [JSON.stringify({ type: "external_account", credential_source: { file: "/etc/passwd" } }), /neither the JSON key/],
  [JSON.stringify({ type: "service_account", private_key: "s3cret" }), /not a private key/],
  [JSON.stringify({ type: "service_account", private_key: key, token_uri: "http://token.example.com" }), /token_uri of the Secret is no https address/],
  [JSON.stringify({ type: "authorized_user", refresh_token: "refused" }), /HTTP 400: no token/],
] as [string, RegExp][])
  test(`[BU30] gcp: ${detail.source}`, async () => {
    answer = google;
    const text = serviceaccount.includes("refused") ? JSON.stringify({ type: "authorized_user", refresh_token: "refused", token_uri: `${base}/token` }) : serviceaccount;
    await assert.rejects(workerOf({ STORAGE_EMULATOR_HOST: base }).resolve(callOf({ provider: "gcp", endpoint: "storage.googleapis.com" }, { serviceaccount: text })), fault("AuthenticationFailed", detail));
  });

const { certificate } = party("application", party("authority"), undefined, { pair: { privateKey, publicKey } });
const accountKey = Buffer.from("s3cret account key").toString("base64");

/** Blob Storage, as far as one reads from it. `isIn`: who may. */
const azure = (isIn: (request: Asked) => boolean) => (request: Asked): Answer => {
  const { url, headers, body } = request;
  if (url.pathname.endsWith("/oauth2/v2.0/token")) return body.includes("wrong") ? { status: 401, body: "{}" } : { body: JSON.stringify({ access_token: "granted", expires_in: 3599 }) };
  if (url.pathname === "/metadata/identity/oauth2/token") return { body: JSON.stringify({ access_token: "granted" }) };
  if (!isIn(request)) return { status: 403, headers: { "x-ms-error-code": "AuthenticationFailed" }, body: "" };
  const blob = (name: string, etag: string, more = "") => `<Blob><Name${name.includes("%") ? ' Encoded="true"' : ""}>${name}</Name><Properties><Last-Modified>Thu, 01 Jan 2026 00:00:00 GMT</Last-Modified><Etag>${etag}</Etag><Content-Length>3</Content-Length>${more}</Properties></Blob>`;
  const page = (blobs: string, marker: string) => `\uFEFF<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="shop"><Blobs>${blobs}</Blobs><NextMarker>${marker}</NextMarker></EnumerationResults>`;
  if (url.pathname === "/shop") return { body: url.searchParams.has("marker") ? page(blob("b/c.yaml", "0x2"), "") : page(blob("a%20%EF%BF%BF.yaml", "0x1") + blob("b", "0x3", "<ResourceType>directory</ResourceType>"), "more") };
  if (url.pathname === "/shop/b/c.yaml") return headers["if-match"] === '"0x2"' ? { headers: { etag: '"0x2"' }, body: "two" } : { status: 412, body: "" };
  if (url.pathname === "/shop/a%20%EF%BF%BF.yaml") return { headers: { etag: '"0x1"' }, body: "one" };
  return { status: 404, headers: { "x-ms-error-code": url.pathname.startsWith("/shop/") ? "BlobNotFound" : "ContainerNotFound" }, body: "" };
};
const revision = revisionOf(['a \uFFFF.yaml "0x1"', 'b/c.yaml "0x2"']);

/** The text that the documentation asks to be signed, written out. The account is the beginning of the host: 127. */
function hasSharedKey({ url, headers, raw }: Asked): boolean {
  const query = [...url.searchParams].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => `\n${name}:${value}`).join("");
  const lines = ["GET", "", "", "", "", "", "", "", "", String(headers["if-match"] ?? ""), "", "", "", `x-ms-date:${headers["x-ms-date"]}`, `x-ms-version:${headers["x-ms-version"]}`];
  const text = `${lines.join("\n")}\n/127${raw.split("?")[0]}${query}`;
  return headers.authorization === `SharedKey 127:${createHmac("sha256", Buffer.from(accountKey, "base64")).update(text).digest("base64")}`;
}

test("[BU31] azure: the account's key signs each request; the revision has the etags as Flux's has; directories are no files", async () => {
  answer = azure(hasSharedKey);
  const endpoint = base;
  const source = workerOf();
  const call = callOf({ provider: "azure", endpoint }, { accountKey });
  assert.equal(await source.resolve(call), revision);
  const found = await source.fetch(call);
  assert.deepEqual([found.revision, await namesOf(found.archive)], [revision, { "a \uFFFF.yaml": "one", "b/c.yaml": "two" }]);
  await assert.rejects(source.resolve(callOf({ provider: "azure", endpoint }, { accountKey: "AAAA" })), fault("AuthenticationFailed", /HTTP 403 AuthenticationFailed/));
  await assert.rejects(source.resolve(callOf({ provider: "azure", endpoint, bucketName: "other" }, { accountKey })), fault("BucketMissing", /^$/));
  await assert.rejects(source.resolve(callOf({ provider: "azure", endpoint: "http://localhost:1" }, { accountKey })), fault("AuthenticationFailed", /account cannot be told/));
});

test("[BU31] azure: a shared access signature goes with each request", async () => {
  answer = azure(({ url }) => url.searchParams.get("sig") === "s3cret/=" && url.searchParams.get("sv") === "2022");
  assert.equal(await workerOf().resolve(callOf({ provider: "azure", endpoint: base }, { sasKey: "?sv=2022&sig=s3cret%2F%3D" })), revision);
});

test("[BU31] azure: an application's secret or certificate gets a token of the directory", async () => {
  answer = azure(({ headers }) => headers.authorization === "Bearer granted");
  const application = { tenantId: "tenant", clientId: "client", authorityHost: `${base}/` };
  const resolve = (secret: Record<string, string>) => workerOf().resolve(callOf({ provider: "azure", endpoint: base }, secret));
  for (let i = 0; i < 2; i++) assert.equal(await resolve({ ...application, clientSecret: "s3cret" }), revision);
  const tokens = () => asked.filter(({ url }) => url.pathname === "/tenant/oauth2/v2.0/token").map(({ body }) => Object.fromEntries(new URLSearchParams(body)) as Record<string, string>);
  assert.deepEqual(tokens(), [{ grant_type: "client_credentials", client_id: "client", scope: "https://storage.azure.com/.default", client_secret: "s3cret" }]);
  await assert.rejects(resolve({ ...application, clientSecret: "wrong" }), fault("AuthenticationFailed", /HTTP 401: no token/));
  await assert.rejects(resolve({ ...application, clientSecret: "s3cret", authorityHost: "http://login.example.com" }), fault("AuthenticationFailed", /authorityHost of the Secret is no https address/));

  asked.length = 0;
  const clientCertificate = `${key}${certificate}`;
  assert.equal(await resolve({ ...application, clientCertificate, clientCertificateSendChain: "true" }), revision);
  const [{ client_assertion: assertion = "", client_assertion_type: type } = {}] = tokens() as Record<string, string>[];
  assert.equal(type, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
  const [header, claims] = statementIn(assertion);
  const { raw } = new X509Certificate(certificate);
  assert.deepEqual(header, { alg: "RS256", typ: "JWT", x5t: createHash("sha1").update(raw).digest("base64url"), x5c: [raw.toString("base64")] });
  assert.deepEqual([claims?.["aud"], claims?.["iss"], claims?.["sub"]], [`${base}/tenant/oauth2/v2.0/token`, "client", "client"]);
  assert.ok(isSignedBy(assertion));
  await assert.rejects(resolve({ ...application, clientCertificate: "\u0000pkcs12" }), fault("AuthenticationFailed", /neither PEM nor PKCS #12/));
});

test("[BU31] [BU12] azure: the machine's identity, a client's of several, and the pod's; never shown where the cloud is not", async () => {
  answer = azure(({ headers }) => headers.authorization === "Bearer granted");
  const spec = { provider: "azure", endpoint: base } as const;
  const env = { AZURE_POD_IDENTITY_AUTHORITY_HOST: base, AZURE_STORAGE_ENDPOINT: base };
  assert.equal(await workerOf(env).resolve(callOf(spec, { clientId: "one-of-several" })), revision);
  assert.deepEqual([asked[0]?.url.pathname, asked[0]?.url.searchParams.get("client_id"), asked[0]?.url.searchParams.get("resource")], ["/metadata/identity/oauth2/token", "one-of-several", "https://storage.azure.com/"]);
  asked.length = 0;
  const pod = { ...env, AZURE_CLIENT_ID: "c", AZURE_TENANT_ID: "tenant", AZURE_FEDERATED_TOKEN_FILE: "/token", AZURE_AUTHORITY_HOST: base };
  assert.equal(await workerOf(pod).resolve(callOf(spec)), revision);
  assert.match(asked[0]?.body ?? "", /client_assertion=pod-token/);
  await assert.rejects(workerOf({ AZURE_POD_IDENTITY_AUTHORITY_HOST: base }).resolve(callOf(spec, { clientId: "one-of-several" })), fault("ProviderFailed", /is not the cloud's own/));
  await assert.rejects(workerOf().resolve(callOf(spec, { tenantId: "s3cret" })), fault("AuthenticationFailed", /none of accountKey, sasKey and clientId/));
});
