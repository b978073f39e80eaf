import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import { fileURLToPath } from "node:url";

const entry = fileURLToPath(new URL("./flotilla.mjs", import.meta.url));
const flotilla = (...args: string[]) => spawnSync(process.execPath, [entry, ...args], { encoding: "utf8" });

test("[CL4] the entry runs the command and passes its exit code on", () => {
  const asked = flotilla("version", "--json");
  assert.deepEqual([asked.status, asked.stderr], [0, ""]); // no warning of Node's either
  assert.equal((JSON.parse(asked.stdout) as { node: string }).node, process.versions.node);
});

test("[CL2] the entry exits with 2 for a command line that makes no sense", () => {
  const { status, stdout, stderr } = flotilla("get", "deployments");
  assert.deepEqual([status, stdout], [2, ""]);
  assert.match(stderr, /^✗ no kind "deployments"/);
});
