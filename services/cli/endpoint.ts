/** Where a running Flotilla is and what opens its API: `endpoint.json` of `flotilla up`, or a file of each `flotilla worker`. */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import * as z from "zod";
import { Failure } from "./failure.ts";

type Env = Record<string, string | undefined>;

const endpoint = z.object({ url: z.url({ protocol: /^https?$/ }), token: z.string().min(1), pid: z.number().int().optional() });
type Endpoint = z.infer<typeof endpoint>;

const ofUp = "endpoint.json";
const ofWorkers = "workers";

/** `--data`, else `$XDG_DATA_HOME/flotilla`, else `~/.local/share/flotilla`. */
export const dataDirOf = (given: string | undefined, env: Env): string =>
  given ?? join(env["XDG_DATA_HOME"] || join(env["HOME"] || homedir(), ".local", "share"), "flotilla");

/** Notes where `up`, or a worker of this name, is to be found; the answer takes the note away. */
export async function writeEndpoint(
  dataDir: string,
  { worker, ...found }: { url: string; token: string; webhookToken: string; worker?: string },
): Promise<() => Promise<void>> {
  const file = worker === undefined ? join(dataDir, ofUp) : join(dataDir, ofWorkers, `${worker}.json`);
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await writeFile(file, JSON.stringify({ ...found, pid: process.pid }, null, 2), { mode: 0o600 });
  return () => rm(file, { force: true });
}

/**
 * `--server` or FLOTILLA_SERVER with FLOTILLA_TOKEN; otherwise a file. A file's token goes to its own address only.
 *
 * @throws Failure when neither says where Flotilla is
 */
export async function findEndpoint(
  { server, data }: { server?: string; data?: string },
  env: Env,
): Promise<{ url: string; token: string }> {
  const url = server ?? env["FLOTILLA_SERVER"];
  const token = env["FLOTILLA_TOKEN"];
  if (url && token) return { url, token };
  const dataDir = dataDirOf(data, env);
  const kept = await readEndpoints(dataDir);
  // What died without a farewell left its file behind.
  const found = url ? kept.find((each) => bare(each.url) === bare(url)) : (kept.find(isAlive) ?? kept[0]);
  if (found) return { url: found.url, token: found.token };
  if (url) throw new Failure(`no token for ${url}: set FLOTILLA_TOKEN`);
  throw new Failure(
    `no running Flotilla found in ${dataDir}: start one with "flotilla up", or name one with --server and FLOTILLA_TOKEN`,
  );
}

const bare = (url: string): string => url.replace(/\/+$/, "");

function isAlive({ pid }: Endpoint): boolean {
  if (pid === undefined) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Of `up` first. */
async function readEndpoints(dataDir: string): Promise<Endpoint[]> {
  const names = await readdir(join(dataDir, ofWorkers)).catch(() => []);
  const files = [join(dataDir, ofUp), ...names.sort().map((name) => join(dataDir, ofWorkers, name))];
  const found = await Promise.all(files.map(readEndpoint));
  return found.filter((each) => each !== undefined);
}

async function readEndpoint(file: string): Promise<Endpoint | undefined> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw new Failure(`cannot read ${file} (${error.code}): check its permissions`);
  });
  if (text === undefined) return undefined;
  try {
    return endpoint.parse(JSON.parse(text));
  } catch {
    // Never quoted: it holds a token.
    throw new Failure(`${file} is damaged: delete it and start "flotilla up" again`);
  }
}
