/** Who owned which partition from when to when, as NATS stored it. */
import type { NatsConnection } from "nats";
import { partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import { parseOwn, republishPrefix, stream, subject } from "#protocol/names/subject.ts";
import { ownRecord } from "#protocol/records/cell.ts";
import type { Log, Stored } from "#services/store/log.ts";
import { openNatsLog } from "#services/store/nats-log.ts";

export type Reign = { worker: string; epoch: number; cause: string; sequence: number; atMs: number };

export class Owners {
  readonly log: Log;
  private readonly reigns = new Map<number, Reign[]>();

  private constructor(log: Log) {
    this.log = log;
    log.listen(subject.everyOwnLive, (stored) => this.take(stored));
  }

  static async open(connection: NatsConnection): Promise<Owners> {
    const owners = new Owners(await openNatsLog(connection, stream.cell("main")));
    await owners.catchUp();
    return owners;
  }

  /** What a live copy was lost of. */
  async catchUp(): Promise<void> {
    for await (const stored of this.log.scan(subject.everyOwn)) this.take(stored);
  }

  /** Oldest first. */
  history(partition: number): readonly Reign[] {
    return this.reigns.get(partition) ?? [];
  }

  /** Partition and reign of everything that changed hands from then on. */
  changes(sinceMs: number): { partition: number; before: Reign | undefined; reign: Reign }[] {
    return [...this.reigns].flatMap(([partition, list]) =>
      list.flatMap((reign, i) => (reign.atMs >= sinceMs && reign.worker !== list[i - 1]?.worker ? [{ partition, before: list[i - 1], reign }] : [])));
  }

  of(partition: number, atMs = Infinity): string | undefined {
    return this.history(partition).findLast((reign) => reign.atMs <= atMs)?.worker;
  }

  ofActor(key: ActorKey, atMs = Infinity): string | undefined {
    return this.of(partitionOf(key), atMs);
  }

  /** How many partitions each worker owns. */
  counts(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const list of this.reigns.values()) {
      const worker = list.at(-1)?.worker ?? "";
      counts.set(worker, (counts.get(worker) ?? 0) + 1);
    }
    return counts;
  }

  private take(stored: Stored): void {
    const partition = parseOwn(stored.subject.replace(new RegExp(`^${republishPrefix}\\.`), "fl."));
    const list = this.reigns.get(partition) ?? [];
    this.reigns.set(partition, list);
    const { sequence } = stored;
    if (list.some((reign) => reign.sequence === sequence)) return;
    const { worker, epoch, cause } = ownRecord.parse(JSON.parse(stored.data));
    list.push({ worker, epoch, cause, sequence, atMs: storedAtMs(stored) });
    list.sort((a, b) => a.sequence - b.sequence);
  }
}

/** By the server's clock, which on this machine is everybody's. */
export function storedAtMs({ headers }: Stored): number {
  const atMs = Date.parse(headers["Nats-Time-Stamp"] ?? "");
  return Number.isNaN(atMs) ? Date.now() : atMs;
}
