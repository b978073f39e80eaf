/** `spec.dependsOn`, as it was written: whom each entry names. */
import { helmRelease } from "#protocol/api/helm-release.ts";
import { kustomization } from "#protocol/api/kustomization.ts";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import { awaitedKey, type ObjectRef } from "#protocol/names/awaited.ts";

export type Dependency = {
  /** Another Kustomization or HelmRelease. */
  unit?: ActorKey;
  /** An object of another kind. */
  object?: ObjectRef;
  readyExpr: string;
};

type Entry = { apiVersion?: unknown; kind?: unknown; name?: unknown; namespace?: unknown; readyExpr?: unknown };

const units = [kustomization, helmRelease];

/**
 * What cannot be read is left out: the API server accepts none of it.
 *
 * @param unit whose `spec` it is, as it stands in the object, or parsed: an entry without a kind names another one of its kind
 */
export function dependencies(unit: Pick<ActorKey, "kind" | "namespace">, spec: unknown): Dependency[] {
  const list = (spec as { dependsOn?: unknown } | null | undefined)?.dependsOn;
  return (Array.isArray(list) ? (list as (Entry | null)[]) : []).flatMap((entry): Dependency[] => {
    const [name, kind, apiVersion] = [textOf(entry?.name), textOf(entry?.kind), textOf(entry?.apiVersion)];
    if (name === "") return [];
    const key = { namespace: textOf(entry?.namespace) || unit.namespace, name };
    const readyExpr = textOf(entry?.readyExpr);
    const named = unitKind(unit.kind, apiVersion, kind);
    // An expression over a unit of another kind sees no more than the asking unit's account may.
    if (named !== undefined && (named === unit.kind || readyExpr === "")) return [{ unit: { kind: named, ...key }, readyExpr }];
    return [{ object: { apiVersion, kind, ...key }, readyExpr }];
  });
}

/** Its id among what is awaited. */
export const dependencyId = ({ unit, object }: Dependency): string => actorId(unit ?? awaitedKey(object as ObjectRef));

/** What is wrong with an entry that the definition admits: a kind alone names no object. Undefined: nothing. */
export function wrongDependency(unitKindName: string, spec: unknown): string | undefined {
  const list = ((spec as { dependsOn?: Entry[] }).dependsOn ?? []).entries();
  for (const [i, { apiVersion, kind }] of list) {
    if (unitKind(unitKindName, textOf(apiVersion), textOf(kind)) !== undefined) continue;
    if (!apiVersion) return `spec.dependsOn[${i}].apiVersion: needed with the kind ${String(kind)}`;
    if (!kind) return `spec.dependsOn[${i}].kind: needed with the apiVersion ${String(apiVersion)}`;
  }
  return undefined;
}

/** Lower-case kind of the unit that is meant; undefined: it is none. */
function unitKind(own: string, apiVersion: string, kind: string): string | undefined {
  const meant = units.find((each) => (kind === "" ? each.kind.toLowerCase() === own : each.kind === kind));
  return meant && (apiVersion === "" || apiVersion.startsWith(`${meant.group}/`)) ? meant.kind.toLowerCase() : undefined;
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
