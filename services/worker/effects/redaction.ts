/** Takes values of Secrets out of what people read: a server quotes what it rejects. */
import { Fault, type FaultData } from "#protocol/errors/fault.ts";

/** A shorter value counts only where it stands alone: else it would take letters out of every word. */
const wholeWordBelow = 4;

export function redacted(fault: FaultData, values: readonly string[]): FaultData {
  const { code, subject, detail } = fault;
  return { code, subject: withoutValues(subject, values), ...(detail && { detail: withoutValues(detail, values) }) };
}

/** @throws what `run` throws, redacted */
export async function redacting<T extends { fault?: FaultData }>(values: readonly string[], run: () => Promise<T>): Promise<T> {
  try {
    const outcome = await run();
    return outcome.fault ? { ...outcome, fault: redacted(outcome.fault, values) } : outcome;
  } catch (thrown) {
    if (!(thrown instanceof Fault) || values.length === 0) throw thrown;
    const { code, subject, detail } = redacted(thrown.toJSON(), values);
    throw new Fault(code, subject, { detail });
  }
}

export function withoutValues(text: string, values: readonly string[]): string {
  // The longest first: one may be a part of another.
  const ordered = [...new Set(values)].filter((value) => value.trim() !== "").sort((a, b) => b.length - a.length);
  let left = text;
  for (const value of ordered) left = left.split(value).reduce((before, after) => before + (counts(value, before, after) ? mask : value) + after);
  return left;
}

const mask = "*****";

const counts = (value: string, before: string, after: string) =>
  value.length >= wholeWordBelow || !(/[\p{L}\p{N}]$/u.test(before) || /^[\p{L}\p{N}]/u.test(after));
