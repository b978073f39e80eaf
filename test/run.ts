/**
 * Runs the tests: `npm test` all of them, after setting up the real parts; `fast` those that need none; `check` types, lint
 * and dead code. Further words choose the files whose path contains one of them: `npm test -- services/render`, and
 * `npm test -- test/chaos` for the real chaos, which is not part of a run without words.
 *
 * A run of everything gives files with a failed test a second chance, one at a time on a machine that does nothing else, and names
 * what failed: docs/decisions/0011. What fails for a reason of its own fails again.
 *
 * A test that needs a real part (an API server, nats-server, git, the renderer) is in a file named `*.real.test.ts`, or under
 * test/contract or test/system. The last lines printed are the test runner's summary, and its verdict is the exit code.
 */
import { spawn } from "node:child_process";
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { startControlPlane } from "../deploy/local/control-plane.ts";
import { buildPrograms } from "../deploy/local/programs.ts";
import { provideAll } from "../deploy/local/tools.ts";

const root = join(import.meta.dirname, "..");
const checks = "test/kit/checks.test.ts";
const isReal = (file: string) => /\.real\.test\.ts$|^test\/(contract|system)\//.test(file);

// Whether the simulator notices what it should is a question for the whole run.
const isLong = (file: string) => file === checks || /^test\/simulate\/(cells-)?mutants\.test\.ts$/.test(file);

// Processes that die while commits flow need the machine for themselves: asked for by name, `npm test -- test/chaos`.
const isChaos = (file: string) => /^test\/chaos\/.*\.real\.test\.ts$/.test(file);

/** `seeds`: how many lives the simulator lives beside those that once failed. */
const modes = {
  all: { includes: () => true, testTimeoutMs: 600_000, fileTimeoutMs: 1_200_000, seeds: 24, setUp: startRealParts },
  fast: { includes: (file: string) => !isLong(file) && !isReal(file), testTimeoutMs: 180_000, fileTimeoutMs: 240_000, seeds: 4, setUp: nothing },
  check: { includes: (file: string) => file === checks, testTimeoutMs: 600_000, fileTimeoutMs: 600_000, seeds: 0, setUp: nothing },
};
const runTimeoutMs = 60 * 60_000; // the set-up before it may take ten minutes, once
const mostSecondChances = 6; // files

const [word = "", ...words] = process.argv.slice(2);
const mode = word in modes ? modes[word as keyof typeof modes] : modes.all;
const wanted = word === "" || word in modes ? words : [word, ...words];

const files = globSync("{protocol,machines,services,deploy,test}/**/*.test.ts", { cwd: root })
  .filter((file) => mode.includes(file) && (!isChaos(file) || wanted.length > 0) && (wanted.length === 0 || wanted.some((part) => file.includes(part))))
  .sort();
if (files.length === 0) {
  process.stderr.write(`no test file's path contains ${wanted.join(" or ")}\n`);
  process.exit(1);
}

const over = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => over.abort());
const scratch = mkdtempSync(join(tmpdir(), "flotilla-tests-")); // and all that the tests leave behind
const failures = join(scratch, "failures");
const { env, tearDown } = await mode.setUp(files);
try {
  process.exitCode = over.signal.aborted ? 130 : await runTests(files, { env: { ...env, TMPDIR: scratch } });
  const failed = readFailures();
  const again = [...new Set(failed.map(({ file }) => file))];
  if (process.exitCode === 1 && word === "" && again.length > 0 && again.length <= mostSecondChances) {
    process.stdout.write(`\nA second chance for what failed:\n${failed.map(({ name }) => `  ${name}\n`).join("")}\n`);
    process.exitCode = await runTests(again, { env: { ...env, TMPDIR: scratch }, atOnce: 1 });
  }
} finally {
  await tearDown();
  rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
}

type SetUp = { env: NodeJS.ProcessEnv; tearDown: () => Promise<void> };

async function nothing(_files: string[]): Promise<SetUp> {
  return { env: {}, tearDown: async () => {} };
}

/**
 * All programs, and one API server for all test files: a test makes namespaces of its own in it (test/kit/cluster.ts).
 * A nats-server starts in a tenth of a second, so each test file that needs one has its own (deploy/local/nats.ts).
 */
async function startRealParts(files: string[]): Promise<SetUp> {
  if (!files.some(isReal)) return nothing(files);
  const startedMs = performance.now();
  const say = (line: string) => process.stdout.write(`set-up: ${line}\n`);
  const path = await provideAll(say);
  await buildPrograms(say);
  const cluster = await startControlPlane({ dir: join(scratch, "cluster"), audit: true, onProgress: say });
  say(`ready after ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  return {
    env: {
      FLOTILLA_TEST_KUBECONFIG: cluster.kubeconfig,
      FLOTILLA_TEST_AUDIT_LOG: cluster.auditLog,
      FLOTILLA_NATS_SERVER: path["nats-server"],
      FLOTILLA_KUBECTL: path.kubectl,
    },
    tearDown: () => cluster.stop(),
  };
}

/** `atOnce`: how many files; the real parts need room too. */
function runTests(files: string[], { env, atOnce = 2 }: { env: NodeJS.ProcessEnv; atOnce?: number }): Promise<number> {
  const args = [
    "--test",
    `--test-reporter=${join(root, "test/kit/reporter.ts")}`,
    `--test-concurrency=${atOnce}`,
    `--test-timeout=${mode.testTimeoutMs}`,
    `--import=${join(root, "test/kit/deadline.ts")}`,
    ...files,
  ];
  // A hundred processes that would each compile the same files.
  const compiled = join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "flotilla", "compiled");
  const environment = { NODE_COMPILE_CACHE: compiled, SEEDS: String(mode.seeds), ...process.env, ...env, FLOTILLA_TEST_FILE_TIMEOUT_MS: String(mode.fileTimeoutMs), FLOTILLA_TEST_FAILURES: failures };
  return new Promise((resolve, reject) => {
    const runner = spawn(process.execPath, args, { cwd: root, stdio: "inherit", env: environment });
    const late = setTimeout(() => over.abort(), runTimeoutMs);
    over.signal.addEventListener("abort", () => runner.kill("SIGTERM"));
    runner.on("error", reject);
    runner.on("exit", (code) => {
      clearTimeout(late);
      resolve(code ?? 130);
    });
  });
}

/** What the reporter has noted. */
function readFailures(): { file: string; name: string }[] {
  const lines = existsSync(failures) ? readFileSync(failures, "utf8").split("\n") : [];
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as { file: string; name: string });
}
