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
  for (const { plural, group } of kinds) {
    const { status } = await shared.get<Crd>("crd", `${plural}.${group}`);
    const isBad = ({ type, status }: { type: string; status: string }) =>
      type === "NonStructuralSchema" ? status === "True" : status !== "True";
    assert.deepEqual(status.conditions.filter(isBad), []);
    assert.deepEqual(status.storedVersions, ["v1"]);
  }
});

for (const sample of samples)
  test(`[API2] ${sample.kind} ${sample.metadata.name}: strictly valid, and defaulted as we do`, async () => {
    const { parse } = kindNamed(sample.kind);
    const accepted = JSON.parse(await judge(sample));
    const ours = parse(stored(sample));
    assert.deepEqual(parse(stored(accepted)).spec, ours.spec);
    if (sample.apiVersion.endsWith("/v1")) assert.deepEqual(accepted.spec, ours.spec);
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

for (const sample of samples.filter(({ apiVersion }) => apiVersion.endsWith("/v1beta2")))
  test(`[API5] ${sample.kind} v1beta2: served with a warning, and what it alone had is not stored`, async () => {
    const { plural, group, versions } = kindNamed(sample.kind);
    const former = Object.keys(versions.find(({ name }) => name === "v1beta2")?.formerSpecFields ?? {});
    assert.ok(former.length > 0 && former.every((name) => name in sample.spec));

    await create(sample);
    const address = [`${plural}.v1beta2.${group}`, sample.metadata.name, "-n", namespace];
    const found = await shared.get<Sample>(...address);
    assert.equal(found.apiVersion, sample.apiVersion);
    assert.deepEqual(
      former.filter((name) => name in found.spec),
      [],
    );

    const warned = await shared.kubectl(["get", "--warnings-as-errors", ...address]).then(
      () => "",
      (error: Error) => error.message,
    );
    assert.match(warned, new RegExp(`v1beta2 ${sample.kind} is deprecated, use v1`));
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
const unit = { sourceRef: { kind: "GitRepository", name: "shop" }, interval: "10m", prune: true };
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
