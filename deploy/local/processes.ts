/**
 * Child processes that never outlive us: each runs in a process group of its own (so that Ctrl-C in a terminal reaches
 * us alone, and we decide the order of ending), writes to a log file, and is known to a guard which ends it even when
 * this process is killed and can do nothing more.
 */
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Writable } from "node:stream";

export type Child = {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  /** Resolves, never rejects, to how it ended: "exit code 1", "SIGKILL". */
  readonly ended: Promise<string>;
  /** Asks it to end; after `graceMs` makes it. Resolves when it is gone. */
  stop(graceMs?: number): Promise<void>;
  /** Ends it at once, as a crash would. */
  kill(): Promise<void>;
};

export type ChildOptions = {
  name: string;
  command: string;
  args: string[];
  logFile: string;
  cwd?: string;
  env?: NodeJS.ProcessEnv;
};

const living = new Map<number, Child>();

export function startChild({ name, command, args, logFile, cwd, env }: ChildOptions): Child {
  mkdirSync(dirname(logFile), { recursive: true });
  const log = openSync(logFile, "a", 0o600);
  const program = spawn(command, args, {
    stdio: ["ignore", log, log],
    detached: true,
    env: env ?? process.env,
    ...(cwd === undefined ? {} : { cwd }),
  });
  closeSync(log);
  program.unref(); // whoever waits for it keeps a timer or a socket of its own
  const { pid } = program;
  const ended = new Promise<string>((resolve) => {
    program.once("error", (error) => resolve(`could not start: ${error.message}`));
    program.once("exit", (code, signal) => {
      living.delete(pid ?? 0);
      guard().write(`- ${pid}\n`);
      resolve(signal ?? `exit code ${code}`);
    });
  });
  if (pid === undefined) throw new Error(`${name}: cannot start ${command}; is it executable on this machine?`);

  guard().write(`+ ${pid}\n`);

  const child: Child = {
    name,
    pid,
    logFile,
    ended,
    async stop(graceMs = 3_000) {
      program.ref();
      signalGroup(pid, "SIGTERM");
      const late = setTimeout(() => signalGroup(pid, "SIGKILL"), graceMs);
      await ended;
      clearTimeout(late);
    },
    async kill() {
      program.ref();
      signalGroup(pid, "SIGKILL");
      await ended;
    },
  };
  living.set(pid, child);
  return child;
}

/** Runs `work`, but no longer than the children live: a dead one aborts it and rejects with the end of its log. */
export async function whileAlive<T>(children: Child[], work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const over = new AbortController();
  const deaths = children.map(async (child) => {
    const how = await child.ended;
    throw new Error(`${child.name} ended early (${how}). The end of ${child.logFile}:\n${tail(child.logFile)}`);
  });
  try {
    return await Promise.race([work(over.signal), ...deaths]);
  } finally {
    over.abort();
  }
}

/** The last lines of a log, for an error message. */
export function tail(file: string, lines = 15): string {
  return readFileSync(file, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  if (!living.has(pid)) return; // the number may belong to someone else by now
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

// Learns process ids over its standard input, which closes when this process ends, however it ends.
const guardScript = `
trap '' INT TERM HUP
pids=
while read -r sign pid; do
  rest=
  for each in $pids; do [ "$each" = "-$pid" ] || rest="$rest $each"; done
  pids=$rest
  [ "$sign" = + ] && pids="$pids -$pid"
done
[ -n "$pids" ] || exit 0
kill -s TERM -- $pids 2>/dev/null
sleep 2
kill -s KILL -- $pids 2>/dev/null
`;
let guardInput: Writable | undefined;

function guard(): Writable {
  if (guardInput) return guardInput;
  const sh = spawn("sh", ["-c", guardScript], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  sh.unref();
  if ("unref" in sh.stdin && typeof sh.stdin.unref === "function") sh.stdin.unref();
  sh.stdin.on("error", () => sh.kill()); // a guard that cannot hear is no guard; exit handlers below still run
  process.once("exit", () => {
    for (const pid of living.keys()) signalGroup(pid, "SIGKILL");
  });
  guardInput = sh.stdin;
  return guardInput;
}
