import assert from "node:assert/strict";
import test from "node:test";
import { loadAll } from "js-yaml";
import { kindOf } from "#protocol/api/registry.ts";
import { change, clusterFiles, environments, repositoryFiles, sampleUrl } from "./sample.ts";

type Manifest = { apiVersion: string; kind: string; metadata?: { name?: string; namespace?: string }; spec?: Record<string, unknown> };

const url = "http://127.0.0.1:12345/shop.git";
const repository = await repositoryFiles();
const cluster = await clusterFiles(url);
const parse = (text: string) => loadAll(text) as Manifest[];

for (const [name, text] of Object.entries(repository).filter(([name]) => name.endsWith(".yaml")))
  test(`the sample's ${name} is YAML with a kind`, () => {
    for (const { apiVersion, kind } of parse(text)) assert.ok(apiVersion && kind);
  });

test("the change touches a line that is there, once", () => {
  assert.equal(repository[change.file]?.split(change.before).length, 2);
});

/** What an API server adds. */
const fromServer = { uid: "00000000-0000-0000-0000-000000000000", generation: 1, resourceVersion: "1" };

const resources = Object.values(cluster).flatMap(parse);

test("a source and a Kustomization per environment, in the namespace before them", () => {
  const names = resources.map(({ kind, metadata }) => `${kind}/${metadata?.name}`);
  assert.deepEqual(names, [
    "Namespace/flux-system", "GitRepository/shop", "Kustomization/shop-dev", "Kustomization/shop-test", "Kustomization/shop-prod",
  ]);
});

for (const resource of resources.filter(({ kind }) => kindOf(kind.toLowerCase())))
  test(`${resource.kind}/${resource.metadata?.name} is valid`, () => {
    const kind = kindOf(resource.kind.toLowerCase());
    const stored = { ...resource, metadata: { ...resource.metadata, ...fromServer } };
    assert.doesNotThrow(() => kind?.parse(stored));
  });

test("each Kustomization's path is a directory of the repository", () => {
  const paths = resources.flatMap(({ kind, spec }) => (kind === "Kustomization" ? [String(spec?.["path"]).replace("./", "")] : []));
  assert.equal(paths.length, environments.length);
  for (const path of paths) assert.ok(repository[`${path}/kustomization.yaml`], path);
});

test("the files as they stand name a repository to replace; what the demo applies names its own", () => {
  const text = Object.values(cluster).join("");
  assert.ok(text.includes(url) && !text.includes(sampleUrl));
});
