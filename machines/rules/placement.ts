/** Which worker gets which partition: what stays stays, as few as possible move, and the load evens out. */

export type Candidate = {
  worker: string;
  /** Relative: one with 2 carries twice as much as one with 1. */
  capacity: number;
  /** It hands everything over and gets nothing. */
  draining: boolean;
  /** Partitions it cannot read. */
  refuses: ReadonlySet<number>;
  /** Whether it has been there long enough to be given load that is not homeless. */
  settled: boolean;
};

/**
 * By partition number: who has it, and what it costs (milliseconds of work per minute; 0 when nobody knows). An owner
 * that is no candidate keeps what it has: only who declares it dead makes its partitions homeless.
 */
export type Placement = { owner: string | undefined; cost: number }[];

export type Move = { partition: number; from: string | undefined; to: string };

/** Load is even enough while no worker carries more than this many times its share (ownership.md 7.2). */
const unevenness = 1.25;
/** Milliseconds of work per minute that no worker notices: one percent of a core. */
const unnoticedMs = 600;
const epsilon = 1e-6;

/** A home for every partition without one. */
export function placeHomeless(placement: Placement, candidates: Candidate[]): Move[] {
  const carriers = carriersOf(placement, candidates);
  const staying = carriers.filter(({ draining }) => !draining);
  const leaving = carriers.filter(({ draining }) => draining);
  for (const tier of [staying, leaving]) shareOut(tier, placement.length);
  const homeless = placement.flatMap(({ owner }, partition) => (owner === undefined ? [partition] : []));
  return homesFor(homeless, placement, [staying, leaving], homeless.length);
}

/**
 * At most `most` moves towards an even load; none when it is even enough. Homeless partitions are no concern of it.
 *
 * Each step lowers, in this order: what lies on draining workers, what a worker carries beyond what is even enough, how
 * far the numbers of partitions are from their shares. No step raises one that stands before it. So plans that are
 * carried out come to an end, and none undoes another.
 */
export function evenOut(placement: Placement, candidates: Candidate[], most: number): Move[] {
  const carriers = carriersOf(placement, candidates);
  const settled = carriers.filter(({ draining, settled }) => !draining && settled);
  const fresh = carriers.filter(({ draining, settled }) => !draining && !settled);
  const leaving = carriers.filter(({ draining }) => draining).flatMap(({ held }) => [...held]);

  const welcome = leaving.filter((partition) => settled.some(({ refuses }) => !refuses.has(partition)));
  shareOut(settled, countOf(settled) + welcome.length);
  shareOut(fresh, countOf(fresh) + leaving.length - welcome.length);
  const plan = new Map(homesFor(leaving, placement, [settled, fresh], most).map((move) => [move.partition, move]));

  setLimits(settled, placement);
  while (plan.size < most) {
    const step = stepByCount(settled, placement) ?? stepByLoad(settled, placement);
    if (!step) break;
    const { partition, giver, taker } = step;
    hand(partition, costOf(placement, partition), giver, taker);
    const from = plan.get(partition)?.from ?? giver.worker;
    if (from === taker.worker) plan.delete(partition);
    else plan.set(partition, { partition, from, to: taker.worker });
  }
  return [...plan.values()];
}

/** A candidate with what it has while a plan is made. */
type Carrier = Candidate & {
  seed: number;
  held: Set<number>;
  load: number;
  /** How many partitions are its part: a fraction. */
  share: number;
  /** The load above which it takes nothing more. */
  limit: number;
  /** The load above which it gives away. */
  bearable: number;
};

type Step = { partition: number; giver: Carrier; taker: Carrier };

/** In the order of their names, so that the order in which they are given decides nothing. */
function carriersOf(placement: Placement, candidates: Candidate[]): Carrier[] {
  const carriers = candidates.map((candidate): Carrier => ({
    ...candidate, capacity: candidate.capacity > 0 ? candidate.capacity : 1,
    seed: hash(candidate.worker), held: new Set(), load: 0, share: 0, limit: Infinity, bearable: Infinity,
  })).sort((a, b) => (a.worker < b.worker ? -1 : 1));
  const byName = new Map(carriers.map((carrier) => [carrier.worker, carrier]));
  for (const [partition, { owner }] of placement.entries()) {
    const carrier = owner === undefined ? undefined : byName.get(owner);
    if (carrier) hand(partition, costOf(placement, partition), undefined, carrier);
  }
  return carriers;
}

const costOf = (placement: Placement, partition: number): number => Math.max(0, placement[partition]?.cost ?? 0) || 0;
const countOf = (carriers: Carrier[]): number => carriers.reduce((sum, { held }) => sum + held.size, 0);
const capacityOf = (carriers: Carrier[]): number => carriers.reduce((sum, { capacity }) => sum + capacity, 0);
const fullness = ({ load, capacity }: Carrier): number => load / capacity;

/** How many partitions it has above its part. From -1 to 1 it is between floor and ceil of it. */
const gap = ({ held, share }: Carrier): number => held.size - share;

function hand(partition: number, cost: number, giver: Carrier | undefined, taker: Carrier): void {
  if (giver?.held.delete(partition)) giver.load -= cost;
  taker.held.add(partition);
  taker.load += cost;
}

function shareOut(carriers: Carrier[], partitions: number): void {
  const capacity = capacityOf(carriers);
  for (const carrier of carriers) carrier.share = (partitions * carrier.capacity) / capacity;
}

function setLimits(carriers: Carrier[], placement: Placement): void {
  const average = carriers.reduce((sum, { load }) => sum + load, 0) / capacityOf(carriers);
  for (const carrier of carriers) carrier.limit = Math.max(average * unevenness, unnoticedMs) * carrier.capacity;
  const widest = Math.max(...carriers.map(({ limit }) => limit));
  for (const carrier of carriers) {
    // What one partition costs no placement can change; its worker is only spared much other work.
    const alone = Math.max(0, ...[...carrier.held].map((partition) => costOf(placement, partition)).filter((cost) => cost > widest));
    carrier.bearable = alone > 0 ? alone + average * (unevenness - 1) * carrier.capacity : carrier.limit;
  }
}

/** Those that few can take choose first, then the expensive ones. The first tier that has a taker counts. */
function homesFor(partitions: number[], placement: Placement, tiers: Carrier[][], most: number): Move[] {
  const choosy = tiers.flat().filter(({ refuses }) => refuses.size > 0);
  const queue = partitions.map((partition) => ({
    partition, cost: costOf(placement, partition), refusers: choosy.filter(({ refuses }) => refuses.has(partition)).length,
  })).sort((a, b) => b.refusers - a.refusers || b.cost - a.cost || a.partition - b.partition);
  const moves: Move[] = [];
  for (const { partition, cost } of queue) {
    if (moves.length >= most) break;
    const taker = tiers.reduce<Carrier | undefined>((found, tier) => found ?? homeFor(partition, tier), undefined);
    if (!taker) continue;
    hand(partition, cost, undefined, taker);
    moves.push({ partition, from: placement[partition]?.owner, to: taker.worker });
  }
  return moves;
}

/** Who lacks most goes first; among equals the least loaded, then the one the partition prefers. */
function homeFor(partition: number, tier: Carrier[]): Carrier | undefined {
  let best: { carrier: Carrier; rank: number; weight: number; score: number } | undefined;
  for (const carrier of tier) {
    if (carrier.refuses.has(partition)) continue;
    const above = gap(carrier);
    const rank = above < epsilon - 1 ? 0 : above < -epsilon ? 1 : 2; // under floor, under ceil, full
    if (best && rank > best.rank) continue;
    const weight = rank === 2 ? (carrier.held.size + 1) / carrier.capacity : fullness(carrier);
    const score = preference(carrier, partition);
    const better = !best || rank < best.rank || weight < best.weight || (weight === best.weight && score > best.score);
    if (better) best = { carrier, rank, weight, score };
  }
  return best?.carrier;
}

/** From one that has too many, or to one that has too few, as long as the load allows it. */
function stepByCount(carriers: Carrier[], placement: Placement): Step | undefined {
  let [fullest, emptiest] = [carriers[0], carriers[0]];
  for (const carrier of carriers) {
    if (fullest && gap(carrier) > gap(fullest)) fullest = carrier;
    if (emptiest && gap(carrier) < gap(emptiest)) emptiest = carrier;
  }
  if (!fullest || !emptiest || !isUneven(fullest, emptiest)) return undefined;
  const direct = favourite(fullest, emptiest, placement);
  if (direct !== undefined) return { partition: direct, giver: fullest, taker: emptiest };
  const givers = carriers.filter((carrier) => gap(carrier) > epsilon).sort((a, b) => gap(b) - gap(a));
  const takers = carriers.filter((carrier) => gap(carrier) < -epsilon).sort((a, b) => gap(a) - gap(b));
  for (const giver of givers)
    for (const taker of takers) {
      if (!isUneven(giver, taker)) break;
      const partition = favourite(giver, taker, placement);
      if (partition !== undefined) return { partition, giver, taker };
    }
  return undefined;
}

/** Whether one of them is not between floor and ceil of its share. */
const isUneven = (giver: Carrier, taker: Carrier): boolean => gap(giver) >= 1 - epsilon || gap(taker) <= epsilon - 1;

/** The partition of `giver` that prefers `taker` most, of those it can take. */
function favourite(giver: Carrier, taker: Carrier, placement: Placement): number | undefined {
  let best: number | undefined;
  let highest = -1;
  for (const partition of giver.held) {
    if (!canTake(taker, partition, costOf(placement, partition))) continue;
    const score = preference(taker, partition);
    if (score > highest || (score === highest && partition < (best ?? Infinity))) [best, highest] = [partition, score];
  }
  return best;
}

/** The smallest partition that relieves an overloaded worker alone, or else its largest that somebody can take. */
function stepByLoad(carriers: Carrier[], placement: Placement): Step | undefined {
  const givers = carriers.filter(({ load, bearable }) => load > bearable + epsilon).sort((a, b) => fullness(b) - fullness(a));
  if (givers.length === 0) return undefined;
  const takers = carriers.toSorted((a, b) => fullness(a) - fullness(b));
  for (const giver of givers) {
    const held = [...giver.held].map((partition) => ({ partition, cost: costOf(placement, partition) }))
      .filter(({ cost }) => cost > 0).sort((a, b) => b.cost - a.cost || a.partition - b.partition);
    let enough: Step | undefined;
    for (const { partition, cost } of held) {
      const suffices = cost >= giver.load - giver.bearable;
      if (enough && !suffices) break;
      const taker = takers.find((taker) => taker !== giver && canTake(taker, partition, cost));
      if (taker && !suffices) return { partition, giver, taker };
      if (taker) enough = { partition, giver, taker };
    }
    if (enough) return enough;
  }
  return undefined;
}

const canTake = ({ refuses, load, limit }: Carrier, partition: number, cost: number): boolean =>
  load + cost <= limit && !refuses.has(partition);

/** Rendezvous: each partition ranks all workers, whoever else there is. */
const preference = ({ seed }: Carrier, partition: number): number => mix(seed ^ Math.imul(partition + 1, 0x9e3779b1));

/** FNV-1a */
function hash(text: string): number {
  let sum = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) sum = Math.imul(sum ^ text.charCodeAt(i), 0x01000193);
  return sum;
}

/** The finalizer of MurmurHash3. */
function mix(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
