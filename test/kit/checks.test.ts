/** What is checked without being run: types, lint, dead code. As tests, so that they stand in the one summary. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import test from "node:test";

const root = join(import.meta.dirname, "../..");

const checks = [
  { title: "types: tsc finds nothing", command: "tsc", args: ["-p", "."] },
  { title: "lint: oxlint finds nothing", command: "oxlint", args: ["--deny-warnings"] },
  { title: "dead code: knip finds nothing", command: "knip", args: ["--no-progress", "--config", "test/kit/knip.json"] },
];

for (const { title, command, args } of checks)
  test(title, async () => {
    const { code, output } = await run(join(root, "node_modules/.bin", command), args);
    assert.equal(code, 0, `${command} ${args.join(" ")}\n${output}`);
  });

function run(command: string, args: string[]): Promise<{ code: unknown; output: string }> {
  return new Promise((resolve) => {
    execFile(command, args, { cwd: root, maxBuffer: 64 << 20 }, (error, stdout, stderr) =>
      resolve({ code: error ? (error.code ?? error.signal) : 0, output: `${stdout}${stderr}` }),
    );
  });
}
