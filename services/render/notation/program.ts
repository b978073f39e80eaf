/** Notation's own verifier of signatures, compiled to WebAssembly: of all that runs so, the one thing that renders nothing. */
import type { WasmProgram } from "../wasm-file.ts";

export const notationProgram: WasmProgram = {
  title: "notation", name: "notation", variable: "FLOTILLA_NOTATION_WASM",
  source: new URL("./wasm/", import.meta.url),
  edits: async () => [],
};
