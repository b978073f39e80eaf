/**
 * Keeps finished spans until they are in the trace stream. A reconcile never waits for it: the queue is bounded, a
 * store that is away is tried again, and what does not fit is dropped and counted.
 */
import type { ReadableSpan, SpanProcessor } from "@opentelemetry/sdk-trace";
import { LRUCache } from "lru-cache";
import { subject } from "#protocol/names/subject.ts";
import { attribute } from "#protocol/trace/attributes.ts";
import type { StoredSpan, TraceEntry } from "#protocol/trace/span.ts";
import { isCommit, traceIndex } from "#protocol/trace/subject.ts";
import { storedSpanOf } from "./stored-span.ts";

/** Stores one message; rejects when it is not known to be stored. */
export type PublishTrace = (subject: string, body: string) => Promise<unknown>;

const mostSpans = 8192;
const mostBytes = 16 << 20;
const mostMessageBytes = 128 << 10; // far below NATS's default limit of 1 MiB
const flushAfterMs = 200;
const longestPauseMs = 5_000;

type Queued = { traceId: string; json: string; entries: Message[] };
type Message = { subject: string; body: string };

export class TraceWriter implements SpanProcessor {
  private readonly publish: PublishTrace;
  private readonly worker: string;
  private queue: Queued[] = [];
  private bytes = 0;
  private dropped = 0;
  private failures = 0;
  private timer: NodeJS.Timeout | undefined;
  private flushing: Promise<void> | undefined;
  private closed = false;
  /** Units and commits whose index line this process has written: one line per trace is enough. */
  private readonly indexed = new LRUCache<string, true>({ max: 4096 });

  constructor({ publish, worker }: { publish: PublishTrace; worker: string }) {
    this.publish = publish;
    this.worker = worker;
  }

  /** Spans lost since the start, because the queue was full. */
  get droppedTotal(): number {
    return this.dropped;
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    const stored = storedSpanOf(span, this.worker);
    const json = JSON.stringify(stored);
    if (this.closed || this.queue.length >= mostSpans || this.bytes + json.length > mostBytes) {
      this.dropped++;
      return;
    }
    this.queue.push({ traceId: stored.traceId, json, entries: this.entriesOf(stored) });
    this.bytes += json.length;
    this.arm();
  }

  /** Resolves when all that is queued is stored, or its first try has failed. */
  async forceFlush(): Promise<void> {
    await this.flushing;
    await this.flush();
  }

  async shutdown(): Promise<void> {
    await this.forceFlush();
    this.closed = true;
    clearTimeout(this.timer);
    this.dropped += this.queue.length;
    this.queue = [];
  }

  private arm(): void {
    if (this.timer || this.closed) return;
    const delayMs = Math.min(flushAfterMs * 2 ** Math.min(this.failures, 10), longestPauseMs);
    this.timer = setTimeout(() => void this.flush(), delayMs);
    this.timer.unref(); // pending spans do not keep a process alive: shutdown writes them
  }

  private flush(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.flushing ??= this.write().finally(() => {
      this.flushing = undefined;
      if (this.queue.length > 0) this.arm();
    });
    return this.flushing;
  }

  private async write(): Promise<void> {
    while (this.queue.length > 0) {
      const taken = this.takeMessage();
      try {
        await this.publish(
          subject.trace(taken[0]!.traceId),
          `{"v":1,"spans":[${taken.map(({ json }) => json).join(",")}]}`,
        );
        for (const { subject, body } of taken.flatMap(({ entries }) => entries)) await this.publish(subject, body);
      } catch {
        this.failures++; // said by the metric `flotilla_trace_publish_failures`; a log line each would flood
        this.giveBack(taken); // the reader knows a span by its id, so one that is stored twice is read once
        return;
      }
      this.failures = 0;
    }
  }

  /** Tries in a row that failed; 0 while the store answers. */
  get failuresInARow(): number {
    return this.failures;
  }

  // The oldest span and what else of its trace fits into one message.
  private takeMessage(): Queued[] {
    const { traceId } = this.queue[0]!;
    const taken: Queued[] = [];
    const left: Queued[] = [];
    let bytes = 0;
    for (const item of this.queue) {
      const fits = item.traceId === traceId && (taken.length === 0 || bytes + item.json.length < mostMessageBytes);
      (fits ? taken : left).push(item);
      if (fits) bytes += item.json.length;
    }
    this.queue = left;
    this.bytes -= bytes;
    return taken;
  }

  private giveBack(taken: Queued[]): void {
    const room = Math.max(0, mostSpans - this.queue.length);
    this.dropped += Math.max(0, taken.length - room);
    const kept = taken.slice(0, room);
    this.queue.unshift(...kept);
    this.bytes += kept.reduce((sum, { json }) => sum + json.length, 0);
  }

  private entriesOf({ traceId, startMs, attributes = {} }: StoredSpan): Message[] {
    const messages: Message[] = [];
    const commit = attributes[attribute.revision];
    const url = attributes[attribute.repositoryUrl];
    const title = attributes[attribute.changeTitle];
    const unit = attributes[attribute.unit];
    const entry = (more: Partial<TraceEntry>) =>
      JSON.stringify({ v: 1, traceId, atMs: startMs, ...more } satisfies TraceEntry);
    if (
      typeof commit === "string" &&
      isCommit(commit) &&
      typeof url === "string" &&
      this.first(`${commit} ${traceId}`)
    ) {
      const body = entry({ commit, url, ...(typeof title === "string" && { title }) });
      messages.push({ subject: traceIndex.commit(commit, traceId), body }, { subject: traceIndex.changes, body });
    }
    if (typeof unit === "string" && isUnit(unit) && this.first(`${unit} ${traceId}`))
      messages.push({ subject: traceIndex.unit(unit), body: entry({ unit }) });
    return messages;
  }

  private first(line: string): boolean {
    if (this.indexed.has(line)) return false;
    this.indexed.set(line, true);
    return true;
  }
}

function isUnit(id: string): boolean {
  try {
    return traceIndex.unit(id) !== "";
  } catch {
    return false; // an attribute somebody else chose: the span is kept, only not found under this name
  }
}
