/** Against a Helm repository on a web server, with and without credentials, and a registry; and against ones that misbehave. */
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import { after, before, beforeEach, test } from "node:test";
import { gzipSync } from "node:zlib";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { closeConnections } from "#services/clients/http/connections.ts";
import type { HeldArtifact, HeldSource } from "#services/sources/define.ts";
import { sha256, startRegistry, type LocalRegistry } from "../../../deploy/local/registry.ts";
import { party, pem } from "../../../test/kit/certificates.ts";
import { scratchFolder } from "../../../test/kit/cluster.ts";
import { chartFiles, chartPackage, startHelmServer, tarball, type HelmServer } from "../../../test/kit/helm-server.ts";
import { signByKey } from "../../../test/kit/sigstore.ts";
import { readPackage } from "./chart/package.ts";
import { createHelmChart, type ChartSpec } from "./helm-chart.ts";
import { createHelmRepository } from "./helm-repository.ts";
import { createHelmThreads } from "./helm-threads.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import type { RepositorySpec } from "./server.ts";

type Secrets = Record<string, Record<string, string>>;

const threads = createHelmThreads(2);
const user = { username: "ada", password: "correct-horse" };
const chartLayer = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
const [authority, stranger] = [party("authority"), party("stranger")];
const [host, client] = [party("charts", authority), party("worker", authority)];
let [open, closed, secure, other]: HelmServer[] = [];
let registry: LocalRegistry, private_: LocalRegistry;

const server = (one: HelmServer | undefined): HelmServer => one ?? assert.fail("not started");
const secretOf = (secrets: Secrets) => async (name: string) => {
  const data = secrets[name];
  if (!data) throw new Fault("SecretMissing", `Secret/apps/${name}`, { detail: "not found" });
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value)]));
};
const fault = (code: FaultCode, detail: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Fault, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.detail ?? "", detail);
  assert.doesNotMatch(JSON.stringify(error) + error.message, /correct-horse/);
  return true;
};

const repository = createHelmRepository({ threads });
const indexCall = (spec: RepositorySpec, secrets: Secrets = {}, signal = AbortSignal.timeout(30_000)) =>
  ({ key: { kind: "helmrepository", namespace: "apps", name: "charts" }, spec, secret: secretOf(secrets), signal });

/** What a HelmRepository of this spec has published. */
async function held(spec: RepositorySpec, secrets: Secrets = {}): Promise<HeldSource> {
  if (spec.type === "oci") return { shown: "HelmRepository/apps/charts", spec };
  const call = indexCall(spec, secrets);
  const { archive, revision } = await createHelmRepository({ threads }).fetch({ ...call, revision: await createHelmRepository({ threads }).resolve(call) });
  return { shown: "HelmRepository/apps/charts", spec, artifact: artifactOf(revision, archive) };
}
const artifactOf = (revision: string, bytes: Uint8Array): HeldArtifact =>
  ({ revision, digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}`, traceparent: "", stored: { revision, digest: "", sizeBytes: bytes.length, path: "", storedAt: "" }, read: async () => bytes });

type Around = { source: HeldSource | Promise<HeldSource>; secrets?: Secrets; generation?: number; limits?: Partial<Limits>; siblings?: { name: string; spec: RepositorySpec; source?: HeldSource }[]; signal?: AbortSignal };

function chartCall(spec: Partial<ChartSpec>, { source, secrets = {}, generation = 1, siblings = [], signal = AbortSignal.timeout(30_000) }: Around) {
  return {
    key: { kind: "helmchart", namespace: "apps", name: "shop" }, generation, signal, secret: secretOf(secrets),
    spec: { chart: "shop", sourceRef: { kind: "HelmRepository", name: "charts" }, ...spec },
    source: async ({ name }: { name: string }) => siblings.find((each) => each.name === name)?.source ?? source,
    siblings: async () => siblings,
  };
}
async function chart(spec: Partial<ChartSpec>, around: Around) {
  const kind = createHelmChart({ threads, limits: { ...defaultLimits, ...around.limits } });
  const call = chartCall(spec, around);
  const { revision, observed } = await kind.resolve(call);
  const fetched = await kind.fetch({ ...call, revision });
  assert.equal(fetched.revision, revision, "what is looked up is what is fetched");
  return { ...fetched, looked: observed };
}
const filesOf = async (archive: Uint8Array) => Object.fromEntries([...(await readPackage(archive, defaultLimits))].map(([path, contents]) => [path, contents.toString()]));
const fromGit = (files: Record<string, string>, revision = `main@sha1:${"a1b2c3d4e5f6".padEnd(40, "0")}`) =>
  tarball(Object.entries(files).map(([path, contents]) => ({ path, contents }))).then((bytes): HeldSource => ({ shown: "GitRepository/apps/shop", spec: { url: "https://git.example.com/shop.git" }, artifact: artifactOf(revision, bytes) }));
const gitRef = { kind: "GitRepository", name: "shop" };
const under = (folder: string, files: Record<string, string>) => Object.fromEntries(Object.entries(files).map(([path, contents]) => [`${folder}/${path}`, contents]));

before(async () => {
  [open, closed, secure, other, registry, private_] = await Promise.all([
    startHelmServer(), startHelmServer({ auth: user }),
    startHelmServer({ tls: { key: pem(host.key), cert: host.certificate, ca: authority.certificate, requestCert: true, rejectUnauthorized: false } }),
    startHelmServer(), startRegistry({ dir: scratchFolder() }), startRegistry({ dir: scratchFolder(), auth: { ...user, by: "token" } }),
  ]);
  for (const each of [open, closed, secure]) {
    for (const version of ["1.0.0", "1.1.0", "1.2.0-rc.1", "2.0.0"]) server(each).publish("shop", version, await chartPackage("shop", version));
    server(each).publish("moved", "1.0.0", await chartPackage("moved", "1.0.0"), { urls: [`${server(other).url}/moved-1.0.0.tgz`] });
  }
  server(other).publish("moved", "1.0.0", await chartPackage("moved", "1.0.0"));
});
beforeEach(() => {
  for (const each of [open, closed, secure, other, registry, private_]) {
    if (!each) continue;
    each.spoil = undefined;
    each.requests.length = 0;
  }
});
after(async () => {
  await Promise.all([closeConnections(), threads.close()]);
  await Promise.all([open, closed, secure, other, registry, private_].map((each) => each?.stop()));
});

test("[HS1] an index is published as JSON, sorted; its revision is the digest of what the server sent", async () => {
  const { url, files } = server(open);
  const revision = await repository.resolve(indexCall({ url: `${url}///` }));
  assert.equal(revision, sha256(files.get("index.yaml") ?? Buffer.alloc(0)));
  const fetched = await repository.fetch({ ...indexCall({ url }), revision });
  assert.deepEqual([fetched.revision, fetched.file], [revision, `index-${revision.slice(7)}.yaml`]);
  const index = JSON.parse(Buffer.from(fetched.archive).toString()) as { apiVersion: string; entries: Record<string, { version: string }[]> };
  assert.deepEqual([index.apiVersion, index.entries["shop"]?.map(({ version }) => version)], ["v1", ["2.0.0", "1.2.0-rc.1", "1.1.0", "1.0.0"]]);
  assert.match(fetched.told ?? "", /^stored fetched index of size 1\.\d+kB from '/);
});

test("[HS2] an unchanged index costs one question, which the server need not answer in full; what was looked at is not fetched again", async () => {
  const { url, requests } = server(open);
  const fresh = createHelmRepository({ threads });
  const revision = await fresh.resolve(indexCall({ url }));
  await fresh.fetch({ ...indexCall({ url }), revision });
  assert.equal(requests.length, 1);
  assert.equal(await fresh.resolve(indexCall({ url })), revision);
  assert.deepEqual(requests.map(({ ifNoneMatch }) => ifNoneMatch !== undefined), [false, true]);
});

test("[HS1] an index may be compressed on the way; the bound is for what comes out", async () => {
  const { url, files } = server(open);
  const [plain, headers] = [files.get("index.yaml") ?? Buffer.alloc(0), { "content-encoding": "gzip" }];
  const small = createHelmRepository({ threads, limits: { ...defaultLimits, indexBytes: 65_536 } });
  server(open).spoil = () => ({ status: 200, headers, body: gzipSync(plain) });
  assert.equal(await small.resolve(indexCall({ url })), sha256(plain));
  server(open).spoil = () => ({ status: 200, headers, body: gzipSync(Buffer.alloc(10 * 2 ** 20)) });
  await assert.rejects(small.resolve(indexCall({ url })), fault("SourceTooLarge", /longer than 65536 bytes/));
  server(open).spoil = () => ({ status: 200, headers, body: plain });
  await assert.rejects(small.resolve(indexCall({ url })), fault("UpstreamUnreachable", /not compressed as it says/));
});

test("[HS7] objects of one server share what it says, those alone that are the same to it", async () => {
  const { url, requests } = server(closed);
  const shared = createHelmRepository({ threads });
  const as = (password: string) => ({ ...indexCall({ url, secretRef: { name: "user" } }, { user: { ...user, password } }), maxAgeMs: 30_000 });
  const [one, two] = await Promise.all([shared.resolve(as(user.password)), shared.resolve(as(user.password))]);
  await Promise.all([shared.fetch({ ...as(user.password), revision: one }), shared.fetch({ ...as(user.password), revision: two })]);
  assert.equal(requests.length, 1);
  await assert.rejects(shared.resolve(as("guessed")), fault("AuthenticationFailed", /not accepted/));
  await assert.rejects(shared.fetch({ ...as("guessed"), revision: one }), fault("AuthenticationFailed", /not accepted/));

  const source = await held({ url: server(open).url });
  server(open).requests.length = 0;
  const wanted = { version: "1.0.0", chart: "moved" };
  await Promise.all(Array.from({ length: 5 }, () => chart(wanted, { source })));
  assert.deepEqual(server(other).requests.map(({ path }) => path), ["/charts/moved-1.0.0.tgz"]);
});

test("[HS3] credentials are user and password; certificates are those of certSecretRef, or of the same Secret as Flux once had it", async () => {
  const { url } = server(closed);
  await assert.rejects(repository.resolve(indexCall({ url })), fault("AuthenticationFailed", /HTTP 401: credentials are required/));
  await assert.rejects(repository.resolve(indexCall({ url, secretRef: { name: "none" } })), fault("SecretMissing", /not found/));
  await assert.rejects(repository.resolve(indexCall({ url, secretRef: { name: "wrong" } }, { wrong: { ...user, password: "correct-horse-2" } })), fault("AuthenticationFailed", /were not accepted/));
  await assert.rejects(repository.resolve(indexCall({ url, secretRef: { name: "half" } }, { half: { password: "correct-horse" } })), fault("AuthenticationFailed", /only one of username and password/));
  assert.match(await repository.resolve(indexCall({ url, secretRef: { name: "user" } }, { user })), /^sha256:/);

  const tls = server(secure).url;
  await assert.rejects(repository.resolve(indexCall({ url: tls })), fault("UpstreamUnreachable", /TLS: the server's/));
  await assert.rejects(repository.resolve(indexCall({ url: tls, certSecretRef: { name: "ca" } }, { ca: { "ca.crt": stranger.certificate } })), fault("UpstreamUnreachable", /TLS/));
  await repository.resolve(indexCall({ url: tls, certSecretRef: { name: "ca" } }, { ca: { "ca.crt": authority.certificate, "tls.crt": client.certificate, "tls.key": pem(client.key) } }));
  await createHelmRepository({ threads }).resolve(indexCall({ url: tls, secretRef: { name: "former" } }, { former: { caFile: authority.certificate, certFile: client.certificate, keyFile: pem(client.key) } }));
  assert.deepEqual(server(secure).requests.slice(-2).map((each) => each.client), ["worker", "worker"]);
});

test("[HS4] credentials go to the repository's own host alone, whatever the index or a redirect says, and further only where that is asked for", async () => {
  const spec = { url: server(closed).url, secretRef: { name: "user" } };
  const secrets = { user };
  const source = held(spec, secrets);
  await chart({ chart: "moved" }, { source, secrets });
  assert.deepEqual(server(other).requests.map(({ path, authorization }) => [path, authorization]), [["/charts/moved-1.0.0.tgz", undefined]]);

  server(closed).spoil = ({ path }) => (path.endsWith(".tgz") ? { status: 302, headers: { location: `${server(other).url}/moved-1.0.0.tgz` } } : undefined);
  await assert.rejects(chart({ version: "1.0.0" }, { source, secrets }), fault("DigestMismatch", /not what the index says/));
  assert.deepEqual(server(other).requests.map(({ authorization }) => authorization), [undefined, undefined]);

  server(closed).spoil = undefined;
  await chart({ chart: "moved" }, { source: held({ ...spec, passCredentials: true }, secrets), secrets });
  assert.match(server(other).requests.at(-1)?.authorization ?? "", /^Basic /);
});

const troubles: [title: string, trouble: HelmServer["spoil"], code: FaultCode, detail: RegExp][] = [
  ["503", () => ({ status: 503 }), "UpstreamUnreachable", /HTTP 503/],
  ["429 that asks for an hour", () => ({ status: 429, headers: { "retry-after": "3600" } }), "UpstreamUnreachable", /HTTP 429/],
  ["404", () => ({ status: 404 }), "ReferenceMissing", /HTTP 404/],
  ["half an answer", () => ({ truncateAfterBytes: 100 }), "UpstreamUnreachable", /broke off|shorter/],
  ["an answer without end", () => "endless", "SourceTooLarge", /longer than 65536 bytes/],
  ["a redirect to another scheme", () => ({ status: 302, headers: { location: "ftp://elsewhere/index.yaml" } }), "UpstreamUnreachable", /not followed/],
  ["redirects without end", () => ({ status: 302, headers: { location: "index.yaml" } }), "UpstreamUnreachable", /more than 5 redirects/],
];
for (const [title, trouble, code, detail] of troubles)
  test(`[HS5] a repository that answers with ${title}: ${code}`, async () => {
    server(open).spoil = trouble;
    await assert.rejects(createHelmRepository({ threads, limits: { ...defaultLimits, indexBytes: 65_536 } }).resolve(indexCall({ url: server(open).url })), fault(code, detail));
  });

for (const [title, body, detail] of [["HTML", "<html>not found</html>", /no YAML|no map/], ["nothing", "", /no map/], ["no apiVersion", "entries: {}", /no apiVersion/], ["YAML that breaks off", "apiVersion: v1\nentries: {", /no YAML/]] as const)
  test(`[HS5] an index that is ${title}: IndexInvalid`, async () => {
    server(open).spoil = () => ({ status: 200, body });
    const fresh = createHelmRepository({ threads });
    const call = indexCall({ url: server(open).url });
    await assert.rejects(async () => fresh.fetch({ ...call, revision: await fresh.resolve(call) }), fault("IndexInvalid", detail));
  });

test("[HS5] a server that does not answer is waited for as long as the call lasts, and a registry goes with type oci alone", async () => {
  server(open).spoil = () => "hang";
  await assert.rejects(repository.resolve(indexCall({ url: server(open).url }, {}, AbortSignal.timeout(200))), fault("TimedOut", /longer than/));
  await assert.rejects(repository.resolve(indexCall({ url: "oci://registry.example.com/charts" })), fault("ChartRepositoryInvalid", /spec.type oci/));
});

for (const [wanted, version] of [["*", "2.0.0"], ["", "2.0.0"], ["1.x", "1.1.0"], ["1.0.0", "1.0.0"], [">=1.2.0-0 <2.0.0", "1.2.0-rc.1"], ["1.2.0-rc.1", "1.2.0-rc.1"]] as const)
  test(`[HS10] version ${JSON.stringify(wanted)} means ${version}, and is published as it came`, async () => {
    const { revision, archive, file, summary, looked, observed } = await chart({ version: wanted }, { source: held({ url: server(open).url }) });
    assert.deepEqual([revision, file], [version, `shop-${version}.tgz`]);
    assert.deepEqual(Buffer.from(archive), server(open).files.get(`shop-${version}.tgz`));
    assert.deepEqual(summary, { reason: "ChartPullSucceeded", message: `pulled 'shop' chart with version '${version}'` });
    assert.match(String(looked?.["observedSourceArtifactRevision"]), /^sha256:/);
    assert.deepEqual([observed?.["observedChartName"], observed?.["observedValuesFiles"]], ["shop", null]);
  });

for (const [spec, detail] of [[{ chart: "none" }, /no chart "none"/], [{ version: "9.x" }, /no version is within "9.x"/], [{ version: "newest" }, /no range/], [{ chart: "../shop" }, /no name of a chart/], [{ chart: "Shop" }, /no name of a chart/], [{ chart: "__proto__" }, /no name of a chart/]] as const)
  test(`[HS10] ${JSON.stringify(spec)}: ChartReferenceInvalid, and nothing is asked`, async () => {
    const source = await held({ url: server(open).url });
    server(open).requests.length = 0;
    await assert.rejects(chart(spec, { source }), fault("ChartReferenceInvalid", detail));
    assert.equal(server(open).requests.length, 0);
  });

const badCharts: [title: string, trouble: HelmServer["spoil"], code: FaultCode, detail: RegExp][] = [
  ["404", () => ({ status: 404 }), "ReferenceMissing", /HTTP 404/],
  ["another file", () => ({ status: 200, body: "something else" }), "DigestMismatch", /not what the index says/],
  ["half of it", () => ({ truncateAfterBytes: 100 }), "UpstreamUnreachable", /broke off|shorter/],
  ["more than a chart may have", () => "endless", "SourceTooLarge", /longer than/],
];
for (const [title, trouble, code, detail] of badCharts)
  test(`[HS12] a package that is answered with ${title}: ${code}`, async () => {
    const name = `bad-${server(open).files.size}`; // what came a moment ago is not asked for again
    server(open).publish(name, "1.0.0", await chartPackage(name, "1.0.0"));
    const source = await held({ url: server(open).url });
    server(open).spoil = trouble;
    await assert.rejects(chart({ chart: name }, { source }), fault(code, detail));
    server(open).spoil = undefined;
    assert.equal((await chart({ chart: name }, { source })).revision, "1.0.0", "and what was not good is not kept");
  });

test("[HS12] what the index names by its digest and is no chart is refused all the same", async () => {
  const third = await startHelmServer();
  try {
    third.publish("junk", "1.0.0", Buffer.from("junk"));
    third.publish("lost", "1.0.0", await chartPackage("lost", "1.0.0"), { urls: [] });
    third.publish("local", "1.0.0", await chartPackage("local", "1.0.0"), { urls: ["file:///etc/passwd"] });
    const source = await held({ url: third.url });
    await assert.rejects(chart({ chart: "junk" }, { source }), fault("ChartPullFailed", /no tar.gz/));
    await assert.rejects(chart({ chart: "lost" }, { source }), fault("ChartPullFailed", /no URL/));
    await assert.rejects(chart({ chart: "local" }, { source }), fault("ChartPullFailed", /file:\/\//));
  } finally {
    await third.stop();
  }
});

test("[HS16] other values make another package and another version: the object's generation stands behind the +", async () => {
  const third = await startHelmServer();
  try {
    third.publish("shop", "1.0.0", await chartPackage("shop", "1.0.0", { "prod.yaml": "replicas: 5\n" }));
    const source = await held({ url: third.url });
    const merged = await chart({ valuesFiles: ["values.yaml", "prod.yaml", "none.yaml"], ignoreMissingValuesFiles: true }, { source, generation: 7 });
    assert.deepEqual([merged.revision, merged.file], ["1.0.0+7", "shop-1.0.0+7.tgz"]);
    assert.deepEqual(merged.summary, { reason: "ChartPackageSucceeded", message: "packaged 'shop' chart with version '1.0.0+7' and merged values files [values.yaml prod.yaml]" });
    assert.deepEqual(merged.observed?.["observedValuesFiles"], ["values.yaml", "prod.yaml"]);
    assert.equal((await filesOf(merged.archive))["values.yaml"], "replicas: 5\n");
    assert.equal((await chart({ valuesFiles: ["values.yaml"] }, { source })).revision, "1.0.0", "its own values are no others");
    await assert.rejects(chart({ valuesFiles: ["none.yaml"] }, { source }), fault("ValuesFilesInvalid", /no values file/));
  } finally {
    await third.stop();
  }
});

test("[HS13] [HS14] [HS15] a chart of another source: its directory is packaged, its package published as it is; every revision counts where that is asked for", async () => {
  const packed = await chartPackage("packed", "3.0.0");
  const files = under("charts/shop", chartFiles("shop", "1.5.0"));
  const source = await fromGit(files);
  const plain = await chart({ chart: "charts/shop", sourceRef: gitRef }, { source });
  assert.deepEqual([plain.revision, plain.summary?.reason, plain.looked], ["1.5.0", "ChartPackageSucceeded", { observedSourceArtifactRevision: source.artifact?.revision }]);
  const each = await chart({ chart: "charts/shop", sourceRef: gitRef, reconcileStrategy: "Revision", valuesFiles: ["charts/shop/values.yaml"] }, { source, generation: 3 });
  assert.equal(each.revision, "1.5.0+a1b2c3d4e5f6.3");
  assert.match((await filesOf(each.archive))["Chart.yaml"] ?? "", /version: 1\.5\.0\+a1b2c3d4e5f6\.3\n/);

  const bytes = await tarball([{ path: "packed-3.0.0.tgz", contents: packed }]);
  const holding: HeldSource = { shown: "Bucket/apps/shop", spec: {}, artifact: artifactOf(`sha256:${"b".repeat(64)}`, bytes) };
  const asItIs = await chart({ chart: "./packed-3.0.0.tgz", sourceRef: { kind: "Bucket", name: "shop" } }, { source: holding });
  assert.deepEqual([asItIs.revision, asItIs.summary?.reason, Buffer.from(asItIs.archive)], ["3.0.0", "ChartPullSucceeded", packed]);
  const renamed = await chart({ chart: "packed-3.0.0.tgz", sourceRef: { kind: "Bucket", name: "shop" }, reconcileStrategy: "Revision" }, { source: holding });
  assert.equal(renamed.revision, `3.0.0+${"b".repeat(12)}`);
});

test("[HS19] a chart waits for its source's first artifact, and names the source", async () => {
  const source: HeldSource = { shown: "GitRepository/apps/shop", spec: {} };
  await assert.rejects(chart({ chart: "a", sourceRef: gitRef }, { source }), fault("ArtifactMissing", /^no artifact available for GitRepository source 'shop'$/));
  await assert.rejects(chart({}, { source: { ...source, spec: { url: server(open).url } } }), fault("ArtifactMissing", /no artifact available for HelmRepository source 'charts'/));
});

test("[HS17] dependencies come from the HelmRepository of the namespace with that URL, with its credentials, and from others without any", async () => {
  const private_url = server(closed).url;
  const wanted = `dependencies:\n- {name: shop, version: 1.x, repository: "${private_url}/"}\n- {name: moved, version: "*", repository: "${server(other).url}"}\n`;
  const source = await fromGit(under("web", chartFiles("web", "1.0.0", { "Chart.yaml": `apiVersion: v2\nname: web\nversion: 1.0.0\n${wanted}` })));
  const own = { name: "private", spec: { url: private_url, secretRef: { name: "user" } } };
  const spec = { chart: "web", sourceRef: gitRef };
  const siblings = [{ ...own, source: await held(own.spec, { user }) }];
  const files = await filesOf((await chart(spec, { source, siblings, secrets: { user } })).archive);
  assert.match(files["charts/shop/Chart.yaml"] ?? "", /version: 1\.1\.0/);
  assert.match(files["charts/moved/Chart.yaml"] ?? "", /version: 1\.0\.0/);
  await assert.rejects(chart(spec, { source }), fault("DependencyBuildFailed", /dependency "shop".*HTTP 401/));
  for (const [repository, detail] of [["@stable", /alias/], ["ftp://example.com", /none that can be asked/]] as const) {
    const odd = await fromGit(under("web", chartFiles("web", "1.0.0", { "Chart.yaml": `name: web\nversion: 1.0.0\ndependencies:\n- {name: x, version: 1.x, repository: "${repository}"}\n` })));
    await assert.rejects(chart(spec, { source: odd }), fault("DependencyBuildFailed", detail));
  }
});

/** As `helm push` does it. */
const push = async (to: LocalRegistry, name: string, version: string) =>
  to.push(`charts/${name}`, version.replaceAll("+", "_"), [{ mediaType: chartLayer, bytes: await chartPackage(name, version) }], { config: { mediaType: "application/vnd.cncf.helm.config.v1+json", bytes: Buffer.from("{}") } });

test("[HS11] a chart in a registry: its tags are its versions, _ stands for +; a written version is not looked for among them", async () => {
  for (const version of ["1.0.0", "1.1.0+build.5", "1.2.0-rc.1"]) await push(registry, "web", version);
  const source = held({ url: registry.repoUrl("charts/"), type: "oci" });
  const highest = await chart({ chart: "web", version: "1.x" }, { source });
  assert.deepEqual([highest.revision, highest.file, highest.looked], ["1.1.0+build.5", "web-1.1.0+build.5.tgz", undefined]);
  registry.requests.length = 0;
  await chart({ chart: "web", version: "1.0.0" }, { source });
  assert.deepEqual(registry.requests.filter(({ path }) => path.includes("tags")), []);
  await assert.rejects(chart({ chart: "web", version: "2.x" }, { source }), fault("ChartReferenceInvalid", /no version is within/));
  await assert.rejects(chart({ chart: "web", version: "2.0.0" }, { source }), fault("ReferenceMissing", /HTTP 404/));
  await registry.push("charts/odd", "1.0.0", [{ mediaType: "text/plain", bytes: Buffer.from("x") }]);
  await assert.rejects(chart({ chart: "odd", version: "1.0.0" }, { source }), fault("LayerInvalid", /no layer of a chart/));
  await assert.rejects(chart({}, { source: held({ url: "https://registry.example.com", type: "oci" }) }), fault("ChartRepositoryInvalid", /oci:\/\//));
});

test("[HS11] its credentials are a pull secret, or user and password", async () => {
  await push(private_, "web", "1.0.0");
  const at = (name?: string) => held({ url: private_.repoUrl("charts"), type: "oci", ...(name && { secretRef: { name } }) });
  const secrets = { user, pull: { ".dockerconfigjson": JSON.stringify({ auths: { [private_.host]: user } }) } };
  for (const name of ["user", "pull"]) assert.equal((await chart({ chart: "web" }, { source: at(name), secrets })).revision, "1.0.0");
  await assert.rejects(chart({ chart: "web" }, { source: at(), secrets }), fault("AuthenticationFailed", /required/));
});

test("[HS21] a chart in a registry is published only when it is signed as spec.verify asks", async () => {
  const { digest } = await push(registry, "signed", "1.0.0");
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const secrets = { keys: { "cosign.pub": String(publicKey.export({ type: "spki", format: "pem" })) } };
  const around = { source: held({ url: registry.repoUrl("charts"), type: "oci" }), secrets };
  const spec = { chart: "signed", verify: { provider: "cosign" as const, secretRef: { name: "keys" } } };
  await assert.rejects(chart(spec, around), fault("ChartUnverified", /not signed/));
  const signature = signByKey(privateKey, digest);
  const layer = { mediaType: "application/vnd.dev.cosign.simplesigning.v1+json", digest: await registry.pushBlob("charts/signed", signature.payload), size: signature.payload.length, annotations: signature.annotations };
  const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: await registry.pushBlob("charts/signed", Buffer.from("{}")), size: 2 };
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  await registry.pushManifest("charts/signed", `${digest.replace(":", "-")}.sig`, mediaType, { schemaVersion: 2, mediaType, config, layers: [layer] });
  assert.equal((await chart(spec, around)).verified, "verified signature of version 1.0.0");
  await assert.rejects(chart({ verify: spec.verify }, { source: held({ url: server(open).url }), secrets }), fault("ChartUnverified", /registries alone/));
});
