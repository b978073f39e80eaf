/** Flotilla as a user starts it: `flotilla up` as a child, ready when it says so. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../eventually.ts";
import { startChild, whileAlive, type Child } from "../processes.ts";
import { readableLogLine } from "./screen.ts";

export const program = join(import.meta.dirname, "../../../services/cli/flotilla.mjs");

export type FlotillaOptions = {
  kubeconfig: string;
  dataDir: string;
  logFile: string;
  /** With where nats-server and the renderer are. */
  env: NodeJS.ProcessEnv;
};

export type Flotilla = {
  /** Its gateway: health, metrics, webhook, artifacts. */
  url: string;
  /** Opens its push webhook. */
  webhookToken: string;
  stop(): Promise<void>;
};

const readyWithinMs = 60_000;
const graceMs = 20_000; // it may still be loading the renderer

export async function startFlotilla({ kubeconfig, dataDir, logFile, env }: FlotillaOptions): Promise<Flotilla> {
  const child = startChild({
    name: "flotilla",
    command: process.execPath,
    args: [program, "up", "--kubeconfig", kubeconfig, "--data", dataDir, "--listen", "127.0.0.1:0"],
    logFile,
    env,
  });
  const gone = new AbortController();
  void child.ended.then(() => gone.abort());
  try {
    await whileAlive([child], (signal) =>
      eventually('the log line "ready" of flotilla up', () => saysReady(logFile), { withinMs: readyWithinMs, signal }),
    );
    const endpoint = await readFile(join(dataDir, "endpoint.json"), "utf8");
    const { url, webhookToken } = JSON.parse(endpoint) as { url: string; webhookToken: string };
    return { url, webhookToken, stop: () => stop(child, gone.signal) };
  } catch (error) {
    await stop(child, gone.signal);
    const [reason = ""] = error instanceof Error ? error.message.split(" The end of ", 1) : [];
    throw new Error(reason, { cause: error }); // its log is shown anyway, for people
  }
}

/** The signal goes to it alone, as from a service manager: ending its own children is its own affair. */
async function stop(child: Child, gone: AbortSignal): Promise<void> {
  if (!gone.aborted) process.kill(child.pid, "SIGTERM");
  await sleep(graceMs, undefined, { signal: gone }).catch(() => undefined);
  await child.stop();
}

async function saysReady(logFile: string): Promise<boolean> {
  const text = await readFile(logFile, "utf8");
  return text.split("\n").some((line) => line.includes('"msg":"ready"'));
}

/** The end of its log, for people. */
export async function lastLogLines(logFile: string, most = 12): Promise<string[]> {
  const text = await readFile(logFile, "utf8").catch(() => ""); // it was not started yet
  return text.split("\n").filter(Boolean).slice(-most).map(readableLogLine);
}
