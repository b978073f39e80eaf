/** Tenants that do not trust each other, on one `flotilla up --tenancy locked`. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { startControlPlane } from "../../deploy/local/control-plane.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { scratchFolder } from "../kit/cluster.ts";
import type { AuditedRequest } from "./audit.ts";
import { pathOf } from "./kube.ts";
import { chartFiles, configMap, deployment, file, object } from "./objects.ts";
import { startSystem } from "./system.ts";
import { conditionOf, type Tenant } from "./tenant.ts";

// A cluster of its own: on the one that all tests share another `up` is at work.
const hub = await startControlPlane({ dir: join(scratchFolder(), "hub"), nodes: 1, audit: true });
after(() => hub.stop());
const system = await startSystem({ kubeconfig: hub.kubeconfig, auditLog: hub.auditLog ?? "", args: ["--tenancy", "locked"] });
after(() => system.close());

/** What the account may do in its own namespace. */
const rules = [{ apiGroups: ["", "apps"], resources: ["configmaps", "secrets", "deployments"], verbs: ["*"] }];

/** A namespace whose account may write there, and nowhere else. */
async function tenantWith(account = "default"): Promise<Tenant> {
  const t = await system.tenant();
  if (account !== "default") await t.create("ServiceAccount", account);
  await t.create("Role", "tenant", { rules });
  await allow(t, account);
  return t;
}

const allow = (t: Tenant, account: string) => t.create("RoleBinding", `tenant-${account}`, {
  roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "tenant" },
  subjects: [{ kind: "ServiceAccount", name: account, namespace: t.namespace }],
});

const nameOf = (t: Tenant, account: string) => `system:serviceaccount:${t.namespace}:${account}`;
/** What concerns the objects of a tenant, and not the unit itself. */
const onObjects = (requests: AuditedRequest[], t: Tenant) =>
  requests.filter(({ namespace, resource }) => namespace === t.namespace && ["configmaps", "deployments", "secrets"].includes(resource));

for (const { title, account, spec } of [
  { title: "[TN1] a unit acts as the account it names", account: "robot", spec: { serviceAccountName: "robot" } },
  { title: "[TN2] one that names none acts as the default account", account: "default", spec: {} },
])
  test(`${title}: apply, drift, prune, health of others' objects and deletion, from the first request to the last`, async () => {
    const t = await tenantWith(account);
    await t.create("Deployment", "other", { spec: (deployment("other", "example.com/web:1", { replicas: 0 }) as { spec: object }).spec });
    const audit = await system.audit();
    await t.commit({ "shop/a.yaml": file(configMap("a", { n: "1" }), deployment("web", "example.com/web:1", { replicas: 0 })), "shop/b.yaml": file(configMap("b", {})) });
    await t.source();
    await t.unit("shop", { ...spec, healthChecks: [{ kind: "Deployment", name: "other", namespace: t.namespace }] });
    await t.ready("Kustomization", "shop");
    await t.edit("ConfigMap", "a", { data: { n: "by hand" } });
    await eventually("the edit put back", async () => (await t.get("ConfigMap", "a")).data?.["n"] === "1");
    await t.ready("Kustomization", "shop", await t.push({ "shop/b.yaml": null }));
    assert.equal(await t.find("ConfigMap", "b"), undefined);
    await t.remove("Kustomization", "shop");
    await t.untilGone("Kustomization", "shop");
    assert.equal(await t.find("ConfigMap", "a"), undefined);

    const asked = (await audit.requests()).filter(({ user }) => user === system.user);
    const made = onObjects(asked, t);
    for (const verb of ["patch", "delete", "get"]) assert.ok(made.some((request) => request.verb === verb), verb);
    assert.deepEqual([...new Set(made.map(({ as }) => as))], [nameOf(t, account)]);
    // The unit itself, its events and every watch stay Flotilla's own.
    const own = asked.filter(({ resource, verb, namespace }) => verb === "watch" || (namespace === t.namespace && ["kustomizations", "gitrepositories", "events"].includes(resource)));
    assert.ok(own.length > 0);
    assert.deepEqual([...new Set(own.map(({ as }) => as))], [""]);
  });

test("[HR16] [TN2] a release that names no account acts as the default one: storage, apply, drift and uninstall; a chart of another namespace is refused", async () => {
  const t = await tenantWith();
  const audit = await system.audit();
  await t.commit(chartFiles(file(configMap("a", { n: "1" }))));
  await t.source();
  await t.helmRelease("shop", { driftDetection: { mode: "enabled" } });
  await t.ready("HelmRelease", "shop");
  await t.edit("ConfigMap", "a", { data: { n: "by hand" } });
  await eventually("the edit put back", async () => (await t.get("ConfigMap", "a")).data?.["n"] === "1");
  await t.remove("HelmRelease", "shop");
  await t.untilGone("HelmRelease", "shop");
  assert.equal(await t.find("ConfigMap", "a"), undefined);
  const made = onObjects(await audit.requests(), t).filter(({ user, verb }) => user === system.user && verb !== "watch");
  for (const verb of ["create", "patch", "delete"]) assert.ok(made.some((request) => request.verb === verb), verb);
  assert.deepEqual([...new Set(made.map(({ as }) => as))], [nameOf(t, "default")]);

  const thief = await tenantWith();
  await thief.helmRelease("shop", { chart: { spec: { chart: "./chart", sourceRef: { kind: "GitRepository", name: "app", namespace: t.namespace } } } });
  await thief.failing("HelmRelease", "shop", "AccessDenied");
});

test("[TN3] what the account may not do is refused with the server's words, and becomes possible with the right", async () => {
  const t = await system.tenant();
  await t.commit({ "shop/a.yaml": file(configMap("a", {})) });
  await t.source();
  await t.unit("shop");
  const { status } = await t.failing("Kustomization", "shop", "ReconciliationFailed");
  assert.match(status?.conditions?.[0]?.message ?? "", new RegExp(`forbidden.*User \\\\?"${nameOf(t, "default")}\\\\?" cannot patch resource`));
  assert.equal(await t.find("ConfigMap", "a"), undefined);
  await t.create("Role", "tenant", { rules });
  await allow(t, "default");
  await t.ready("Kustomization", "shop");
});

test("[TN4] a name that no ServiceAccount has stalls the unit, and nothing is asked in anybody's name", async () => {
  const t = await tenantWith();
  await t.commit({ "shop/a.yaml": file(configMap("a", {})) });
  await t.source();
  const audit = await system.audit();
  await t.unit("shop", { serviceAccountName: `default:${t.namespace}` });
  const stalled = await t.failing("Kustomization", "shop", "InvalidObject");
  assert.equal(conditionOf(stalled, "Stalled")?.status, "True");
  assert.deepEqual(onObjects(await audit.requests(), t), []);
});

const secret = "c2VjcmV0LW9mLXRoZS1vdGhlcg==";

test("[TN12] a tenant reaches nothing of another one: not its sources, objects, accounts, the health of its objects, nor the cluster", async () => {
  const victim = await tenantWith();
  await victim.create("Secret", "login", { data: { password: secret } });
  await victim.start({ "shop/a.yaml": file(configMap("a", {})) }, "shop");
  const before = await Promise.all([victim.get("Secret", "login"), victim.get("ConfigMap", "a")]);
  const t = await tenantWith();
  const { namespace } = victim;
  const binding = object("ClusterRoleBinding", `of-${t.namespace}`, {
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" },
    subjects: [{ kind: "ServiceAccount", name: "default", namespace: t.namespace }],
  });
  await t.commit({
    "objects/a.yaml": file(configMap("a", { stolen: "yes" }, { namespace })),
    "secret/a.yaml": file(object("Secret", "login", { metadata: { namespace }, data: {} })),
    "cluster/a.yaml": file(binding),
    "fine/a.yaml": file(configMap("fine", {})),
    ...chartFiles(file(configMap("read", { values: "{{ toJson .Values }}" }))),
  });
  await t.source();
  await Promise.all([
    t.helmRelease("values", { valuesFrom: [{ kind: "GitRepository", name: "app", namespace, valuesKey: "shop/a.yaml", optional: true }] }),
    t.unit("source", { sourceRef: { kind: "GitRepository", name: "app", namespace }, path: "./shop" }),
    t.unit("objects", { targetNamespace: undefined }),
    t.unit("secret", { targetNamespace: undefined }),
    t.unit("target", { path: "./fine", targetNamespace: namespace }),
    t.unit("cluster", { targetNamespace: undefined }),
    t.unit("account", { path: "./fine", serviceAccountName: `${namespace}:default` }),
    t.unit("health", { path: "./fine", healthChecks: [{ apiVersion: "v1", kind: "Secret", name: "login", namespace }] }),
  ]);
  const denied = await t.failing("Kustomization", "source", "AccessDenied");
  assert.match(conditionOf(denied, "Stalled")?.message ?? "", new RegExp(`can't access 'GitRepository/${namespace}/app', cross-namespace references have been blocked`));
  await t.untilTold("Kustomization", "source", "Warning", "AccessDenied");
  const unread = await t.failing("HelmRelease", "values", "AccessDenied");
  assert.match(conditionOf(unread, "Stalled")?.message ?? "", new RegExp(`can't access 'GitRepository/${namespace}/app', cross-namespace references have been blocked`));
  for (const name of ["objects", "secret", "target", "cluster"]) await t.failing("Kustomization", name, "ReconciliationFailed");
  await t.failing("Kustomization", "account", "InvalidObject");
  const health = await t.failing("Kustomization", "health", "HealthCheckFailed");
  const said = JSON.stringify([denied, health, ...system.watched.Kustomization.all(t.namespace), ...system.watched.Event.all(t.namespace), system.flotilla.logs()]);
  assert.ok(!said.includes(secret) && !said.includes("secret-of-the-other"));
  const after = await Promise.all([victim.get("Secret", "login"), victim.get("ConfigMap", "a")]);
  assert.deepEqual(after.map(({ metadata }) => metadata.resourceVersion), before.map(({ metadata }) => metadata.resourceVersion));
  assert.equal(await system.kube.find(pathOf("ClusterRoleBinding", undefined, binding.metadata.name)), undefined);

  // An inventory that is forged in the status of a unit deletes nothing either.
  const forged = [{ id: `${namespace}_a__ConfigMap`, v: "v1" }];
  await system.kube.merge(`${pathOf("Kustomization", t.namespace, "source")}/status`, { status: { inventory: { entries: forged } } });
  await t.remove("Kustomization", "source");
  await eventually("the deletion was tried", () => t.told("Kustomization", "source").some(({ reason }) => reason === "PruneFailed"));
  assert.ok(await victim.find("ConfigMap", "a"));
});

test("[TN20] deleted when its account is gone, a unit leaves its objects, says so, and goes", async () => {
  const t = await tenantWith("robot");
  await t.commit({ "shop/a.yaml": file(configMap("a", {})) });
  await t.source();
  await t.unit("shop", { serviceAccountName: "robot" });
  await t.ready("Kustomization", "shop");
  await t.remove("ServiceAccount", "robot");
  await t.remove("Kustomization", "shop");
  await t.untilGone("Kustomization", "shop");
  await t.untilTold("Kustomization", "shop", "Warning", "PruneFailed", new RegExp(`ServiceAccount/${t.namespace}/robot not found.*ConfigMap/${t.namespace}/a`));
  assert.ok(await t.find("ConfigMap", "a"));
});
