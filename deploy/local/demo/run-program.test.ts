import assert from "node:assert/strict";
import test from "node:test";
import { runProgram } from "./run-program.ts";

const node = process.execPath;

test("returns what was printed, without the last line break", async () => {
  const { out, err } = await runProgram({ file: node, args: ["-e", "console.log('to', 'you'); console.error('aside')"] });
  assert.deepEqual([out, err], ["to you", "aside"]);
});

test("a failure tells the command as typed and what the program said", async () => {
  const failing = runProgram({ file: node, args: ["-e", "console.error('no such pod'); process.exit(3)"], shown: "kubectl get pod" });
  await assert.rejects(failing, { message: '"kubectl get pod" failed:\nno such pod' });
});

test("a program that is not there is a failure that says so", async () => {
  await assert.rejects(runProgram({ file: "/nonexistent/program", args: [] }), /failed:\n.*ENOENT/s);
});
