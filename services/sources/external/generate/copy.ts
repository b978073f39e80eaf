/** Copies from sources into an artifact, one operation after the other, as `cp` would (source-watcher internal/builder). */
import { parseAllDocuments, stringify } from "yaml";
import type { CopyOperation } from "#protocol/api/artifact-generator.ts";
import type { File } from "#services/sources/oci/unpack.ts";
import { baseOf, cleaned, deepPattern, flatPattern, isGlob, joined } from "./paths.ts";

/** Paths below it, each once. */
export type Files = { files: Map<string, File>; directories: Set<string> };

export type CopyPorts = {
  /** What a tar.gz archive holds. */
  unpack(bytes: Uint8Array, name: string): Promise<Files>;
};

const mostMergedBytes = 4 * 2 ** 20;

/** @throws RangeError that says what is wrong with the operation, or the files */
export async function copyInto(target: Files, operation: CopyOperation, sources: ReadonlyMap<string, Files>, ports: CopyPorts): Promise<void> {
  const [, alias = "", pattern = ""] = /^@([^/]+)\/([^]*)$/.exec(operation.from) ?? [];
  const source = sources.get(alias);
  if (!source) throw new RangeError(`there is no source with the alias ${JSON.stringify(alias)}`);
  const to = operation.to.replace(/^@artifact\//, "");
  const work = new Copy(target, source, operation, ports);
  if (isGlob(pattern)) await work.many(pattern, cleaned(to));
  else await work.one(cleaned(pattern), cleaned(to), operation.to.endsWith("/"));
}

class Copy {
  private readonly target: Files;
  private readonly source: Files;
  private readonly operation: CopyOperation;
  private readonly ports: CopyPorts;
  private readonly excludes: { deep: (path: string) => boolean; byName: boolean }[];

  constructor(target: Files, source: Files, operation: CopyOperation, ports: CopyPorts) {
    this.target = target;
    this.source = source;
    this.operation = operation;
    this.ports = ports;
    this.excludes = (operation.exclude ?? []).map((pattern) => ({ deep: deepPattern(pattern), byName: !pattern.includes("/") }));
  }

  async many(pattern: string, to: string): Promise<void> {
    const extracts = this.operation.strategy === "Extract";
    const matches = extracts ? deepPattern(pattern) : flatPattern(pattern);
    const all = [...this.source.directories, ...this.source.files.keys()].filter((path) => path !== "" && matches(path)).sort(byBytes);
    if (all.length === 0) throw new RangeError(`no files match ${JSON.stringify(pattern)}`);
    const parts = pattern.split("/");
    const base = parts.slice(0, parts.findIndex(isGlob)).filter((part) => part !== "" && part !== ".").join("/");
    const kept = all.filter((path) => !this.isExcluded(path, base));
    if (kept.length === 0) throw new RangeError(`all files that match ${JSON.stringify(pattern)} are excluded`);
    const stripped = pattern.endsWith("/**") ? `${pattern.slice(0, -3)}/` : undefined;
    for (const path of kept) {
      if (extracts) {
        if (isTarball(path) && this.source.files.has(path)) await this.extract(path, to);
        continue;
      }
      const below = stripped !== undefined && path.startsWith(stripped) ? path.slice(stripped.length) : path;
      this.copy(path, joined(to, below), base);
    }
  }

  async one(path: string, to: string, intoDirectory: boolean): Promise<void> {
    const { files, directories } = this.source;
    if (path === "" || directories.has(path)) {
      if (this.operation.strategy === "Extract") throw new RangeError(`${JSON.stringify(path)} is a directory, which cannot be extracted`);
      return this.copy(path, joined(to, baseOf(path)), path);
    }
    if (!files.has(path)) throw new RangeError(`${JSON.stringify(path)} does not exist in the source`);
    if (this.isExcluded(path, "")) return;
    if (this.operation.strategy === "Extract") {
      if (!isTarball(path)) throw new RangeError(`${JSON.stringify(path)} is no .tar.gz or .tgz, which could be extracted`);
      return this.extract(path, to);
    }
    this.copy(path, intoDirectory || to === "" || this.target.directories.has(to) ? joined(to, baseOf(path)) : to, "");
  }

  private copy(from: string, to: string, base: string): void {
    const file = this.source.files.get(from);
    if (file) return this.put(to, this.operation.strategy === "Merge" ? merged(this.target.files.get(to), file, to) : file);
    const below = from === "" ? "" : `${from}/`;
    this.mkdir(to);
    const left = new Set<string>(); // with all that is below
    const isLeft = (path: string) => ancestors(path).some((each) => left.has(each));
    for (const path of [...this.source.directories].filter((each) => each.startsWith(below) && each !== from).sort(byBytes)) {
      if (isLeft(path)) continue;
      if (this.isExcluded(path, base)) left.add(path);
      else this.mkdir(joined(to, path.slice(below.length)));
    }
    for (const [path, each] of this.source.files)
      if (path.startsWith(below) && !isLeft(path) && !this.isExcluded(path, base)) this.put(joined(to, path.slice(below.length)), each);
  }

  private async extract(path: string, to: string): Promise<void> {
    const { files, directories } = await this.ports.unpack(this.source.files.get(path)?.bytes ?? new Uint8Array(), path);
    this.mkdir(to);
    for (const directory of directories) this.mkdir(joined(to, directory));
    for (const [name, file] of files) this.put(joined(to, name), file);
  }

  private put(path: string, file: File): void {
    if (path === "" || this.target.directories.has(path)) throw new RangeError(`${JSON.stringify(path)} is a file and a directory`);
    this.mkdir(ancestors(path).at(-1) ?? "");
    this.target.files.set(path, file);
  }

  private mkdir(path: string): void {
    if (path === "") return;
    for (const each of [...ancestors(path), path]) {
      if (this.target.files.has(each)) throw new RangeError(`${JSON.stringify(each)} is a file and a directory`);
      this.target.directories.add(each);
    }
  }

  /** By its path in the source, and by that below what the operation picks from. */
  private isExcluded(path: string, base: string): boolean {
    const candidates = base !== "" && path.startsWith(`${base}/`) ? [path, path.slice(base.length + 1)] : [path];
    return candidates.some((each) => this.excludes.some(({ deep, byName }) => deep(each) || (byName && deep(baseOf(each)))));
  }
}

const ancestors = (path: string): string[] => path.split("/").slice(0, -1).map((_, at, parts) => parts.slice(0, at + 1).join("/"));
const isTarball = (path: string): boolean => /\.(?:tar\.gz|tgz)$/i.test(path);
const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** Values of Helm: maps key by key, anything else by the later one. @throws RangeError */
function merged(before: File | undefined, after: File, path: string): File {
  if (!before) return after;
  const [base, over] = [before, after].map(({ bytes }) => valuesOf(bytes, path));
  return { bytes: Buffer.from(stringify(deepMerged(base ?? {}, over ?? {}), { sortMapEntries: true, lineWidth: 0, aliasDuplicateObjects: false })), executable: false };
}

type Values = Record<string, unknown>;

function valuesOf(bytes: Buffer, path: string): Values {
  if (bytes.length > mostMergedBytes) throw new RangeError(`${JSON.stringify(path)} is too long to be merged: more than ${mostMergedBytes} bytes`);
  const documents = parseAllDocuments(bytes.toString(), { logLevel: "silent" });
  if (!Array.isArray(documents)) return {};
  return documents.reduce<Values>((all, document) => {
    if (document.errors.length > 0) throw new RangeError(`${JSON.stringify(path)} is no YAML`);
    let value: unknown;
    try {
      value = document.toJS({ maxAliasCount: 100 });
    } catch {
      throw new RangeError(`${JSON.stringify(path)} has too many aliases`);
    }
    if (value === null || value === undefined) return all;
    if (!isMap(value)) throw new RangeError(`${JSON.stringify(path)} is no map, which could be merged`);
    return deepMerged(all, value);
  }, {});
}

const isMap = (value: unknown): value is Values => typeof value === "object" && value !== null && !Array.isArray(value);

function deepMerged(base: Values, over: Values): Values {
  const out = new Map(Object.entries(base));
  for (const [key, value] of Object.entries(over)) {
    const before = out.get(key);
    out.set(key, isMap(before) && isMap(value) ? deepMerged(before, value) : value);
  }
  return Object.fromEntries(out);
}
