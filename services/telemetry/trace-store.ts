/** Reads traces from the stream: by trace id, by the first digits of a commit, or by unit. */
import {
  JetStreamError,
  jetstreamManager,
  type DirectBatchOptions,
  type JetStreamManager,
  type StoredMsg,
} from "@nats-io/jetstream";
import type { NatsConnection } from "nats";
import { Fault } from "#protocol/errors/fault.ts";
import { stream, subject } from "#protocol/names/subject.ts";
import { spanBatch, traceEntry, type StoredSpan, type TraceEntry } from "#protocol/trace/span.ts";
import { traceIndex } from "#protocol/trace/subject.ts";

export type TraceStore = {
  /** Every span of a trace, each once, by start time; empty when there is no such trace. */
  read(traceId: string): Promise<StoredSpan[]>;
  /** Traces of the commits that begin with these digits (4 or more), newest first. */
  byCommit(prefix: string): Promise<TraceEntry[]>;
  /** Traces in which `kind/namespace/name` occurs, newest first. */
  byUnit(unit: string): Promise<TraceEntry[]>;
  /** The latest changes, newest first. */
  recent(): Promise<TraceEntry[]>;
};

const mostMessages = 1024; // what the stream keeps per subject
const mostBytes = 32 << 20;
const mostEntries = 100;

export function traceStore(connection: NatsConnection): TraceStore {
  let manager: Promise<JetStreamManager> | undefined;
  const ask = async (what: string, question: (manager: JetStreamManager) => Promise<string[]>): Promise<string[]> => {
    try {
      return await question(await (manager ??= jetstreamManager(connection, { checkAPI: false })));
    } catch (cause) {
      // Nothing on this subject.
      if (cause instanceof JetStreamError && "code" in cause && cause.code === 404) return [];
      throw new Fault("StorageFailed", what, { detail: "the trace stream did not answer", cause });
    }
  };
  const onSubject = (filter: string) =>
    ask(filter, async ({ direct }) => {
      const query: DirectBatchOptions = { seq: 1, next_by_subj: filter, batch: mostMessages, max_bytes: mostBytes };
      return collect(await direct.getBatch(stream.traces, query));
    });

  return {
    async read(traceId) {
      if (!/^[0-9a-f]{32}$/.test(traceId)) return [];
      return uniqueSpans(await onSubject(subject.trace(traceId)), traceId);
    },
    async byCommit(prefix) {
      const filter = traceIndex.commitsLike(prefix);
      const messages = await ask(filter, async ({ direct }) =>
        collect(await direct.getLastMessagesFor(stream.traces, { multi_last: [filter], max_bytes: mostBytes })),
      );
      return newestFirst(messages).filter(({ commit }) => commit?.startsWith(prefix));
    },
    byUnit: async (unit) => newestFirst(await onSubject(traceIndex.unit(unit))),
    recent: async () => newestFirst(await onSubject(traceIndex.changes)),
  };
}

async function collect(messages: AsyncIterable<StoredMsg>): Promise<string[]> {
  const bodies: string[] = [];
  for await (const message of messages) bodies.push(message.string());
  return bodies;
}

/** A span may be stored twice (a publish whose answer was lost): the copy that ends later wins. Damaged ones are left out. */
function uniqueSpans(bodies: string[], traceId: string): StoredSpan[] {
  const spans = new Map<string, StoredSpan>();
  for (const body of bodies)
    for (const span of spanBatch.safeParse(json(body)).data?.spans ?? [])
      if (span.traceId === traceId && span.endMs >= (spans.get(span.spanId)?.endMs ?? 0)) spans.set(span.spanId, span);
  return [...spans.values()].sort((a, b) => a.startMs - b.startMs || b.endMs - a.endMs);
}

/** Entries arrive in the order they were stored, so the last is the newest; one line per trace, commit and unit. */
function newestFirst(bodies: string[]): TraceEntry[] {
  const entries = new Map<string, TraceEntry>();
  for (const body of bodies.reverse()) {
    const { data } = traceEntry.safeParse(json(body));
    if (!data) continue;
    const key = `${data.traceId} ${data.commit ?? ""} ${data.unit ?? ""}`;
    if (!entries.has(key)) entries.set(key, data);
  }
  return [...entries.values()].slice(0, mostEntries);
}

function json(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined; // not ours, or damaged: the reader shows what it can
  }
}
