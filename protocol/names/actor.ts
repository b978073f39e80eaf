/** Who an actor is, and which partition it lives in. */

/** One actor: a reconciled object of the hub, by lower-case kind (`gitrepository`), namespace and name. */
export type ActorKey = { kind: string; namespace: string; name: string };

/** Fixed for the life of a cell: an actor never changes its partition. */
export const partitionCount = 1024;

/** `kind/namespace/name`: the form people read, type and search for. */
export const actorId = ({ kind, namespace, name }: ActorKey): string => `${kind}/${namespace}/${name}`;

/** @throws RangeError when it is not `kind/namespace/name` */
export function parseActorId(id: string): ActorKey {
  const [kind, namespace, name, ...more] = id.split("/");
  if (kind && namespace && name && more.length === 0) return { kind, namespace, name };
  throw new RangeError(`not an actor: ${id}`);
}

/** FNV-1a over kind, namespace and name: the same number NATS's own `partition()` mapping gives, 0 to 1023. */
export function partitionOf({ kind, namespace, name }: ActorKey): number {
  let hash = 0x811c9dc5;
  for (const token of [kind, namespace, escapeToken(name)])
    for (let i = 0; i < token.length; i++) hash = Math.imul(hash ^ token.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % partitionCount;
}

// A dot is legal in a Kubernetes name and splits a NATS token; "_" is illegal in a Kubernetes name, so the way back is exact.
export const escapeToken = (name: string): string => name.replaceAll(".", "_");
export const unescapeToken = (token: string): string => token.replaceAll("_", ".");
