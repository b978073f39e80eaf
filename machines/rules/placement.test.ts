import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { evenOut, placeHomeless, type Candidate, type Move, type Placement } from "./placement.ts";

const candidate = (worker: string, more: Partial<Candidate> = {}): Candidate =>
  ({ worker, capacity: 1, draining: false, refuses: new Set(), settled: true, ...more });
const crowd = (size: number) => Array.from({ length: size }, (_, i) => candidate(`worker-${i}`));
const homeless = (size: number, cost = 0): Placement => Array.from({ length: size }, () => ({ owner: undefined, cost }));

/** What holds for every plan, and the placement when it was carried out. */
function carriedOut(placement: Placement, moves: Move[]): Placement {
  const next = placement.map((entry) => ({ ...entry }));
  assert.equal(new Set(moves.map(({ partition }) => partition)).size, moves.length, "each partition once");
  for (const { partition, from, to } of moves) {
    const entry = next[partition];
    assert.ok(entry);
    assert.equal(from, entry.owner);
    assert.notEqual(from, to);
    entry.owner = to;
  }
  return next;
}
const placed = (placement: Placement, candidates: Candidate[]) => carriedOut(placement, placeHomeless(placement, candidates));

/** Every plan after the other, until there is none. */
function settle(placement: Placement, candidates: Candidate[], most = Infinity): { placement: Placement; moved: number } {
  for (let moved = 0, rounds = 0; ; rounds++) {
    const moves = evenOut(placement, candidates, most);
    assert.ok(moves.length <= most);
    if (moves.length === 0) return { placement, moved };
    placement = carriedOut(placement, moves);
    moved += moves.length;
    assert.ok(rounds < 5_000, "it does not come to an end");
  }
}

const numbers = (placement: Placement, candidates: Candidate[]) =>
  new Map(candidates.map(({ worker }) => [worker, placement.filter(({ owner }) => owner === worker).length]));
function assertEven(placement: Placement, candidates: Candidate[]): void {
  const sum = candidates.reduce((sum, { capacity }) => sum + capacity, 0);
  const total = placement.filter(({ owner }) => candidates.some(({ worker }) => worker === owner)).length;
  for (const { worker, capacity } of candidates) {
    const part = (total * capacity) / sum;
    const held = numbers(placement, candidates).get(worker) ?? 0;
    assert.ok(held >= Math.floor(part + 1e-9) && held <= Math.ceil(part - 1e-9), `${worker} holds ${held}, its part is ${part}`);
  }
}
const loads = (placement: Placement, candidates: Candidate[]) =>
  candidates.map(({ worker, capacity }) => placement.filter(({ owner }) => owner === worker).reduce((sum, { cost }) => sum + cost, 0) / capacity);
function imbalance(placement: Placement, candidates: Candidate[]): number {
  const each = loads(placement, candidates);
  const weight = candidates.reduce((sum, { capacity }) => sum + capacity, 0);
  const average = candidates.reduce((sum, { capacity }, i) => sum + capacity * (each[i] ?? 0), 0) / weight;
  return Math.max(...each) / average;
}

const sizes = [[1024, 1], [1024, 3], [1024, 32], [1024, 100], [256, 10], [5, 9]] as const;
for (const [partitions, workers] of sizes) {
  const few = crowd(workers);
  const more = crowd(workers + 1);
  const start = placed(homeless(partitions), few);

  test(`[PL1] ${partitions} homeless partitions spread evenly over ${workers}`, () => assertEven(start, few));

  test(`[PL2] ${partitions} on ${workers}: nothing moves when nothing changed`, () => {
    assert.deepEqual(placeHomeless(start, few), []);
    assert.deepEqual(evenOut(start, few, Infinity), []);
  });

  test(`[PL5] ${partitions} on ${workers}: a new worker is filled with the fewest moves`, () => {
    const { placement, moved } = settle(start, more);
    assertEven(placement, more);
    assert.ok(moved <= Math.ceil(partitions / (workers + 1)), `${moved} moves`);
    const newcomer = `worker-${workers}`;
    for (const [i, { owner }] of placement.entries()) assert.ok(owner === newcomer || owner === start[i]?.owner, "only to the new one");
  });

  test(`[PL2] ${partitions} on ${workers + 1}: losing a worker moves only what it had`, () => {
    const before = placed(homeless(partitions), more);
    const left = before.map(({ owner, cost }) => ({ owner: owner === "worker-0" ? undefined : owner, cost }));
    const rest = more.slice(1);
    const after = placed(left, rest);
    assertEven(after, rest);
    assert.deepEqual(evenOut(after, rest, Infinity), []);
  });
}

test("[PL1] parts are proportional to capacity", () => {
  const candidates = [candidate("a", { capacity: 2 }), candidate("b"), candidate("c", { capacity: 0.5 })];
  assert.deepEqual([...numbers(placed(homeless(70), candidates), candidates).values()], [40, 20, 10]);
});

test("[PL1] among those that lack partitions the least loaded gets the next", () => {
  const placement: Placement = [{ owner: "a", cost: 900 }, { owner: "b", cost: 10 }, { owner: undefined, cost: 50 }, { owner: undefined, cost: 50 }];
  assert.deepEqual(placeHomeless(placement, [candidate("a", { capacity: 2 }), candidate("b", { capacity: 2 })]).map(({ to }) => to).sort(), ["a", "b"]);
  assert.deepEqual(placeHomeless(placement.slice(0, 3), [candidate("a"), candidate("b")]).map(({ to }) => to), ["b"]);
});

test("[PL2] an owner that is no candidate keeps what it has", () => {
  const placement: Placement = [{ owner: "unseen", cost: 0 }, { owner: undefined, cost: 0 }];
  assert.deepEqual(placeHomeless(placement, [candidate("a")]), [{ partition: 1, from: undefined, to: "a" }]);
  assert.deepEqual(evenOut(placement, [candidate("a")], 10), []);
});

const homes: { name: string; candidates: Candidate[]; to: (string | undefined)[] }[] = [
  { name: "nobody is there", candidates: [], to: [undefined, undefined] },
  { name: "one drains", candidates: [candidate("a", { draining: true }), candidate("b")], to: ["b", "b"] },
  { name: "everybody drains", candidates: [candidate("a", { draining: true })], to: ["a", "a"] },
  { name: "the other refuses one", candidates: [candidate("a"), candidate("b", { refuses: new Set([0, 1]) })], to: ["a", "a"] },
  { name: "who does not drain refuses one", candidates: [candidate("a", { draining: true }), candidate("b", { refuses: new Set([0]) })], to: ["a", "b"] },
  { name: "everybody refuses one", candidates: [candidate("a", { refuses: new Set([1]) })], to: ["a", undefined] },
];
for (const { name, candidates, to } of homes)
  test(`[PL3] homeless when ${name}`, () => assert.deepEqual(placed(homeless(2), candidates).map(({ owner }) => owner), to));

test("[PL3] those that few can take choose first", () => {
  const picky = candidate("a", { refuses: new Set([5, 6, 7, 8, 9]) });
  assert.deepEqual(placed(homeless(10), [picky, candidate("b")]).map(({ owner }) => owner), [..."aaaaabbbbb"]);
});

test("[PL4] a draining worker is emptied first", () => {
  const placement = placed(homeless(90), [candidate("a"), candidate("b"), candidate("c")]);
  const candidates = [candidate("a", { draining: true }), candidate("b"), candidate("c"), candidate("d")];
  const first = evenOut(placement, candidates, 30);
  assert.deepEqual([first.length, new Set(first.map(({ from }) => from))], [30, new Set(["a"])]);
  assert.deepEqual(first.map(({ to }) => to), first.map(() => "d"));
  const after = settle(placement, candidates);
  assert.equal(after.moved, 30);
  assertEven(after.placement, candidates.slice(1));
});

test("[PL4] what nobody else takes stays on the draining worker, and it does not disturb the rest", () => {
  const refuses = new Set([3, 4]);
  const placement = placed(homeless(30), [candidate("a"), candidate("b"), candidate("c")]).map((entry, i) => (refuses.has(i) ? { ...entry, owner: "a" } : entry));
  const candidates = [candidate("a", { draining: true }), candidate("b", { refuses }), candidate("c", { refuses })];
  const after = settle(placement, candidates).placement;
  assert.deepEqual(after.flatMap(({ owner }, i) => (owner === "a" ? [i] : [])), [3, 4]);
  assertEven(after, candidates.slice(1));
  assert.deepEqual(evenOut(homeless(3).map(() => ({ owner: "a", cost: 0 })), [candidate("a", { draining: true })], 9), []);
});

test("[PL6] a worker that has just come is given only what is homeless", () => {
  const candidates = [candidate("a"), candidate("b", { settled: false })];
  const placement = placed(homeless(20), [candidate("a")]);
  assert.deepEqual(evenOut(placement, candidates, 99), []);
  assert.equal(evenOut(placement, [candidate("a"), candidate("b")], 99).length, 10);
  assert.deepEqual([...numbers(placed(homeless(20), candidates), candidates).values()], [10, 10]);
});

test("[PL6] a draining worker gives to one that has just come what no settled one takes", () => {
  const placement = placed(homeless(10), [candidate("a")]);
  const draining = candidate("a", { draining: true });
  const fresh = candidate("c", { settled: false });
  assert.ok(evenOut(placement, [draining, fresh], 99).length === 10);
  const moves = evenOut(placement, [draining, candidate("b", { refuses: new Set([7]) }), fresh], 99);
  assert.deepEqual(moves.filter(({ to }) => to === "c").map(({ partition }) => partition), [7]);
  assert.equal(moves.length, 10);
});

const byOwner = (costs: Record<string, number[]>): Placement =>
  Object.entries(costs).flatMap(([owner, list]) => list.map((cost) => ({ owner, cost })));
const costRows: { name: string; costs: Record<string, number[]>; moved: number[] }[] = [
  { name: "25 % more than the average is even enough", costs: { a: [2_500, 2_500], b: [1_500, 1_500] }, moved: [] },
  { name: "one that suffices moves, not two small ones", costs: { a: [4_000, 2_500, 500, 400], b: [1_000, 1_000, 300, 300] }, moved: [2_500] },
  { name: "the smallest of those that suffice", costs: { a: [3_000, 2_000, 1_900, 1_800], b: [600, 600, 600, 600] }, moved: [1_800] },
  { name: "little work is nobody's burden", costs: { a: [300, 200], b: [0, 0] }, moved: [] },
  { name: "nobody knows the cost", costs: { a: [0, 0], b: [0, 0] }, moved: [] },
];
for (const { name, costs, moved } of costRows)
  test(`[PL7] ${name}`, () => {
    const candidates = Object.keys(costs).map((worker) => candidate(worker));
    const placement = byOwner(costs);
    const moves = evenOut(placement, candidates, 99);
    assert.deepEqual(moves.filter(({ from }) => from === "a").map(({ partition }) => placement[partition]?.cost), moved);
    if (moved.length > 0) assert.ok(imbalance(carriedOut(placement, moves), candidates) <= 1.25);
  });

test("[PL7] a worker with twice the capacity may carry twice the load", () => {
  const placement = byOwner({ a: [2_000, 2_000], b: [2_000] });
  assert.deepEqual(evenOut(placement, [candidate("a", { capacity: 2 }), candidate("b")], 9), []);
});

test("[PL7] many small costs are always brought under", () =>
  fc.assert(fc.property(fc.integer({ min: 2, max: 12 }), fc.array(fc.integer({ min: 50, max: 200 }), { minLength: 200, maxLength: 400 }), fc.nat(), (size, costs, skew) => {
    const candidates = crowd(size);
    const placement = costs.toSorted((a, b) => (skew % 2 ? a - b : b - a)).map((cost, i) => ({ owner: `worker-${Math.floor((i * size) / costs.length)}`, cost: cost * 20 }));
    const after = settle(placement, candidates, 20).placement;
    assert.ok(imbalance(after, candidates) <= 1.25 + 1e-9);
  }), { numRuns: 60 }));

test("[PL10] what one partition alone costs is not spread by moving others", () => {
  const placement = byOwner({ a: [60_000, 100, 100, 100], b: [100, 100, 100, 100] });
  assert.deepEqual(evenOut(placement, [candidate("a"), candidate("b")], 99), []);
});

test("[PL10] a worker with one expensive partition is spared much other work", () => {
  const placement = byOwner({ a: [50_000, 9_000, 9_000, 9_000], b: [100, 100, 100, 100] });
  const after = settle(placement, [candidate("a"), candidate("b")]).placement;
  assert.equal(after[0]?.owner, "a");
  assert.ok(after.filter(({ owner, cost }) => owner === "a" && cost === 9_000).length <= 1);
});

test("[PL10] no partition goes to a worker for the sake of their number when it carries enough", () => {
  const placement = byOwner({ a: [12_000], b: [3_000, 3_000, 3_000] });
  assert.deepEqual(evenOut(placement, [candidate("a"), candidate("b")], 99), []);
});

type Scene = { placement: Placement; candidates: Candidate[]; most: number };
const scene: fc.Arbitrary<Scene> = fc.integer({ min: 1, max: 7 }).chain((size) => fc.record({
  placement: fc.array(fc.record({
    owner: fc.oneof(fc.constant(undefined), fc.nat(size).map((i) => `worker-${i}`)), // one of them is no candidate
    cost: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 20_000 }), fc.double({ min: 0, max: 3_000, noNaN: true })),
  }), { maxLength: 60 }),
  candidates: fc.tuple(...Array.from({ length: size }, (_, i) => fc.record({
    worker: fc.constant(`worker-${i}`), capacity: fc.constantFrom(0.5, 1, 1, 2, 3), draining: fc.constantFrom(true, false, false, false), settled: fc.constantFrom(true, true, true, false),
    refuses: fc.oneof(fc.constant([]), fc.array(fc.nat(59))).map((list) => new Set(list)),
  }))),
  most: fc.integer({ min: 1, max: 20 }),
}));

test("[PL8] plans come to an end, whatever the workers refuse, drain and cost", () =>
  fc.assert(fc.property(scene, ({ placement, candidates, most }) => {
    const after = settle(placed(placement, candidates), candidates, most).placement;
    assert.deepEqual(evenOut(after, candidates, Infinity), []);
    assert.deepEqual(placeHomeless(after, candidates), []);
  }), { numRuns: 1_000 }));

test("[PL8] no moves when none are asked for", () =>
  fc.assert(fc.property(scene, ({ placement, candidates }) => assert.deepEqual(evenOut(placement, candidates, 0), []))));

test("[PL9] the order of workers decides nothing", () =>
  fc.assert(fc.property(scene, fc.infiniteStream(fc.nat()), ({ placement, candidates, most }, chance) => {
    const shuffled = candidates.map((entry) => ({ entry, rank: chance.next().value ?? 0 })).sort((a, b) => a.rank - b.rank).map(({ entry }) => entry);
    assert.deepEqual(placeHomeless(placement, shuffled), placeHomeless(placement, candidates));
    assert.deepEqual(evenOut(placement, shuffled, most), evenOut(placement, candidates, most));
  }), { numRuns: 500 }));

test("[PL3] nobody gets what it refuses, nor anything while it drains and another would take it", () =>
  fc.assert(fc.property(scene, ({ placement, candidates }) => {
    const byName = new Map(candidates.map((entry) => [entry.worker, entry]));
    const first = placeHomeless(placement, candidates);
    for (const { partition, to } of first) {
      const taker = byName.get(to);
      assert.ok(taker && !taker.refuses.has(partition));
      if (taker.draining) assert.ok(candidates.every(({ draining, refuses }) => draining || refuses.has(partition)));
    }
    for (const { partition, from, to } of evenOut(carriedOut(placement, first), candidates, Infinity)) {
      const taker = byName.get(to);
      assert.ok(taker && !taker.refuses.has(partition) && !taker.draining);
      if (!taker.settled) assert.ok(from !== undefined && byName.get(from)?.draining);
    }
    assert.ok(carriedOut(placement, first).every(({ owner }, i) => owner !== undefined || candidates.every(({ refuses }) => refuses.has(i))));
  }), { numRuns: 500 }));

test("[PL4] [PL5] draining workers end empty and the others even, when nobody refuses and nothing is known of cost", () =>
  fc.assert(fc.property(scene, ({ placement, candidates, most }) => {
    const willing = candidates.map((entry) => ({ ...entry, refuses: new Set<number>() }));
    const free = placement.map(({ owner }) => ({ owner, cost: 0 }));
    const after = settle(placed(free, willing), willing, most).placement;
    assertEven(after, willing.filter(({ draining, settled }) => settled && !draining));
    if (willing.some(({ draining }) => !draining))
      for (const { worker, draining } of willing) if (draining) assert.equal(numbers(after, willing).get(worker), 0);
  }), { numRuns: 500 }));
