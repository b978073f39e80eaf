/**
 * What is known of a cell: its members and when they were last heard, who owns which partition, who is to own it. Heard
 * live, and read again every second, because a live copy may get lost (ownership.md 2.3). It knows; machines/ decides.
 */
import type { Member, Own, View, Want } from "#machines/rules/coordination.ts";
import { partitionsWith } from "#protocol/names/actor.ts";
import { parseOwn, parseWant, republishPrefix, subject } from "#protocol/names/subject.ts";
import { coordinatorRecord, loadRecord, memberRecord, ownRecord, shardsRecord, wantRecord } from "#protocol/records/cell.ts";
import type { Clock } from "./clock.ts";
import { parseJson } from "./json.ts";
import type { Log, Stored } from "./log.ts";

export type RosterOptions = {
  worker: string;
  clock: Clock;
  onOwn(partition: number, own: Own): void;
  onWant(partition: number, want: Want | undefined): void;
  /** A key has a shard from now on. */
  onShards?(): void;
  onUnreadable?(subject: string, detail: string): void;
};

const rereadMs = 1_000;
/** Mark of death in the place of a heartbeat; a goodbye is empty. */
export const deathMark = "dead";

export class Roster {
  private readonly log: Log;
  private readonly options: RosterOptions;
  private readonly owners: (Own | undefined)[] = Array.from({ length: partitionsWith(0) });
  private readonly wants = new Map<number, Want>();
  private readonly members = new Map<string, Member>();
  private readonly loads = new Map<string, Map<number, number>>();
  /** Sequence of the newest message seen per subject: copies and scans may tell the same thing twice, and in any order. */
  private readonly sequences = new Map<string, number>();
  private readonly cancels: (() => void)[] = [];
  private readonly scanned = new Map<string, number>();
  private closed = false;
  /** Goes up with whatever may matter to who gets what; heartbeats as such do not. */
  changes = 0;
  coordinator: { worker: string; term: number; sequence: number } = { worker: "", term: 0, sequence: 0 };

  constructor(log: Log, options: RosterOptions) {
    this.log = log;
    this.options = options;
  }

  /** Resolves when everything stored so far is known. */
  async start(): Promise<void> {
    const hear = (stored: Stored) => this.take({ ...stored, subject: `fl${stored.subject.slice(republishPrefix.length)}` });
    if (this.cancels.length === 0) // whoever asks again listens already
      for (const filter of [subject.everyOwnLive, subject.everyWantLive, subject.everyControlLive]) this.cancels.push(this.log.listen(filter, hear));
    await this.reread();
    const { clock } = this.options;
    const again = () => {
      if (this.closed) return;
      const next = () => void this.cancels.splice(3, 1, clock.at(clock.nowMs() + rereadMs, again));
      this.reread().then(next, next); // NATS is away: the lease tells when it matters
    };
    this.cancels.push(clock.at(clock.nowMs() + rereadMs, again));
  }

  /** Reads what was stored since the last time. Whoever must not miss a change waits for it. */
  async reread(): Promise<void> {
    for (const filter of [subject.everyOwn, subject.everyWant, subject.everyControl])
      // A replica that lags answers with a prefix of what there is: the next time goes on from there.
      for await (const stored of this.log.scan(filter, (this.scanned.get(filter) ?? 0) + 1)) {
        this.take(stored);
        this.scanned.set(filter, stored.sequence);
      }
    this.miss();
  }

  /** Keys that have a shard, by its number. */
  shards: readonly string[] = [];

  /** How many there are: those at home, and those of every shard. */
  get partitions(): number {
    return partitionsWith(this.shards.length);
  }

  own(partition: number): Own | undefined {
    return this.owners[partition];
  }

  want(partition: number): Want | undefined {
    return this.wants.get(partition);
  }

  member(worker: string): Member | undefined {
    return this.members.get(worker);
  }

  everyMember(): Member[] {
    return [...this.members.values()];
  }

  partitionsOf(worker: string): number[] {
    return this.owners.flatMap((own, partition) => (own?.worker === worker ? [partition] : []));
  }

  view(steadySinceMs: number): View {
    const costs = new Map([...this.loads.values()].flatMap((each) => [...each]));
    for (const [partition, own] of this.owners.entries()) {
      const cost = own && this.loads.get(own.worker)?.get(partition); // who has it knows best
      if (cost !== undefined) costs.set(partition, cost);
    }
    return { nowMs: this.options.clock.monoMs(), steadySinceMs, members: this.everyMember(), owners: this.owners.slice(0, this.partitions), wants: this.wants, costs, shards: this.shards };
  }

  /** What we wrote ourselves need not come back to be known. */
  take({ subject: name, sequence, data }: Pick<Stored, "subject" | "sequence" | "data">): void {
    if (this.closed || sequence <= (this.sequences.get(name) ?? 0)) return;
    this.sequences.set(name, sequence);
    try {
      const [, head, area = ""] = name.split(".");
      if (head === "ctl") this.takeControl(name, sequence, data);
      else if (area === "own") this.takeOwn(parseOwn(name), sequence, data);
      else this.takeWant(parseWant(name), sequence, data);
    } catch (thrown) {
      this.options.onUnreadable?.(name, thrown instanceof Error ? thrown.message.slice(0, 300) : "unreadable");
    }
  }

  /** Nothing is stored there any more: it has run out, perhaps together with what stood there last. */
  vanished(name: string): void {
    this.changes++;
    const [, head, what = "", worker = ""] = name.split(".");
    if (head !== "ctl") {
      if (what === "want" && this.wants.delete(parseWant(name))) this.options.onWant(parseWant(name), undefined);
      return;
    }
    const member = what === "member" ? this.members.get(worker) : undefined;
    if (member && member.sequence > 0) this.members.set(worker, { ...member, sequence: 0, seenMs: this.options.clock.monoMs() });
  }

  close(): void {
    this.closed = true;
    for (const cancel of this.cancels) cancel();
  }

  private takeOwn(partition: number, sequence: number, data: string): void {
    const { worker, epoch, cause } = ownRecord.parse(parseJson(data));
    const own: Own = { worker, epoch, cause, sequence };
    this.makeRoom(partition + 1); // a shard's may be read before the shard is
    this.owners[partition] = own;
    this.changes++;
    this.options.onOwn(partition, own);
  }

  private takeWant(partition: number, sequence: number, data: string): void {
    if (data === "") this.wants.delete(partition);
    else this.wants.set(partition, { ...wantRecord.parse(parseJson(data)), sequence, sinceMs: this.options.clock.monoMs() });
    this.changes++;
    this.options.onWant(partition, this.wants.get(partition));
  }

  private takeControl(name: string, sequence: number, data: string): void {
    const [, , what, worker = ""] = name.split(".");
    if (what !== "member") this.changes++;
    if (what === "coord") this.coordinator = { ...coordinatorRecord.parse(parseJson(data)), sequence };
    else if (what === "shards") this.takeShards(data);
    else if (what === "member") this.takeMember(worker, sequence, data);
    else if (what === "load" && this.members.get(worker)?.gone !== true) {
      const { costs } = loadRecord.parse(parseJson(data));
      this.loads.set(worker, new Map(Object.entries(costs).map(([partition, cost]) => [Number(partition), cost])));
    }
  }

  private takeShards(data: string): void {
    this.shards = shardsRecord.parse(parseJson(data)).keys;
    this.makeRoom(this.partitions);
    this.options.onShards?.();
  }

  private makeRoom(partitions: number): void {
    while (this.owners.length < partitions) this.owners.push(undefined);
  }

  private takeMember(worker: string, sequence: number, data: string): void {
    const nowMs = this.options.clock.monoMs();
    const before = this.members.get(worker);
    const gone = data === "" || data === deathMark;
    // A heartbeat in a form that we do not know is a heartbeat all the same.
    const about = gone ? undefined : memberRecord.safeParse(parseJson(data)).data;
    const joinedMs = before && !before.gone ? before.joinedMs : nowMs;
    if (!before || before.gone !== gone || (about && wishesOf(about) !== wishesOf(before.about))) this.changes++;
    this.members.set(worker, {
      worker, sequence, seenMs: nowMs, joinedMs, gone, farewell: data === "", about: about ?? before?.about ?? unknownAbout,
    });
    if (gone) this.loads.delete(worker);
  }

  /** Owners of whom no heartbeat is stored: it ran out while nobody could write, or they have been dead for long. */
  private miss(): void {
    const nowMs = this.options.clock.monoMs();
    for (const own of this.owners)
      if (own && own.worker !== "" && !this.members.has(own.worker) && ++this.changes)
        this.members.set(own.worker, { worker: own.worker, sequence: 0, seenMs: nowMs, joinedMs: nowMs, gone: false, farewell: false, about: unknownAbout });
    // Whoever is gone for long and owns nothing is forgotten.
    for (const [worker, { gone, seenMs }] of this.members)
      if (gone && nowMs - seenMs > forgetMs && !this.owners.some((own) => own?.worker === worker)) {
        this.members.delete(worker);
        for (const name of [subject.member(worker), subject.load(worker)]) this.sequences.delete(name);
      }
  }
}

const forgetMs = 120_000;
/** What a heartbeat says that matters to who gets what. */
const wishesOf = ({ capacity, draining, refuses, shard }: Member["about"]): string => [capacity, draining, shard, ...refuses].join();
const unknownAbout: Member["about"] = { capacity: 1, draining: false, refuses: [], actors: 0, load: 0, protocol: 0, shard: "" };
