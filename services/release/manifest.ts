/** The objects of a stored manifest, as Helm reads them: YAML with Go's idea of plain scalars, and the release's namespace where none is named. */
import { boolCoreTag, defineScalarTag, floatCoreTag, FAILSAFE_SCHEMA, intCoreTag, loadAll, mergeTag, NOT_RESOLVED, nullCoreTag } from "js-yaml";
import { displayName, inventoryId, objectIdOf, versionOf, type KubeObject } from "#machines/rules/inventory.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { Threads } from "#services/threads/threads.ts";
import { identify, type ClusterHandle } from "#services/cluster/handle.ts";

export type ManifestObject = { id: string; v: string; object: KubeObject };

const mostCharacters = 8 * 1024 * 1024;
const mostObjects = 20_000;
const mostAliases = 1_000;
/** With what aliases stand for as often as they do: a kilobyte can mean gigabytes, and so can a long text with a thousand. */
const mostValues = 2_000_000;
/** Of a text, these count as a value: an 8 MiB manifest without aliases has at most a quarter of what is allowed in texts. */
const charactersOfValue = 16;
const mostDepth = 100;

/** Up to here it takes some 20 ms; the largest takes more than a second, for which everything else of the worker would wait. */
const mostCharactersHere = 256 * 1024;

export type ManifestJobs = { parse: { job: { text: string; subject: string }; made: string } };

const threads = new Threads<ManifestJobs>({
  file: new URL("./manifest-thread.ts", import.meta.url), name: "manifests", subjectOf: ({ subject }) => subject, most: 1,
  exhausted: { code: "ManifestInvalid", detail: "it takes too much memory to read" },
});

/**
 * As `parseManifest`, a large one in a thread of its own.
 *
 * @throws Fault ManifestInvalid; the signal's reason
 */
export async function readManifest(text: string, subject: string, signal: AbortSignal): Promise<KubeObject[]> {
  if (text.length <= mostCharactersHere || text.length > mostCharacters) return parseManifest(text, subject);
  // As a text: to be parsed here costs a twentieth of reading YAML, and half of a copy of the objects.
  return JSON.parse(await threads.run("parse", { text, subject }, signal)) as KubeObject[];
}

/**
 * In the order of the manifest; of two of the same name the last counts. Nothing is asked of the cluster.
 *
 * @throws Fault ManifestInvalid, which quotes nothing but names
 */
export function parseManifest(text: string, subject: string): KubeObject[] {
  if (text.length > mostCharacters) throw invalid(subject, `more than ${mostCharacters} characters`);
  let documents: unknown[];
  try {
    documents = loadAll(text, { schema, maxAliases: mostAliases, maxDepth: mostDepth, json: true });
  } catch (thrown) {
    const line = (thrown as { mark?: { line?: unknown } }).mark?.line;
    throw invalid(subject, `not YAML${typeof line === "number" ? `: line ${line + 1}` : ""}`);
  }
  if (text.includes("&") && text.includes("*") && isEndless(documents)) throw invalid(subject, "its aliases stand for too much");
  const objects = documents.filter((each) => each !== null && each !== undefined).flatMap(items);
  if (objects.length > mostObjects) throw invalid(subject, `more than ${mostObjects} objects`);
  return objects.map((each, index) => checked(each, index, subject));
}

/**
 * The objects as they are applied: with the namespace that Helm gives them.
 *
 * @param also further objects that define kinds of these
 * @throws Fault KindUnknown for a kind that neither the cluster nor a definition among the objects brings
 */
export async function placed(cluster: ClusterHandle, objects: KubeObject[], namespace: string, also: KubeObject[] = []): Promise<ManifestObject[]> {
  const identified = await identify(cluster, [...objects, ...also]);
  const found = new Map<string, ManifestObject>();
  for (const [index, object] of objects.entries()) {
    const scope = identified[index]?.scope;
    const { apiVersion, kind } = object;
    if (!scope) throw new Fault("KindUnknown", displayName(objectIdOf(object)), { detail: `no matches for kind "${kind}" in version "${apiVersion}"` });
    const { namespace: own = "", ...metadata } = object.metadata;
    const whole = { ...object, metadata: { ...metadata, ...(scope.namespaced && { namespace: own || namespace }) } };
    const id = inventoryId(objectIdOf(whole));
    found.delete(id);
    found.set(id, { id, v: versionOf(apiVersion), object: whole });
  }
  return [...found.values()];
}

/** The same for what was applied long ago: a kind that the cluster no longer knows went with its objects. */
export async function placedStill(cluster: ClusterHandle, objects: KubeObject[], namespace: string): Promise<ManifestObject[]> {
  const identified = await identify(cluster, objects);
  return placed(cluster, objects.filter((_, index) => identified[index]?.scope !== undefined), namespace);
}

/** Those of these ids. */
export const named = (objects: readonly ManifestObject[], ids: readonly string[]): { id: string; v: string }[] =>
  objects.filter(({ id }) => ids.includes(id)).map(({ id, v }) => ({ id, v }));

function isEndless(documents: unknown[]): boolean {
  const left = [...documents];
  for (let count = 0; left.length > 0; ) {
    const value = left.pop();
    count += weightOf(value);
    if (count > mostValues) return true;
    if (typeof value !== "object" || value === null) continue;
    for (const [key, each] of Object.entries(value)) {
      count += Array.isArray(value) ? 0 : weightOf(key) - 1;
      left.push(each);
    }
  }
  return false;
}

const weightOf = (value: unknown): number => 1 + (typeof value === "string" ? Math.floor(value.length / charactersOfValue) : 0);

function items(document: unknown): unknown[] {
  const { kind, items: list } = isRecord(document) ? document : {};
  return typeof kind === "string" && kind.endsWith("List") && Array.isArray(list) ? list : [document];
}

function checked(value: unknown, index: number, subject: string): KubeObject {
  const { apiVersion, kind, metadata } = isRecord(value) ? value : {};
  const { name, generateName } = isRecord(metadata) ? metadata : {};
  if ([apiVersion, kind, name].every((text) => typeof text === "string" && text !== "")) return value as KubeObject;
  const known = [kind, name].filter((text) => typeof text === "string").join(" ").slice(0, 100);
  const why = generateName !== undefined ? "metadata.generateName cannot be applied: give it a name" : "apiVersion, kind and metadata.name are needed";
  throw invalid(subject, `object ${index + 1} of the manifest${known && ` (${known})`}: ${why}`);
}

const invalid = (subject: string, detail: string) => new Fault("ManifestInvalid", subject, { detail });

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

/** What yaml.v2 of Go makes of a scalar without quotes: yes and on are true, 0644 is octal, a time is a text. */
const words = new Map<string, unknown>([
  ...["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"].map((word) => [word, true] as const),
  ...["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"].map((word) => [word, false] as const),
  ...["", "~", "null", "Null", "NULL"].map((word) => [word, null] as const),
]);

function wordOf(source: string, wanted: "boolean" | "null"): unknown {
  const word = words.get(source);
  return word !== undefined && (wanted === "null") === (word === null) ? word : NOT_RESOLVED;
}

const integer = /^([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))$/;
const decimal = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/;

function integerOf(source: string): unknown {
  const [whole, sign, hex, binary, octal, plain] = integer.exec(source.replaceAll("_", "")) ?? [];
  if (whole === undefined) return NOT_RESOLVED;
  const size = hex ? parseInt(hex, 16) : binary ? parseInt(binary, 2) : octal ? parseInt(octal, 8) : Number(plain);
  return sign === "-" ? -size : size;
}

function numberOf(source: string): unknown {
  const plain = source.replaceAll("_", "");
  return decimal.test(plain) && integerOf(source) === NOT_RESOLVED ? Number(plain) : NOT_RESOLVED;
}

const plain = { implicit: true, identify: () => false } as const;
const schema = FAILSAFE_SCHEMA.withTags(
  mergeTag,
  defineScalarTag(nullCoreTag.tagName, { ...plain, resolve: (source) => wordOf(source, "null") }),
  defineScalarTag(boolCoreTag.tagName, { ...plain, resolve: (source) => wordOf(source, "boolean") }),
  defineScalarTag(intCoreTag.tagName, { ...plain, resolve: integerOf }),
  defineScalarTag(floatCoreTag.tagName, { ...plain, resolve: numberOf }),
);
