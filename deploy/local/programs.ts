/** What runs as WebAssembly inside of Flotilla. */
import { helmProgram } from "../../services/render/helm/program.ts";
import { notationProgram } from "../../services/render/notation/program.ts";
import { buildWasm, kustomizeProgram } from "../../services/render/wasm-file.ts";

const programs = [kustomizeProgram, helmProgram, notationProgram];

/** Builds what is missing, once. @returns where each is, by the environment variable that names it */
export async function buildPrograms(say: (line: string) => void): Promise<Record<string, string>> {
  const paths: Record<string, string> = {};
  for (const program of programs) paths[program.variable] = (await buildWasm(say, process.env, program)).path;
  return paths;
}
