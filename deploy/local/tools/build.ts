/** Builds a tool from its Go module (versions in deploy/local/go.mod) and puts the program in place in one rename. */
import { execFile } from "node:child_process";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { parseVersion, type Tool } from "./catalogue.ts";
import { startChild, tail } from "../processes.ts";

const beatMs = 20_000;

export async function build(name: string, tool: Tool, file: string, say: (line: string) => void): Promise<void> {
  await requireGo(name);
  const startedMs = Date.now();
  const seconds = () => Math.round((Date.now() - startedMs) / 1000);
  say(`Building ${name} ${tool.version} from its Go module (${tool.buildTakes} on two cores, once per version) ...`);

  const part = `${file}.${process.pid}.build`;
  const log = `${file}.${process.pid}.log`;
  const go = startChild({
    name: `go build ${name}`,
    command: "go",
    args: ["build", "-trimpath", "-buildvcs=false", "-ldflags", `-s -w ${tool.ldflags}`, "-o", part, tool.package],
    cwd: join(import.meta.dirname, ".."),
    env: { ...process.env, CGO_ENABLED: "0", GOWORK: "off", GOOS: "", GOARCH: "" },
    logFile: log,
  });
  const beat = setInterval(() => say(`  still building ${name} (${seconds()} s)`), beatMs);
  const how = await go.ended;
  clearInterval(beat);
  const output = tail(log);
  await rm(log, { force: true });
  if (how !== "exit code 0") {
    await rm(part, { force: true });
    throw new Error(`go build of ${name} failed (${how}):\n${output}`);
  }
  await rename(part, file);
  say(`Built ${name} in ${seconds()} s`);
}

async function requireGo(name: string): Promise<void> {
  const run = promisify(execFile);
  const answer = await run("go", ["env", "GOVERSION"]).catch(() => undefined);
  const help = "install Go 1.26 or later (https://go.dev/dl)";
  if (!answer) throw new Error(`${name} has to be built from source, but go was not found on the PATH; ${help}`);
  const found = parseVersion(`${answer.stdout.trim()}.0`);
  // an older go fetches the toolchain that go.mod asks for, unless that is switched off; then its own error is clear
  if (found && (found.major > 1 || found.minor >= 21)) return;
  throw new Error(`${name} has to be built from source, but go is too old (${answer.stdout.trim()}); ${help}`);
}
