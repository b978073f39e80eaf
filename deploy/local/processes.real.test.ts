import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { scratchFolder } from "../../test/kit/cluster.ts";
import { eventually } from "./eventually.ts";
import { startChild, whileAlive } from "./processes.ts";

const folder = scratchFolder();
const sleeper = (name: string, script: string) =>
  startChild({ name, command: "sh", args: ["-c", script], logFile: join(folder, `${name}.log`) });

const exists = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

test("a child that does not heed SIGTERM is killed, with its own children", async () => {
  const child = sleeper("stubborn", "trap '' TERM; sleep 600 & echo $!; wait; wait; sleep 600");
  const grandchild = await eventually("the grandchild", async () => Number(await readFile(child.logFile, "utf8")));
  await child.stop(100);
  assert.equal(await child.ended, "SIGKILL");
  await eventually("the grandchild gone", () => !exists(grandchild));
});

test("a wait ends when a child does, and tells the end of its log", async () => {
  const child = sleeper("failing", "echo no such thing; exit 3");
  const never = (signal: AbortSignal) => eventually("what never comes", () => false, { signal });
  await assert.rejects(whileAlive([child], never), /failing ended early \(exit code 3\)[^]*no such thing/);
});

test("children end with a parent that is killed and can do nothing more", async () => {
  const program = `
    import { startChild } from ${JSON.stringify(join(import.meta.dirname, "processes.ts"))};
    const { pid } = startChild({ name: "left", command: "sleep", args: ["600"], logFile: ${JSON.stringify(join(folder, "left.log"))} });
    console.log(pid);
    process.kill(process.pid, "SIGKILL");
  `;
  const parent = spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: ["ignore", "pipe", "inherit"] });
  const [output, [, signal]] = await Promise.all([text(parent.stdout), once(parent, "exit")]);
  assert.equal(signal, "SIGKILL");
  const pid = Number(output);
  assert.ok(pid > 1);
  await eventually("the orphan gone", () => !exists(pid));
});
