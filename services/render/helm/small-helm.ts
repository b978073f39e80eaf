/**
 * Helm's template engine brings a client for Kubernetes with all of its types, for `lookup` and for a list of API versions. Here
 * the host answers lookups, and says what the cluster offers; without the client the module is half as large.
 */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Edit, ModuleEdits } from "../edit-module.ts";

const edits: readonly Edit[] = [
  { file: "pkg/engine/engine.go", before: '\t"k8s.io/client-go/rest"\n\n', after: "" },
  { file: "pkg/engine/engine.go", before: "func New(config *rest.Config) Engine {", after: "func New(config any) Engine {" },
  { file: "pkg/engine/engine.go", before: "values common.Values, config *rest.Config)", after: "values common.Values, config any)" },
  { file: "pkg/chart/common/capabilities.go", before: '\t"k8s.io/client-go/kubernetes/scheme"\n\n', after: "" },
  { file: "pkg/chart/common/capabilities.go", before: '\tapiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"\n', after: "" },
  { file: "pkg/chart/common/capabilities.go", before: '\tapiextensionsv1beta1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"\n', after: "" },
  { file: "pkg/chart/common/capabilities.go", before: "\tapiextensionsv1beta1.AddToScheme(scheme.Scheme)\n\tapiextensionsv1.AddToScheme(scheme.Scheme)\n", after: "" },
  { file: "pkg/chart/common/capabilities.go", before: "groups := scheme.Scheme.PrioritizedVersionsAllGroups()", after: "var groups []fmt.Stringer" },
];

const added = { "pkg/engine/lookup_func.go": "lookup_func.go", "internal/version/clientgo.go": "clientgo.go" };

export async function smallHelm(): Promise<ModuleEdits> {
  const read = async ([path, name]: [string, string]) => [path, await readFile(fileURLToPath(new URL(`./wasm/_helm/${name}`, import.meta.url)), "latin1")] as const;
  return { module: "helm.sh/helm/v4", edits, added: new Map(await Promise.all(Object.entries(added).map(read))) };
}
