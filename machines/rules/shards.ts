/**
 * Shards: the objects of a key (`sharding.fluxcd.io/key`) are hosted in partitions of their own, and these are given to the
 * workers that are there for the key. Nobody goes without: where none of them is left, the others have the partitions.
 */
import { labels as names } from "#protocol/api/annotations.ts";
import { partitionCount, partitionsWith, shardPartitions } from "#protocol/names/actor.ts";
import { evenOut, placeHomeless, type Candidate, type Move, type Placement } from "./placement.ts";

/** The place of an object; undefined: at home. @param keys that have a shard, by its number */
export function shardOf(object: { metadata: { labels?: Record<string, unknown> } } | undefined, keys: readonly string[]): number | undefined {
  const key = object?.metadata.labels?.[names.shardKey];
  const shard = typeof key === "string" && key !== "" ? keys.indexOf(key) : -1;
  return shard === -1 ? undefined : shard;
}

/** Who is there for which key; the empty key: for what has none. */
export type ShardCandidate = Candidate & { shard: string };

/** A home for every partition without one, shard by shard. */
export const placeAllHomeless = (placement: Placement, candidates: ShardCandidate[], keys: readonly string[]): Move[] =>
  inAll(placement, candidates, keys, placeHomeless);

/** At most `most` moves, in all shards together. What lies with workers that are there for something else goes first. */
export function evenOutAll(placement: Placement, candidates: ShardCandidate[], keys: readonly string[], most: number): Move[] {
  let left = most;
  return inAll(placement, candidates, keys, (part, workers) => {
    const moves = evenOut(part, workers, Math.max(0, left));
    left -= moves.length;
    return moves;
  });
}

function inAll(placement: Placement, candidates: ShardCandidate[], keys: readonly string[], place: (part: Placement, workers: Candidate[]) => Move[]): Move[] {
  return ["", ...keys].flatMap((key, i) => {
    const [first, end] = i === 0 ? [0, partitionCount] : [partitionsWith(i - 1), partitionsWith(i - 1) + shardPartitions];
    const workers = preferred(candidates, key).map((each) => ({ ...each, refuses: new Set([...each.refuses].map((partition) => partition - first)) }));
    return place(placement.slice(first, end), workers).map((move) => ({ ...move, partition: move.partition + first }));
  });
}

/** All others count as if they drained: they keep what they have until one of these can take it, and get nothing else. */
function preferred(candidates: ShardCandidate[], key: string): Candidate[] {
  const staying = candidates.filter(({ draining }) => !draining);
  const tiers = [staying.filter(({ shard }) => shard === key), staying.filter(({ shard }) => shard === ""), staying];
  const chosen = new Set(tiers.find((tier) => tier.length > 0)?.map(({ worker }) => worker));
  return candidates.map((each) => ({ ...each, draining: !chosen.has(each.worker) }));
}
