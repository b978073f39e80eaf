import assert from "node:assert/strict";
import test from "node:test";
import { labels } from "#protocol/api/annotations.ts";
import { partitionCount, partitionsWith, shardPartitions } from "#protocol/names/actor.ts";
import type { Placement } from "./placement.ts";
import { evenOutAll, placeAllHomeless, shardOf, type ShardCandidate } from "./shards.ts";

const labelled = (key: unknown) => ({ metadata: { labels: { [labels.shardKey]: key } } });
const places: { object: Parameters<typeof shardOf>[0]; keys?: string[]; shard: number | undefined }[] = [
  { object: undefined, shard: undefined },
  { object: { metadata: {} }, shard: undefined },
  { object: labelled("heavy"), keys: ["light", "heavy"], shard: 1 },
  { object: labelled("heavy"), keys: [], shard: undefined },
  { object: labelled("unknown"), shard: undefined },
  { object: labelled(""), keys: [""], shard: undefined },
  { object: labelled(7), shard: undefined },
];
for (const { object, keys = ["heavy"], shard } of places)
  test(`[SH1] ${JSON.stringify(object)} where ${keys.join() || "no key"} has a shard -> ${shard ?? "home"}`, () => assert.equal(shardOf(object, keys), shard));

const worker = (name: string, shard = "", more: Partial<ShardCandidate> = {}): ShardCandidate =>
  ({ worker: name, shard, capacity: 1, draining: false, refuses: new Set(), settled: true, ...more });
const keys = ["heavy", "light"];
const all = (owner: (partition: number) => string | undefined): Placement => Array.from({ length: partitionsWith(keys.length) }, (_, partition) => ({ owner: owner(partition), cost: 0 }));
const areaOf = (partition: number): string => ["home", ...keys][partition < partitionCount ? 0 : 1 + Math.floor((partition - partitionCount) / shardPartitions)] ?? "";

const homes: { name: string; workers: ShardCandidate[]; got: Record<string, string> }[] = [
  { name: "each shard to its own", workers: [worker("a"), worker("h", "heavy"), worker("l", "light")], got: { home: "a", heavy: "h", light: "l" } },
  { name: "a shard without workers to those without a shard", workers: [worker("a"), worker("h", "heavy")], got: { home: "a", heavy: "h", light: "a" } },
  { name: "a shard whose worker drains likewise", workers: [worker("a"), worker("h", "heavy", { draining: true })], got: { home: "a", heavy: "a", light: "a" } },
  { name: "everything to whoever is left", workers: [worker("h", "heavy")], got: { home: "h", heavy: "h", light: "h" } },
  { name: "to one that drains, if there is nobody else", workers: [worker("a", "", { draining: true })], got: { home: "a", heavy: "a", light: "a" } },
];
for (const { name, workers, got } of homes)
  test(`[SH4] homeless partitions: ${name}`, () => {
    const moves = placeAllHomeless(all(() => undefined), workers, keys);
    assert.equal(moves.length, partitionsWith(keys.length));
    for (const { partition, to } of moves) assert.equal(to, got[areaOf(partition)], `partition ${partition}`);
  });

test("[SH4] a worker that comes for a shard gets all of it from those who had it meanwhile, and nothing else", () => {
  const moves = evenOutAll(all((partition) => (partition % 2 === 0 ? "a" : "b")), [worker("a"), worker("b"), worker("h", "heavy")], keys, 1_000);
  assert.deepEqual(moves.map(({ partition, to }) => `${areaOf(partition)} ${to}`), Array.from({ length: shardPartitions }, () => "heavy h"));
});

test("[SH4] two workers of a shard share it evenly", () => {
  const placement = all((partition) => (areaOf(partition) === "heavy" ? "h" : "a"));
  const moves = evenOutAll(placement, [worker("a"), worker("h", "heavy"), worker("i", "heavy")], keys, 1_000);
  assert.deepEqual([moves.length, new Set(moves.map(({ to }) => to))], [shardPartitions / 2, new Set(["i"])]);
});

test("[SH4] a partition that a shard's worker cannot read stays with one that can", () => {
  const unread = partitionCount + 3;
  const moves = placeAllHomeless(all(() => undefined), [worker("a"), worker("h", "heavy", { refuses: new Set([unread]) })], keys);
  assert.equal(moves.find(({ partition }) => partition === unread)?.to, "a");
});

test("[SH4] all together move no more than was asked for", () => {
  const moves = evenOutAll(all(() => "a"), [worker("a"), worker("b"), worker("h", "heavy"), worker("l", "light")], keys, 20);
  assert.equal(moves.length, 20);
});
