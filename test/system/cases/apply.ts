/** From an artifact to objects, and what a change costs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isWrite, type Audit, type AuditedRequest } from "../audit.ts";
import { configMap, file, kustomizationFile, object } from "../objects.ts";
import type { System } from "../system.ts";
import { conditionOf } from "../tenant.ts";

export function applyCases(system: System): void {
  test("[SY10] a commit becomes objects: labels, field manager, inventory, conditions, revisions and event are Flux's", async () => {
    const t = await system.tenant();
    const sha = await t.start({ "shop/all.yaml": file(configMap("settings", { colour: "blue" }), object("Service", "shop", { spec: { ports: [{ port: 80 }] } })) }, "shop");
    const revision = `main@sha1:${sha}`;

    const made = await t.get("ConfigMap", "settings");
    assert.deepEqual(made.data, { colour: "blue" });
    assert.deepEqual(made.metadata.labels, {
      "kustomize.toolkit.fluxcd.io/name": "shop",
      "kustomize.toolkit.fluxcd.io/namespace": t.namespace,
    });
    assert.deepEqual(made.metadata.managedFields?.map(({ manager, operation }) => ({ manager, operation })), [
      { manager: "kustomize-controller", operation: "Apply" },
    ]);

    const { status, metadata } = await t.ready("Kustomization", "shop", sha);
    assert.deepEqual(metadata.finalizers, ["finalizers.fluxcd.io"]);
    assert.deepEqual(status?.inventory?.entries.toSorted((a, b) => (a.id < b.id ? -1 : 1)), [
      { id: `${t.namespace}_settings__ConfigMap`, v: "v1" },
      { id: `${t.namespace}_shop__Service`, v: "v1" },
    ]);
    assert.equal(status?.lastAppliedRevision, revision);
    assert.equal(status?.lastAttemptedRevision, revision);
    assert.equal(status?.observedGeneration, metadata.generation);
    const said = (status?.conditions ?? []).map(({ type, status, reason, message }) => ({ type, status, reason, message }));
    assert.deepEqual(said, [{ type: "Ready", status: "True", reason: "ReconciliationSucceeded", message: `Applied revision: ${revision}` }]);

    const over = await t.untilTold("Kustomization", "shop", "Normal", "ReconciliationSucceeded", /^Reconciliation finished in .*s, next run in /);
    assert.equal(over.annotations["kustomize.toolkit.fluxcd.io/commit_status"], "update");
    const [{ digest = "", lastReconciledStatus, totalReconciliations, metadata: about } = {}, ...earlier] = status?.history ?? [];
    assert.match(digest, /^sha256:[0-9a-f]{64}$/);
    assert.deepEqual([lastReconciledStatus, totalReconciliations, about, earlier], ["ReconciliationSucceeded", 1, { revision }, []]);
    const event = await t.untilTold("Kustomization", "shop", "Normal", "Progressing", / created/);
    assert.equal(event.component, "kustomize-controller");
    assert.equal(event.annotations["kustomize.toolkit.fluxcd.io/revision"], revision);
    assert.match(event.message, new RegExp(`ConfigMap/${t.namespace}/settings created`));
    assert.match(event.message, new RegExp(`Service/${t.namespace}/shop created`));
  });

  test("[SY11] a kustomization.yaml is built by kustomize, with the spec's own amendments", async () => {
    const t = await system.tenant();
    const files = {
      "base/kustomization.yaml": kustomizationFile({ resources: ["web.yaml"] }),
      "base/web.yaml": file(configMap("web", { tier: "base", shared: "yes" })),
      "overlays/prod/kustomization.yaml": kustomizationFile({
        resources: ["../../base"],
        nameSuffix: "-prod",
        patches: [{ patch: JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "web" }, data: { tier: "prod" } }) }],
      }),
    };
    await t.commit(files);
    await t.source();
    await t.unit("web", { path: "./overlays/prod", namePrefix: "shop-", commonMetadata: { labels: { team: "a" } } });
    await t.ready("Kustomization", "web");
    const made = await t.get("ConfigMap", "shop-web-prod");
    assert.deepEqual(made.data, { tier: "prod", shared: "yes" });
    assert.equal(made.metadata.labels?.["team"], "a");
  });

  test("[SY11] without a kustomization.yaml every manifest below the path is applied, into spec.targetNamespace", async () => {
    const t = await system.tenant();
    await t.start({ "shop/a.yaml": file(configMap("a", { n: "1" })), "shop/deep/er/b.yml": file(configMap("b", { n: "2" })), "shop/readme.md": "no manifest" }, "shop");
    assert.deepEqual((await t.get("ConfigMap", "a")).data, { n: "1" });
    assert.deepEqual((await t.get("ConfigMap", "b")).data, { n: "2" });
  });

  test("[SY11] what the rest stands on is applied first: a definition and its object, a namespace and what is in it", async () => {
    const t = await system.tenant();
    const other = `${t.namespace}-own`;
    const group = `${t.namespace}.system.example.com`;
    await system.grant([{ apiGroups: [group], resources: ["*"], verbs: ["*"] }]); // a role cannot name groups by a pattern
    await t.commit({
      "shop/1-object.yaml": file({ apiVersion: `${group}/v1`, kind: "Gadget", metadata: { name: "first", namespace: other }, spec: { size: 1 } }),
      "shop/2-definition.yaml": file(definition(group, "Gadget", "gadgets")),
      "shop/3-namespace.yaml": file(object("Namespace", other)),
    });
    await t.source();
    await t.unit("shop", { targetNamespace: undefined });
    const { status } = await t.ready("Kustomization", "shop");
    assert.deepEqual(status?.inventory?.entries.map(({ id }) => id).sort(), [
      `${other}_first_${group}_Gadget`,
      `_${other}__Namespace`,
      `_gadgets.${group}_apiextensions.k8s.io_CustomResourceDefinition`,
    ].sort());
    await t.remove("Kustomization", "shop");
    await t.untilGone("Kustomization", "shop");
  });

  test("[SY12] a commit touches only what it changed: one app of three is written, the others move on by their status alone", async () => {
    const t = await system.tenant();
    const app = (name: string, version: string) => ({ [`${name}/a.yaml`]: file(configMap(`${name}-a`, { version }), configMap(`${name}-b`, { fixed: "yes" })) });
    await t.start({ ...app("one", "1"), ...app("two", "1"), ...app("three", "1") }, "one", "two", "three");
    const audit = await system.audit();
    const sha = await t.push(app("two", "2"));
    await Promise.all(["one", "two", "three"].map((name) => t.ready("Kustomization", name, sha)));

    assert.equal((await t.get("ConfigMap", "two-a")).data?.["version"], "2");
    const mine = await about(audit, t.namespace);
    assert.deepEqual(mine.filter(isObject).map(({ verb, name, dryRun }) => ({ verb, name, dryRun })), [
      { verb: "patch", name: "two-a", dryRun: true },
      { verb: "patch", name: "two-a", dryRun: false },
    ]);
    const perUnit = (name: string) => statusWrites(mine).filter((request) => request.name === name && request.resource === "kustomizations").length;
    assert.deepEqual([perUnit("one"), perUnit("three")], [1, 1]);
  });

  test("[SY13] what a commit no longer has is deleted, unless its labels or an annotation forbid it", async () => {
    const t = await system.tenant();
    const keep = { annotations: { "kustomize.toolkit.fluxcd.io/prune": "disabled" } };
    await t.start({ "shop/stays.yaml": file(configMap("stays", {})), "shop/goes.yaml": file(configMap("goes", {}), configMap("kept", {}, keep), configMap("foreign", {})) }, "shop");
    await t.edit("Kustomization", "shop", { spec: { suspend: true } });
    await t.reconciled("Kustomization", "shop"); // the suspension is seen: what follows is not put back
    // somebody else's by now: it carries another owner's labels
    await t.edit("ConfigMap", "foreign", { metadata: { labels: { "kustomize.toolkit.fluxcd.io/name": "other" } } });
    const sha = await t.push({ "shop/goes.yaml": null });
    await t.ready("GitRepository", "app", sha);
    await t.edit("Kustomization", "shop", { spec: { suspend: false } });
    const { status } = await t.ready("Kustomization", "shop", sha);

    assert.equal(await t.find("ConfigMap", "goes"), undefined);
    assert.ok(await t.find("ConfigMap", "kept"));
    assert.ok(await t.find("ConfigMap", "foreign"));
    assert.deepEqual(status?.inventory?.entries.map(({ id }) => id), [`${t.namespace}_stays__ConfigMap`]);
    await t.untilTold("Kustomization", "shop", "Normal", "Progressing", new RegExp(`ConfigMap/${t.namespace}/goes deleted`));
  });

  test("[SY13] with prune: false nothing is deleted", async () => {
    const t = await system.tenant();
    await t.commit({ "shop/a.yaml": file(configMap("a", {})), "shop/b.yaml": file(configMap("b", {})) });
    await t.source();
    await t.unit("shop", { prune: false });
    await t.ready("Kustomization", "shop");
    const sha = await t.push({ "shop/b.yaml": null });
    const { status } = await t.ready("Kustomization", "shop", sha);
    assert.deepEqual(status?.inventory?.entries.map(({ id }) => id), [`${t.namespace}_a__ConfigMap`]);
    assert.ok(await t.find("ConfigMap", "b"));
  });

  test("[SY14] a suspended unit does nothing and keeps its conditions; resumed, it catches up", async () => {
    const t = await system.tenant();
    const app = (version: string) => ({ "still/a.yaml": file(configMap("still", { version })), "awake/a.yaml": file(configMap("awake", { version })) });
    await t.start(app("1"), "still", "awake");
    const { status } = await t.edit("Kustomization", "still", { spec: { suspend: true } });
    const sha = await t.push(app("2"));
    await t.ready("Kustomization", "awake", sha);
    const { status: answered } = await t.reconciled("Kustomization", "still");
    assert.deepEqual({ ...answered, lastHandledReconcileAt: undefined }, { ...status, lastHandledReconcileAt: undefined });
    assert.equal((await t.get("ConfigMap", "still")).data?.["version"], "1");

    await t.edit("Kustomization", "still", { spec: { suspend: false } });
    await t.ready("Kustomization", "still", sha);
    assert.equal((await t.get("ConfigMap", "still")).data?.["version"], "2");
  });

  test("[SY15] a request for a reconcile compares every object with the cluster, and its value is repeated in the status", async () => {
    const t = await system.tenant();
    await t.start({ "shop/a.yaml": file(configMap("a", { n: "1" }), configMap("b", { n: "1" })) }, "shop");
    const versions = async () => Promise.all(["a", "b"].map(async (name) => (await t.get("ConfigMap", name)).metadata.resourceVersion));
    const before = await versions();
    const audit = await system.audit();
    await t.reconciled("Kustomization", "shop");
    const compared = (await about(audit, t.namespace)).filter((request) => isObject(request) && request.dryRun).map(({ name }) => name);
    assert.deepEqual(compared.sort(), ["a", "b"]);
    assert.deepEqual(await versions(), before);
  });

  test("[SY16] a changed spec is acted on at once: interval, path, target", async () => {
    const t = await system.tenant();
    await t.start({ "shop/a.yaml": file(configMap("a", { from: "shop" })), "other/a.yaml": file(configMap("a", { from: "other" })) }, "shop");
    await t.edit("Kustomization", "shop", { spec: { interval: "2h" } });
    assert.equal((await t.ready("Kustomization", "shop")).metadata.generation, 2);
    await t.edit("Kustomization", "shop", { spec: { path: "./other" } });
    await t.ready("Kustomization", "shop");
    assert.equal((await t.get("ConfigMap", "a")).data?.["from"], "other");
  });

  test("[SY17] an immutable field is refused, and with spec.force the object is deleted and created anew", async () => {
    const t = await system.tenant();
    const app = (n: string) => ({ "shop/a.yaml": file({ ...configMap("frozen", { n }), immutable: true }) });
    await t.start(app("1"), "shop");
    const before = await t.get("ConfigMap", "frozen");
    await t.push(app("2"));
    const failing = await t.failing("Kustomization", "shop", "ReconciliationFailed");
    assert.match(conditionOf(failing, "Ready")?.message ?? "", /frozen.*immutable.*spec\.force/s);
    assert.equal((await t.get("ConfigMap", "frozen")).metadata.uid, before.metadata.uid);
    await t.edit("Kustomization", "shop", { spec: { force: true } });
    await t.ready("Kustomization", "shop");
    const after = await t.get("ConfigMap", "frozen");
    assert.deepEqual(after.data, { n: "2" });
    assert.notEqual(after.metadata.uid, before.metadata.uid);
  });

  test("[SY18] two namespaces apply from one source, each into its own", async () => {
    const t = await system.tenant();
    const other = await system.tenant();
    const sha = await t.start({ "shop/a.yaml": file(configMap("a", {})) }, "shop");
    await other.unit("shop", { sourceRef: { kind: "GitRepository", name: "app", namespace: t.namespace } });
    await other.ready("Kustomization", "shop", sha);
    const owner = (await other.get("ConfigMap", "a")).metadata.labels?.["kustomize.toolkit.fluxcd.io/namespace"];
    assert.equal(owner, other.namespace);
  });
}

/** Requests about a namespace; what merely looks on is left out. */
const about = async (audit: Audit, namespace: string) =>
  (await audit.requests()).filter((request) => request.namespace === namespace && request.verb !== "watch" && request.verb !== "list");

const ours = new Set(["kustomizations", "gitrepositories", "events"]);
const isObject = ({ resource }: AuditedRequest) => !ours.has(resource);
const statusWrites = (requests: AuditedRequest[]) => requests.filter((request) => request.subresource === "status" && isWrite(request));

const definition = (group: string, kind: string, plural: string) =>
  object("CustomResourceDefinition", `${plural}.${group}`, {
    spec: {
      group,
      scope: "Namespaced",
      names: { kind, plural, singular: kind.toLowerCase() },
      versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } } }],
    },
  });
