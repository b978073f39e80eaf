/** One Flotilla per data folder: two would start two nats-servers on one store, which would destroy it. */
import { open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "#protocol/errors/fault.ts";

/**
 * Takes the folder; the answer gives it back. A lock whose holder is dead counts for nothing.
 *
 * @throws Fault DataInUse, naming the process that holds it
 */
export async function lockFolder(data: string): Promise<() => Promise<void>> {
  const file = join(data, "up.pid");
  for (;;) {
    const handle = await open(file, "wx", 0o600).catch((thrown: NodeJS.ErrnoException) => {
      if (thrown.code === "EEXIST") return undefined;
      throw thrown;
    });
    if (handle) {
      await handle.writeFile(String(process.pid));
      await handle.close();
      return () => rm(file, { force: true });
    }
    const holder = Number(await readFile(file, "utf8").catch(() => ""));
    // In a container every process is the first: our own number there is a predecessor's.
    if (holder !== process.pid && (await isFlotilla(holder)))
      throw new Fault("DataInUse", data, { detail: `another flotilla up (process ${holder}) runs on it` });
    await rm(file, { force: true });
  }
}

async function isFlotilla(pid: number): Promise<boolean> {
  if (!Number.isInteger(pid) || pid < 1) return false;
  try {
    process.kill(pid, 0);
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === "EPERM";
  }
  // The number may have gone to somebody else since; without /proc the living process is believed.
  const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "flotilla");
  return command.includes("flotilla");
}
