/**
 * The feed: the one worker that watches the hub (the watcher) tells each worker (a reader) what stands in the partitions
 * it follows. A reader opens a session and repeats its wishes every second (`fb.<watcher>.feed`); the watcher answers with
 * numbered messages (`fb.<reader>.feeding`). Nobody keeps them: a gap in the numbers ends the session, and the next one
 * begins from scratch.
 */
import * as z from "zod";

/** One live object that a unit applied, reduced to what drift and health need; nothing of its contents. */
export const managedRecord = z.object({
  uid: z.string(),
  resourceVersion: z.string(),
  generation: z.number(),
  /** Hash of the fields our applies own, as in the inventory. */
  owned: z.string(),
  /** When our last apply changed a field, in seconds since 1970. */
  appliedAtS: z.number(),
  /** Who took fields from us, as far as that was seen; empty when nobody did, or left no trace. */
  by: z.string(),
  /** Changes when managers other than us come to own other fields. */
  others: z.string(),
  status: z.enum(["Current", "InProgress", "Failed", "Terminating", "NotFound"]),
  message: z.string(),
  /** `namespace/name` of the unit in its labels. */
  owner: z.string(),
  /** Which kind of unit that is; a Kustomization when absent. */
  unit: z.literal("helmrelease").optional(),
  deleting: z.boolean(),
  /** The shard in which that unit belongs, if any. */
  shard: z.number().int().nonnegative().optional(),
});
export type ManagedRecord = z.infer<typeof managedRecord>;

const partition = z.number().int().nonnegative();
const reader = { reader: z.string(), session: z.string() };

/** What a reader says. `seen` is the last number it took. */
export const feedRequest = z.discriminatedUnion("t", [
  z.object({
    t: z.literal("attach"), ...reader, seen: z.number().int(),
    /** Everything it follows. */
    partitions: z.array(partition).max(1024),
    /** Those of them that were not shown yet, each with the turn in which it was asked for. */
    fresh: z.array(z.tuple([partition, z.number().int()])).max(1024),
    /** Group, kind and version of the managed kinds it needs; of those of Helm releases the group begins with `helmrelease:`. */
    kinds: z.array(z.tuple([z.string(), z.string(), z.string()])).max(5_000),
    /** Those among them that are worth another look, though they were absent (`<group>/<Kind>`). */
    again: z.array(z.string()).max(5_000).default([]),
  }),
  z.object({ t: z.literal("ack"), ...reader, seen: z.number().int() }),
  z.object({ t: z.literal("leave"), ...reader }),
]);
export type FeedRequest = z.infer<typeof feedRequest>;
export type Attach = Extract<FeedRequest, { t: "attach" }>;

export const feedItem = z.discriminatedUnion("t", [
  /**
   * A Flux object: `k` is its actor's id, `o` its JSON text without managedFields; without `o` it is gone. A long text
   * comes in parts, one after the other: `more` says that this is not the last. `i`, with the last: the versions of watched
   * ConfigMaps and Secrets that it refers to, as JSON; nothing of their contents.
   */
  z.object({ t: z.literal("flux"), k: z.string(), o: z.string().optional(), more: z.literal(true).optional(), i: z.string().optional() }),
  /** An object that a unit applied, by its managed name; without `m` it is gone, or another partition's. */
  z.object({ t: z.literal("managed"), id: z.string(), m: managedRecord.optional() }),
  /** What follows up to `shown` of the same turn is all there is of this partition. */
  z.object({ t: z.literal("showing"), p: partition, turn: z.number().int() }),
  z.object({ t: z.literal("shown"), p: partition, turn: z.number().int() }),
  /** Of a managed kind (`<group>/<Kind>`) everything was told, or there is no such kind to watch. */
  z.object({ t: z.literal("kind"), kind: z.string(), is: z.enum(["synced", "absent"]) }),
  /** The Flux objects were listed anew: what came and went meanwhile was seen by nobody. */
  z.object({ t: z.literal("relisted") }),
]);
export type FeedItem = z.infer<typeof feedItem>;

/** What the watcher answers. `stream` is its own name for the session: another one under the same session is a new beginning. */
export const feeding = z.discriminatedUnion("t", [
  z.object({ t: z.literal("items"), session: z.string(), stream: z.string(), n: z.number().int(), items: z.array(feedItem) }),
  /** The answer to each `attach`: the last number that was sent. */
  z.object({ t: z.literal("beat"), session: z.string(), stream: z.string(), last: z.number().int() }),
  /** There is no such session (any more). */
  z.object({ t: z.literal("over"), session: z.string() }),
]);
export type Feeding = z.infer<typeof feeding>;

/** `fb.<watcher>.pushed`: which sources of the whole hub have one of these URLs? */
export const pushedRequest = z.object({ urls: z.array(z.string()).max(1_000) });
/** Actor ids. Without `known` the watcher has not seen every source yet. */
export const pushedAnswer = z.object({ known: z.boolean().default(true), sources: z.array(z.string()) }); // a watcher of before says only what it found
export type PushedAnswer = z.infer<typeof pushedAnswer>;

/** `fb.<watcher>.depends`: how does a unit stand to the others of the whole hub? */
export const dependsRequest = z.object({ unit: z.string() });
/** Actor ids. Without `known` the watcher has not seen every unit yet. */
export const dependsAnswer = z.object({
  known: z.boolean(),
  /** The shortest cycle of `spec.dependsOn` through it; empty: there is none. */
  cycle: z.array(z.string()).max(1_000),
  /** Units that depend on it and are being deleted. */
  goFirst: z.array(z.string()).max(1_000),
});
export type DependsAnswer = z.infer<typeof dependsAnswer>;
