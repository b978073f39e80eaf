import assert from "node:assert/strict";
import test from "node:test";
import { artifact, configMap, deployment, failureOf, lines, objectsOf, renderer, type Files } from "./fixtures.ts";
import type { KubeObject } from "./objects.ts";

const made = await renderer();
const signal = new AbortController().signal;
const names = (objects: KubeObject[]) => objects.map(({ kind, metadata: { name } }) => `${kind}/${name}`);

test("[RN17] the same files give the same bytes, in this renderer and in another", async () => {
  const files = {
    "kustomization.yaml": lines(
      "resources: [a.yaml, web.yaml]",
      "namePrefix: p-",
      "configMapGenerator: [{name: g, literals: [b=1, a=2, c=3]}]",
      "secretGenerator: [{name: s, literals: [x=1]}]",
    ),
    "a.yaml": configMap("a", "{z: '1', y: '2', x: '3'}"),
    "web.yaml": deployment("web"),
  };
  const render = async (renderer: typeof made) =>
    JSON.stringify(await renderer.render({ artifact: await artifact(files), path: "", spec: {} }, signal));
  const first = await render(made);
  assert.equal(await render(made), first);
  assert.equal(await render(await renderer()), first);
});

test("[RN18] an integer of 64 bits comes out as it went in, through a merge patch too", async () => {
  const files = {
    "kustomization.yaml": "resources: [a.yaml]\nnamespace: x\npatches: [{path: p.yaml}]\n",
    "a.yaml": lines(
      "apiVersion: example.com/v1",
      "kind: Thing",
      "metadata: {name: t}",
      "spec: {n: 9007199254740993, f: 1.5, e: 1e3, s: '9007199254740993'}",
    ),
    "p.yaml": "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\nspec: {m: 9223372036854775807}\n",
  };
  assert.match(
    JSON.stringify(await objectsOf(made, files, "")),
    /"spec":\{"e":1000,"f":1.5,"m":9223372036854775807,"n":9007199254740993,"s":"9007199254740993"\}/,
  );
});

const broken: { what: string; files: Files; says: RegExp }[] = [
  {
    what: "a resource that is not there",
    files: { "app/kustomization.yaml": "resources: [gone.yaml]\n" },
    says: /accumulating resources from 'gone\.yaml': open app\/gone\.yaml: no such file or directory/,
  },
  {
    what: "the same object twice",
    files: {
      "app/kustomization.yaml": "resources: [a.yaml, b.yaml]\n",
      "app/a.yaml": configMap("a"),
      "app/b.yaml": configMap("a"),
    },
    says: /already registered id: ConfigMap\.v1\.\[noGrp\]\/a/,
  },
  {
    what: "a patch for nothing",
    files: {
      "app/kustomization.yaml":
        "resources: [a.yaml]\npatches: [{patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: z}}'}]\n",
      "app/a.yaml": configMap("a"),
    },
    says: /no resource matches strategic merge patch "ConfigMap\.v1\.\[noGrp\]\/z/,
  },
  {
    what: "a base without a kustomization file",
    files: { "app/kustomization.yaml": "resources: [../base]\n", "base/a.yaml": configMap("a") },
    says: /unable to find one of 'kustomization\.yaml'.* in directory 'base'/,
  },
  {
    what: "a circle",
    files: { "app/kustomization.yaml": "resources: [../base]\n", "base/kustomization.yaml": "resources: [../app]\n" },
    says: /cycle detected: candidate root 'app' contains visited root 'app'/,
  },
  {
    what: "an unknown field of a base",
    files: { "app/kustomization.yaml": "resources: [../base]\n", "base/kustomization.yaml": "nonsense: 1\n" },
    says: /unknown field "nonsense"/,
  },
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
  const files = {
    "kustomization.yaml": `resources: [a.yaml]\npatches: [{patch: "${"x".repeat(50_000)}"}]\n`,
    "a.yaml": configMap("a"),
  };
  assert.ok(((await failureOf(made, files, "")).detail ?? "").length < 5_000);
});

test("[RN20] an object without apiVersion fails the build", async () => {
  const files = {
    "kustomization.yaml": "resources: [a.yaml]\n",
    "a.yaml": "kind: Thing\nmetadata: {name: t}\ndata: hunter2\n",
  };
  const { detail } = await failureOf(made, files, "");
  assert.match(
    detail ?? "",
    /object 1 of the build \(kind "Thing", name "t", apiVersion ""\): apiVersion, kind and metadata\.name are needed/,
  );
});

test("[RN21] a list in a file is its items", async () =>
  assert.deepEqual(
    names(
      await objectsOf(
        made,
        {
          "a.yaml": JSON.stringify({
            apiVersion: "v1",
            kind: "ConfigMapList",
            items: ["a", "b"].map((name) => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name } })),
          }),
        },
        "",
        { namePrefix: "p-" },
      ),
    ),
    ["ConfigMap/p-a", "ConfigMap/p-b"],
  ));

test("[RN22] common metadata is on what generators made, too", async () => {
  const files = {
    "kustomization.yaml": "resources: [a.yaml]\nconfigMapGenerator: [{name: g, literals: [a=b]}]\n",
    "a.yaml": configMap("a"),
  };
  const objects = await objectsOf(made, files, "", { commonMetadata: { labels: { team: "x" } } });
  assert.deepEqual(
    objects.map(({ metadata }) => metadata.labels),
    [{ team: "x" }, { team: "x" }],
  );
});

test("[RN23] a generated Secret arrives as data", async () => {
  const [secret] = await objectsOf(
    made,
    { "s.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s, creationTimestamp: null}\nstringData: {k: v}\n" },
    "",
  );
  assert.deepEqual(secret, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "s", creationTimestamp: null },
    data: { k: "dg==" },
  });
});

for (const path of [
  "deploy/dev",
  "./deploy/dev",
  "deploy/dev/",
  "/deploy/dev",
  "deploy//dev/.",
  "../../deploy/dev",
  "deploy/../deploy/dev",
])
  test(`[RN25] path "${path}" is deploy/dev`, async () =>
    assert.deepEqual(
      names(await objectsOf(made, { "deploy/dev/a.yaml": configMap("a"), "b.yaml": configMap("b") }, path)),
      ["ConfigMap/a"],
    ));
for (const path of ["", ".", "./", "/", "..", "../..", "deploy/.."])
  test(`[RN25] path "${path}" is the root`, async () =>
    assert.deepEqual(
      names(await objectsOf(made, { "a.yaml": configMap("a"), "deploy/b.yaml": configMap("b") }, path)),
      ["ConfigMap/a", "ConfigMap/b"],
    ));

test("[RN26] a directory that does not exist is said as Flux says it", async () => {
  const { code, subject, detail } = await failureOf(made, { "a.yaml": configMap("a") }, "./deploy/prod");
  assert.equal(code, "ArtifactPathMissing");
  assert.equal(`${subject}: ${detail}`, "kustomization path not found: deploy/prod: no such directory");
});

test("[RN26] a file is no directory", async () =>
  assert.deepEqual(await failureOf(made, { "a.yaml": configMap("a") }, "a.yaml"), {
    code: "BuildFailed",
    subject: "a.yaml",
    detail: "not a directory",
  }));
