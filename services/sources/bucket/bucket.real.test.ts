/** Against gofakes3, a storage that speaks S3, and against servers that misbehave as it never would. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer, type Server } from "node:http";
import { createServer as createTcpServer, createConnection, type AddressInfo } from "node:net";
import { after, before, beforeEach, describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { extract } from "tar-stream";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { bucket as api } from "#protocol/api/bucket.ts";
import { Clouds } from "#services/clients/cloud/identity.ts";
import { closeConnections } from "#services/clients/http/connections.ts";
import { startS3, type LocalS3 } from "../../../deploy/local/s3-server.ts";
import { party, pem } from "../../../test/kit/certificates.ts";
import { scratchFolder } from "../../../test/kit/cluster.ts";
import { createBucket, type BucketSpec } from "./bucket.ts";
import { bucketThreads } from "./thread.ts";
import { defaultLimits, type Limits } from "./limits.ts";

const threads = bucketThreads(1);
type Secrets = Record<string, Record<string, string>>;

const dir = scratchFolder();
const [authority, stranger] = [party("authority"), party("stranger")];
const [host, client] = [party("storage", authority), party("worker", authority)];
const key = { id: "AKIAFLOTILLA", secret: "correct-horse", token: "" };
const keys = { keys: { accesskey: key.id, secretkey: key.secret }, wrong: { accesskey: key.id, secretkey: "battery" } };
let open: LocalS3, closed: LocalS3, secure: LocalS3;
const others: Server[] = [];

before(async () => {
  [open, closed, secure] = await Promise.all([
    startS3({ dir, bucket: "shop", pageKeys: 3 }),
    startS3({ dir, bucket: "shop", keys: [key, { id: "SESSION", secret: "for-a-while", token: "ticket" }], region: "eu-west-1" }),
    startS3({ dir, bucket: "shop", tls: { key: pem(host.key), cert: host.certificate, ca: authority.certificate, requestCert: true, rejectUnauthorized: false } }),
  ]);
  for (const s3 of [open, closed, secure]) await s3.put("deploy.yaml", "kind: Web\n");
});
beforeEach(() => {
  for (const s3 of [open, closed, secure]) {
    s3.spoil = undefined;
    s3.requests.length = 0;
  }
});
after(async () => {
  await Promise.all([closeConnections(), threads.close()]);
  for (const server of others) server.close().closeAllConnections();
  await Promise.all([open, closed, secure].map((s3) => s3.stop()));
});

const specOf = (s3: LocalS3, more: Partial<BucketSpec> = {}): BucketSpec => api.spec.parse({ bucketName: "shop", endpoint: s3.host, interval: "1m", insecure: s3 !== secure, ...more });
const callOf = (spec: BucketSpec, secrets: Secrets = {}, signal = AbortSignal.timeout(120_000)) => ({
  key: { kind: "bucket", namespace: "apps", name: "shop" }, spec, signal,
  secret: async (name: string) => Object.fromEntries(Object.entries(secrets[name] ?? assert.fail(`no Secret ${name}`)).map(([field, value]) => [field, Buffer.from(value)])),
});
const as = (env: Record<string, string>) => ({ identity: () => new Clouds({ env }).as() });
const source = (limits: Partial<Limits> = {}) => createBucket({ threads, limits: { ...defaultLimits, ...limits } });
const resolve = (spec: BucketSpec, secrets?: Secrets, signal?: AbortSignal) => source().resolve(callOf(spec, secrets, signal));
const fetchIt = (spec: BucketSpec, { secrets, ...limits }: Partial<Limits> & { secrets?: Secrets } = {}) => source(limits).fetch({ ...callOf(spec, secrets), revision: "" });
const fault = (code: FaultCode, detail: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Fault, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.detail ?? "", detail);
  assert.doesNotMatch(JSON.stringify(error) + error.message, /correct-horse|battery|for-a-while/);
  return true;
};

async function filesOf(archive: Uint8Array): Promise<Record<string, string>> {
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

const md5 = (text: string) => createHash("md5").update(text).digest("hex");
const revisionOf = (objects: Record<string, string>) => {
  const lines = Object.keys(objects).sort().map((name) => `${name} ${md5(objects[name] ?? "")}\n`);
  return `sha256:${createHash("sha256").update(lines.join("")).digest("hex")}`;
};
const downloads = (s3: LocalS3) => s3.requests.filter(({ path }) => path !== "/shop" && path !== "/shop/.sourceignore").map(({ path }) => path.slice("/shop/".length));

/** A server of our own, for what no storage says. */
async function serve(answer: (url: URL) => { status?: number; headers?: Record<string, string>; body: string }): Promise<LocalS3> {
  const server = createServer((request, response) => {
    const { status = 200, headers, body } = answer(new URL(request.url ?? "", "http://127.0.0.1"));
    response.writeHead(status, headers).end(body);
  });
  others.push(server);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}` } as LocalS3;
}
const listing = (names: string[], size = 1) => `<ListBucketResult>${names.map((name) => `<Contents><Key>${name.replaceAll("&", "&amp;").replaceAll("<", "&lt;")}</Key><ETag>"e"</ETag><Size>${size}</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>`).join("")}</ListBucketResult>`;
const ofKeys = (names: string[], size?: number) => serve(({ pathname }) => (pathname === "/shop" ? { body: listing(names, size) } : pathname.endsWith(".sourceignore") ? { status: 404, body: "" } : { headers: { etag: '"e"' }, body: "x" }));

describe("one bucket, many sources", () => {
  const tenants = (shared: ReturnType<typeof source>, secrets: Secrets = keys) => (more: Partial<BucketSpec>) => {
    const call = callOf(specOf(closed, { region: "eu-west-1", ...more }), secrets);
    return { resolve: () => shared.resolve({ ...call, maxAgeMs: 30_000 }), fetch: (revision: string) => shared.fetch({ ...call, revision }) };
  };
  const listings = () => closed.requests.filter(({ query }) => query.has("list-type")).length;

  test("[BU6] those who may see the same, whatever their Secrets are called, share one listing and one fetch", async () => {
    const shared = source();
    const mine = { mine: keys.keys, theirs: { ...keys.keys } };
    const all = Array.from({ length: 40 }, (_, i) => tenants(shared, mine)({ secretRef: { name: i % 2 ? "mine" : "theirs" }, interval: `${i + 1}m` }));
    const revisions = new Set(await Promise.all(all.map((each) => each.resolve())));
    assert.equal(revisions.size, 1);
    assert.equal(listings(), 1);
    const [revision = ""] = revisions;
    const made = await Promise.all(all.map((each) => each.fetch(revision)));
    assert.deepEqual(new Set(made.map(({ archive }) => archive)).size, 1);
    assert.deepEqual([listings(), downloads(closed)], [2, ["deploy.yaml"]]);
  });

  test("[BU6] but not with who has other credentials, none, or another identity, or wants another part of it", async () => {
    const shared = source();
    const revision = await tenants(shared)({ secretRef: { name: "keys" } }).resolve();
    await tenants(shared)({ secretRef: { name: "keys" } }).fetch(revision);
    const refused = fault("AuthenticationFailed", /HTTP 403/);
    for (const stranger of [tenants(shared)({ secretRef: { name: "wrong" } }), tenants(shared)({})]) {
      await assert.rejects(stranger.resolve(), refused);
      await assert.rejects(stranger.fetch(revision), refused);
    }
    assert.notEqual(await tenants(shared)({ secretRef: { name: "keys" }, prefix: "none/" }).resolve(), revision);
    assert.notEqual(await tenants(shared)({ secretRef: { name: "keys" }, ignore: "*.yaml" }).resolve(), revision);
  });
});

describe("what is followed", () => {
  test("[BU1] [BU2] [BU3] the revision is Flux's index of keys and etags, over all pages; an unchanged bucket costs no download", async () => {
    const objects: Record<string, string> = { "deploy.yaml": "kind: Web\n" };
    for (const name of ["a/ö ü+&<'(1)*~.yaml", "a/b/c.yaml", "z 1.yaml", "logo.png", "!.yaml"]) await open.put(name, (objects[name] = `# ${name}\n`));
    const spec = specOf(open);
    const revision = revisionOf(objects);
    assert.equal(await resolve(spec), revision);
    assert.ok(open.requests.filter(({ query }) => query.has("continuation-token")).length >= 1, "pages");
    assert.deepEqual(downloads(open), []);
    const found = await fetchIt(spec);
    assert.deepEqual(await filesOf(found.archive), objects);
    assert.deepEqual([found.revision, found.file], [revision, `${revision.slice(7)}.tar.gz`]);
    assert.equal(found.told, "stored artifact with 6 fetched files from 'shop' bucket");
    assert.deepEqual(found.observed, { observedIgnore: null });
    assert.deepEqual(found.change, { url: `${open.host}/shop`, commit: revision.slice(7) });
    assert.deepEqual((await fetchIt(spec)).archive, found.archive);
    for (const name of Object.keys(objects)) if (name !== "deploy.yaml") await open.remove(name);
    assert.notEqual(await resolve(spec), revision);
  });

  test("[BU4] prefix, .sourceignore and spec.ignore; nothing is left out by default, a directory's own object never counts", async () => {
    for (const name of ["prod/a.yaml", "prod/secret.yaml", "prod/README.md", "test/b.yaml", "prod/logo.png"]) await open.put(name, name);
    await open.put("prod/dir/", "");
    const names = async (more: Partial<BucketSpec>) => Object.keys(await filesOf((await fetchIt(specOf(open, more))).archive)).sort();
    assert.deepEqual(await names({ prefix: "prod/" }), ["prod/README.md", "prod/a.yaml", "prod/logo.png", "prod/secret.yaml"]);
    await open.put(".sourceignore", "secret.yaml\n*.md\n");
    assert.deepEqual(await names({ prefix: "prod/" }), ["prod/a.yaml", "prod/logo.png"]);
    assert.deepEqual(await names({ ignore: "!secret.yaml\n*.png" }), ["deploy.yaml", "prod/a.yaml", "prod/secret.yaml", "test/b.yaml"]);
    assert.deepEqual(await names({ prefix: "none/" }), []);
    await open.put(".sourceignore", "a\n".repeat(30));
    await assert.rejects(fetchIt(specOf(open), { patterns: 20 }), fault("IgnoreInvalid", /more than 20 ignore rules/));
    for (const name of [".sourceignore", "prod/a.yaml", "prod/secret.yaml", "prod/README.md", "test/b.yaml", "prod/logo.png", "prod/dir/"]) await open.remove(name);
  });

  test("[BU5] what changes while it is fetched: what is published is one listing, and says so", async () => {
    await open.put("a.yaml", "1");
    await open.put("b.yaml", "1");
    let once = false;
    open.spoil = async ({ path }) => {
      if (path === "/shop/a.yaml" && !once) {
        once = true;
        await open.put("a.yaml", "22");
        await open.remove("b.yaml");
      }
      return undefined;
    };
    const found = await fetchIt(specOf(open));
    const now = { "a.yaml": "22", "deploy.yaml": "kind: Web\n" };
    assert.deepEqual([await filesOf(found.archive), found.revision], [now, revisionOf(now)]);
    let count = 0;
    open.spoil = async ({ path }) => void (path === "/shop/a.yaml" && (await open.put("a.yaml", String(count++))));
    await assert.rejects(fetchIt(specOf(open)), fault("UpstreamUnreachable", /change faster than they can be read/));
    open.spoil = undefined;
    await open.remove("a.yaml");
  });
});

describe("access", () => {
  test("[BU10] keys of the Secret sign each request; the region is found out, or taken from the spec", async () => {
    const secretRef = { name: "keys" };
    assert.equal(await resolve(specOf(closed, { secretRef, region: "eu-west-1" }), keys), revisionOf({ "deploy.yaml": "kind: Web\n" }));
    assert.match(String(closed.requests[0]?.headers.authorization), /^AWS4-HMAC-SHA256 Credential=AKIAFLOTILLA\/\d{8}\/eu-west-1\/s3\/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, /);
    closed.spoil = ({ headers }) => (String(headers.authorization).includes("/us-east-1/") ? { status: 400, body: "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>" } : undefined);
    assert.deepEqual(await filesOf((await fetchIt(specOf(closed, { secretRef }), { secrets: keys })).archive), { "deploy.yaml": "kind: Web\n" });
    closed.requests.length = 0;
    await resolve(specOf(closed, { secretRef }), keys);
    assert.ok(closed.requests.every(({ headers }) => String(headers.authorization).includes("/eu-west-1/")), "found out once");
  });

  test("[BU10] [BU18] wrong keys, none at all, a Secret without them, a bucket that is not there", async () => {
    const region = "eu-west-1";
    await assert.rejects(resolve(specOf(closed, { secretRef: { name: "wrong" }, region }), keys), fault("AuthenticationFailed", /^HTTP 403 SignatureDoesNotMatch: the credentials/));
    await assert.rejects(resolve(specOf(closed, { region })), fault("AuthenticationFailed", /HTTP 403/));
    await assert.rejects(resolve(specOf(closed, { secretRef: { name: "odd" } }), { odd: { accesskey: "a" } }), fault("AuthenticationFailed", /no accesskey and secretkey/));
    await assert.rejects(resolve(specOf(open, { bucketName: "other" })), fault("BucketMissing", /^$/));
  });

  test("[BU11] a login becomes credentials for a while: asked once, sent with each request", async () => {
    const asked: string[] = [];
    const server = createServer((request, response) => void (async () => {
      asked.push(Buffer.concat(await Array.fromAsync(request)).toString());
      const isRight = asked.at(-1)?.includes("LDAPPassword=correct-horse");
      if (!isRight) return response.writeHead(403).end("<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>");
      const until = new Date(Date.now() + 3_600_000).toISOString();
      response.end(`<AssumeRoleWithLDAPIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithLDAPIdentityResult><Credentials><AccessKeyId>SESSION</AccessKeyId><SecretAccessKey>for-a-while</SecretAccessKey><Expiration>${until}</Expiration><SessionToken>ticket</SessionToken></Credentials></AssumeRoleWithLDAPIdentityResult></AssumeRoleWithLDAPIdentityResponse>`);
    })());
    others.push(server);
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const sts = { provider: "ldap" as const, endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, secretRef: { name: "login" } };
    const spec = specOf(closed, { sts, region: "eu-west-1" });
    const login = { login: { username: "ada", password: "correct-horse" } };
    for (let i = 0; i < 2; i++) assert.equal(await resolve(spec, login), revisionOf({ "deploy.yaml": "kind: Web\n" }));
    assert.deepEqual(asked.map((each) => Object.fromEntries(new URLSearchParams(each))), [{ Action: "AssumeRoleWithLDAPIdentity", Version: "2011-06-15", LDAPUsername: "ada", LDAPPassword: "correct-horse" }]);
    await assert.rejects(resolve(spec, { login: { username: "ada", password: "battery" } }), fault("AuthenticationFailed", /HTTP 403 AccessDenied/));
    await assert.rejects(resolve(spec, { login: { username: "ada" } }), fault("AuthenticationFailed", /no username and password/));
    await assert.rejects(resolve(specOf(closed, { sts: { ...sts, provider: "aws" } })), fault("StsInvalid", /goes with spec.sts.provider ldap/));
  });

  test("[BU12] aws without a Secret: the worker's own identity, and only where the cloud is, or the operator says so", async () => {
    const spec = specOf(closed, { provider: "aws", region: "eu-west-1" });
    const env = { AWS_ACCESS_KEY_ID: key.id, AWS_SECRET_ACCESS_KEY: key.secret };
    await assert.rejects(source().resolve({ ...callOf(spec), ...as(env) }), fault("ProviderFailed", /is not the cloud's own/));
    const named = { ...env, AWS_ENDPOINT_URL_S3: `http://${closed.host}` };
    assert.equal(await source().resolve({ ...callOf(spec), ...as(named) }), revisionOf({ "deploy.yaml": "kind: Web\n" }));
    const sts = { provider: "aws" as const, endpoint: "https://sts.example.com" };
    await assert.rejects(source().resolve({ ...callOf({ ...spec, sts }), ...as(named) }), fault("ProviderFailed", /sts.example.com is not the cloud's own/));
  });

  test("[BU13] TLS: an authority of one's own, a certificate of one's own; a stranger's is refused", async () => {
    const ca = { ca: { "ca.crt": authority.certificate } };
    const certSecretRef = { name: "ca" };
    assert.equal(await resolve(specOf(secure, { certSecretRef }), ca), revisionOf({ "deploy.yaml": "kind: Web\n" }));
    await resolve(specOf(secure, { certSecretRef }), { ca: { ...ca.ca, "tls.crt": client.certificate, "tls.key": pem(client.key) } });
    assert.equal(secure.requests.at(-1)?.client, "worker");
    await assert.rejects(resolve(specOf(secure)), fault("UpstreamUnreachable", /authority is not trusted/));
    await assert.rejects(resolve(specOf(secure, { certSecretRef }), { ca: { "ca.crt": stranger.certificate } }), fault("UpstreamUnreachable", /authority is not trusted/));
    await assert.rejects(resolve(specOf(secure, { certSecretRef }), { ca: { "tls.crt": client.certificate } }), fault("AuthenticationFailed", /only one of tls.crt and tls.key/));
  });

  test("[BU14] by a proxy", async () => {
    const targets: string[] = [];
    const proxy = createServer().on("connect", (request, socket) => {
      targets.push(request.url ?? "");
      const [to = "", port] = (request.url ?? "").split(":");
      const behind = createConnection(Number(port), to, () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        behind.pipe(socket).pipe(behind);
      });
      behind.on("error", () => socket.destroy());
      socket.on("error", () => behind.destroy());
    });
    others.push(proxy);
    await new Promise<void>((done) => proxy.listen(0, "127.0.0.1", done));
    const secrets = { proxy: { address: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}` }, ca: { "ca.crt": authority.certificate } };
    await resolve(specOf(secure, { proxySecretRef: { name: "proxy" }, certSecretRef: { name: "ca" } }), secrets);
    assert.deepEqual([...new Set(targets)], [secure.host]);
    await assert.rejects(resolve(specOf(secure, { proxySecretRef: { name: "proxy" } }), { proxy: { address: "nowhere" } }), fault("ProxyInvalid", /not a URL/));
  });

  for (const [more, detail] of [
    [{ endpoint: "https://s3.example.com" }, /no URL/],
    [{ endpoint: "ada:correct-horse@s3.example.com" }, /holds credentials/],
    [{ endpoint: "s3.example.com/shop" }, /has a path/],
    [{ endpoint: "a b" }, /no address/],
    [{ endpoint: "http://shop.blob.core.windows.net", provider: "azure", insecure: false }, /plain HTTP/],
    [{ bucketName: "../other" }, /not the name of a bucket/],
    [{ bucketName: ".." }, /not the name of a bucket/],
  ] as [Partial<BucketSpec>, RegExp][])
    test(`[BU15] ${JSON.stringify(more)} stalls`, () => assert.rejects(resolve(specOf(open, more)), fault("EndpointInvalid", detail)));
});

describe("hostile servers and keys", () => {
  for (const [name, why] of [
    ["../../etc/passwd", /has a part \. or \.\./],
    ["a/../../b", /has a part/],
    ["a/./b", /has a part/],
    ["a\\..\\b", /backslash/],
    ["a\tb", /control character/],
    [`${"a/".repeat(600)}b`, /longer than 1024 bytes/],
  ] as [string, RegExp][])
    test(`[BU20] key ${JSON.stringify(name.slice(0, 30))} is refused, or left out`, async () => {
      const s3 = await ofKeys(["good.yaml", name]);
      await assert.rejects(resolve(specOf(s3)), fault("ObjectKeyInvalid", why));
      assert.deepEqual(await filesOf((await fetchIt(specOf(s3, { ignore: "/*\n!/good.yaml" }))).archive), { "good.yaml": "x" });
    });

  test("[BU20] keys that mean one file, or a file and a directory, are refused; slashes too many mean nothing", async () => {
    await assert.rejects(async () => resolve(specOf(await ofKeys(["a/b", "a//b"]))), fault("ObjectKeyInvalid", /same file as another/));
    await assert.rejects(async () => resolve(specOf(await ofKeys(["a", "a/b"]))), fault("ObjectKeyInvalid", /below a key that is a file/));
    assert.deepEqual(await filesOf((await fetchIt(specOf(await ofKeys(["/a//b"])))).archive), { "a/b": "x" });
  });

  test("[BU21] more than is allowed of keys, objects, bytes and pages is refused", async () => {
    const many = await ofKeys(Array.from({ length: 20 }, (_, i) => `k${i}`), 100);
    await assert.rejects(fetchIt(specOf(many), { listed: 19 }), fault("SourceTooLarge", /more than 19 objects/));
    await assert.rejects(fetchIt(specOf(many), { objects: 10 }), fault("SourceTooLarge", /more than 10 objects/));
    await assert.rejects(fetchIt(specOf(many), { bytes: 1_999 }), fault("SourceTooLarge", /more than 1999 bytes/));
    const liar = await serve(({ pathname }) => (pathname === "/shop" ? { body: listing(["a", "b"]) } : pathname.endsWith(".sourceignore") ? { status: 404, body: "" } : { headers: { etag: '"e"' }, body: "x".repeat(100) }));
    await assert.rejects(fetchIt(specOf(liar), { bytes: 150 }), fault("SourceTooLarge", /more than 150 bytes/));
    const endless = await serve(({ pathname }) => (pathname === "/shop" ? { body: "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken></ListBucketResult>" } : { status: 404, body: "" }));
    await assert.rejects(resolve(specOf(endless)), fault("SourceTooLarge", /more than 2000 pages/));
  });

  test("[BU22] answers that do not end, break off, are no listing, or lead elsewhere", async () => {
    for (const [body, detail] of [
      ["<ListBucketResult>", /is not XML/],
      ["{}", /is not XML/],
      ['<!DOCTYPE a [<!ENTITY b "c">]><ListBucketResult>&b;</ListBucketResult>', /document type/],
      ["<a/>", /is no listing/],
      ["<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%zz</Key></Contents></ListBucketResult>", /not encoded as it should be/],
      ["<a>".repeat(100), /nested too deeply/],
    ] as [string, RegExp][])
      await assert.rejects(async () => resolve(specOf(await serve(({ pathname }) => (pathname === "/shop" ? { body } : { status: 404, body: "" })))), fault("UpstreamUnreachable", detail));
    open.spoil = ({ path }) => (path === "/shop" ? { status: 307, headers: { location: "http://127.0.0.1:1/" } } : undefined);
    await assert.rejects(resolve(specOf(open)), fault("UpstreamUnreachable", /HTTP 307: it redirects, which is not followed/));
    open.spoil = () => ({ status: 503, body: "<Error><Code>SlowDown</Code></Error>" });
    await assert.rejects(resolve(specOf(open)), fault("UpstreamUnreachable", /HTTP 503 SlowDown: it asks for fewer requests/));
    open.spoil = () => "endless";
    await assert.rejects(resolve(specOf(open)), fault("SourceTooLarge", /answer is longer than/));
    open.spoil = ({ path }) => (path.endsWith("deploy.yaml") ? { truncateAfterBytes: 3 } : undefined);
    await assert.rejects(fetchIt(specOf(open)), fault("UpstreamUnreachable", /broke off|shorter/));
    open.spoil = () => "hang";
    const reason = new Error("another owner");
    const ending = new AbortController();
    const asked = resolve(specOf(open), {}, ending.signal);
    await new Promise<void>((done) => { const look = () => (open.requests.length > 0 ? done() : setImmediate(look)); look(); });
    ending.abort(reason);
    await assert.rejects(asked, reason);
  });

  test("[BU22] nobody listens", async () => {
    const server = createTcpServer();
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const { port } = server.address() as AddressInfo;
    await new Promise((done) => server.close(done));
    await assert.rejects(resolve(specOf({ host: `127.0.0.1:${port}` } as LocalS3)), fault("UpstreamUnreachable", /connection refused/));
  });
});
