/** A repository of many apps, split into artifacts of one each, on one `flotilla up`. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, test } from "node:test";
import { eventually } from "../../deploy/local/eventually.ts";
import { ownCluster } from "../kit/cluster.ts";
import { runCommand } from "./flotilla.ts";
import { pathOf, type KubeObject } from "./kube.ts";
import { configMap, file } from "./objects.ts";
import { startSystem } from "./system.ts";
import { conditionOf, type Tenant } from "./tenant.ts";

const { kubeconfig, auditLog } = await ownCluster();
const system = await startSystem({ kubeconfig, auditLog });
after(() => system.close());

type Offer = { revision: string; digest: string; url: string; metadata?: Record<string, string> };
const offerOf = ({ status }: KubeObject) => (status as { artifact?: Offer }).artifact;
const app = (name: string, n: string) => ({ [`apps/${name}/a.yaml`]: file(configMap(name, { n })) });

/** A repository with two apps, and a unit of each. */
async function tenant(spec: Record<string, unknown> = {}): Promise<Tenant> {
  const t = await system.tenant();
  await t.push({ ...app("shop", "1"), ...app("web", "1") });
  await t.source();
  await t.create("ArtifactGenerator", "split", {
    spec: { sources: [{ alias: "repo", kind: "GitRepository", name: "app" }], artifacts: ["shop", "web"].map((name) => ({ name, copy: [{ from: `@repo/apps/${name}/**`, to: "@artifact/" }] })), ...spec },
  });
  return t;
}

test("[AG1] [AG2] [AG13] [AG31] a repository is split: a commit to one app reconciles that app alone", async () => {
  const t = await tenant({ commonMetadata: { labels: { team: "apps" }, annotations: { owner: "ada" } } });
  for (const name of ["shop", "web"]) await t.unit(name, { sourceRef: { kind: "ExternalArtifact", name }, path: "./" });
  const generator = await t.ready("ArtifactGenerator", "split");
  assert.deepEqual(generator.metadata.finalizers, ["source.extensions.fluxcd.io/finalizer"]);
  const status = generator.status as unknown as { inventory?: { name: string; digest: string; filename: string }[]; observedSourcesDigest?: string };
  assert.equal(conditionOf(generator, "Ready")?.message, "reconciliation succeeded, generated 2 artifact(s)");
  assert.deepEqual(status.inventory?.map(({ name }) => name), ["shop", "web"]);
  assert.match(status.observedSourcesDigest ?? "", /^sha256:[0-9a-f]{64}$/);
  const [shop, web] = [await t.ready("Kustomization", "shop"), await t.ready("Kustomization", "web")];
  const offered = await t.get("ExternalArtifact", "shop");
  const { revision, digest, url } = offerOf(offered) ?? assert.fail("no artifact");
  assert.equal(revision, `latest@${digest}`);
  assert.equal(shop.status?.lastAppliedRevision, revision);
  assert.deepEqual([offered.metadata.labels?.["app.kubernetes.io/managed-by"], offered.metadata.labels?.["source.extensions.fluxcd.io/generator"], offered.metadata.labels?.["team"], offered.metadata.annotations?.["owner"]], ["source-watcher", generator.metadata.uid, "apps", "ada"]);
  assert.deepEqual(offered["spec"], { sourceRef: { apiVersion: "source.extensions.fluxcd.io/v1beta1", kind: "ArtifactGenerator", name: "split", namespace: t.namespace } });
  const body = Buffer.from(await (await fetch(url)).arrayBuffer());
  assert.equal(`sha256:${createHash("sha256").update(body).digest("hex")}`, digest);

  const before = await t.get("ExternalArtifact", "web");
  await t.push(app("shop", "2"));
  await eventually("the change", async () => (await t.get("ConfigMap", "shop")).data?.["n"] === "2");
  const now = await t.get("ExternalArtifact", "web");
  assert.deepEqual([now.metadata.resourceVersion, (await t.get("Kustomization", "web")).metadata.resourceVersion], [before.metadata.resourceVersion, web.metadata.resourceVersion], "nothing was written for the other");
  const told = await t.untilTold("ArtifactGenerator", "split", "Normal", "Ready", /^external artifacts reconciled: [^/]+\/shop \(sha256:[0-9a-f]+\)$/);
  assert.equal(told.component, "source-watcher");
  const got = await runCommand(["get", "artifacts", "generators", "-n", t.namespace, "--kubeconfig", system.kubeconfig]);
  assert.match(got.stdout, /split\s.*True\s+reconciliation succeeded/, got.stderr);
});

test("[AG3] [AG5] [AG31] what is changed or deleted by hand is put back, what is no longer asked for goes, and everything goes with the generator", async () => {
  const t = await tenant();
  await t.ready("ArtifactGenerator", "split");
  const { uid } = (await t.get("ExternalArtifact", "web")).metadata;
  await t.remove("ExternalArtifact", "web");
  await eventually("it is back", async () => { const found = await t.find("ExternalArtifact", "web"); return found !== undefined && found.metadata.uid !== uid && offerOf(found) !== undefined; });
  const wanted = offerOf(await t.get("ExternalArtifact", "shop"))?.digest;
  await system.kube.merge(`${pathOf("ExternalArtifact", t.namespace, "shop")}/status`, { status: { artifact: { digest: `sha256:${"0".repeat(64)}` } } });
  await eventually("its word is put back", async () => offerOf(await t.get("ExternalArtifact", "shop"))?.digest === wanted);

  await t.edit("ArtifactGenerator", "split", { spec: { artifacts: [{ name: "both", revision: "@repo", originRevision: "@repo", copy: [{ from: "@repo/apps/", to: "@artifact/" }] }] } });
  const repo = offerOf(await t.ready("GitRepository", "app"))?.revision;
  const both = await eventually("the new one", async () => { const found = await t.find("ExternalArtifact", "both"); return found && offerOf(found) ? found : undefined; });
  assert.deepEqual([offerOf(both)?.revision, offerOf(both)?.metadata], [repo, { "org.opencontainers.image.revision": repo }]);
  await t.untilGone("ExternalArtifact", "web");
  await t.untilGone("ExternalArtifact", "shop");
  const { url } = offerOf(both) ?? assert.fail("no artifact");
  await t.remove("ArtifactGenerator", "split");
  await t.untilGone("ArtifactGenerator", "split");
  await t.untilGone("ExternalArtifact", "both");
  await eventually("its artifacts gone", async () => (await fetch(url)).status === 404);
});

test("[AG4] [AG12] [AG20] [AG30] [AG32] directories are found; what is wrong is said with Flux's reason, and what was made stays", async () => {
  const t = await tenant({ pathPattern: "@repo/apps/{app}", artifacts: [{ name: "app-{app}", copy: [{ from: "@repo/apps/{app}/**", to: "@artifact/" }] }] });
  await t.ready("ArtifactGenerator", "split");
  assert.equal((await t.get("ExternalArtifact", "app-web")).metadata.labels?.["app"], "web");
  await t.push(app("new", "1"));
  await eventually("another directory", () => t.find("ExternalArtifact", "app-new"));

  await t.edit("ArtifactGenerator", "split", { spec: { pathPattern: null, artifacts: [{ name: "x", copy: [{ from: "@repo/none", to: "@artifact/" }] }] } });
  assert.match(conditionOf(await t.failing("ArtifactGenerator", "split", "BuildFailed"), "Ready")?.message ?? "", /does not exist in the source/);
  assert.ok(await t.find("ExternalArtifact", "app-web"), "what was made stays");
  const good = { name: "x", copy: [{ from: "@repo/apps/web/", to: "@artifact/" }] };
  await t.edit("ArtifactGenerator", "split", { spec: { artifacts: [good, good] } });
  assert.equal(conditionOf(await t.failing("ArtifactGenerator", "split", "ValidationFailed"), "Stalled")?.status, "True");
  await t.edit("ArtifactGenerator", "split", { spec: { artifacts: [good], sources: [{ alias: "repo", kind: "GitRepository", name: "none" }] } });
  await t.failing("ArtifactGenerator", "split", "SourceFetchFailed");
  await t.create("ExternalArtifact", "x", { spec: { sourceRef: { kind: "Package", name: "other" } } });
  await t.edit("ArtifactGenerator", "split", { spec: { sources: [{ alias: "repo", kind: "GitRepository", name: "app" }] } });
  assert.match(conditionOf(await t.failing("ArtifactGenerator", "split", "ReconciliationFailed"), "Ready")?.message ?? "", /is made by Package\/other/);
  await t.remove("ExternalArtifact", "x");
  await t.ready("ArtifactGenerator", "split");
  await t.untilGone("ExternalArtifact", "app-web");

  await system.kube.merge(pathOf("ArtifactGenerator", t.namespace, "split"), { metadata: { annotations: { "source.extensions.fluxcd.io/reconcile": "disabled" } } });
  const revision = offerOf(await t.get("ExternalArtifact", "x"))?.digest;
  const sha = await t.push(app("web", "9"));
  await t.ready("GitRepository", "app", sha);
  assert.equal(offerOf(await t.get("ExternalArtifact", "x"))?.digest, revision);
  await system.kube.merge(pathOf("ArtifactGenerator", t.namespace, "split"), { metadata: { annotations: { "source.extensions.fluxcd.io/reconcile": null } } });
  await eventually("it goes on", async () => offerOf(await t.get("ExternalArtifact", "x"))?.digest !== revision);
});
