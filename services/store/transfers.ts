/**
 * Between home and a shard. Who acts for an object follows from what is stored: at home unless `home` names a shard, and in
 * that shard while the message that it moved there lies in its mailbox (docs/decisions/0008).
 */
import { Fault } from "#protocol/errors/fault.ts";
import { mostShards, partitionOf, placedAt, type ActorKey } from "#protocol/names/actor.ts";
import { subject } from "#protocol/names/subject.ts";
import { parseActorRecord, type ActorRecord } from "#protocol/records/actor.ts";
import { homeRecord, shardsRecord } from "#protocol/records/cell.ts";
import type { Committer } from "./committer.ts";
import { parseJson } from "./json.ts";
import { LogError, type Log, type Message } from "./log.ts";
import { packed, unpacked } from "./packed.ts";
import type { Roster } from "./roster.ts";

export const tombstoneTtlSeconds = 60;

export class Transfers {
  private readonly log: Log;
  private readonly committer: Committer;
  private readonly roster: Pick<Roster, "shards">;
  private readonly read: (key: ActorKey) => Promise<ActorRecord | undefined>;

  constructor(log: Log, committer: Committer, roster: Pick<Roster, "shards">, read: (key: ActorKey) => Promise<ActorRecord | undefined>) {
    this.log = log;
    this.committer = committer;
    this.roster = roster;
    this.read = read;
  }

  /**
   * The record of an object's actor, wherever that is hosted: at home, in its shard, or on its way.
   *
   * @throws Fault RecordUnreadable
   */
  async readAnywhere(key: ActorKey): Promise<ActorRecord | undefined> {
    const record = await this.read(key);
    if (record || this.roster.shards.length === 0) return record;
    const home = homeRecord.safeParse(parseJson((await this.log.read(subject.home(key)))?.data ?? "")).data;
    if (!home) return this.read(key); // it may have come home meanwhile
    const there = placedAt(key, home.shard);
    return (await this.read(there)) ?? (await this.movedTo(there))?.record ?? undefined;
  }

  /** What moved here and stands in the mailbox now: a copy of an earlier message says nothing. */
  async movedTo(key: ActorKey): Promise<{ record: ActorRecord | null } | undefined> {
    const stored = await this.committer.insist(() => this.log.read(subject.mailbox(key, "moved")));
    if (!stored || stored.data === "") return undefined;
    const { record } = (parseJson(stored.data) ?? {}) as { record?: unknown };
    try {
      return { record: record ? parseActorRecord(unpacked(JSON.stringify(record))) : null };
    } catch {
      return { record: null }; // it begins afresh
    }
  }

  /** Its actor leaves for another place, in one piece with its record. @throws Fault LeaseLost */
  depart(key: ActorKey, to: ActorKey, record: ActorRecord | null): Promise<void> {
    const from: Message[] = [gone(subject.snapshot(key))];
    if (key.shard === undefined) from.push({ subject: subject.home(key), data: JSON.stringify({ v: 1, shard: to.shard }) });
    else from.push(gone(subject.mailbox(key, "moved")), gone(subject.mailbox(key, "leave")));
    return this.committer.write([...from, { subject: subject.mailbox(to, "moved"), data: moved(record) }], partitionOf(key));
  }

  /** It has come here. In a shard the message stays, as a sign that it is here. @throws Fault LeaseLost */
  arrive(key: ActorKey, record: ActorRecord | null): Promise<void> {
    const here: Message[] = record ? [{ subject: subject.snapshot(key), data: packed(JSON.stringify(record)) }] : [];
    if (key.shard === undefined) here.push(gone(subject.home(key)), gone(subject.mailbox(key, "moved")));
    else here.push({ subject: subject.mailbox(key, "moved"), data: moved(null) });
    return this.committer.write(here, partitionOf(key));
  }

  /** It came back, and goes on to another shard. @throws Fault LeaseLost */
  passOn(key: ActorKey, to: ActorKey, record: ActorRecord | null): Promise<void> {
    return this.committer.write([
      { subject: subject.home(key), data: JSON.stringify({ v: 1, shard: to.shard }) }, gone(subject.mailbox(key, "moved")),
      { subject: subject.mailbox(to, "moved"), data: moved(record) },
    ], partitionOf(key));
  }

  /** From now on the objects of the key have a shard. @throws Fault CellMismatch when there are too many */
  async found(key: string, see: () => Promise<void>): Promise<void> {
    for (;;) {
      await this.committer.insist(see);
      const { shards } = this.roster;
      if (shards.includes(key)) return;
      if (shards.length >= mostShards) throw new Fault("CellMismatch", subject.shards, { detail: `there are ${mostShards} shards already, and ${key} would be one more` });
      const stored = await this.committer.insist(() => this.log.read(subject.shards));
      const { keys } = shardsRecord.parse(parseJson(stored?.data ?? "") ?? { v: 1, keys: [] });
      const founding: Message = { subject: subject.shards, data: JSON.stringify({ v: 1, keys: [...new Set([...keys, key])] }), expectLast: stored?.sequence ?? 0 };
      await this.committer.insist(() => this.log.publish(founding)).catch((thrown: unknown) => {
        if (!(thrown instanceof LogError) || thrown.kind !== "fenced") throw thrown; // another worker was faster: look again
      });
    }
  }
}

/** The body of `moved`. */
export const moved = (record: ActorRecord | null): string => `{"record":${record ? packed(JSON.stringify(record)) : "null"}}`;

const gone = (name: string): Message => ({ subject: name, data: "", ttlSeconds: tombstoneTtlSeconds });
