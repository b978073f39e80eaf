/** A Go module with a few lines changed, for a build of the renderers: what a library cannot be told, or what it brings that nobody needs. */
import { execFile } from "node:child_process";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { Fault } from "#protocol/errors/fault.ts";

/** `before` stands once in the file; a version where it does not needs other edits. */
export type Edit = { file: string; before: string; after: string };

/** `added`: whole files, by their path in the module; they stand in for those that are there. */
export type ModuleEdits = { module: string; edits: readonly Edit[]; added: ReadonlyMap<string, string> };

export type Environment = Record<string, string | undefined>;

export const goMissing = (cause: unknown) => new Fault("RendererMissing", "go", { detail: "Go is needed to build the renderer: install Go 1.26 or later", cause });

/**
 * Writes copies of modules, edited, into a folder, and a go.mod that uses them.
 *
 * @param source the Go sources of a renderer
 * @returns the go.mod
 * @throws Fault RendererMissing when a module cannot be had, or is not the one the edits are for
 */
export async function editModules(source: string, folder: string, changed: readonly ModuleEdits[], env: Environment): Promise<string> {
  const replaced: string[] = [];
  for (const [at, one] of changed.entries()) {
    const copy = join(folder, `module-${at}`);
    await editModule(source, copy, one, env);
    replaced.push(`replace ${one.module} => ${copy}\n`);
  }
  const modules = join(folder, "go.mod");
  await writeFile(modules, `${await readFile(join(source, "go.mod"), "utf8")}\n${replaced.join("")}`);
  await writeFile(join(folder, "go.sum"), await readFile(join(source, "go.sum")));
  return modules;
}

async function editModule(source: string, copy: string, { module, edits, added }: ModuleEdits, env: Environment): Promise<void> {
  const { stdout } = await promisify(execFile)("go", ["mod", "download", "-json", module], { cwd: source, env: { ...env, GOWORK: "off" } }).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") throw goMissing(cause);
    throw new Fault("RendererMissing", "go mod download", { detail: cause.message, cause });
  });
  const { Dir: original } = JSON.parse(stdout) as { Dir: string };
  const texts = new Map<string, string>();
  for (const entry of await readdir(original, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name).slice(original.length + 1);
    if (entry.isFile() && !path.endsWith("_test.go")) texts.set(path, await readFile(join(original, path), "latin1"));
  }
  for (const { file, before, after } of edits) {
    const parts = texts.get(file)?.split(before);
    if (parts?.length !== 2) throw new Fault("RendererMissing", module, { detail: `${file} is not as this release knows it` });
    texts.set(file, parts.join(after));
  }
  for (const [path, text] of [...texts, ...added]) {
    await mkdir(dirname(join(copy, path)), { recursive: true });
    await writeFile(join(copy, path), text, "latin1");
  }
}
