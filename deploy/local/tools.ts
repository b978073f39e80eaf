/**
 * Provides the real parts for development and tests: the path of each program, from what is installed, from the cache, from
 * an official release, or built from source; in this order, because each step costs more than the one before.
 */
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

/** The paths of several; what has to be built is built one after the other, because each build uses every core. */
export async function tools<N extends ToolName>(names: readonly N[], say: Say = toStderr): Promise<Record<N, string>> {
  const paths = {} as Record<N, string>;
  for (const name of names) paths[name] = await tool(name, say);
  return paths;
}

/** Provides all there are, and says beforehand what is missing: what a set-up does first. */
export async function provideAll(say: Say = toStderr): Promise<Record<ToolName, string>> {
  const names = Object.keys(catalogue) as ToolName[];
  const here = await Promise.all(names.map((name) => findHere(name, catalogue[name], () => {})));
  const missing = names.filter((_, i) => here[i] === undefined);
  if (missing.length > 0)
    say(`Missing: ${missing.join(", ")}. They are downloaded where the network allows it, or built (all: about ten minutes), once.`);
  return tools(names, say);
}

async function provide(name: ToolName, say: Say): Promise<string> {
  const wanted: Tool = catalogue[name];
  const here = await findHere(name, wanted, say);
  if (here) return here;

  const file = cachedTool(name, wanted.version);
  const onWait = (pid: number) => say(`Waiting for ${name}: process ${pid} is providing it ...`);
  await withLock(file, onWait, async () => {
    if (await isExecutable(file)) return;
    const release = wanted.release?.(goPlatform());
    if (release && (await download(release, file))) say(`Downloaded ${name} ${wanted.version}`);
    else await build(name, wanted, file, say);
  });
  return file;
}

/** What costs nothing: named by the environment (`FLOTILLA_NATS_SERVER=/path/to/it`), installed, or in the cache. */
async function findHere(name: ToolName, wanted: Tool, say: Say): Promise<string | undefined> {
  const named = process.env[`FLOTILLA_${name.toUpperCase().replaceAll("-", "_")}`];
  if (named) return named;
  const refused: string[] = [];
  const installed = await findInstalled(name, wanted, (line) => refused.push(line));
  if (installed) return installed;
  const cached = cachedTool(name, wanted.version);
  if (await isExecutable(cached)) return cached;
  for (const line of refused) say(line); // why what follows takes so long
  return undefined;
}

const goPlatform = (): GoPlatform => ({
  os: process.platform === "win32" ? "windows" : process.platform,
  arch: process.arch === "x64" ? "amd64" : process.arch,
});
