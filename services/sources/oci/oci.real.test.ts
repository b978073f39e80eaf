/** Against go-containerregistry's registry, and against registries that misbehave as it never would. */
import assert from "node:assert/strict";
import { createServer, request as forward, type Server } from "node:http";
import { createConnection, createServer as createTcpServer, type AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { after, before, beforeEach, describe, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { extract, pack } from "tar-stream";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { Clouds } from "#services/clients/cloud/identity.ts";
import { closeConnections } from "#services/clients/http/connections.ts";
import { fluxContent, ociManifest, sha256, startRegistry, type LocalRegistry } from "../../../deploy/local/registry.ts";
import { party, pem } from "../../../test/kit/certificates.ts";
import { scratchFolder } from "../../../test/kit/cluster.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import { createOciRepository, ociThreads } from "./oci.ts";
import type { OciSpec } from "./reference.ts";

type Secrets = Record<string, Record<string, string>>;

const dir = scratchFolder();
const threads = ociThreads(2);
const user = { username: "ada", password: "correct-horse" };
const [authority, stranger] = [party("authority"), party("stranger")];
const [host, client] = [party("registry", authority), party("worker", authority)];
let plain: LocalRegistry, basic: LocalRegistry, tokens: LocalRegistry, secure: LocalRegistry;
const others: Server[] = [];

const withLimits = (limits: Partial<Limits> = {}) => createOciRepository({ limits: { ...defaultLimits, ...limits }, threads });
const callOf = (spec: OciSpec, secrets: Secrets = {}, signal = AbortSignal.timeout(30_000)) => {
  const read = (name: string) => Object.fromEntries(Object.entries(secrets[name] ?? assert.fail(`no Secret ${name}`)).map(([key, value]) => [key, Buffer.from(value)]));
  return {
    key: { kind: "ocirepository", namespace: "apps", name: "shop" }, spec, signal,
    secret: async (name: string) => read(name),
    pullSecrets: async (account: string) => [read(`of ${account}`)],
  };
};
const resolve = (spec: OciSpec, secrets?: Secrets, signal?: AbortSignal) => withLimits().resolve(callOf(spec, secrets, signal));
const fetch = (spec: OciSpec, revision: string, { secrets, ...limits }: Partial<Limits> & { secrets?: Secrets } = {}) =>
  withLimits(limits).fetch({ ...callOf(spec, secrets), revision });
const pullSecret = (...hosts: string[]) => ({ ".dockerconfigjson": JSON.stringify({ auths: Object.fromEntries(hosts.map((each) => [each, user])) }) });
const fault = (code: FaultCode, detail: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Fault, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.detail ?? "", detail);
  assert.doesNotMatch(JSON.stringify(error) + error.message, /correct-horse/);
  return true;
};

/** As `flux push artifact` makes it. */
async function archive(files: Record<string, string>): Promise<Buffer> {
  const tar = pack();
  for (const [name, contents] of Object.entries(files)) tar.entry({ name, mtime: new Date(0) }, contents);
  tar.finalize();
  return gzipSync(await buffer(tar));
}
const content = async (files: Record<string, string>) => ({ mediaType: fluxContent, bytes: await archive(files) });

async function filesOf(bytes: Uint8Array): Promise<Record<string, string>> {
  const tar = extract();
  tar.end(gunzipSync(bytes));
  const files: Record<string, string> = {};
  for await (const entry of tar) files[entry.header.name] = Buffer.concat((await Array.fromAsync(entry)) as Buffer[]).toString();
  return files;
}

const listening = async (server: Server): Promise<string> => {
  others.push(server);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
};

before(async () => {
  [plain, basic, tokens, secure] = await Promise.all([
    startRegistry({ dir }),
    startRegistry({ dir, auth: { ...user, by: "basic" } }),
    startRegistry({ dir, auth: { ...user, by: "token" } }),
    startRegistry({ dir, tls: { key: pem(host.key), cert: host.certificate, ca: authority.certificate, requestCert: true, rejectUnauthorized: false } }),
  ]);
});
beforeEach(() => {
  for (const registry of [plain, basic, tokens, secure]) {
    registry.spoil = undefined;
    registry.requests.length = 0;
  }
});
after(async () => {
  await Promise.all([closeConnections(), threads.close()]);
  for (const server of others) server.closeAllConnections();
  await Promise.all([...[plain, basic, tokens, secure].map((registry) => registry.stop()), ...others.map((server) => new Promise((closed) => server.close(closed)))]);
});

describe("an artifact as flux pushes it", () => {
  const annotations = {
    "org.opencontainers.image.created": "2026-01-02T03:04:05Z",
    "org.opencontainers.image.source": "https://git.example.com/shop.git",
    "org.opencontainers.image.revision": `main@sha1:${"c".repeat(40)}`,
  };
  let url: string;
  let digest: string;
  let layer: Buffer;

  before(async () => {
    url = plain.repoUrl("team/shop");
    layer = await archive({ "deploy.yaml": "kind: Web\n", "logo.png": "pixels" });
    ({ digest } = await plain.push("team/shop", "latest", [{ mediaType: fluxContent, bytes: layer }], { annotations }));
    await plain.push("team/shop", "1.0.0", [await content({ a: "1.0.0" })]);
    await plain.push("team/shop", "1.1.0", [await content({ a: "1.1.0" })]);
    await plain.push("team/shop", "1.2.0-rc.1", [await content({ a: "rc" })]);
  });

  test("[OC1] [OC2] [OC4] tag, range and digest; a tag costs one HEAD, a digest nothing", async () => {
    assert.equal(await resolve({ url }), `latest@${digest}`);
    plain.requests.length = 0;
    assert.equal(await resolve({ url, ref: { tag: "latest" } }), `latest@${digest}`);
    assert.deepEqual(plain.requests.map(({ method, path }) => `${method} ${path}`), ["HEAD /v2/team/shop/manifests/latest"]);
    assert.match(await resolve({ url, ref: { semver: "1.x", tag: "latest" } }), /^1\.1\.0@sha256:/);
    assert.match(await resolve({ url, ref: { semver: ">=1.0.0-0", semverFilter: "-rc" } }), /^1\.2\.0-rc\.1@sha256:/);
    plain.requests.length = 0;
    assert.equal(await resolve({ url, ref: { digest, semver: "1.x" } }), digest);
    assert.equal(plain.requests.length, 0);
  });

  test("[OC4] a registry that answers no HEAD, or says no digest in it, is asked for the manifest", async () => {
    plain.spoil = ({ method }) => (method === "HEAD" ? { status: 405 } : undefined);
    assert.equal(await resolve({ url }), `latest@${digest}`);
    plain.spoil = ({ method }) => (method === "HEAD" ? { status: 200, headers: { "docker-content-digest": "latest" } } : undefined);
    assert.equal(await resolve({ url }), `latest@${digest}`);
  });

  test("[OC20] [OC21] [OC24] [OC26] its archive, annotations, and what the event says", async () => {
    const { archive, revision, file, told, metadata, observed } = await fetch({ url }, `latest@${digest}`);
    assert.deepEqual(await filesOf(archive), { "deploy.yaml": "kind: Web\n" });
    assert.deepEqual([revision, file], [`latest@${digest}`, `${digest}.tar.gz`]);
    assert.deepEqual(metadata, annotations);
    assert.deepEqual(observed, { observedIgnore: null, observedLayerSelector: null });
    assert.equal(told, `stored artifact with revision 'latest@${digest}' from '${url}', origin source 'https://git.example.com/shop.git', origin revision 'main@sha1:${"c".repeat(40)}'`);
    const kept = await fetch({ url, ignore: "*.yaml" }, `latest@${digest}`);
    assert.deepEqual([Object.keys(await filesOf(kept.archive)), kept.observed?.["observedIgnore"]], [["logo.png"], "*.yaml"]);
  });

  test("[OC27] the trace of the commit goes on in the artifact; without one it begins with the artifact", async () => {
    const { change, committedAtMs } = await fetch({ url }, `latest@${digest}`);
    assert.deepEqual(change, { url: "https://git.example.com/shop.git", commit: "c".repeat(40), branch: "main" });
    assert.equal(committedAtMs, Date.parse("2026-01-02T03:04:05Z"));
    const revision = await resolve({ url, ref: { tag: "1.0.0" } });
    const bare = await fetch({ url }, revision);
    assert.deepEqual(bare.change, { url, commit: revision.slice("1.0.0@sha256:".length), branch: "1.0.0" });
    assert.equal(bare.metadata, undefined);
  });

  test("[OC20] [OC22] the layer of a type, unpacked or as it is", async () => {
    const chart = Buffer.from("not even an archive");
    const layers = [await content({ a: "first" }), { mediaType: "application/x.chart", bytes: chart }, await content({ a: "third" })];
    const pushed = await plain.push("team/layers", "latest", layers);
    const of = (layerSelector: NonNullable<OciSpec["layerSelector"]>) => fetch({ url: plain.repoUrl("team/layers"), layerSelector }, `latest@${pushed.digest}`);
    assert.deepEqual(await filesOf((await of({})).archive), { a: "first" });
    assert.deepEqual(await filesOf((await of({ mediaType: fluxContent })).archive), { a: "first" });
    const copied = await of({ mediaType: "application/x.chart", operation: "copy" });
    assert.deepEqual([Buffer.from(copied.archive), copied.file], [chart, `${pushed.digest}.tar.gz`]);
    assert.deepEqual(copied.observed?.["observedLayerSelector"], { mediaType: "application/x.chart", operation: "copy" });
    await assert.rejects(of({ mediaType: "application/x.chart" }), fault("LayerInvalid", /tar\.gz/));
    await assert.rejects(of({ mediaType: "application/x.other" }), fault("LayerInvalid", /no layer of type/));
    const { digest: none } = await plain.push("team/layers", "none", []);
    await assert.rejects(fetch({ url: plain.repoUrl("team/layers") }, `none@${none}`), fault("LayerInvalid", /no layers/));
  });

  test("[OC25] of an index the image for linux/amd64 is taken; the revision is the index's", async () => {
    const push = async (name: string) => (await plain.push("team/multi", name, [await content({ name })])).digest;
    const [arm, amd, plainest] = [await push("arm"), await push("amd"), await push("plainest")];
    const describe = (digest: string, platform?: object) => ({ mediaType: ociManifest, digest, size: 1, ...(platform && { platform }) });
    const index = { schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [describe(arm, { os: "linux", architecture: "arm64" }), describe(amd, { os: "linux", architecture: "amd64" })] };
    const url = plain.repoUrl("team/multi");
    const indexDigest = await plain.pushManifest("team/multi", "latest", index.mediaType, index);
    const revision = await resolve({ url });
    assert.equal(revision, `latest@${indexDigest}`);
    assert.deepEqual(await filesOf((await fetch({ url }, revision)).archive), { name: "amd" });
    const unnamed = await plain.pushManifest("team/multi", "unnamed", index.mediaType, { ...index, manifests: [describe(plainest)] });
    assert.deepEqual(await filesOf((await fetch({ url }, unnamed)).archive), { name: "plainest" });
    const foreign = await plain.pushManifest("team/multi", "foreign", index.mediaType, { ...index, manifests: [describe(arm, { os: "linux", architecture: "arm64" })] });
    await assert.rejects(fetch({ url }, foreign), fault("LayerInvalid", /linux\/amd64/));
    const docker = "application/vnd.docker.distribution.manifest.v2+json";
    const layers = [{ mediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip", digest: await plain.pushBlob("team/multi", await archive({ docker: "2" })), size: (await archive({ docker: "2" })).length }];
    const config = { mediaType: "application/vnd.docker.container.image.v1+json", digest: await plain.pushBlob("team/multi", Buffer.from("{}")), size: 2 };
    const old = await plain.pushManifest("team/multi", "docker", docker, { schemaVersion: 2, mediaType: docker, config, layers });
    assert.deepEqual(await filesOf((await fetch({ url }, old)).archive), { docker: "2" });
  });

  test("[OC6] what the registry has not", async () => {
    await assert.rejects(resolve({ url, ref: { tag: "gone" } }), fault("ReferenceMissing", /404/));
    await assert.rejects(resolve({ url, ref: { semver: "7.x" } }), fault("ReferenceMissing", /7\.x/));
    await assert.rejects(resolve({ url: plain.repoUrl("team/none"), ref: { semver: "7.x" } }), fault("ReferenceMissing", /404/));
    await assert.rejects(fetch({ url }, `sha256:${"0".repeat(64)}`), fault("ReferenceMissing", /404/));
  });

  test("[OC24] annotations without end are refused", async () => {
    const { digest } = await plain.push("team/shop", "long", [await content({ a: "" })], { annotations: { a: "a".repeat(2_000) } });
    await assert.rejects(fetch({ url }, digest, { annotationBytes: 1_000 }), fault("SourceTooLarge", /annotations/));
  });

  test("[OC17] tags come in pages, of this registry alone, and not without end", async () => {
    const page = (tags: string[], next?: string) => ({ status: 200, headers: next ? { link: `<${next}>; rel="next"` } : {}, body: JSON.stringify({ tags }) });
    const pages: string[] = [];
    plain.spoil = ({ path, query }) => {
      if (!path.endsWith("/tags/list")) return undefined;
      pages.push(query);
      return query.includes("last=b") ? page(["1.0.0", "1.1.0"], "http://127.0.0.1:9/v2/team/shop/tags/list?last=c") : page(["a", "b"], "/v2/team/shop/tags/list?last=b&n=1000");
    };
    assert.match(await resolve({ url, ref: { semver: "1.x" } }), /^1\.1\.0@/);
    assert.deepEqual(pages, ["n=1000", "last=b&n=1000"]);
    plain.spoil = ({ path }) => (path.endsWith("/tags/list") ? page(Array.from({ length: 30_000 }, (_, i) => `t${i}`), "/v2/team/shop/tags/list?last=again") : undefined);
    await assert.rejects(resolve({ url, ref: { semver: "1.x" } }), fault("SourceTooLarge", /tags/));
    plain.spoil = ({ path }) => (path.endsWith("/tags/list") ? { status: 200, body: '{"tags":7}' } : undefined);
    await assert.rejects(resolve({ url, ref: { semver: "1.x" } }), fault("UpstreamUnreachable", /cannot be read/));
  });
});

describe("who may", () => {
  before(async () => {
    for (const registry of [basic, tokens, secure]) await registry.push("team/shop", "latest", [await content({ a: "1" })]);
  });

  test("[OC10] [OC11] basic authentication, from a pull secret or a ServiceAccount's", async () => {
    const url = basic.repoUrl("team/shop");
    const secrets = { pull: pullSecret(basic.host), "of robot": pullSecret(basic.host) };
    const revision = await resolve({ url, secretRef: { name: "pull" } }, secrets);
    assert.match(revision, /^latest@sha256:/);
    assert.equal(await resolve({ url, serviceAccountName: "robot" }, secrets), revision);
    assert.deepEqual(await filesOf((await fetch({ url, secretRef: { name: "pull" } }, revision, { secrets })).archive), { a: "1" });
    basic.requests.length = 0;
    await resolve({ url, secretRef: { name: "pull" } }, secrets);
    assert.equal(basic.requests.length, 1, "what was good once is sent at once");
  });

  test("[OC10] a token, from the server that the registry names; it serves until it is over", async () => {
    const url = tokens.repoUrl("team/shop");
    const secrets = { pull: pullSecret(tokens.host) };
    const revision = await resolve({ url, secretRef: { name: "pull" } }, secrets);
    await fetch({ url, secretRef: { name: "pull" } }, revision, { secrets });
    await resolve({ url, secretRef: { name: "pull" } }, secrets);
    const asked = tokens.requests.filter(({ path }) => path === "/token");
    assert.deepEqual(asked.map(({ query }) => decodeURIComponent(query)), ["service=local&scope=repository:team/shop:pull"]);
    assert.ok(tokens.requests.every(({ path, authorization }) => path === "/token" || !authorization?.startsWith("Basic")), "the registry itself sees no password");
    tokens.spoil = ({ path, authorization }) => (path !== "/token" && authorization === tokens.requests[2]?.authorization ? { status: 401, headers: { "www-authenticate": `Bearer realm="http://${tokens.host}/token"` } } : undefined);
    assert.equal(await resolve({ url, secretRef: { name: "pull" } }, secrets), revision, "a token that is no longer good is replaced");
  });

  test("[OC40] a pull secret goes before a provider; without one, the identity goes to that cloud's registries only", async () => {
    const url = basic.repoUrl("team/shop");
    const secrets = { pull: pullSecret(basic.host), "of robot": pullSecret(basic.host) };
    assert.match(await resolve({ url, provider: "gcp", secretRef: { name: "pull" } }, secrets), /^latest@/);
    assert.match(await resolve({ url, provider: "aws", serviceAccountName: "robot" }, secrets), /^latest@/);
    const named: (string | undefined)[] = [];
    const identity = (name: string | undefined) => (named.push(name), new Clouds({ env: {} }).as());
    await assert.rejects(withLimits().resolve({ ...callOf({ url, provider: "gcp" }), identity }), fault("ProviderFailed", /no registry of Google's/));
    const alone = { ...callOf({ url, provider: "azure", serviceAccountName: "robot" }), pullSecrets: async () => [], identity };
    await assert.rejects(withLimits().resolve(alone), fault("ProviderFailed", /no registry of Azure's/));
    assert.deepEqual(named, [undefined, "robot"]);
  });

  test("[OC10] without credentials, or with wrong ones", async () => {
    for (const registry of [basic, tokens]) {
      const url = registry.repoUrl("team/shop");
      await assert.rejects(resolve({ url }), fault("AuthenticationFailed", /are required/));
      const wrong = { pull: { ".dockerconfigjson": JSON.stringify({ auths: { [registry.host]: { ...user, username: "eve" } } }) } };
      await assert.rejects(resolve({ url, secretRef: { name: "pull" } }, wrong), fault("AuthenticationFailed", /were not accepted/));
      await assert.rejects(resolve({ url, secretRef: { name: "pull" } }, { pull: pullSecret("other.example.com") }), fault("AuthenticationFailed", /are required/));
    }
  });

  test("[OC10] a token server that is nowhere, in plain HTTP, or says nothing", async () => {
    const url = tokens.repoUrl("team/shop");
    const realm = (realm: string) => { tokens.spoil = ({ path }) => (path === "/token" ? undefined : { status: 401, headers: { "www-authenticate": `Bearer realm="${realm}"` } }); };
    realm("nowhere");
    await assert.rejects(resolve({ url }), fault("UpstreamUnreachable", /no token server/));
    realm("ftp://127.0.0.1/token");
    await assert.rejects(resolve({ url }), fault("UpstreamUnreachable", /ftp:/));
    for (const body of ["{}", "no", '{"token":"a\\nb"}']) {
      tokens.spoil = ({ path }) => (path === "/token" ? { status: 200, body } : undefined);
      await assert.rejects(resolve({ url }), fault("UpstreamUnreachable", /no token/));
    }
  });

  test("[OC12] an authority of one's own is trusted, and the client's certificate shown", async () => {
    const url = secure.repoUrl("team/shop");
    const cert = { cert: { "ca.crt": authority.certificate, "tls.crt": client.certificate, "tls.key": pem(client.key) }, ca: { "ca.crt": authority.certificate }, other: { "ca.crt": stranger.certificate } };
    assert.match(await resolve({ url, certSecretRef: { name: "cert" } }, cert), /^latest@/);
    assert.deepEqual(secure.requests.map(({ client }) => client), ["worker"]);
    assert.match(await resolve({ url, certSecretRef: { name: "ca" } }, cert), /^latest@/);
    assert.equal(secure.requests.at(-1)?.client, undefined);
    await assert.rejects(resolve({ url }), fault("UpstreamUnreachable", /^TLS: .*authority is not trusted/));
    await assert.rejects(resolve({ url, certSecretRef: { name: "other" } }, cert), fault("UpstreamUnreachable", /^TLS/));
    assert.match(await resolve({ url, insecure: true }), /^latest@/, "any certificate will do");
    await assert.rejects(resolve({ url, insecure: true, certSecretRef: { name: "other" } }, cert), fault("UpstreamUnreachable", /^TLS/));
  });

  test("[OC12] a certificate that has expired", async () => {
    const expired = party("registry", authority, undefined, { until: "210101000000Z" });
    const old = await startRegistry({ dir, tls: { key: pem(expired.key), cert: expired.certificate } });
    try {
      await assert.rejects(resolve({ url: old.repoUrl("a"), certSecretRef: { name: "ca" } }, { ca: { "ca.crt": authority.certificate } }), fault("UpstreamUnreachable", /expired/));
    } finally {
      await old.stop();
    }
  });

  test("[OC13] a redirect to another host: followed, and neither credentials nor certificate go along", async () => {
    const seen: (string | undefined)[] = [];
    const blobs = createServer((request, response) => {
      seen.push(request.headers.authorization);
      void archive({ a: "elsewhere" }).then((bytes) => response.end(bytes));
    });
    const elsewhere = await listening(blobs);
    const bytes = await archive({ a: "elsewhere" });
    const { digest } = await basic.push("team/moved", "latest", [{ mediaType: fluxContent, bytes }]);
    basic.spoil = ({ path }) => (path.includes("/blobs/") ? { status: 307, headers: { location: `http://${elsewhere}/blob?token=1` } } : undefined);
    const call = { url: basic.repoUrl("team/moved"), secretRef: { name: "pull" } };
    const secrets = { pull: pullSecret(basic.host) };
    assert.deepEqual(await filesOf((await fetch(call, digest, { secrets })).archive), { a: "elsewhere" });
    assert.deepEqual(seen, [undefined]);
    basic.spoil = ({ path }) => (path.includes("/blobs/") ? { status: 307, headers: { location: path } } : undefined);
    await assert.rejects(fetch(call, digest, { secrets }), fault("UpstreamUnreachable", /more than 5 redirects/));
    secure.spoil = () => ({ status: 302, headers: { location: `http://${elsewhere}/` } });
    await assert.rejects(resolve({ url: secure.repoUrl("a"), insecure: true }), fault("UpstreamUnreachable", /http:\/\/, which is not followed/));
  });

  test("[OC19] a proxy stands between, with credentials of its own", async () => {
    const seen: string[] = [];
    const basicOf = ({ headers }: { headers: Record<string, unknown> }) => Buffer.from(String(headers["proxy-authorization"]).slice("Basic ".length), "base64").toString();
    const proxy = createServer((request, response) => {
      seen.push(`${request.method} ${request.url} ${basicOf(request)}`);
      const { host: _, "proxy-authorization": __, ...headers } = request.headers;
      request.pipe(forward(String(request.url), { method: request.method, headers }, (found) => found.pipe(response.writeHead(found.statusCode ?? 502, found.headers))));
    });
    proxy.on("connect", (request, socket) => {
      seen.push(`CONNECT ${request.url} ${basicOf(request)}`);
      const behind = createConnection(Number(String(request.url).split(":")[1]), "127.0.0.1", () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        behind.pipe(socket).pipe(behind);
      });
      for (const each of [behind, socket]) each.on("error", () => { behind.destroy(); socket.destroy(); });
    });
    const address = await listening(proxy);
    const secrets = { proxy: { address: `http://${address}`, ...user }, ca: { "ca.crt": authority.certificate } };
    const proxySecretRef = { name: "proxy" };
    assert.match(await resolve({ url: secure.repoUrl("team/shop"), certSecretRef: { name: "ca" }, proxySecretRef }, secrets), /^latest@/);
    assert.deepEqual(seen.splice(0), [`CONNECT ${secure.host} ada:correct-horse`]);
    assert.match(await resolve({ url: plain.repoUrl("team/shop"), proxySecretRef }, secrets), /^latest@/);
    assert.equal(seen.at(-1), `HEAD http://${plain.host}/v2/team/shop/manifests/latest ada:correct-horse`);
  });
});

describe("many sources of one repository", () => {
  before(async () => {
    await basic.push("team/many", "latest", [await content({ "a.yaml": "kind: A" })]);
  });
  const everybody = (source: ReturnType<typeof withLimits>, specs: OciSpec[], secrets: Secrets) => Promise.all(specs.map(async (spec, i) => {
    const call = { ...callOf(spec, secrets), key: { kind: "ocirepository", namespace: `tenant-${i}`, name: "shop" }, maxAgeMs: 30_000 };
    const revision = await source.resolve(call);
    return source.fetch({ ...call, revision });
  }));
  const countOf = (what: RegExp) => basic.requests.filter(({ method, path, authorization }) => authorization !== undefined && what.test(`${method} ${path}`)).length;

  test("[OC29] share one poll and one fetch, whatever their Secrets are called", async () => {
    const url = basic.repoUrl("team/many");
    const secrets = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`pull-${i}`, pullSecret(basic.host)]));
    await resolve({ url, secretRef: { name: "pull-0" } }, secrets); // from here on nobody is asked twice for who they are
    basic.requests.length = 0;
    const source = withLimits();
    const made = await everybody(source, Object.keys(secrets).map((name) => ({ url, secretRef: { name } })), secrets);
    assert.deepEqual([countOf(/^HEAD .*manifests/), countOf(/^GET .*manifests/), countOf(/^GET .*blobs/)], [1, 1, 1]);
    assert.equal(new Set(made.map(({ archive }) => sha256(Buffer.from(archive)))).size, 1);
    await source.resolve({ ...callOf({ url, secretRef: { name: "pull-0" } }, secrets), maxAgeMs: 0 });
    assert.equal(countOf(/^HEAD .*manifests/), 2, "who was told of news asks anew");
  });

  test("[OC29] but not with who has other credentials, or none, or wants another artifact of it", async () => {
    const url = basic.repoUrl("team/many");
    const secrets = { pull: pullSecret(basic.host), wrong: { ".dockerconfigjson": JSON.stringify({ auths: { [basic.host]: { username: "eve", password: "guess" } } }) } };
    const source = withLimits();
    await everybody(source, [{ url, secretRef: { name: "pull" } }], secrets);
    const revision = await source.resolve(callOf({ url, secretRef: { name: "pull" } }, secrets));
    for (const spec of [{ url }, { url, secretRef: { name: "wrong" } }]) {
      await assert.rejects(source.resolve({ ...callOf(spec, secrets), maxAgeMs: 60_000 }), fault("AuthenticationFailed", /./));
      await assert.rejects(source.fetch({ ...callOf(spec, secrets), revision }), fault("AuthenticationFailed", /./));
    }
    basic.requests.length = 0;
    const ignoring = await source.fetch({ ...callOf({ url, secretRef: { name: "pull" }, ignore: "a.yaml" }, secrets), revision });
    assert.deepEqual(await filesOf(ignoring.archive), {});
    assert.equal(countOf(/^GET .*blobs/), 1);
  });
});

describe("a registry that is hostile, or ill", () => {
  let url: string;
  let digest: string;
  let layer: Buffer;
  const blobs = ({ path }: { path: string }) => path.includes("/blobs/");

  before(async () => {
    url = plain.repoUrl("team/ill");
    layer = await archive({ a: "a".repeat(10_000), b: "b" });
    ({ digest } = await plain.push("team/ill", "latest", [{ mediaType: fluxContent, bytes: layer }]));
  });

  test("[OC16] another layer, and another manifest, than their digests say", async () => {
    plain.spoil = (request) => (blobs(request) ? { status: 200, body: Buffer.from(layer.map((byte, i) => (i === 20 ? byte ^ 1 : byte))) } : undefined);
    await assert.rejects(fetch({ url }, digest), fault("DigestMismatch", /another blob/));
    plain.spoil = (request) => (blobs(request) ? { status: 200, body: layer.subarray(0, -1) } : undefined);
    await assert.rejects(fetch({ url }, digest), fault("DigestMismatch", /bytes instead of/));
    plain.spoil = (request) => (blobs(request) ? { status: 200, body: Buffer.concat([layer, layer]) } : undefined);
    await assert.rejects(fetch({ url }, digest), fault("SourceTooLarge", /longer than/));
    plain.spoil = ({ path }) => (path.includes("/manifests/") ? { status: 200, body: JSON.stringify({ config: {}, layers: [] }) } : undefined);
    await assert.rejects(fetch({ url }, digest), fault("DigestMismatch", /another manifest/));
  });

  test("[OC15] half a body", async () => {
    plain.spoil = (request) => (blobs(request) ? { truncateAfterBytes: 20 } : undefined);
    await assert.rejects(fetch({ url }, digest), fault("UpstreamUnreachable", /broke off|shorter/));
  });

  test("[OC15] an answer without end", async () => {
    for (const wanted of ["/manifests/", "/tags/list"]) {
      plain.spoil = ({ path, method }) => (path.includes(wanted) && method === "GET" ? "endless" : undefined);
      const call = wanted === "/tags/list" ? resolve({ url, ref: { semver: "1.x" } }) : fetch({ url }, digest);
      await assert.rejects(call, fault("SourceTooLarge", /longer than/));
    }
    plain.spoil = (request) => (blobs(request) ? "endless" : undefined);
    await assert.rejects(fetch({ url }, digest), fault("SourceTooLarge", /longer than/));
  });

  test("[OC15] no answer: the call ends with its signal", async () => {
    plain.spoil = () => "hang";
    await assert.rejects(resolve({ url }, {}, AbortSignal.timeout(50)), fault("TimedOut", /timeout/));
    const reason = new Error("another owner");
    await assert.rejects(resolve({ url }, {}, AbortSignal.abort(reason)), reason);
  });

  test("[OC23] a layer that is too large is not even asked for", async () => {
    await assert.rejects(fetch({ url }, digest, { layerBytes: 10 }), fault("SourceTooLarge", /more than 10/));
    assert.ok(!plain.requests.some(blobs));
    await assert.rejects(fetch({ url }, digest, { unpackedBytes: 1_000 }), fault("SourceTooLarge", /unpacked/));
  });

  test("[OC14] a registry that has enough of us is left alone for as long as it says", async () => {
    let answers = 0;
    plain.spoil = () => (answers++ === 0 ? { status: 429, headers: { "retry-after": "0" } } : undefined);
    assert.equal(await resolve({ url }), `latest@${digest}`, "a short pause is waited for");
    plain.spoil = () => ({ status: 429, headers: { "retry-after": "3600" } });
    const own = { url: url.replace("127.0.0.1", "localhost") };
    await assert.rejects(resolve(own), fault("UpstreamUnreachable", /left alone for 3600 s/));
    plain.requests.length = 0;
    await assert.rejects(resolve(own), fault("UpstreamUnreachable", /left alone/));
    assert.equal(plain.requests.length, 0, "and so it is");
  });

  const statuses: { status: number; code: FaultCode; detail: RegExp }[] = [
    { status: 403, code: "AuthenticationFailed", detail: /403/ },
    { status: 500, code: "UpstreamUnreachable", detail: /500/ },
    { status: 204, code: "UpstreamUnreachable", detail: /204/ },
    { status: 302, code: "UpstreamUnreachable", detail: /302/ },
  ];
  for (const { status, code, detail } of statuses)
    test(`[OC6] HTTP ${status} is ${code}`, async () => {
      plain.spoil = () => ({ status });
      await assert.rejects(resolve({ url }), fault(code, detail));
    });

  test("[OC6] a manifest that is none", async () => {
    for (const body of ["no", "[]", "null", '{"manifests":7}', '{"config":{"digest":"sha256:x","size":1}}', JSON.stringify({ config: { digest, size: 1 }, layers: [{ digest, size: -1 }] })]) {
      plain.spoil = ({ path }) => (path.includes("/manifests/") ? { status: 200, body } : undefined);
      await assert.rejects(fetch({ url }, sha256(Buffer.from(body))), fault("LayerInvalid", /manifest/));
    }
  });

  test("[OC6] nobody there", async () => {
    const none = createTcpServer();
    await new Promise<void>((done) => none.listen(0, "127.0.0.1", done));
    const { port } = none.address() as AddressInfo;
    await new Promise((closed) => none.close(closed));
    await assert.rejects(resolve({ url: `oci://127.0.0.1:${port}/a` }), fault("UpstreamUnreachable", /refused/));
  });
});
