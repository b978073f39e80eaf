/** The folder outside the clone where what was fetched or built is kept, by version and platform, for every clone. */
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
  for (let waits = 0; !(await take(lock)); waits++) {
    const holder = await holderOf(lock);
    if (holder === undefined) await rm(lock, { force: true });
    else if (waits === 0) onWait(holder);
    await sleep(pollMs);
  }
  try {
    return await work();
  } finally {
    await rm(lock, { force: true });
  }
}

/** A hard link makes the lock appear together with the number of its holder, or not at all. */
async function take(lock: string): Promise<boolean> {
  const own = `${lock}.${process.pid}`;
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

/** The process that holds the lock, or undefined when it is gone. */
async function holderOf(lock: string): Promise<number | undefined> {
  try {
    const holder = Number(await readFile(lock, "utf8"));
    const fresh = Date.now() - (await stat(lock)).mtimeMs < staleMs;
    process.kill(holder, 0);
    return fresh ? holder : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EPERM") return 0; // alive, and another user's
    return undefined;
  }
}
