import assert from "node:assert/strict";
import test from "node:test";
import { configMap, deployment, failureOf, lines, objectsOf, renderer, type Files } from "./fixtures.ts";
import type { KubeObject } from "./objects.ts";

const made = await renderer();
const names = (objects: KubeObject[]) => objects.map(({ kind, metadata: { name } }) => `${kind}/${name}`);

test("[RN12] a kustomization may use every file of the artifact, wherever it is", async () => {
  const files = {
    "apps/web/kustomization.yaml": lines(
      "resources: [../../shared/a.yaml, ../../base]",
      "patches: [{path: ../../patches/p.yaml}]",
      "configMapGenerator: [{name: g, files: [../../data/f.txt]}]",
    ),
    "shared/a.yaml": configMap("a"),
    "base/kustomization.yaml": "resources: [b.yaml]\n",
    "base/b.yaml": configMap("b"),
    "patches/p.yaml": configMap("a", "{k: patched}"),
    "data/f.txt": "text",
  };
  const objects = await objectsOf(made, files, "apps/web");
  assert.deepEqual(
    objects.map((object) => object["data"]),
    [{ k: "patched" }, {}, { "f.txt": "text" }],
  );
});

const outside: { what: string; file: string }[] = [
  { what: "a base", file: "resources: [../../x]\n" },
  { what: "a file", file: "resources: [../../../etc/passwd]\n" },
  { what: "an absolute file", file: "resources: [/etc/passwd]\n" },
  { what: "a generator's file", file: "configMapGenerator: [{name: g, files: [../../../etc/passwd]}]\n" },
  { what: "a patch", file: "resources: [a.yaml]\npatches: [{path: ../../p.yaml}]\n" },
  { what: "a component", file: "components: [../../../c]\n" },
  { what: "a schema", file: "resources: [a.yaml]\nopenapi: {path: ../../schema.json}\n" },
];
for (const { what, file } of outside)
  test(`[RN12] ${what} outside the artifact fails the build`, async () => {
    const { code, detail } = await failureOf(
      made,
      { "app/kustomization.yaml": file, "app/a.yaml": configMap("a") },
      "app",
    );
    assert.equal(code, "BuildFailed");
    assert.match(detail ?? "", /outside the source/);
  });

/** A list of ten, ten times, as often as there are levels. */
const bomb = (levels: number) => {
  const names = Array.from({ length: levels }, (_, i) => `level${i}`);
  return names.map((name, i) => `${name}: &${name} [${Array<string>(10).fill(i === 0 ? "x" : `*${names[i - 1]}`).join(", ")}]`).join("\n");
};
const bombs: { what: string; files: Files; spec?: { patches: { patch: string; target: { kind: string } }[] }; says: RegExp }[] = [
  { what: "a manifest", files: { "a.yaml": `${configMap("a")}---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: bomb }\n${bomb(10)}\n` }, says: /a\.yaml.*aliases unfold to more than 200000 values/s },
  { what: "a kustomization file", files: { "kustomization.yaml": `resources: [a.yaml]\n${bomb(10)}\n`, "a.yaml": configMap("a") }, says: /kustomization\.yaml.*aliases/s },
  { what: "a patch of the object", files: { "a.yaml": configMap("a") }, spec: { patches: [{ patch: `data:\n${bomb(10).replaceAll(/^/gm, "  ")}\n`, target: { kind: "ConfigMap" } }] }, says: /spec\.patches\[0\].*aliases/s },
  { what: "an alias within itself", files: { "a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\ndata: &d { k: *d }\n" }, says: /a\.yaml.*alias/s },
];
for (const { what, files, spec, says } of bombs)
  test(`[RN60] a few lines that unfold without end fail the build at once: ${what}`, async () => {
    const { code, detail } = await failureOf(made, files, "", spec);
    assert.equal(code, "BuildFailed");
    assert.match(detail ?? "", says);
  });

test("[RN60] anchors and aliases that people write are unfolded", async () => {
  const files = { "a.yaml": `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: &name a, labels: { app: *name } }\n${bomb(3)}\n` };
  const [object] = await objectsOf(made, files, "");
  assert.deepEqual([object?.metadata.name, ((object?.["level2"] ?? []) as unknown[][][]).flat(2).length], ["a", 1_000]);
});

const remote: { what: string; file: string; named: string; in?: string }[] = [
  {
    what: "a base by URL",
    file: "resources: ['https://github.com/org/repo//deploy?ref=v1']\n",
    named: "https://github.com/org/repo//deploy?ref=v1",
  },
  {
    what: "a base by short name",
    file: "resources: [github.com/org/repo//deploy]\n",
    named: "github.com/org/repo//deploy",
  },
  {
    what: "a base over ssh",
    file: "resources: ['git@example.com:org/repo.git']\n",
    named: "git@example.com:org/repo.git",
  },
  {
    what: "a base with a scheme for ssh",
    file: "resources: ['ssh://git@example.com/org/repo']\n",
    named: "ssh://example.com/org/repo",
  },
  { what: "a base of the machine's own files", file: "resources: ['file:///etc']\n", named: "file:///etc" },
  { what: "a file by URL", file: "resources: [https://example.com/a.yaml]\n", named: "https://example.com/a.yaml" },
  {
    what: "a file behind a password",
    file: "resources: ['https://me:hunter2@example.com/a.yaml']\n",
    named: "https://example.com/a.yaml",
  },
  { what: "a component", file: "components: [https://github.com/org/repo]\n", named: "https://github.com/org/repo" },
  { what: "a base in the old field", file: "bases: [github.com/org/repo]\n", named: "github.com/org/repo" },
  {
    what: "a generator",
    file: "resources: [a.yaml]\ngenerators: [https://example.com/g.yaml]\n",
    named: "https://example.com/g.yaml",
  },
];
for (const { what, file, named } of remote)
  test(`[RN13] ${what} is not fetched, and named`, async () => {
    const files = {
      "app/kustomization.yaml": "resources: [../base]\n",
      "base/kustomization.yaml": file,
      "base/a.yaml": configMap("a"),
    };
    const { code, detail } = await failureOf(made, files, "app");
    assert.equal(code, "BuildFailed");
    assert.equal(detail, `base/kustomization.yaml: remote base "${named}" is not fetched: put it into the source (workers fetch bases only with --allow-remote-bases, and never with --no-remote-bases or --tenancy locked)`);
  });

test("[RN13] what is loaded by URL without being a base is not fetched either", async () => {
  const files = {
    "kustomization.yaml": "resources: [a.yaml]\npatches: [{path: 'https://me:hunter2@example.com/p.yaml'}]\n",
    "a.yaml": configMap("a"),
  };
  assert.equal(
    (await failureOf(made, files, "")).detail,
    'remote base "https://example.com/p.yaml" is not fetched: put it into the source',
  );
});

test("[RN13] a file of one's own that looks like a repository is a file", async () =>
  assert.deepEqual(
    names(
      await objectsOf(
        made,
        { "kustomization.yaml": "resources: [github.com/org/repo.yaml]\n", "github.com/org/repo.yaml": configMap("a") },
        "",
      ),
    ),
    ["ConfigMap/a"],
  ));

const plugins: Files = {
  "helm/kustomization.yaml": "helmCharts: [{name: c, repo: 'https://example.com'}]\n",
  "exec/kustomization.yaml": "generators: [g.yaml]\n",
  "exec/g.yaml": lines(
    "apiVersion: v1",
    "kind: G",
    "metadata:",
    "  name: g",
    "  annotations:",
    "    config.kubernetes.io/function: |",
    "      exec: {path: ./x}",
  ),
  "container/kustomization.yaml": "generators: [g.yaml]\n",
  "container/g.yaml": lines(
    "apiVersion: v1",
    "kind: G",
    "metadata:",
    "  name: g",
    "  annotations:",
    "    config.kubernetes.io/function: |",
    "      container: {image: evil}",
  ),
  "go/kustomization.yaml": "generators: [g.yaml]\n",
  "go/g.yaml": "apiVersion: example.com/v1\nkind: G\nmetadata: {name: g}\n",
};
for (const path of ["helm", "exec", "container", "go"])
  test(`[RN14] a plugin does not run: ${path}`, async () =>
    assert.equal((await failureOf(made, plugins, path)).code, "BuildFailed"));

test("[RN15] a schema of one's own counts in its build and in no other", async () => {
  const schema = {
    definitions: {
      "v1.Thing": {
        type: "object",
        "x-kubernetes-group-version-kind": [{ group: "example.com", version: "v1", kind: "Thing" }],
        properties: {
          items_: {
            type: "array",
            items: { type: "object" },
            "x-kubernetes-patch-merge-key": "name",
            "x-kubernetes-patch-strategy": "merge",
          },
        },
      },
    },
  };
  const thing = (items: string) => `apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\nitems_: ${items}\n`;
  const file = "resources: [t.yaml]\npatches: [{path: p.yaml}]\n";
  const rest = { "t.yaml": thing("[{name: a, v: 1}, {name: b, v: 1}]"), "p.yaml": thing("[{name: b, v: 2}]") };
  const items = async (files: Files) => (await objectsOf(made, files, ""))[0]?.["items_"];
  const replaced = [{ name: "b", v: 2 }];
  assert.deepEqual(await items({ "kustomization.yaml": file, ...rest }), replaced);
  assert.deepEqual(
    await items({
      "kustomization.yaml": `${file}openapi: {path: s.json}\n`,
      "s.json": JSON.stringify(schema),
      ...rest,
    }),
    [
      { name: "b", v: 2 },
      { name: "a", v: 1 },
    ],
  );
  assert.deepEqual(await items({ "kustomization.yaml": file, ...rest }), replaced);
  const builtin = {
    "kustomization.yaml": `resources: [d.yaml]\nopenapi: {path: s.json}\npatches: [{path: p.yaml}]\n`,
    "s.json": JSON.stringify(schema),
    "d.yaml": deployment("web"),
    "p.yaml": lines(
      "apiVersion: apps/v1",
      "kind: Deployment",
      "metadata: {name: web}",
      "spec: {template: {spec: {containers: [{name: side, image: s}]}}}",
    ),
  };
  assert.match(
    JSON.stringify(await objectsOf(made, builtin, "")),
    /"name":"side".*"name":"web"/,
    "the built-in schemas count beside it",
  );
});

test("[RN15] a schema that is none fails its own build only", async () => {
  assert.equal(
    (
      await failureOf(
        made,
        {
          "kustomization.yaml": "resources: [d.yaml]\nopenapi: {path: s.json}\npatches: [{path: d.yaml}]\n",
          "s.json": '{"definitions": 1}',
          "d.yaml": deployment("web"),
        },
        "",
      )
    ).code,
    "BuildFailed",
  );
  assert.equal((await objectsOf(made, { "d.yaml": deployment("web") }, "")).length, 1);
});

test("[RN16] objects come in the order of the files, or in the order a kustomization asks for", async () => {
  const all = [
    "v1 Service",
    "apps/v1 Deployment",
    "v1 ConfigMap",
    "v1 Namespace",
    "apiextensions.k8s.io/v1 CustomResourceDefinition",
  ]
    .map(
      (kind, index) => `apiVersion: ${kind.split(" ")[0]}\nkind: ${kind.split(" ")[1]}\nmetadata: {name: x${index}}\n`,
    )
    .join("---\n");
  const kinds = async (files: Files) => (await objectsOf(made, files, "")).map(({ kind }) => kind);
  assert.deepEqual(await kinds({ "all.yaml": all }), [
    "Service",
    "Deployment",
    "ConfigMap",
    "Namespace",
    "CustomResourceDefinition",
  ]);
  assert.deepEqual(
    await kinds({ "kustomization.yaml": "resources: [all.yaml]\nsortOptions: {order: legacy}\n", "all.yaml": all }),
    ["Namespace", "CustomResourceDefinition", "ConfigMap", "Service", "Deployment"],
  );
});
