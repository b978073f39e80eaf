/**
 * The log as a fake that can fail as the real one does: expectations on another subject, atomic batches, `busy` while a
 * write on the same fence is under way, acks that get lost, writes that land when nobody counts on them any more, copies
 * that come late or never, replicas that lag. test/contract runs one suite on it and on NATS JetStream.
 */
import { republishPrefix } from "#protocol/names/subject.ts";
import type { Clock } from "#services/store/clock.ts";
import { LogError, type Log, type Message, type Stored } from "#services/store/log.ts";

const mostInBatch = 1_000;
const largestBytes = 4 * 1024 * 1024;
/** No replica is behind by more. */
const longestLagMs = 30_000;

/** Told of every batch as it is stored, in one piece. */
export type Listener = (stored: Stored[], writer: string) => void;

type Kept = Stored & { expiresMs: number; atMs: number; tokens: string[]; /** What it replaced: for replicas that are behind. */ before: Kept | undefined };
type Shelf = Map<string, Kept>;

/** What the server keeps: one sequence, at most one message per subject. */
export class MemoryStream {
  private readonly nowMs: () => number;
  private readonly all: Shelf = new Map();
  /** By second token, and by third: no scan looks at more than it has to. */
  private readonly byPartition = new Map<string, Shelf>();
  private readonly byArea = new Map<string, Shelf>();
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
    const found = this.all.get(subject);
    return found && found.expiresMs > this.nowMs() ? found : undefined;
  }

  /** Newest of every matching subject, in order of sequence. `lagMs`: as a replica that is behind by that much has it. */
  newest(filter: string, fromSequence = 1, lagMs = 0): Stored[] {
    const nowMs = this.nowMs();
    const wanted = filter.split(".");
    const found: Kept[] = [];
    for (const newest of this.shelfOf(wanted).values()) {
      if (newest.sequence < fromSequence) continue;
      const kept = lagMs > 0 ? asOf(newest, nowMs - lagMs) : newest;
      if (kept && kept.sequence >= fromSequence && kept.expiresMs > nowMs && fits(wanted, kept.tokens)) found.push(kept);
    }
    return found.sort((a, b) => a.sequence - b.sequence);
  }

  watch(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private shelfOf([, partition = "*", area = "*"]: string[]): Shelf {
    if (partition !== "*" && partition !== ">") return this.byPartition.get(partition) ?? new Map();
    return area === "*" || area === ">" || partition === ">" ? this.all : (this.byArea.get(area) ?? new Map());
  }

  private keep({ subject, data, headers = {}, ttlSeconds }: Message): Stored {
    const atMs = this.nowMs();
    const before = this.all.get(subject);
    if (before && before.atMs < atMs - longestLagMs) before.before = undefined;
    const tokens = subject.split(".");
    const expiresMs = ttlSeconds ? atMs + ttlSeconds * 1000 : Infinity;
    const stored: Kept = { subject, data, headers, sequence: ++this.lastSequence, expiresMs, atMs, tokens, before };
    this.all.set(subject, stored);
    shelved(this.byPartition, tokens[1] ?? "").set(subject, stored);
    shelved(this.byArea, tokens[2] ?? "").set(subject, stored);
    return stored;
  }
}

function asOf(newest: Kept, atMs: number): Kept | undefined {
  let kept: Kept | undefined = newest;
  while (kept && kept.atMs > atMs) kept = kept.before;
  return kept;
}

function shelved(shelves: Map<string, Shelf>, name: string): Shelf {
  const shelf = shelves.get(name) ?? new Map<string, Kept>();
  shelves.set(name, shelf);
  return shelf;
}

/** The first token, `fl` or `fll`, is not compared. */
function fits(wanted: string[], tokens: string[]): boolean {
  for (let i = 1; i < wanted.length; i++) {
    const token = wanted[i];
    if (token === ">") return tokens.length > i;
    if (token !== "*" && token !== tokens[i]) return false;
  }
  return tokens.length === wanted.length || wanted[0] === ">";
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
      yield* await request<Stored[]>(1, (answer) => answer(() => {
        const lagMs = wire.lagMs();
        return [filter].flat().flatMap((each) => stream.newest(each, fromSequence, lagMs));
      }));
    },
    listen(filter, receive) {
      const wanted = filter.split(".");
      return stream.watch((batch) => {
        for (const stored of batch) {
          if (!fits(wanted, (stored as Kept).tokens)) continue;
          const ms = wire.copyMs();
          if (ms === undefined) continue;
          const { data, sequence } = stored;
          const subject = `${republishPrefix}${stored.subject.slice(stored.subject.indexOf("."))}`;
          wire.later(ms, () => wire.enter(() => receive({ subject, sequence, data, headers: { ...stored.headers, "Nats-Sequence": String(sequence) } })));
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
