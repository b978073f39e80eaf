import assert from "node:assert/strict";
import test from "node:test";
import { artifact, configMap, deployment, failureOf, objectsOf, renderer, type Files } from "./fixtures.ts";
import type { KubeObject } from "./objects.ts";

const made = await renderer();
const signal = new AbortController().signal;
const names = (objects: KubeObject[]) => objects.map(({ kind, metadata: { name } }) => `${kind}/${name}`);

test("[RN12] a kustomization may use every file of the artifact, wherever it is", async () => {
  const files = {
    "apps/web/kustomization.yaml": "resources: [../../shared/a.yaml, ../../base]\npatches: [{path: ../../patches/p.yaml}]\nconfigMapGenerator: [{name: g, files: [../../data/f.txt]}]\n",
    "shared/a.yaml": configMap("a"), "base/kustomization.yaml": "resources: [b.yaml]\n", "base/b.yaml": configMap("b"),
    "patches/p.yaml": configMap("a", "{k: patched}"), "data/f.txt": "text",
  };
  const objects = await objectsOf(made, files, "apps/web");
  assert.deepEqual(objects.map((object) => object["data"]), [{ k: "patched" }, {}, { "f.txt": "text" }]);
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
    const { code, detail } = await failureOf(made, { "app/kustomization.yaml": file, "app/a.yaml": configMap("a") }, "app");
    assert.equal(code, "BuildFailed");
    assert.match(detail ?? "", /outside the source/);
  });

const remote: { what: string; file: string; named: string; in?: string }[] = [
  { what: "a base by URL", file: "resources: ['https://github.com/org/repo//deploy?ref=v1']\n", named: "https://github.com/org/repo//deploy?ref=v1" },
  { what: "a base by short name", file: "resources: [github.com/org/repo//deploy]\n", named: "github.com/org/repo//deploy" },
  { what: "a base over ssh", file: "resources: ['git@example.com:org/repo.git']\n", named: "git@example.com:org/repo.git" },
  { what: "a base with a scheme for ssh", file: "resources: ['ssh://git@example.com/org/repo']\n", named: "ssh://example.com/org/repo" },
  { what: "a base of the machine's own files", file: "resources: ['file:///etc']\n", named: "file:///etc" },
  { what: "a file by URL", file: "resources: [https://example.com/a.yaml]\n", named: "https://example.com/a.yaml" },
  { what: "a file behind a password", file: "resources: ['https://me:hunter2@example.com/a.yaml']\n", named: "https://example.com/a.yaml" },
  { what: "a component", file: "components: [https://github.com/org/repo]\n", named: "https://github.com/org/repo" },
  { what: "a base in the old field", file: "bases: [github.com/org/repo]\n", named: "github.com/org/repo" },
  { what: "a generator", file: "resources: [a.yaml]\ngenerators: [https://example.com/g.yaml]\n", named: "https://example.com/g.yaml" },
];
for (const { what, file, named } of remote)
  test(`[RN13] ${what} is not fetched, and named`, async () => {
    const files = { "app/kustomization.yaml": "resources: [../base]\n", "base/kustomization.yaml": file, "base/a.yaml": configMap("a") };
    const { code, detail } = await failureOf(made, files, "app");
    assert.equal(code, "BuildFailed");
    assert.equal(detail, `base/kustomization.yaml: remote base "${named}" is not fetched: put it into the source`);
  });

test("[RN13] what is loaded by URL without being a base is not fetched either", async () => {
  const files = { "kustomization.yaml": "resources: [a.yaml]\npatches: [{path: 'https://me:hunter2@example.com/p.yaml'}]\n", "a.yaml": configMap("a") };
  assert.equal((await failureOf(made, files, "")).detail, 'remote base "https://example.com/p.yaml" is not fetched: put it into the source');
});

test("[RN13] a file of one's own that looks like a repository is a file", async () =>
  assert.deepEqual(
    names(await objectsOf(made, { "kustomization.yaml": "resources: [github.com/org/repo.yaml]\n", "github.com/org/repo.yaml": configMap("a") }, "")),
    ["ConfigMap/a"],
  ));

const plugins: Files = {
  "helm/kustomization.yaml": "helmCharts: [{name: c, repo: 'https://example.com'}]\n",
  "exec/kustomization.yaml": "generators: [g.yaml]\n",
  "exec/g.yaml": "apiVersion: v1\nkind: G\nmetadata:\n  name: g\n  annotations:\n    config.kubernetes.io/function: |\n      exec: {path: ./x}\n",
  "container/kustomization.yaml": "generators: [g.yaml]\n",
  "container/g.yaml": "apiVersion: v1\nkind: G\nmetadata:\n  name: g\n  annotations:\n    config.kubernetes.io/function: |\n      container: {image: evil}\n",
  "go/kustomization.yaml": "generators: [g.yaml]\n",
  "go/g.yaml": "apiVersion: example.com/v1\nkind: G\nmetadata: {name: g}\n",
};
for (const path of ["helm", "exec", "container", "go"])
  test(`[RN14] a plugin does not run: ${path}`, async () => assert.equal((await failureOf(made, plugins, path)).code, "BuildFailed"));

test("[RN15] a schema of one's own counts in its build and in no other", async () => {
  const schema = { definitions: { "v1.Thing": { type: "object",
    "x-kubernetes-group-version-kind": [{ group: "example.com", version: "v1", kind: "Thing" }],
    properties: { items_: { type: "array", items: { type: "object" }, "x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge" } } } } };
  const thing = (items: string) => `apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\nitems_: ${items}\n`;
  const file = "resources: [t.yaml]\npatches: [{path: p.yaml}]\n";
  const rest = { "t.yaml": thing("[{name: a, v: 1}, {name: b, v: 1}]"), "p.yaml": thing("[{name: b, v: 2}]") };
  const items = async (files: Files) => (await objectsOf(made, files, ""))[0]?.["items_"];
  const replaced = [{ name: "b", v: 2 }];
  assert.deepEqual(await items({ "kustomization.yaml": file, ...rest }), replaced);
  assert.deepEqual(await items({ "kustomization.yaml": `${file}openapi: {path: s.json}\n`, "s.json": JSON.stringify(schema), ...rest }),
    [{ name: "b", v: 2 }, { name: "a", v: 1 }]);
  assert.deepEqual(await items({ "kustomization.yaml": file, ...rest }), replaced);
  const builtin = { "kustomization.yaml": `resources: [d.yaml]\nopenapi: {path: s.json}\npatches: [{path: p.yaml}]\n`, "s.json": JSON.stringify(schema),
    "d.yaml": deployment("web"), "p.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: side, image: s}]}}}\n" };
  assert.match(JSON.stringify(await objectsOf(made, builtin, "")), /"name":"side".*"name":"web"/, "the built-in schemas count beside it");
});

test("[RN15] a schema that is none fails its own build only", async () => {
  assert.equal((await failureOf(made, { "kustomization.yaml": "resources: [d.yaml]\nopenapi: {path: s.json}\npatches: [{path: d.yaml}]\n", "s.json": "{\"definitions\": 1}", "d.yaml": deployment("web") }, "")).code, "BuildFailed");
  assert.equal((await objectsOf(made, { "d.yaml": deployment("web") }, "")).length, 1);
});

test("[RN16] objects come in the order of the files, or in the order a kustomization asks for", async () => {
  const all = ["v1 Service", "apps/v1 Deployment", "v1 ConfigMap", "v1 Namespace", "apiextensions.k8s.io/v1 CustomResourceDefinition"]
    .map((kind, index) => `apiVersion: ${kind.split(" ")[0]}\nkind: ${kind.split(" ")[1]}\nmetadata: {name: x${index}}\n`).join("---\n");
  const kinds = async (files: Files) => (await objectsOf(made, files, "")).map(({ kind }) => kind);
  assert.deepEqual(await kinds({ "all.yaml": all }), ["Service", "Deployment", "ConfigMap", "Namespace", "CustomResourceDefinition"]);
  assert.deepEqual(await kinds({ "kustomization.yaml": "resources: [all.yaml]\nsortOptions: {order: legacy}\n", "all.yaml": all }),
    ["Namespace", "CustomResourceDefinition", "ConfigMap", "Service", "Deployment"]);
});

test("[RN17] the same files give the same bytes, in this renderer and in another", async () => {
  const files = { "kustomization.yaml": "resources: [a.yaml, web.yaml]\nnamePrefix: p-\nconfigMapGenerator: [{name: g, literals: [b=1, a=2, c=3]}]\nsecretGenerator: [{name: s, literals: [x=1]}]\n",
    "a.yaml": configMap("a", "{z: '1', y: '2', x: '3'}"), "web.yaml": deployment("web") };
  const render = async (renderer: typeof made) => JSON.stringify(await renderer.render({ artifact: await artifact(files), path: "", spec: {} }, signal));
  const first = await render(made);
  assert.equal(await render(made), first);
  assert.equal(await render(await renderer()), first);
});

test("[RN18] an integer of 64 bits comes out as it went in, through a merge patch too", async () => {
  const files = { "kustomization.yaml": "resources: [a.yaml]\nnamespace: x\npatches: [{path: p.yaml}]\n",
    "a.yaml": "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\nspec: {n: 9007199254740993, f: 1.5, e: 1e3, s: '9007199254740993'}\n",
    "p.yaml": "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\nspec: {m: 9223372036854775807}\n" };
  assert.match(JSON.stringify(await objectsOf(made, files, "")), /"spec":\{"e":1000,"f":1.5,"m":9223372036854775807,"n":9007199254740993,"s":"9007199254740993"\}/);
});

const broken: { what: string; files: Files; says: RegExp }[] = [
  { what: "a resource that is not there", files: { "app/kustomization.yaml": "resources: [gone.yaml]\n" }, says: /accumulating resources from 'gone\.yaml': open app\/gone\.yaml: no such file or directory/ },
  { what: "the same object twice", files: { "app/kustomization.yaml": "resources: [a.yaml, b.yaml]\n", "app/a.yaml": configMap("a"), "app/b.yaml": configMap("a") }, says: /already registered id: ConfigMap\.v1\.\[noGrp\]\/a/ },
  { what: "a patch for nothing", files: { "app/kustomization.yaml": "resources: [a.yaml]\npatches: [{patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: z}}'}]\n", "app/a.yaml": configMap("a") }, says: /no resource matches strategic merge patch "ConfigMap\.v1\.\[noGrp\]\/z/ },
  { what: "a base without a kustomization file", files: { "app/kustomization.yaml": "resources: [../base]\n", "base/a.yaml": configMap("a") }, says: /unable to find one of 'kustomization\.yaml'.* in directory 'base'/ },
  { what: "a circle", files: { "app/kustomization.yaml": "resources: [../base]\n", "base/kustomization.yaml": "resources: [../app]\n" }, says: /cycle detected: candidate root 'app' contains visited root 'app'/ },
  { what: "an unknown field of a base", files: { "app/kustomization.yaml": "resources: [../base]\n", "base/kustomization.yaml": "nonsense: 1\n" }, says: /unknown field "nonsense"/ },
];
for (const { what, files, says } of broken)
  test(`[RN19] ${what}: the message names the place, and is the same every time`, async () => {
    const { code, detail } = await failureOf(made, files, "app");
    assert.equal(code, "BuildFailed");
    assert.match(detail ?? "", says);
    assert.doesNotMatch(detail ?? "", /\.artifact|\/tmp|kustomize-\d/);
    assert.equal((await failureOf(made, files, "app")).detail, detail);
  });

test("[RN19] a message has an end", async () => {
  const files = { "kustomization.yaml": `resources: [a.yaml]\npatches: [{patch: "${"x".repeat(50_000)}"}]\n`, "a.yaml": configMap("a") };
  assert.ok(((await failureOf(made, files, "")).detail ?? "").length < 5_000);
});

test("[RN20] an object without apiVersion fails the build", async () => {
  const files = { "kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": "kind: Thing\nmetadata: {name: t}\ndata: hunter2\n" };
  const { detail } = await failureOf(made, files, "");
  assert.match(detail ?? "", /object 1 of the build \(kind "Thing", name "t", apiVersion ""\): apiVersion, kind and metadata\.name are needed/);
});

test("[RN21] a list in a file is its items", async () =>
  assert.deepEqual(
    names(await objectsOf(made, { "a.yaml": '{"apiVersion":"v1","kind":"ConfigMapList","items":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}},{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"}}]}' }, "", { namePrefix: "p-" })),
    ["ConfigMap/p-a", "ConfigMap/p-b"],
  ));

test("[RN22] common metadata is on what generators made, too", async () => {
  const files = { "kustomization.yaml": "resources: [a.yaml]\nconfigMapGenerator: [{name: g, literals: [a=b]}]\n", "a.yaml": configMap("a") };
  const objects = await objectsOf(made, files, "", { commonMetadata: { labels: { team: "x" } } });
  assert.deepEqual(objects.map(({ metadata }) => metadata.labels), [{ team: "x" }, { team: "x" }]);
});

test("[RN23] a generated Secret arrives as data", async () => {
  const [secret] = await objectsOf(made, { "s.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s, creationTimestamp: null}\nstringData: {k: v}\n" }, "");
  assert.deepEqual(secret, { apiVersion: "v1", kind: "Secret", metadata: { name: "s", creationTimestamp: null }, data: { k: "dg==" } });
});

for (const path of ["deploy/dev", "./deploy/dev", "deploy/dev/", "/deploy/dev", "deploy//dev/.", "../../deploy/dev", "deploy/../deploy/dev"])
  test(`[RN25] path "${path}" is deploy/dev`, async () =>
    assert.deepEqual(names(await objectsOf(made, { "deploy/dev/a.yaml": configMap("a"), "b.yaml": configMap("b") }, path)), ["ConfigMap/a"]));
for (const path of ["", ".", "./", "/", "..", "../..", "deploy/.."])
  test(`[RN25] path "${path}" is the root`, async () =>
    assert.deepEqual(names(await objectsOf(made, { "a.yaml": configMap("a"), "deploy/b.yaml": configMap("b") }, path)), ["ConfigMap/a", "ConfigMap/b"]));

test("[RN26] a directory that does not exist is said as Flux says it", async () => {
  const { code, subject, detail } = await failureOf(made, { "a.yaml": configMap("a") }, "./deploy/prod");
  assert.equal(code, "ArtifactPathMissing");
  assert.equal(`${subject}: ${detail}`, "kustomization path not found: deploy/prod: no such directory");
});

test("[RN26] a file is no directory", async () =>
  assert.deepEqual(await failureOf(made, { "a.yaml": configMap("a") }, "a.yaml"), { code: "BuildFailed", subject: "a.yaml", detail: "not a directory" }));
