/** Units that act on another cluster than the hub, with the same names in both. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { Agent, request } from "undici";
import { startControlPlane } from "../../deploy/local/control-plane.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { fieldsOf, startClouds } from "../kit/clouds.ts";
import { cluster, scratchFolder } from "../kit/cluster.ts";
import { openAudit } from "./audit.ts";
import { startFlotilla } from "./flotilla.ts";
import { openKube, pathOf, readKubeconfig, type KubeObject } from "./kube.ts";
import { chartFiles, configMap, deployment, file, object } from "./objects.ts";
import { startSystem } from "./system.ts";
import { conditionOf, type Tenant } from "./tenant.ts";

// The hub is one of its own: on the one that all tests share another `up` is at work.
const dir = scratchFolder();
const hub = await startControlPlane({ dir: join(dir, "hub"), nodes: 1, audit: true });
after(() => hub.stop());
const other = await cluster();
const credentials = readKubeconfig(other.kubeconfig);
const remote = openKube(other.kubeconfig);
after(() => remote.close());
const clouds = await startClouds();
after(() => clouds.close());
process.env["AZURE_AUTHORITY_HOST"] = clouds.base; // of the Flotilla that is started
const system = await startSystem({ kubeconfig: hub.kubeconfig, auditLog: hub.auditLog ?? "" });
after(() => system.close());

const base64 = (text: string) => Buffer.from(text).toString("base64");
const admin = readFileSync(other.kubeconfig, "utf8");
const elsewhere = (name = "remote", key?: string) => ({ kubeConfig: { secretRef: { name, ...(key && { key }) } } });

/** A kubeconfig of the remote cluster with another token, or another address. */
function kubeconfigWith({ token = credentials.token, server = credentials.server }: { token?: string; server?: string }): string {
  return JSON.stringify({
    apiVersion: "v1", kind: "Config", "current-context": "c",
    clusters: [{ name: "c", cluster: { server, "certificate-authority-data": base64(credentials.ca) } }],
    users: [{ name: "u", user: { token } }], contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
  });
}

const hold = (t: Tenant, text: string, name = "remote", key = "value") => t.create("Secret", name, { data: { [key]: base64(text) } });

/** A tenant with a namespace of its own on both clusters, and credentials for the other one. */
async function tenant(text = admin): Promise<Tenant> {
  const t = await system.tenant();
  await remote.create(object("Namespace", t.namespace));
  await hold(t, text);
  return t;
}

const there = (t: Tenant, kind: string, name: string) => remote.find(pathOf(kind, t.namespace, name));
const edit = (t: Tenant, kind: string, name: string, patch: object) => remote.merge(pathOf(kind, t.namespace, name), patch);
const valueOf = async (found: Promise<KubeObject | undefined>) => (await found)?.data?.["n"];

/** An account on the remote cluster that may do this in the tenant's namespace, and its token. */
async function accountThere(t: Tenant, name: string, rules: object[]): Promise<string> {
  const inside = { metadata: { namespace: t.namespace } };
  await remote.create(object("ServiceAccount", name, inside));
  await remote.create(object("Role", name, { ...inside, rules }));
  await remote.create(object("RoleBinding", name, {
    ...inside, roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name }, subjects: [{ kind: "ServiceAccount", name, namespace: t.namespace }],
  }));
  const annotations = { "kubernetes.io/service-account.name": name };
  await remote.create(object("Secret", `${name}-token`, { type: "kubernetes.io/service-account-token", metadata: { namespace: t.namespace, annotations } }));
  const token = await eventually("its token", async () => (await there(t, "Secret", `${name}-token`))?.data?.["token"]);
  return Buffer.from(token, "base64").toString();
}

const everything = [{ apiGroups: ["", "apps"], resources: ["*"], verbs: ["*"] }];

test("[TN30] a unit is applied, followed to health, put back, pruned and deleted on the cluster its kubeconfig names; its status stays on the hub", async () => {
  const t = await tenant();
  await t.commit({ "shop/a.yaml": file(configMap("a", { n: "1" }), deployment("web")), "shop/b.yaml": file(configMap("b", {})) });
  await t.source();
  await t.unit("shop", { ...elsewhere(), wait: true });
  const { status } = await t.ready("Kustomization", "shop");
  assert.deepEqual(status?.inventory?.entries.map(({ id }) => id), ["a__ConfigMap", "b__ConfigMap", "web_apps_Deployment"].map((id) => `${t.namespace}_${id}`));
  assert.match(JSON.stringify(await there(t, "Deployment", "web")), /"readyReplicas":1/);
  for (const [kind, name] of [["ConfigMap", "a"], ["Deployment", "web"]] as const) assert.equal(await t.find(kind, name), undefined, "nothing of it is on the hub");

  await edit(t, "ConfigMap", "a", { data: { n: "by hand" } });
  await eventually("the edit put back", async () => (await valueOf(there(t, "ConfigMap", "a"))) === "1");
  await t.untilTold("Kustomization", "shop", "Normal", "DriftCorrected", /ConfigMap\/.*\/a configured \(was changed by kubectl-edit\)/);
  await remote.remove(pathOf("Deployment", t.namespace, "web"));
  await eventually("the Deployment made again", () => there(t, "Deployment", "web"));

  await t.ready("Kustomization", "shop", await t.push({ "shop/b.yaml": null }));
  assert.equal(await there(t, "ConfigMap", "b"), undefined);
  await t.remove("Kustomization", "shop");
  await t.untilGone("Kustomization", "shop");
  assert.equal(await there(t, "ConfigMap", "a"), undefined);
});

test("[HR16] [TN30] a release is installed, upgraded, put back and uninstalled there, and Helm's storage is there too", async () => {
  const t = await tenant();
  const revisions = async (kube: typeof remote) => {
    const { items } = await kube.get<{ items: KubeObject[] }>(`/api/v1/namespaces/${t.namespace}/secrets?labelSelector=owner%3Dhelm`);
    return items.map(({ metadata: { labels } }) => `${labels?.["version"]} ${labels?.["status"]}`).sort();
  };
  await t.commit(chartFiles(file(configMap("a", { n: "1" }))));
  await t.source();
  await t.helmRelease("shop", { ...elsewhere(), driftDetection: { mode: "enabled" } });
  await t.ready("HelmRelease", "shop");
  assert.equal(await valueOf(there(t, "ConfigMap", "a")), "1");
  await edit(t, "ConfigMap", "a", { data: { n: "by hand" } });
  await eventually("the edit put back", async () => (await valueOf(there(t, "ConfigMap", "a"))) === "1");
  await t.push(chartFiles(file(configMap("a", { n: "2" }))));
  await eventually("the upgrade", async () => (await valueOf(there(t, "ConfigMap", "a"))) === "2");
  await eventually("both revisions", async () => (await revisions(remote)).join() === "1 superseded,2 deployed");
  assert.deepEqual([await revisions(system.kube), await t.find("ConfigMap", "a")], [[], undefined], "nothing of it is on the hub");
  await t.remove("HelmRelease", "shop");
  await t.untilGone("HelmRelease", "shop");
  assert.deepEqual([await revisions(remote), await there(t, "ConfigMap", "a")], [[], undefined]);
});

test("[TN41] two units with objects of the same names, one here and one there, keep to their own", async () => {
  const t = await tenant();
  await t.commit({ "here/a.yaml": file(configMap("a", { n: "here" })), "there/a.yaml": file(configMap("a", { n: "there" })) });
  await t.source();
  await Promise.all([t.unit("here"), t.unit("there", elsewhere())]);
  await Promise.all([t.ready("Kustomization", "here"), t.ready("Kustomization", "there")]);
  await Promise.all([t.edit("ConfigMap", "a", { data: { n: "x" } }), edit(t, "ConfigMap", "a", { data: { n: "y" } })]);
  await eventually("both put back, each to its own", async () =>
    (await valueOf(t.find("ConfigMap", "a"))) === "here" && (await valueOf(there(t, "ConfigMap", "a"))) === "there");
  const audit = await openAudit(other.auditLog, remote);
  await t.edit("ConfigMap", "a", { data: { n: "x" } });
  await eventually("the local one put back", async () => (await valueOf(t.find("ConfigMap", "a"))) === "here");
  assert.deepEqual((await audit.requests()).filter(({ namespace, verb }) => namespace === t.namespace && verb !== "watch"), [], "the other cluster is not asked for it");
  await t.remove("Kustomization", "there");
  await t.untilGone("Kustomization", "there");
  assert.equal(await valueOf(t.find("ConfigMap", "a")), "here");
  assert.equal(await there(t, "ConfigMap", "a"), undefined);
});

test("[TN38] an idle unit elsewhere costs no request, there or here", async () => {
  const t = await tenant();
  await t.commit({ "shop/a.yaml": file(configMap("a", { n: "1" })) });
  await t.source();
  await t.unit("shop", elsewhere());
  await t.ready("Kustomization", "shop");
  await t.untilTold("Kustomization", "shop", "Normal", "ReconciliationSucceeded"); // the last word of its run
  const [audit, here] = [await openAudit(other.auditLog, remote), await system.audit()];
  const marker = await system.tenant();
  await marker.start({ "shop/a.yaml": file(configMap("a", {})) }, "shop");
  assert.deepEqual((await audit.requests()).filter(({ namespace }) => namespace === t.namespace), []);
  assert.deepEqual((await here.requests()).filter(({ namespace }) => namespace === t.namespace), []);
});

test("[TN39] a unit that is sent to another cluster is applied there in full, and what it leaves behind stays", async () => {
  const t = await tenant();
  await t.start({ "shop/a.yaml": file(configMap("a", { n: "1" })) }, "shop");
  assert.equal(await there(t, "ConfigMap", "a"), undefined);
  await t.edit("Kustomization", "shop", { spec: elsewhere() });
  await t.ready("Kustomization", "shop");
  assert.equal(await valueOf(there(t, "ConfigMap", "a")), "1");
  assert.equal(await valueOf(t.find("ConfigMap", "a")), "1");
  await edit(t, "ConfigMap", "a", { data: { n: "2" } });
  await eventually("the edit there put back", async () => (await valueOf(there(t, "ConfigMap", "a"))) === "1");
  await remote.remove(pathOf("ConfigMap", t.namespace, "a"));
  await t.edit("Kustomization", "shop", { spec: { kubeConfig: null } });
  await t.ready("Kustomization", "shop");
  await t.edit("ConfigMap", "a", { data: { n: "3" } });
  await eventually("back on the hub it is put back there", async () => (await valueOf(t.find("ConfigMap", "a"))) === "1");
});

test("[TN35] spec.serviceAccountName is the name on the other cluster as well", async () => {
  const t = await tenant();
  await accountThere(t, "robot", [{ apiGroups: [""], resources: ["configmaps"], verbs: ["*"] }]);
  await t.create("ServiceAccount", "robot"); // its deletion asks the hub
  await t.commit({ "shop/a.yaml": file(configMap("a", { n: "1" })), "bad/b.yaml": file(object("Secret", "b", {})) });
  await t.source();
  const audit = await openAudit(other.auditLog, remote);
  await Promise.all(["shop", "bad"].map((name) => t.unit(name, { ...elsewhere(), serviceAccountName: "robot" })));
  await t.ready("Kustomization", "shop");
  const { status } = await t.failing("Kustomization", "bad", "ReconciliationFailed");
  assert.match(status?.conditions?.[0]?.message ?? "", new RegExp(`system:serviceaccount:${t.namespace}:robot.*cannot patch resource`));
  const made = (await audit.requests()).filter(({ namespace, resource }) => namespace === t.namespace && ["configmaps", "secrets"].includes(resource));
  assert.deepEqual([...new Set(made.map(({ as }) => as))], [`system:serviceaccount:${t.namespace}:robot`]);
  await t.remove("Kustomization", "shop");
  await t.untilGone("Kustomization", "shop");
  assert.equal(await there(t, "ConfigMap", "a"), undefined);
});

test("[TN43] new credentials in the Secret are used at the next run, and those that were revoked harm nobody", async () => {
  const t = await system.tenant();
  await remote.create(object("Namespace", t.namespace));
  const first = await accountThere(t, "first", everything);
  await hold(t, kubeconfigWith({ token: first }));
  await t.commit({ "shop/a.yaml": file(configMap("a", { n: "1" })) });
  await t.source();
  await t.unit("shop", elsewhere());
  await t.ready("Kustomization", "shop");
  await remote.remove(pathOf("ServiceAccount", t.namespace, "first"));
  const second = await accountThere(t, "second", everything);
  await eventually("the first token is worth nothing", async () => (await answerTo(first)) === 401);
  const sha = await t.push({ "shop/a.yaml": file(configMap("a", { n: "2" })) });
  await t.until("Kustomization", "shop", "refused", (unit) => conditionOf(unit, "Ready")?.status === "False");
  await t.edit("Secret", "remote", { data: { value: base64(kubeconfigWith({ token: second })) } });
  await t.ready("Kustomization", "shop", sha);
  assert.equal(await valueOf(there(t, "ConfigMap", "a")), "2");
});

/** The status that the remote cluster answers this token with. */
async function answerTo(token: string): Promise<number> {
  const agent = new Agent({ connect: { ca: credentials.ca } });
  const { statusCode, body } = await request(`${credentials.server}/api`, { dispatcher: agent, headers: { authorization: `Bearer ${token}` } });
  await body.dump();
  await agent.destroy();
  return statusCode;
}

test("[TN45] credentials that may not watch the whole cluster do: health is asked for, and drift is found at each run", async () => {
  const t = await system.tenant();
  await remote.create(object("Namespace", t.namespace));
  await hold(t, kubeconfigWith({ token: await accountThere(t, "narrow", everything) }));
  await t.commit({ "shop/a.yaml": file(configMap("a", { n: "1" }), deployment("web")) });
  await t.source();
  await t.unit("shop", { ...elsewhere(), wait: true });
  await t.ready("Kustomization", "shop");
  await edit(t, "ConfigMap", "a", { data: { n: "by hand" } });
  // Not asked to compare everything, as a person's request would: only to look at a commit that changes nothing of it.
  const sha = await t.push({ "other/x.yaml": file(configMap("x", {})) });
  await t.ready("Kustomization", "shop", sha);
  assert.equal(await valueOf(there(t, "ConfigMap", "a")), "1");
});

test("[TN31] a ConfigMap names address and authority; the token is one of the unit's own ServiceAccount, for that audience", async () => {
  const t = await system.tenant();
  const { server, ca } = readKubeconfig(hub.kubeconfig);
  await t.create("ServiceAccount", "robot");
  await t.create("Role", "robot", { rules: [{ apiGroups: [""], resources: ["configmaps"], verbs: ["*"] }] });
  await t.create("RoleBinding", "robot", {
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "robot" }, subjects: [{ kind: "ServiceAccount", name: "robot", namespace: t.namespace }],
  });
  const data = { provider: "generic", address: server, "ca.crt": ca, audiences: "https://kubernetes.default.svc\n", serviceAccountName: "robot" };
  await t.create("ConfigMap", "elsewhere", { data });
  const all = await openAudit(hub.auditLog ?? "", system.kube);
  await t.commit({ "shop/a.yaml": file(configMap("a", { n: "1" })) });
  await t.source();
  await t.unit("shop", { kubeConfig: { configMapRef: { name: "elsewhere" } } });
  await t.ready("Kustomization", "shop");
  const made = (await all.requests()).filter(({ namespace, resource, name }) => namespace === t.namespace && resource === "configmaps" && name === "a");
  assert.deepEqual([...new Set(made.map(({ user }) => user))], [`system:serviceaccount:${t.namespace}:robot`]);
});

test("[TN50] a cloud's word for the unit's ServiceAccount opens the other cluster", async () => {
  const t = await system.tenant();
  await remote.create(object("Namespace", t.namespace));
  const given = await accountThere(t, "narrow", everything);
  clouds.answers["tenant/oauth2/v2.0/token"] = JSON.stringify({ access_token: given, expires_in: 3_600 });
  await system.kube.create(object("ServiceAccount", "robot", { metadata: { namespace: t.namespace, annotations: { "azure.workload.identity/tenant-id": "tenant", "azure.workload.identity/client-id": "client" } } }));
  const data = { provider: "azure", cluster: "of-ours", address: credentials.server, "ca.crt": credentials.ca, serviceAccountName: "robot" };
  await t.create("ConfigMap", "elsewhere", { data });
  await t.commit({ "shop/a.yaml": file(configMap("a", { n: "1" })) });
  await t.source();
  await t.unit("shop", { kubeConfig: { configMapRef: { name: "elsewhere" } } });
  await t.ready("Kustomization", "shop");
  assert.equal(await valueOf(there(t, "ConfigMap", "a")), "1");
  assert.equal(await t.find("ConfigMap", "a"), undefined);
  const [asked] = clouds.asked.map(fieldsOf);
  const { aud, sub } = JSON.parse(Buffer.from(asked?.["client_assertion"]?.split(".")[1] ?? "", "base64url").toString()) as { aud: string[]; sub: string };
  assert.deepEqual([asked?.["scope"], aud, sub], ["6dae42f8-4368-4678-94ff-3960e28e3630/.default", ["api://AzureADTokenExchange"], `system:serviceaccount:${t.namespace}:robot`]);
});

const wrong: { id: string; why: string; kind: "Secret" | "ConfigMap"; data: Record<string, string>; says: RegExp; key?: string }[] = [
  { id: "TN32", why: "the Secret has neither of the usual keys", kind: "Secret", data: { kubeconfig: admin }, says: /has no key 'value' or 'value.yaml'/ },
  { id: "TN32", why: "the Secret lacks the named key", kind: "Secret", data: { value: admin }, key: "other", says: /has no key 'other'/ },
  { id: "TN33", why: "the kubeconfig names a file of ours", kind: "Secret", data: { value: JSON.stringify({ ...JSON.parse(admin), users: [{ name: "admin", user: { tokenFile: "/var/run/secrets/kubernetes.io/serviceaccount/token" } }] }) }, says: /user.tokenFile names a file/ },
  { id: "TN34", why: "the kubeconfig wants a program run", kind: "Secret", data: { value: JSON.stringify({ ...JSON.parse(admin), users: [{ name: "admin", user: { exec: { command: "touch", args: [join(dir, "owned")] } } }] }) }, says: /--insecure-kubeconfig-exec/ },
  { id: "TN31", why: "the ConfigMap names no account", kind: "ConfigMap", data: { provider: "generic", address: credentials.server }, says: /serviceAccountName is missing/ },
  { id: "TN31", why: "the ConfigMap names an account that is not there", kind: "ConfigMap", data: { provider: "generic", address: credentials.server, serviceAccountName: "nobody" }, says: /ServiceAccount\/.*\/nobody not found/ },
  { id: "TN50", why: "the ConfigMap names no cluster of the cloud", kind: "ConfigMap", data: { provider: "aws", cluster: "arn:x", serviceAccountName: "default" }, says: /cluster is not the ARN of a cluster of EKS/ },
  { id: "TN50", why: "the ServiceAccount is nobody in the cloud", kind: "ConfigMap", data: { provider: "azure", cluster: "c", address: credentials.server, "ca.crt": credentials.ca, serviceAccountName: "default" }, says: /no annotation azure\.workload\.identity\/tenant-id/ },
  { id: "TN51", why: "the ConfigMap would have the worker's own identity sent to an address", kind: "ConfigMap", data: { provider: "gcp", cluster: "c", address: credentials.server }, says: /own identity is not given away/ },
  { id: "TN31", why: "the ConfigMap has no TLS address", kind: "ConfigMap", data: { provider: "generic", address: "http://127.0.0.1:1", serviceAccountName: "default" }, says: /not the https address/ },
];
test("[TN32] [TN33] [TN34] [TN31] whatever is wrong with the way to the other cluster is told, and nothing is done anywhere", async (suite) => {
  for (const { id, why, kind, data, says, key } of wrong)
    await suite.test(`[${id}] ${why}`, async () => {
      const t = await system.tenant();
      const held = kind === "Secret" ? Object.fromEntries(Object.entries(data).map(([name, value]) => [name, base64(value)])) : data;
      await t.create(kind, "given", { data: held });
      await t.commit({ "shop/a.yaml": file(configMap("a", { n: "1" })) });
      await t.source();
      await t.unit("shop", kind === "Secret" ? elsewhere("given", key) : { kubeConfig: { configMapRef: { name: "given" } } });
      const unit = await t.failing("Kustomization", "shop", "ReconciliationFailed");
      assert.match(conditionOf(unit, "Ready")?.message ?? "", says);
      assert.ok(!JSON.stringify([unit, system.watched.Event.all(t.namespace)]).includes(credentials.token));
      assert.equal(await t.find("ConfigMap", "a"), undefined);
      await t.remove("Kustomization", "shop");
      await t.untilGone("Kustomization", "shop"); // it has applied nothing: nothing holds it
    });
  assert.throws(() => readFileSync(join(dir, "owned")));
});

test("[TN22] deleted when its kubeconfig is missing, or leads nowhere, a unit keeps its finalizer, and goes when the way is there again", async () => {
  const t = await tenant();
  await t.commit({ "shop/a.yaml": file(configMap("a", { n: "1" })) });
  await t.source();
  await t.unit("shop", elsewhere());
  await t.ready("Kustomization", "shop");
  await t.remove("Secret", "remote");
  await t.remove("Kustomization", "shop");
  await t.untilTold("Kustomization", "shop", "Warning", "ReconciliationFailed", /Secret\/.*\/remote: not found/);
  await hold(t, kubeconfigWith({ server: "https://127.0.0.1:9" }));
  await t.untilTold("Kustomization", "shop", "Warning", "ReconciliationFailed", /127\.0\.0\.1:9/);
  assert.ok(await there(t, "ConfigMap", "a"));
  assert.ok((await t.get("Kustomization", "shop")).metadata.finalizers?.length);
  await t.edit("Secret", "remote", { data: { value: base64(admin) } });
  await t.untilGone("Kustomization", "shop");
  assert.equal(await there(t, "ConfigMap", "a"), undefined);
});

test("[TN42] what changed there while Flotilla was away is found when it is back", async () => {
  const t = await tenant();
  await t.commit({ "shop/a.yaml": file(configMap("a", { n: "1" }), configMap("b", { n: "1" })) });
  await t.source();
  await t.unit("shop", elsewhere());
  await t.ready("Kustomization", "shop");
  const { data, url } = system.flotilla;
  await system.flotilla.stop();
  await edit(t, "ConfigMap", "a", { data: { n: "by hand" } });
  await remote.remove(pathOf("ConfigMap", t.namespace, "b"));
  system.flotilla = await startFlotilla({ kubeconfig: system.kubeconfig, data, listen: new URL(url).host });
  await eventually("the edit put back", async () => (await valueOf(there(t, "ConfigMap", "a"))) === "1");
  await eventually("the object made again", () => there(t, "ConfigMap", "b"));
});
