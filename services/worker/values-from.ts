/** `spec.valuesFrom` of a HelmRelease: which of it lies in the cluster as data, and which in a source as a file. */
import { valuesPath } from "#machines/rules/values-file.ts";
import type { HelmRelease, ValuesReference } from "#protocol/api/helm-release.ts";
import { actorId, isPossibleId, type ActorKey } from "#protocol/names/actor.ts";

type Spec = Pick<HelmRelease["spec"], "valuesFrom">;

export const isData = <T extends { kind?: string }>(reference: T): reference is T & { kind: "Secret" | "ConfigMap" } => reference.kind === "Secret" || reference.kind === "ConfigMap";

/** The source whose artifact has the file; undefined: it lies in the cluster as data. */
export function sourceOfFile({ namespace }: Pick<ActorKey, "namespace">, reference: ValuesReference): ActorKey | undefined {
  const { kind, namespace: named = namespace, name } = reference;
  return isData(reference) ? undefined : { kind: kind.toLowerCase(), namespace: named, name };
}

/** Each once, in their order. */
export function valuesSources(release: Pick<ActorKey, "namespace">, { valuesFrom = [] }: Spec): ActorKey[] {
  const sources = valuesFrom.flatMap((reference) => sourceOfFile(release, reference) ?? []);
  return [...new Map(sources.map((source) => [actorId(source), source])).values()];
}

/** What is wrong with an entry that the definition admits. Undefined: nothing. */
export function wrongValuesFrom({ valuesFrom = [] }: Spec): string | undefined {
  for (const [i, reference] of valuesFrom.entries()) {
    const { kind, valuesKey } = reference;
    const found = isData(reference) ? keyOf(kind, valuesKey) : valuesPath(valuesKey);
    if ("wrong" in found) return `spec.valuesFrom[${i}].valuesKey: ${found.wrong}`;
    const source = sourceOfFile({ namespace: "none" }, reference);
    if (source && !isPossibleId(actorId(source))) return `spec.valuesFrom[${i}]: no source can have this name or namespace`;
  }
  return undefined;
}

const keyOf = (kind: string, valuesKey = "") => (valuesKey.includes("/") ? { wrong: `${valuesKey} is no key of a ${kind}: it has a slash` } : {});
