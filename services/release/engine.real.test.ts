/** A chart on its whole way: rendered by Helm's own engine, released here, read by the helm command. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chart, helmEngine, plainly } from "#services/render/helm/fixtures.ts";
import { lines } from "#services/render/fixtures.ts";
import { tool } from "../../deploy/local/tools.ts";
import { cluster } from "../../test/kit/cluster.ts";
import type { ReleaseDocument } from "./document.ts";
import { make } from "./make.ts";
import { parseManifest } from "./manifest.ts";
import { openBed, placeIn, usual, type Bed } from "./sample-release.ts";
import { readRevision } from "./storage.ts";

const engine = await helmEngine();
const { signal } = new AbortController();
let bed: Bed;
let namespace: string;
before(async () => {
  const real = await cluster();
  namespace = await real.namespace("engine");
  bed = await openBed(real.kubeconfig, await tool("helm"));
});
after(() => bed.close());

const files = {
  "values.yaml": lines("greeting: hello", "big: 12345678901234567890", "half: 0.5"),
  "templates/map.yaml": lines("apiVersion: v1", "kind: ConfigMap", "metadata: {name: web}", "data: {greeting: {{ .Values.greeting | quote }}, revision: \"{{ .Release.Revision }}\"}"),
  "templates/deployment.yaml": lines("apiVersion: apps/v1", "kind: Deployment", "metadata: {name: web}", "spec:", "  replicas: 1", "  selector: {matchLabels: {app: web}}", "  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: app, image: 'registry.example/app:1'}], volumes: [{name: x, configMap: {name: web, defaultMode: 0644}}]}}"),
  "templates/job.yaml": lines("apiVersion: batch/v1", "kind: Job", "metadata: {name: before, annotations: {helm.sh/hook: 'pre-install,pre-upgrade', helm.sh/hook-weight: '-1'}}", "spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: 'registry.example/job:1'}]}}}"),
  "templates/NOTES.txt": "Welcome to {{ .Release.Name }}\n",
};

async function rendered(revision: number, inline: Record<string, unknown>) {
  const values = await engine.composeValues({ sources: [], inline }, signal);
  const release = { name: "web", namespace, revision, isUpgrade: revision > 1 };
  const { document, objects } = await engine.render(plainly(await chart(files), { values, release, postRender: { origin: { name: "web", namespace } } }), signal);
  const { chart: of, config, manifest = "", hooks = [], info } = document;
  return { composition: { chart: of, config, manifest, hooks, notes: info?.notes ?? "" } as never, objects, manifest };
}

test("[RL1] a chart is rendered, released and upgraded; helm sees its values, notes and hooks, and the digest of what is stored holds", async () => {
  const place = placeIn(namespace, "web");
  for (const [version, inline] of [[1, { a: { b: [1, 1.5, "x"] }, big: 12345678901234567000 }], [2, { greeting: "bye" }]] as const) {
    const { composition } = await rendered(version, inline);
    const acted = await make(bed.call(place), { action: version === 1 ? "install" : "upgrade", version, composition, definitions: { files: [], policy: "Create" }, createNamespace: false }, usual);
    assert.equal(acted.fault, undefined);
    const stored = await readRevision(bed.call(place), version);
    const digest = async (document: ReleaseDocument | undefined) => (await engine.digest(document as never, "", signal)).digest;
    assert.equal(await digest(stored?.document), await digest(acted.written[0]?.document));
    assert.equal(stored?.document.hooks?.[0]?.last_run.phase, "Succeeded");
  }
  assert.deepEqual(JSON.parse(await bed.helm(["get", "values", "web", "--revision", "1", "-n", namespace, "-o", "json"])), { a: { b: [1, 1.5, "x"] }, big: 12345678901234567000 });
  assert.match(await bed.helm(["get", "all", "web", "-n", namespace]), /greeting: "?bye"?[\s\S]*NOTES:\nWelcome to web/);
  assert.match(await bed.helm(["get", "hooks", "web", "-n", namespace]), /kind: Job/);
  assert.deepEqual((await bed.read(`/api/v1/namespaces/${namespace}/configmaps/web`))?.["data"], { greeting: "bye", revision: "2" });
  // What helm makes of the stored chart and values is what was released.
  await bed.helm(["rollback", "web", "1", "-n", namespace, "--force-conflicts"]);
  assert.deepEqual((await bed.read(`/api/v1/namespaces/${namespace}/configmaps/web`))?.["data"], { greeting: "hello", revision: "1" });
});

test("[RL60] manifests are read as Helm's own libraries read them", async () => {
  const { manifest } = await rendered(1, {});
  const odd = lines("apiVersion: v1", "kind: ConfigMap", "metadata: {name: odd}", "data:", ...["yes", "0644", "0o17", "0x1F", "1_000", "08", "1e3", ".5", "-7", "~", "2020-01-01", "1:30", "'yes'", "Off", "n", "1.2.3", "!!str 1", "|-\n    text\n    more", ">\n    folded\n    text", "&x [a, {b: c}]", "*x"].map((value, index) => `  k${index}: ${value}`));
  for (const text of [manifest, odd, `---\n# nothing\n---\n${odd}---\n${manifest}`])
    assert.deepEqual(parseManifest(text, "x"), await engine.objects(text, undefined, signal));
});
