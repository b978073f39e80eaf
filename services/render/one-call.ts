/** One call of the renderer's module in a thread of its own, which ends with it: nothing of one tenant is there for the next. */
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import type { Engine } from "./engine.ts";
import type { OneCall, OneReply } from "./one-call-thread.ts";
import { ThreadEnded, ThreadHandle } from "./thread-handle.ts";

export type OneCallOptions = {
  engine: Engine;
  /** What it is done for, for messages: an object. */
  subject: string;
  signal: AbortSignal;
  timeoutMs?: number;
};

/** Two at a time: each may come to need all the memory that a module may have. */
const lanes: Promise<unknown>[] = [Promise.resolve(), Promise.resolve()];
let latest = 0;

/** @throws Fault RendererMissing, or `failed` when it takes too long or comes to an end; the signal's reason */
export function callOnce(call: OneCall, failed: FaultCode, options: OneCallOptions): Promise<Uint8Array> {
  const lane = latest++ % lanes.length;
  const answer = Promise.resolve(lanes[lane]).then(() => callNow(call, failed, options));
  lanes[lane] = answer.catch(() => undefined);
  return untilAborted(answer, options.signal);
}

async function untilAborted<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = () => reject(signal.reason);
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  return Promise.race([answer, promise]).finally(() => signal.removeEventListener("abort", stop));
}

async function callNow(call: OneCall, failed: FaultCode, { engine, subject, signal, timeoutMs = 120_000 }: OneCallOptions): Promise<Uint8Array> {
  const settings = await engine.get();
  signal.throwIfAborted();
  const thread = new ThreadHandle<OneCall, OneReply>({ script: new URL("./one-call-thread.ts", import.meta.url), settings, timeoutMs });
  const stop = () => void thread.stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    const answer = await thread.ask(call);
    if ("reply" in answer) return answer.reply;
    throw new Fault(failed, subject, { detail: answer.stopped });
  } catch (thrown) {
    signal.throwIfAborted();
    if (!(thrown instanceof ThreadEnded)) throw thrown;
    throw new Fault(failed, subject, { detail: thrown.overran ? `not done after ${timeoutMs / 1000} s` : thrown.message, cause: thrown });
  } finally {
    signal.removeEventListener("abort", stop);
    await thread.stop();
  }
}
