/** One question to a web service: bounded, not redirected, and nothing of what is answered is put into words. */
import { request, type Dispatcher } from "undici";
import { Fault } from "#protocol/errors/fault.ts";
import { bounded, readBounded } from "./bounded.ts";
import { dispatcherFor, type Peer } from "./connections.ts";
import { explain, isStaleConnection, throwIfAborted } from "./failure.ts";

export type Question = {
  method?: "GET" | "POST" | "PUT" | "DELETE";
  url: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  /** Called in the tick in which it leaves; what it throws is thrown. */
  before?(): void;
};
type Head = { status: number; header(name: string): string };
export type Answer = Head & { body: Buffer };
export type OpenAnswer = Head & { body: AsyncIterable<Uint8Array> };

export type Asking = { peer: Peer; shown: string };

/** What is read of an answer that is no success. */
const refusalBytes = 64 * 1024;

/** @throws Fault UpstreamUnreachable, SourceTooLarge, TimedOut; the signal's reason when it ended the call */
export async function ask(question: Question, asking: Asking, maxBytes: number, signal: AbortSignal): Promise<Answer> {
  const { status, header, body } = await open(question, asking, maxBytes, signal);
  return { status, header, body: await readBounded(body, { shown: asking.shown, maxBytes: Infinity, signal }) };
}

/** An answer that is read as it comes. @throws as `ask`, and so does reading it */
export async function open({ method = "GET", url, headers = {}, body, before }: Question, { peer, shown }: Asking, maxBytes: number, signal: AbortSignal): Promise<OpenAnswer> {
  const once = () => {
    before?.();
    return request(url, { method, headers: { "user-agent": "flotilla", ...headers }, dispatcher: dispatcherFor(peer, true), signal, ...(body !== undefined && { body }) });
  };
  let response: Dispatcher.ResponseData;
  try {
    // A kept connection may be closed by the server just as it is used again.
    response = await once().catch((error: unknown) => {
      if (isStaleConnection(error) && !signal.aborted) return once();
      throw error;
    });
  } catch (error) {
    throwIfAborted(signal, shown);
    const { code, detail } = explain(error, shown);
    throw new Fault(code, shown, { detail });
  }
  const { statusCode: status } = response;
  const isGood = status >= 200 && status < 300;
  return {
    status, header: (name) => [response.headers[name]].flat()[0] ?? "",
    body: bounded(response.body, { shown, maxBytes: isGood ? maxBytes : refusalBytes, signal }),
  };
}
