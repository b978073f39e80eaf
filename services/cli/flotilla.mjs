#!/usr/bin/env node
// The command's entry. Plain JavaScript that Node 20 can read: where the running Node is too old for the rest, the one that
// comes with the project takes over (package.json, devDependencies).
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import * as module from "node:module";
import { constants, homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const neededMajor = 24; // runs TypeScript as it is, without a flag and without a warning
const runningMajor = Number(process.versions.node.split(".")[0]);

// V8 grows its nursery to 16 MB a thread and keeps it; for a process that mostly waits that is a third of its memory.
// The size can only be set at the start, so that the long-running commands start anew under the same process id.
const smallNursery = "--max-semi-space-size=4";
if (["up", "worker"].includes(process.argv[2] ?? "") && process.execve && !process.execArgv.includes(smallNursery) && runningMajor >= neededMajor) {
  process.removeAllListeners("warning"); // that execve is experimental concerns nobody who reads the log
  process.execve(process.execPath, [process.execPath, smallNursery, ...process.execArgv, ...process.argv.slice(1)], process.env);
}

if (runningMajor >= neededMajor) {
  // What was compiled once is kept: a command starts in half the time.
  module.enableCompileCache?.(join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "flotilla", "compiled"));
  const { main } = await import("./main.ts");
  process.exitCode = await main(process.argv.slice(2));
} else {
  const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
  const ownNode = join(root, "node_modules", ".bin", process.platform === "win32" ? "node.cmd" : "node");
  if (!existsSync(ownNode) || process.env["FLOTILLA_NODE_CHOSEN"]) {
    process.stderr.write(
      `✗ flotilla needs Node ${neededMajor} or later, this is ${process.versions.node}: ` +
        `run "npm install" in ${root}, which brings its own, or install a newer Node\n`,
    );
    process.exit(1);
  }
  runWith(ownNode);
}

/** @param {string} node */
function runWith(node) {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: "inherit",
    env: { ...process.env, FLOTILLA_NODE_CHOSEN: "1" },
  });
  // The terminal sends Ctrl-C to both; what is sent to this process alone has to be passed on.
  for (const signal of /** @type {const} */ (["SIGTERM", "SIGHUP", "SIGINT", "SIGUSR2"]))
    process.on(signal, () => signal === "SIGINT" || child.kill(signal));
  child.on("error", (error) => {
    process.stderr.write(`✗ cannot start ${node}: ${error.message}\n`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => process.exit(code ?? 128 + (signal ? (constants.signals[signal] ?? 0) : 0)));
}
