/** Where the compiled renderers are, and how they come to be: each built once from its wasm/, kept in the user's cache folder. */
import { createHash, hash } from "node:crypto";
import { spawn } from "node:child_process";
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Fault } from "#protocol/errors/fault.ts";
import { editModules, goMissing, type Environment, type ModuleEdits } from "./edit-module.ts";
import { quickKustomize } from "./quick-kustomize.ts";

/** `key` stands for what the renderer does: another key, other results. */
export type WasmFile = { path: string; key: string };

/** A renderer that is built from Go. */
export type WasmProgram = {
  /** For people: what is compiled. */
  title: string;
  /** Of its folder in the cache. */
  name: string;
  /** The environment variable that names a file to use instead. */
  variable: string;
  /** Its Go module. */
  source: URL;
  edits(): Promise<ModuleEdits[]>;
};

export const kustomizeProgram: WasmProgram = {
  title: "kustomize", name: "render", variable: "FLOTILLA_RENDER_WASM",
  source: new URL("./wasm/", import.meta.url),
  edits: async () => [await quickKustomize()],
};

/**
 * The program's variable names a file; without it, the one in the cache folder.
 *
 * @throws Fault RendererMissing when there is none
 */
export async function findWasm(env: Environment = process.env, program: WasmProgram = kustomizeProgram): Promise<WasmFile> {
  const named = env[program.variable];
  if (named) {
    const bytes = await readWasm(named);
    return { path: named, key: hash("sha256", bytes).slice(0, keyLength) };
  }
  const { path, key } = await cachedWasm(env, program, await program.edits());
  if (!(await exists(path))) throw new Fault("RendererMissing", path, { detail: "not built yet" });
  return { path, key };
}

/**
 * Builds the renderer into the cache folder unless it is there. Two that build at once wait for one another.
 *
 * @throws Fault RendererMissing when Go is not installed or the build fails
 */
export async function buildWasm(onProgress: (line: string) => void, env: Environment = process.env, program: WasmProgram = kustomizeProgram): Promise<WasmFile> {
  const edits = await program.edits();
  const { path } = await cachedWasm(env, program, edits);
  if (!env[program.variable] && !(await exists(path))) {
    await mkdir(dirname(path), { recursive: true });
    await withLock(join(dirname(path), "lock"), onProgress, async () => {
      if (await exists(path)) return;
      onProgress(`building the renderer (${program.title} to WebAssembly): about a minute, once`);
      const folder = `${path}.${process.pid}`;
      try {
        await mkdir(folder, { recursive: true });
        const unfinished = join(folder, "render.wasm");
        const source = fileURLToPath(program.source);
        await goBuild(source, unfinished, await editModules(source, folder, edits, env), env);
        await rename(unfinished, path);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });
  }
  return findWasm(env, program);
}

const keyLength = 16;

/** The key covers the Go sources and the pinned modules with their edits; go.mod's `go` line pins the version of the language. */
async function cachedWasm(env: Environment, { name: folder, source }: WasmProgram, edits: readonly ModuleEdits[]): Promise<{ path: string; key: string }> {
  const sourceFolder = fileURLToPath(source);
  const names = (await readdir(sourceFolder, { recursive: true })).filter(
    (name) => name === "go.mod" || name === "go.sum" || isSource(name),
  );
  const digest = createHash("sha256").update(`${JSON.stringify(edits.map(({ added, ...edit }) => ({ ...edit, added: [...added] })))}\0`);
  for (const name of names.sort())
    digest
      .update(`${name}\0`)
      .update(await readFile(join(sourceFolder, name)))
      .update("\0");
  const key = digest.digest("hex").slice(0, keyLength);
  const cache = env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
  return { path: join(cache, "flotilla", folder, key, `${folder}.wasm`), key };
}

const isSource = (name: string) => name.endsWith(".go") && !name.endsWith("_test.go");

async function readWasm(path: string): Promise<Uint8Array> {
  return readFile(path).catch((cause: unknown) => {
    throw new Fault("RendererMissing", path, { detail: "cannot be read", cause });
  });
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );

async function goBuild(sourceFolder: string, output: string, modules: string, env: Environment): Promise<void> {
  const flags = [`-modfile=${modules}`, "-buildmode=c-shared", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", output, "."];
  const child = spawn("go", ["build", ...flags], {
    cwd: sourceFolder,
    env: { ...env, GOOS: "wasip1", GOARCH: "wasm", GOWORK: "off" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (said = (said + chunk).slice(-2_000)));
  const ended = Promise.withResolvers<number | null>();
  child.on("error", ended.reject).on("close", ended.resolve);
  const code = await ended.promise.catch((cause: unknown) => {
    throw goMissing(cause);
  });
  if (code !== 0) throw new Fault("RendererMissing", "go build", { detail: said.trim() || `ended with ${code}` });
}

/** One holder of the lock file at a time; one left behind by a process that is gone is taken over. */
async function withLock(path: string, onProgress: (line: string) => void, work: () => Promise<void>): Promise<void> {
  for (let waits = 0; !(await take(path)); waits++) {
    if (waits === 0) onProgress("waiting for another process that builds the renderer");
    if (!(await holderLives(path))) await rm(path, { force: true });
    else await sleep(250);
  }
  try {
    await work();
  } finally {
    await rm(path, { force: true });
  }
}

async function take(path: string): Promise<boolean> {
  try {
    const file = await open(path, "wx");
    await file.writeFile(String(process.pid));
    await file.close();
    return true;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw new Fault("RendererMissing", path, { detail: "the cache folder cannot be written", cause: thrown });
  }
}

async function holderLives(path: string): Promise<boolean> {
  const holder = Number(await readFile(path, "utf8").catch(() => ""));
  if (!holder) return exists(path).then((there) => there && recent(path)); // being written, or just released
  try {
    process.kill(holder, 0);
    return true;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === "EPERM";
  }
}

const recent = async (path: string) => {
  const at = await stat(path).catch(() => undefined);
  return at !== undefined && Date.now() - at.mtimeMs < 5_000;
};
