/** What a command sees of the world: where it prints, whom it asks, how it waits. Tests bring their own. */
import type { Api } from "./api.ts";
import type { Cluster } from "./cluster.ts";
import type { Builder } from "./local/builder.ts";

export type Env = Record<string, string | undefined>;

export type ClusterOptions = { kubeconfig?: string; context?: string };
export type ServerOptions = { server?: string; data?: string };

export type Shell = {
  /** The result, on stdout. */
  print(text: string): void;
  /** What goes on meanwhile, on stderr. */
  say(text: string): void;
  /** Width of the terminal. */
  columns: number;
  colour: boolean;
  /** Whether the terminal shows box drawing. */
  unicode: boolean;
  env: Env;
  openCluster(options: ClusterOptions): Promise<Cluster>;
  openApi(options: ServerOptions): Promise<Api>;
  /** What builds a unit on this machine. */
  openBuilder(): Promise<Builder>;
  nowMs(): number;
  sleep(ms: number): Promise<void>;
};

export function terminalShell(env: Env = process.env): Shell {
  // `flotilla get | head` closes the pipe early: that is no error of ours.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
  return {
    print: (text) => void process.stdout.write(text),
    say: (text) => void process.stderr.write(`${text}\n`),
    columns: process.stdout.columns || Number(env["COLUMNS"]) || 100,
    colour: process.stdout.isTTY === true && !env["NO_COLOR"] && env["TERM"] !== "dumb",
    unicode: env["TERM"] !== "linux" && !/^(C|POSIX)$/.test(env["LC_ALL"] || env["LC_CTYPE"] || env["LANG"] || ""),
    env,
    openCluster: async (options) => (await import("./cluster.ts")).openCluster(options, env),
    openApi: async (options) => (await import("./api.ts")).openApi(options, env),
    openBuilder: async () => (await import("./local/builder.ts")).openBuilder(),
    nowMs: Date.now,
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  };
}
