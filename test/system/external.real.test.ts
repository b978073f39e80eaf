/** An artifact that somebody else makes, from its producer's word to objects, on one `flotilla up`. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { eventually } from "../../deploy/local/eventually.ts";
import { ownCluster } from "../kit/cluster.ts";
import { runCommand } from "./flotilla.ts";
import { pathOf } from "./kube.ts";
import { configMap, file } from "./objects.ts";
import { startSystem } from "./system.ts";
import { conditionOf, type Tenant } from "./tenant.ts";

const { kubeconfig, auditLog } = await ownCluster();
const system = await startSystem({ kubeconfig, auditLog });
const served = new Map<string, Buffer>();
let downloads = 0;
const server = createServer((request, response) => {
  downloads++;
  const body = served.get(request.url ?? "");
  response.writeHead(body ? 200 : 404).end(body);
});
await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
after(async () => {
  await system.close();
  server.close().closeAllConnections();
});

/** As a third party's controller does it. */
async function publish(t: Tenant, n: string, more: object = {}): Promise<string> {
  const tar = pack();
  tar.entry({ name: "shop/a.yaml" }, file(configMap("a", { n })));
  tar.finalize();
  const bytes = gzipSync(await buffer(tar));
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  const path = `/${t.namespace}/${digest.slice(7)}.tar.gz`;
  served.set(path, bytes);
  const artifact = { url: `${base}${path}`, path: path.slice(1), revision: `v${n}@${digest}`, digest, lastUpdateTime: "2026-01-01T00:00:00Z", size: bytes.length, ...more };
  const condition = { type: "Ready", status: "True", reason: "Succeeded", message: "Artifact is ready", lastTransitionTime: "2026-01-01T00:00:00Z" };
  await system.kube.merge(`${pathOf("ExternalArtifact", t.namespace, "app")}/status`, { status: { artifact, conditions: [condition] } });
  return artifact.revision;
}

test("[EX1] [EX2] [EX3] [EX6] what somebody else publishes is applied, at once when it changes; the object stays its producer's", async () => {
  const t = await system.tenant();
  await t.create("ExternalArtifact", "app", { spec: { sourceRef: { apiVersion: "build.example.com/v1", kind: "Package", name: "shop" } } });
  for (const name of ["shop", "other"]) await t.unit(name, { sourceRef: { kind: "ExternalArtifact", name: "app" }, path: "shop", ...(name === "other" && { prune: false }) });
  assert.match(conditionOf(await t.failing("Kustomization", "shop", "ArtifactFailed"), "Ready")?.message ?? "", /Source artifact not found/);
  downloads = 0;
  const first = await publish(t, "1");
  for (const name of ["shop", "other"]) assert.equal((await t.ready("Kustomization", name)).status?.lastAppliedRevision, first);
  assert.equal(downloads, 1, "two units, one download");
  assert.equal((await t.get("ConfigMap", "a")).data?.["n"], "1");
  const second = await publish(t, "2");
  await t.ready("Kustomization", "shop", second);
  assert.equal((await t.get("ConfigMap", "a")).data?.["n"], "2");

  const object = await t.get("ExternalArtifact", "app");
  assert.equal(object.metadata.finalizers, undefined);
  assert.deepEqual(Object.keys(object.status ?? {}).sort(), ["artifact", "conditions"]);
  assert.deepEqual((object.status?.conditions ?? []).map(({ message }) => message), ["Artifact is ready"]);
  const got = await runCommand(["get", "sources", "external", "-n", t.namespace, "--kubeconfig", system.kubeconfig]);
  assert.match(got.stdout, /app\s+v2@sha256:[0-9a-f]{8}\s+False\s+True\s+Artifact is ready/, got.stderr);
  const refused = await runCommand(["reconcile", "source", "external", "app", "-n", t.namespace, "--kubeconfig", system.kubeconfig]);
  assert.match(refused.stderr, /their producer's/);

  await t.remove("ExternalArtifact", "app");
  await t.untilGone("ExternalArtifact", "app");
  await eventually("the unit knows", async () => { // its worker hears of the deletion by a watch
    await t.request("Kustomization", "shop");
    return conditionOf(await t.get("Kustomization", "shop"), "Ready")?.reason === "ArtifactFailed";
  });
  assert.equal((await t.get("ConfigMap", "a")).data?.["n"], "2", "nothing is pruned for that");
});

test("[EX4] an offer that lies is told where it is made and where it is consumed, and what was applied stays", async () => {
  const t = await system.tenant();
  await t.create("ExternalArtifact", "app", {});
  await t.unit("shop", { sourceRef: { kind: "ExternalArtifact", name: "app" } });
  await publish(t, "1", { digest: `sha256:${"0".repeat(64)}` });
  await t.untilTold("ExternalArtifact", "app", "Warning", "OCIArtifactPullFailed", /is not sha256:0000/);
  await t.request("Kustomization", "shop");
  await eventually("the unit says why", async () => /is not sha256:0000/.test(conditionOf(await t.get("Kustomization", "shop"), "Ready")?.message ?? ""));
  const good = await publish(t, "2");
  await t.ready("Kustomization", "shop", good);
  await publish(t, "3", { url: "http://127.0.0.1:1/" });
  await t.untilTold("ExternalArtifact", "app", "Warning", "GitOperationFailed", /connection refused/);
  assert.equal((await t.ready("Kustomization", "shop")).status?.lastAppliedRevision, good);
});
