import assert from "node:assert/strict";
import { join } from "node:path";
import test, { before } from "node:test";
import { kinds } from "#protocol/api/registry.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { cluster, type Cluster } from "../kit/cluster.ts";
import { samples, stored, type Sample } from "./samples.ts";

// The API server is the oracle of what our definitions mean, and kubectl shows them as a user sees them. The cluster is
// shared: what is only to be judged is sent as a dry run, and what is stored is suspended, so that nobody acts on it.
let shared: Cluster;
let namespace: string;

before(async () => {
  shared = await cluster();
  const folder = join(import.meta.dirname, "../../deploy/crds");
  await shared.kubectl(["apply", "--server-side", "--force-conflicts", "-k", folder]);
  for (const { group, plural } of kinds)
    await eventually(`${plural} served`, () => shared.kubectl(["get", `${plural}.${group}`, "-A"]).then(() => true));
  namespace = await shared.namespace("crd");
});

const create = (object: object, ...args: string[]) =>
  shared.kubectl(["create", "-n", namespace, "-o", "json", ...args, "-f", "-"], JSON.stringify(object));
const judge = (object: object) => create(object, "--dry-run=server", "--validate=strict");
const kindNamed = (name: string) => kinds.find(({ kind }) => kind === name) ?? assert.fail(name);
const sampleOf = (kind: string, name: string) =>
  samples.find((sample) => sample.kind === kind && sample.metadata.name === name) ?? assert.fail(`${kind} ${name}`);

test("[API1] the API server finds nothing to object to in the schemas", async () => {
  type Crd = { status: { conditions: { type: string; status: string }[]; storedVersions: string[] } };
  for (const { plural, group, versions } of kinds) {
    const { status } = await shared.get<Crd>("crd", `${plural}.${group}`);
    const isBad = ({ type, status }: { type: string; status: string }) =>
      type === "NonStructuralSchema" ? status === "True" : status !== "True";
    assert.deepEqual(status.conditions.filter(isBad), []);
    assert.deepEqual(status.storedVersions, versions.filter(({ storage }) => storage).map(({ name }) => name));
  }
});

for (const sample of samples)
  test(`[API2] ${sample.kind} ${sample.metadata.name}: strictly valid, and defaulted as we do`, async () => {
    const { parse } = kindNamed(sample.kind);
    const accepted = JSON.parse(await judge(sample));
    const ours = parse(stored(sample));
    assert.deepEqual(parse(stored(accepted)).spec, ours.spec);
    if (sample.apiVersion === kindNamed(sample.kind).apiVersion) assert.deepEqual(accepted.spec, ours.spec);
  });

for (const { kind, name } of [
  { kind: "GitRepository", name: "private-branch" },
  { kind: "Kustomization", name: "whole-build" },
])
  test(`[API15] a stored ${kind} has a status that says that nobody has seen it`, async () => {
    const found = JSON.parse(await create(sampleOf(kind, name)));
    assert.deepEqual(found.status, { observedGeneration: -1 });
    assert.deepEqual(kindNamed(kind).parse(found).status, found.status);
  });

for (const sample of samples.filter(({ kind, apiVersion }) => apiVersion !== kindNamed(kind).apiVersion))
  test(`[API5] ${sample.kind} ${sample.metadata.name}: its old version is served with a warning, and what that alone had is not stored`, async () => {
    const { plural, group, versions, apiVersion: stored } = kindNamed(sample.kind);
    const version = sample.apiVersion.slice(group.length + 1);
    const { formerSpecFields = {}, formerFields = {} } = versions.find(({ name }) => name === version) ?? assert.fail(version);
    const former = Object.keys(formerSpecFields);
    assert.ok(former.every((name) => name in sample.spec));

    await create(sample);
    const address = [`${plural}.${version}.${group}`, sample.metadata.name, "-n", namespace];
    const found = await shared.get<Sample>(...address);
    assert.equal(found.apiVersion, sample.apiVersion);
    assert.deepEqual(
      former.filter((name) => name in found.spec),
      [],
    );
    for (const name of Object.values(formerFields).flatMap((fields) => Object.keys(fields)))
      assert.ok(!JSON.stringify(found.spec).includes(`"${name}"`), name);

    const warned = await shared.kubectl(["get", "--warnings-as-errors", ...address]).then(
      () => "",
      (error: Error) => error.message,
    );
    assert.match(warned, new RegExp(`${version} ${sample.kind} is deprecated, use ${stored.slice(group.length + 1)}`));
    for (const name of former) assert.ok(warned.includes(`spec.${name}`), name);
  });

test("[API9] kubectl knows short names and categories, and prints Flux's columns", async () => {
  const lines = async (...args: string[]) => (await shared.kubectl(["get", "-n", namespace, ...args])).split("\n");
  assert.deepEqual((await lines("gitrepo"))[0]?.trim().split(/\s+/), ["NAME", "URL", "AGE", "READY", "STATUS"]);
  assert.deepEqual((await lines("ks"))[0]?.trim().split(/\s+/), ["NAME", "AGE", "READY", "STATUS"]);

  const source = "gitrepository.source.toolkit.fluxcd.io/private-branch";
  const applier = "kustomization.kustomize.toolkit.fluxcd.io/whole-build";
  const members = {
    all: [source, applier],
    fluxcd: [source, applier],
    "fluxcd-sources": [source],
    "fluxcd-appliers": [applier],
  };
  for (const [category, names] of Object.entries(members)) {
    const found = await lines(category, "-o", "name");
    assert.deepEqual(
      [source, applier].filter((name) => found.includes(name)),
      names,
      category,
    );
  }
});

test("[API9] the Ready condition shows in the columns; writing it changes no spec and no generation", async () => {
  type Found = { metadata: { generation: number }; spec: object };
  const name = ["gitrepo", "private-branch", "-n", namespace];
  const before = await shared.get<Found>(...name);
  const lastTransitionTime = "2026-01-02T03:04:05Z";
  const ready = { type: "Ready", status: "True", reason: "Succeeded", message: "stored", lastTransitionTime };
  const change = JSON.stringify({ spec: { interval: "7m" }, status: { conditions: [ready] } });
  await shared.kubectl(["patch", ...name, "--subresource=status", "--type=merge", "-p", change]);
  const after = await shared.get<Found>(...name);
  assert.deepEqual(after.spec, before.spec);
  assert.equal(after.metadata.generation, before.metadata.generation);
  assert.match(await shared.kubectl(["get", ...name, "--no-headers"]), /\sTrue\s+stored\s*$/);
});

const git = { url: "https://git.example.com/team/shop.git", interval: "1m" };
const artifact = { url: "oci://registry.example.com/a", interval: "1m" };
const storage = { bucketName: "shop", endpoint: "s3.example.com", interval: "1m" };
const generated = { sources: [{ alias: "repo", kind: "GitRepository", name: "a" }], artifacts: [{ name: "a", copy: [{ from: "@repo/", to: "@artifact/" }] }] };
const unit = { sourceRef: { kind: "GitRepository", name: "shop" }, interval: "10m", prune: true };
const release = { chartRef: { kind: "OCIRepository", name: "shop" }, interval: "10m" };
const chart = { chart: "shop", sourceRef: { kind: "HelmRepository", name: "charts" } };
const image = { image: "registry.example.com/a", interval: "5m" };
const update = { interval: "10m", sourceRef: { kind: "GitRepository", name: "a" }, git: { commit: { author: { email: "a@b.c" } } } };
const policy = { imageRepositoryRef: { name: "a" }, policy: { numerical: {} } };
const ref = { name: "a" };

type Refused = { field: string; spec: object; /** Only the API server evaluates CEL. */ rule?: true };
const refused: Record<string, Refused[]> = {
  GitRepository: [
    { field: "spec.url", spec: { interval: "1m" } },
    { field: "spec.url", spec: { ...git, url: "git@git.example.com:team/shop.git" } },
    { field: "spec.interval", spec: { ...git, interval: "1d" } },
    { field: "spec.interval", spec: { ...git, interval: 60 } },
    { field: "spec.timeout", spec: { ...git, timeout: "1h" } },
    { field: "spec.provider", spec: { ...git, provider: "other" } },
    { field: "spec.verify.mode", spec: { ...git, verify: { mode: "tag", secretRef: ref } } },
    { field: "spec.verify.secretRef", spec: { ...git, verify: { mode: "Tag" } } },
    { field: "spec.include[0].repository", spec: { ...git, include: [{ toPath: "a" }] } },
    { field: "spec", spec: { ...git, serviceAccountName: "a" }, rule: true },
    { field: "spec", spec: { ...git, serviceAccountName: "a", provider: "github" }, rule: true },
  ],
  OCIRepository: [
    { field: "spec.url", spec: { ...artifact, url: "https://registry.example.com/a" } },
    { field: "spec.interval", spec: { url: artifact.url } },
    { field: "spec.timeout", spec: { ...artifact, timeout: "1h" } },
    { field: "spec.provider", spec: { ...artifact, provider: "github" } },
    { field: "spec.layerSelector.operation", spec: { ...artifact, layerSelector: { operation: "move" } } },
    { field: "spec.verify.provider", spec: { ...artifact, verify: { provider: "gpg" } } },
    { field: "spec.verify.matchOIDCIdentity[0].subject", spec: { ...artifact, verify: { matchOIDCIdentity: [{ issuer: "a" }] } } },
  ],
  Bucket: [
    { field: "spec.endpoint", spec: { bucketName: "shop", interval: "1m" } },
    { field: "spec.interval", spec: { ...storage, interval: "1d" } },
    { field: "spec.timeout", spec: { ...storage, timeout: "1h" } },
    { field: "spec.provider", spec: { ...storage, provider: "minio" } },
    { field: "spec.sts.endpoint", spec: { ...storage, sts: { provider: "ldap", endpoint: "sts.example.com" } } },
    { field: "spec.sts.provider", spec: { ...storage, sts: { provider: "oidc", endpoint: "https://sts.example.com" } } },
    { field: "spec", spec: { ...storage, provider: "gcp", sts: { provider: "ldap", endpoint: "https://sts.example.com" } }, rule: true },
    { field: "spec", spec: { ...storage, provider: "aws", sts: { provider: "ldap", endpoint: "https://sts.example.com" } }, rule: true },
    { field: "spec", spec: { ...storage, sts: { provider: "aws", endpoint: "https://sts.example.com" } }, rule: true },
    { field: "spec", spec: { ...storage, provider: "aws", sts: { provider: "aws", endpoint: "https://sts.example.com", secretRef: ref } }, rule: true },
    { field: "spec", spec: { ...storage, provider: "aws", sts: { provider: "aws", endpoint: "https://sts.example.com", certSecretRef: ref } }, rule: true },
    { field: "spec", spec: { ...storage, serviceAccountName: "a" }, rule: true },
    { field: "spec", spec: { ...storage, provider: "aws", secretRef: ref, serviceAccountName: "a" }, rule: true },
  ],
  ExternalArtifact: [
    { field: "spec.sourceRef.kind", spec: { sourceRef: { name: "a" } } },
    { field: "spec.sourceRef.name", spec: { sourceRef: { kind: "A" } } },
  ],
  ArtifactGenerator: [
    { field: "spec.sources", spec: { ...generated, sources: [] } },
    { field: "spec.artifacts", spec: { ...generated, artifacts: [] } },
    { field: "spec.sources[0].kind", spec: { ...generated, sources: [{ alias: "repo", kind: "HelmRepository", name: "a" }] } },
    { field: "spec.sources[0].alias", spec: { ...generated, sources: [{ alias: "Repo", kind: "Bucket", name: "a" }] } },
    { field: "spec.artifacts[0].copy[0].from", spec: { ...generated, artifacts: [{ name: "a", copy: [{ from: "repo/a", to: "@artifact/" }] }] } },
    { field: "spec.artifacts[0].copy[0].to", spec: { ...generated, artifacts: [{ name: "a", copy: [{ from: "@repo/a", to: "a" }] }] } },
    { field: "spec.artifacts[0].revision", spec: { ...generated, artifacts: [{ ...generated.artifacts[0], revision: "repo" }] } },
    { field: "spec", spec: { ...generated, artifacts: [{ ...generated.artifacts[0], name: "{app}" }] }, rule: true },
  ],
  Kustomization: [
    { field: "spec.prune", spec: { ...unit, prune: undefined } },
    { field: "spec.sourceRef.kind", spec: { ...unit, sourceRef: { kind: "Secret", name: "a" } } },
    { field: "spec.deletionPolicy", spec: { ...unit, deletionPolicy: "Keep" } },
    { field: "spec.targetNamespace", spec: { ...unit, targetNamespace: "a".repeat(64) } },
    { field: "spec.targetNamespace", spec: { ...unit, targetNamespace: "" } },
    { field: "spec.namePrefix", spec: { ...unit, namePrefix: "a".repeat(201) } },
    { field: "spec.buildMetadata[0]", spec: { ...unit, buildMetadata: ["managedByLabel"] } },
    {
      field: "spec.postBuild.substituteFrom[0].name",
      spec: { ...unit, postBuild: { substituteFrom: [{ kind: "Secret", name: "" }] } },
    },
    { field: "spec.decryption.provider", spec: { ...unit, decryption: { provider: "gpg" } } },
    { field: "spec.kubeConfig", spec: { ...unit, kubeConfig: {} }, rule: true },
    { field: "spec.kubeConfig", spec: { ...unit, kubeConfig: { configMapRef: ref, secretRef: ref } }, rule: true },
  ],
  HelmRelease: [
    { field: "spec.interval", spec: { chartRef: release.chartRef } },
    { field: "spec", spec: { interval: "10m" }, rule: true },
    { field: "spec", spec: { ...release, chart: { spec: chart } }, rule: true },
    { field: "spec.chart.spec.sourceRef.kind", spec: { interval: "10m", chart: { spec: { ...chart, sourceRef: { kind: "OCIRepository", name: "a" } } } } },
    { field: "spec.releaseName", spec: { ...release, releaseName: "a".repeat(54) } },
    { field: "spec.valuesFrom[0].targetPath", spec: { ...release, valuesFrom: [{ kind: "Secret", name: "a", targetPath: "a b" }] } },
    { field: "spec.valuesFrom[0].kind", spec: { ...release, valuesFrom: [{ kind: "HelmRepository", name: "a", valuesKey: "a.yaml" }] } },
    { field: "spec.valuesFrom[0].valuesKey", spec: { ...release, valuesFrom: [{ kind: "GitRepository", name: "a", valuesKey: "a b.yaml" }] } },
    { field: "spec.valuesFrom[0]", spec: { ...release, valuesFrom: [{ kind: "GitRepository", name: "a" }] }, rule: true },
    { field: "spec.valuesFrom[0]", spec: { ...release, valuesFrom: [{ kind: "ConfigMap", name: "a", namespace: "b" }] }, rule: true },
    { field: "spec.install.strategy", spec: { ...release, install: { strategy: { name: "RemediateOnFailure", retryInterval: "1m" } } }, rule: true },
    { field: "spec.driftDetection.mode", spec: { ...release, driftDetection: { mode: "on" } } },
  ],
  ImageRepository: [
    { field: "spec.image", spec: { interval: "5m" } },
    { field: "spec.interval", spec: { image: "a" } },
    { field: "spec.timeout", spec: { ...image, timeout: "1h" } },
    { field: "spec.provider", spec: { ...image, provider: "github" } },
    { field: "spec.exclusionList", spec: { ...image, exclusionList: Array(26).fill("a") } },
    { field: "spec.accessFrom.namespaceSelectors", spec: { ...image, accessFrom: {} } },
  ],
  ImageUpdateAutomation: [
    { field: "spec.interval", spec: { ...update, interval: undefined } },
    { field: "spec.sourceRef.name", spec: { ...update, sourceRef: { kind: "GitRepository" } } },
    { field: "spec.sourceRef.kind", spec: { ...update, sourceRef: { kind: "Bucket", name: "a" } } },
    { field: "spec.git.commit.author.email", spec: { ...update, git: { commit: { author: {} } } } },
    { field: "spec.git.commit.signingKey.type", spec: { ...update, git: { commit: { author: { email: "a@b.c" }, signingKey: { type: "x509", secretRef: ref } } } } },
    { field: "spec.update.strategy", spec: { ...update, update: { strategy: "Kustomize" } } },
  ],
  ImagePolicy: [
    { field: "spec.policy", spec: { imageRepositoryRef: ref } },
    { field: "spec.imageRepositoryRef.name", spec: { ...policy, imageRepositoryRef: {} } },
    { field: "spec.policy.semver.range", spec: { ...policy, policy: { semver: {} } } },
    { field: "spec.policy.numerical.order", spec: { ...policy, policy: { numerical: { order: "ASC" } } } },
    { field: "spec.digestReflectionPolicy", spec: { ...policy, digestReflectionPolicy: "Once" } },
    { field: "spec", spec: { ...policy, interval: "5m" }, rule: true },
    { field: "spec", spec: { ...policy, digestReflectionPolicy: "Always" }, rule: true },
  ],
};
for (const [name, rows] of Object.entries(refused))
  for (const { field, spec, rule } of rows)
    test(`[API4] ${name} ${JSON.stringify(spec).slice(-60)}: ${rule ? "rule" : "schema"} of ${field}`, async () => {
      const { apiVersion, parse } = kindNamed(name);
      const sample = { apiVersion, kind: name, metadata: { name: "wrong" }, spec: { ...spec } };
      const said = await judge(sample).then(
        () => "accepted",
        (error: Error) => error.message,
      );
      assert.match(said, /is invalid:/);
      assert.ok(said.includes(` ${field}: `), said);
      if (rule) return;
      assert.throws(
        () => parse(stored(sample)),
        (fault) => fault instanceof Fault && fault.detail?.startsWith(`${field}: `) === true,
      );
    });
