/** The kinds as people type them: `ks`, `gitrepo`, `source git`, `sources git`, as Flux's command takes them. */
import { kinds } from "#protocol/api/registry.ts";
import { Misuse } from "./failure.ts";

export type ResourceKind = {
  kind: string;
  group: string;
  version: string;
  plural: string;
  isSource: boolean;
  words: string[];
};

export const resourceKinds: readonly ResourceKind[] = kinds.map(({ kind, group, apiVersion, plural, shortNames }) => ({
  kind,
  group,
  version: apiVersion.slice(group.length + 1),
  plural,
  isSource: group.startsWith("source."),
  words: [kind.toLowerCase(), plural, ...shortNames],
}));

/** `all`, `sources`, or one kind; and what is left of the words: names. */
export type Selection = { kinds: ResourceKind[]; names: string[] };

/** @throws Misuse for a word that is no kind */
export function select(words: readonly string[]): Selection {
  const [first, second, ...rest] = words;
  if (first === undefined || first === "all") return { kinds: [...resourceKinds], names: words.slice(1) };
  if (first === "source" || first === "sources") {
    const sources = resourceKinds.filter(({ isSource }) => isSource);
    if (second === undefined || second === "all") return { kinds: sources, names: rest };
    const kind = sources.find((kind) => shortWord(kind) === second || kind.words.includes(second));
    if (!kind) throw new Misuse(`no source kind "${second}": one of ${sources.map(shortWord).join(", ")}`);
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
  return { kind: kinds[0]!, names: [name, ...more] };
}

/** @throws Misuse for what Kubernetes would not take as a name; it becomes part of a path */
export function checkName(name: string): void {
  if (!/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(name) || name.includes(".."))
    throw new Misuse(`"${name}" is no name of an object`);
}

/** `git` for GitRepository, `oci`, `helm`, `bucket`, `chart`: the words of `flux get sources`. */
const shortWord = ({ kind }: ResourceKind) =>
  kind
    .replace(/Repository$/, "")
    .replace(/^Helm(?=Chart)/, "")
    .toLowerCase();
