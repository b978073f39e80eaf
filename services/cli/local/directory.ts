/** A directory on this machine as an artifact, as its source would store it. */
import { hash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import type { ArtifactHandle } from "#services/render/tree-cache.ts";
import { unpackLimits } from "#services/render/unpack.ts";
import { writeArchive, type ArchiveEntry } from "#services/sources/archive.ts";
import { ignoreFile, ignoreRules } from "#services/sources/ignore.ts";
import { Failure, Misuse } from "../failure.ts";

export type Place = {
  /** Whose files make up the artifact. */
  root: string;
  /** What is built of it; relative, empty for the root itself. */
  path: string;
};

/** The root is the given one, else the Git repository that holds the path, else the path itself. @throws Misuse */
export async function placeOf(path: string, root: string | undefined): Promise<Place> {
  const at = await existing(path, "--path");
  const top = root === undefined ? repositoryOf(at) : await existing(root, "--root");
  const below = relative(top, at);
  if (below === ".." || below.startsWith(`..${sep}`)) throw new Misuse(`--root: ${path} is not in ${root}`);
  return { root: top, path: below.split(sep).join("/") };
}

/** @param option that names it @throws Misuse when it is none */
export async function existing(path: string, option: string): Promise<string> {
  const found = await realpath(path).catch(() => undefined);
  if (found === undefined || !(await stat(found)).isDirectory()) throw new Misuse(`${option}: no directory ${path}`);
  return found;
}

function repositoryOf(path: string): string {
  for (let at = path; ; at = dirname(at)) {
    if (existsSync(join(at, ".git"))) return at;
    if (dirname(at) === at) return path;
  }
}

/** The files of a chart's directory, by path. @throws Failure when there are more than a chart may have */
export async function filesOf(root: string): Promise<Map<string, Uint8Array>> {
  const all = await filesIn(root);
  if (all.reduce((sum, { bytes }) => sum + bytes, 0) > mostChartBytes) throw new Failure(`${root} holds more than a chart may: 64 MiB`);
  return new Map(await Promise.all(all.map(async ({ path }) => [path, await readFile(join(root, path))] as const)));
}

const mostChartBytes = 64 * 1024 * 1024;

type Found = { path: string; isExecutable: boolean; bytes: number };

/** @param ignored lines as in `.sourceignore` @throws Failure when it is more than a build takes */
export async function artifactOf(root: string, ignored: readonly string[]): Promise<ArtifactHandle> {
  const all = await filesIn(root);
  const rules = await Promise.all(all.filter(({ path }) => path.split("/").at(-1) === ignoreFile).map(async ({ path }) => ({
    directory: path.split("/").slice(0, -1), text: await readFile(join(root, path), "utf8"),
  })));
  const isIgnored = ignoreRules(rules.sort((a, b) => a.directory.length - b.directory.length), ignored.join("\n"));
  const kept = all.filter(({ path }) => !isIgnored(path.split("/"), false));
  if (kept.length > unpackLimits.entries || kept.reduce((sum, { bytes }) => sum + bytes, 0) > unpackLimits.totalBytes)
    throw new Failure(`${root} holds ${kept.length} files, more than a build takes: leave some out with --ignore-paths or ${ignoreFile}, or name what the source holds with --root`);
  const archive = await writeArchive(kept.map(({ path, isExecutable }): ArchiveEntry => ({ path, kind: isExecutable ? "executable" : "file", read: () => readFile(join(root, path)) })));
  return { digest: `sha256:${hash("sha256", archive)}`, load: () => Promise.resolve(archive) };
}

/** Files alone, as in an artifact: no symbolic links, and nothing of Git's own. */
async function filesIn(root: string, below = ""): Promise<Found[]> {
  const entries = await readdir(join(root, below), { withFileTypes: true });
  const found = await Promise.all(entries.map(async (entry): Promise<Found[]> => {
    const path = below ? `${below}/${entry.name}` : entry.name;
    if (entry.isDirectory()) return entry.name === ".git" ? [] : filesIn(root, path);
    if (!entry.isFile()) return [];
    const { size, mode } = await stat(join(root, path));
    return [{ path, isExecutable: (mode & 0o100) !== 0, bytes: size }];
  }));
  return found.flat();
}
