/** From a tag that is pushed to a registry to a commit that is applied, by workers that are killed in between. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import type { StoredSpan } from "#protocol/trace/span.ts";
import { connectNats } from "#services/store/nats-connect.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { startNats } from "../../deploy/local/nats.ts";
import { ociManifest, startRegistry } from "../../deploy/local/registry.ts";
import { Owners } from "../chaos/owners.ts";
import { ownCluster, scratchFolder } from "../kit/cluster.ts";
import { runCommand, startFlotilla, startWorker } from "./flotilla.ts";
import { startSystem } from "./system.ts";
import { conditionOf, type Tenant } from "./tenant.ts";

const dir = scratchFolder();
const { kubeconfig, auditLog } = await ownCluster();
const nats = await startNats({ dir: join(dir, "nats") });
const address = nats.url.replace("//", `//${nats.token}@`);
const args = ["--nats", address];
const [system, registry] = await Promise.all([startSystem({ kubeconfig, auditLog, args }), startRegistry({ dir: scratchFolder() })]);
after(async () => {
  await Promise.all([system.close(), registry.stop()]);
  await nats.stop();
});

const imageOf = (t: Tenant) => `${registry.host}/${t.namespace}/shop`;

/** An image of nothing: what counts is its tag. */
async function pushImage(t: Tenant, tag: string): Promise<void> {
  const name = `${t.namespace}/shop`;
  const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: await registry.pushBlob(name, Buffer.from("{}")), size: 2 };
  await registry.pushManifest(name, tag, ociManifest, { schemaVersion: 2, mediaType: ociManifest, config, layers: [], annotations: { tag } });
}

const manifest = (t: Tenant, tag: string) =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: shop\ndata:\n  image: ${imageOf(t)}:${tag} # {"$imagepolicy": "${t.namespace}:shop"}\n`;

/** A repository with an image in it, everything that looks after it, and nothing that an interval would do. */
async function loop(spec: Record<string, unknown> = {}): Promise<Tenant> {
  const t = await system.tenant();
  await pushImage(t, "v1.0.0");
  await t.start({ "shop/shop.yaml": manifest(t, "v1.0.0"), "README.md": "as it was\r\n" }, "shop");
  await t.create("ImageRepository", "shop", { spec: { image: imageOf(t), interval: "1h" } });
  await t.create("ImagePolicy", "shop", { spec: { imageRepositoryRef: { name: "shop" }, policy: { semver: { range: "1.x" } } } });
  const git = { commit: { author: { name: "Robot", email: "robot@example.com" }, messageTemplate: "Serve {{ range .Changed.Changes }}{{ .NewValue }}{{ end }}" } };
  await t.create("ImageUpdateAutomation", "shop", { spec: { interval: "1h", sourceRef: { kind: "GitRepository", name: "app" }, git, update: { path: "./shop", strategy: "Setters" }, ...spec } });
  await t.until("ImageUpdateAutomation", "shop", "has seen the policy", ({ status }) => statusOf({ status }).observedPolicies?.["shop"]?.tag === "v1.0.0");
  return t;
}

type Updates = { lastPushCommit?: string; lastPushTime?: string; lastAutomationRunTime?: string; observedSourceRevision?: string; observedPolicies?: Record<string, { name: string; tag: string }> };
const statusOf = ({ status }: { status?: object | undefined }) => (status ?? {}) as Updates;
const head = (t: Tenant, branch = "main") => system.git.git(t.namespace, "rev-parse", branch);
const log = async (t: Tenant) => (await system.git.git(t.namespace, "log", "--format=%s", "main")).split("\n");
const served = (t: Tenant, tag: string) => eventually(`${tag} in the cluster`, async () => (await t.find("ConfigMap", "shop"))?.data?.["image"] === `${imageOf(t)}:${tag}`);
const pushes = (t: Tenant) => t.told("ImageUpdateAutomation", "shop").filter(({ message }) => message.startsWith("pushed commit"));
const onCluster = (t: Tenant, ...args: string[]) => runCommand([...args, "-n", t.namespace, "--kubeconfig", system.kubeconfig]);

async function release(t: Tenant, tag: string): Promise<void> {
  await pushImage(t, tag);
  await t.request("ImageRepository", "shop");
}

test("[IM97] [IM91] a tag that is pushed becomes a commit, and the commit what the cluster serves, without an interval having to pass; and all of it is one trace", async () => {
  const t = await loop();
  const before = await head(t);
  await release(t, "v1.1.0");
  await served(t, "v1.1.0");
  const commit = await head(t);
  assert.deepEqual(await log(t), [`Serve ${imageOf(t)}:v1.1.0`, "a change"]);
  assert.equal(await system.git.git(t.namespace, "diff", "--name-only", before, commit), "shop/shop.yaml");
  const found = await t.until("ImageUpdateAutomation", "shop", "says what it pushed", ({ status }) => statusOf({ status }).lastPushCommit === commit);
  const { observedSourceRevision, observedPolicies, lastPushTime, lastAutomationRunTime } = statusOf(found);
  assert.deepEqual([observedSourceRevision, observedPolicies, conditionOf(found, "Ready")?.message], [`main@sha1:${commit}`, { shop: { name: imageOf(t), tag: "v1.1.0" } }, "repository up-to-date"]);
  assert.ok(lastPushTime && lastAutomationRunTime);
  const told = await t.untilTold("ImageUpdateAutomation", "shop", "Normal", "Succeeded", /^pushed commit/);
  assert.deepEqual([told.message, told.component], [`pushed commit '${commit.slice(0, 7)}' to branch 'main'\nServe ${imageOf(t)}:v1.1.0`, "image-automation-controller"]);

  const names = await eventually("the whole trace", async () => {
    const { url, token } = system.flotilla;
    const read = async <T>(path: string) => (await (await fetch(`${url}/api/v1/${path}`, { headers: { authorization: `Bearer ${token}` } })).json()) as T;
    const { traces } = await read<{ traces: { traceId: string }[] }>(`traces?commit=${commit}`);
    const { spans = [] } = traces[0] ? await read<{ spans?: StoredSpan[] }>(`traces/${traces[0].traceId}`) : {};
    const all = spans.map(({ name }) => name);
    return ["elect v1.1.0", `update main@${commit.slice(0, 7)}`, "push main", "fetch", "apply"].every((name) => all.includes(name)) ? all : undefined;
  });
  assert.ok(names.some((name) => name.startsWith("SYNC shop@")), "the registry's and the repository's change are in it");
});

/** kill -9, and it is started again. */
async function crash(): Promise<void> {
  await system.flotilla.crash();
  await startAgain();
}

async function startAgain(): Promise<void> {
  const { data, url } = system.flotilla;
  system.flotilla = await startFlotilla({ kubeconfig: system.kubeconfig, data, listen: new URL(url).host, args });
}

/** The status names the commit that is the branch's head, and the cluster serves it. */
async function named(t: Tenant, tag: string): Promise<string> {
  const { status } = await t.until("ImageUpdateAutomation", "shop", `has pushed ${tag}`, ({ status }) => statusOf({ status }).observedPolicies?.["shop"]?.tag === tag);
  const commit = await head(t);
  assert.equal(statusOf({ status }).lastPushCommit, commit);
  await t.ready("Kustomization", "shop", commit);
  await served(t, tag);
  return commit;
}

test("[IM98] killed between commit and push, and between push and status: one commit each, named by the status and told once", async () => {
  const t = await loop();
  // The server is asked for its branches, and holds its answer back.
  let held = 0;
  system.git.spoil = ({ path, query }) => (path.startsWith(`/${t.namespace}.git`) && query.includes("git-receive-pack") && held++ === 0 ? "hang" : undefined);
  await release(t, "v1.1.0");
  await eventually("a push is on its way", () => held > 0);
  assert.deepEqual(await log(t), ["a change"]);
  await crash();
  const first = await named(t, "v1.1.0");
  system.git.spoil = undefined;

  // The branch has moved, and the server holds back that it has.
  const released = join(dir, randomUUID());
  const hook = join(system.git.path(t.namespace), "hooks/post-receive");
  await writeFile(hook, `#!/bin/sh\nwhile [ ! -e ${released} ]; do sleep 0.1; done\n`);
  await chmod(hook, 0o755);
  await release(t, "v1.2.0");
  await eventually("the branch has moved", async () => (await head(t)) !== first);
  await crash();
  await writeFile(released, "");
  await named(t, "v1.2.0");
  assert.deepEqual(await log(t), [`Serve ${imageOf(t)}:v1.2.0`, `Serve ${imageOf(t)}:v1.1.0`, "a change"]);
  await eventually("each is told", () => pushes(t).length === 2);
});

test("[IM98] killed between commit and push, and another worker is there: it pushes that commit, and makes no other", async (run) => {
  const connection = await connectNats({ url: address, name: "test" });
  run.after(() => connection.close());
  const owners = await Owners.open(connection);
  const other = await startWorker({ kubeconfig: system.kubeconfig, nats: address, data: join(dir, "other"), tokens: system.flotilla });
  run.after(() => other.crash());
  const t = await loop();
  let held = 0;
  system.git.spoil = ({ path, query }) => (path.startsWith(`/${t.namespace}.git`) && query.includes("git-receive-pack") && held++ === 0 ? "hang" : undefined);
  await release(t, "v1.1.0");
  await eventually("a push is on its way", () => held > 0);
  await owners.catchUp();
  const isOthers = owners.ofActor({ kind: "imageupdateautomation", namespace: t.namespace, name: "shop" }) === other.name;
  const [victim, heir] = isOthers ? [other, system.flotilla] : [system.flotilla, other];
  await victim.crash();
  const commit = await named(t, "v1.1.0");
  system.git.spoil = undefined;
  assert.deepEqual(await log(t), [`Serve ${imageOf(t)}:v1.1.0`, "a change"]);
  await eventually("it is told", () => pushes(t).length === 1);
  assert.ok(heir.logs().some(({ msg }) => msg.startsWith(`pushed commit '${commit.slice(0, 7)}'`)), "by the one that lives");
  if (!isOthers) await startAgain();
});

test("[IM89] a protected branch: the condition says it in the server's words, nothing is committed, and it goes on once it may", async () => {
  const t = await loop();
  const hook = join(system.git.path(t.namespace), "hooks/pre-receive");
  await writeFile(hook, "#!/bin/sh\necho 'main is protected' >&2\nexit 1\n");
  await chmod(hook, 0o755);
  await release(t, "v1.1.0");
  const failing = await t.failing("ImageUpdateAutomation", "shop", "GitOperationFailed");
  assert.match(conditionOf(failing, "Ready")?.message ?? "", /refs\/heads\/main was refused: pre-receive hook declined; the server says: main is protected/);
  assert.deepEqual(await log(t), ["a change"]);
  await writeFile(hook, "#!/bin/sh\n");
  await served(t, "v1.1.0");
  assert.equal((await log(t)).length, 2);
});

test("[IM96] suspended it commits nothing; resumed, and asked for, it does; deleted, it is gone", async () => {
  const t = await loop();
  const asked = async (...args: string[]) => {
    const ran = await onCluster(t, ...args);
    assert.equal(ran.code, 0, ran.stderr);
    return ran.stdout;
  };
  await asked("suspend", "image", "update", "shop");
  await release(t, "v1.1.0");
  await t.until("ImagePolicy", "shop", "elects v1.1.0", ({ status }) => (status as { latestRef?: { tag: string } }).latestRef?.tag === "v1.1.0");
  await t.reconciled("ImageUpdateAutomation", "shop");
  assert.deepEqual(await log(t), ["a change"]);
  await asked("resume", "image", "update", "shop");
  await served(t, "v1.1.0");
  await asked("reconcile", "image", "update", "shop");
  assert.match(await asked("get", "images", "update"), /shop\s+.*repository up-to-date/);
  await t.remove("ImageUpdateAutomation", "shop");
  await t.untilGone("ImageUpdateAutomation", "shop");
});
