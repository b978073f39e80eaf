/** Time, timers and compression as a simulated process has them: what virtual.ts puts in place of the platform's. */
import { promisify } from "node:util";
import zlib from "node:zlib";
import { present } from "./time.ts";

const real = { Date, Math, performance };

/** Of the process whose code runs; of the machine where there is none. */
const clock = () => present()?.clock;

class VirtualDate extends real.Date {
  constructor(...given: [] | [string | number]) {
    super(given.length === 0 ? VirtualDate.now() : given[0]);
  }

  static override now(): number {
    return clock()?.nowMs() ?? real.Date.now();
  }
}

const virtualPerformance = { timeOrigin: 0, now: () => clock()?.monoMs() ?? real.performance.now() };

/** Jitter has nothing to spread here, and a life has to be the same each time. */
const virtualMath: Math = Object.assign(Object.create(real.Math) as Math, { random: () => 0.5 });

function virtualTimeout(run: () => void, ms = 0): () => void {
  const process = present();
  if (!process) throw new TypeError("nobody's timer");
  return process.clock.at(process.clock.nowMs() + ms, run);
}

const stopTimeout = (cancel: (() => void) | undefined): void => cancel?.();

/** As that of `node:timers/promises`. */
function sleep<T>(ms: number, value?: T, { signal }: { signal?: AbortSignal } = {}): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const off = () => { cancel(); reject(signal?.reason as Error); };
    const cancel = virtualTimeout(() => {
      signal?.removeEventListener("abort", off);
      resolve(value as T);
    }, ms);
    signal?.addEventListener("abort", off, { once: true });
  });
}

/** Done at once: a thread of its own would answer in real time. `promisify` finds these by its symbol. */
const atOnce = (work: (input: Buffer, options: object) => Buffer) => ({ [promisify.custom]: async (input: Buffer, options: object) => work(input, options) });

export { VirtualDate as Date, virtualMath as Math, virtualPerformance as performance, virtualTimeout, sleep as setTimeout, stopTimeout as clearTimeout };
export const { constants } = zlib;
export const gzip = Object.assign(() => { throw new TypeError("with a promise only"); }, atOnce((input, options) => zlib.gzipSync(input, options)));
export const gunzip = Object.assign(() => { throw new TypeError("with a promise only"); }, atOnce((input, options) => zlib.gunzipSync(input, options)));
