/** From a registry to objects, on one `flotilla up`. */
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { eventually } from "../../deploy/local/eventually.ts";
import { fluxContent, startRegistry, type Pushed } from "../../deploy/local/registry.ts";
import { ownCluster, scratchFolder } from "../kit/cluster.ts";
import { attachEnvelopes, described, envelopes, Notary, trustSecret } from "../kit/notation.ts";
import { signByKey } from "../kit/sigstore.ts";
import { runCommand } from "./flotilla.ts";
import { configMap, file } from "./objects.ts";
import { startSystem } from "./system.ts";
import { conditionOf, type Tenant } from "./tenant.ts";

const { kubeconfig, auditLog } = await ownCluster();
const user = { username: "ada", password: "correct-horse" };
const [system, registry] = await Promise.all([startSystem({ kubeconfig, auditLog }), startRegistry({ dir: scratchFolder(), auth: { ...user, by: "token" } })]);
after(() => Promise.all([system.close(), registry.stop()]));

type Artifact = { revision: string; digest: string; url: string; path: string; metadata?: Record<string, string> };
type Status = { artifact?: Artifact; url?: string; observedIgnore?: string; observedLayerSelector?: object; conditions?: { type: string; status: string; reason: string }[] };

/** As `flux push artifact` does it: the tag means the files from now on. */
async function push(t: Tenant, files: Record<string, string>, more: { tag?: string; annotations?: Record<string, string> } = {}): Promise<string> {
  return (await pushed(t, files, more)).digest;
}

async function pushed(t: Tenant, files: Record<string, string>, { tag = "latest", annotations = {} }: { tag?: string; annotations?: Record<string, string> } = {}): Promise<Pushed> {
  const tar = pack();
  for (const [name, contents] of Object.entries(files)) tar.entry({ name }, contents);
  tar.finalize();
  return registry.push(t.namespace, tag, [{ mediaType: fluxContent, bytes: gzipSync(await buffer(tar)) }], { annotations });
}

/** A tenant with a pull secret, a source `app` and a unit of it. */
async function tenant(spec: Record<string, unknown> = {}): Promise<Tenant> {
  const t = await system.tenant();
  const auths = { [registry.host]: user };
  const data = { ".dockerconfigjson": Buffer.from(JSON.stringify({ auths })).toString("base64") };
  await t.create("Secret", "pull", { type: "kubernetes.io/dockerconfigjson", data });
  await t.create("OCIRepository", "app", { spec: { url: registry.repoUrl(t.namespace), interval: "1h", secretRef: { name: "pull" }, ...spec } });
  await t.unit("shop", { sourceRef: { kind: "OCIRepository", name: "app" } });
  return t;
}

const statusOf = ({ status }: { status?: object }) => status as Status;
const typesOf = ({ conditions = [] }: Status) => conditions.map(({ type, status, reason }) => `${type}=${status} ${reason}`);
const onCluster = (t: Tenant, ...args: string[]) => runCommand([...args, "-n", t.namespace, "--kubeconfig", system.kubeconfig]);

test("[OC24] [OC26] [OC28] a pushed artifact is published, applied, and told of as Flux tells it", async () => {
  const t = await tenant({ ignore: "secret.yaml" });
  const annotations = { "org.opencontainers.image.source": "https://git.example.com/shop.git", "org.opencontainers.image.revision": `main@sha1:${"c".repeat(40)}` };
  const digest = await push(t, { "shop/a.yaml": file(configMap("a", { n: "1" })), "secret.yaml": "a: b" }, { annotations });
  const source = await t.ready("OCIRepository", "app");
  const status = statusOf(source);
  const revision = `latest@${digest}`;
  assert.deepEqual(typesOf(status), ["Ready=True Succeeded", "ArtifactInStorage=True Succeeded"]);
  assert.equal(conditionOf(source, "Ready")?.message, `stored artifact for digest '${revision}'`);
  assert.deepEqual([status.artifact?.revision, status.artifact?.path, status.artifact?.metadata, status.observedIgnore], [revision, `ocirepository/${t.namespace}/app/${digest}.tar.gz`, annotations, "secret.yaml"]);
  const told = await t.untilTold("OCIRepository", "app", "Normal", "NewArtifact");
  assert.equal(told.message, `stored artifact with revision '${revision}' from '${registry.repoUrl(t.namespace)}', origin source 'https://git.example.com/shop.git', origin revision 'main@sha1:${"c".repeat(40)}'`);
  assert.equal(told.annotations["source.toolkit.fluxcd.io/revision"], revision);

  assert.match(status.url ?? "", new RegExp(`/ocirepository/${t.namespace}/app/latest\\.tar\\.gz$`));
  for (const url of [status.url, status.artifact?.url]) {
    const body = Buffer.from(await (await fetch(url ?? "")).arrayBuffer());
    assert.equal(`sha256:${createHash("sha256").update(body).digest("hex")}`, status.artifact?.digest, url);
  }

  const unit = await t.ready("Kustomization", "shop");
  assert.equal(unit.status?.lastAppliedRevision, revision);
  assert.equal((await t.get("ConfigMap", "a")).data?.["n"], "1");
});

test("[OC28] the commands know the kind: reconcile, get, suspend, resume; a new push is applied, and heard of by the webhook", async () => {
  const t = await tenant();
  await push(t, { "shop/a.yaml": file(configMap("a", { n: "1" })) });
  await t.ready("Kustomization", "shop");
  const second = await push(t, { "shop/a.yaml": file(configMap("a", { n: "2" })) });
  const reconciled = await onCluster(t, "reconcile", "source", "oci", "app");
  assert.equal(reconciled.code, 0, reconciled.stderr);
  assert.match(reconciled.stderr, new RegExp(`fetched revision latest@${second}`));
  await t.ready("Kustomization", "shop", second);
  assert.equal((await t.get("ConfigMap", "a")).data?.["n"], "2");

  const got = await onCluster(t, "get", "sources", "oci");
  assert.match(got.stdout, new RegExp(`app\\s+latest@sha256:${second.slice(7, 15)}\\s+False\\s+True\\s+stored artifact`), got.stderr);
  assert.equal((await onCluster(t, "suspend", "source", "oci", "app")).code, 0);
  const third = await push(t, { "shop/a.yaml": file(configMap("a", { n: "3" })) });
  assert.notEqual((await onCluster(t, "reconcile", "source", "oci", "app")).code, 0);
  assert.equal((await onCluster(t, "resume", "source", "oci", "app")).code, 0);
  await t.ready("Kustomization", "shop", third);

  const now = await push(t, { "shop/a.yaml": file(configMap("a", { n: "now" })) });
  const both = await onCluster(t, "reconcile", "kustomization", "shop", "--with-source");
  assert.equal(both.code, 0, both.stderr);
  assert.match(both.stderr, new RegExp(`applied revision latest@${now}`));
  const fourth = await push(t, { "shop/a.yaml": file(configMap("a", { n: "4" })) });
  await system.flotilla.announce(registry.repoUrl(t.namespace));
  await t.ready("Kustomization", "shop", fourth);

  await t.remove("Kustomization", "shop");
  await t.untilGone("Kustomization", "shop");
  const { status } = await t.get("OCIRepository", "app");
  await t.remove("OCIRepository", "app");
  await t.untilGone("OCIRepository", "app");
  await eventually("its artifacts gone", async () => (await fetch(statusOf({ status: status as object }).artifact?.url ?? "")).status === 404);
});

test("[OC6] [OC26] a tag that vanishes: the last good artifact is kept and served; what the spec asks no longer, the status says no longer", async () => {
  const t = await tenant({ ref: { tag: "v1" }, ignore: "*.md", layerSelector: { mediaType: fluxContent, operation: "copy" } });
  const digest = await push(t, { "shop/a.yaml": file(configMap("a", { n: "1" })) }, { tag: "v1" });
  const before = statusOf(await t.ready("OCIRepository", "app"));
  assert.deepEqual(before.observedLayerSelector, { mediaType: fluxContent, operation: "copy" });
  await t.ready("Kustomization", "shop");
  await registry.remove(t.namespace, "v1");
  await t.request("OCIRepository", "app");
  const failing = await t.failing("OCIRepository", "app", "OCIArtifactPullFailed");
  assert.deepEqual(typesOf(statusOf(failing)).sort(), ["ArtifactInStorage=True Succeeded", "FetchFailed=True OCIArtifactPullFailed", "Ready=False OCIArtifactPullFailed", "Reconciling=True ProgressingWithRetry"]);
  assert.match(conditionOf(failing, "Ready")?.message ?? "", /HTTP 404: the registry has no such manifest/);
  assert.equal(statusOf(failing).artifact?.revision, `v1@${digest}`);
  assert.equal((await fetch(before.url ?? "")).status, 200);
  await t.edit("OCIRepository", "app", { spec: { ref: null, ignore: null, layerSelector: null } });
  await push(t, { "shop/a.yaml": file(configMap("a", { n: "2" })) });
  const after = statusOf(await t.ready("OCIRepository", "app"));
  assert.deepEqual([after.observedIgnore, after.observedLayerSelector], [undefined, undefined]);
});

test("[OC5] [OC10] [OC11] what is wrong with the object or its credentials is said with Flux's reason", async () => {
  const t = await tenant({ url: `${registry.repoUrl("a")}:v1` });
  const stalled = await t.failing("OCIRepository", "app", "URLInvalid");
  assert.equal(conditionOf(stalled, "Stalled")?.status, "True");
  await t.edit("OCIRepository", "app", { spec: { url: registry.repoUrl(t.namespace), secretRef: { name: "none" } } });
  await t.failing("OCIRepository", "app", "AuthenticationFailed");
  await t.edit("OCIRepository", "app", { spec: { secretRef: null, ref: { semver: "newest" } } });
  await t.failing("OCIRepository", "app", "ReadOperationFailed");
  await t.edit("OCIRepository", "app", { spec: { serviceAccountName: "robot", ref: null } });
  await t.failing("OCIRepository", "app", "AuthenticationFailed");
  await t.create("ServiceAccount", "robot", { imagePullSecrets: [{ name: "pull" }] });
  await push(t, { "shop/a.yaml": file(configMap("a", {})) });
  await t.ready("Kustomization", "shop");
  assert.doesNotMatch(JSON.stringify([system.watched.OCIRepository.history(t.namespace, "app"), t.told("OCIRepository", "app"), system.flotilla.logs()]), /correct-horse/);
});

test("[OC30] [OC31] an artifact is published when it is signed with a key of the Secret, and not before", async () => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const t = await tenant({ suspend: true, verify: { provider: "cosign", secretRef: { name: "keys" } } });
  await t.create("Secret", "keys", { data: { "cosign.pub": Buffer.from(publicKey.export({ type: "spki", format: "pem" })).toString("base64") } });
  const digest = await push(t, { "shop/a.yaml": file(configMap("a", { n: "1" })) });
  await t.edit("OCIRepository", "app", { spec: { suspend: false } });
  const failing = await t.failing("OCIRepository", "app", "VerificationError");
  assert.deepEqual(typesOf(statusOf(failing)).sort(), ["Ready=False VerificationError", "Reconciling=True ProgressingWithRetry", "SourceVerified=False VerificationError"]);
  assert.equal(statusOf(failing).artifact, undefined);

  const { payload, annotations } = signByKey(privateKey, digest);
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const layer = { mediaType: "application/vnd.dev.cosign.simplesigning.v1+json", digest: await registry.pushBlob(t.namespace, payload), size: payload.length, annotations };
  const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: await registry.pushBlob(t.namespace, Buffer.from("{}")), size: 2 };
  await registry.pushManifest(t.namespace, `${digest.replace(":", "-")}.sig`, mediaType, { schemaVersion: 2, mediaType, config, layers: [layer] });
  const source = await t.ready("OCIRepository", "app");
  assert.equal(conditionOf(source, "SourceVerified")?.message, `verified signature of revision latest@${digest}`);
  await t.ready("Kustomization", "shop", digest);
  await t.edit("OCIRepository", "app", { spec: { verify: null } });
  assert.equal(conditionOf(await t.ready("OCIRepository", "app"), "SourceVerified"), undefined);
});

test("[OC30] [OC34] an artifact is published when it is signed as the trust policy of notation asks, and not before", async () => {
  const notary = await Notary.open();
  const root = notary.authority("root");
  const t = await tenant({ suspend: true, verify: { provider: "notation", secretRef: { name: "trust" } } });
  await t.create("Secret", "trust", { stringData: trustSecret([root], { scopes: [`${registry.host}/${t.namespace}`] }) });
  const { digest, manifest } = await pushed(t, { "shop/a.yaml": file(configMap("a", { n: "1" })) });
  await t.edit("OCIRepository", "app", { spec: { suspend: false } });
  const failing = await t.failing("OCIRepository", "app", "VerificationError");
  assert.deepEqual(typesOf(statusOf(failing)).sort(), ["Ready=False VerificationError", "Reconciling=True ProgressingWithRetry", "SourceVerified=False VerificationError"]);
  assert.equal(statusOf(failing).artifact, undefined);

  const blob = notary.sign(described(manifest), [notary.signer(root, "release"), root], { format: "cose" });
  await attachEnvelopes(registry, t.namespace, described(manifest), [{ mediaType: envelopes.cose, blob }]);
  const source = await t.ready("OCIRepository", "app");
  assert.equal(conditionOf(source, "SourceVerified")?.message, `verified signature of revision latest@${digest}`);
  await t.ready("Kustomization", "shop", digest);
});
