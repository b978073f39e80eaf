/**
 * Everything that is kept of a partition: read ahead by the worker that is to have it, and read to the end by the one
 * that has it. A replica that lags may lack the last writes of the owner before; one that shows our own owner record has
 * them all (ownership.md 7.6).
 */
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import { areaOf, isSnapshot, parseDependent, parseHome, parseSnapshot, partitionOfSubject, subject, type Dependent } from "#protocol/names/subject.ts";
import { homeRecord } from "#protocol/records/cell.ts";
import { parseActorRecord, recordVersion, type ActorRecord } from "#protocol/records/actor.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { sleep, type Clock } from "./clock.ts";
import { parseJson } from "./json.ts";
import { LogError, type Log, type Stored } from "./log.ts";
import { unpacked } from "./packed.ts";

export type Contents = {
  records: { key: ActorKey; record: ActorRecord }[];
  /** Records that could not be read, each with what is wrong. */
  damaged: { key: ActorKey; damage: string }[];
  dependents: (Dependent & { sequence: number; word: string })[];
  /** Actors that are not at home, and in which shard they are. */
  away: { key: ActorKey; shard: number }[];
  /** What lies in mailboxes. */
  mail: Stored[];
};

type Newest = Map<string, Stored>;
type Reading = { next: number; newest: Newest; ownSequence: number; beganMs: number };

const retryMs = 50;
/** What was read earlier is read again: what was over since then may have left nothing behind to say so. */
const oldMs = 30_000;
const scansAtATime = 32;

export class PartitionReader {
  private readonly log: Log;
  private readonly clock: Clock;
  private readonly readings = new Map<number, Reading>();
  private wanted: { partition: number; sequence: number; resolve(newest: Newest): void; reject(error: unknown): void; isOver(): boolean }[] = [];
  private readonly onUnreadable: (subject: string, detail: string) => void;

  constructor(log: Log, clock: Clock, onUnreadable: (subject: string, detail: string) => void) {
    this.log = log;
    this.clock = clock;
    this.onUnreadable = onUnreadable;
  }

  /** Reads what there is, so that little is left to read later. @throws Fault RecordTooNew: better told before it is ours */
  async ahead(partition: number): Promise<void> {
    await this.scan([partition]);
    for (const { subject: name, data } of this.readings.get(partition)?.newest.values() ?? [])
      if (isSnapshot(name) && data !== "") readable(name, parseJson(data));
  }

  forget(partition: number): void {
    this.readings.delete(partition);
  }

  /**
   * Reads up to our own record, which stands at this sequence.
   *
   * @throws Fault RecordTooNew; LeaseLost when it is over before
   */
  async upTo(partition: number, sequence: number, isOver: () => boolean): Promise<Contents> {
    return this.contents(await new Promise((resolve, reject) => {
      this.wanted.push({ partition, sequence, resolve, reject, isOver });
      if (this.wanted.length === 1) queueMicrotask(() => void this.readWanted());
    }));
  }

  // Many partitions are taken in one tick after a start or a crash: what one look finds of all is not asked for again.
  private async readWanted(): Promise<void> {
    const wanted = this.wanted;
    this.wanted = [];
    if (wanted.length > 1) await this.scan([...new Set(wanted.map(({ partition }) => partition))]).catch(() => undefined);
    let next = 0;
    const lane = async () => {
      for (let each; (each = wanted[next++]); ) {
        const { partition, sequence, resolve, reject, isOver } = each;
        await this.read(partition, sequence, isOver).then(resolve, reject);
      }
    };
    await Promise.all(Array.from({ length: Math.min(scansAtATime, wanted.length) }, lane));
  }

  private async read(partition: number, sequence: number, isOver: () => boolean): Promise<Newest> {
    for (;;) {
      if (isOver()) throw new Fault("LeaseLost", `partition ${partition}`);
      const reading = this.readings.get(partition);
      if (reading && reading.ownSequence >= sequence) {
        this.readings.delete(partition); // whoever asks again reads again
        return reading.newest;
      }
      const before = reading?.next;
      try {
        await this.scan([partition]);
      } catch (thrown) {
        if (!(thrown instanceof LogError) || thrown.kind === "refused") throw thrown;
      }
      const now = this.readings.get(partition);
      if (now && now.ownSequence < sequence && now.next === before) await sleep(this.clock, retryMs);
    }
  }

  private async scan(partitions: number[]): Promise<void> {
    // Those that begin here: one that is begun meanwhile, after another was given up, has not seen what lies before.
    const readings = new Map(partitions.map((partition) => [partition, this.readingOf(partition)]));
    const from = Math.min(...[...readings.values()].map(({ next }) => next));
    for await (const stored of this.log.scan(partitions.map(subject.partition), from)) {
      const reading = readings.get(partitionOfSubject(stored.subject) ?? -1);
      if (reading) note(reading, stored);
    }
  }

  private readingOf(partition: number): Reading {
    const nowMs = this.clock.monoMs();
    const known = this.readings.get(partition);
    if (known && nowMs - known.beganMs < oldMs) return known;
    const reading = { next: 1, newest: new Map<string, Stored>(), ownSequence: 0, beganMs: nowMs };
    this.readings.set(partition, reading);
    return reading;
  }

  private contents(newest: Newest): Contents {
    const found: Contents = { records: [], damaged: [], dependents: [], away: [], mail: [] };
    for (const stored of newest.values())
      try {
        this.sort(stored, found);
      } catch (thrown) {
        if (thrown instanceof Fault) throw thrown;
        this.onUnreadable(stored.subject, thrown instanceof Error ? thrown.message.slice(0, 300) : "unreadable");
      }
    return found;
  }

  private sort(stored: Stored, found: Contents): void {
    const { subject: name, data } = stored;
    switch (areaOf(name)) {
      case "mbx":
        found.mail.push(stored);
        return;
      case "dep":
        found.dependents.push({ ...parseDependent(name), sequence: stored.sequence, word: data });
        return;
      case "home":
        if (data !== "") found.away.push({ key: parseHome(name), shard: homeRecord.parse(parseJson(data)).shard });
        return;
      case "snap":
        if (data !== "") readSnapshot(parseSnapshot(name), data, found); // an empty one is a tombstone on its way out
        return;
      default:
    }
  }
}

function note(reading: Reading, stored: Stored): void {
  if (stored.sequence < reading.next) return;
  reading.next = stored.sequence + 1;
  if (areaOf(stored.subject) === "own") reading.ownSequence = stored.sequence;
  else reading.newest.set(stored.subject, stored);
}

/** @throws Fault RecordTooNew */
function readable(name: string, value: unknown): void {
  const version = (value as { v?: unknown } | null | undefined)?.v;
  if (typeof version === "number" && version > recordVersion)
    throw new Fault("RecordTooNew", name, { detail: `its record has version ${version}, this worker reads up to ${recordVersion}` });
}

/** @throws Fault RecordTooNew: one that we cannot read at all belongs to a worker that can */
function readSnapshot(key: ActorKey, data: string, found: Contents): void {
  const value = parseJson(data);
  readable(actorId(key), value);
  try {
    found.records.push({ key, record: parseActorRecord(unpacked(data)) });
  } catch (thrown) {
    found.damaged.push({ key, damage: thrown instanceof Error ? thrown.message.slice(0, 300) : "unreadable" });
  }
}
