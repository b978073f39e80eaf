/**
 * What can be wrong outside. Each row begins with a good state, spoils it, and corrects it: the unit or source that is
 * concerned says why it failed and what to do, nothing is deleted, its neighbour goes on, and it heals by itself.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configMap, deployment, file, kustomizationFile, object } from "../objects.ts";
import { gitUser, type System } from "../system.ts";
import { conditionOf, type Tenant } from "../tenant.ts";

type Row = {
  title: string;
  /** Of the unit, when it is not the usual. */
  unit?: Record<string, unknown>;
  /** Which of the two says so; the unit unless given. */
  says?: "GitRepository";
  spoil(t: Tenant): Promise<unknown>;
  reason: string;
  /** What the message holds: what it happened to, and what to do. */
  message: RegExp;
  correct(t: Tenant): Promise<unknown>;
  /** Whether the commit that spoils the unit reaches the neighbour; a source that fails gives it nothing new. */
  neighbourMovesOn?: boolean;
};

const patchSource = (spec: object) => (t: Tenant) => t.edit("GitRepository", "app", { spec });
const patchUnit = (spec: object) => (t: Tenant) => t.edit("Kustomization", "shop", { spec });
const good = file(configMap("settings", { colour: "blue" }));

/** A commit spoils the unit's directory, and another one corrects it; the neighbour gets both. */
const inGit = (files: Record<string, string | null>, corrected: Record<string, string | null>) => ({
  spoil: (t: Tenant) => t.push({ ...files, "neighbour/n.yaml": file(configMap("neighbour", { n: "2" })) }),
  correct: (t: Tenant) => t.push({ ...corrected }),
  neighbourMovesOn: true,
});

const rows: Row[] = [
  {
    title: "an unreachable URL", says: "GitRepository",
    spoil: patchSource({ url: "http://127.0.0.1:1/shop.git" }),
    reason: "GitOperationFailed", message: /127\.0\.0\.1:1.*refused.*check spec\.url/s,
    correct: (t) => patchSource({ url: t.url })(t),
  },
  {
    title: "a repository that is not there", says: "GitRepository",
    spoil: (t) => patchSource({ url: `${t.url}-gone.git` })(t),
    reason: "GitOperationFailed", message: /404.*check spec\.url/s,
    correct: (t) => patchSource({ url: t.url })(t),
  },
  {
    title: "a wrong password", says: "GitRepository",
    async spoil(t) {
      await t.system.privateGit.createRepo(t.namespace);
      await t.system.privateGit.commit(t.namespace, { files: { "shop/a.yaml": good }, message: "m" });
      await t.create("Secret", "access", { stringData: { ...gitUser, password: "wrong-p4ss" } });
      await patchSource({ url: t.system.privateGit.repoUrl(t.namespace), secretRef: { name: "access" } })(t);
    },
    reason: "AuthenticationFailed", message: /401.*spec\.secretRef/s,
    correct: (t) => t.edit("Secret", "access", { stringData: gitUser }),
  },
  {
    title: "a missing Secret", says: "GitRepository",
    spoil: patchSource({ secretRef: { name: "access" } }),
    reason: "AuthenticationFailed", message: /Secret.*access.*spec\.secretRef/s,
    correct: (t) => t.create("Secret", "access", { stringData: gitUser }),
  },
  {
    title: "a missing branch", says: "GitRepository",
    spoil: patchSource({ ref: { branch: "release" } }),
    reason: "GitOperationFailed", message: /release.*check spec\.ref/s,
    correct: (t) => t.commit({ "shop/a.yaml": good }, { branch: "release" }),
  },
  {
    title: "a missing commit", says: "GitRepository",
    spoil: patchSource({ ref: { branch: null, commit: "1234567890123456789012345678901234567890" } }),
    reason: "GitOperationFailed", message: /commit.*check spec\.ref/s,
    correct: patchSource({ ref: { branch: "main", commit: null } }),
  },
  {
    title: "an empty repository", says: "GitRepository",
    async spoil(t) {
      await t.system.git.createRepo(`${t.namespace}-empty`);
      await patchSource({ url: t.system.git.repoUrl(`${t.namespace}-empty`) })(t);
    },
    reason: "EmptyGitRepository", message: /push a first commit/,
    correct: (t) => t.system.git.commit(`${t.namespace}-empty`, { files: { "shop/a.yaml": good }, message: "m" }),
  },
  {
    title: "a missing source",
    spoil: patchUnit({ sourceRef: { kind: "GitRepository", name: "other" } }),
    reason: "ArtifactFailed", message: /GitRepository\/.*\/other.*not found.*spec\.sourceRef/s,
    correct: (t) => t.source({}, "other"),
  },
  {
    title: "a missing path",
    spoil: patchUnit({ path: "./nowhere" }),
    reason: "ArtifactFailed", message: /path not found.*nowhere.*check spec\.path/s,
    correct: patchUnit({ path: "./shop" }),
  },
  {
    title: "invalid YAML",
    ...inGit({ "shop/a.yaml": "kind: ConfigMap\n  metadata: [" }, { "shop/a.yaml": good }),
    reason: "BuildFailed", message: /a\.yaml.*correct the manifests/s,
  },
  {
    title: "a file that is no Kubernetes object",
    ...inGit({ "shop/b.yaml": "just: words\n" }, { "shop/b.yaml": null }),
    reason: "BuildFailed", message: /b\.yaml.*correct the manifests/s,
  },
  {
    title: "a kustomization that fails to build",
    ...inGit({ "shop/kustomization.yaml": kustomizationFile({ resources: ["a.yaml", "missing.yaml"] }) }, { "shop/kustomization.yaml": kustomizationFile({ resources: ["a.yaml"] }) }),
    reason: "BuildFailed", message: /missing\.yaml.*correct the manifests/s,
  },
  {
    title: "an unknown kind, until its definition is installed",
    ...inGit({ "shop/b.yaml": file({ apiVersion: "system.example.com/v1", kind: "Widget", metadata: { name: "w" } }) }, {}),
    reason: "ReconciliationFailed", message: /Widget.*no matches for kind "Widget" in version "system\.example\.com\/v1".*install the CustomResourceDefinition/s,
    correct: (t) => t.system.kube.create(object("CustomResourceDefinition", "widgets.system.example.com", {
      spec: {
        group: "system.example.com", scope: "Namespaced", names: { kind: "Widget", plural: "widgets", singular: "widget" },
        versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } }],
      },
    })),
  },
  {
    title: "a forbidden object, until the role allows it",
    ...inGit({ "shop/b.yaml": file(object("NetworkPolicy", "closed", { spec: { podSelector: {} } })) }, {}),
    reason: "ReconciliationFailed", message: /NetworkPolicy.*closed.*forbidden.*extend its role/s,
    correct: (t) => t.system.grant([{ apiGroups: ["networking.k8s.io"], resources: ["networkpolicies"], verbs: ["*"] }]),
  },
  {
    title: "an invalid object",
    ...inGit({ "shop/b.yaml": file(object("Service", "web", { spec: { ports: [{ port: 99_999 }] } })) }, { "shop/b.yaml": null }),
    reason: "ReconciliationFailed", message: /Service.*web.*ports.*correct it in the source/s,
  },
  {
    title: "an object with a field of a wrong type",
    ...inGit({ "shop/b.yaml": file(object("Service", "web", { spec: { ports: "many" } })) }, { "shop/b.yaml": null }),
    reason: "ReconciliationFailed", message: /Service.*web.*correct it in the source/s,
  },
  {
    title: "a namespace that does not exist",
    unit: { targetNamespace: null },
    spoil: (t) => t.push({ "shop/b.yaml": file(configMap("b", {}, { namespace: `${t.namespace}-more` })), "neighbour/n.yaml": file(configMap("neighbour", { n: "2" })) }),
    reason: "ReconciliationFailed", message: /-more.*create the namespace/s,
    correct: (t) => t.system.kube.create(object("Namespace", `${t.namespace}-more`)),
    neighbourMovesOn: true,
  },
  {
    title: "an object without a namespace",
    unit: { targetNamespace: null },
    spoil: (t) => t.push({ "shop/b.yaml": file(configMap("b", {})), "neighbour/n.yaml": file(configMap("neighbour", { n: "2" })) }),
    reason: "ReconciliationFailed", message: /ConfigMap\/b.*namespace.*spec\.targetNamespace/s,
    correct: (t) => patchUnit({ targetNamespace: t.namespace })(t),
    neighbourMovesOn: true,
  },
  {
    title: "a workload that fails",
    unit: { wait: true, timeout: "10m" },
    ...inGit(
      { "shop/b.yaml": file(deployment("web", "example.com/web:missing", { progressDeadlineSeconds: 1 })) },
      { "shop/b.yaml": file(deployment("web", "example.com/web:1", { progressDeadlineSeconds: 1 })) },
    ),
    reason: "HealthCheckFailed", message: /Deployment\/.*\/web.*look at the named objects/s,
  },
];

export function badInputCases(system: System): void {
  for (const { title, unit = {}, says, spoil, reason, message, correct, neighbourMovesOn = false } of rows)
    test(`[SY40] bad input: ${title}`, async () => {
      const t = await system.tenant();
      const settings = file(configMap("settings", { colour: "blue" }, { namespace: t.namespace }));
      await t.commit({ "shop/a.yaml": settings, "neighbour/n.yaml": file(configMap("neighbour", { n: "1" })) });
      await t.source();
      await Promise.all([t.unit("shop", unit), t.unit("neighbour")]);
      await Promise.all([t.ready("Kustomization", "shop"), t.ready("Kustomization", "neighbour")]);
      const before = await t.get("ConfigMap", "settings");
      const audit = await system.audit();

      await spoil(t);
      const [kind, name] = says ? ([says, "app"] as const) : (["Kustomization", "shop"] as const);
      const failing = await t.failing(kind, name, reason);
      const ready = conditionOf(failing, "Ready");
      assert.match(ready?.message ?? "", message);
      assert.equal(conditionOf(failing, "Reconciling")?.reason, "ProgressingWithRetry");
      if (says) assert.equal(conditionOf(failing, "FetchFailed")?.reason, reason);
      const event = await t.untilTold(kind, name, "Warning", reason, message);
      assert.equal(event.message, ready?.message);

      if (neighbourMovesOn) await t.until("Kustomization", "neighbour", "at the new commit", ({ status }) => status?.lastAppliedRevision === failing.status?.lastAttemptedRevision);
      else assert.equal(conditionOf(t.seen("Kustomization", "neighbour") ?? assert.fail("gone"), "Ready")?.status, "True");

      await correct(t);
      await t.ready(kind, name);
      await t.ready("Kustomization", "shop");
      const after = await t.get("ConfigMap", "settings");
      assert.equal(after.metadata.uid, before.metadata.uid);
      const deletions = (await audit.requests()).filter(({ verb, namespace }) => verb.startsWith("delete") && namespace === t.namespace);
      assert.deepEqual(deletions, []);
    });
}
