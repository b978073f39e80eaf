/** Who an actor is, and which partition it lives in. */

/**
 * One actor: a reconciled object of the hub, by lower-case kind (`gitrepository`), namespace and name; and where it is
 * hosted, which is one place at a time: at home, or in a shard (docs/decisions/0008), given by its number.
 */
export type ActorKey = { kind: string; namespace: string; name: string; shard?: number };

/** Fixed for the life of a cell: an actor at home never changes its partition. */
export const partitionCount = 1024;

/** Each shard has partitions of its own, behind those at home. */
export const shardPartitions = 16;
export const mostShards = 64;
export const partitionsWith = (shards: number): number => partitionCount + shards * shardPartitions;
export const mostPartitions = partitionsWith(mostShards);

/** Undefined: at home. */
export const shardOfPartition = (partition: number): number | undefined =>
  partition < partitionCount ? undefined : Math.floor((partition - partitionCount) / shardPartitions);

/** `kind/namespace/name`: the form people read, type and search for. */
export const objectId = ({ kind, namespace, name }: ActorKey): string => `${kind}/${namespace}/${name}`;

/** The same, and its place: `kind/namespace/name@2` in shard 2. */
export const actorId = (key: ActorKey): string => (key.shard === undefined ? objectId(key) : `${objectId(key)}@${key.shard}`);

/** @throws RangeError when it is not `kind/namespace/name`, perhaps with its place */
export function parseActorId(id: string): ActorKey {
  const [kind, namespace, last = "", ...more] = id.split("/");
  const [name, place, ...rest] = last.split("@");
  const shard = place === undefined ? undefined : parseShard(place);
  if (kind && namespace && name && more.length === 0 && rest.length === 0 && shard !== null) return { kind, namespace, name, ...(shard !== undefined && { shard }) };
  throw new RangeError(`not an actor: ${id}`);
}

/**
 * Whether there can be an object with this id. Specs name others in texts that nobody has checked: what no API server takes as a
 * name is no part of a subject either, where it could stand for others.
 */
export const isPossibleId = (id: string): boolean => id.length <= 600 && /^[\w@-]+\/[a-z0-9-]+\/[^\s*>/@]+(@\d{1,2})?$/.test(id);

/** Null for what is none. */
const parseShard = (text: string): number | null => (/^\d{1,2}$/.test(text) && Number(text) < mostShards ? Number(text) : null);

/** The same object's actor at home, or in a shard. */
export const placedAt = ({ kind, namespace, name }: ActorKey, shard?: number): ActorKey => ({ kind, namespace, name, ...(shard !== undefined && { shard }) });

/** FNV-1a over kind, namespace and name: at home the same number NATS's own `partition()` mapping gives, 0 to 1023. */
export function partitionOf({ kind, namespace, name, shard }: ActorKey): number {
  let hash = 0x811c9dc5;
  for (const token of [kind, namespace, escapeToken(name)])
    for (let i = 0; i < token.length; i++) hash = Math.imul(hash ^ token.charCodeAt(i), 0x01000193);
  return shard === undefined ? (hash >>> 0) % partitionCount : partitionsWith(shard) + ((hash >>> 0) % shardPartitions);
}

// A dot is legal in a Kubernetes name and splits a NATS token; "_" is illegal in a Kubernetes name, so the way back is exact.
export const escapeToken = (name: string): string => name.replaceAll(".", "_");
export const unescapeToken = (token: string): string => token.replaceAll("_", ".");
