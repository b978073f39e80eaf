/** Time as a port: what the worker and its store read instead of a clock. The simulator brings its own. */
export type Clock = {
  /** Wall clock, milliseconds since 1970: for what people and other machines read. */
  nowMs(): number;
  /** Monotonic milliseconds, the same for all threads: for leases. */
  monoMs(): number;
  /** Calls back once at or after `dueMs` of the wall clock; the answer cancels it. */
  at(dueMs: number, run: () => void): () => void;
};

const longestTimeoutMs = 2 ** 31 - 1; // setTimeout fires at once beyond it

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monoMs: () => Number(process.hrtime.bigint()) / 1e6, // performance.now() begins anew in every thread
  at(dueMs, run) {
    let timer: NodeJS.Timeout;
    const arm = () => {
      const leftMs = dueMs - Date.now();
      timer = leftMs > longestTimeoutMs ? setTimeout(arm, longestTimeoutMs) : setTimeout(run, Math.max(0, leftMs));
    };
    arm();
    return () => clearTimeout(timer);
  },
};

export const sleep = (clock: Clock, ms: number): Promise<void> =>
  new Promise((resolve) => { clock.at(clock.nowMs() + ms, resolve); });
