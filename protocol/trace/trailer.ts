/** Reads the trace context that a commit carries in its trailers. */
import { parseTraceparent, type Traceparent } from "./context.ts";

/**
 * The value of the last valid `Traceparent:` (or `Trace-Parent:`) line in the last paragraph of a commit message, where
 * Git keeps trailers (git-interpret-trailers). Elsewhere it is prose, and prose must not move a change to another trace.
 */
export function traceparentOf(message: string): Traceparent | undefined {
  const paragraphs = message.replaceAll("\r\n", "\n").trim().split(/\n[ \t]*\n/);
  if (paragraphs.length < 2) return undefined; // a message of one paragraph is a subject
  return paragraphs
    .at(-1)!
    .split("\n")
    .map((line) => /^trace-?parent:[ \t]*(\S+)[ \t]*$/i.exec(line)?.[1]?.toLowerCase())
    .findLast((value) => parseTraceparent(value) !== undefined);
}
