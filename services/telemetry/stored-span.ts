/** OpenTelemetry's finished span as the trace stream keeps it. */
import { SpanKind, SpanStatusCode, type Attributes, type HrTime } from "@opentelemetry/api";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import { attribute } from "#protocol/trace/attributes.ts";
import { formatTraceparent } from "#protocol/trace/context.ts";
import type { StoredSpan } from "#protocol/trace/span.ts";

const kinds = {
  [SpanKind.INTERNAL]: undefined,
  [SpanKind.SERVER]: "server",
  [SpanKind.CLIENT]: "client",
  [SpanKind.PRODUCER]: "producer",
  [SpanKind.CONSUMER]: "consumer",
} as const;

export function storedSpanOf(span: ReadableSpan, worker: string): StoredSpan {
  const { traceId, spanId } = span.spanContext();
  const kind = kinds[span.kind];
  const attributes = plain(span.attributes);
  return {
    traceId,
    spanId,
    ...(span.parentSpanContext && { parentId: span.parentSpanContext.spanId }),
    name: span.name,
    ...(kind && { kind }),
    startMs: msOf(span.startTime),
    endMs: msOf(span.endTime),
    ...(attributes && { attributes }),
    ...(span.events.length > 0 && { events: span.events.map(eventOf) }),
    ...(span.status.code === SpanStatusCode.ERROR && {
      error: { type: String(attributes?.[attribute.errorType] ?? "_OTHER"), message: span.status.message ?? "" },
    }),
    ...(span.links.length > 0 && { links: span.links.map(({ context }) => traceparentOf(context)) }),
    worker,
  };
}

function eventOf({ name, time, attributes }: ReadableSpan["events"][number]) {
  const kept = plain(attributes ?? {});
  return { name, atMs: msOf(time), ...(kept && { attributes: kept }) };
}

const traceparentOf = ({ traceId, spanId }: { traceId: string; spanId: string }) =>
  formatTraceparent({ traceId, spanId, sampled: true });

function plain(attributes: Attributes): NonNullable<StoredSpan["attributes"]> | undefined {
  const kept: NonNullable<StoredSpan["attributes"]> = {};
  for (const [key, value] of Object.entries(attributes)) {
    if (Array.isArray(value)) kept[key] = value.map(String);
    else if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") kept[key] = value;
  }
  return Object.keys(kept).length > 0 ? kept : undefined;
}

/** Milliseconds since 1970 with microseconds as the fraction: what a double holds exactly enough. */
const msOf = ([seconds, nanos]: HrTime): number => seconds * 1000 + Math.round(nanos / 1000) / 1000;
