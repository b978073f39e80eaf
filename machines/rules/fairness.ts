/**
 * Who goes next among jobs that wait for a place. Lanes share the places by weight, so that what is urgent waits least
 * and what is not is never starved; within a lane tenants take turns (deficit round robin: ownership.md 7.9). A lane or
 * a tenant that is alone gets everything, but for the places a tenant may hold at most.
 */

/** From what a person waits for down to the routine look. */
export const lanes = ["command", "recovery", "drift", "change", "interval"] as const;
export type Lane = (typeof lanes)[number];

/** What a lane gets beside the others while all have work. */
export const laneWeights: Readonly<Record<Lane, number>> = { command: 16, recovery: 8, drift: 8, change: 4, interval: 1 };

export type Job = {
  id: string;
  tenant: string;
  lane: Lane;
  /** 1 is an ordinary job; positive. */
  cost: number;
};

export type FairnessOptions = {
  /** Jobs at once. */
  inFlight: number;
  /** Jobs at once of one tenant; half of all, and at least one, unless said otherwise. */
  inFlightPerTenant?: number;
  /** A tenant with 2 gets twice the turns of one with 1; 1 unless it is a positive number. */
  weightOf?: (tenant: string) => number;
};

/** Changed in place by the functions below, and by nothing else. */
export type FairQueue = {
  readonly inFlight: number;
  readonly inFlightPerTenant: number;
  readonly weightOf: (tenant: string) => number;
  readonly lanes: Readonly<Record<Lane, LaneState>>;
  readonly waiting: Map<string, Link<Job>>;
  readonly running: Map<string, Job>;
  /** Jobs in flight by tenant; no zeros. */
  readonly held: Map<string, number>;
  /** The clock of the lanes: the smallest turn that was given last. */
  now: number;
};

/** A lane's next turn on the lanes' clock: the lane with the earliest one goes next. */
type LaneState = { turn: number; readonly tenants: Map<string, Link<Flow>>; readonly ring: Line<Flow> };

/** The jobs of a tenant in a lane; it exists while there are any. */
type Flow = { readonly tenant: string; readonly weight: number; readonly jobs: Line<Job>; credit: number; onTurn: boolean };

export function openQueue({ inFlight, weightOf = () => 1, ...given }: FairnessOptions): FairQueue {
  const { inFlightPerTenant = Math.max(1, Math.floor(inFlight / 2)) } = given;
  for (const places of [inFlight, inFlightPerTenant])
    if (!Number.isInteger(places) || places < 1) throw new RangeError(`places for jobs: ${places}`);
  const lane = (): LaneState => ({ turn: 0, tenants: new Map(), ring: emptyLine() });
  return {
    inFlight, inFlightPerTenant, weightOf, waiting: new Map(), running: new Map(), held: new Map(), now: 0,
    lanes: { command: lane(), recovery: lane(), drift: lane(), change: lane(), interval: lane() },
  };
}

/** @throws RangeError for an id that waits or runs already, and for a cost that is not positive */
export function submit(queue: FairQueue, job: Job): void {
  if (queue.waiting.has(job.id) || queue.running.has(job.id)) throw new RangeError(`job ${job.id} is there already`);
  if (!(job.cost > 0 && job.cost < Infinity)) throw new RangeError(`cost of a job: ${job.cost}`);
  const lane = queue.lanes[job.lane];
  // Who had nothing to do has saved nothing up.
  if (lane.tenants.size === 0) lane.turn = Math.max(lane.turn, queue.now);
  let flow = lane.tenants.get(job.tenant);
  if (!flow) {
    const asked = queue.weightOf(job.tenant);
    const weight = asked > 0 && asked < Infinity ? asked : 1;
    flow = append(lane.ring, { tenant: job.tenant, weight, jobs: emptyLine(), credit: 0, onTurn: false });
    lane.tenants.set(job.tenant, flow);
  }
  queue.waiting.set(job.id, append(flow.value.jobs, job));
}

/** The job that begins now: it holds a place until it is finished. Undefined when none may. */
export function startNext(queue: FairQueue): Job | undefined {
  if (queue.running.size >= queue.inFlight) return undefined;
  const lane = nextLane(queue);
  if (!lane) return undefined;
  const job = nextOf(queue, lane);
  queue.now = Math.max(queue.now, lane.turn);
  lane.turn += job.cost / laneWeights[job.lane];
  leave(queue, job);
  queue.running.set(job.id, job);
  queue.held.set(job.tenant, (queue.held.get(job.tenant) ?? 0) + 1);
  return job;
}

/** @throws RangeError for a job that does not run */
export function finish(queue: FairQueue, id: string): void {
  const job = queue.running.get(id);
  if (!job) throw new RangeError(`job ${id} does not run`);
  queue.running.delete(id);
  const held = (queue.held.get(job.tenant) ?? 0) - 1;
  if (held > 0) queue.held.set(job.tenant, held);
  else queue.held.delete(job.tenant);
}

/** Takes a job that waits out of the queue; false when it does not wait. */
export function withdraw(queue: FairQueue, id: string): boolean {
  const link = queue.waiting.get(id);
  if (link) leave(queue, link.value);
  return link !== undefined;
}

function nextLane(queue: FairQueue): LaneState | undefined {
  let next: LaneState | undefined;
  for (const name of lanes) {
    const lane = queue.lanes[name];
    if (lane.tenants.size === 0) continue;
    // A turn that a lane cannot use now is not saved for later.
    if (!firstAble(queue, lane)) lane.turn = Math.max(lane.turn, queue.now);
    else if (!next || lane.turn < next.turn) next = lane;
  }
  return next;
}

const isAble = (queue: FairQueue, tenant: string): boolean => (queue.held.get(tenant) ?? 0) < queue.inFlightPerTenant;

/** Those who hold all they may stay where they are in the ring; there are never more of them than places. */
function firstAble(queue: FairQueue, { ring }: LaneState): Link<Flow> | undefined {
  for (let link = ring.first; link; link = link.after) if (isAble(queue, link.value.tenant)) return link;
  return undefined;
}

/** Deficit round robin: credit for each turn, jobs as long as the credit lasts, then the next tenant. */
function nextOf(queue: FairQueue, lane: LaneState): Job {
  for (let passed = 0; ; passed++) {
    if (passed === lane.tenants.size) skipRounds(queue, lane);
    const link = firstAble(queue, lane);
    const job = link?.value.jobs.first?.value;
    if (!link || !job) throw new RangeError("a lane without jobs was chosen");
    const flow = link.value;
    if (!flow.onTurn) [flow.onTurn, flow.credit] = [true, flow.credit + flow.weight];
    if (flow.credit >= job.cost) {
      flow.credit -= job.cost;
      return job;
    }
    flow.onTurn = false;
    remove(lane.ring, link);
    lane.tenants.set(flow.tenant, append(lane.ring, flow));
  }
}

/** Gives at once the credit of all the rounds in which nobody could afford a job, but for the last. */
function skipRounds(queue: FairQueue, { ring }: LaneState): void {
  const able: Flow[] = [];
  for (let link = ring.first; link; link = link.after) if (isAble(queue, link.value.tenant)) able.push(link.value);
  const rounds = Math.min(...able.map(({ jobs, credit, weight }) => Math.ceil(((jobs.first?.value.cost ?? 0) - credit) / weight)));
  for (const flow of able) flow.credit += Math.max(0, rounds - 1) * flow.weight;
}

function leave(queue: FairQueue, { id, lane: name, tenant }: Job): void {
  const lane = queue.lanes[name];
  const link = queue.waiting.get(id);
  const flow = lane.tenants.get(tenant);
  if (!link || !flow) return;
  queue.waiting.delete(id);
  remove(flow.value.jobs, link);
  if (flow.value.jobs.first) return;
  remove(lane.ring, flow);
  lane.tenants.delete(tenant);
}

/** A doubly linked list: what waits leaves from anywhere, and a flood of 100,000 costs each of them the same. */
type Line<T> = { first: Link<T> | undefined; last: Link<T> | undefined };
type Link<T> = { readonly value: T; before: Link<T> | undefined; after: Link<T> | undefined };

const emptyLine = <T>(): Line<T> => ({ first: undefined, last: undefined });

function append<T>(line: Line<T>, value: T): Link<T> {
  const link: Link<T> = { value, before: line.last, after: undefined };
  if (line.last) line.last.after = link;
  else line.first = link;
  line.last = link;
  return link;
}

function remove<T>(line: Line<T>, { before, after }: Link<T>): void {
  if (before) before.after = after;
  else line.first = after;
  if (after) after.before = before;
  else line.last = before;
}
