/** Files with values: of a directory on this machine that stands for their source, or as the source in the cluster offers them. */
import type { ValuesReference } from "#protocol/api/helm-release.ts";
import { kindOf } from "#protocol/api/registry.ts";
import { objectId, type ActorKey } from "#protocol/names/actor.ts";
import { unpack } from "#services/render/unpack.ts";
import type { SourceFiles, ValuesPorts } from "#services/worker/effects/release-values.ts";
import { isData, sourceOfFile, valuesSources } from "#services/worker/values-from.ts";
import type { Cluster, ObjectName } from "../cluster.ts";
import type { OptionValues } from "../command.ts";
import { Misuse } from "../failure.ts";
import { artifactOf, existing, placeOf } from "./directory.ts";
import { offeredBy } from "./offered.ts";
import type { Release } from "./unit.ts";

export type ValuesFiles = {
  files: ValuesPorts["files"];
  /** Whether it can be read here: without a cluster only what lies on this machine can. */
  isReadable(reference: ValuesReference): boolean;
};

/** @param cluster undefined: none is asked @throws Misuse */
export async function valuesFiles(key: ObjectName, { spec }: Release, options: OptionValues, cluster: Pick<Cluster, "get"> | undefined, signal: AbortSignal): Promise<ValuesFiles> {
  const roots = await rootsOf(key, spec, options);
  const unpacked = new Map<string, Promise<SourceFiles | undefined>>();
  const read = async (source: ActorKey): Promise<SourceFiles | undefined> => {
    const root = roots.get(objectId(source));
    const found = root === undefined ? await offered(source) : { ...(await inDirectory(root)), revision: root };
    return found && { tree: await unpack(found.bytes, found.digest), revision: found.revision };
  };
  const inDirectory = async (root: string) => {
    const { digest, load } = await artifactOf(root, (options.ignorePaths ?? "").split(",").filter(Boolean));
    return { bytes: await load(), digest };
  };
  const offered = async ({ kind, ...name }: ActorKey) => {
    const known = kindOf(kind)?.kind ?? kind;
    return cluster && offeredBy(known, name, { what: "the artifact", why: `flotilla why helmrelease ${key.name}`, instead: "give its files with --values-root" }, cluster, signal);
  };
  return {
    files(source) {
      const reading = unpacked.get(objectId(source)) ?? read(source);
      unpacked.set(objectId(source), reading);
      return reading;
    },
    isReadable(reference) {
      const source = sourceOfFile(key, reference);
      return cluster !== undefined || (source !== undefined && roots.has(objectId(source)));
    },
  };
}

/** The directories that stand for sources: those of `--values-root`, and the chart's own where it lies in a source with values. */
async function rootsOf(key: ObjectName, spec: Release["spec"], { path, root, valuesRoot }: OptionValues): Promise<Map<string, string>> {
  const sources = new Map(valuesSources(key, spec).map((source) => [objectId(source), source]));
  const roots = new Map<string, string>();
  const { kind, name, namespace = key.namespace } = spec.chart?.spec.sourceRef ?? { kind: "", name: "" };
  const chartSource = `${kind.toLowerCase()}/${namespace}/${name}`;
  // A packaged chart says nothing of what lies around it.
  const place = path !== undefined && sources.has(chartSource) ? await placeOf(path, root).catch(() => undefined) : undefined;
  if (place) roots.set(chartSource, place.root);
  for (const given of (valuesRoot ?? "").split(",").filter(Boolean)) {
    const cut = given.indexOf("=");
    const named = cut < 0 ? [...sources.keys()] : [...sources.values()].filter((source) => isNamed(source, given.slice(0, cut))).map(objectId);
    const [id, ...others] = named;
    if (id === undefined) throw new Misuse(`--values-root: no entry of spec.valuesFrom is a file of ${cut < 0 ? "a source" : given.slice(0, cut)}`);
    if (others.length > 0) throw new Misuse(`--values-root: files of several sources are values: say which one it is for, as KIND/NAME=DIR: ${named.map((each) => shownOf(sources.get(each) as ActorKey)).join(", ")}`);
    roots.set(id, await existing(given.slice(cut + 1), "--values-root"));
  }
  return roots;
}

const shownOf = ({ kind, name }: ActorKey): string => `${kindOf(kind)?.kind ?? kind}/${name}`;

/** `GitRepository/fleet`, or with its namespace in the middle. */
function isNamed({ kind, namespace, name }: ActorKey, words: string): boolean {
  const [of = "", ...rest] = words.split("/");
  return of.toLowerCase() === kind && (rest.join("/") === name || rest.join("/") === `${namespace}/${name}`);
}

/** Of `spec.valuesFrom`, what is read; and what is not, by name. */
export function readable({ valuesFrom = [] }: Release["spec"], { isReadable }: Pick<ValuesFiles, "isReadable">): { valuesFrom: ValuesReference[]; absent: string[] } {
  const absent = valuesFrom.filter((reference) => !isReadable(reference));
  return { valuesFrom: valuesFrom.filter(isReadable), absent: [...new Set(absent.map((reference) => `${reference.kind}/${reference.name}${isData(reference) ? "" : ` (${reference.valuesKey ?? ""})`}`))] };
}
