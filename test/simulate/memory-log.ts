/**
 * The log as a fake that can fail as the real one does: expectations on another subject, atomic batches, `busy` while a
 * write on the same fence is under way, acks that get lost, writes that land when nobody counts on them any more, copies
 * that come late or never, replicas that lag. test/contract runs one suite on it and on NATS JetStream.
 */
import type { Clock } from "#services/store/clock.ts";
import { LogError, type Log, type Message, type Stored } from "#services/store/log.ts";

const mostInBatch = 1_000;
const largestBytes = 512 * 1024;

/** Told of every batch as it is stored, in one piece. */
export type Listener = (stored: Stored[], writer: string) => void;

type Kept = Stored & { expiresMs: number };

/** What the server keeps: one sequence, at most one message per subject. */
export class MemoryStream {
  private readonly nowMs: () => number;
  private readonly areas = new Map<string, Map<string, Kept>>();
  /** Everything ever stored, for replicas that are behind. */
  private readonly history: { stored: Kept; atMs: number }[] = [];
  private readonly listeners = new Set<Listener>();
  private lastSequence = 0;

  constructor(nowMs: () => number) {
    this.nowMs = nowMs;
  }

  /** All or none. @throws LogError */
  store(messages: Message[], writer = ""): number {
    if (messages.length === 0 || messages.length > mostInBatch) throw new RangeError(`a batch of ${messages.length}`);
    for (const { subject, data, fence, expectLast, ttlSeconds } of messages) {
      if (data.length > largestBytes) throw new LogError("refused", `${subject}: message size exceeds maximum allowed`);
      if (ttlSeconds !== undefined && (!Number.isInteger(ttlSeconds) || ttlSeconds < 1)) throw new LogError("refused", "invalid per-message TTL");
      const expected = fence ?? (expectLast === undefined ? undefined : { subject, sequence: expectLast });
      if (!expected) continue;
      const last = this.read(expected.subject)?.sequence ?? 0;
      if (last !== expected.sequence) throw new LogError("fenced", `wrong last sequence: ${last}`);
    }
    const stored = messages.map((message) => this.keep(message));
    for (const listener of this.listeners) listener(stored, writer);
    return this.lastSequence;
  }

  read(subject: string): Stored | undefined {
    const area = this.areas.get(areaOf(subject));
    const found = area?.get(subject);
    if (!found || found.expiresMs > this.nowMs()) return found;
    area?.delete(subject);
    return undefined;
  }

  /** Newest of every matching subject, in order of sequence. `lagMs`: as a replica that is behind by that much has it. */
  newest(filter: string, fromSequence = 1, lagMs = 0): Stored[] {
    const matches = matcher(filter);
    const fixed = filter.split(".")[2];
    const areas = fixed && fixed !== ">" && fixed !== "*" ? [this.areas.get(fixed) ?? new Map<string, Kept>()] : [...this.areas.values()];
    const all = lagMs > 0 ? this.asOf(this.nowMs() - lagMs) : areas.flatMap((area) => [...area.values()]);
    return all
      .filter(({ sequence, expiresMs, subject }) => sequence >= fromSequence && expiresMs > this.nowMs() && matches(subject))
      .sort((a, b) => a.sequence - b.sequence);
  }

  watch(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private keep({ subject, data, headers = {}, ttlSeconds }: Message): Stored {
    const stored: Kept = { subject, data, headers, sequence: ++this.lastSequence, expiresMs: ttlSeconds ? this.nowMs() + ttlSeconds * 1000 : Infinity };
    const name = areaOf(subject);
    const area = this.areas.get(name) ?? new Map<string, Kept>();
    this.areas.set(name, area);
    area.set(subject, stored);
    this.history.push({ stored, atMs: this.nowMs() });
    return stored;
  }

  private asOf(atMs: number): Kept[] {
    let i = this.history.length;
    while (i > 0 && (this.history[i - 1]?.atMs ?? 0) > atMs) i--;
    const since = new Set(this.history.slice(i).map(({ stored }) => stored.subject));
    const before = new Map<string, Kept>();
    for (let k = i - 1; k >= 0 && before.size < since.size; k--) {
      const stored = this.history[k]?.stored;
      if (stored && since.has(stored.subject) && !before.has(stored.subject)) before.set(stored.subject, stored);
    }
    const same = [...this.areas.values()].flatMap((area) => [...area.values()]).filter(({ subject }) => !since.has(subject));
    return [...same, ...before.values()];
  }
}

/** Third token: what kind of thing it is. */
const areaOf = (subject: string): string => subject.split(".", 3)[2] ?? "";

function matcher(filter: string): (subject: string) => boolean {
  const wanted = new RegExp(`^${filter.replaceAll(".", "\\.").replaceAll("*", "[^.]+").replace(/>$/, ".+")}$`);
  return (subject) => wanted.test(subject);
}

/** What becomes of one request: when it arrives, and how long its answer takes; undefined: never. */
export type Fate = { arriveMs: number | undefined; answerMs: number | undefined; refusal?: LogError };

/** The way between one client and the server. */
export type Wire = {
  client: string;
  clock: Clock;
  /** Something happens at the server `inMs` from now, whether or not the client lives. */
  later(inMs: number, run: () => void): void;
  /** Something reaches the client. */
  enter(run: () => void): void;
  fate(messages: number): Fate;
  /** Of a copy: how long it takes, or undefined: lost. */
  copyMs(): number | undefined;
  /** By how much the replica that answers a scan is behind. */
  lagMs(): number;
  /** How long a replicated write is under way; 0 for one server. Meanwhile another on the same fence is refused. */
  commitMs(): number;
};

/** Everything arrives, at once. */
export const perfectWire = (clock: Clock): Wire => ({
  client: "", clock, later: (_, run) => run(), enter: (run) => run(), fate: () => ({ arriveMs: 0, answerMs: 0 }), copyMs: () => 0,
  lagMs: () => 0, commitMs: () => 0,
});

const timeoutMs = 1_000;

/** One client's log. Clients of one stream that stands for several servers share `underWay`. */
export function memoryLog(stream: MemoryStream, wire: Wire, underWay: Map<string, number> = new Map()): Log {
  const request = <T>(messages: number, serve: (answer: (run: () => T) => void) => void): Promise<T> =>
    new Promise((resolve, reject) => {
      const { arriveMs, answerMs, refusal } = wire.fate(messages);
      if (refusal) return wire.later(0, () => wire.enter(() => reject(refusal)));
      const cancel = wire.clock.at(wire.clock.nowMs() + timeoutMs, () => reject(new LogError("unknown", "timeout")));
      if (arriveMs === undefined) return;
      wire.later(arriveMs, () =>
        serve((run) => {
          const settle = settled(run);
          if (answerMs !== undefined) wire.later(answerMs, () => wire.enter(() => { cancel(); settle(resolve, reject); }));
        }));
    });

  const publishAll = (messages: Message[]): Promise<number> => {
    const sent = messages.map((message) => ({ ...message })); // what the caller does with its own afterwards is its affair
    return request(sent.length, (answer) => {
      const commitMs = wire.commitMs();
      if (commitMs === 0) return answer(() => stream.store(sent, wire.client));
      const fences = [...new Set(sent.flatMap((message) => expectedOn(message) ?? []))];
      if (fences.some((fence) => underWay.has(fence))) return answer(() => { throw new LogError("busy", "wrong last sequence"); });
      for (const fence of fences) underWay.set(fence, 1);
      wire.later(commitMs, () => {
        for (const fence of fences) underWay.delete(fence);
        answer(() => stream.store(sent, wire.client));
      });
    });
  };

  return {
    publish: (message) => publishAll([message]),
    publishAll,
    read: (subject) => request(1, (answer) => answer(() => stream.read(subject))),
    async *scan(filter, fromSequence = 1) {
      yield* await request<Stored[]>(1, (answer) => answer(() => stream.newest(filter, fromSequence, wire.lagMs())));
    },
    listen(filter, receive) {
      const matches = matcher(filter);
      return stream.watch((batch) => {
        for (const stored of batch) {
          const subject = stored.subject.replace(/^fl\./, "fll.");
          if (!matches(subject)) continue;
          const ms = wire.copyMs();
          const headers = { ...stored.headers, "Nats-Sequence": String(stored.sequence) };
          if (ms !== undefined) wire.later(ms, () => wire.enter(() => receive({ ...stored, subject, headers })));
        }
      });
    },
  };
}

/** The server decides when the request is there, not when its answer is read. */
function settled<T>(run: () => T): (resolve: (value: T) => void, reject: (error: unknown) => void) => void {
  try {
    const value = run();
    return (resolve) => resolve(value);
  } catch (thrown) {
    return (_, reject) => reject(thrown);
  }
}

const expectedOn = ({ subject, fence, expectLast }: Message): string | undefined => fence?.subject ?? (expectLast === undefined ? undefined : subject);
