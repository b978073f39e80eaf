/** Objects that are awaited and are no actors: of any kind, named so that they lie in a partition as actors do. */
import type { ActorKey } from "./actor.ts";

/** An object as `spec.dependsOn` names it. A namespace is empty where the kind has none. */
export type ObjectRef = { apiVersion: string; kind: string; namespace: string; name: string };

// "@" and "_" are legal in neither a kind, a group nor a version, and "-" is no namespace: the way back is exact.
const noNamespace = "-";

/** The key under which whoever waits for the object is kept, beside whoever watches it. */
export function awaitedKey({ apiVersion, kind, namespace, name }: ObjectRef): ActorKey {
  const slash = apiVersion.indexOf("/");
  const group = slash < 0 ? "" : apiVersion.slice(0, slash).replaceAll(".", "_");
  return { kind: `${kind}@${group}@${apiVersion.slice(slash + 1)}`, namespace: namespace || noNamespace, name };
}

/** Undefined for an actor. */
export function awaitedObject({ kind, namespace, name }: ActorKey): ObjectRef | undefined {
  const [spelled = "", group = "", version] = kind.split("@");
  if (version === undefined) return undefined;
  const apiVersion = group === "" ? version : `${group.replaceAll("_", ".")}/${version}`;
  return { apiVersion, kind: spelled, namespace: namespace === noNamespace ? "" : namespace, name };
}
