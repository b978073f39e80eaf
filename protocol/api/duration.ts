/** Go's duration strings, as Kubernetes objects carry them, to and from milliseconds. */
import { Fault } from "#protocol/errors/fault.ts";

const unitNs = {
  h: 3_600_000_000_000n,
  m: 60_000_000_000n,
  s: 1_000_000_000n,
  ms: 1_000_000n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ns: 1n,
} as const;

/** Go counts in an int64 of nanoseconds: about 292 years. */
const longestNs = 2n ** 63n - 1n;

/** No sensible duration is longer; a bound on what a hostile one can cost. */
const longestText = 64;

/**
 * Milliseconds in a Go duration such as `1h30m`, `500ms` or `1.5h`, counted in whole nanoseconds as Go does.
 *
 * @throws Fault InvalidObject when it is not a duration, is negative, or is longer than Go can hold
 */
export function parseDuration(text: string): number {
  if (text === "0") return 0;
  let ns = 0n;
  let read = 0;
  if (text.length <= longestText)
    for (const [part, number = "", unit] of text.matchAll(/([0-9]+\.?[0-9]*|\.[0-9]+)(h|ms|us|µs|μs|ns|m|s)/gy)) {
      const [whole = "", fraction = ""] = number.split(".");
      const one = unitNs[unit as keyof typeof unitNs];
      ns += BigInt(whole) * one + (BigInt(fraction) * one) / 10n ** BigInt(fraction.length);
      read += part.length;
    }
  if (read === 0 || read !== text.length || ns > longestNs)
    throw new Fault("InvalidObject", "duration", {
      detail: `not a duration such as 10m or 1h30m: ${text.slice(0, longestText)}`,
    });
  return Number(ns / 1_000_000n) + Number(ns % 1_000_000n) / 1e6;
}

/** As Go's `Duration.String`: `1m0s`, `10m0s`, `1.5s`, `250ms`, `0s`. Below a millisecond to the nearest nanosecond. */
export function formatDuration(ms: number): string {
  if (ms < 0) return `-${formatDuration(-ms)}`;
  const ns = Math.round(ms * 1e6);
  if (ns === 0) return "0s";
  if (ns < 1e3) return `${ns}ns`;
  if (ns < 1e6) return `${ns / 1e3}µs`;
  if (ns < 1e9) return `${ns / 1e6}ms`;
  // Apart from the rest, since together they may exceed what a number holds exactly. Half a nanosecond is a whole one.
  const wholeMs = Math.floor(ms + 5e-7);
  const rest = Math.max(0, Math.round((ms - wholeMs) * 1e6));
  const fraction = String((wholeMs % 1_000) * 1e6 + rest)
    .padStart(9, "0")
    .replace(/0+$/, "");
  const wholeSeconds = Math.floor(wholeMs / 1_000);
  const seconds = `${wholeSeconds % 60}${fraction && `.${fraction}`}s`;
  const minutes = Math.floor(wholeSeconds / 60);
  if (minutes === 0) return seconds;
  const hours = Math.floor(minutes / 60);
  return hours === 0 ? `${minutes}m${seconds}` : `${hours}h${minutes % 60}m${seconds}`;
}
