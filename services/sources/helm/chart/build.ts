/** From a chart's files to the package that is published: another version, other values, what it depends on. */
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { isWithin, parseRange, parseVersion } from "#machines/rules/semver.ts";
import type { Limits } from "../limits.ts";
import { helmIgnore } from "./ignore.ts";
import { editMetadata, readMetadata, wantedDependencies, type ChartFiles, type Dependency, type Metadata } from "./metadata.ts";
import { readPackage, readTree, writePackage, type PackageLimits } from "./package.ts";
import { mergeValues, readValues, writeValues, type Values } from "./yaml.ts";

/** A package as it came, or the artifact of another source and the path of the chart in it. */
export type ChartOrigin = { kind: "package"; bytes: Uint8Array } | { kind: "tree"; bytes: Uint8Array; path: string };

export type InspectJob = { origin: ChartOrigin; limits: Limits; shown: string };

export type Inspected = {
  name: string;
  version: string;
  /** It lies unpacked in a directory, so it has to be packaged. */
  isDirectory: boolean;
  /** What it needs from other repositories and has not beside it. */
  missing: Dependency[];
};

export type BuildJob = {
  origin: ChartOrigin;
  /** The version it is published under. */
  version: string;
  /** In place of its own values; absent: its own. Paths within the chart of a package, within the source otherwise. */
  valuesFiles?: string[];
  ignoreMissing: boolean;
  /** Packages that were fetched for it. */
  fetched: { dependency: Dependency; bytes: Uint8Array }[];
  limits: Limits;
  shown: string;
};

export type Built = { archive: Uint8Array<ArrayBuffer>; valuesFiles: string[]; dependencies: number };

/** Another source may hold what is no part of the chart: only what is read of it is bounded like a chart. */
const treeLimits: PackageLimits = { fileBytes: Infinity, unpackedBytes: 512 * 2 ** 20, entries: 60_000, pathBytes: 1024 };

/** @throws Fault ChartReferenceInvalid, ChartPullFailed */
export async function inspect({ origin, limits, shown }: InspectJob): Promise<Inspected> {
  const { files, isDirectory } = await load(origin, limits, shown);
  const metadata = as("ChartReferenceInvalid", shown, () => readMetadata(files));
  const missing = isDirectory ? await asAsync("DependencyBuildFailed", shown, () => missingOf(files, metadata, limits)) : [];
  return { name: metadata.name, version: metadata.version, isDirectory, missing: missing.filter(({ repository }) => !isLocal(repository)) };
}

/** @throws Fault ValuesFilesInvalid, DependencyBuildFailed, ChartPackageFailed and as above */
export async function build(job: BuildJob): Promise<Built> {
  const { origin, version, limits, shown } = job;
  const { files, isDirectory, tree } = await load(origin, limits, shown);
  const metadata = as("ChartPackageFailed", shown, () => readMetadata(files));
  const valuesFiles: string[] = [];
  const text = job.valuesFiles && as("ValuesFilesInvalid", shown, () => mergedValues(job, files, tree, valuesFiles));
  const dependencies = isDirectory ? await addDependencies(job, files, metadata, tree) : 0;
  const archive = await asAsync("ChartPackageFailed", shown, async () => {
    files.set("Chart.yaml", editMetadata(files.get("Chart.yaml") as Buffer, { version }));
    if (text !== undefined) files.set("values.yaml", Buffer.from(text));
    const made = await writePackage(metadata.name, files);
    if (made.byteLength > limits.chartBytes) throw new RangeError(`the package is larger than ${limits.chartBytes} bytes`);
    return made;
  });
  return { archive, valuesFiles, dependencies };
}

/** A package in the artifact of another source, as it is. @throws Fault ChartReferenceInvalid, ChartPullFailed */
export async function fileOf(bytes: Uint8Array, path: string, limits: Limits, shown: string): Promise<Uint8Array<ArrayBuffer>> {
  const wanted = as("ChartReferenceInvalid", shown, () => cleanPath(path));
  const tree = await asAsync("ArtifactCorrupt", shown, () => readTree(bytes, treeLimits, (each) => each === wanted));
  const found = tree.get(wanted);
  if (!found || found.length > limits.chartBytes) throw new Fault("ChartPullFailed", shown, { detail: "the package is not there, or is too large" });
  return new Uint8Array(found);
}

type Loaded = { files: ChartFiles; isDirectory: boolean; /** Of the whole source; empty for a package. */ tree: ChartFiles };

async function load(origin: ChartOrigin, limits: Limits, shown: string): Promise<Loaded> {
  if (origin.kind === "package") {
    const files = await asAsync("ChartPullFailed", shown, () => readPackage(origin.bytes, limits));
    return { files, isDirectory: false, tree: new Map() };
  }
  const tree = await asAsync("ArtifactCorrupt", shown, () => readTree(origin.bytes, treeLimits));
  const path = as("ChartReferenceInvalid", shown, () => cleanPath(origin.path));
  return asAsync("ChartReferenceInvalid", shown, async () => {
    const packed = tree.get(path);
    if (packed && packed.length > limits.chartBytes) throw new RangeError(`the package is larger than ${limits.chartBytes} bytes`);
    if (packed) return { files: await readPackage(packed, limits), isDirectory: false, tree };
    return { files: directoryOf(tree, path, limits), isDirectory: true, tree };
  });
}

/** Relative to the root of the source, whatever is written: what would lead out of it stays at the root. */
function cleanPath(path: string): string {
  if (path === "") throw new RangeError("spec.chart is empty");
  if (path.startsWith("/")) throw new RangeError("spec.chart is an absolute path");
  return joined("", path);
}

/** As securejoin does: `..` never leads above the root. */
function joined(base: string, path: string): string {
  const parts: string[] = [];
  for (const part of `${base}/${path}`.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") parts.pop();
    else parts.push(part);
  }
  return parts.join("/");
}

/** @throws RangeError */
function directoryOf(tree: ChartFiles, path: string, limits: Limits): ChartFiles {
  const prefix = path === "" ? "" : `${path}/`;
  if (!tree.has(`${prefix}Chart.yaml`)) throw new RangeError(`there is no chart at ${JSON.stringify(path.slice(0, 200))}: neither a package nor a directory with a Chart.yaml`);
  const ignored = helmIgnore(tree.get(`${prefix}.helmignore`)?.toString() ?? "");
  const files: ChartFiles = new Map();
  let left = limits.unpackedBytes;
  for (const [name, contents] of tree) {
    if (!name.startsWith(prefix)) continue;
    const inner = name.slice(prefix.length);
    const parts = inner.split("/");
    const isOut = parts.some((_, i) => i > 0 && ignored(parts.slice(0, i).join("/"), true)) || ignored(inner, false);
    if (isOut && inner !== "Chart.yaml") continue;
    if (contents.length > limits.fileBytes) throw new RangeError(`file ${JSON.stringify(inner.slice(0, 200))} is larger than ${limits.fileBytes} bytes`);
    if ((left -= contents.length) < 0) throw new RangeError(`the chart is larger than ${limits.unpackedBytes} bytes`);
    files.set(inner, contents);
  }
  return files;
}

function mergedValues({ valuesFiles = [], ignoreMissing, origin, limits }: BuildJob, files: ChartFiles, tree: ChartFiles, used: string[]): string {
  if (!files.has("values.yaml")) throw new RangeError("the chart has no values.yaml to replace");
  let merged: Values = {};
  for (const path of valuesFiles) {
    const isOwn = origin.kind === "package" && joined("", path) === "values.yaml";
    const bytes = origin.kind === "package" ? files.get(joined("", path)) : tree.get(joined("", path));
    if (!bytes && ignoreMissing) continue;
    const named = JSON.stringify(path.slice(0, 200));
    if (!bytes) throw new RangeError(`no values file found at path ${named}`);
    if (bytes.length > limits.fileBytes) throw new RangeError(`values file ${named} is larger than ${limits.fileBytes} bytes`);
    try {
      // Of several documents the first counts, but for the chart's own values: there all do.
      const documents = readValues(bytes.toString());
      for (const values of isOwn ? documents : documents.slice(0, 1)) merged = mergeValues(merged, values);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new RangeError(`values file ${named}: ${error.message}`, { cause: error });
    }
    used.push(path);
  }
  return writeValues(merged, limits.fileBytes);
}

const isLocal = (repository: string): boolean => repository === "" || repository.startsWith("file://");

const keyOf = ({ name, alias }: Dependency): string => alias || name;

/** Of what is wanted, what does not lie under `charts/`. */
async function missingOf(files: ChartFiles, metadata: Metadata, limits: Limits): Promise<Dependency[]> {
  const wanted = wantedDependencies(files, metadata);
  const there = await namesBelow(files, limits);
  if (there.size === wanted.length) return [];
  return wanted.filter((each) => !there.has(keyOf(each)));
}

/** Names of the charts under `charts/`, packed or not. */
async function namesBelow(files: ChartFiles, limits: Limits): Promise<Set<string>> {
  const names = new Set<string>();
  for (const [path, contents] of files) {
    const [top, name = "", file, ...more] = path.split("/");
    if (top !== "charts" || /^[_.]/.test(name)) continue;
    if (file === undefined && name.endsWith(".tgz")) names.add(readMetadata(await readPackage(contents, limits)).name);
    if (file === "Chart.yaml" && more.length === 0) names.add(readMetadata(new Map([["Chart.yaml", contents]])).name);
  }
  return names;
}

async function addDependencies(job: BuildJob, files: ChartFiles, metadata: Metadata, tree: ChartFiles): Promise<number> {
  const { shown, limits, origin } = job;
  return asAsync("DependencyBuildFailed", shown, async () => {
    const missing = await missingOf(files, metadata, limits);
    if (missing.length > limits.dependencies) throw new RangeError(`more than ${limits.dependencies} dependencies`);
    for (const dependency of missing) {
      const fetched = job.fetched.find((each) => keyOf(each.dependency) === keyOf(dependency));
      const found = fetched ? await readPackage(fetched.bytes, limits) : await localDependency(dependency, tree, origin.kind === "tree" ? origin.path : "", limits);
      const { version } = readMetadata(found);
      if (!fetched) checkVersion(dependency, version);
      if (dependency.alias) found.set("Chart.yaml", editMetadata(found.get("Chart.yaml") as Buffer, { name: dependency.alias }));
      for (const [path, contents] of found) files.set(`charts/${safeName(keyOf(dependency))}/${path}`, contents);
    }
    return missing.length;
  });
}

/** Inside of the source only: what would lead out stays at its root. */
async function localDependency({ name, repository }: Dependency, tree: ChartFiles, chart: string, limits: Limits): Promise<ChartFiles> {
  const base = joined("", chart);
  const path = repository === "" ? joined(base, `charts/${name}`) : joined(base, decodeURIComponent(repository.slice("file://".length)));
  const packed = tree.get(path);
  if (packed) return readPackage(packed, limits);
  try {
    return directoryOf(tree, path, limits);
  } catch (error) {
    throw new RangeError(`dependency ${JSON.stringify(name.slice(0, 200))}: ${error instanceof Error ? error.message : "it cannot be read"}`, { cause: error });
  }
}

function checkVersion({ name, version: wanted }: Dependency, version: string): void {
  const [range, found] = [parseRange(wanted === "" ? "*" : wanted), parseVersion(version)];
  const named = `dependency ${JSON.stringify(name.slice(0, 200))}`;
  if (!range) throw new RangeError(`${named}: ${JSON.stringify(wanted.slice(0, 200))} is no range of versions`);
  if (!found || !isWithin(found, range)) throw new RangeError(`${named}: version ${version.slice(0, 100)} is not within ${JSON.stringify(wanted.slice(0, 200))}`);
}

function safeName(name: string): string {
  if (!/^[A-Za-z0-9._-]+$/.test(name) || name === "." || name === "..") throw new RangeError("a dependency has a name that is not allowed");
  return name;
}

function as<T>(code: FaultCode, shown: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw faultOf(code, shown, error);
  }
}

async function asAsync<T>(code: FaultCode, shown: string, act: () => Promise<T>): Promise<T> {
  return act().catch((error: unknown) => {
    throw faultOf(code, shown, error);
  });
}

const faultOf = (code: FaultCode, shown: string, error: unknown): unknown =>
  (error instanceof RangeError || error instanceof URIError ? new Fault(code, shown, { detail: error.message, cause: error }) : error);
