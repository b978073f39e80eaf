/** Hints for actors, and who waits for whom: taken live, and looked for again, because a live copy may get lost. */
import { actorId, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import { parseDependent, parseMailbox, partitionOfSubject, republishPrefix, subject, type Dependent, type HintKind } from "#protocol/names/subject.ts";
import type { Clock } from "./clock.ts";
import type { Log, Stored } from "./log.ts";
import type { Contents } from "./partition-reader.ts";

export type Delivered = { key: ActorKey; kind: HintKind; body: unknown; seq: number };

export type MailOptions = {
  clock: Clock;
  /** Whether the partition's mail is for this worker. */
  isOurs(partition: number): boolean;
  deliver(hint: Delivered): void;
  /** Somebody waits for an actor of ours. `missed`: its live copy was. */
  awaited(awaited: ActorKey, waiter: ActorKey, missed: boolean): void;
  onUnreadable(subject: string, detail: string): void;
};

const catchUpMs = 5_000;
/** No copy comes later. */
const latestMs = 60_000;

/** What a waiter may say beside that it waits: it wants to know of every change, not only when the awaited is ready. */
export const anyChange = "any";

/** Who waits; or did, and until when that is remembered: an earlier copy may come later. */
type Waiter = { key: ActorKey; sequence: number; word: string; gone: { untilMs: number } | null };

/** What of a partition's mail was delivered: everything up to a sequence, and what live copies brought after it. */
type Heard = { upTo: number; since: Set<number> };

/** Ids of the actors of a partition that have not taken all their mail. */
export function addressees({ records, mail }: Pick<Contents, "records" | "mail">): Set<string> {
  if (mail.length === 0) return new Set();
  const seenBy = new Map(records.map(({ key, record }) => [actorId(key), record.seen]));
  const waiting = new Set<string>();
  for (const { subject: name, sequence } of mail)
    try {
      const { key, hint } = parseMailbox(name);
      const seen = seenBy.get(actorId(key));
      if (seen && sequence > (seen[hint] ?? 0)) waiting.add(actorId(key));
    } catch (thrown) {
      if (!(thrown instanceof RangeError)) throw thrown; // a stranger's: it is set aside when the mail is opened
    }
  return waiting;
}

export class Mail {
  private readonly log: Log;
  private readonly options: MailOptions;
  private readonly dependents = new Map<string, Map<string, Waiter>>();
  private readonly scanned = { mail: 0, dependents: 0 };
  /** Of the partitions that were taken. */
  private readonly heard = new Map<number, Heard>();
  private rewound = Infinity;
  private readonly cancels: (() => void)[] = [];
  private closed = false;

  constructor(log: Log, options: MailOptions) {
    this.log = log;
    this.options = options;
  }

  start(): void {
    // All partitions in one subscription: a thousand hints a second cost a hundredth of a core, a thousand subscriptions more.
    this.cancels.push(
      this.log.listen(subject.everyMailboxLive, (stored) => this.open(stored)),
      this.log.listen(subject.everyDependentLive, (stored) => this.note(stored, false)),
      () => undefined,
    );
    const { clock } = this.options;
    const again = () => {
      if (this.closed) return;
      const next = () => void this.cancels.splice(2, 1, clock.at(clock.nowMs() + catchUpMs, again));
      this.catchUp().then(next, next); // a failure to reach NATS: the next round tries again
    };
    again();
  }

  /**
   * What was read when its partition was taken: everything before its owner record, which stands at `sequence`. What came
   * after may have been scanned while it was nobody's mail here.
   */
  take(partition: number, { mail, dependents }: Pick<Contents, "mail" | "dependents">, sequence: number): void {
    for (const each of dependents) this.set(each, each.sequence, each.word);
    const heard: Heard = { upTo: 0, since: new Set() };
    this.heard.set(partition, heard);
    for (const stored of mail) this.open(stored);
    heard.upTo = sequence;
    this.rewound = Math.min(this.rewound, sequence); // a scan may be under way: the next one begins there
  }

  /** Everybody who waits for an actor or object of ours; `word`: with this word alone. */
  dependentsOf(awaited: ActorKey, word?: string): ActorKey[] {
    const waiters = this.dependents.get(actorId(awaited))?.values() ?? [];
    return [...waiters].flatMap(({ key, gone, word: said }) => (gone || (word !== undefined && said !== word) ? [] : [key]));
  }

  /** Ids of everything that somebody waits for. */
  *awaited(): Generator<string> {
    for (const [id, waiters] of this.dependents) for (const { gone } of waiters.values()) if (!gone) { yield id; break; }
  }

  drop(partition: number, keyOf: (id: string) => ActorKey): void {
    this.heard.delete(partition);
    for (const id of this.dependents.keys()) if (partitionOf(keyOf(id)) === partition) this.dependents.delete(id);
  }

  close(): void {
    this.closed = true;
    for (const cancel of this.cancels) cancel();
  }

  /** Only what a gap-free scan returned counts as seen; live messages may have been lost (ownership.md 7.6). */
  private async catchUp(): Promise<void> {
    for (const area of ["mail", "dependents"] as const) this.scanned[area] = Math.min(this.scanned[area], this.rewound);
    this.rewound = Infinity;
    const heard = [...this.heard.values()]; // of what is taken meanwhile, this scan sees a part
    for await (const stored of this.log.scan(subject.everyMailbox, this.scanned.mail + 1)) {
      this.scanned.mail = stored.sequence;
      this.open(stored);
    }
    for (const each of heard) hearUpTo(each, this.scanned.mail);
    for await (const stored of this.log.scan(subject.everyDependent, this.scanned.dependents + 1)) {
      this.scanned.dependents = stored.sequence;
      this.note(stored, true);
    }
    this.forget();
  }

  private open(stored: Stored): void {
    const partition = partitionOfSubject(stored.subject) ?? -1;
    if (this.closed || stored.data === "" || !this.options.isOurs(partition)) return; // empty: it was taken out
    const heard = this.heard.get(partition);
    if (heard && (stored.sequence <= heard.upTo || heard.since.has(stored.sequence))) return;
    heard?.since.add(stored.sequence);
    this.reading(stored, () => {
      const { key, hint } = parseMailbox(stored.subject);
      this.options.deliver({ key, kind: hint, body: JSON.parse(stored.data), seq: stored.sequence });
    });
  }

  private note(stored: Stored, scanned: boolean): void {
    if (this.closed || !this.options.isOurs(partitionOfSubject(stored.subject) ?? -1)) return;
    this.reading(stored, () => {
      const { awaited, waiter } = parseDependent(stored.subject);
      const isNew = this.set({ awaited, waiter }, stored.sequence, stored.data);
      if (isNew) this.options.awaited(awaited, waiter, scanned);
    });
  }

  /** Whether it waits, and did not before. */
  private set({ awaited, waiter }: Dependent, sequence: number, word: string): boolean {
    const waits = word !== "";
    const id = actorId(awaited);
    const waiters = this.dependents.get(id) ?? new Map<string, Waiter>();
    const known = waiters.get(actorId(waiter));
    if (known && known.sequence >= sequence) return false;
    const gone = waits ? null : { untilMs: this.options.clock.monoMs() + latestMs };
    this.dependents.set(id, waiters.set(actorId(waiter), { key: waiter, sequence, word, gone }));
    return waits && (!known || known.gone !== null || known.word !== word);
  }

  private forget(): void {
    const nowMs = this.options.clock.monoMs();
    for (const [id, waiters] of this.dependents) {
      for (const [waiter, { gone }] of waiters) if (gone && gone.untilMs <= nowMs) waiters.delete(waiter);
      if (waiters.size === 0) this.dependents.delete(id);
    }
  }

  /** A stranger's message never stops the worker. */
  private reading({ subject: name }: Stored, read: () => void): void {
    try {
      read();
    } catch (thrown) {
      this.options.onUnreadable(name.replace(`${republishPrefix}.`, "fl."), thrown instanceof Error ? thrown.message : String(thrown));
    }
  }
}

function hearUpTo(heard: Heard, sequence: number): void {
  heard.upTo = Math.max(heard.upTo, sequence);
  for (const each of heard.since) if (each <= heard.upTo) heard.since.delete(each);
}
