/** What is kept of a cell itself: who is a member, who owns what, who is to own it. */
import * as z from "zod";
import { mostShards } from "#protocol/names/actor.ts";

/** What this worker says and understands; a record of a later version is left to workers that know it. */
export const protocolVersion = 1;

/** `fl.<p>.own`: its stream sequence is the fencing token on every write to the partition. An empty worker: nobody owns it. */
export const ownRecord = z.object({
  v: z.literal(1), worker: z.string(), epoch: z.number().int(),
  /** `crash`: the owner before did not let go; whatever it had sent may still be on its way. */
  cause: z.enum(["claim", "handover", "crash", "renewal"]).default("claim"),
});
export type OwnRecord = z.infer<typeof ownRecord>;

/** `fl.<p>.want`: the coordinator's plan for a partition. */
export const wantRecord = z.object({ v: z.literal(1), from: z.string(), to: z.string(), plan: z.string() });
export type WantRecord = z.infer<typeof wantRecord>;

/** `fl.ctl.coord` */
export const coordinatorRecord = z.object({ v: z.literal(1), worker: z.string(), term: z.number().int() });

/** `fl.ctl.gateway` */
export const gatewayRecord = z.object({ v: z.literal(1), url: z.string() });

/** `fl.ctl.cfg`: immutable after bootstrap. Another number of partitions would send an actor to another owner. */
export const cellConfig = z.object({
  v: z.literal(1), partitions: z.number().int(),
  /** Which cluster's objects the cell reconciles: the uid of its kube-system namespace. Two clusters in one cell would undo each other's work. */
  hub: z.string().default(""),
});

/** `fl.ctl.member.<w>`: a worker's heartbeat; empty: it is gone, or was held for dead. */
export const memberRecord = z.object({
  v: z.literal(1), worker: z.string(), beat: z.number().int(),
  protocol: z.number().int().default(1),
  /** How much it can carry, beside the others. */
  capacity: z.number().positive().default(1),
  /** Actors it holds. */
  actors: z.number().int().default(0),
  /** Milliseconds of work per minute, measured. */
  load: z.number().default(0),
  /** It wants to hand everything over. */
  draining: z.boolean().default(false),
  /** Partitions with records it cannot read. */
  refuses: z.array(z.number().int()).default([]),
  /** The key of the shard it is there for; empty: for everything that has none. */
  shard: z.string().default(""),
});
export type MemberRecord = z.infer<typeof memberRecord>;

/** `fl.ctl.shards`: only ever grows; a key's number is its place. */
export const shardsRecord = z.object({ v: z.literal(1), keys: z.array(z.string()).max(mostShards) });

/** `fl.<p>.home.…`: the actor is hosted in this shard, and nobody acts for it at home. */
export const homeRecord = z.object({ v: z.literal(1), shard: z.number().int().min(0).max(mostShards - 1) });

/** `fl.ctl.load.<w>`: cost per partition, milliseconds of work per minute. */
export const loadRecord = z.object({ v: z.literal(1), costs: z.record(z.string(), z.number()) });
