/** Who owns a cell's partitions, and which of them may be alive: told from what was observed, never from a time to live. */
import { isSuspect } from "#machines/rules/lease.ts";
import { parseOwn, subject } from "#protocol/names/subject.ts";
import { memberRecord, ownRecord } from "#protocol/records/actor.ts";
import type { Clock } from "./clock.ts";
import type { Log, Stored } from "./log.ts";

/** Who a partition's owner record names. */
export type Owner = { sequence: number; worker: string; epoch: number };

/** Only cleans up: who is dead is told from what was observed. */
export const memberTtlSeconds = 60;

/** A heartbeat as we saw it last, and when we saw it first, on our own monotonic clock. */
type Sighting = { sequence: number; atMs: number };

export async function readOwners(log: Log): Promise<Map<number, Owner>> {
  const held = new Map<number, Owner>();
  for await (const { subject: name, sequence, data } of log.scan(subject.everyOwn)) held.set(parseOwn(name), { sequence, ...ownerOf(data) });
  return held;
}

export const holdersOf = (held: Map<number, Owner>): Set<string> => new Set([...held.values()].map(({ worker }) => worker));

export function ownerOf(data: string): { worker: string; epoch: number } {
  const { worker = "", epoch = 0 } = ownRecord.safeParse(parseJson(data)).data ?? {};
  return { worker, epoch };
}

/** 0 for a mark of death, and for whatever is no heartbeat. */
export const beatOf = (data: string): number => memberRecord.safeParse(parseJson(data)).data?.beat ?? 0;

export class Others {
  private readonly log: Log;
  private readonly worker: string;
  private readonly clock: Clock;
  private readonly seen = new Map<string, Sighting>();

  constructor(log: Log, worker: string, clock: Clock) {
    this.log = log;
    this.worker = worker;
    this.clock = clock;
  }

  /**
   * The first of these that may be alive. The others have been told that they are dead: their heartbeats are refused now.
   *
   * @param steadySinceMs since when our own heartbeats get through; undefined while they do not
   */
  async aliveAmong(workers: Set<string>, steadySinceMs: () => number | undefined): Promise<string | undefined> {
    const beats = new Map<string, Stored>();
    for await (const stored of this.log.scan(subject.everyMember)) beats.set(stored.subject, stored);
    for (const worker of workers) {
      if (worker === "" || worker === this.worker) continue;
      const name = subject.member(worker);
      const { sequence = 0, data = undefined } = beats.get(name) ?? {};
      if (data === "") continue;
      if (sequence > 0 && !this.isDead(worker, sequence, steadySinceMs())) return worker;
      await this.log.publish({ subject: name, data: "", expectLast: sequence, ttlSeconds: memberTtlSeconds });
    }
    return undefined;
  }

  // While our own heartbeats do not get through, NATS is the problem and not the other one (ownership.md 7.3).
  private isDead(worker: string, sequence: number, steadySinceMs: number | undefined): boolean {
    const nowMs = this.clock.monoMs();
    const before = this.seen.get(worker);
    const sighting = before?.sequence === sequence ? before : { sequence, atMs: nowMs };
    this.seen.set(worker, sighting);
    return steadySinceMs !== undefined && isSuspect(Math.max(sighting.atMs, steadySinceMs), nowMs);
  }
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
