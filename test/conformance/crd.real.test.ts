import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { promisify } from "node:util";
import { Fault } from "#protocol/errors/fault.ts";
import { kindOf, kinds } from "#protocol/api/registry.ts";
import { startControlPlane, type ControlPlane } from "../../deploy/local/control-plane.ts";
import { kubernetesApi, type KubernetesApi } from "../../deploy/local/kubernetes-api.ts";
import { tool } from "../../deploy/local/tools.ts";
import { samples, stored, type Sample } from "./samples.ts";

// The API server is the oracle of what our definitions mean; kubectl shows them as a user sees them.
let dir: string;
let plane: ControlPlane;
let api: KubernetesApi;
let kubectl: (...args: string[]) => Promise<string>;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "flotilla-crd-"));
  plane = await startControlPlane({ dir, nodes: 0 });
  api = kubernetesApi({ url: plane.url, ca: await readFile(plane.caFile, "utf8"), token: plane.token });
  const program = await tool("kubectl");
  const run = promisify(execFile);
  kubectl = async (...args) => (await run(program, ["--kubeconfig", plane.kubeconfig, "--cache-dir", join(dir, "kubectl"), ...args])).stdout;
  await kubectl("apply", "--server-side", "-k", join(import.meta.dirname, "../../deploy/crds"));
  await kubectl("wait", "--for=condition=Established", "--timeout=30s", ...kinds.map(({ plural, group }) => `crd/${plural}.${group}`));
});

after(async () => {
  api?.close();
  await plane?.stop();
  await rm(dir, { recursive: true, force: true });
});

test("[API1] the API server finds nothing to object to in the schemas", async () => {
  for (const { plural, group } of kinds) {
    const { status } = await read(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${plural}.${group}`);
    const unmet = status.conditions.filter((condition: { type: string; status: string }) =>
      condition.type === "NonStructuralSchema" ? condition.status === "True" : condition.status !== "True");
    assert.deepEqual(unmet, []);
    assert.deepEqual(status.storedVersions, ["v1"]);
  }
});

test("[API2] every sample is accepted with strict validation, and read back whole with the same defaults we give", async () => {
  for (const sample of samples) {
    const created = await api.call("POST", `${collection(sample)}?fieldValidation=Strict`, sample);
    assert.equal(created.status, 201, created.body);
    const kind = kindOf(sample.kind.toLowerCase());
    const found = await read(`/apis/${kind?.apiVersion}/namespaces/default/${kind?.plural}/${sample.metadata.name}`);
    const ours = kind?.parse(stored({ ...sample, apiVersion: found.apiVersion }));
    assert.deepEqual(found.spec, JSON.parse(JSON.stringify(ours?.spec)), sample.metadata.name);
    assert.deepEqual(found.status, { observedGeneration: -1 });
    assert.deepEqual(kind?.parse(found).spec, found.spec);
  }
});

test("[API5] v1beta2 is served with a warning that says what to do, and what it had alone is not stored", async () => {
  const old = samples.filter(({ apiVersion }) => apiVersion.endsWith("v1beta2"));
  assert.equal(old.length, kinds.length);
  for (const { kind, metadata } of old) {
    const { plural, group, versions } = kinds.find((one) => one.kind === kind) ?? assert.fail(kind);
    const found = await read(`/apis/${group}/v1beta2/namespaces/default/${plural}/${metadata.name}`);
    const former = Object.keys(versions.find(({ name }) => name === "v1beta2")?.formerSpecFields ?? {});
    assert.deepEqual(former.filter((name) => name in found.spec), []);
    const said = await kubectlStderr("get", `${plural}.v1beta2.${group}`, metadata.name);
    assert.match(said, new RegExp(`Warning: v1beta2 ${kind} is deprecated, use v1`));
  }
});

test("[API9] kubectl knows short names and categories, and prints Flux's columns", async () => {
  const columns = async (...names: string[]) => (await kubectl("get", ...names)).split("\n")[0]?.split(/\s+/).filter(Boolean);
  assert.deepEqual(await columns("gitrepo"), ["NAME", "URL", "AGE", "READY", "STATUS"]);
  assert.deepEqual(await columns("ks"), ["NAME", "AGE", "READY", "STATUS"]);
  assert.match(await kubectl("get", "fluxcd-sources", "-o", "name"), /^gitrepository\.source\.toolkit\.fluxcd\.io\/smallest$/m);
  assert.match(await kubectl("get", "fluxcd-appliers", "-o", "name"), /^kustomization\.kustomize\.toolkit\.fluxcd\.io\/smallest$/m);
  for (const category of ["all", "fluxcd"]) assert.match(await kubectl("get", category, "-o", "name"), /gitrepository[^]*kustomization/);
});

test("[API9] the Ready condition of the status subresource appears in the columns", async () => {
  const condition = { type: "Ready", status: "True", reason: "Succeeded", message: "stored", lastTransitionTime: "2026-01-02T03:04:05Z" };
  const path = "/apis/source.toolkit.fluxcd.io/v1/namespaces/default/gitrepositories/smallest";
  const object = await read(path);
  const written = await api.call("PUT", `${path}/status`, { ...object, spec: {}, status: { observedGeneration: 1, conditions: [condition] } });
  assert.equal(written.status, 200, written.body);
  assert.match(await kubectl("get", "gitrepo", "smallest", "--no-headers"), /True\s+stored\s*$/);
  const after = await read(path);
  assert.deepEqual(after.spec, object.spec, "the status subresource changes no spec");
  assert.equal(after.metadata.generation, object.metadata.generation, "nor the generation");
});

const git = { url: "https://git.example.com/team/shop.git", interval: "1m" };
const unit = { sourceRef: { kind: "GitRepository", name: "shop" }, interval: "10m", prune: true };
const refused: { kind: string; field: string; spec: object; /** Only the API server evaluates CEL. */ rule?: true }[] = [
  { kind: "GitRepository", field: "spec.url", spec: { interval: "1m" } },
  { kind: "GitRepository", field: "spec.url", spec: { ...git, url: "git@git.example.com:team/shop.git" } },
  { kind: "GitRepository", field: "spec.interval", spec: { ...git, interval: "1d" } },
  { kind: "GitRepository", field: "spec.interval", spec: { ...git, interval: 60 } },
  { kind: "GitRepository", field: "spec.timeout", spec: { ...git, timeout: "1h" } },
  { kind: "GitRepository", field: "spec.provider", spec: { ...git, provider: "other" } },
  { kind: "GitRepository", field: "spec.verify.mode", spec: { ...git, verify: { mode: "tag", secretRef: { name: "a" } } } },
  { kind: "GitRepository", field: "spec.verify.secretRef", spec: { ...git, verify: { mode: "Tag" } } },
  { kind: "GitRepository", field: "spec.include[0].repository", spec: { ...git, include: [{ toPath: "a" }] } },
  { kind: "GitRepository", field: "spec", spec: { ...git, serviceAccountName: "a" }, rule: true },
  { kind: "GitRepository", field: "spec", spec: { ...git, serviceAccountName: "a", provider: "github" }, rule: true },
  { kind: "Kustomization", field: "spec.prune", spec: { ...unit, prune: undefined } },
  { kind: "Kustomization", field: "spec.sourceRef.kind", spec: { ...unit, sourceRef: { kind: "Secret", name: "a" } } },
  { kind: "Kustomization", field: "spec.deletionPolicy", spec: { ...unit, deletionPolicy: "Keep" } },
  { kind: "Kustomization", field: "spec.targetNamespace", spec: { ...unit, targetNamespace: "a".repeat(64) } },
  { kind: "Kustomization", field: "spec.targetNamespace", spec: { ...unit, targetNamespace: "" } },
  { kind: "Kustomization", field: "spec.namePrefix", spec: { ...unit, namePrefix: "a".repeat(201) } },
  { kind: "Kustomization", field: "spec.buildMetadata[0]", spec: { ...unit, buildMetadata: ["managedByLabel"] } },
  { kind: "Kustomization", field: "spec.postBuild.substituteFrom[0].name", spec: { ...unit, postBuild: { substituteFrom: [{ kind: "Secret", name: "" }] } } },
  { kind: "Kustomization", field: "spec.decryption.provider", spec: { ...unit, decryption: { provider: "gpg" } } },
  { kind: "Kustomization", field: "spec.kubeConfig", spec: { ...unit, kubeConfig: {} }, rule: true },
  { kind: "Kustomization", field: "spec.kubeConfig", spec: { ...unit, kubeConfig: { configMapRef: { name: "a" }, secretRef: { name: "a" } } }, rule: true },
];
for (const { kind: name, field, spec, rule } of refused)
  test(`[API4] ${name} ${JSON.stringify(spec).slice(0, 100)}: the API server names ${field}${rule ? "" : ", and so do we"}`, async () => {
    const kind = kinds.find((one) => one.kind === name) ?? assert.fail(name);
    const sample: Sample = { apiVersion: kind.apiVersion, kind: name, metadata: { name: "wrong", namespace: "default" }, spec: { ...spec } };
    const answer = await api.call("POST", collection(sample), sample);
    assert.equal(answer.status, 422, answer.body);
    const causes: { field: string }[] = JSON.parse(answer.body).details.causes;
    assert.ok(causes.some((cause) => cause.field === field), JSON.stringify(causes));
    if (rule) return;
    assert.throws(() => kind.parse(stored(sample)), (fault) => {
      assert.ok(fault instanceof Fault);
      assert.ok(fault.detail?.startsWith(`${field}: `), fault.detail);
      return true;
    });
  });

function collection({ apiVersion, kind, metadata }: Sample): string {
  return `/apis/${apiVersion}/namespaces/${metadata.namespace}/${kindOf(kind.toLowerCase())?.plural}`;
}

async function read(path: string) {
  const { status, body } = await api.call("GET", path);
  assert.equal(status, 200, body);
  return JSON.parse(body);
}

async function kubectlStderr(...args: string[]): Promise<string> {
  const program = await tool("kubectl");
  return (await promisify(execFile)(program, ["--kubeconfig", plane.kubeconfig, "--cache-dir", join(dir, "kubectl"), ...args])).stderr;
}
