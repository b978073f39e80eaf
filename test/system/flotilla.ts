/** `flotilla up` and `flotilla worker` as child processes, started exactly as a user starts them, and the commands beside them. */
import { execFile } from "node:child_process";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { eventually } from "../../deploy/local/eventually.ts";
import { startChild, whileAlive } from "../../deploy/local/processes.ts";

export type Flotilla = {
  url: string;
  /** Of the API; beside it the one that webhooks are signed with. */
  token: string;
  webhookToken: string;
  data: string;
  pid: number;
  /** What it logged since it started. */
  logs(): LogLine[];
  /** Says that somebody pushed, as a Git server does. */
  announce(repositoryUrl: string): Promise<Response>;
  /** SIGTERM to it alone, as `kill` sends it, or a signal to it and its children at once, as a terminal does; resolves to how it ended. */
  stop(how?: "kill" | "Ctrl-C"): Promise<string>;
  /** Ends it, and only it, as a crash would. */
  crash(): Promise<void>;
};

export type LogLine = { level: string; ts: string; msg: string; error?: string; [field: string]: unknown };

export type FlotillaOptions = {
  kubeconfig: string;
  /** Given again, it goes on from what is stored there. */
  data: string;
  /** Any free port unless given. */
  listen?: string;
  /** Further arguments of `up`. */
  args?: string[];
  /** Further arguments of Node, for a profile. */
  nodeArgs?: string[];
};

const program = join(import.meta.dirname, "../../services/cli/flotilla.mjs");
const startMs = 120_000;
const stopTimeoutMs = 20_000;
const announceTimeoutMs = 5_000;
let starts = 0;

export async function startFlotilla({ kubeconfig, data, listen = "127.0.0.1:0", args = [], nodeArgs = [] }: FlotillaOptions): Promise<Flotilla> {
  await mkdir(data, { recursive: true });
  const logFile = join(data, `up-${++starts}.log`);
  const words = ["up", "--kubeconfig", kubeconfig, "--data", data, "--listen", listen, ...args];
  const child = startChild({ name: "flotilla up", command: process.execPath, args: [...nodeArgs, program, ...words], logFile, cwd: data });
  const logs = () => readLog(logFile);
  const stopBy = async (signal: () => void): Promise<string> => {
    if (!isAlive(child.pid)) return child.ended;
    const late = setTimeout(() => void child.kill(), stopTimeoutMs);
    signal();
    const ended = await child.ended;
    clearTimeout(late);
    return ended;
  };
  try {
    await whileAlive([child], (signal) => eventually("flotilla up ready", () => logs().some(({ msg }) => msg === "ready"), { signal, withinMs: startMs }));
  } catch (thrown) {
    await stopBy(() => process.kill(child.pid, "SIGTERM")); // killed, it would leave its nats-server behind
    throw thrown;
  }

  const { url, token, webhookToken } = JSON.parse(await readFile(join(data, "endpoint.json"), "utf8")) as Record<"url" | "token" | "webhookToken", string>;
  return {
    url, token, webhookToken, data, logs,
    pid: child.pid,
    announce: (repositoryUrl) => announce(url, webhookToken, repositoryUrl),
    stop: (how = "kill") => stopBy(how === "kill" ? () => process.kill(child.pid, "SIGTERM") : () => process.kill(-child.pid, "SIGINT")),
    async crash() {
      process.kill(child.pid, "SIGKILL");
      await eventually("the process gone", () => !isAlive(child.pid));
    },
  };
}

/** A worker beside others, on a NATS that is there. */
export type RunningWorker = Pick<Flotilla, "url" | "token" | "pid" | "logs" | "announce" | "crash"> & {
  /** By which the others know it. */
  name: string;
  signal(signal: NodeJS.Signals): void;
  /** How it ended. */
  ended: Promise<string>;
};

export type WorkerOptions = {
  kubeconfig: string;
  /** With its token, as `--nats` takes it. */
  nats: string;
  /** For its log and its note of where it is. */
  data: string;
  tokens: { token: string; webhookToken: string };
  args?: string[];
  nodeArgs?: string[];
};

export async function startWorker({ kubeconfig, nats, data, tokens, args = [], nodeArgs = [] }: WorkerOptions): Promise<RunningWorker> {
  await mkdir(data, { recursive: true });
  const logFile = join(data, `worker-${++starts}.log`);
  const words = ["worker", "--nats", nats, "--kubeconfig", kubeconfig, "--data", data, ...args];
  const env = { ...process.env, FLOTILLA_TOKEN: tokens.token, FLOTILLA_WEBHOOK_TOKEN: tokens.webhookToken };
  const child = startChild({ name: "flotilla worker", command: process.execPath, args: [...nodeArgs, program, ...words], logFile, cwd: data, env });
  const logs = () => readLog(logFile);
  const ready = await whileAlive([child], (signal) =>
    eventually("flotilla worker ready", () => logs().find(({ msg }) => msg === "ready"), { signal, withinMs: startMs }));
  const url = String(ready["url"]);
  return {
    url, logs, token: tokens.token, name: String(ready["worker"]), pid: child.pid, ended: child.ended,
    announce: (repositoryUrl) => announce(url, tokens.webhookToken, repositoryUrl),
    signal: (signal) => { if (isAlive(child.pid)) process.kill(child.pid, signal); },
    crash: () => child.kill(),
  };
}

function announce(url: string, webhookToken: string, repositoryUrl: string): Promise<Response> {
  const body = JSON.stringify({ repository: { clone_url: repositoryUrl } });
  const signature = `sha256=${createHmac("sha256", webhookToken).update(body).digest("hex")}`;
  const headers = { "content-type": "application/json", "x-github-event": "push", "x-hub-signature-256": signature };
  return fetch(`${url}/hook/push`, { method: "POST", headers, body, signal: AbortSignal.timeout(announceTimeoutMs) });
}

export type Ran = { code: number; stdout: string; stderr: string };

/** One command of the CLI, as in a shell. */
export function runCommand(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  return new Promise((resolve) => {
    const options = { env: { ...process.env, ...env }, timeout: 60_000 };
    execFile(process.execPath, [program, ...args], options, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === "number" ? error.code : error ? -1 : 0, stdout, stderr }),
    );
  });
}

/** Lines that are not JSON are what a crash prints: they count as errors. */
function readLog(file: string): LogLine[] {
  const lines = readFileSync(file, "utf8").split("\n").slice(0, -1).filter((line) => line !== "");
  return lines.map((line) => (line.startsWith("{") ? (JSON.parse(line) as LogLine) : { level: "error", ts: "", msg: line }));
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !hasEnded(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/**
 * A zombie has ended once its last thread has: its first one may be dead while another still holds the process's sockets open.
 *
 * @param stat `/proc/<pid>/stat` (proc_pid_stat(5)): after the name in brackets the state, and 17 fields later the number of threads
 */
export function hasEnded(stat: string): boolean {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" && Number(fields[17]) <= 1;
}
