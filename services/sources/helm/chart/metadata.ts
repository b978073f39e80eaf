/** What a chart says of itself: Chart.yaml, with requirements.yaml of charts of the first kind (helm pkg/chart/v2). */
import { parseDocument } from "yaml";
import { parseVersion } from "#machines/rules/semver.ts";
import { isMap, readWords } from "./yaml.ts";

export type Dependency = { name: string; version: string; repository: string; alias: string };

export type Metadata = {
  name: string;
  version: string;
  /** What Chart.yaml wants beside the chart; what the lock file says counts instead where there is one. */
  dependencies: Dependency[];
};

/** By path within the chart. */
export type ChartFiles = Map<string, Buffer>;

const mostName = 250;

/** @throws RangeError for what Helm would refuse too */
export function readMetadata(files: ChartFiles): Metadata {
  const text = files.get("Chart.yaml");
  if (!text) throw new RangeError("there is no Chart.yaml");
  const chart = mapOf(text, "Chart.yaml");
  const [name, version, type] = [textOf(chart["name"]), textOf(chart["version"]), textOf(chart["type"])];
  if (name === "") throw new RangeError("Chart.yaml has no name");
  if (name === "." || name === ".." || /[/\\\0]/.test(name) || name.length > mostName) throw new RangeError("the name in Chart.yaml is not allowed");
  if (version === "") throw new RangeError("Chart.yaml has no version");
  if (!parseVersion(version)) throw new RangeError(`the version in Chart.yaml is none: ${JSON.stringify(version.slice(0, 100))}`);
  if (type !== "" && type !== "application" && type !== "library") throw new RangeError("the type in Chart.yaml is neither application nor library");
  const former = files.get("requirements.yaml");
  const dependencies = dependenciesOf(former ? (mapOf(former, "requirements.yaml")["dependencies"] ?? chart["dependencies"]) : chart["dependencies"]);
  const keys = dependencies.map(({ name: each, alias }) => alias || each);
  if (new Set(keys).size < keys.length) throw new RangeError("Chart.yaml names a dependency or an alias twice");
  return { name, version, dependencies };
}

/** What is to stand beside the chart: as it was locked, else as it is written. @throws RangeError */
export function wantedDependencies(files: ChartFiles, { dependencies }: Metadata): Dependency[] {
  const [name, lock] = [["Chart.lock", files.get("Chart.lock")], ["requirements.lock", files.get("requirements.lock")]].find(([, bytes]) => bytes) ?? [];
  return lock ? dependenciesOf(mapOf(lock as Buffer, String(name))["dependencies"]) : dependencies;
}

/** Chart.yaml with another version or name; everything else in it stays as it is. */
export function editMetadata(text: Buffer, changes: { name?: string; version?: string }): Buffer {
  const document = parseDocument(withoutMark(text).toString(), { schema: "failsafe", uniqueKeys: false, merge: true });
  for (const [field, value] of Object.entries(changes)) document.set(field, document.createNode(value));
  return Buffer.from(document.toString({ lineWidth: 0 }));
}

/** Without the mark that some editors put before UTF-8. */
export const withoutMark = (bytes: Buffer): Buffer => (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes);

function mapOf(bytes: Buffer, file: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = readWords(withoutMark(bytes).toString());
  } catch (error) {
    throw new RangeError(`${file}: ${error instanceof Error ? error.message : "it cannot be read"}`, { cause: error });
  }
  if (!isMap(value)) throw new RangeError(`${file}: it is no map`);
  return value;
}

const dependenciesOf = (list: unknown): Dependency[] =>
  (Array.isArray(list) ? list : []).filter(isMap).map((each) => ({
    name: textOf(each["name"]), version: textOf(each["version"]), repository: textOf(each["repository"]), alias: textOf(each["alias"]),
  }));

const textOf = (value: unknown): string => (typeof value === "string" && !/^(?:~|null)$/i.test(value) ? value : "");
