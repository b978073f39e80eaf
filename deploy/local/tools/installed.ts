/** Finds a tool already on this machine: in `KUBEBUILDER_ASSETS`, then on the `PATH`, when its version is close enough. */
import { execFile } from "node:child_process";
import { access, constants, realpath } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { parseVersion, type Tool } from "./catalogue.ts";

const run = promisify(execFile);

export async function findInstalled(name: string, tool: Tool, say: (line: string) => void): Promise<string | undefined> {
  const { KUBEBUILDER_ASSETS = "", PATH = "" } = process.env;
  const seen = new Set<string>(); // /bin is often a link to /usr/bin
  for (const folder of [KUBEBUILDER_ASSETS, ...PATH.split(delimiter)]) {
    const file = join(folder, name);
    if (folder === "" || !(await isExecutable(file))) continue;
    const itself = await realpath(file);
    if (seen.has(itself)) continue;
    seen.add(itself);
    const answer = await run(file, tool.versionArgs, { timeout: 10_000 }).catch((error: Error) => ({ stdout: "", stderr: error.message }));
    const found = parseVersion(answer.stdout) ?? parseVersion(answer.stderr);
    if (found && tool.accepts(found)) return file;
    const version = found ? `${found.major}.${found.minor}.${found.patch}` : "unknown";
    say(`${file} is not used: its version is ${version}, too far from ${tool.version}`);
  }
  return undefined;
}

export const isExecutable = (file: string): Promise<boolean> =>
  access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
