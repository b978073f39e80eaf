/** What is read of an answer: no more than was agreed, and not from a server that only holds a place. */
import { Fault } from "#protocol/errors/fault.ts";
import { explain, throwIfAborted } from "./failure.ts";

/** Who sends less than this in that time only holds a place that others wait for (as git's http.lowSpeedLimit). */
const slowMs = 60_000;
const slowBytes = 60_000;

export type Bound = {
  /** Whose answer it is, for messages. */
  shown: string;
  maxBytes: number;
  signal: AbortSignal;
};

/** @throws Fault SourceTooLarge, UpstreamUnreachable or TimedOut; the signal's reason when it ended the call */
export async function* bounded(body: AsyncIterable<Uint8Array>, { shown, maxBytes, signal }: Bound): AsyncGenerator<Uint8Array> {
  let size = 0;
  let window = { startMs: performance.now(), size };
  try {
    for await (const chunk of body) {
      size += chunk.length;
      if (performance.now() - window.startMs > slowMs) {
        if (size - window.size < slowBytes)
          throw new Fault("UpstreamUnreachable", shown, { detail: "the server answers too slowly: less than a kilobyte a second" });
        window = { startMs: performance.now(), size };
      }
      if (size > maxBytes) throw new Fault("SourceTooLarge", shown, { detail: `the server's answer is longer than ${maxBytes} bytes` });
      yield chunk;
    }
  } catch (error) {
    throwIfAborted(signal, shown);
    throw explain(error, shown);
  }
}

export async function readBounded(body: AsyncIterable<Uint8Array>, bound: Bound): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of bounded(body, bound)) chunks.push(chunk);
  return Buffer.concat(chunks);
}
