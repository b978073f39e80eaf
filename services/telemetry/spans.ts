/**
 * Spans of changes, from commit to healthy object. Their context rides in hints and records as traceparent strings, so
 * a span may begin in one process and be recorded by another. Ids come from ids.ts; nothing here is global.
 */
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, TraceFlags, type HrTime, type Span } from "@opentelemetry/api";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { AlwaysOnSampler, type SpanProcessor } from "@opentelemetry/sdk-trace";
import { sentence, type FaultData } from "#protocol/errors/fault.ts";
import { attribute, type Attributes, type AttributeValue } from "#protocol/trace/attributes.ts";
import { formatTraceparent, parseTraceparent, type SpanRef, type Traceparent } from "#protocol/trace/context.ts";
import { freshSpanId, freshTraceparent } from "./ids.ts";
import { otlpProcessor } from "./otlp.ts";
import { short } from "./redact.ts";
import { TraceWriter, type PublishTrace } from "./trace-writer.ts";

export type SpanStart = {
  /** Whose child it is; without one it starts a trace of its own. */
  parent?: Traceparent | undefined;
  /** Its own context, when that is already in a record (`childOf`, `changeOf`); a fresh id otherwise. */
  traceparent?: Traceparent | undefined;
  kind?: "internal" | "server" | "client" | "producer" | "consumer" | undefined;
  attributes?: Attributes | undefined;
  /** Now, when absent. */
  startMs?: number | undefined;
  /** Related traces that did not cause it: drift, retries, several sources. */
  links?: Traceparent[] | undefined;
};

export type SpanEvent = { name: string; atMs: number; attributes?: Attributes };

export type FinishedSpan = SpanStart & {
  name: string;
  startMs: number;
  endMs: number;
  events?: SpanEvent[] | undefined;
  error?: FaultData | undefined;
};

export type LiveSpan = {
  traceparent: Traceparent;
  set(attributes: Attributes): void;
  event(name: string, attributes?: Attributes, atMs?: number): void;
  /** Marks it as failed; it still wants an `end`. */
  fail(fault: FaultData): void;
  end(endMs?: number): void;
};

export type Spans = {
  startSpan(name: string, start?: SpanStart): LiveSpan;
  /** A span that is over, in one call: for work whose start was kept in a record. */
  recordSpan(span: FinishedSpan): Traceparent;
  /** Spans lost because the trace stream was away for too long. */
  droppedTotal(): number;
  flush(): Promise<void>;
  /** Writes what is left, within seconds; never rejects. */
  shutdown(): Promise<void>;
};

export type SpansOptions = {
  version: string;
  worker: string;
  /** Writes to the trace stream (trace-stream.ts); without it spans go to OTLP only. */
  publish?: PublishTrace | undefined;
  /** OTEL_EXPORTER_OTLP_* decide whether spans are exported, and where. */
  env?: Record<string, string | undefined>;
};

export async function openSpans({ version, worker, publish, env = process.env }: SpansOptions): Promise<Spans> {
  const writer = publish && new TraceWriter({ publish, worker });
  const otlp = await otlpProcessor(env);
  const processors: SpanProcessor[] = [...(writer ? [writer] : []), ...(otlp ? [otlp] : [])];
  const ids = new ChosenIds();
  const { NodeSDK } = await import("@opentelemetry/sdk-node"); // 200 ms that the command line must not pay
  const sdk = new NodeSDK({
    sampler: new AlwaysOnSampler(), // who records a no-op does not call; every change is kept
    idGenerator: ids,
    autoDetectResources: false,
    metricReaders: [], // metrics.ts has its own
    logRecordProcessors: [],
    resource: resourceFromAttributes({
      "service.name": env["OTEL_SERVICE_NAME"] || "flotilla",
      "service.version": version,
      "service.instance.id": worker,
    }),
    spanLimits: { attributeCountLimit: 64, eventCountLimit: 128, linkCountLimit: 32 },
    spanProcessors: processors,
  });
  sdk.start();
  const tracer = trace.getTracer("flotilla", version);

  const start = (name: string, { parent, traceparent, kind, attributes, startMs, links }: SpanStart): Span => {
    const above = parseTraceparent(parent);
    const own = parseTraceparent(traceparent) ?? parseTraceparent(freshTraceparent())!;
    ids.next = { traceId: own.traceId, spanId: traceparent ? own.spanId : freshSpanId() };
    return tracer.startSpan(
      short(name),
      {
        kind: SpanKind[(kind ?? "internal").toUpperCase() as keyof typeof SpanKind],
        attributes: clean({ [attribute.workerId]: worker, ...attributes }),
        links: (links ?? []).flatMap((link) => contextOf(parseTraceparent(link))).map((context) => ({ context })),
        ...(startMs !== undefined && { startTime: timeOf(startMs) }),
      },
      above ? trace.setSpanContext(ROOT_CONTEXT, contextOf(above)[0]!) : ROOT_CONTEXT,
    );
  };

  return {
    startSpan: (name, options = {}) => live(start(name, options)),
    recordSpan({ name, endMs, events = [], error, ...options }) {
      const span = live(start(name, options));
      for (const { name, atMs, attributes } of events) span.event(name, attributes, atMs);
      if (error) span.fail(error);
      span.end(Math.max(endMs, options.startMs)); // clocks of two hosts may disagree
      return span.traceparent;
    },
    droppedTotal: () => writer?.droppedTotal ?? 0,
    flush: async () => void (await Promise.all(processors.map((processor) => processor.forceFlush()))),
    async shutdown() {
      // An export that fails is the collector's business, not a reason to fail the end of the process.
      await sdk.shutdown().catch(() => undefined);
      trace.disable();
    },
  };
}

function live(span: Span): LiveSpan {
  const { traceId, spanId } = span.spanContext();
  return {
    traceparent: formatTraceparent({ traceId, spanId, sampled: true }),
    set: (attributes) => void span.setAttributes(clean(attributes)),
    event: (name, attributes = {}, atMs) =>
      void span.addEvent(short(name), clean(attributes), atMs === undefined ? undefined : timeOf(atMs)),
    fail: (fault) =>
      void span
        .setAttribute(attribute.errorType, fault.code)
        .setStatus({ code: SpanStatusCode.ERROR, message: short(sentence(fault)) }),
    end: (endMs) => span.end(endMs === undefined ? undefined : timeOf(endMs)),
  };
}

/** Gives the SDK the ids we derive: `startSpan` asks for them before it returns, so one slot is enough. */
class ChosenIds {
  next = { traceId: "", spanId: "" };
  generateTraceId = (): string => this.next.traceId;
  generateSpanId = (): string => this.next.spanId;
}

const contextOf = (ref: SpanRef | undefined) =>
  ref ? [{ traceId: ref.traceId, spanId: ref.spanId, traceFlags: TraceFlags.SAMPLED, isRemote: true }] : [];

function clean(attributes: Attributes): Record<string, AttributeValue> {
  const kept: Record<string, AttributeValue> = {};
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined) continue;
    kept[key] = typeof value === "string" ? short(value) : Array.isArray(value) ? value.slice(0, 64).map(short) : value;
  }
  return kept;
}

// Seconds and nanoseconds: a bare number below the process's uptime would be read as one relative to its start.
function timeOf(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)];
}
