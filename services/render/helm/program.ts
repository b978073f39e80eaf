/** The second renderer: Helm's own libraries, compiled to WebAssembly. */
import { quickKustomize } from "../quick-kustomize.ts";
import type { WasmProgram } from "../wasm-file.ts";
import { smallHelm } from "./small-helm.ts";

export const helmProgram: WasmProgram = {
  title: "Helm", name: "helm-engine", variable: "FLOTILLA_HELM_WASM",
  source: new URL("./wasm/", import.meta.url),
  edits: async () => [await smallHelm(), await quickKustomize()],
};
