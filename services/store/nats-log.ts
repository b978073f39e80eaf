/** The log on NATS JetStream. Batches are spoken by hand: the client's own drop the expectations (ownership.md 2.2). */
import { randomUUID } from "node:crypto";
import { JetStreamApiError, jetstreamManager, type JetStreamManager, type StreamConfig } from "@nats-io/jetstream";
import { createInbox, headers, type Msg, type MsgHdrs, type NatsConnection } from "nats";
import { republishPrefix, subject } from "#protocol/names/subject.ts";
import { LogError, type Log, type Message, type Stored } from "./log.ts";
import { kindOf, logError, patiently } from "./nats-errors.ts";
import { makeReplicated, reachReplicas, replicasToReach } from "./nats-replicas.ts";

const timeoutMs = 1_000;
const scanBatch = 1_000;
const scanBytes = 8 * 2 ** 20;
const mostInBatch = 1_000;

export type LogOptions = {
  /** On how many servers; as many as are good for the NATS there is, when absent. */
  replicas?: number;
};

/** Makes the cell's stream when it is missing. An existing one grows to what we need and keeps what else it was given. */
export async function openNatsLog(connection: NatsConnection, stream: string, { replicas }: LogOptions = {}): Promise<Log> {
  const jsm = await jetstreamManager(connection, { timeout: 5_000, checkAPI: false });
  const mostPayload = connection.info?.max_payload ?? 0;
  const wanted = {
    name: stream, subjects: [subject.every], max_msgs_per_subject: 1, max_msg_size: mostPayload > 0 ? Math.min(largestMessage, mostPayload) : largestMessage,
    allow_direct: true, allow_atomic: true, allow_msg_ttl: true, allow_rollup_hdrs: true,
    republish: { src: "fl.>", dest: `${republishPrefix}.>` },
  } satisfies Partial<StreamConfig>;
  const { config } = await patiently(async () => {
    try {
      return await jsm.streams.info(stream);
    } catch (thrown) {
      if (!(thrown instanceof JetStreamApiError) || thrown.code !== streamNotFound) throw thrown;
      return makeReplicated(connection, replicas, (num_replicas) => jsm.streams.add({ ...wanted, num_replicas }));
    }
  });
  // One thing at a time: a server without room for more replicas still takes larger messages.
  const isSmall = config.max_msg_size > 0 && config.max_msg_size < wanted.max_msg_size;
  if (isSmall) await patiently(() => jsm.streams.update(stream, { max_msg_size: wanted.max_msg_size }));
  const num_replicas = replicasToReach(connection, replicas, config.num_replicas);
  if (num_replicas !== config.num_replicas) await patiently(() => reachReplicas(replicas, () => jsm.streams.update(stream, { num_replicas })));
  const limits = [isSmall ? wanted.max_msg_size : config.max_msg_size, mostPayload].filter((bytes) => bytes > 0);
  return new NatsLog(connection, jsm, stream, Math.min(...limits) - headerBytes);
}

const streamNotFound = 10_059;
const largestMessage = 4 * 2 ** 20; // the record of a unit with some 16,000 objects
const headerBytes = 1_024; // the limit counts headers too; ours take a few hundred bytes

class NatsLog implements Log {
  private readonly connection: NatsConnection;
  private readonly jsm: JetStreamManager;
  private readonly stream: string;
  private readonly mostBytes: number;
  /** As many as the server answered for last. */
  private filtersAtOnce = 64;

  constructor(connection: NatsConnection, jsm: JetStreamManager, stream: string, mostBytes: number) {
    this.connection = connection;
    this.jsm = jsm;
    this.stream = stream;
    this.mostBytes = mostBytes;
  }

  async publish(message: Message): Promise<number> {
    this.refuseLarge(message);
    return sequenceOf(await this.request(message.subject, message.data, headersOf(message)));
  }

  async publishAll(messages: Message[]): Promise<number> {
    const last = messages.at(-1);
    if (!last) throw new RangeError("an empty batch");
    if (messages.length > mostInBatch) throw new RangeError(`a batch of ${messages.length}`);
    if (messages.length === 1) return this.publish(last);
    // The server would drop it and call the batch incomplete, as if it had been lost on the way.
    for (const message of messages) this.refuseLarge(message);
    const id = randomUUID();
    let answer: Msg | undefined;
    for (const [index, message] of messages.entries()) {
      const batched = headersOf(message);
      batched.set("Nats-Batch-Id", id);
      batched.set("Nats-Batch-Sequence", String(index + 1));
      if (message === last) batched.set("Nats-Batch-Commit", "1");
      // The first asks for an answer too: a batch the server will not open is known before the rest is sent.
      if (index === 0) {
        const opened = await this.request(message.subject, message.data, batched);
        if (opened.data.length > 0) sequenceOf(opened);
      } else if (message === last) answer = await this.request(message.subject, message.data, batched);
      else this.send(message, batched);
    }
    return sequenceOf(answer as Msg);
  }

  async read(name: string): Promise<Stored | undefined> {
    // Through the leader: a direct get may be answered by a replica that lags behind (ADR-8).
    const found = await this.jsm.streams.getMessage(this.stream, { last_by_subj: name }).catch((thrown: unknown) => {
      if (thrown instanceof JetStreamApiError && thrown.code === noMessage) return null;
      throw logError(thrown);
    });
    return found ? { subject: found.subject, sequence: found.seq, data: found.string(), headers: plain(found.header) } : undefined;
  }

  async *scan(filter: string | string[], fromSequence = 1): AsyncIterable<Stored> {
    if (typeof filter !== "string") yield* this.newest(filter, fromSequence);
    else if (isOfOnePartition(filter)) yield* this.newest([filter], fromSequence);
    else yield* this.pages({ next_by_subj: filter }, fromSequence);
  }

  /**
   * By the server's index of subjects, where a scan reads every message of the stream to see whether its subject matches:
   * a thousand partitions of many units would take minutes. It answers for 1,024 subjects at most.
   */
  private async *newest(filters: string[], fromSequence: number): AsyncIterable<Stored> {
    for (let at = 0; at < filters.length; ) {
      const some = filters.slice(at, at + this.filtersAtOnce);
      try {
        yield* this.pages({ multi_last: some }, fromSequence);
      } catch (thrown) {
        if (!(thrown instanceof TooMany)) throw thrown;
        if (some.length > 1) {
          this.filtersAtOnce = Math.ceil(some.length / 2);
          continue;
        }
        yield* this.pages({ next_by_subj: some[0] ?? "" }, fromSequence);
      }
      at += some.length;
    }
  }

  private async *pages(wanted: { next_by_subj: string } | { multi_last: string[] }, fromSequence: number): AsyncIterable<Stored> {
    for (let next = fromSequence; ; ) {
      const { found, pending } = await this.page(wanted, next);
      yield* found;
      const last = found.at(-1);
      if (!last || pending === 0) return;
      next = last.sequence + 1;
    }
  }

  /**
   * A batched direct get (ADR-31), spoken by hand: the client's own leaves a subscription behind at every call, and waits
   * for ever when the connection breaks in the middle.
   */
  private page(wanted: { next_by_subj: string } | { multi_last: string[] }, fromSequence: number): Promise<{ found: Stored[]; pending: number }> {
    const { promise, resolve, reject } = Promise.withResolvers<{ found: Stored[]; pending: number }>();
    const found: Stored[] = [];
    const what = `scan of ${"multi_last" in wanted ? wanted.multi_last.join(" ") : wanted.next_by_subj}`;
    let heard = 0;
    // After a long turn of the event loop timers come first, though the answer may be there: it is looked at before giving up.
    const timer = setTimeout(() => {
      const before = heard;
      setImmediate(() => {
        if (heard > before) timer.refresh();
        else reject(new LogError("unknown", `${what}: no more answers`));
      });
    }, timeoutMs);
    const inbox = createInbox();
    const subscription = this.connection.subscribe(inbox, {
      callback: (error, message) => {
        if (error) return reject(logError(error));
        heard++;
        const said = message.headers;
        const header = (name: string) => said?.get(name) ?? "";
        switch (said?.code) {
          case endOfBatch:
            return resolve({ found, pending: Number(header("Nats-Num-Pending")) });
          case nothingFound:
            return resolve({ found, pending: 0 });
          case tooMany:
            return reject(new TooMany(what));
          case 0:
            found.push({ subject: header("Nats-Subject"), sequence: Number(header("Nats-Sequence")), data: message.string(), headers: plain(said) });
            timer.refresh();
            return;
          default:
            return reject(new LogError(said?.code === nobodyThere ? "busy" : "refused", `${what}: ${said?.description ?? "no headers"}`));
        }
      },
    });
    const query = { seq: fromSequence, ...wanted, batch: scanBatch, max_bytes: scanBytes };
    try {
      this.connection.publish(`$JS.API.DIRECT.GET.${this.stream}`, JSON.stringify(query), { reply: inbox });
    } catch (thrown) {
      reject(logError(thrown));
    }
    return promise.finally(() => {
      clearTimeout(timer);
      subscription.unsubscribe();
    });
  }

  listen(filter: string, receive: (stored: Stored) => void): () => void {
    const subscription = this.connection.subscribe(filter, {
      callback: (error, message) => {
        if (error) return; // what a subscription misses, the next scan finds
        const sequence = Number(message.headers?.get("Nats-Sequence"));
        if (Number.isInteger(sequence) && sequence > 0)
          receive({ subject: message.subject, sequence, data: message.string(), headers: plain(message.headers) });
      },
    });
    return () => subscription.unsubscribe();
  }

  private refuseLarge({ subject: name, data }: Message): void {
    const bytes = Buffer.byteLength(data);
    if (bytes > this.mostBytes) throw new LogError("refused", `${name}: ${bytes} bytes are more than the ${this.mostBytes} a message may have`);
  }

  private send(message: Message, withHeaders: MsgHdrs): void {
    this.refuseWhileAway();
    try {
      this.connection.publish(message.subject, message.data, { headers: withHeaders });
    } catch (thrown) {
      throw logError(thrown);
    }
  }

  /** The client would keep it and send it when the server is back: perhaps long after its sender gave it up. */
  private refuseWhileAway(): void {
    if (!this.connection.info) throw new LogError("busy", "there is no connection to NATS");
  }

  private async request(name: string, data: string, withHeaders: MsgHdrs): Promise<Msg> {
    this.refuseWhileAway();
    return this.connection.request(name, data, { headers: withHeaders, timeout: timeoutMs }).catch((thrown: unknown) => {
      throw logError(thrown);
    });
  }
}

/** The filters match more subjects than the server answers for at once. */
class TooMany extends Error {}

const isOfOnePartition = (filter: string): boolean => /^fl\.\d+\./.test(filter);

function headersOf({ fence, expectLast, ttlSeconds, headers: given }: Message): MsgHdrs {
  const made = headers();
  for (const [name, value] of Object.entries(given ?? {})) made.set(name, value);
  if (fence) {
    made.set("Nats-Expected-Last-Subject-Sequence", String(fence.sequence));
    made.set("Nats-Expected-Last-Subject-Sequence-Subject", fence.subject);
  } else if (expectLast !== undefined) made.set("Nats-Expected-Last-Subject-Sequence", String(expectLast));
  if (ttlSeconds !== undefined) made.set("Nats-TTL", `${ttlSeconds}s`);
  return made;
}

function sequenceOf(answer: Msg): number {
  const { seq, error } = answer.json<{ seq?: number; error?: { err_code?: number; description?: string } }>();
  if (error) throw new LogError(kindOf(error.err_code ?? 0), error.description ?? "refused");
  return seq ?? 0;
}

const noMessage = 10_037;

// Status codes of a direct get's answers.
const endOfBatch = 204;
const nothingFound = 404;
const tooMany = 413;
const nobodyThere = 503;

function plain(from: MsgHdrs | undefined): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [name, values] of from ?? []) if (values[0] !== undefined) out[name] = values[0];
  return out;
}
