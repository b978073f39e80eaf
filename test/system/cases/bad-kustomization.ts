/**
 * A Kustomization with something wrong in it, and what stands is left alone. Each row begins with a unit that is Ready; then
 * one commit and one edit spoil them all. `refused`: the API server does not even take it.
 */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { generateIdentity } from "age-encryption";
import { configMap, file, kustomizationFile, object } from "../objects.ts";
import type { System } from "../system.ts";
import { conditionOf, type Tenant } from "../tenant.ts";

type Row = {
  /** With the rule's id in front. */
  title: string;
  /** Merged into the unit's specification. */
  spec?: Record<string, unknown>;
  /** Of the unit's directory; null: deleted. */
  files?: Record<string, string | null>;
} & ({ refused: RegExp } | { reason: string; message: RegExp; stalled?: true });

const patch = (text: string, target?: object) => ({ patches: [{ patch: text, ...(target && { target }) }] });
/** Stands for the name of the object that each unit has applied before. */
const settings = "SETTINGS";
const toSettings = { kind: "ConfigMap", name: settings };
/** Ten levels of ten: 10,000,000,000 strings. */
const bomb = ["a: &a [x, x, x, x, x, x, x, x, x, x]", ..."bcdefghij".split("").map((name, i) => `${name}: &${name} [${Array<string>(10).fill(`*${"abcdefghi"[i]}`).join(", ")}]`)].join("\n");
const sopsFields = {
  age: [{ recipient: "age1nobody", enc: "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n" }],
  lastmodified: "2026-01-01T00:00:00Z", mac: "ENC[AES256_GCM,data:AAAA,iv:AAAA,tag:AAAA,type:str]", version: "3.9.0",
};
const encrypted = file(object("Secret", "access", { stringData: { password: "ENC[AES256_GCM,data:AAAA,iv:AAAA,tag:AAAA,type:str]" }, sops: sopsFields }));

const rows: Row[] = [
  // What the definition's schema says
  { title: "[BI1] an interval in words", spec: { interval: "5 minutes" }, refused: /spec\.interval/ },
  { title: "[BI2] no interval", spec: { interval: null }, refused: /spec\.interval.*Required/s },
  { title: "[BI3] a retryInterval without a unit", spec: { retryInterval: "30" }, refused: /spec\.retryInterval/ },
  { title: "[BI4] a negative timeout", spec: { timeout: "-1m" }, refused: /spec\.timeout/ },
  { title: "[BI5] no source", spec: { sourceRef: null }, refused: /spec\.sourceRef.*Required/s },
  { title: "[BI6] a kind of source that holds no manifests", spec: { sourceRef: { kind: "HelmRepository" } }, refused: /sourceRef\.kind.*Unsupported value/s },
  { title: "[BI7] no word on pruning", spec: { prune: null }, refused: /spec\.prune.*Required/s },
  { title: "[BI8] an unknown deletionPolicy", spec: { deletionPolicy: "Maybe" }, refused: /deletionPolicy.*Unsupported value/s },
  { title: "[BI9] an unknown decryption provider", spec: { decryption: { provider: "gpg" } }, refused: /decryption\.provider.*Unsupported value/s },
  { title: "[BI10] an empty targetNamespace", spec: { targetNamespace: "" }, refused: /spec\.targetNamespace/ },
  { title: "[BI11] a namePrefix of 300 characters", spec: { namePrefix: "p".repeat(300) }, refused: /spec\.namePrefix/ },
  { title: "[BI12] variables from a Pod", spec: { postBuild: { substituteFrom: [{ kind: "Pod", name: "vars" }] } }, refused: /substituteFrom.*kind.*Unsupported value/s },
  { title: "[BI13] a variable that is a number", spec: { postBuild: { substitute: { replicas: 3 } } }, refused: /substitute.*string/s },
  { title: "[BI14] two kubeConfigs", spec: { kubeConfig: { secretRef: { name: "a" }, configMapRef: { name: "b" } } }, refused: /exactly one/ },
  { title: "[BI15] an empty kubeConfig", spec: { kubeConfig: {} }, refused: /exactly one/ },
  { title: "[BI16] a health check without a kind", spec: { healthChecks: [{ name: "web" }] }, refused: /healthChecks.*kind.*Required/s },
  { title: "[BI17] a health expression that never says current", spec: { healthCheckExprs: [{ apiVersion: "v1", kind: "ConfigMap" }] }, refused: /healthCheckExprs.*current.*Required/s },
  { title: "[BI18] an image without a name", spec: { images: [{ newTag: "2" }] }, refused: /images.*name.*Required/s },
  { title: "[BI19] a dependency without a name", spec: { dependsOn: [{ namespace: "apps" }] }, refused: /dependsOn.*name.*Required/s },
  { title: "[BI20] a patch without content", spec: { patches: [{ target: toSettings }] }, refused: /patches.*patch.*Required/s },

  // What only building shows
  { title: "[BI21] a path that leads out of the artifact", spec: { path: "../../../etc" }, reason: "ArtifactFailed", message: /path not found.*check spec\.path/s },
  { title: "[BI22] a patch that is no YAML", spec: patch("- op: [", toSettings), reason: "BuildFailed", message: /patch|yaml/i },
  { title: "[BI23] a JSON patch on a field that is not there", spec: patch("- { op: replace, path: /data/nothing/here, value: x }", toSettings), reason: "BuildFailed", message: /nothing/ },
  { title: "[BI24] a patch for an object that is not there", spec: patch(file(configMap("elsewhere", { a: "b" }))), reason: "BuildFailed", message: /elsewhere/ },
  { title: "[BI25] a component that is not there", spec: { components: ["../nowhere"] }, reason: "BuildFailed", message: /nowhere/ },
  { title: "[BI26] components in a circle", files: {
    "kustomization.yaml": kustomizationFile({ resources: ["a.yaml"], components: ["one"] }),
    "one/kustomization.yaml": JSON.stringify({ apiVersion: "kustomize.config.k8s.io/v1alpha1", kind: "Component", components: ["../two"] }),
    "two/kustomization.yaml": JSON.stringify({ apiVersion: "kustomize.config.k8s.io/v1alpha1", kind: "Component", components: ["../one"] }),
  }, reason: "BuildFailed", message: /cycle/ },
  { title: "[BI27] two kustomization files", files: { "kustomization.yaml": kustomizationFile({ resources: ["a.yaml"] }), "kustomization.yml": kustomizationFile({}) }, reason: "BuildFailed", message: /kustomization/i },
  { title: "[BI28] a base whose kustomization has an unknown field", files: { "kustomization.yaml": kustomizationFile({ resources: ["a.yaml", "base"] }), "base/kustomization.yaml": kustomizationFile({ resorces: [] }) }, reason: "BuildFailed", message: /resorces/ },
  { title: "[BI29] a base elsewhere on the network", files: { "kustomization.yaml": kustomizationFile({ resources: ["a.yaml", "https://git.example/base.git"] }) }, reason: "BuildFailed", message: /git\.example/ },
  { title: "[BI30] a base outside of the artifact", files: { "kustomization.yaml": kustomizationFile({ resources: ["a.yaml", "../../../../etc"] }) }, reason: "BuildFailed", message: /etc/ },
  { title: "[BI31] a generator that wants to run a program", files: {
    "kustomization.yaml": kustomizationFile({ resources: ["a.yaml"], generators: ["exec.yaml"] }),
    "exec.yaml": JSON.stringify({ apiVersion: "example.com/v1", kind: "Run", metadata: { name: "run", annotations: { "config.kubernetes.io/function": "exec: { path: /bin/sh }" } } }),
  }, reason: "BuildFailed", message: /exec|function|plugin|Run/i },
  { title: "[BI32] a chart to be fetched", files: { "kustomization.yaml": kustomizationFile({ resources: ["a.yaml"], helmCharts: [{ name: "podinfo", repo: "https://charts.example", version: "1" }] }) }, reason: "BuildFailed", message: /helm/i },
  { title: "[BI33] a generator's file that is not there", files: { "kustomization.yaml": kustomizationFile({ resources: ["a.yaml"], configMapGenerator: [{ name: "made", files: ["gone.txt"] }] }) }, reason: "BuildFailed", message: /gone\.txt/ },
  { title: "[BI34] YAML that unfolds to ten thousand million strings", files: { "b.yaml": `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: bomb }\ndata:\n${bomb.replaceAll(/^/gm, "  ")}\n` }, reason: "BuildFailed", message: /b\.yaml.*aliases unfold/s },
  { title: "[BI35] an object without a name", files: { "b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n" }, reason: "BuildFailed", message: /name/ },
  { title: "[BI36] one object twice", files: { "b.yaml": file(configMap(settings, { other: "1" })) }, reason: "BuildFailed", message: /settings-bi36/ },
  { title: "[BI37] a variable that nobody gives", spec: { postBuild: { substitute: { other: "1" } } }, files: { "b.yaml": file(configMap("b", { a: "${missing}" })) }, reason: "BuildFailed", message: /missing/ },
  { title: "[BI38] a variable with a name that is none", spec: { postBuild: { substitute: { "1st": "1" } } }, files: { "b.yaml": file(configMap("b", { a: "${other:=1}" })) }, reason: "BuildFailed", message: /1st/ },
  { title: "[BI39] variables from a ConfigMap that is not there", spec: { postBuild: { substituteFrom: [{ kind: "ConfigMap", name: "vars-gone" }] } }, reason: "BuildFailed", message: /ConfigMap.*vars-gone.*not found/s },
  { title: "[BI40] variables from a Secret that is not there", spec: { postBuild: { substituteFrom: [{ kind: "Secret", name: "vars-gone" }] } }, reason: "BuildFailed", message: /Secret.*vars-gone.*not found/s },
  { title: "[BI41] a variable that breaks the YAML around it", spec: { postBuild: { substitute: { broken: "}] : {" } } }, files: { "b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: b }\ndata:\n  a: ${broken}\n" }, reason: "BuildFailed", message: /b/ },
  { title: "[BI42] an encrypted Secret, and no word on decryption", files: { "b.yaml": encrypted }, reason: "BuildFailed", message: /access.*(encrypted|decrypt)/is },
  { title: "[BI43] an encrypted Secret, and no key that opens it", spec: { decryption: { provider: "sops", secretRef: { name: "keys" } } }, files: { "b.yaml": encrypted }, reason: "BuildFailed", message: /access|b\.yaml/ },
  { title: "[BI44] decryption keys that are not there", spec: { decryption: { provider: "sops", secretRef: { name: "keys-gone" } } }, files: { "b.yaml": encrypted }, reason: "BuildFailed", message: /keys-gone.*not found/s },

  // What only the cluster says
  { title: "[BI45] a name that no object may have", files: { "b.yaml": file(configMap("Not_A_Name", {})) }, reason: "ReconciliationFailed", message: /Not_A_Name/ },
  { title: "[BI46] a label that is none", spec: { commonMetadata: { labels: { team: "no spaces allowed" } } }, reason: "ReconciliationFailed", message: /label|team/ },
  { title: "[BI47] a field that cannot be changed", files: { "fixed.yaml": file(object("ConfigMap", "fixed", { immutable: true, data: { a: "after" } })) }, reason: "ReconciliationFailed", message: /fixed.*immutable/s },
  { title: "[BI48] a namespace to put it in that is not there", spec: { targetNamespace: "nowhere-at-all" }, reason: "ReconciliationFailed", message: /nowhere-at-all/ },
  { title: "[BI49] a ServiceAccount that is not there", spec: { serviceAccountName: "nobody" }, files: { "b.yaml": file(configMap("more-bi49", {})) }, reason: "ReconciliationFailed", message: /nobody/ },
  { title: "[BI50] a health expression that does not compile", spec: { wait: true, healthCheckExprs: [{ apiVersion: "v1", kind: "ConfigMap", current: "data.a ==" }] }, reason: "InvalidCELExpression", message: /data\.a ==|Syntax|ERROR/, stalled: true },
  { title: "[BI51] a dependency that is not there", spec: { dependsOn: [{ name: "nobody" }] }, reason: "DependencyNotReady", message: /nobody/ },
  { title: "[BI52] a dependency on itself", spec: { dependsOn: [{ name: "bi52" }] }, reason: "DependencyCycle", message: /bi52/, stalled: true },
  { title: "[BI53] a condition for a dependency that does not compile", spec: { dependsOn: [{ name: "bi1", readyExpr: "dep.status ==" }] }, reason: "InvalidCELExpression", message: /dep\.status/, stalled: true },
];

const nameOf = ({ title }: Row) => title.slice(1, title.indexOf("]")).toLowerCase();
const settingsOf = (row: Row) => `settings-${nameOf(row)}`;
const named = <T>(row: Row, value: T): T => JSON.parse(JSON.stringify(value).replaceAll(settings, settingsOf(row))) as T;

export function badKustomizationCases(system: System): void {
  let t: Tenant;
  const refusals = new Map<string, string>();

  before(async () => {
    t = await system.tenant();
    // Whoever may not be changed later has to be there before.
    const first = (row: Row) => ({
      [`${nameOf(row)}/a.yaml`]: file(configMap(settingsOf(row), { colour: "blue" })),
      ...(row.files?.["fixed.yaml"] && { [`${nameOf(row)}/fixed.yaml`]: row.files["fixed.yaml"].replace("after", "before") }),
    });
    await t.create("Secret", "keys", { stringData: { "identity.agekey": await generateIdentity() } });
    await t.commit(Object.assign({}, ...rows.map(first)) as Record<string, string>);
    await t.source();
    await Promise.all(rows.map((row) => t.unit(nameOf(row))));
    await Promise.all(rows.map((row) => t.ready("Kustomization", nameOf(row))));

    await Promise.all(rows.map(async (row) => {
      if (row.spec) await t.edit("Kustomization", nameOf(row), { spec: named(row, row.spec) }).catch((thrown: unknown) => refusals.set(nameOf(row), String(thrown)));
    }));
    await t.push(Object.fromEntries(rows.flatMap((row) => Object.entries(named(row, row.files ?? {})).map(([path, text]) => [`${nameOf(row)}/${path}`, text]))));
  });

  for (const row of rows)
    test(row.title, async () => {
      const name = nameOf(row);
      if ("refused" in row) {
        assert.match(refusals.get(name) ?? "it was taken", row.refused);
        await t.ready("Kustomization", name);
      } else {
        assert.equal(refusals.get(name), undefined);
        const failing = await t.failing("Kustomization", name, row.reason);
        assert.match(conditionOf(failing, "Ready")?.message ?? "", row.message);
        assert.equal(conditionOf(failing, "Stalled")?.status, row.stalled && "True");
      }
      const { status } = await t.get("Kustomization", name);
      const { entries = [] } = (status as { inventory?: { entries?: { id: string }[] } } | undefined)?.inventory ?? {};
      assert.ok(entries.some(({ id }) => id === `${t.namespace}_${settingsOf(row)}__ConfigMap`), "what was applied is still listed");
      const standing = await t.get("ConfigMap", settingsOf(row));
      assert.deepEqual([standing.metadata.deletionTimestamp, standing["data"]], [undefined, { colour: "blue" }]);
    });
}
