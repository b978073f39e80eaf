/**
 * Which files a build reads decrypted: what secret generators take in, and patches, of a kustomization and of all that it
 * is made of (kustomize-controller internal/decryptor, DecryptSources). What cannot be read is left for kustomize to judge.
 */
import { posix } from "node:path";
import { load } from "js-yaml";
import { formatOf, type Format } from "./formats/format.ts";

export type Reference = { path: string; format: Format };

const kustomizationNames = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

export const isKustomization = (path: string): boolean => kustomizationNames.includes(posix.basename(path));

/** An artifact, as far as it is looked at: paths are relative to its root, which is "". */
export type Files = { get(path: string): Uint8Array | undefined; paths: Iterable<string> };

/**
 * @param directory spec.path
 * @param components spec.components, which Flux writes into the directory's kustomization file
 */
export function filesToOpen(files: Files, directory: string, components: readonly string[]): Reference[] {
  const found = new Map<string, Reference>();
  const visited = new Set<string>();
  const waiting = [directory];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    if (visited.has(at)) continue;
    visited.add(at);
    const file = kustomizationIn(files, at);
    for (const reference of file ? referencesOf(file, at) : []) if (!found.has(reference.path)) found.set(reference.path, reference);
    const parts = file ? [...textsOf(file["resources"]), ...textsOf(file["components"])] : at === directory ? nestedIn(files, at) : [];
    for (const part of at === directory ? [...parts, ...components] : parts) waiting.push(within(at, part));
  }
  return [...found.values()];
}

type Kustomization = Record<string, unknown>;

function kustomizationIn(files: Files, directory: string): Kustomization | undefined {
  const content = kustomizationNames.map((name) => files.get(posix.join(directory, name))).find((file) => file !== undefined);
  if (!content) return undefined;
  try {
    const parsed = load(new TextDecoder().decode(content));
    return isRecord(parsed) ? parsed : {};
  } catch {
    return {};
  }
}

function referencesOf(file: Kustomization, at: string): Reference[] {
  const generators = recordsOf(file["secretGenerator"]);
  const inFiles = generators.flatMap((generator) => textsOf(generator["files"])).map((source) => {
    const [key = "", path = key] = source.split(/=(.*)/s);
    return { path: within(at, path), format: formatOf(key) };
  });
  const inEnvs = generators.flatMap(({ env, envs }) => [...(typeof env === "string" ? [env] : []), ...textsOf(envs)]).map((path) => {
    const format = formatOf(path);
    return { path: within(at, path), format: format === "binary" ? ("dotenv" as const) : format };
  });
  const patches = recordsOf(file["patches"]).flatMap(({ path }) => (typeof path === "string" && path !== "" && !/^[a-z][a-z0-9+.-]*:\/\/[^/]/i.test(path) ? [path] : []))
    .map((path) => ({ path: within(at, path), format: formatOf(path) }));
  return [...inFiles, ...inEnvs, ...patches];
}

/** Where there is no kustomization file one is generated: of the directories below, those that have one are its resources. */
function nestedIn(files: Files, directory: string): string[] {
  const nested = Array.from(files.paths).filter((path) => isKustomization(path) && (directory === "" || path.startsWith(`${directory}/`)))
    .map((path) => posix.dirname(path));
  return nested.filter((path) => !nested.some((other) => path.startsWith(`${other}/`))).map((path) => posix.relative(directory, path));
}

/** No path leads out of the artifact. */
const within = (directory: string, path: string): string =>
  posix.join("/", path.startsWith("/") ? "" : directory, path).replace(/^\/+|\/+$/g, "");

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const recordsOf = (value: unknown): Record<string, unknown>[] => (Array.isArray(value) ? value.filter(isRecord) : []);
const textsOf = (value: unknown): string[] => (Array.isArray(value) ? value.filter((item) => typeof item === "string") : []);
