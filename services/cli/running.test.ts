import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import test from "node:test";

/** A process whose last part stops as told, and which says on stdout how far it is. */
function run(stop: string) {
  const script = `
    import { runUntilSignal } from ${JSON.stringify(new URL("./running.ts", import.meta.url).href)};
    const never = new Promise(() => setInterval(() => undefined, 1_000));
    const shell = { say: (text) => console.error(text) };
    process.exitCode = await runUntilSignal(async (stops) => {
      stops.add(async () => console.log("the first part is told"));
      stops.add(async () => { console.log("stopping"); ${stop} });
      console.log("ready");
      return { url: "", lost: new Promise(() => undefined) };
    }, shell);
    process.exit();`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], { stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  const heard = new Set<() => void>();
  child.stdout.on("data", (chunk: Buffer) => { stdout += chunk.toString(); for (const each of heard) each(); });
  child.stderr.on("data", (chunk: Buffer) => { stderr += chunk.toString(); });
  return {
    child,
    async says(text: string): Promise<void> {
      while (!stdout.includes(text)) await new Promise<void>((resolve) => heard.add(resolve));
    },
    ended: once(child, "close").then(([code]) => ({ code: code as number, stdout, stderr })),
  };
}

for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const)
  test(`[FL2] ${signal} ends everything in good order: exit code 0`, async () => {
    const { child, says, ended } = run("");
    await says("ready");
    child.kill(signal);
    assert.deepEqual(await ended, { code: 0, stdout: "ready\nstopping\nthe first part is told\n", stderr: "" });
  });

test("[FL2] a second signal does not wait for what hangs, and says so: exit code 1", async () => {
  const { child, says, ended } = run("await never;");
  await says("ready");
  child.kill("SIGTERM");
  await says("stopping");
  child.kill("SIGTERM");
  const { code, stdout, stderr } = await ended;
  assert.deepEqual([code, stdout], [1, "ready\nstopping\nthe first part is told\n"]);
  assert.match(stderr, /^✗ ended before everything was handed over/);
});
