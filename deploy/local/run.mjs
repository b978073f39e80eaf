/**
 * Runs one of the project's TypeScript programs: `node deploy/local/run.mjs <script.ts> [arguments]`.
 *
 * It is plain JavaScript without dependencies, because it is what stands between a fresh clone and its first command:
 * it runs on any Node from 20 on, installs the packages when they are missing or stale, and hands over to the Node 24
 * that comes with them. When there is nothing to do it costs a few milliseconds.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const packages = join(root, "node_modules");
const projectNode = join(packages, ".bin", "node");
const marker = join(packages, ".flotilla-installed");

const [script, ...args] = process.argv.slice(2);
if (script === undefined) fail("usage: node deploy/local/run.mjs <script.ts> [arguments]");

if (Number(process.versions.node.split(".")[0]) < 20)
  fail(`Node 20 or later is needed to start (this is ${process.versions.node}); see https://nodejs.org`);
if (!onPath("git")) fail("git is needed and was not found on the PATH; see https://git-scm.com/downloads");
if (!onPath("go"))
  say("note: go was not found on the PATH. What has to be built from source will fail; see https://go.dev/dl (1.26 or later).");

const wanted = `${createHash("sha256").update(readLock()).digest("hex")} ${process.platform}-${process.arch}\n`;
if (readOrEmpty(marker) !== wanted) {
  if (!installedMatchesLock()) await install();
  writeFileSync(marker, wanted);
}

const node = existsSync(projectNode) ? projectNode : process.execPath;
if (node === process.execPath && Number(process.versions.node.split(".")[0]) < 24)
  fail("node_modules/.bin/node (Node 24) is missing; were install scripts disabled? Run: npm ci --ignore-scripts=false");
const env = { ...process.env, PATH: [join(packages, ".bin"), process.env.PATH].join(delimiter) };
process.exitCode = await run(node, [resolve(root, script), ...args], { stdio: "inherit", env });

async function install() {
  const startedMs = Date.now();
  const seconds = () => Math.round((Date.now() - startedMs) / 1000);
  say("Installing packages with npm ci (about 100 MB; half a minute on a fast network) ...");
  const beat = setInterval(() => say(`  still installing packages (${seconds()} s)`), 15_000);
  // Under `npm run` npm names its own program; started by hand, npm is on the PATH.
  const npm = process.env.npm_execpath;
  const [command, first] = npm?.endsWith("npm-cli.js") ? [process.execPath, [npm]] : ["npm", []];
  const flags = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
  const code = await run(command, [...first, ...flags], { stdio: ["ignore", "inherit", "inherit"], cwd: root });
  clearInterval(beat);
  if (code !== 0) fail(`npm ci failed (exit code ${code}); the lines above say why`);
  say(`Packages installed in ${seconds()} s`);
}

/** Runs a program with our signals passed on to it; resolves to the exit code a shell would report. */
function run(command, args, options) {
  return new Promise((done) => {
    const child = spawn(command, args, options);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
    child.on("error", (error) => fail(`cannot start ${command}: ${error.message}`));
    child.on("exit", (code, signal) => done(code ?? 128 + ({ SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 }[signal] ?? 0)));
  });
}

/** Whether a by-hand `npm ci` or `npm install` already put in place what the lock file says: npm keeps its own list. */
function installedMatchesLock() {
  const installed = readOrEmpty(join(packages, ".package-lock.json"));
  if (installed === "" || !existsSync(projectNode)) return false;
  const have = JSON.parse(installed).packages;
  const want = Object.entries(JSON.parse(readLock()).packages).filter(([path]) => path !== "");
  return want.every(([path, { version, integrity, optional }]) =>
    have[path] ? have[path].version === version && have[path].integrity === integrity : optional === true,
  );
}

function onPath(program) {
  const names = process.platform === "win32" ? [`${program}.exe`, `${program}.cmd`] : [program];
  return (process.env.PATH ?? "").split(delimiter).some((folder) =>
    names.some((name) => {
      try {
        accessSync(join(folder || ".", name), constants.X_OK);
        return true;
      } catch {
        return false;
      }
    }),
  );
}

function readLock() {
  const text = readOrEmpty(join(root, "package-lock.json"));
  return text === "" ? fail("package-lock.json is missing; this is not a complete clone") : text;
}

function readOrEmpty(path) {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error.code === "ENOENT") return "";
    throw error;
  }
}

function say(line) {
  process.stderr.write(`${line}\n`);
}

function fail(message) {
  say(`flotilla: ${message}`);
  process.exit(1);
}
