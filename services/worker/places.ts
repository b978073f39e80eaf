/**
 * Where the actors of this worker's partitions are: at home, or in the shard that their object's label names. The owner at
 * home decides; an actor goes with its record, in one batch of the log, and at every moment one place alone may act for the
 * object (docs/decisions/0008). `services/store/transfers.ts` says what is stored.
 */
import { shardOf } from "#machines/rules/shards.ts";
import { actorId, objectId, partitionOf, placedAt, shardOfPartition, type ActorKey } from "#protocol/names/actor.ts";
import { isHint, parseMailbox, type HintKind } from "#protocol/names/subject.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import type { Cell } from "#services/store/cell.ts";
import { sleep, type Clock } from "#services/store/clock.ts";
import type { Delivered } from "#services/store/mail.ts";
import type { Contents } from "#services/store/partition-reader.ts";
import { moved, type Transfers } from "#services/store/transfers.ts";
import type { RawObject } from "./facts.ts";
import type { Host } from "./host.ts";
import { every } from "./timing.ts";

export type PlacesPorts = {
  clock: Clock;
  cell: Pick<Cell, "send" | "dependentsOf" | "owns">;
  transfers: Pick<Transfers, "depart" | "arrive" | "passOn" | "movedTo">;
  host: Pick<Host, "evict" | "remove" | "stay" | "adopt" | "summaryOf">;
  /** Effects that write. */
  writing: ReadonlySet<string>;
  /** Keys that have a shard, by its number. */
  shards(): readonly string[];
  /** As the feed shows it at that place. */
  object(key: ActorKey): RawObject | undefined;
  /** Everything of the partition is shown: what is not is not there. */
  isShown(partition: number): boolean;
  /** Those first whom the news concern. */
  inOrder(waiters: ActorKey[], news: unknown): Promise<ActorKey[]>;
  /** Asks the API server itself. */
  exists(key: ActorKey): Promise<boolean>;
  /** This is for the actor at this place. */
  tell(key: ActorKey, object: RawObject | undefined): void;
  debug(text: string, details: Record<string, unknown>): void;
};

const writesMs = 3_000;
const againMs = 5_000;
const retryMs = 1_000;
/** A worker that crashed over passing news on has a successor long before. */
const newsMs = 5 * 60_000;

export class Places {
  private readonly ports: PlacesPorts;
  /** Actors of partitions at home that are in a shard, by the object's id. */
  private readonly away = new Map<string, { key: ActorKey; shard: number }>();
  /** Actors that are here in a shard, by the object's id. */
  private readonly here = new Map<string, ActorKey>();
  /** Of actors on their way, by their id: from where they stand still on, nobody here acts for them. */
  private readonly moving = new Map<string, { to: ActorKey; still: boolean; missed: boolean }>();
  /** In a shard: not shown any more, and not known to be gone. */
  private readonly unseen = new Set<string>();
  /** Asked to leave their shard, by the object's id. */
  private readonly recalled = new Set<string>();
  /** Taken in before its partition was shown. */
  private readonly unsettled = new Map<string, ActorKey>();
  /** What is done for a partition is of no use once it was lost in between. */
  private readonly holds = new Map<number, object>();
  private readonly cancel: () => void;

  constructor(ports: PlacesPorts) {
    this.ports = ports;
    this.cancel = every(ports.clock, againMs, () => {
      for (const id of this.recalled) this.recall(id);
    });
  }

  stop(): void {
    this.cancel();
  }

  /** Before anything of the partition acts. */
  took(partition: number, { away, records, mail }: Contents): void {
    this.holds.set(partition, {});
    for (const each of away) this.away.set(objectId(each.key), each);
    if (shardOfPartition(partition) === undefined) return;
    for (const { key } of records) this.here.set(objectId(key), key);
    // A record that is still to be taken in comes by `received`.
    for (const { subject, data } of mail) if (subject.endsWith(".moved") && data === nothingMoved) this.here.set(objectId(parseMailbox(subject).key), parseMailbox(subject).key);
  }

  drop(partition: number): void {
    this.holds.delete(partition);
    for (const [id, { key }] of this.away) if (partitionOf(key) === partition) this.away.delete(id);
    for (const [id, key] of this.unsettled) if (partitionOf(key) === partition) this.unsettled.delete(id);
    for (const [id, key] of this.here)
      if (partitionOf(key) === partition) {
        this.here.delete(id);
        this.unseen.delete(id);
      }
  }

  /** Whether its actor is here, and may act. */
  mayAct(key: ActorKey): boolean {
    if (this.moving.get(actorId(key))?.still) return false;
    return this.isHere(key) && !(key.shard !== undefined && this.unseen.has(objectId(key)));
  }

  isAway(key: ActorKey): boolean {
    return this.away.has(objectId(key)) && !this.here.has(objectId(key));
  }

  /** The actor of this object that is here, if one is. */
  hosted(home: ActorKey): ActorKey {
    return this.here.get(objectId(home)) ?? home;
  }

  /** An object was seen, or seen to go. @returns whether that is for the actor at this place */
  sighted(key: ActorKey, object: RawObject | undefined): boolean {
    return key.shard === undefined ? this.sightedAtHome(key, object) : this.sightedInShard(key, object);
  }

  /** @returns whether the hint was about the place, or is for another one */
  received({ key, kind, body }: Delivered): boolean {
    if (kind === "moved") void this.insist(key, () => this.arrived(key));
    else if (kind === "leave") void this.insist(key, () => this.leaveShard(key));
    else if (kind === "news") this.passNews(key, body);
    else {
      const to = this.moving.get(actorId(key))?.to ?? this.shardOfAway(key);
      if (to && key.shard === undefined) void this.send(to, kind, body);
      return to !== undefined || !this.isHere(key);
    }
    return true;
  }

  /** Keys have a shard that had none, or a partition is shown: whoever is in the wrong place goes. */
  reconsider(keys: Iterable<ActorKey>): void {
    for (const key of keys) if (this.ports.cell.owns(partitionOf(key))) this.sightedAtHome(key, this.ports.object(key));
  }

  /** Everything of the partition is shown. */
  shown(partition: number): void {
    this.reconsider([...this.away.values()].filter(({ key }) => partitionOf(key) === partition).map(({ key }) => key));
    for (const [id, key] of this.unsettled)
      if (partitionOf(key) === partition) {
        this.unsettled.delete(id);
        this.again(key);
      }
  }

  private isHere(key: ActorKey): boolean {
    if (key.shard === undefined) return !this.away.has(objectId(key));
    return this.here.get(objectId(key))?.shard === key.shard;
  }

  private shardOfAway(key: ActorKey): ActorKey | undefined {
    const { shard } = (key.shard === undefined && this.away.get(objectId(key))) || {};
    return shard === undefined ? undefined : placedAt(key, shard);
  }

  private sightedAtHome(key: ActorKey, object: RawObject | undefined): boolean {
    const id = objectId(key);
    const wanted = object && shardOf(object, this.ports.shards());
    const at = this.away.get(id)?.shard;
    if (at !== undefined) {
      if (object && wanted === at) this.recalled.delete(id);
      else this.recall(id);
      return false;
    }
    const moving = this.moving.get(actorId(key));
    if (moving) moving.missed = true;
    if (wanted === undefined || moving) return !moving;
    void this.insist(key, () => this.leaveHome(key, placedAt(key, wanted)));
    return false;
  }

  private sightedInShard(key: ActorKey, object: RawObject | undefined): boolean {
    const id = objectId(key);
    if (!this.isHere(key)) return false;
    if (object) {
      this.unseen.delete(id);
      return true;
    }
    // It was deleted, or it belongs elsewhere now: then the owner at home calls it back.
    if (!this.unseen.has(id)) {
      this.unseen.add(id);
      void this.insist(key, () => this.lookFor(key));
    }
    return false;
  }

  private async lookFor(key: ActorKey): Promise<void> {
    const id = objectId(key);
    if (!this.unseen.has(id) || !this.isHere(key)) return;
    const exists = await this.ports.exists(placedAt(key));
    if (exists || !this.unseen.has(id) || !this.isHere(key)) return;
    this.unseen.delete(id);
    this.ports.tell(key, undefined);
  }

  private recall(id: string): void {
    const { key, shard } = this.away.get(id) ?? {};
    if (!key || shard === undefined) return void this.recalled.delete(id);
    this.recalled.add(id);
    void this.send(placedAt(key, shard), "leave", {});
    void this.insist(key, () => this.arrived(key)); // it may be on its way back already
  }

  private send(to: ActorKey, kind: HintKind, body: unknown): Promise<void> {
    return this.ports.cell.send({ to, kind, body }).catch(() => undefined); // asked again; or its interval repairs it
  }

  /** A source in a shard has something for those who wait for it: they are known at home. */
  private passNews(key: ActorKey, body: unknown): void {
    const { kind, body: news, atMs } = (body ?? {}) as { kind?: unknown; body?: unknown; atMs?: unknown };
    if (typeof kind !== "string" || !isHint(kind) || kind === "news") return;
    // It stays in the mailbox, and is found there by each later owner: what everybody has seen since is not said again.
    if (typeof atMs === "number" && atMs + newsMs < this.ports.clock.nowMs()) return;
    const waiters = this.ports.cell.dependentsOf(placedAt(key));
    void this.ports.inOrder(waiters, news).then((sorted) => { for (const to of sorted) void this.send(to, kind, news); });
  }

  /** Again until it is done, or the partition is lost. */
  private async insist(key: ActorKey, work: () => Promise<void>): Promise<void> {
    const hold = this.holds.get(partitionOf(key));
    const isHeld = () => hold !== undefined && this.holds.get(partitionOf(key)) === hold;
    while (isHeld())
      try {
        return await work();
      } catch (thrown) {
        this.ports.debug("an actor could not change its place; it is tried again", { actor: actorId(key), error: String(thrown) });
        await sleep(this.ports.clock, retryMs);
      }
  }

  private async leaveHome(key: ActorKey, to: ActorKey): Promise<void> {
    const { transfers } = this.ports;
    await this.move(key, to, (record) => transfers.depart(key, to, record), () => void this.away.set(objectId(key), { key, shard: to.shard as number }));
  }

  private async leaveShard(key: ActorKey): Promise<void> {
    const { transfers } = this.ports;
    const home = placedAt(key);
    if (this.moving.has(actorId(key))) return;
    if (this.isHere(key)) {
      await this.move(key, home, (record) => transfers.depart(key, home, record), () => {
        this.here.delete(objectId(key));
        this.unseen.delete(objectId(key));
      });
      return;
    }
    // It was called back before it was taken in here.
    await this.transfer(key, home, async () => {
      const found = await transfers.movedTo(key);
      if (found) await transfers.depart(key, home, found.record);
      return false;
    });
  }

  /** Stops it here and sends it off. */
  private async move(key: ActorKey, to: ActorKey, depart: (record: ActorRecord | null) => Promise<void>, departed: () => void): Promise<void> {
    const { host, writing, debug } = this.ports;
    await this.transfer(key, to, async (isOver) => {
      try {
        const record = await host.evict(key, writing, writesMs).catch(() => undefined); // one that cannot be read begins afresh
        const moving = this.moving.get(actorId(key));
        if (moving) moving.still = true;
        if (isOver()) return false;
        await depart(record ?? null);
        if (isOver()) return false;
        departed();
        host.remove(key);
        debug("an actor goes to another place", { actor: actorId(key), to: actorId(to) });
        return true;
      } catch (thrown) {
        if (!isOver()) host.stay(key);
        throw thrown;
      }
    });
  }

  private async arrived(key: ActorKey): Promise<void> {
    const { transfers, host, shards, object } = this.ports;
    if (key.shard !== undefined && this.isHere(key)) return; // the sign that it is
    if (key.shard === undefined && !this.away.has(objectId(key))) return;
    await this.transfer(key, key, async (isOver) => {
      const found = await transfers.movedTo(key);
      if (!found || isOver()) return false;
      const { record } = found;
      const wanted = key.shard === undefined ? shardOf(object(key), shards()) : undefined;
      if (wanted !== undefined) {
        await transfers.passOn(key, placedAt(key, wanted), record);
        if (!isOver()) this.away.set(objectId(key), { key, shard: wanted });
        return true;
      }
      if (record || key.shard === undefined) await transfers.arrive(key, record);
      if (isOver()) return false;
      if (key.shard === undefined) this.away.delete(objectId(key));
      else this.here.set(objectId(key), key);
      this.recalled.delete(objectId(key));
      if (record) host.adopt(key, record, { awake: true });
      return true;
    });
  }

  /** One thing at a time for an actor. Where it has moved, or was seen meanwhile, its object is looked at afterwards. */
  private async transfer(key: ActorKey, to: ActorKey, work: (isOver: () => boolean) => Promise<boolean>): Promise<void> {
    const id = actorId(key);
    const hold = this.holds.get(partitionOf(key));
    const isOver = () => hold === undefined || this.holds.get(partitionOf(key)) !== hold;
    if (this.moving.has(id) || isOver()) return;
    const moving = { to, still: false, missed: false };
    this.moving.set(id, moving);
    let hasMoved = false;
    try {
      hasMoved = await work(isOver);
    } finally {
      this.moving.delete(id);
    }
    if (hasMoved || moving.missed) this.again(key); // not after a failure: that is tried again, and not at once
  }

  private again(key: ActorKey): void {
    const { cell, object, isShown, tell } = this.ports;
    if (!cell.owns(partitionOf(key))) return;
    const seen = object(key);
    if (!seen && !isShown(partitionOf(key))) return void this.unsettled.set(actorId(key), key);
    if (this.sighted(key, seen)) tell(key, seen);
  }
}

const nothingMoved = moved(null);
