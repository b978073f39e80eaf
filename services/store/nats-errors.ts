/** What NATS answers, as the errors of the log and the bus, and what of it passes by itself. */
import { setTimeout as wait } from "node:timers/promises";
import { JetStreamApiError } from "@nats-io/jetstream";
import { errors } from "nats";
import { LogError, type LogErrorKind } from "./log.ts";

const wrongLastSequence = 10_071;
/**
 * In flight on the same fence, a batch that lost its beginning, batch limits, no leader, not yet ready. "JetStream not
 * enabled" is said during an election too; a server without it is found out when we connect.
 */
const passing = new Set([10_164, 10_163, 10_176, 10_210, 10_004, 10_008, 10_009, 10_076, 10_039, 10_077]);

export const kindOf = (code: number): LogErrorKind => (code === wrongLastSequence ? "fenced" : passing.has(code) ? "busy" : "refused");

export function logError(thrown: unknown): LogError {
  if (thrown instanceof LogError) return thrown;
  if (thrown instanceof JetStreamApiError) return new LogError(kindOf(thrown.code), thrown.message, thrown);
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  const causes = [thrown, thrown instanceof Error ? thrown.cause : undefined];
  if (causes.some((cause) => cause instanceof errors.PermissionViolationError || cause instanceof errors.InvalidArgumentError))
    return new LogError("refused", text, thrown);
  // "no responders": nobody took it, so nothing was stored.
  return new LogError(/responders|not enabled/i.test(text) ? "busy" : "unknown", text, thrown);
}

/** Longer than NATS takes to elect a leader: 4-9 s (ownership.md 2.4). */
const patienceMs = 15_000;
const retryMs = 200;

/** Repeats what fails for now; for questions and for what may be done twice. @throws what it fails with in the end */
export async function patiently<T>(attempt: () => Promise<T>): Promise<T> {
  for (const endMs = performance.now() + patienceMs; ; await wait(retryMs))
    try {
      return await attempt();
    } catch (thrown) {
      const { kind } = logError(thrown);
      if ((kind !== "busy" && kind !== "unknown") || performance.now() >= endMs) throw thrown;
    }
}
