/**
 * What the coordinator of a cell does next, from what it has observed: tells the dead that they are, gives homeless
 * partitions to somebody, and plans moves. Every act compares when it is written, so two coordinators at once do no harm
 * (ownership.md 7.3). All times are monotonic milliseconds of the worker that looks.
 */
import { isSuspect } from "#machines/rules/lease.ts";
import type { Placement } from "#machines/rules/placement.ts";
import { evenOutAll, placeAllHomeless, type ShardCandidate } from "#machines/rules/shards.ts";
import type { MemberRecord, OwnRecord, WantRecord } from "#protocol/records/cell.ts";

/** A partition's owner record, and where in the stream it stands. */
export type Own = Pick<OwnRecord, "worker" | "epoch" | "cause"> & { sequence: number };

export type Member = {
  worker: string;
  /** Of its last heartbeat; 0: it owns something, and no heartbeat of it is stored. */
  sequence: number;
  /** When that heartbeat was seen, or first missed. */
  seenMs: number;
  /** When it was seen first. */
  joinedMs: number;
  /** No heartbeat of it counts any more: it said goodbye, or was told that it is dead. */
  gone: boolean;
  /** It let go by itself: nothing of it is under way. */
  farewell: boolean;
  about: Pick<MemberRecord, "capacity" | "draining" | "refuses" | "actors" | "load" | "protocol" | "shard">;
};

export type Want = WantRecord & { sequence: number; sinceMs: number };

export type View = {
  nowMs: number;
  /** Since when our own heartbeats get through; 0: they do not. */
  steadySinceMs: number;
  members: Member[];
  /** By partition. */
  owners: readonly (Own | undefined)[];
  wants: ReadonlyMap<number, Want>;
  /** Milliseconds of work per minute, by partition. */
  costs: ReadonlyMap<number, number>;
  /** Keys that have a shard. */
  shards: readonly string[];
};

export type Assignment = { partition: number; to: string; epoch: number; cause: "claim" | "crash"; expect: number };

export type Act =
  | { do: "declare"; worker: string; expect: number }
  | { do: "assign"; assignments: Assignment[] }
  | { do: "want"; partition: number; from: string; to: string }
  | { do: "unwant"; partition: number; expect: number };

/** A worker that joined is given load after this long: a fleet that starts does not shuffle. */
export const joinMs = 2_000;
/** A plan that comes to nothing is dropped. */
export const planMs = 15_000;
/** Planned moves under way at a time. */
export const mostMoves = (partitions: number): number => Math.max(8, Math.floor(partitions * 0.05));

export function coordinate(view: View): Act[] {
  const { nowMs, steadySinceMs, members, owners, wants, costs, shards } = view;
  if (steadySinceMs === 0) return []; // NATS is the problem, not the others
  const alive = new Map(members.filter(({ gone }) => !gone).map((member) => [member.worker, member]));
  const suspects = [...alive.values()].filter(({ seenMs }) => isSuspect(Math.max(seenMs, steadySinceMs), nowMs));
  const acts: Act[] = suspects.map(({ worker, sequence }) => ({ do: "declare", worker, expect: sequence }));
  const silent = new Set(suspects.map(({ worker }) => worker));

  const candidates = [...alive.values()].filter(({ worker, sequence }) => sequence > 0 && !silent.has(worker)).map((member): ShardCandidate => ({
    worker: member.worker, capacity: member.about.capacity, draining: member.about.draining, refuses: new Set(member.about.refuses),
    settled: nowMs - member.joinedMs >= joinMs, shard: member.about.shard,
  }));
  if (candidates.length === 0) return acts;

  // Of an owner that nothing is known of, nothing is known: its heartbeat may still be on its way here.
  const gone = new Set(members.filter((member) => member.gone).map(({ worker }) => worker));
  const homeless = (own: Own | undefined) => !own || own.worker === "" || gone.has(own.worker);
  const over = ([partition, { from, to, sinceMs }]: [number, Want]) =>
    owners[partition]?.worker !== from || !alive.has(to) || alive.get(to)?.about.refuses.includes(partition) || nowMs - sinceMs > planMs;
  const placement: Placement = owners.map((own, partition) => ({
    owner: homeless(own) ? undefined : own?.worker, cost: costs.get(partition) ?? 0,
  }));
  const assignments = placeAllHomeless(placement, candidates, shards).map(({ partition, to }): Assignment => {
    const own = owners[partition];
    // Whoever let go by itself, or handed it to nobody, has nothing under way.
    const crashed = own !== undefined && own.worker !== "" && !saidGoodbye(members, own.worker);
    return { partition, to, epoch: (own?.epoch ?? 0) + 1, cause: crashed ? "crash" : "claim", expect: own?.sequence ?? 0 };
  });
  if (assignments.length > 0) acts.push({ do: "assign", assignments });
  // Only when all have a home and nobody is in doubt is it worth moving any.
  const ended = [...wants].filter(over);
  for (const [partition, { sequence }] of ended) acts.push({ do: "unwant", partition, expect: sequence });
  if (assignments.length > 0 || suspects.length > 0) return acts;
  const standing = new Map([...wants].filter((each) => !over(each)));
  for (const { partition, from, to } of evenOutAll(planned(placement, standing), candidates, shards, mostMoves(owners.length) - standing.size))
    if (from !== undefined && !wants.has(partition)) acts.push({ do: "want", partition, from, to });
  return acts;
}

/** As it will be when what is planned is done. */
const planned = (placement: Placement, wants: View["wants"]): Placement =>
  placement.map((each, partition) => ({ ...each, owner: wants.get(partition)?.to ?? each.owner }));

const saidGoodbye = (members: Member[], worker: string): boolean => members.some((member) => member.worker === worker && member.gone && member.farewell);
