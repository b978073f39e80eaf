/** The kinds as people type them: `ks`, `gitrepo`, `source git`, `sources git`, as Flux's command takes them. */
import { kinds } from "#protocol/api/registry.ts";
import { Misuse } from "./failure.ts";

export type ResourceKind = {
  kind: string;
  group: string;
  version: string;
  plural: string;
  isSource: boolean;
  /** Somebody else reconciles it. */
  isForeign: boolean;
  /** Its objects name a source: every unit, and a source that is made from another one. */
  hasSource: boolean;
  /** What is said of an object that only says where something is; undefined: of this one its status speaks. */
  staticMessage(spec: unknown): string | undefined;
  words: string[];
};

export const resourceKinds: readonly ResourceKind[] = kinds.map(({ kind, group, apiVersion, plural, shortNames, source, spec }) => ({
  kind,
  group,
  version: apiVersion.slice(group.length + 1),
  plural,
  isSource: source !== undefined,
  isForeign: source?.isForeign === true,
  hasSource: "sourceRef" in spec.shape || "chartRef" in spec.shape,
  staticMessage: (spec) => (source?.isStatic?.(spec) ? (source.staticMessage ?? `${kind} is ready`) : undefined),
  words: [kind.toLowerCase(), plural, ...shortNames],
}));

/** `all`, `sources`, `images`, or one kind; and what is left of the words: names. */
export type Selection = { kinds: ResourceKind[]; names: string[] };

/** @throws Misuse for a word that is no kind */
export function select(words: readonly string[]): Selection {
  const [first, second, ...rest] = words;
  if (first === undefined || first === "all") return { kinds: [...resourceKinds], names: words.slice(1) };
  const family = families.find(({ word }) => first === word || first === `${word}s`);
  if (family) {
    const { word, holds, shortWord } = family;
    const among = resourceKinds.filter(holds);
    if (second === undefined || second === "all") return { kinds: among, names: rest };
    const kind = among.find((kind) => shortWord(kind) === second || kind.words.includes(second));
    if (!kind) throw new Misuse(`no ${word} kind "${second}": one of ${among.map(shortWord).join(", ")}`);
    return { kinds: [kind], names: rest };
  }
  if (first === "artifacts" || first === "artifact") {
    const kind = resourceKinds.find(({ kind }) => kind === "ArtifactGenerator");
    if (!kind || !["generator", "generators", ...kind.words].includes(second ?? "")) throw new Misuse(`"${first} generators" is all there is of them`);
    return { kinds: [kind], names: rest };
  }
  const [word, name] = first.split("/"); // ks/podinfo
  const kind = resourceKinds.find(({ words }) => words.includes(word!.toLowerCase()));
  if (!kind) throw new Misuse(`no kind "${word}": one of ${resourceKinds.flatMap(({ words }) => words).join(", ")}`);
  return { kinds: [kind], names: [...(name ? [name] : []), ...words.slice(1)] };
}

/** One kind and at least one name. @throws Misuse otherwise */
export function selectOne(
  words: readonly string[],
  usage: string,
): { kind: ResourceKind; names: [string, ...string[]] } {
  const { kinds, names } = select(words);
  const [name, ...more] = names;
  if (words[0] === undefined || words[0] === "all" || kinds.length !== 1 || name === undefined)
    throw new Misuse(`which object? usage: flotilla ${usage}`);
  for (const name of names) checkName(name);
  if (kinds[0]!.isForeign) throw new Misuse(`${kinds[0]!.kind} objects are their producer's: only "get" knows them`);
  return { kind: kinds[0]!, names: [name, ...more] };
}

/** @throws Misuse for what Kubernetes would not take as a name; it becomes part of a path */
export function checkName(name: string): void {
  if (!/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(name) || name.includes(".."))
    throw new Misuse(`"${name}" is no name of an object`);
}

/** Kinds that go by a word of two, with the words of `flux get`. */
const families: { word: string; holds(kind: ResourceKind): boolean; shortWord(kind: ResourceKind): string }[] = [
  {
    // `git` for GitRepository, `oci`, `helm`, `bucket`, `chart`, `external`
    word: "source",
    holds: ({ isSource }) => isSource,
    shortWord: ({ kind }) => kind.replace(/(Repository|Artifact)$/, "").replace(/^Helm(?=Chart)/, "").toLowerCase(),
  },
  {
    // `repository`, `policy`, `update`
    word: "image",
    holds: ({ group }) => group === "image.toolkit.fluxcd.io",
    shortWord: ({ kind }) => kind.replace(/^Image/, "").replace(/Automation$/, "").toLowerCase(),
  },
];
