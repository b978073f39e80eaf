/** From the tags of a registry to the one that is elected: on one `flotilla up`, and on a worker beside it that is killed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { ActorView } from "#protocol/messages/fleet.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { startNats, type Nats } from "../../deploy/local/nats.ts";
import { ociManifest, startRegistry, type LocalRegistry } from "../../deploy/local/registry.ts";
import { ownCluster, scratchFolder } from "../kit/cluster.ts";
import { runCommand, startWorker } from "./flotilla.ts";
import type { KubeObject } from "./kube.ts";
import { startSystem, type System } from "./system.ts";
import { conditionOf, type Tenant } from "./tenant.ts";

const dir = scratchFolder();
const cluster = await ownCluster();
const user = { username: "ada", password: "correct-horse" };
let nats: Nats, address: string, system: System, open: LocalRegistry, locked: LocalRegistry;

before(async () => {
  nats = await startNats({ dir: join(dir, "nats") });
  address = nats.url.replace("//", `//${nats.token}@`);
  [system, open, locked] = await Promise.all([
    startSystem({ kubeconfig: cluster.kubeconfig, auditLog: cluster.auditLog, args: ["--nats", address] }),
    startRegistry({ dir }), startRegistry({ dir, auth: { ...user, by: "token" } }),
  ]);
});
after(async () => {
  await Promise.all([system.close(), open.stop(), locked.stop()]);
  await nats.stop();
});

type Reference = { name: string; tag: string; digest?: string };
type ImageStatus = {
  canonicalImageName?: string; observedExclusionList?: string[]; lastScanResult?: { revision: string; tagCount: number; scanTime: string; latestTags?: string[] };
  latestRef?: Reference; observedPreviousRef?: Reference;
};
const statusOf = ({ status }: KubeObject) => (status ?? {}) as ImageStatus;

/** An image of nothing but a label, so that it has a digest of its own. */
async function push(registry: LocalRegistry, name: string, tags: string[], label = "one"): Promise<string> {
  const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: await registry.pushBlob(name, Buffer.from("{}")), size: 2 };
  const manifest = { schemaVersion: 2, mediaType: ociManifest, config, layers: [], annotations: { label } };
  let digest = "";
  for (const tag of tags) digest = await registry.pushManifest(name, tag, ociManifest, manifest);
  return digest;
}

const nameIn = (t: Tenant) => `${t.namespace}/shop`;
const imageOf = (t: Tenant, registry = open) => `${registry.host}/${nameIn(t)}`;
const repository = (t: Tenant, spec: Record<string, unknown> = {}, name = "shop") => t.create("ImageRepository", name, { spec: { image: imageOf(t), interval: "1h", ...spec } });
const policy = (t: Tenant, spec: Record<string, unknown> = {}, name = "shop") =>
  t.create("ImagePolicy", name, { spec: { imageRepositoryRef: { name: "shop" }, policy: { semver: { range: ">=1.0.0" } }, ...spec } });
const onCluster = (t: Tenant, ...args: string[]) => runCommand([...args, "-n", t.namespace, "--kubeconfig", system.kubeconfig]);
const elected = (t: Tenant, tag: string, name = "shop") =>
  t.until("ImagePolicy", name, `elects ${tag}`, (object) => statusOf(object).latestRef?.tag === tag && conditionOf(object, "Ready")?.status === "True");
const isListOf = (t: Tenant) => ({ path }: { path: string }) => path === `/v2/${nameIn(t)}/tags/list`;

async function pullSecret(t: Tenant): Promise<void> {
  const data = { ".dockerconfigjson": Buffer.from(JSON.stringify({ auths: { [locked.host]: user } })).toString("base64") };
  await t.create("Secret", "pull", { type: "kubernetes.io/dockerconfigjson", data });
}

test("[IM13] [IM16] [IM17] tags are found, one of them is elected, and a new one is elected as soon as it is found", async () => {
  const t = await system.tenant();
  await push(open, nameIn(t), ["v1.0.0", "v1.1.0", "latest", "v1.1.0.sig"]);
  await policy(t); // before its repository
  await repository(t);
  const found = statusOf(await t.ready("ImageRepository", "shop"));
  assert.deepEqual([found.canonicalImageName, found.observedExclusionList, found.lastScanResult?.tagCount, found.lastScanResult?.latestTags], [imageOf(t), ["^.*\\.sig$"], 3, ["v1.1.0", "v1.0.0", "latest"]]);
  assert.equal(conditionOf(await elected(t, "v1.1.0"), "Ready")?.message, `Latest image tag for ${imageOf(t)} resolved to v1.1.0`);
  assert.equal((await t.untilTold("ImagePolicy", "shop", "Normal", "Succeeded")).component, "image-reflector-controller");

  await push(open, nameIn(t), ["v1.2.0"], "two");
  await t.reconciled("ImageRepository", "shop");
  const second = await elected(t, "v1.2.0");
  assert.equal(conditionOf(second, "Ready")?.message, `Latest image tag for ${imageOf(t)} resolved to v1.2.0 (previously ${imageOf(t)}:v1.1.0)`);
  assert.deepEqual(statusOf(second).observedPreviousRef, { name: imageOf(t), tag: "v1.1.0" });

  await push(open, nameIn(t), ["v1.3.0"], "three");
  assert.equal((await system.flotilla.announce(open.repoUrl(nameIn(t)))).status, 202);
  await elected(t, "v1.3.0");

  for (const kind of ["ImagePolicy", "ImageRepository"] as const) {
    await t.remove(kind, "shop");
    await t.untilGone(kind, "shop");
  }
});

for (const version of ["v1beta1", "v1beta2"])
  test(`[IM11] what a tutorial writes in ${version} is acted on`, async () => {
    const t = await system.tenant();
    await push(open, nameIn(t), ["main-ab12-1700", "main-cd34-1800", "main-ef56-900", "dev-9-9999"]);
    const written = (kind: string, spec: object) => ({ apiVersion: `image.toolkit.fluxcd.io/${version}`, kind, metadata: { name: "shop", namespace: t.namespace }, spec });
    const filterTags = { pattern: "^main-[a-f0-9]+-(?P<ts>[0-9]+)", extract: "$ts" };
    for (const object of [written("ImageRepository", { image: imageOf(t), interval: "1m0s" }), written("ImagePolicy", { imageRepositoryRef: { name: "shop" }, filterTags, policy: { numerical: { order: "asc" } } })])
      await cluster.kubectl(["create", "-f", "-"], JSON.stringify(object));
    await elected(t, "main-cd34-1800");
  });

test("[IM65] [CL13] a registry that wants credentials, by the commands; nothing of a secret is shown", async () => {
  const t = await system.tenant();
  await push(locked, nameIn(t), ["1.0.0"]);
  await repository(t, { image: imageOf(t, locked) });
  await policy(t, { digestReflectionPolicy: "IfNotPresent" });
  await t.failing("ImageRepository", "shop", "AuthenticationFailed");
  await t.failing("ImagePolicy", "shop", "DependencyNotReady");
  await pullSecret(t);
  await t.create("ServiceAccount", "robot", { imagePullSecrets: [{ name: "pull" }] });
  await t.edit("ImageRepository", "shop", { spec: { serviceAccountName: "robot" } });
  await t.ready("ImageRepository", "shop");
  await t.edit("ImageRepository", "shop", { spec: { serviceAccountName: null, secretRef: { name: "pull" } } });
  await t.ready("ImageRepository", "shop");
  const digest = await push(locked, nameIn(t), ["1.1.0"], "two");
  const scanned = await onCluster(t, "reconcile", "image", "repository", "shop");
  assert.match(scanned.stderr, /✔ scan fetched 2 tags\n$/);
  await elected(t, "1.1.0");
  const selected = await onCluster(t, "reconcile", "image", "policy", "shop");
  assert.equal(selected.stderr.trim().split("\n").at(-1), `✔ selected ref ${imageOf(t, locked)}:1.1.0@${digest}`);
  assert.match((await onCluster(t, "get", "images", "all")).stdout, new RegExp(`imagerepository/shop\\s+\\d{4}-\\S+Z\\s+False\\s+True\\s+successful scan: found 2 tags[^]*imagepolicy/shop\\s+${imageOf(t, locked)}\\s+1\\.1\\.0\\s+True`));

  assert.equal((await onCluster(t, "suspend", "image", "repository", "shop")).code, 0);
  await push(locked, nameIn(t), ["1.2.0"]);
  assert.match((await onCluster(t, "reconcile", "image", "repository", "shop")).stderr, /is suspended/);
  assert.match((await onCluster(t, "resume", "image", "repository", "shop")).stderr, /✔ scan fetched 3 tags\n$/);
  await elected(t, "1.2.0");
  const shown = [system.watched.ImageRepository.history(t.namespace, "shop"), system.watched.ImagePolicy.history(t.namespace, "shop"), t.told("ImageRepository", "shop"), system.flotilla.logs()];
  assert.doesNotMatch(JSON.stringify(shown), /correct-horse/);
});

test("[IM62] many tags, page after page", async () => {
  const t = await system.tenant();
  const tags = Array.from({ length: 1_234 }, (_, i) => `1.${i}.0`);
  open.spoil = ({ path, query }) => {
    if (!isListOf(t)({ path })) return undefined;
    const from = tags.indexOf(new URLSearchParams(query).get("last") ?? "") + 1;
    const page = tags.slice(from, from + 100);
    const headers = from + 100 < tags.length ? { link: `<${path}?n=100&last=${page.at(-1)}>; rel="next"` } : {};
    return { status: 200, headers, body: JSON.stringify({ tags: page }) };
  };
  await repository(t);
  await policy(t);
  assert.match(conditionOf(await t.ready("ImageRepository", "shop"), "Ready")?.message ?? "", /^successful scan: found 1234 tags with checksum \d+$/);
  await elected(t, "1.1233.0");
  open.spoil = undefined;
});

test("[IM14] the digest of a tag that moves is said at each interval where that is asked for", async () => {
  const t = await system.tenant();
  const one = await push(open, nameIn(t), ["1.0.0"], "one");
  await repository(t);
  await policy(t, { digestReflectionPolicy: "Always", interval: "1s" });
  const says = (digest: string) => t.until("ImagePolicy", "shop", `says ${digest}`, (object) => statusOf(object).latestRef?.digest === digest);
  await says(one);
  const two = await push(open, nameIn(t), ["1.0.0"], "two");
  assert.deepEqual(statusOf(await says(two)).observedPreviousRef, { name: imageOf(t), tag: "1.0.0", digest: one });
});

test("[IM19] [IM68] another namespace's repository: refused, and used as soon as it allows it", async () => {
  const [owner, guest] = [await system.tenant(), await system.tenant()];
  await push(open, nameIn(owner), ["1.0.0"]);
  await policy(guest, { imageRepositoryRef: { name: "shop", namespace: owner.namespace } });
  await guest.failing("ImagePolicy", "shop", "DependencyNotReady");
  await repository(owner);
  const denied = await guest.failing("ImagePolicy", "shop", "AccessDenied");
  assert.match(conditionOf(denied, "Ready")?.message ?? "", /can't be accessed due to missing ACL labels on 'accessFrom'/);
  await owner.edit("ImageRepository", "shop", { spec: { accessFrom: { namespaceSelectors: [{ matchLabels: { "kubernetes.io/metadata.name": guest.namespace } }] } } });
  await elected(guest, "1.0.0");
});

type Wrong = { title: string; kind: "ImageRepository" | "ImagePolicy"; spoil: Record<string, unknown>; reason: string; message: RegExp; stalled?: true; correct: Record<string, unknown> };
const wrong: Wrong[] = [
  { title: "a tag in the image", kind: "ImageRepository", spoil: { image: "ghcr.io/team/shop:v1" }, reason: "ImageURLInvalid", message: /should not include a tag; remove ':v1'/, stalled: true, correct: {} },
  { title: "a registry that is away", kind: "ImageRepository", spoil: { image: "127.0.0.1:1/team/shop" }, reason: "ReadOperationFailed", message: /connection refused.*spec\.image/, correct: {} },
  { title: "an image that is not there", kind: "ImageRepository", spoil: { image: "HOST/none" }, reason: "ReadOperationFailed", message: /404.*push the image, or correct spec\.image/, correct: {} },
  { title: "a Secret that is not there", kind: "ImageRepository", spoil: { secretRef: { name: "none" } }, reason: "AuthenticationFailed", message: /Secret\/.*\/none.*create the Secret/, correct: { secretRef: null } },
  { title: "a pattern that is none", kind: "ImageRepository", spoil: { exclusionList: ["("] }, reason: "ReadOperationFailed", message: /exclusionList\[0\] is no regular expression/, correct: { exclusionList: null } },
  { title: "a range of versions that is none", kind: "ImagePolicy", spoil: { policy: { semver: { range: "newest" } } }, reason: "InvalidPolicy", message: /is no range of versions/, stalled: true, correct: { policy: { semver: { range: "*" } } } },
  { title: "a range that matches nothing", kind: "ImagePolicy", spoil: { policy: { semver: { range: ">9" } } }, reason: "Failed", message: /unable to determine latest version.*push one that does/, correct: { policy: { semver: { range: "*" } } } },
  { title: "a pattern without end", kind: "ImagePolicy", spoil: { filterTags: { pattern: "(x?){0,1000}[yz]$" } }, reason: "InvalidPolicy", message: /spec\.filterTags\.pattern/, stalled: true, correct: { filterTags: null } },
  { title: "a repository that is not there", kind: "ImagePolicy", spoil: { imageRepositoryRef: { name: "none" } }, reason: "DependencyNotReady", message: /create the ImageRepository/, correct: { imageRepositoryRef: { name: "shop" } } },
];
test("[IM18] [IM66] [IM67] what is wrong is said with Flux's reason and what to do, keeps what was found, and heals", async () => {
  const t = await system.tenant();
  await push(open, nameIn(t), ["1.0.0"]);
  await repository(t);
  await policy(t);
  await elected(t, "1.0.0");
  for (const { title, kind, spoil, reason, message, stalled, correct } of wrong) {
    await t.edit(kind, "shop", { spec: JSON.parse(JSON.stringify(spoil).replace("HOST", open.host)) as object });
    const failing = await t.failing(kind, "shop", reason);
    assert.match(conditionOf(failing, "Ready")?.message ?? "", message, title);
    assert.deepEqual([conditionOf(failing, "Stalled")?.status, conditionOf(failing, "Reconciling")?.reason], stalled ? ["True", undefined] : [undefined, "ProgressingWithRetry"], title);
    assert.ok(statusOf(failing).lastScanResult ?? statusOf(failing).latestRef, `${title}: what was found stays`);
    await t.edit(kind, "shop", { spec: kind === "ImageRepository" ? { image: imageOf(t), ...correct } : correct });
    await t.ready(kind, "shop");
  }
});

test("[IM16] a worker killed in the middle of scans: another one scans what it did not come to, and every tag is elected", async () => {
  const t = await system.tenant();
  await push(open, nameIn(t), ["1.0.0"]);
  const { token, webhookToken, url } = system.flotilla;
  const other = await startWorker({ kubeconfig: system.kubeconfig, nats: address, data: join(dir, "workers"), tokens: { token, webhookToken } });
  const hostOf = async (id: string) => {
    const { actors } = (await (await fetch(`${url}/api/v1/actors`, { headers: { authorization: `Bearer ${token}` } })).json()) as { actors: ActorView[] };
    return actors.find((actor) => actor.id === id)?.worker;
  };
  try {
    // Until one of them is hosted by the worker that is to die.
    const names: string[] = [];
    for (let isThere = false; !isThere; ) {
      const name = `shop-${names.length}`;
      names.push(name);
      await repository(t, { suspend: true, timeout: "3s" }, name);
      await policy(t, { imageRepositoryRef: { name } }, name);
      isThere = (await eventually(`${name} hosted`, () => hostOf(`imagerepository/${t.namespace}/${name}`))) === other.name;
    }
    const isList = isListOf(t);
    open.spoil = (request) => (isList(request) ? "hang" : undefined);
    const before = open.requests.filter(isList).length;
    for (const name of names) await t.edit("ImageRepository", name, { spec: { suspend: false } });
    // Those of one worker share a request; the other one asks for itself.
    await eventually("a scan under way", () => open.requests.filter(isList).length > before);
    await eventually("the one that dies is scanning", async () => {
      const { actors } = (await (await fetch(`${url}/api/v1/actors`, { headers: { authorization: `Bearer ${token}` } })).json()) as { actors: ActorView[] };
      return actors.some(({ id, worker, state }) => id.startsWith(`imagerepository/${t.namespace}/`) && worker === other.name && state === "looking");
    });
    await other.crash();
    open.spoil = undefined;
    for (const name of names) await t.request("ImageRepository", name); // not after the waits of failures
    for (const name of names) await elected(t, "1.0.0", name);
  } finally {
    open.spoil = undefined;
    await other.crash();
  }
});
