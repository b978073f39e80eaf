/** The embedded NATS: nats-server as a child, on loopback, with a file store that is synced on every write. */
import { randomBytes } from "node:crypto";
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, readdir, readlink, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { Fault } from "#protocol/errors/fault.ts";

/** Older servers lack atomic batches that keep their expectations (ownership.md 2.1). */
export const natsServerVersion = "v2.15.2";

export type NatsServer = { url: string; token: string; pid: number; stop(): Promise<void> };

const startTimeoutMs = 15_000;
const stopTimeoutMs = 5_000;
const restartDelayMs = 500;

/**
 * Starts a server on `dir`, after ending one that an earlier run left behind there: two servers on one store would
 * destroy it. Starts it again when it dies by itself.
 */
export async function startNatsServer(dir: string, onRestart: (detail: string) => void = () => undefined): Promise<NatsServer> {
  const binary = findNatsServer();
  const home = resolve(dir);
  await mkdir(home, { recursive: true, mode: 0o700 });
  const pidFile = join(home, "nats.pid");
  await endOrphan(pidFile, home);

  const token = randomBytes(24).toString("base64url");
  let port = -1;
  let child: ChildProcess | undefined;
  let starting = true;
  let stopping = false;

  const start = async (): Promise<void> => {
    const config = join(home, "nats.conf");
    // The port stays the same over restarts, so that clients find it again.
    await writeFile(config, [
      `listen: 127.0.0.1:${port}`, `ports_file_dir: ${JSON.stringify(home)}`, `pid_file: ${JSON.stringify(pidFile)}`,
      `authorization { token: ${JSON.stringify(token)} }`,
      `jetstream { store_dir: ${JSON.stringify(join(home, "jetstream"))}, sync_interval: always }`,
      "max_payload: 8MB", "logtime: false", "",
    ].join("\n"), { mode: 0o600 });
    // In a process group of its own: a Ctrl-C in the terminal is for the parent, who still has something to write.
    const started = spawn(binary, ["-c", config], { stdio: ["ignore", "ignore", "pipe"], detached: true });
    child = started;
    let said = "";
    started.stderr?.on("data", (chunk: Buffer) => { said = (said + chunk.toString()).slice(-2_000); });
    started.once("exit", (code, signal) => {
      if (stopping || starting || child !== started) return; // whoever starts it hears of it
      onRestart(`nats-server ended (${signal ?? code})`);
      void restart();
    });
    port = await listeningPort(home, started, () => said);
  };
  // Until it is back: somebody else may hold the port for a moment.
  const restart = async (): Promise<void> => {
    starting = true;
    for (;;)
      try {
        if (!stopping) await start();
        starting = false;
        return;
      } catch (thrown) {
        onRestart(thrown instanceof Error ? thrown.message : String(thrown));
        await wait(restartDelayMs);
      }
  };
  await start();
  starting = false;

  return {
    url: `nats://127.0.0.1:${port}`,
    token,
    pid: child?.pid ?? 0,
    async stop() {
      stopping = true;
      if (child) await end(child);
      await rm(pidFile, { force: true });
    },
  };
}

/** FLOTILLA_NATS_SERVER, then the cache the set-up fills, then PATH. */
export function findNatsServer(env: NodeJS.ProcessEnv = process.env): string {
  const given = env["FLOTILLA_NATS_SERVER"];
  const cache = env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
  const cached = join(cache, "flotilla", "nats-server", natsServerVersion, `${process.platform}-${process.arch}`, "nats-server");
  const onPath = (env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, "nats-server"));
  const found = [...(given ? [given] : []), cached, ...onPath].find((file) => existsSync(file));
  if (!found) throw new Fault("NatsServerMissing", "nats-server");
  return found;
}

async function listeningPort(dir: string, child: ChildProcess, said: () => string): Promise<number> {
  const file = join(dir, `nats-server_${child.pid}.ports`);
  for (let waitedMs = 0; waitedMs < startTimeoutMs; waitedMs += 10) {
    if (child.exitCode !== null || child.signalCode !== null) break;
    const [url] = /nats:\/\/[^"]+/.exec(await readFile(file, "utf8").catch(() => "")) ?? [];
    if (url) return Number(new URL(url).port);
    await wait(10);
  }
  throw new Fault("NatsServerMissing", "nats-server", { detail: `it did not start: ${said().trim().split("\n").at(-1) ?? ""}` });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((done) => { child.once("exit", () => done()); });
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), stopTimeoutMs);
  await ended;
  clearTimeout(timer);
}

/** Ends the server named in the pid file, when it runs and is verifiably the one for this folder. */
async function endOrphan(pidFile: string, home: string): Promise<void> {
  const pid = Number(await readFile(pidFile, "utf8").catch(() => ""));
  if (Number.isInteger(pid) && pid > 1 && (await servesFolder(pid, home))) {
    process.kill(pid, "SIGTERM");
    for (let waitedMs = 0; (await servesFolder(pid, home)) && waitedMs < stopTimeoutMs; waitedMs += 20) await wait(20);
    if (await servesFolder(pid, home)) process.kill(pid, "SIGKILL");
  }
  const stale = (await readdir(home)).filter((name) => name.endsWith(".ports"));
  await Promise.all([pidFile, ...stale.map((name) => join(home, name))].map((file) => rm(file, { force: true })));
}

async function servesFolder(pid: number, home: string): Promise<boolean> {
  const [command, state] = await Promise.all([
    readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""),
    readlink(`/proc/${pid}/exe`).catch(() => ""), // empty for a process that has ended and was not collected
  ]);
  return state !== "" && command.split("\0").includes(join(home, "nats.conf"));
}
