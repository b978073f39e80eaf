/** JSON log lines under Flux's keys, so that `flux logs` and existing queries read them (flux.md 5.2, logs). */
import { pino } from "pino";
import { Fault, sentence } from "#protocol/errors/fault.ts";
import type { ActorKey } from "#protocol/names/actor.ts";
import { parseTraceparent } from "#protocol/trace/context.ts";
import { redact, scrub } from "./redact.ts";

/** Flux's `--log-level` values. */
export const logLevels = ["trace", "debug", "info", "error"] as const;
export type LogLevel = (typeof logLevels)[number];

export type LogFields = Record<string, unknown>;

export type Log = {
  trace(msg: string, fields?: LogFields): void;
  debug(msg: string, fields?: LogFields): void;
  info(msg: string, fields?: LogFields): void;
  /** `thrown` becomes the key `error`: one line, no stack unless the level is debug or trace. */
  error(msg: string, thrown: unknown, fields?: LogFields): void;
  /** The same log with more keys on every line; costs a few microseconds. */
  with(fields: LogFields): Log;
  /** Lines about one reconciled object. */
  forActor(key: ActorKey, kind: string): Log;
  /** Lines about one change: `trace_id`, as OpenTelemetry's log data model names it in JSON. */
  forTrace(traceparent: string | undefined): Log;
  /** Writes out what is still in memory; for the last line before an exit. */
  flush(): void;
};

export type LogSink = { write(line: string): void; flushSync?(): void };

/** @param sink stderr by default, as Flux's controllers */
export function createLog({
  level = "info",
  name,
  sink,
}: { level?: LogLevel; name?: string; sink?: LogSink } = {}): Log {
  const destination = sink ?? stderr();
  const logger = pino(
    {
      level,
      base: null,
      messageKey: "msg",
      timestamp: () => `,"ts":"${new Date().toISOString()}"`,
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => redact(fields) as Record<string, unknown>,
      },
    },
    destination,
  );
  return wrap(logger.child(name ? { logger: name } : {}), level, () => destination.flushSync?.());
}

type Pino = ReturnType<typeof pino>;

function wrap(logger: Pino, level: LogLevel, flush: () => void): Log {
  const child = (fields: LogFields) => wrap(logger.child(redact(fields) as LogFields), level, flush);
  const log: Log = {
    trace: (msg, fields = {}) => logger.trace(fields, scrub(msg)),
    debug: (msg, fields = {}) => logger.debug(fields, scrub(msg)),
    info: (msg, fields = {}) => logger.info(fields, scrub(msg)),
    error: (msg, thrown, fields = {}) => logger.error({ ...fields, ...describe(thrown, level) }, scrub(msg)),
    with: child,
    forActor: ({ kind, namespace, name }, objectKind) =>
      child({ controller: kind, controllerKind: objectKind, name, namespace }),
    forTrace(traceparent) {
      const ref = parseTraceparent(traceparent);
      return ref ? child({ trace_id: ref.traceId, span_id: ref.spanId }) : log;
    },
    flush,
  };
  return log;
}

function describe(thrown: unknown, level: LogLevel): LogFields {
  if (thrown instanceof Fault) return { error: sentence(thrown.toJSON()), code: thrown.code };
  if (!(thrown instanceof Error)) return { error: String(thrown) };
  const verbose = level === "debug" || level === "trace";
  return { error: thrown.message || thrown.name, ...(verbose && thrown.stack && { stacktrace: thrown.stack }) };
}

// Asynchronous: a reader of the pipe that stalls must not stop the event loop. What exceeds 4 MiB meanwhile is lost.
function stderr(): LogSink {
  const destination = pino.destination({ fd: 2, sync: false, maxLength: 4 << 20 });
  process.once("exit", () => {
    try {
      destination.flushSync();
    } catch (gone) {
      void gone; // nobody reads stderr any more: there is nowhere left to say so
    }
  });
  return destination;
}
