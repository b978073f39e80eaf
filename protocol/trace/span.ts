/** A finished span as it rests in the trace stream and travels through the API. */
import * as z from "zod";

const value = z.union([z.string(), z.number(), z.boolean(), z.array(z.string())]);
const attributes = z.record(z.string(), value);

const event = z.object({ name: z.string(), atMs: z.number(), attributes: attributes.optional() });

export const storedSpan = z.object({
  traceId: z.string(),
  spanId: z.string(),
  /** Absent for the root of a change. */
  parentId: z.string().optional(),
  name: z.string(),
  kind: z.enum(["internal", "server", "client", "producer", "consumer"]).optional(),
  /** Milliseconds since 1970, with a fraction. */
  startMs: z.number(),
  endMs: z.number(),
  attributes: attributes.optional(),
  events: z.array(event).optional(),
  error: z.object({ type: z.string(), message: z.string() }).optional(),
  /** Other traces this one is related to, as traceparents. */
  links: z.array(z.string()).optional(),
  /** Who recorded it. */
  worker: z.string().optional(),
});
export type StoredSpan = z.infer<typeof storedSpan>;

/** One message of the trace stream. `v` grows when a reader of the version before could misread it. */
export const spanBatch = z.object({ v: z.literal(1), spans: z.array(storedSpan) });

/** One line of an index: a trace in which a commit or a unit occurs. */
export const traceEntry = z.object({
  v: z.literal(1),
  traceId: z.string(),
  atMs: z.number(),
  commit: z.string().optional(),
  url: z.string().optional(),
  title: z.string().optional(),
  unit: z.string().optional(),
});
export type TraceEntry = z.infer<typeof traceEntry>;
