/**
 * `npm run demo`: from a commit to running pods, shown step by step. Everything stays up until Ctrl-C; with `-- --once`
 * it ends by itself. The exit code is 0 when every step came true; otherwise the last lines say which did not, and why.
 */
import { parseArgs } from "node:util";
import { farewell } from "./farewell.ts";
import { lastLogLines } from "./flotilla.ts";
import { createScreen } from "./screen.ts";
import { makeFolder, setStage } from "./stage.ts";
import { deploy, editByHand, pushChange, pushImage, showTrace } from "./story.ts";

const { values } = parseArgs({ options: { once: { type: "boolean", default: false } } });
const screen = createScreen({
  write: (text) => void process.stdout.write(text),
  nowMs: () => performance.now(),
  steps: 8,
  width: process.stdout.columns || 120,
  colour: process.stdout.isTTY && process.stdout.hasColors(),
});

// A terminal's Ctrl-C reaches us more than once, through npm and through run.mjs: only the first counts.
const interrupted = new Promise<"interrupted">((resolve) => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => resolve("interrupted"));
});

const closing = new AsyncDisposableStack();
const folder = await makeFolder(closing);
screen.title("From a commit to running pods", "Everything runs on this machine. On the left: seconds since the step began.");
try {
  const outcome = await Promise.race([story(), interrupted]);
  if (outcome === "interrupted") process.exitCode = 130;
  else if (!values.once) await interrupted;
} catch (error) {
  const reason = error instanceof Error ? error.message : String(error);
  screen.failure({ reason, log: { name: "Flotilla's log", lines: await lastLogLines(folder.logFile) } });
  process.exitCode = 1;
}
process.stdout.write("\nStopping ...\n");
await closing.disposeAsync();
process.stdout.write(`Stopped. Nothing is left in ${folder.dir}.\n`);
process.exit(); // an interrupted story may still be waiting for something

async function story(): Promise<void> {
  const stage = await setStage(folder, screen, closing);
  await deploy(stage, screen);
  const sha = await pushChange(stage, screen);
  await editByHand(stage, screen);
  await pushImage(stage, screen);
  await showTrace(stage, screen, sha);
  if (!values.once) process.stdout.write(farewell(stage, sha));
}
