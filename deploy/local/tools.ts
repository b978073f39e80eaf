/**
 * Provides the real parts for development and tests: the path of each program, from what is installed, from the cache, from
 * an official release, or built from source; in this order, because each step costs more than the one before.
 */
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { build } from "./tools/build.ts";
import { cachedTool, withLock } from "./tools/cache.ts";
import { catalogue, type GoPlatform, type Tool, type ToolName } from "./tools/catalogue.ts";
import { download } from "./tools/download.ts";
import { findInstalled, isExecutable } from "./tools/installed.ts";

export type { ToolName } from "./tools/catalogue.ts";

type Say = (line: string) => void;

const toStderr: Say = (line) => void process.stderr.write(`${line}\n`);
const found = new Map<ToolName, Promise<string>>();

/** The path of one program; the first call may take minutes, and says so. */
export function tool(name: ToolName, say: Say = toStderr): Promise<string> {
  const path = found.get(name) ?? provide(name, say);
  found.set(name, path);
  return path;
}

/** The paths of several; built one after the other, because each build uses every core. */
export async function tools<N extends ToolName>(names: readonly N[], say: Say = toStderr): Promise<Record<N, string>> {
  const paths = {} as Record<N, string>;
  for (const name of names) paths[name] = await tool(name, say);
  return paths;
}

async function provide(name: ToolName, say: Say): Promise<string> {
  const wanted: Tool = catalogue[name];
  const named = process.env[`FLOTILLA_${name.toUpperCase().replaceAll("-", "_")}`]; // FLOTILLA_NATS_SERVER=/path/to/it
  if (named) return named;

  const file = cachedTool(name, wanted.version);
  const refused: string[] = [];
  const installed = await findInstalled(name, wanted, (line) => refused.push(line));
  if (installed) return installed;
  if (await isExecutable(file)) return file;
  for (const line of refused) say(line); // why what follows takes so long

  const onWait = (pid: number) => say(`Waiting for ${name}: process ${pid} is providing it ...`);
  await withLock(file, onWait, async () => {
    if (await isExecutable(file)) return;
    await mkdir(dirname(file), { recursive: true });
    const release = wanted.release?.(goPlatform());
    if (release && (await download(release, file))) say(`Downloaded ${name} ${wanted.version}`);
    else await build(name, wanted, file, say);
  });
  return file;
}

const goPlatform = (): GoPlatform => ({
  os: process.platform === "win32" ? "windows" : process.platform,
  arch: process.arch === "x64" ? "amd64" : process.arch,
});
