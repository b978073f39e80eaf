/** From a bucket to objects, on one `flotilla up`. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, test } from "node:test";
import { eventually } from "../../deploy/local/eventually.ts";
import { startS3 } from "../../deploy/local/s3-server.ts";
import { ownCluster, scratchFolder } from "../kit/cluster.ts";
import { runCommand } from "./flotilla.ts";
import { configMap, file } from "./objects.ts";
import { startSystem } from "./system.ts";
import { conditionOf, type Tenant } from "./tenant.ts";

const { kubeconfig, auditLog } = await ownCluster();
const key = { id: "AKIAFLOTILLA", secret: "correct-horse", token: "" };
const [system, s3] = await Promise.all([startSystem({ kubeconfig, auditLog }), startS3({ dir: scratchFolder(), bucket: "fleet", keys: [key] })]);
after(() => Promise.all([system.close(), s3.stop()]));

type Status = { artifact?: { revision: string; digest: string; url: string; path: string }; url?: string; observedIgnore?: string; conditions?: { type: string; status: string; reason: string }[] };
const statusOf = ({ status }: { status?: object }) => status as Status;
const typesOf = ({ conditions = [] }: Status) => conditions.map(({ type, status, reason }) => `${type}=${status} ${reason}`);
const onCluster = (t: Tenant, ...args: string[]) => runCommand([...args, "-n", t.namespace, "--kubeconfig", system.kubeconfig]);
const base64 = (text: string) => Buffer.from(text).toString("base64");

/** A tenant with keys, a source `app` of what is below its name, and a unit of it. */
async function tenant(spec: Record<string, unknown> = {}): Promise<Tenant> {
  const t = await system.tenant();
  await t.create("Secret", "keys", { data: { accesskey: base64(key.id), secretkey: base64(key.secret) } });
  await t.create("Bucket", "app", { spec: { bucketName: "fleet", endpoint: s3.host, insecure: true, prefix: `${t.namespace}/`, interval: "1h", secretRef: { name: "keys" }, ...spec } });
  await t.unit("shop", { sourceRef: { kind: "Bucket", name: "app" }, path: `${t.namespace}/shop` });
  return t;
}
const put = (t: Tenant, name: string, n: string) => s3.put(`${t.namespace}/shop/${name}`, file(configMap("a", { n })));

test("[BU1] [BU40] what lies in a bucket is published, applied, and told of as Flux tells it; the last good artifact outlives failures", async () => {
  const t = await system.tenant();
  await put(t, "a.yaml", "1");
  await s3.put(`${t.namespace}/notes.md`, "# notes");
  await t.create("Secret", "keys", { data: { accesskey: base64(key.id), secretkey: base64(key.secret) } });
  await t.create("Bucket", "app", { spec: { bucketName: "fleet", endpoint: s3.host, insecure: true, prefix: `${t.namespace}/`, interval: "1h", ignore: "*.md", secretRef: { name: "keys" } } });
  await t.unit("shop", { sourceRef: { kind: "Bucket", name: "app" }, path: `${t.namespace}/shop` });
  const source = await t.ready("Bucket", "app");
  const status = statusOf(source);
  const etag = createHash("md5").update(file(configMap("a", { n: "1" }))).digest("hex");
  const hex = createHash("sha256").update(`${t.namespace}/shop/a.yaml ${etag}\n`).digest("hex");
  assert.deepEqual(typesOf(status), ["Ready=True Succeeded", "ArtifactInStorage=True Succeeded"]);
  assert.equal(conditionOf(source, "Ready")?.message, `stored artifact: revision 'sha256:${hex}'`);
  assert.deepEqual([status.artifact?.revision, status.artifact?.path, status.observedIgnore], [`sha256:${hex}`, `bucket/${t.namespace}/app/${hex}.tar.gz`, "*.md"]);
  assert.equal((await t.untilTold("Bucket", "app", "Normal", "NewArtifact")).message, "stored artifact with 1 fetched files from 'fleet' bucket");
  assert.match(status.url ?? "", new RegExp(`/bucket/${t.namespace}/app/latest\\.tar\\.gz$`));
  for (const url of [status.url, status.artifact?.url]) {
    const body = Buffer.from(await (await fetch(url ?? "")).arrayBuffer());
    assert.equal(`sha256:${createHash("sha256").update(body).digest("hex")}`, status.artifact?.digest, url);
  }
  assert.equal((await t.ready("Kustomization", "shop")).status?.lastAppliedRevision, `sha256:${hex}`);
  assert.equal((await t.get("ConfigMap", "a")).data?.["n"], "1");

  await t.edit("Bucket", "app", { spec: { bucketName: "gone", secretRef: { name: "keys" } } });
  const failing = await t.failing("Bucket", "app", "BucketOperationFailed");
  assert.deepEqual(typesOf(statusOf(failing)).sort(), ["ArtifactInStorage=True Succeeded", "FetchFailed=True BucketOperationFailed", "Ready=False BucketOperationFailed", "Reconciling=True ProgressingWithRetry"]);
  assert.equal((await fetch(status.url ?? "")).status, 200);
  await t.edit("Bucket", "app", { spec: { bucketName: "fleet", secretRef: { name: "none" } } });
  await t.failing("Bucket", "app", "AuthenticationFailed");
  await t.edit("Bucket", "app", { spec: { endpoint: "a b" } });
  assert.equal(conditionOf(await t.failing("Bucket", "app", "URLInvalid"), "Stalled")?.status, "True");
  assert.doesNotMatch(JSON.stringify([system.watched.Bucket.history(t.namespace, "app"), t.told("Bucket", "app"), system.flotilla.logs()]), /correct-horse/);
});

test("[BU40] the commands know the kind; a new object is applied, an unchanged bucket downloads nothing, a deleted source takes its artifacts along", async () => {
  const t = await tenant();
  await put(t, "a.yaml", "1");
  await t.request("Bucket", "app");
  await t.ready("Kustomization", "shop");
  await put(t, "a.yaml", "2");
  const reconciled = await onCluster(t, "reconcile", "source", "bucket", "app");
  assert.equal(reconciled.code, 0, reconciled.stderr);
  const { artifact } = statusOf(await t.ready("Bucket", "app"));
  await t.ready("Kustomization", "shop", artifact?.revision);
  assert.equal((await t.get("ConfigMap", "a")).data?.["n"], "2");
  s3.requests.length = 0;
  assert.equal((await onCluster(t, "reconcile", "source", "bucket", "app")).code, 0);
  const mine = s3.requests.filter(({ path, query }) => path.includes(t.namespace) || query.get("prefix") === `${t.namespace}/`);
  assert.deepEqual(mine.map(({ path }) => path), ["/fleet"]);
  const got = await onCluster(t, "get", "sources", "bucket");
  assert.match(got.stdout, /app\s+sha256:[0-9a-f]{8}\s+False\s+True\s+stored artifact/, got.stderr);
  assert.equal((await onCluster(t, "suspend", "source", "bucket", "app")).code, 0);
  assert.equal((await onCluster(t, "resume", "source", "bucket", "app")).code, 0);
  await t.remove("Kustomization", "shop");
  await t.untilGone("Kustomization", "shop");
  await t.remove("Bucket", "app");
  await t.untilGone("Bucket", "app");
  await eventually("its artifacts gone", async () => (await fetch(artifact?.url ?? "")).status === 404);
});
