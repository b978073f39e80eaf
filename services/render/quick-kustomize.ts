/**
 * kustomize looks through all of its resources for each one that it adds or moves to a namespace: at 5,000 objects that is
 * half a minute of nothing else. The build gives it an index instead (wasm/_kustomize/ids.go); what comes out stays the same.
 */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Edit, ModuleEdits } from "./edit-module.ts";

export const edits: readonly Edit[] = [
  { file: "resmap/reswrangler.go", before: "m.GetMatchingResourcesByCurrentId(id.Equals); len(r) > 0", after: "m.withId(id); len(r) > 0" },
  {
    file: "resmap/reswrangler.go", before: "appendAll(list []*resource.Resource) error {",
    after: "appendAll(list []*resource.Resource) error {\n\tif len(list) > few {\n\t\treturn m.appendMany(list)\n\t}",
  },
  {
    file: "resmap/factory.go", before: "resources []*resource.Resource) (ResMap, error) {",
    after: "resources []*resource.Resource) (ResMap, error) {\n\tif len(resources) > few {\n\t\treturn manyAsResMap(resources)\n\t}",
  },
  {
    file: "internal/builtins/NamespaceTransformer.go", before: "for _, r := range m.Resources() {",
    after: "ids := resmap.NewIds(m.Resources())\n\tfor _, r := range m.Resources() {",
  },
  { file: "internal/builtins/NamespaceTransformer.go", before: "m.GetMatchingResourcesByCurrentId(r.CurId().Equals)", after: "ids.Changed(r)" },
];

export async function quickKustomize(): Promise<ModuleEdits> {
  const ids = await readFile(fileURLToPath(new URL("./wasm/_kustomize/ids.go", import.meta.url)), "latin1");
  return { module: "sigs.k8s.io/kustomize/api", edits, added: new Map([["resmap/ids.go", ids]]) };
}
