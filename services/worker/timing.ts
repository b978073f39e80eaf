/** Waiting for something, and doing something again and again, on a clock that may be a virtual one. */
import { sleep, type Clock } from "#services/store/clock.ts";

const lookMs = 20;

/** Looks again as often as it may change. False when it is over before. */
export async function until(clock: Clock, isSo: () => boolean, isOver: () => boolean): Promise<boolean> {
  while (!isSo()) {
    if (isOver()) return false;
    await sleep(clock, lookMs);
  }
  return true;
}

/** Until the answer is called. */
export function every(clock: Clock, periodMs: number, run: () => void): () => void {
  let cancel = () => {};
  const arm = () => {
    cancel = clock.at(clock.nowMs() + periodMs, () => {
      arm();
      run();
    });
  };
  arm();
  return () => cancel();
}
