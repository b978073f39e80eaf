/** `build` and `diff` with the real renderer and a real API server. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { helmProgram } from "#services/render/helm/program.ts";
import { buildWasm } from "#services/render/wasm-file.ts";
import { make } from "#services/release/make.ts";
import { apply } from "#services/cluster/apply.ts";
import { foresee } from "#services/cluster/foresee.ts";
import { configMap, openBed } from "#services/cluster/sample-objects.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { ownCluster } from "../../test/kit/cluster.ts";
import { FakeShell } from "./fake-shell.ts";
import { main } from "./main.ts";
import { terminalShell, type Shell } from "./shell.ts";

await buildWasm(() => {});
await buildWasm(() => {}, process.env, helmProgram);
const real = await ownCluster();
const bed = await openBed(real.kubeconfig);
const folder = mkdtempSync(join(tmpdir(), "flotilla-diff-"));
const charts = mkdtempSync(join(tmpdir(), "flotilla-chart-"));
after(() => {
  for (const made of [folder, charts]) rmSync(made, { recursive: true, force: true });
  return bed.close();
});

/** kubectl's own wait fails for one that has no status yet. */
async function define(name: string): Promise<void> {
  await real.kubectl(["apply", "--server-side", "-f", join(import.meta.dirname, `../../deploy/crds/${name}.yaml`)]);
  await eventually(name, async () => {
    const { conditions = [] } = ((await bed.read(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`))["status"] ?? {}) as { conditions?: { type: string; status: string }[] };
    return conditions.some(({ type, status }) => type === "Established" && status === "True");
  });
}

async function run(argv: string[]) {
  const fake = new FakeShell();
  const { openCluster, openBuilder } = terminalShell({});
  const shell: Shell = Object.assign(Object.create(fake) as FakeShell, { openCluster, openBuilder, print: fake.print, say: fake.say });
  const code = await main(argv, shell);
  return { code, stdout: fake.stdout, stderr: fake.stderr };
}

test("[CL34] diff sees what an apply would create, change and delete, writes nothing, and falls silent after the apply", async () => {
  const namespace = await real.namespace("diff");
  const owner = { name: "shop", namespace };
  const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "key", namespace }, data: { word: "b2xk" } };
  const before = await apply(bed.call(owner, [configMap(namespace, "kept", { a: "1", b: "2" }), configMap(namespace, "same", { a: "1" }), configMap(namespace, "gone"), secret]));
  assert.equal(before.fault, undefined);

  const manifests = [
    configMap(namespace, "kept", { a: "new", c: "3" }), configMap(namespace, "same", { a: "1" }), configMap(namespace, "fresh"), { ...secret, data: { word: "bmV3" } },
    { apiVersion: "v1", kind: "Namespace", metadata: { name: `${namespace}-inner` } }, configMap(`${namespace}-inner`, "inside"),
  ];
  writeFileSync(join(folder, "all.yaml"), manifests.map((object) => `---\n${JSON.stringify(object)}\n`).join(""));
  await define("kustomizations.kustomize.toolkit.fluxcd.io");
  const unit = { apiVersion: "kustomize.toolkit.fluxcd.io/v1", kind: "Kustomization", metadata: { name: "shop", namespace }, spec: { interval: "1h", prune: true, sourceRef: { kind: "GitRepository", name: "shop" } } };
  await real.kubectl(["create", "-f", "-"], JSON.stringify(unit));
  const status = { inventory: { entries: before.entries.map(({ id, v }) => ({ id, v })) } };
  await real.kubectl(["patch", "kustomization", "shop", "-n", namespace, "--subresource=status", "--type=merge", "-p", JSON.stringify({ status })]);

  const argv = ["diff", "ks", "shop", "-n", namespace, "--path", folder, "--kubeconfig", real.kubeconfig];
  const { code, stdout, stderr } = await run(argv);
  assert.deepEqual([code, stderr], [1, ""]);
  assert.equal(stdout, `> Namespace/${namespace}-inner created
> ConfigMap/${namespace}/fresh created
> ConfigMap/${namespace}/kept changed
    /data/a: "1" -> "new"
    /data/c: (none) -> "3"
    /data/b: "2" -> (none)
> ConfigMap/${namespace}-inner/inside created
> Secret/${namespace}/key changed
    /data/word: "***** (before)" -> "***** (after)"
> ConfigMap/${namespace}/gone deleted
`);
  await assert.rejects(bed.read(`/api/v1/namespaces/${namespace}/configmaps/fresh`));
  assert.deepEqual((await bed.read(`/api/v1/namespaces/${namespace}/configmaps/kept`))["data"], { a: "1", b: "2" });

  const built = await run(["build", ...argv.slice(1)]);
  assert.equal(built.code, 0);
  assert.equal(built.stdout.split("---\n").length - 1, manifests.length);
  assert.doesNotMatch(built.stdout, /bmV3/);

  const applied = await apply(bed.call(owner, manifests, { inventory: before.entries }));
  assert.equal(applied.fault, undefined);
  await real.kubectl(["delete", "configmap", "gone", "-n", namespace]);
  assert.deepEqual(await run(argv), { code: 0, stdout: "", stderr: "nothing differs\n" });
});

test("[CL42] diff of a release sees what its next revision would create, change and delete, writes nothing, and falls silent after it", async () => {
  const namespace = await real.namespace("diff");
  const chart = join(charts, "shop");
  const put = (path: string, text: string) => {
    mkdirSync(dirname(join(chart, path)), { recursive: true });
    writeFileSync(join(chart, path), text);
  };
  const map = (name: string, data: object) => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data });
  put("Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\n");
  put("values.yaml", "size: small\n");
  put("templates/all.yaml", [map("kept", { size: "{{ .Values.size }}" }), map("fresh", {})].map((object) => `---\n${JSON.stringify(object)}\n`).join(""));
  put("templates/hook.yaml", JSON.stringify({ ...map("hook", {}), metadata: { name: "hook", annotations: { "helm.sh/hook": "pre-upgrade" } } }));

  const origin = { "helm.toolkit.fluxcd.io/name": "shop", "helm.toolkit.fluxcd.io/namespace": namespace };
  const marked = (object: { metadata: object }, more: object = {}) => ({ ...object, metadata: { ...object.metadata, labels: origin, ...more } });
  const place = { name: "shop", namespace, storageNamespace: namespace };
  const call = { cluster: bed.handle, place, guard() {}, signal: bed.stop.signal, intent: "one", origin: { name: "shop", namespace } };
  const before = [map("kept", { size: "small" }), map("gone", {}), map("spared", {})].map((object) => marked(object, object.metadata.name === "spared" ? { annotations: { "helm.sh/resource-policy": "keep" } } : {}));
  const manifest = before.map((object) => `---\n${JSON.stringify(object)}\n`).join("");
  const options = { timeoutMs: 60_000, hooks: true, wait: "hooks", jobs: true, serverSide: true, force: false, cleanupOnFail: false, takeOwnership: true, replace: false, maxHistory: 5 } as const;
  const acted = await make(call, { action: "install", version: 1, composition: { chart: { metadata: { name: "shop", version: "1.0.0" } }, manifest }, definitions: { files: [], policy: "Create" }, createNamespace: false }, options);
  assert.equal(acted.fault, undefined);

  await define("helmreleases.helm.toolkit.fluxcd.io");
  const unit = { apiVersion: "helm.toolkit.fluxcd.io/v2", kind: "HelmRelease", metadata: { name: "shop", namespace }, spec: { interval: "1h", chartRef: { kind: "OCIRepository", name: "shop" }, values: { size: "large" } } };
  await real.kubectl(["create", "-f", "-"], JSON.stringify(unit));
  const snapshot = { digest: "sha256:0", name: "shop", namespace, version: 1, status: "deployed", chartName: "shop", chartVersion: "1.0.0", configDigest: "sha256:0", firstDeployed: "2026-01-01T00:00:00Z", lastDeployed: "2026-01-01T00:00:00Z" };
  await real.kubectl(["patch", "helmrelease", "shop", "-n", namespace, "--subresource=status", "--type=merge", "-p", JSON.stringify({ status: { history: [snapshot] } })]);

  const argv = ["diff", "helmrelease", "shop", "-n", namespace, "--path", chart, "--kubeconfig", real.kubeconfig];
  const { code, stdout, stderr } = await run(argv);
  assert.deepEqual([code, stderr], [1, ""]);
  assert.equal(stdout, `> ConfigMap/${namespace}/fresh created
> ConfigMap/${namespace}/kept changed
    /data/size: "small" -> "large"
> ConfigMap/${namespace}/gone deleted
`);
  await assert.rejects(bed.read(`/api/v1/namespaces/${namespace}/configmaps/fresh`));

  const next = [map("kept", { size: "large" }), map("fresh", {})].map((object) => `---\n${JSON.stringify(marked(object))}\n`).join("");
  const upgraded = await make({ ...call, intent: "two" }, { action: "upgrade", version: 2, composition: { chart: { metadata: { name: "shop", version: "1.0.0" } }, manifest: next }, definitions: { files: [], policy: "Create" }, createNamespace: false }, options);
  assert.equal(upgraded.fault, undefined);
  assert.deepEqual(await run(argv), { code: 0, stdout: "", stderr: "nothing differs\n" });
});

test("[CL34] diff sees what an apply would take from kubectl, and not what is left to others", async () => {
  const namespace = await real.namespace("diff");
  const owner = { name: "shop", namespace };
  const call = bed.call(owner, [configMap(namespace, "edited", { a: "1" })]);
  await apply(call);
  const at = `/api/v1/namespaces/${namespace}/configmaps/edited`;
  await bed.edit(at, { data: { extra: "mine" } }, "kubectl-edit");
  await bed.edit(at, { data: { other: "theirs" } }, "controller");
  const [found] = await foresee({ ...call, prune: true });
  assert.ok(found?.action === "changed");
  assert.deepEqual(found.fields, [{ path: ["data", "extra"], is: "mine", wanted: undefined }]);
});

test("[CL35] what the server refuses is named, beside the differences of the rest", async () => {
  const namespace = await real.namespace("diff");
  const manifests = [configMap(namespace, "fine"), { ...configMap(namespace, "wrong"), data: { a: 1 } }];
  writeFileSync(join(folder, "all.yaml"), manifests.map((object) => `---\n${JSON.stringify(object)}\n`).join(""));
  const unit = { apiVersion: "kustomize.toolkit.fluxcd.io/v1", kind: "Kustomization", metadata: { name: "shop" }, spec: { interval: "1h", prune: true, sourceRef: { kind: "GitRepository", name: "shop" } } };
  const file = join(mkdtempSync(join(folder, "unit-")), "shop.json");
  writeFileSync(file, JSON.stringify(unit));
  const { code, stdout, stderr } = await run(["diff", "ks", "shop", "-n", namespace, "--path", folder, "--ignore-paths", "unit-*", "--kustomization-file", file, "--kubeconfig", real.kubeconfig]);
  assert.equal(code, 2);
  assert.equal(stdout, `> ConfigMap/${namespace}/fine created\n`);
  assert.match(stderr, /^✗ ConfigMap\/.*\/wrong: dry-run failed/);
});
