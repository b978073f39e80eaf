/** `npm run demo` as a newcomer runs it, and as it ends when something goes wrong: told, and with nothing left behind. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { scratchFolder } from "../kit/cluster.ts";

const root = join(import.meta.dirname, "../..");
const scratch = scratchFolder();

test("the demo with --once shows every step come true", async () => {
  const { code, text, left } = await runDemo();
  assert.equal(code, 0, text);
  const lines = [
    /^\[1\/8\] /m, /^\[8\/8\] /m,
    /GitRepository shop: fetched main@sha1:[0-9a-f]{8}$/m,
    /^ +[\d.]+s {2}Kustomization shop-prod: 5 objects applied, 3 of 3 pods running$/m,
    /^ +shop-dev +web-\S+ +1\/1 +Running /m,
    /pushed [0-9a-f]{8} \(webhook: 1 source looks again\)$/m,
    /shop-test: Ready, 2 of 2 pods are new$/m,
    /^ +shop-prod +3 +\S+:1\.29-alpine$/m,
    /the image from Git was back/,
    /Deployment\/shop-prod\/web configured \(was changed by kubectl-set\)$/m,
    /ImagePolicy web: 1\.30\.0 is the latest$/m,
    /committed [0-9a-f]{8}: Serve web 1\.30\.0 in dev$/m,
    /shop-dev: 1 of 1 pods is new$/m,
    /SYNC shop@[0-9a-f]{7} +"Serve the shop with nginx 1\.29"/,
    /3 units done/,
    /^Stopped\. /m,
  ];
  for (const line of lines) assert.match(text, line);
  assert.equal(text.includes("\u001b"), false, "no escape sequences where nobody looks at a terminal");
  assert.deepEqual(left, { files: [], processes: [] });
});

test("a part that is missing ends the demo with the step and the reason", async () => {
  const { code, text, left } = await runDemo({ env: { FLOTILLA_RENDER_WASM: "/nonexistent/render.wasm" } });
  assert.equal(code, 1);
  assert.match(text, /^The demo stopped in step 1 of 8: Get the parts\.\n +\/nonexistent\/render\.wasm: cannot be read/m);
  assert.deepEqual(left, { files: [], processes: [] });
});

test("Ctrl-C in the middle stops what was started", async () => {
  const { code, left } = await runDemo({ interruptAt: "[3/8]" });
  assert.equal(code, 130);
  assert.deepEqual(left, { files: [], processes: [] });
});

type Run = { code: number; text: string; left: { files: string[]; processes: string[] } };

async function runDemo({ env = {}, interruptAt }: { env?: NodeJS.ProcessEnv; interruptAt?: string } = {}): Promise<Run> {
  const temporary = mkdtempSync(join(scratch, "tmp-"));
  const args = ["deploy/local/run.mjs", "deploy/local/demo/main.ts", "--once"];
  const child = spawn(process.execPath, args, { cwd: root, env: { ...process.env, ...env, TMPDIR: temporary } });
  let text = "";
  const hear = (chunk: Buffer) => {
    text += chunk.toString();
    if (interruptAt === undefined || !text.includes(interruptAt)) return;
    interruptAt = undefined;
    child.kill("SIGINT");
  };
  child.stdout.on("data", hear);
  child.stderr.on("data", hear);
  const code = await new Promise<number>((resolve, reject) => child.on("error", reject).on("close", (code) => resolve(code ?? -1)));
  const processes = execFileSync("ps", ["-A", "-o", "args"], { encoding: "utf8" }).split("\n").filter((line) => line.includes(temporary));
  return { code, text, left: { files: readdirSync(temporary), processes } };
}
