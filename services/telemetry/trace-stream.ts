/** The stream that keeps finished spans for a week: made here, written here; read in trace-store.ts. */
import { jetstream, jetstreamManager, JetStreamApiError, type StreamAPI, type StreamConfig } from "@nats-io/jetstream";
import type { NatsConnection } from "nats";
import { Fault } from "#protocol/errors/fault.ts";
import { stream, subject } from "#protocol/names/subject.ts";
import { traceIndex } from "#protocol/trace/subject.ts";
import type { PublishTrace } from "./trace-writer.ts";

const weekMs = 7 * 24 * 3_600_000;
const nanosPerMs = 1e6;
const publishTimeoutMs = 2_000;

export type TraceStreamOptions = {
  /** As many as the NATS there is has room for, up to three, when absent. */
  replicas?: number;
  /** The oldest spans go first when it is full. */
  maxBytes?: number;
};

/** Creates the stream, or brings an existing one to these settings. */
export async function ensureTraceStream(
  connection: NatsConnection,
  { replicas, maxBytes = 512 << 20 }: TraceStreamOptions = {},
): Promise<void> {
  const { streams } = await jetstreamManager(connection, { checkAPI: false });
  const settings = {
    subjects: [subject.everyTrace, traceIndex.every],
    max_age: weekMs * nanosPerMs,
    max_bytes: maxBytes,
    // Bounds one trace, and one line of the index, to what a reader takes in one request.
    max_msgs_per_subject: 1024,
    discard: "old",
    allow_direct: true,
    compression: "s2",
  } satisfies Partial<StreamConfig>;
  // Three where there is a cluster, else what an existing one has; it only grows by itself.
  const tries = replicas !== undefined ? [replicas] : connection.info?.cluster ? [3, undefined] : [undefined];
  for (const num_replicas of tries)
    try {
      await ensure(streams, { ...settings, ...(num_replicas !== undefined && { num_replicas }) });
      return;
    } catch (error) {
      if (num_replicas === tries.at(-1) || !(error instanceof JetStreamApiError && noRoom.has(error.code))) throw error;
    }
}

async function ensure(streams: StreamAPI, settings: Partial<StreamConfig>): Promise<void> {
  try {
    await streams.add({ name: stream.traces, retention: "limits", storage: "file", num_replicas: 1, ...settings });
  } catch (error) {
    if (!(error instanceof JetStreamApiError && error.code === streamNameInUse)) throw error;
    const { config } = await streams.info(stream.traces);
    await streams.update(stream.traces, { ...settings, num_replicas: Math.max(config.num_replicas, settings.num_replicas ?? 1) });
  }
}

// No suitable peers for placement, clustering required, insufficient resources, not in clustered mode.
const noRoom = new Set([10_005, 10_010, 10_023, 10_074]);

/** JetStream's error code for a stream that exists with other settings. */
const streamNameInUse = 10058;

/** Stores one message, or rejects within two seconds. */
export function tracePublisher(connection: NatsConnection): PublishTrace {
  const client = jetstream(connection, { timeout: publishTimeoutMs });
  return async (subject, body) => {
    // A closed connection would keep the message for ever; our queue is the bounded place for that.
    if (connection.isClosed())
      throw new Fault("StorageFailed", subject, { detail: "the connection to NATS is closed" });
    await client.publish(subject, body, { timeout: publishTimeoutMs });
  };
}
