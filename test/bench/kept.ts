/** When NATS stored decisions of units, by its own clock: what a unit does begins with a decision that is kept. */
import { actorId, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import { republishPrefix, subject } from "#protocol/names/subject.ts";
import type { Unit } from "../chaos/apps.ts";
import { storedAtMs, type Owners } from "../chaos/owners.ts";

export class Kept {
  private readonly times = new Map<string, number[]>();
  private readonly stop: () => void;

  constructor({ log }: Owners, units: Unit[]) {
    const names = new Map(units.map(({ key }) => [subject.snapshot(key).replace(/^fl\./, `${republishPrefix}.`), actorId(key)]));
    this.stop = log.listen(subject.everySnapshot.replace(/^fl\./, `${republishPrefix}.`), (stored) => {
      const id = names.get(stored.subject);
      if (id) this.of(id).push(storedAtMs(stored));
    });
  }

  first(key: ActorKey, fromMs: number): number | undefined {
    return this.of(actorId(key)).find((atMs) => atMs >= fromMs);
  }

  last(key: ActorKey, untilMs: number): number | undefined {
    return this.of(actorId(key)).findLast((atMs) => atMs <= untilMs);
  }

  close(): void {
    this.stop();
  }

  private of(id: string): number[] {
    const found = this.times.get(id) ?? [];
    this.times.set(id, found);
    return found;
  }
}

/** Asks a unit to look again: a few decisions and no request when nothing is new. Nobody waits for the answer. */
export const nudge = ({ log }: Owners, { key }: Unit): void =>
  void log.publish({ subject: subject.mailbox(key, "look"), data: "{}", ttlSeconds: 60 }).catch(() => undefined);

export const partitionOfUnit = ({ key }: Pick<Unit, "key">): number => partitionOf(key);
