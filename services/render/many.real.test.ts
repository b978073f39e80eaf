/** Very many objects: kustomize's own way of finding one by its id is replaced (quick-kustomize.ts), and must find the same. */
import assert from "node:assert/strict";
import test from "node:test";
import { configMap, failureOf, lines, objectsOf, renderer, type Files } from "./fixtures.ts";

const made = await renderer();

/** Objects spread over files, each the same number of them. */
function spread(count: number, perFile: number, text: (i: number) => string): Files {
  const files: Files = {};
  for (let from = 0; from < count; from += perFile)
    files[`part-${String(from).padStart(5, "0")}.yaml`] = Array.from({ length: Math.min(perFile, count - from) }, (_, i) => text(from + i)).join("---\n");
  return files;
}

const inNamespace = (name: string, namespace: string) => configMap(name).replace("}", `, namespace: ${namespace}}`);
const sizes = [{ count: 3, perFile: 1 }, { count: 40, perFile: 1 }, { count: 40, perFile: 40 }, { count: 60, perFile: 20 }];

for (const { count, perFile } of sizes) {
  test(`[RN68] an id that is there twice fails the build: ${count} objects, ${perFile} in a file`, async () => {
    const twice = spread(count, perFile, (i) => (i === count - 1 ? inNamespace("n0", "default") : configMap(`n${i}`)));
    const { code, detail } = await failureOf(made, twice, "");
    assert.equal(code, "BuildFailed");
    assert.match(detail ?? "", /may not add resource with an already registered id: ConfigMap\.v1\.\[noGrp\]\/n0\.default/);
  });

  test(`[RN68] the same name in another namespace or kind is another id: ${count} objects, ${perFile} in a file`, async () => {
    const text = (i: number) => (i % 3 === 0 ? configMap(`n${i}`) : i % 3 === 1 ? inNamespace(`n${i - 1}`, "other") : configMap(`n${i - 2}`).replace("ConfigMap", "Secret"));
    assert.equal((await objectsOf(made, spread(count, perFile, text), "")).length, count);
  });

  test(`[RN68] a namespace that makes two ids the same fails the build: ${count} objects, ${perFile} in a file`, async () => {
    const files = spread(count, perFile, (i) => (i === count - 1 ? inNamespace("n0", "other") : configMap(`n${i}`)));
    const { code, detail } = await failureOf(made, { ...files, "kustomization.yaml": lines("namespace: one", `resources: [${Object.keys(files).join(", ")}]`) }, "");
    assert.equal(code, "BuildFailed");
    assert.match(detail ?? "", /namespace transformation produces ID conflict/);
  });
}

for (const { count, perFile } of [{ count: 1_500, perFile: 1 }, { count: 5_000, perFile: 1_000 }])
  test(`[RN68] very many objects are built within the time limit, in their order: ${count}, ${perFile} in a file`, async () => {
    const objects = await objectsOf(made, spread(count, perFile, (i) => configMap(`n${i}`)), "", { targetNamespace: "all" });
    assert.deepEqual(objects.map(({ metadata: { name, namespace } }) => `${namespace}/${name}`), Array.from({ length: count }, (_, i) => `all/n${i}`));
  });
