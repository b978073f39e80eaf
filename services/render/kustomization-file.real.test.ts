import assert from "node:assert/strict";
import test from "node:test";
import { configMap, deployment, failureOf, lines, objectsOf, renderer, type Files } from "./fixtures.ts";
import type { KubeObject } from "./objects.ts";
import type { KustomizeSpec } from "./spec.ts";

const made = await renderer();
const names = (objects: KubeObject[]) => objects.map(({ kind, metadata: { name } }) => `${kind}/${name}`);

const found: { what: string; files: Files; path?: string; expect: string[] }[] = [
  ...["kustomization.yaml", "kustomization.yml", "Kustomization"].map((name) => ({
    what: `[RN1] ${name} is used`,
    files: { [name]: "resources: [a.yaml]\n", "a.yaml": configMap("a"), "b.yaml": configMap("b") },
    expect: ["ConfigMap/a"],
  })),
  {
    what: "[RN2] without one, every manifest below is a resource, whatever it holds else",
    files: {
      "b.yaml": configMap("b"),
      "a.yml": `${configMap("a")}---\n${configMap("a2")}`,
      "c/d/e.yaml": configMap("e"),
      "README.md": "# no",
      "values.json": "{",
      "empty.yaml": "# nothing\n",
    },
    expect: ["ConfigMap/a", "ConfigMap/a2", "ConfigMap/b", "ConfigMap/e"],
  },
  {
    what: "[RN2] a directory with a file of its own is one resource",
    files: {
      "a.yaml": configMap("a"),
      "sub/kustomization.yml": "namePrefix: sub-\nresources: [x.yaml]\n",
      "sub/x.yaml": configMap("x"),
      "sub/not-listed.yaml": configMap("y"),
      "sub/deeper/broken.yaml": "a: b: c",
    },
    expect: ["ConfigMap/a", "ConfigMap/sub-x"],
  },
  {
    what: "[RN2] a directory is no kustomization file, whatever its name",
    files: { "sub/kustomization.yaml/x.yaml": configMap("x") },
    expect: ["ConfigMap/x"],
  },
  {
    what: "[RN2] in the directory of the path only",
    path: "app",
    files: { "app/a.yaml": configMap("a"), "other/b.yaml": configMap("b"), "c.yaml": configMap("c") },
    expect: ["ConfigMap/a"],
  },
  {
    what: "[RN2] a manifest in JSON with the extension of YAML",
    files: { "a.yaml": '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}' },
    expect: ["ConfigMap/a"],
  },
  {
    what: "[RN4] a directory without manifests builds to nothing",
    path: "docs",
    files: { "docs/README.md": "# hi" },
    expect: [],
  },
  { what: "[RN4] so does an empty artifact", files: {}, expect: [] },
];
for (const { what, files, path = "", expect } of found)
  test(what, async () => assert.deepEqual(names(await objectsOf(made, files, path)), expect));

const refused: { what: string; files: Files; path?: string; spec?: KustomizeSpec; says: RegExp }[] = [
  {
    what: "[RN1] two kustomization files in one directory",
    files: { "app/kustomization.yaml": "", "app/Kustomization": "" },
    path: "app",
    says: /Found multiple kustomization files under: app$/,
  },
  {
    what: "[RN1] a kustomization file that is no YAML",
    files: { "kustomization.yaml": "resources: [a\n" },
    says: /^kustomization\.yaml: /,
  },
  {
    what: "[RN3] a manifest that is no YAML",
    files: { "app/x/a.yaml": "a: b: c\n" },
    path: "app",
    says: /^failed to decode Kubernetes YAML from app\/x\/a\.yaml: .*mapping values are not allowed/,
  },
  {
    what: "[RN3] YAML that is no Kubernetes object",
    files: { "app/values.yaml": "replicas: 1\n" },
    path: "app",
    says: /^failed to decode Kubernetes YAML from app\/values\.yaml: missing Resource metadata/,
  },
  {
    what: "[RN3] an object without a name",
    files: { "a.yaml": "apiVersion: v1\nkind: ConfigMap\n" },
    says: /^failed to decode Kubernetes YAML from a\.yaml: missing metadata\.name/,
  },
  {
    what: "[RN8] a component by URL",
    files: { "a.yaml": configMap("a") },
    spec: { components: ["https://me:pw@example.com/x"] },
    says: /^component path 'https:\/\/example\.com\/x' must be local and relative$/,
  },
  {
    what: "[RN8] an absolute component",
    files: { "a.yaml": configMap("a") },
    spec: { components: ["/x"] },
    says: /must be local and relative$/,
  },
  {
    what: "[RN8] a component that is missing",
    files: { "a.yaml": configMap("a") },
    spec: { components: ["x"] },
    says: /stat x: no such file or directory/,
  },
];
for (const { what, files, path = "", spec, says } of refused)
  test(`${what} fails the build`, async () => {
    const { code, detail } = await failureOf(made, files, path, spec);
    assert.equal(code, "BuildFailed");
    assert.match(detail ?? "", says);
  });

test("[RN5] the target namespace takes namespaced objects and what refers to them", async () => {
  const objects = await objectsOf(
    made,
    {
      "kustomization.yaml": "namespace: own\nresources: [all.yaml]\n",
      "all.yaml": `${configMap("a")}---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: robot, namespace: elsewhere}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: stays}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: b}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: robot, namespace: elsewhere}]
`,
    },
    "",
    { targetNamespace: "target" },
  );
  const of = (kind: string) => objects.find((object) => object.kind === kind);
  assert.equal(of("ConfigMap")?.metadata.namespace, "target");
  assert.equal(of("ServiceAccount")?.metadata.namespace, "target");
  assert.deepEqual(of("ClusterRoleBinding")?.["subjects"], [
    { kind: "ServiceAccount", name: "robot", namespace: "target" },
  ]);
  assert.equal(of("ClusterRoleBinding")?.metadata.namespace, undefined);
  assert.equal(of("Namespace")?.metadata.name, "target", "kustomize renames a Namespace too");
});

for (const [where, files] of [
  ["a file of its own", { "kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": configMap("a") }],
  ["a generated file", { "a.yaml": configMap("a") }],
  [
    "an overlay of a base that says otherwise",
    {
      "kustomization.yaml": "resources: [base]\n",
      "base/kustomization.yaml": "namespace: base\nresources: [a.yaml]\n",
      "base/a.yaml": configMap("a"),
    },
  ],
] as [string, Files][])
  test(`[RN5] with ${where}`, async () =>
    assert.deepEqual(
      (await objectsOf(made, files, "", { targetNamespace: "t" })).map(({ metadata }) => metadata.namespace),
      ["t"],
    ));

test("[RN5] a directory without manifests stays empty", async () =>
  assert.deepEqual(await objectsOf(made, { "README.md": "" }, "", { targetNamespace: "t" }), []));

test("[RN6] prefix and suffix replace the file's own", async () =>
  assert.deepEqual(
    names(
      await objectsOf(
        made,
        { "kustomization.yaml": "namePrefix: own-\nnameSuffix: -own\nresources: [a.yaml]\n", "a.yaml": configMap("a") },
        "",
        { namePrefix: "p-", nameSuffix: "-s" },
      ),
    ),
    ["ConfigMap/p-a-s"],
  ));

test("[RN7] patches come after the file's own: merge and JSON 6902, targeted or not", async () => {
  const data = async (spec: KustomizeSpec) =>
    (
      await objectsOf(
        made,
        {
          "kustomization.yaml": lines(
            "resources: [a.yaml, b.yaml]",
            "patches:",
            "- patch: |-",
            "    {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: file}}",
          ),
          "a.yaml": configMap("a", "{k: base}"),
          "b.yaml": configMap("b", "{k: base}"),
        },
        "",
        spec,
      )
    ).map((object) => object["data"]);
  assert.deepEqual(await data({}), [{ k: "file" }, { k: "base" }]);
  assert.deepEqual(
    await data({
      patches: [{ patch: "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: spec, more: x}}" }],
    }),
    [{ k: "spec", more: "x" }, { k: "base" }],
  );
  assert.deepEqual(
    await data({
      patches: [{ patch: "- {op: replace, path: /data/k, value: json}", target: { kind: "ConfigMap", name: "b" } }],
    }),
    [{ k: "file" }, { k: "json" }],
  );
  assert.deepEqual(
    await data({
      patches: [{ patch: "- {op: replace, path: /data/k, value: all}", target: { version: "v1", kind: "ConfigMap" } }],
    }),
    [{ k: "all" }, { k: "all" }],
  );
});

test("[RN8] components are appended; those missing may be left out", async () => {
  const files = {
    "app/kustomization.yaml": "resources: [a.yaml]\ncomponents: [../own]\n",
    "app/a.yaml": configMap("a"),
    "own/kustomization.yaml": component("own"),
    "added/kustomization.yaml": component("added"),
  };
  const labels = async (spec: KustomizeSpec) =>
    (await objectsOf(made, files, "app", spec)).map(({ metadata }) => metadata.labels);
  assert.deepEqual(await labels({}), [{ own: "yes" }]);
  assert.deepEqual(await labels({ components: ["../added", "../nowhere"], ignoreMissingComponents: true }), [
    { own: "yes", added: "yes" },
  ]);
});
const component = (label: string) =>
  `apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nlabels: [{pairs: {${label}: "yes"}}]\n`;

const images: { own?: string; spec: NonNullable<KustomizeSpec["images"]>[number]; expect: string }[] = [
  { spec: { name: "web", newTag: "2" }, expect: "web:2" },
  { spec: { name: "web", newName: "mirror/web" }, expect: "mirror/web:1" },
  { spec: { name: "other", newTag: "2" }, expect: "web:1" },
  { own: "{name: web, newTag: own}", spec: { name: "web", newName: "mirror/web" }, expect: "mirror/web:own" },
  { own: "{name: web, newName: own/web, newTag: own}", spec: { name: "web", newTag: "2" }, expect: "own/web:2" },
  { own: `{name: web, digest: "sha256:${"a".repeat(64)}"}`, spec: { name: "web", newTag: "2" }, expect: "web:2" },
  {
    own: "{name: web, newTag: own}",
    spec: { name: "web", digest: `sha256:${"b".repeat(64)}` },
    expect: `web@sha256:${"b".repeat(64)}`,
  },
];
for (const { own, spec, expect } of images)
  test(`[RN9] image ${JSON.stringify(spec)} over ${own ?? "nothing"} -> ${expect}`, async () => {
    const files = {
      "kustomization.yaml": `resources: [web.yaml]\n${own ? `images: [${own}]\n` : ""}`,
      "web.yaml": deployment("web"),
    };
    const [object] = await objectsOf(made, files, "", { images: [spec] });
    assert.match(JSON.stringify(object), new RegExp(`"image":"${expect}"`));
  });

test("[RN10] build metadata replaces the file's; a file without resources gets origins", async () => {
  const files = {
    "kustomization.yaml": "resources: [a.yaml]\n",
    "a.yaml": configMap("a"),
    "made/kustomization.yaml":
      "configMapGenerator: [{name: g, literals: [a=b]}]\ngeneratorOptions: {disableNameSuffixHash: true}\n",
  };
  const annotations = async (path: string, spec: KustomizeSpec) =>
    (await objectsOf(made, files, path, spec))[0]?.metadata.annotations;
  assert.equal(await annotations("", {}), undefined);
  assert.deepEqual(await annotations("", { buildMetadata: ["originAnnotations"] }), {
    "config.kubernetes.io/origin": "path: a.yaml\n",
  });
  assert.match(JSON.stringify(await annotations("made", {})), /configuredIn: kustomization\.yaml/);
  assert.doesNotMatch(
    JSON.stringify((await annotations("made", { buildMetadata: ["transformerAnnotations"] })) ?? ""),
    /origin/,
  );
});

test("[RN11] a build leaves the artifact as it was", async () => {
  const files = {
    "kustomization.yaml": "resources: [base]\n",
    "base/a.yaml": configMap("a"),
    "base/kustomization.yaml": "resources: [a.yaml]\n",
    "plain/b.yaml": configMap("b"),
  };
  const before = await objectsOf(made, files, "");
  for (const path of ["", "base", "plain"])
    await objectsOf(made, files, path, {
      targetNamespace: "t",
      namePrefix: "p-",
      patches: [{ patch: "- {op: remove, path: /data}", target: { kind: "ConfigMap" } }],
    });
  assert.deepEqual(await objectsOf(made, files, ""), before);
  assert.deepEqual(names(await objectsOf(made, files, "plain")), ["ConfigMap/b"]);
});
