/** The folder outside the clone where what was fetched or built is kept, by version and platform, for every clone. */
import { randomUUID } from "node:crypto";
import { link, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** `~/.cache/flotilla`, or under `XDG_CACHE_HOME`. services/ repeats this rule where it looks for the same files. */
export const cacheFolder = (): string => join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "flotilla");

/** `<cache>/<tool>/<version>/<platform>-<arch>/<tool>`, with Node's names for platform and arch: `linux-x64`. */
export const cachedTool = (name: string, version: string): string =>
  join(cacheFolder(), name, version, `${process.platform}-${process.arch}`, name);

const pollMs = 250;
const staleMs = 30 * 60_000; // longer than any build: process ids mean nothing across containers that share the folder

/**
 * Runs `work` while holding `<file>.lock`, so that two set-ups do not build the same thing twice. Results are renamed into
 * place and thus right without it: the lock saves minutes, and a lock left by a dead process is taken over.
 */
export async function withLock<T>(file: string, onWait: (pid: number) => void, work: () => Promise<T>): Promise<T> {
  const lock = `${file}.lock`;
  await mkdir(dirname(lock), { recursive: true });
  for (let told = false; !(await take(lock)); await sleep(pollMs)) {
    const holder = await holderOf(lock);
    if (holder === "dead") await rm(lock, { force: true });
    else if (holder !== "none" && !told) {
      onWait(holder);
      told = true;
    }
  }
  try {
    return await work();
  } finally {
    await rm(lock, { force: true });
  }
}

/** A hard link makes the lock appear together with the number of its holder, or not at all. */
async function take(lock: string): Promise<boolean> {
  const own = `${lock}.${randomUUID()}`;
  await writeFile(own, String(process.pid));
  try {
    await link(own, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    await rm(own, { force: true });
  }
}

async function holderOf(lock: string): Promise<number | "dead" | "none"> {
  const [text, stats] = await Promise.all([readFile(lock, "utf8"), stat(lock)]).catch(() => []);
  if (text === undefined || stats === undefined) return "none"; // given back meanwhile
  const pid = Number(text);
  return isRunning(pid) && Date.now() - stats.mtimeMs < staleMs ? pid : "dead";
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0); // sends nothing
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"; // running, and another user's
  }
}
